"""Ports: what the engine needs from its surroundings, as Protocols whose arguments and results are plain data.

Nothing here returns a live object, so that a host could be another machine one day. All methods of hosts block;
they raise `HostError` (or `CommandError`, with the error output of git or tmux), `DependencyMissingError` when
a program is absent, and `InterruptedStepError` after `interrupt()`. `store` is persistence, the other modules
are the machine. Each topic has its own module, because a look at a run should import only what it needs.
"""
