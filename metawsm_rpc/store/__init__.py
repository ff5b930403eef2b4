"""The memory of a root, on SQLite."""
