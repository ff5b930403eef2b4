"""git on this machine: repositories, worktrees, and merging in two phases."""
