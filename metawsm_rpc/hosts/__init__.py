"""Adapters for one machine: git, tmux, tickets, files and processes."""
