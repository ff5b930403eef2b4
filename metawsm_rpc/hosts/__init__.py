"""One machine: git, workspaces, tickets, terminals."""
