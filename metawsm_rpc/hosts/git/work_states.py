"""The state of the work in a worktree, read cheaply: whether it has changed, and when it last did.

A commit changes HEAD. Uncommitted work changes when the content of a file does; a file that was merely
rewritten, as by a build, is the same work.
"""

import os
import stat
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from metawsm_rpc.domain.models import Repo
from metawsm_rpc.errors import CommandError
from metawsm_rpc.hosts.git.git import Git
from metawsm_rpc.hosts.git.layout import locate
from metawsm_rpc.ports.worktrees import WorkState

_FIELDS_BEFORE_PATH = {"1": 8, "u": 10}

_LONGEST_READ = 1 << 20
"""For larger files, size and modification time stand for the content."""

_MOST_READ = 1 << 25
"""The limit for all files together, in bytes."""


def work_state(git: Git, repo: Repo) -> WorkState | None:
    """Return the state of the work in a worktree; see `Worktrees.work_state`."""
    layout = locate(Path(repo.path))
    if layout is None:
        return None
    try:
        fields = git.fields(
            repo.path,
            *("status", "--porcelain=v2", "-z", "--branch", "--untracked-files=all", "--no-renames"),
            "--ignore-submodules=none",
        )
    except CommandError:
        if locate(Path(repo.path)) is None:  # removed in this moment
            return None
        raise
    # The distance to the base is not work of this worktree.
    told = [
        field for field in fields if not field.startswith("# ") or field.startswith(("# branch.oid", "# branch.head"))
    ]
    digest = blake2b("\0".join(told).encode("utf-8", "surrogateescape"), digest_size=16)
    moved, left = _mtime(str(layout.git_dir / "logs" / "HEAD")), _MOST_READ
    for path in _uncommitted(told):
        file = os.path.join(repo.path, path)  # noqa: PTH118 - names may contain any bytes
        size, at, content = _look(file, min(left, _LONGEST_READ))
        left -= len(content) if isinstance(content, bytes) else 0
        digest.update(repr((path, size, content)).encode("utf-8", "surrogateescape"))
        moved = max(moved, at)
    return WorkState(digest.hexdigest(), moved)


def _uncommitted(fields: list[str]) -> Iterator[str]:
    """Yield the paths whose content is not in the index; all other content is identified by its object id."""
    for field in fields:
        kind, _, rest = field.partition(" ")
        if kind == "?":
            yield rest
        elif kind == "u" or (kind == "1" and rest[1] != "."):
            yield field.split(" ", _FIELDS_BEFORE_PATH[kind])[-1]


def _look(file: str, limit: int) -> tuple[int, float, bytes | int]:
    """Return a file's size, modification time and content, or instead of the content a time in nanoseconds."""
    try:
        found = os.lstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
            return found.st_size, found.st_mtime, found.st_mtime_ns
        with open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:  # noqa: PTH123 - pathlib takes no flags
            return found.st_size, found.st_mtime, opened.read(limit)
    except OSError:  # deleted or unreadable
        return 0, 0.0, 0


def _mtime(file: str) -> float:
    try:
        return os.lstat(file).st_mtime
    except OSError:
        return 0.0
