"""Ends the process session of a launch: whatever survives tmux's hang-up, and no unrelated process.

The pane's process leads a process session, which has its pid as id. The kernel does not reuse that id while a
member lives, so a session that once was identified as the launch's stays so.
"""

import contextlib
import os
import signal
import time

from metawsm_rpc.hosts import processes
from metawsm_rpc.hosts.death_watch import DeathWatch

_KILL_SECONDS = 2.0
"""How long SIGKILL may take; a process that hangs in the kernel is then reported as a survivor."""


def belongs(leader: int, launch: str) -> bool:
    """Return whether this process session belongs to the launch, judging by its leader or its remaining members."""
    if processes.runs(leader):
        return processes.bears(leader, launch)
    return any(processes.bears(pid, launch) for pid in processes.members(leader))


def end(leader: int, grace_seconds: float) -> tuple[int, ...]:
    """Wait for the session's processes to exit, then kill the rest; return the pids that had to be killed."""
    _await(leader, time.monotonic() + grace_seconds)
    killed: dict[int, None] = {}
    deadline = time.monotonic() + _KILL_SECONDS
    while (left := processes.members(leader)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed[pid] = None
        _await(leader, min(deadline, time.monotonic() + 0.1))
    return tuple(killed)


def survivors(launch: str, leader: int | None) -> tuple[tuple[int, str], ...]:
    """Return `(pid, command line)` of the remaining processes of a launch.

    These have the launch in their environment, like a daemon that left the session, or are still in the session
    that `leader` identifies as the launch's.
    """
    found = dict(processes.carriers(launch))
    for pid in processes.members(leader) if leader is not None else ():
        found.setdefault(pid, " ".join(processes.command(pid)))
    return tuple(sorted(found.items()))


def _await(leader: int, deadline: float) -> None:
    """Return when no member of the session is left, or at the deadline."""
    with DeathWatch[int]() as watch:
        while (left := processes.members(leader)) and time.monotonic() < deadline:
            for pid in left:
                watch.add(pid, pid)
            waited_for = set(left)
            while waited_for and (dead := watch.wait(deadline - time.monotonic())):
                waited_for.difference_update(dead)
