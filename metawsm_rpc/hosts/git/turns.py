"""Turns at a repository: only one thread of all processes runs `git worktree add` in it at a time.

Two at once would race for the repository's configuration lock. The turn is an flock, which the kernel releases
when its holder dies. Git inherits it, so that others wait for a git that outlives a killed metawsm.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metawsm_rpc.errors import HostError
from metawsm_rpc.hosts.commands import Commands

_FILE = "metawsm-worktree-add"
"""In the git common directory. It stays there, and names the folders that are being created."""

_LOOK_SECONDS = 0.02
"""How often a waiting thread checks for an interrupt and for the end of another turn."""

_threads: dict[str, threading.Lock] = {}


class Turn:
    """The right to add worktrees to one repository.

    Attributes:
        descriptor: the open lock file, for git to inherit.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def began(self, path: str) -> bool:
        """Whether the folder `path` was being created when an earlier turn was interrupted."""
        return path in self._noted()

    def begin(self, path: str) -> None:
        """Record that the folder `path` is being created."""
        self._note([*self._noted(), path])

    def end(self, path: str) -> None:
        """Record that the folder `path` is complete, or gone."""
        self._note([noted for noted in self._noted() if noted != path])

    def _noted(self) -> list[str]:
        size = os.fstat(self.descriptor).st_size
        return os.fsdecode(os.pread(self.descriptor, size, 0)).split("\0")[:-1]

    def _note(self, paths: list[str]) -> None:
        text = os.fsencode("".join(f"{path}\0" for path in paths))
        os.pwrite(self.descriptor, text, 0)
        os.ftruncate(self.descriptor, len(text))


@contextmanager
def turn(commands: Commands, common_dir: Path) -> Iterator[Turn]:
    """Wait for a turn at the repository with this git common directory, and hold it for the block.

    Raises:
        InterruptedStepError: `commands` was interrupted while waiting.
        HostError: no turn became free within the time limit of `commands`, or the repository is not writable.
    """
    thread = _threads.setdefault(str(common_dir), threading.Lock())
    waiting = f"Adding a worktree to {common_dir}"
    while not thread.acquire(timeout=_LOOK_SECONDS):
        commands.check_interrupted(waiting)
    try:
        with _opened(common_dir / _FILE) as descriptor:
            _lock(commands, descriptor, waiting)
            try:
                yield Turn(descriptor)
            finally:
                # Explicitly, because a process that a hook left running may have inherited the descriptor.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        thread.release()


@contextmanager
def _opened(file: Path) -> Iterator[int]:
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise HostError(f"No worktree can be added because {file} cannot be written: {error.strerror}.") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(commands: Commands, descriptor: int, waiting: str) -> None:
    deadline = None if commands.timeout is None else time.monotonic() + commands.timeout
    while True:
        commands.check_interrupted(waiting)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if deadline is not None and time.monotonic() > deadline:
                raise HostError(
                    f"{waiting} did not begin because another process is still at it; look for a `git worktree add`."
                ) from None
            time.sleep(_LOOK_SECONDS)
        else:
            return
