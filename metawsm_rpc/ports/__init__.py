"""What the engine needs, as Protocols whose arguments and results are plain data.

Nothing here hands out a live object, so that a host can one day be another machine. All methods of
hosts block; they raise `HostError` (or `CommandError`, which carries what git or tmux said),
`DependencyMissingError` when a program is absent, and `InterruptedStepError` after `interrupt()`.
`store` is the memory, the other modules are the world. A topic has a module of its own, because a
look at a run should import only what it needs.
"""
