"""metawsm: run coding agents on tickets, over several git repositories as one."""

__version__ = "0.1.0"
