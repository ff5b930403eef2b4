"""Everything that is sent without a request: events, diagnostics, messages, refreshes."""
