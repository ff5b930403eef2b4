"""Lock files of git: whether anybody can still hold one, and the removal of those that nobody does.

Git closes a lock file once it is written and keeps it until the rename, so a lock that no process
has open can still be held: by a prepared `git update-ref`, by a `git commit` that waits for its
editor. What proves a lock stale is that no git process that was there when it was written still
works in the repository.
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
"""How long another git may keep a lock before we say so; an editor's `git status` takes milliseconds."""

_CLOCK_SLACK_SECONDS = 2.0
"""A process's start and a file's time come from clocks that may differ by this much."""

_READERS = frozenset(
    {"blame", "cat-file", "credential-cache--daemon", "daemon", "diff", "fsmonitor--daemon", "grep", "help", "log"}
    | {"shortlog", "show", "upload-pack", "whatchanged"}
)
"""Subcommands that stay for long and lock neither a branch nor an index."""

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
        return True  # somebody else's, whose processes cannot be looked into
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
    """Remove a lock that nobody holds; returns whether the way is free now.

    The caller has to know that the lock is ours.
    """
    if is_held(lock, folders):
        return False
    lock.unlink(missing_ok=True)
    return True


def wait_until_free(lock: Path, folders: Sequence[str], *, ours: bool) -> None:
    """Wait for a lock to go away; one that is `ours` and that nobody holds is removed.

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
