"""The gates of close: all reasons why a worktree's branch may not be merged now."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from metawsm_rpc.domain.models import Blocked, BlockedReason, Repo
from metawsm_rpc.hosts.git.checkouts import exemption
from metawsm_rpc.hosts.git.git import Git, branch_ref, shown
from metawsm_rpc.hosts.git.layout import locate
from metawsm_rpc.ports.merging import MergeRequest

_GITLINK = "160000"

_OPERATIONS = (
    ("rebase-merge", "rebase", "git rebase --abort"),
    ("rebase-apply", "rebase", "git rebase --abort"),
    ("MERGE_HEAD", "merge", "git merge --abort"),
    ("CHERRY_PICK_HEAD", "cherry-pick", "git cherry-pick --abort"),
    ("REVERT_HEAD", "revert", "git revert --abort"),
    ("sequencer", "cherry-pick or revert", "git cherry-pick --abort"),
    ("BISECT_LOG", "bisect", "git bisect reset"),
)
"""Files in a checkout's own git directory that mark an unfinished operation; the first match names it."""


class _Reason(NamedTuple):
    reason: BlockedReason
    message: str
    files: Sequence[str] = ()


def gates(git: Git, request: MergeRequest, *, require_clean: bool, exempt: Sequence[str]) -> tuple[Blocked, ...]:
    """Return all reasons why this worktree may not be merged now.

    Without `require_clean` uncommitted work, also in submodules, does not block. Paths at or below `exempt`
    never do. A missing worktree blocks nothing as long as its branch exists: committed work can be merged.
    """
    repo = request.repo
    found = tuple(_source_reasons(repo)) or (
        *_worktree_reasons(git, repo, require_clean=require_clean, exempt=exempt),
        *_history_reasons(git, repo),
        *_base_checkout_reasons(git, repo),
        *_identity_reasons(git, repo),
    )
    return tuple(
        Blocked(repo.name, request.ticket, reason, message, tuple(shown(file) for file in files))
        for reason, message, files in found
    )


def _source_reasons(repo: Repo) -> Iterator[_Reason]:
    """Say that there is nothing to merge into; git could tell nothing else of it either."""
    if locate(Path(repo.source)) is None:
        message = (
            f"The repository {repo.name} is not at {repo.source} any more: put it back there and close again, "
            "or give the run's work up with `metawsm cleanup`."
        )
        yield _Reason("no_base", message)


def _worktree_reasons(git: Git, repo: Repo, *, require_clean: bool, exempt: Sequence[str]) -> Iterator[_Reason]:
    path = repo.path
    if not os.path.lexists(path):
        return
    git_dir = _git_dir_of_worktree(repo)
    if git_dir is None:
        message = f"{path} is no worktree of {repo.source} any more: remove the folder, or make it one again."
        yield _Reason("wrong_branch", message)
        return
    operation = _operation(git_dir)
    if operation:
        name, way_out = operation
        message = f"A {name} is in progress in {path}: finish it, or end it with `{way_out}`."
        yield _Reason("operation_in_progress", message)
    status = _Status(git, path)
    if status.branch != repo.branch and _branch_in_operation(git_dir) != repo.branch:
        there = "no branch" if status.branch is None else status.branch
        message = f"{path} is on {there} instead of {repo.branch}: switch back with `git switch {repo.branch}`."
        yield _Reason("wrong_branch", message)
    nested = sorted({*status.nested, *_repositories_among_tracked_files(git, path)})
    if nested:
        message = f"{path} holds a git repository of its own, which a merge would leave behind: move it away or add it as a submodule."
        yield _Reason("nested_repository", message, nested)
    if require_clean:
        exempted = exemption(path, exempt)
        changed = [file for file in status.changed if not exempted(file)]
        if changed:
            message = f"{path} has uncommitted work: commit it, or throw it away."
            yield _Reason("uncommitted", message, changed)
        if status.submodules:
            message = f"A submodule in {path} has changes that are not recorded: commit there and then here, or throw them away."
            yield _Reason("submodule", message, status.submodules)


def _history_reasons(git: Git, repo: Repo) -> Iterator[_Reason]:
    branch = git.commit_of(repo.source, branch_ref(repo.branch))
    if branch is None:
        message = (
            f"The branch {repo.branch} is gone from {repo.source}: create it again, or take the ticket out of the run."
        )
        yield _Reason("wrong_branch", message)
    if repo.base == repo.branch:
        yield _Reason(
            "no_base", f"{repo.base} is the workspace's own branch: choose another base branch to merge into."
        )
        return
    base = git.commit_of(repo.source, branch_ref(repo.base))
    if base is None:
        message = f"{repo.source} has no branch {repo.base} to merge into: create it, for example with `git branch`."
        yield _Reason("no_base", message)
    if branch is None or base is None:
        return
    merge_base = git.call(repo.source, "merge-base", base, branch, accept=(0, 1)).text.strip()
    if not merge_base:
        message = f"{repo.branch} and {repo.base} have no common history in {repo.source}"
        way_out = (
            "fetch the rest with `git fetch --unshallow`" if _is_shallow(git, repo.source) else "merge them by hand"
        )
        yield _Reason("unrelated", f"{message}: {way_out}.")
        return
    yield from _submodule_reasons(git, repo, merge_base, branch)


def _submodule_reasons(git: Git, repo: Repo, merge_base: str, branch: str) -> Iterator[_Reason]:
    """Check the submodule commits that the branch brings, because the worktree's own submodules are removed with it."""
    raw = git.fields(
        repo.source,
        *("diff-tree", "-r", "-z", "--raw", "--no-renames", "--ignore-submodules=none", merge_base, branch),
    )
    recorded = {
        path: described.split(" ")[3]
        for described, path in zip(raw[::2], raw[1::2], strict=True)
        if described.split(" ")[1] == _GITLINK
    }
    if not recorded:
        return
    names = _submodule_names(git, repo.source, f"--blob={branch}:.gitmodules")
    unknown = [path for path in recorded if path not in names]
    if unknown:
        message = f"{repo.branch} records a repository that is no submodule, so its files would be lost: remove it, or use `git submodule add`."
        yield _Reason("nested_repository", message, unknown)
    absent = [
        path
        for path, commit in recorded.items()
        if path in names and not _source_has(git, repo.source, path, names[path], commit)
    ]
    if absent:
        path = absent[0]
        message = (
            f"{repo.branch} records a commit of the submodule {shown(path)} that {repo.source} does not have:"
            f" push it and fetch it there, or fetch it from {repo.path}/{shown(path)}."
        )
        yield _Reason("submodule", message, absent)


def _base_checkout_reasons(git: Git, repo: Repo) -> Iterator[_Reason]:
    """Find unfinished operations on the base itself, which could not be finished once it has moved."""
    common = Path(git.common_dir(repo.source))
    for git_dir in (common, *common.glob("worktrees/*")):
        operation = _operation(git_dir)
        if operation and operation[0] != "bisect" and repo.base in {_branch_in_operation(git_dir), _head(git_dir)}:
            name, way_out = operation
            message = f"A {name} of {repo.base} is in progress in a checkout of {repo.source}: finish it, or end it with `{way_out}`."
            yield _Reason("operation_in_progress", message)


def _identity_reasons(git: Git, repo: Repo) -> Iterator[_Reason]:
    for variable in ("GIT_COMMITTER_IDENT", "GIT_AUTHOR_IDENT"):
        if git.call(repo.source, "var", variable, accept=None).exit_code != 0:
            message = f"git does not know who commits in {repo.source}: set `git config user.name` and `user.email`."
            yield _Reason("no_identity", message)
            return


class _Status:
    """What `git status` says of a worktree.

    Attributes:
        branch: the branch that is checked out, or None.
        changed: changed, staged, conflicting and untracked files.
        nested: untracked repositories, and recorded ones that are no submodules but have changed.
        submodules: those whose commit or files differ from the recorded state.
    """

    def __init__(self, git: Git, path: str) -> None:
        self.branch: str | None = None
        self.changed: list[str] = []
        self.nested: list[str] = []
        self.submodules: list[str] = []
        names: dict[str, str] | None = None
        for line in git.fields(
            path,
            *("status", "--porcelain=v2", "-z", "--branch", "--no-renames"),
            *("--untracked-files=all", "--ignore-submodules=none"),
        ):
            kind, _, rest = line.partition(" ")
            if kind == "#":
                name, _, value = rest.partition(" ")
                if name == "branch.head":
                    self.branch = None if value == "(detached)" else value
            elif kind == "?":
                # Among untracked paths, only a repository is listed as a folder.
                (self.nested if rest.endswith("/") else self.changed).append(rest.removesuffix("/"))
            else:
                fields = rest.split(" ", 7 if kind == "1" else 9)
                codes, submodule, file = fields[0], fields[1], fields[-1]
                if submodule.startswith("S"):
                    if names is None:
                        names = _submodule_names(git, path, "--file=.gitmodules")
                    if file not in names:
                        self.nested.append(file)
                        continue
                    if submodule != "S...":
                        self.submodules.append(file)
                if not submodule.startswith("S") or codes[0] != ".":
                    self.changed.append(file)


def _git_dir_of_worktree(repo: Repo) -> Path | None:
    """Return the worktree's own git directory; None when the folder is not a worktree of the source."""
    layout, source = locate(Path(repo.path)), locate(Path(repo.source))
    if layout is None or source is None or layout.common_dir != source.common_dir:
        return None
    return layout.git_dir


def _operation(git_dir: Path) -> tuple[str, str] | None:
    """Return the name of an unfinished operation, and the command that ends it."""
    for name, operation, way_out in _OPERATIONS:
        if (git_dir / name).exists():
            return operation, way_out
    return None


def _branch_in_operation(git_dir: Path) -> str | None:
    """Return the branch that a rebase or bisect, which detaches HEAD, will return to."""
    for name in ("rebase-merge/head-name", "rebase-apply/head-name", "BISECT_START"):
        file = git_dir / name
        if file.is_file():
            return os.fsdecode(file.read_bytes()).strip().removeprefix("refs/heads/")
    return None


def _head(git_dir: Path) -> str | None:
    file = git_dir / "HEAD"
    reference = os.fsdecode(file.read_bytes()).strip() if file.is_file() else ""
    return reference.removeprefix("ref: refs/heads/") if reference.startswith("ref: ") else None


def _repositories_among_tracked_files(git: Git, path: str) -> Iterator[str]:
    """Find folders with tracked files that have become repositories of their own."""
    folders = {
        parent.as_posix() for file in git.fields(path, "ls-files", "-z") for parent in PurePosixPath(file).parents
    }
    yield from (folder for folder in folders - {"."} if os.path.lexists(f"{path}/{folder}/.git"))


def _submodule_names(git: Git, repo: str, where: str) -> dict[str, str]:
    """Return the submodules' names by path, from a `.gitmodules`; empty when there is none."""
    listed = git.call(repo, "config", "-z", where, "--get-regexp", r"^submodule\..*\.path$", accept=None)
    if listed.exit_code != 0:
        return {}
    pairs = (entry.partition("\n") for entry in listed.text.split("\0") if entry)
    return {path: key.removeprefix("submodule.").removesuffix(".path") for key, _, path in pairs}


def _source_has(git: Git, source: str, path: str, name: str, commit: str) -> bool:
    """Return whether the source's own submodule has a commit."""
    common = git.common_dir(source)
    for folder in (f"{common}/modules/{name}", f"{source}/{path}/.git"):
        if os.path.lexists(folder):
            inside = folder.removesuffix("/.git")
            if git.call(inside, "cat-file", "-e", commit, accept=None).exit_code == 0:
                return True
    return False


def _is_shallow(git: Git, source: str) -> bool:
    return git.read(source, "rev-parse", "--is-shallow-repository") == "true"
