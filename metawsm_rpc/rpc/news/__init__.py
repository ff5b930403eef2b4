"""What the client is told without asking: events, diagnostics, messages, refreshes."""
