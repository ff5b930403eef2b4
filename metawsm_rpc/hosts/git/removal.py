"""Removes worktrees without losing their contents.

Commits on a branch stay with the branch. Changed and untracked files, and commits that no branch has, are first
saved under a snapshot ref. A worktree with anything that no ref can hold (ignored files, nested repositories,
commits of submodules) is kept.
"""

import contextlib
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from metawsm_rpc.domain.models import Repo
from metawsm_rpc.errors import CommandError, HostError, InterruptedStepError
from metawsm_rpc.hosts.git.copying import is_same
from metawsm_rpc.hosts.git.creation import branch_of, discard
from metawsm_rpc.hosts.git.git import Git, branch_ref, shown
from metawsm_rpc.hosts.git.layout import Layout, half_made, locate, lock_reason
from metawsm_rpc.hosts.git.registrations import forget, own_git_dir, registrations
from metawsm_rpc.hosts.git.snapshots import keep_commit, same_snapshot, snapshot
from metawsm_rpc.hosts.git.status import Status, status
from metawsm_rpc.hosts.git.submodules import reason_to_keep
from metawsm_rpc.hosts.git.turns import turn
from metawsm_rpc.ports.worktrees import Removal, WorktreeSpec

Snapshots = tuple[tuple[str, str], ...]


class _KeptError(Exception):
    """The worktree stays; the message says why, as the end of "was kept because it ..."."""


def remove(git: Git, repo: Repo, snapshot_prefix: str, copied: Sequence[str]) -> Removal:
    """Remove a worktree without losing anything; see `Worktrees.remove`."""
    path = Path(repo.path)
    if not os.path.lexists(path) and locate(Path(repo.source)) is None:
        return Removal(repo.path, removed=True, reason=None, snapshots=())
    prefix = f"{snapshot_prefix.rstrip('/')}/{repo.branch}"
    try:
        source = _source(repo.source)
        git_dir = _usable_git_dir(
            git, source, WorktreeSpec(repo.source, repo.path, repo.branch, repo.base_commit or "")
        )
        if git_dir is None:
            return Removal(
                repo.path, removed=True, reason=None, snapshots=_forget(git, repo.source, source, path, prefix)
            )
        now = status(git, repo.path, ignored=True)
        copies = {name for name in (*now.ignored, *now.untracked) if shown(name) in set(copied)}
        _refuse_unkeepable(git, source, git_dir, repo, now, copies)
        snapshots = _keep(git, repo, now, prefix, copies)
        _remove_worktree(git, repo.source, repo.path, force=bool(now.dirty))
    except _KeptError as kept:
        return Removal(repo.path, removed=False, reason=str(kept), snapshots=())
    return Removal(repo.path, removed=True, reason=None, snapshots=snapshots)


def roll_back(git: Git, path: str, source: str, branch: str, start: str) -> Removal:
    """Undo an `add`; see `Worktrees.roll_back`."""
    try:
        layout = _source(source)
        git_dir = _usable_git_dir(git, layout, WorktreeSpec(source, path, branch, start))
        if git_dir is None:
            _forget(git, source, layout, Path(path), f"refs/metawsm/kept/{branch}")
        else:
            _refuse_work(git, layout, git_dir, WorktreeSpec(source, path, branch, start))
            _remove_worktree(git, source, path, force=False)
    except _KeptError as kept:
        return Removal(path, removed=False, reason=str(kept), snapshots=())
    if git.commit_of(source, branch_ref(branch)) == start:
        delete_branch(git, source, branch)
    return Removal(path, removed=True, reason=None, snapshots=())


def delete_branch(git: Git, source: str, branch: str) -> bool:
    """Delete a branch with its configuration; return False when it is checked out somewhere."""
    return git.call(source, "branch", "--delete", "--force", "--quiet", "--", branch, accept=(0, 1)).exit_code == 0


@contextlib.contextmanager
def _refusal_keeps() -> Iterator[None]:
    try:
        yield
    except (CommandError, InterruptedStepError):
        raise
    except HostError as error:
        raise _KeptError(error.message) from error


def _source(path: str) -> Layout:
    layout = locate(Path(path))
    if layout is None:
        raise _KeptError(f"its repository at {path} is gone")
    return layout


def _usable_git_dir(git: Git, source: Layout, spec: WorktreeSpec) -> Path | None:
    """Return the worktree's git directory, or None when there is nothing left at its path."""
    path = Path(spec.path)
    if not os.path.lexists(path):
        return None
    git_dir = own_git_dir(source, path)
    if git_dir is not None and half_made(git_dir):
        with turn(git.commands, source.common_dir) as held:
            with _refusal_keeps():
                discard(git, held, source, spec)
            held.end(spec.path)
        return None
    if git_dir is None:
        with contextlib.suppress(OSError):
            path.rmdir()
            return None
        raise _KeptError(f"{path} is no worktree of {spec.source}")
    reason = lock_reason(git_dir)
    if reason is not None:
        raise _KeptError(f"the worktree is locked{f': {reason}' if reason else ''}")
    return git_dir


def _forget(git: Git, repo: str, source: Layout, path: Path, keep_under: str) -> Snapshots:
    kept: Snapshots = ()
    for entry in registrations(git, repo)[1:]:
        if os.path.realpath(entry["worktree"]) == os.path.realpath(path):
            with _refusal_keeps():
                kept += forget(git, repo, source, entry, keep_under)
    return kept


def _refuse_unkeepable(
    git: Git, source: Layout, git_dir: Path, repo: Repo, now: Status, copies: Collection[str]
) -> None:
    if now.head is None:
        raise _KeptError("its branch has no commits")
    nested = [name for name in now.untracked if name.endswith("/")]
    if nested:
        raise _KeptError(f"it has a nested repository, {shown(nested[0])}")
    foreign = [name for name in now.ignored if name not in copies]
    if foreign:
        raise _KeptError(f"it has ignored files that were not copied into it, {_some(foreign)}")
    edited = [name for name in now.ignored if not _is_unchanged(repo, name)]
    if edited:
        raise _KeptError(f"files that were copied into it differ from the source's, {_some(edited)}")
    reason = reason_to_keep(git, source.common_dir, git_dir, Path(repo.path), set(map(shown, copies)))
    if reason:
        raise _KeptError(reason)


def _is_unchanged(repo: Repo, name: str) -> bool:
    return is_same(Path(repo.source, name), Path(repo.path, name))


def _refuse_work(git: Git, source: Layout, git_dir: Path, spec: WorktreeSpec) -> None:
    path = Path(spec.path)
    now = status(git, spec.path)
    if now.dirty:
        raise _KeptError(f"it has uncommitted files, {_some(now.dirty)}")
    checked_out, head = branch_of(git, path, git_dir)
    if checked_out != spec.branch or now.branch != spec.branch:
        raise _KeptError(f"it is not on its branch {spec.branch}")
    if head not in {spec.start, _first_head(git_dir)}:
        raise _KeptError("commits were made in it")
    reason = reason_to_keep(git, source.common_dir, git_dir, path, None)
    if reason:
        raise _KeptError(reason)


def _first_head(git_dir: Path) -> str | None:
    """Return the commit that was checked out when the worktree was created, according to its reflog."""
    try:
        lines = (git_dir / "logs" / "HEAD").read_bytes().split(b"\n", 1)
    except FileNotFoundError:
        return None
    return lines[0].split(b" ")[1].decode()


def _keep(git: Git, repo: Repo, now: Status, prefix: str, copies: Collection[str]) -> Snapshots:
    unchanged = [name for name in now.untracked if name in copies and _is_unchanged(repo, name)]
    if len(now.dirty) > len(unchanged):
        message = f"Snapshot of {repo.branch} before its worktree was removed\n"
        try:
            commit = snapshot(git, repo.path, message, leave_out=unchanged)
            kept = same_snapshot(git, repo.source, prefix, commit)
            if kept is None:
                kept = (f"{prefix}/{commit[:12]}", commit)
                git.run(repo.source, "update-ref", *kept)
        except CommandError as error:
            raise _KeptError(f"its uncommitted files could not be kept: {error.message}") from error
        return (kept,)
    head = now.head or ""
    ref = f"{prefix}/{head[:12]}"
    return ((ref, head),) if keep_commit(git, repo.source, head, ref) else ()


def _remove_worktree(git: Git, source: str, path: str, *, force: bool) -> None:
    options = ("--force",) if force else ()
    try:
        git.run(source, "worktree", "remove", *options, "--", path)
    except CommandError as error:
        if force or "submodules" not in error.stderr:
            raise
        # Without force, git refuses every worktree with submodules; these have been checked.
        git.run(source, "worktree", "remove", "--force", "--", path)


def _some(names: Sequence[str]) -> str:
    listed = ", ".join(shown(name) for name in names[:3])
    return listed if len(names) <= 3 else f"{listed} and {len(names) - 3} more"
