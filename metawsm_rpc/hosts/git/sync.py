"""Brings a base branch into a worktree's branch, by merge or rebase, as a person would there.

The repository's hooks run, and conflicts stay in the files. If git would silently overwrite something (ignored
files that the base now has), sync refuses first.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from metawsm_rpc.domain.models import Repo
from metawsm_rpc.errors import CommandError, HostError
from metawsm_rpc.hosts.git.git import Git, branch_ref, shown
from metawsm_rpc.hosts.git.layout import locate, operation
from metawsm_rpc.hosts.git.status import status
from metawsm_rpc.hosts.git.submodules import update
from metawsm_rpc.ports.worktrees import SyncResult

_QUIETLY = {"GIT_EDITOR": "true", "GIT_SEQUENCE_EDITOR": "true"}
"""No editor is opened: commit messages stay as git proposes them."""

_COMMANDS = {
    "merge": ("merge", "--quiet", "--no-edit", "--ff", "--commit", "--no-squash", "--no-autostash"),
    "rebase": ("rebase", "--quiet", "--no-autostash", "--no-update-refs"),
}


def sync(git: Git, repo: Repo, strategy: Literal["merge", "rebase"]) -> SyncResult:
    """Bring the base branch into the worktree's branch; see `Worktrees.sync`."""
    layout = locate(Path(repo.path))
    if layout is None:
        raise HostError(f"There is no worktree at {repo.path} to sync.")
    now = status(git, repo.path, ignored=True)
    if operation(layout.git_dir) is not None:
        return SyncResult("conflict", tuple(map(shown, now.conflicted)))
    if now.branch != repo.branch:
        raise HostError(f"The worktree at {repo.path} is not on its branch {repo.branch}: check that out there first.")
    if now.dirty:
        raise HostError(
            f"The worktree at {repo.path} has uncommitted files, such as {shown(now.dirty[0])}: "
            "commit or remove them, then sync again."
        )
    base = git.commit_of(repo.path, branch_ref(repo.base))
    if base is None:
        raise HostError(f"The repository {repo.name} has no branch {repo.base} to sync with.")
    parting = git.call(repo.path, "merge-base", base, "HEAD", accept=(0, 1)).text.strip()
    if not parting:
        raise HostError(f"{repo.branch} and {repo.base} of {repo.name} have no history in common.")
    if parting == base:
        return SyncResult("up-to-date", ())
    _refuse_to_overwrite(git, repo, parting, base, now.ignored)
    command = _COMMANDS[strategy]
    message = ("-m", f"Merge branch '{repo.base}' into {repo.branch}") if strategy == "merge" else ()
    try:
        git.run(repo.path, *command, *message, branch_ref(repo.base), environment=_QUIETLY)
    except CommandError as error:
        conflicted = status(git, repo.path).conflicted
        if conflicted:
            return SyncResult("conflict", tuple(map(shown, conflicted)))
        if operation(layout.git_dir) is None:
            raise
        git.run(repo.path, strategy, "--abort")  # for example a hook refused: leave nothing half-done
        said = next(iter(error.stderr.strip().splitlines()), "")
        raise HostError(
            f"The {strategy} at {repo.path} was taken back because git would not finish it: {said}",
            details=error.details,
        ) from error
    update(git, Path(repo.source), Path(repo.path))
    return SyncResult("updated", ())


def _refuse_to_overwrite(git: Git, repo: Repo, parting: str, base: str, ignored: Sequence[str]) -> None:
    added = git.fields(
        repo.path, "diff-tree", "-r", "--name-only", "-z", "--no-renames", "--diff-filter=A", parting, base
    )
    there = {name.rstrip("/") for name in ignored}
    folders = {parent for name in there for parent in _parents(name)}
    lost = [name for name in added if name in folders or not there.isdisjoint({name, *_parents(name)})]
    if lost:
        raise HostError(
            f"{repo.base} brings files that would overwrite ignored ones at {repo.path}, such as "
            f"{shown(lost[0])}: move those away, then sync again."
        )


def _parents(name: str) -> Iterator[str]:
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name
