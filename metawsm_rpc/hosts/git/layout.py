"""Reads the layout of repositories and worktrees from git's files, in microseconds and without running git.

The formats are those of gitrepository-layout(5): `.git` is a folder, or a file that names one; a
linked worktree's own git directory is `worktrees/<id>` in the common directory and holds `HEAD`,
`index`, `commondir`, `gitdir` (the way back to its `.git` file) and, when it is locked, `locked`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from metawsm_rpc.errors import HostError

_INITIALIZING = "initializing"
"""What git writes into `locked` while `git worktree add` is at work (untranslated, with LC_ALL=C)."""


class Layout(NamedTuple):
    """A checkout's own git directory, and the one that all worktrees of its repository share.

    Both are real paths. They differ in a linked worktree.
    """

    git_dir: Path
    common_dir: Path

    @property
    def linked(self) -> bool:
        """Whether this is a linked worktree."""
        return self.git_dir != self.common_dir


def locate(path: Path) -> Layout | None:
    """Return the layout of the checkout, or the bare repository, whose top is `path`; None if it is neither."""
    dot_git = path / ".git"
    git_dir = dot_git if dot_git.is_dir() else path
    if dot_git.is_file():
        named = _line(dot_git) or ""
        if not named.startswith("gitdir: "):
            return None
        git_dir = path / named.removeprefix("gitdir: ")
    if not (git_dir / "HEAD").is_file():
        return None
    common = _line(git_dir / "commondir")
    layout = Layout(_real(git_dir), _real(git_dir if common is None else git_dir / common))
    return layout if (layout.common_dir / "objects").is_dir() else None


def source_layout(path: str) -> Layout:
    """Return the layout of a source. Raises `HostError` when the repository is gone."""
    layout = locate(Path(path))
    if layout is None:
        raise HostError(f"{path} is not the top of a git repository.")
    return layout


def lock_reason(git_dir: Path) -> str | None:
    """Return why a worktree is locked (empty when no reason was given), or None when it is not."""
    return _line(git_dir / "locked")


def half_made(git_dir: Path) -> bool:
    """Return whether `git worktree add` was interrupted here before the files were checked out."""
    return lock_reason(git_dir) == _INITIALIZING or not (git_dir / "index").is_file()


def registered(common_dir: Path, path: Path) -> Iterator[Path]:
    """Yield the git directories of the linked worktrees registered for the folder `path`, whether it exists or not."""
    for git_dir in common_dir.glob("worktrees/*"):
        if leads_back(git_dir, path):
            yield git_dir


def leads_back(git_dir: Path, path: Path) -> bool:
    """Return whether a linked worktree's git directory points back to the folder `path`."""
    dot_git = _line(git_dir / "gitdir")
    return bool(dot_git) and _real((git_dir / str(dot_git)).parent) == _real(path)


def unnamed(common_dir: Path, path: Path) -> Iterator[Path]:
    """Yield git directories of a `git worktree add` for `path` that was killed before it recorded that path."""
    for git_dir in common_dir.glob("worktrees/*"):
        if git_dir.name.startswith(path.name) and half_made(git_dir) and not _line(git_dir / "gitdir"):
            yield git_dir


def operation(git_dir: Path) -> str | None:
    """Return the operation that is in progress in a checkout, such as `merge`, or None."""
    for name, file in (
        ("rebase", "rebase-merge"),
        ("rebase", "rebase-apply"),
        ("merge", "MERGE_HEAD"),
        ("cherry-pick", "CHERRY_PICK_HEAD"),
        ("revert", "REVERT_HEAD"),
        ("bisect", "BISECT_LOG"),
    ):
        if (git_dir / file).exists():
            return name
    return None


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _line(file: Path) -> str | None:
    try:
        return os.fsdecode(file.read_bytes()).rstrip("\r\n")
    except (FileNotFoundError, NotADirectoryError):
        return None
