"""Calling verbs: parameters checked, work on threads, progress, waiting."""
