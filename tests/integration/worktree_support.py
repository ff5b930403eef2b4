"""A root with repositories, and the worktrees that a run would make there."""

import os
from pathlib import Path

from merging_support import Repository

from metawsm_rpc.domain.models import Repo
from metawsm_rpc.hosts.commands import Commands
from metawsm_rpc.hosts.git.worktrees import GitWorktrees
from metawsm_rpc.ports.worktrees import WorktreeSpec

BRANCH = "task/t-1"
SNAPSHOTS = "refs/metawsm/snapshots/run1"


def worktrees(root: Path, **options) -> GitWorktrees:
    return GitWorktrees(Commands(timeout=60), str(root), **options)


def spec(repository: Repository, path: Path, branch: str = BRANCH, start: str | None = None) -> WorktreeSpec:
    return WorktreeSpec(str(repository.path), str(path), branch, start or repository.commit_of("main"))


def repo(repository: Repository, path: Path, branch: str = BRANCH, **fields) -> Repo:
    facts = dict.fromkeys(("head", "dirty_files", "ahead", "behind"))
    return Repo(
        name=repository.path.name,
        path=str(path),
        source=str(repository.path),
        branch=branch,
        base="main",
        base_commit=repository.first,
        **(facts | fields),
    )


def listed(repository: Repository) -> list[str]:
    """Return the folders of the linked worktrees that git lists."""
    lines = repository.git("worktree", "list", "--porcelain").splitlines()
    return [line.removeprefix("worktree ") for line in lines if line.startswith("worktree ")][1:]


def refs(repository: Repository, below: str = "refs/metawsm") -> dict[str, str]:
    lines = repository.git("for-each-ref", "--format=%(refname) %(objectname)", below).splitlines()
    return dict(line.split(" ") for line in lines)


def files(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): file.read_text()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and ".git" not in file.relative_to(folder).parts
    }


def change_at_once(repository: Repository, path: Path, name: str, text: str) -> None:
    """Change a file, to text of the same length, so soon after the checkout that its time does not tell.

    Git notices because the index is not newer than the file either ("racy git").
    """
    repository.git("config", "core.trustctime", "false")
    file = path / name
    index = repository.path / ".git" / "worktrees" / path.name / "index"
    past = (1_700_000_000, 1_700_000_000)
    assert len(text) == file.stat().st_size
    os.utime(file, past)
    repository.git("update-index", "--refresh", cwd=path)
    file.write_text(text)
    os.utime(file, past)
    os.utime(index, past)
