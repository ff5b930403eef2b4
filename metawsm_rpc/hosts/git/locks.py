"""Git's lock files: whether a process may still hold one, and the removal of stale ones.

Git closes a lock file once it is written and keeps it until the rename, so a lock that no process has open can
still be held: by a prepared `git update-ref`, or by a `git commit` that waits for its editor. A lock is stale
if no git process that existed when it was written still works in the repository.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from metawsm_rpc.errors import RefLockedError

if TYPE_CHECKING:
    import psutil

_PATIENCE_SECONDS = 3.0
"""How long to wait for another git's lock before reporting it; an editor's `git status` takes milliseconds."""

_CLOCK_SLACK_SECONDS = 2.0
"""A process's start and a file's time come from clocks that may differ by this much."""

_READERS = frozenset(
    {"blame", "cat-file", "credential-cache--daemon", "daemon", "diff", "fsmonitor--daemon", "grep", "help", "log"}
    | {"shortlog", "show", "upload-pack", "whatchanged"}
)
"""Long-running subcommands that lock neither a branch nor an index."""

_OPTIONS_WITH_VALUE = frozenset({"-C", "-c", "--config-env", "--exec-path", "--git-dir", "--namespace", "--work-tree"})


def is_held(lock: Path, folders: Sequence[str]) -> bool:
    """Return whether a living process may hold this lock of the repository that has these folders."""
    import psutil

    try:
        stat = lock.stat()
    except FileNotFoundError:
        return False
    user = os.geteuid()
    if user not in {0, stat.st_uid}:
        return True  # another user's process, which cannot be inspected
    path = os.path.realpath(lock)
    inside = tuple(os.path.realpath(folder) for folder in folders)
    for process in psutil.process_iter():
        try:
            if process.create_time() > stat.st_mtime + _CLOCK_SLACK_SECONDS:
                continue
            if process.name().startswith("git") and _may_write_in(process, inside):
                return True
            if any(file.path == path for file in process.open_files()):
                return True
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return False


def remove_stale(lock: Path, folders: Sequence[str]) -> bool:
    """Remove a lock that no process holds; returns whether the lock is gone.

    The caller must know that the lock is metawsm's own.
    """
    if is_held(lock, folders):
        return False
    lock.unlink(missing_ok=True)
    return True


def wait_until_free(lock: Path, folders: Sequence[str], *, ours: bool) -> None:
    """Wait for a lock to be released; one that is `ours` and has no holder is removed.

    Raises:
        RefLockedError: it is still there after a few seconds.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while lock.exists():
        if ours and remove_stale(lock, folders):
            return
        if time.monotonic() > deadline:
            raise RefLockedError(
                f"Another git is at work: wait until {lock} is gone, or remove it if no git runs there."
            )
        time.sleep(0.02)


def _may_write_in(process: "psutil.Process", folders: Sequence[str]) -> bool:
    words = process.cmdline()
    if _subcommand(words) in _READERS:
        return False
    directory = process.cwd()
    if any(directory == folder or directory.startswith(f"{folder}/") for folder in folders):
        return True
    said = [*words, *(value for name, value in process.environ().items() if name.startswith("GIT_"))]
    return any(folder in text for text in said for folder in folders)


def _subcommand(words: Sequence[str]) -> str | None:
    rest = iter(words[1:])
    for word in rest:
        if word in _OPTIONS_WITH_VALUE:
            next(rest, None)
        elif not word.startswith("-"):
            return word
    return None
