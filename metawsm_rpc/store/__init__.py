"""Persistence of one root, on SQLite."""
