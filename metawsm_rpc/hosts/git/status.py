"""Parses `git status` in git's machine-readable format (porcelain version 2)."""

from pathlib import Path
from typing import NamedTuple

from metawsm_rpc.domain.models import Repo
from metawsm_rpc.errors import CommandError, HostError
from metawsm_rpc.hosts.git.git import Git, branch_ref
from metawsm_rpc.hosts.git.layout import locate

_FIELDS_BEFORE_PATH = {"1": 8, "2": 9, "u": 10}


class Status(NamedTuple):
    """How a checkout differs from its HEAD; paths are relative to its top.

    `head` is None before the first commit, `branch` None when HEAD is detached. A nested
    repository is one untracked (or ignored) path that ends in `/`.
    """

    head: str | None
    branch: str | None
    changed: tuple[str, ...]
    conflicted: tuple[str, ...]
    untracked: tuple[str, ...]
    ignored: tuple[str, ...]

    @property
    def dirty(self) -> tuple[str, ...]:
        """Changed and untracked files; a clean checkout has none."""
        return self.changed + self.untracked


def status(git: Git, checkout: str, *, ignored: bool = False) -> Status:
    """Return the status of a checkout; with `ignored`, ignored files are listed, too, one by one."""
    fields = git.fields(
        checkout,
        *("status", "--porcelain=v2", "-z", "--branch", "--untracked-files=all", "--find-renames"),
        *("--ignore-submodules=none", f"--ignored={'traditional' if ignored else 'no'}"),
    )
    head = branch = None
    changed, conflicted, untracked, skipped = [], [], [], []
    rest = iter(fields)
    for field in rest:
        kind, _, value = field.partition(" ")
        if kind == "#":
            name, _, value = value.partition(" ")
            if name == "branch.oid" and value != "(initial)":
                head = value
            elif name == "branch.head" and value != "(detached)":
                branch = value
        elif kind == "?":
            untracked.append(value)
        elif kind == "!":
            skipped.append(value)
        else:
            path = field.split(" ", _FIELDS_BEFORE_PATH[kind])[-1]
            changed.append(path)
            if kind == "u":
                conflicted.append(path)
            elif kind == "2":
                next(rest)  # the name it had before
    return Status(head, branch, tuple(changed), tuple(conflicted), tuple(untracked), tuple(skipped))


def observe(git: Git, repo: Repo) -> Repo:
    """Return `repo` as it is now; see `Worktrees.observe`."""
    if locate(Path(repo.path)) is None:
        return repo._replace(head=None, dirty_files=None, ahead=None, behind=None)
    try:
        now = status(git, repo.path)
        ahead, behind = (None, None) if now.head is None else ahead_and_behind(git, repo.path, repo.base)
    except HostError:
        if locate(Path(repo.path)) is None:  # it is being removed
            return observe(git, repo)
        raise
    return repo._replace(head=now.head, dirty_files=len(now.dirty), ahead=ahead, behind=behind)


def ahead_and_behind(git: Git, checkout: str, base: str) -> tuple[int | None, int | None]:
    """Count the commits that only HEAD has and those that only `base` has; None when there is no base."""
    try:
        counted = git.read(checkout, "rev-list", "--left-right", "--count", f"HEAD...{branch_ref(base)}", "--")
    except CommandError:
        if git.commit_of(checkout, branch_ref(base)) is None:
            return None, None
        raise
    ahead, behind = counted.split()
    return int(ahead), int(behind)
