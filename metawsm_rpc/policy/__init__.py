"""The policy file: its model, defaults, loading, and migration of old versions."""
