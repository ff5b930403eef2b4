"""Agents in tmux sessions: the server, the shim in the pane, transcripts."""
