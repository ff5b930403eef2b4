"""Runs of two repositories that are ready to be closed, for the tests of closing."""

from pathlib import Path
from typing import Any

import pytest
from conftest import Root, git
from engine_support import RUN, Runs, sessions, worktrees

from metawsm_rpc.domain.models import Blocked
from metawsm_rpc.errors import CloseBlockedError

BOTH = ["app", "lib"]


def policy(root: Root, script: str = "exit 0", **sections: Any) -> None:
    root.policy(agents=[Root.agent("worker", script)], execution={"stop_grace_seconds": 1}, **sections)


def commit(folder: Path, name: str = "README.md", text: str = "changed\n") -> str:
    (folder / name).write_text(text)
    git(folder, "add", "-A", "-f", name)
    git(folder, "commit", "-qm", f"Change {name}")
    return git(folder, "rev-parse", "HEAD")


def completed(runs: Runs, *tickets: str, repos: Any = None, work: bool = True, **options: Any) -> None:
    """Bring a run to its end, with a file of its own for each ticket in each repository."""
    runs.start(*tickets, repos=repos or BOTH, **options)
    run_id = options.get("run_id", RUN)
    assert runs.settled(run_id).status == "completed"
    for workspace in runs.store.workspaces(run_id) if work else ():
        for repo in workspace.repos:
            commit(Path(repo.path), f"{workspace.ticket}.txt", f"{repo.name}\n")


def picture(root: Root, *repos: str) -> dict[str, str]:
    """Return everything of repositories that a close could change."""
    return {
        f"{repo} {what}": git(root.path / repo, *asked)
        for repo in repos or BOTH
        for what, asked in {
            "refs": ("for-each-ref",),
            "files": ("status", "--porcelain", "--ignored", "--untracked-files=all"),
            "tree": ("write-tree",),
            "worktrees": ("worktree", "list", "--porcelain"),
        }.items()
    }


def blocked_by(runs: Runs) -> tuple[Blocked, ...]:
    with pytest.raises(CloseBlockedError) as caught:
        runs.verbs.close(RUN)
    details: tuple[Blocked, ...] = caught.value.details
    return details


def assert_merged(root: Root, *tickets: str, repos: Any = None) -> None:
    """Check that each repository has the work of each ticket once, its checkout shows it, and nothing lies about."""
    for repo in repos or BOTH:
        path = root.path / repo
        for ticket in tickets:
            assert git(path, "show", f"main:{ticket}.txt") == repo
            assert (path / f"{ticket}.txt").read_text() == f"{repo}\n"
        merges = git(path, "log", "--merges", "--format=%s", "main").splitlines()
        assert len(merges) == len(set(merges)) == len(tickets)
        assert git(path, "status", "--porcelain") == ""
        assert git(path, "for-each-ref", "refs/metawsm/close") == ""
        assert list((path / ".git").rglob("*.lock")) == []
        assert not (path / ".git" / "metawsm-move").exists()
        assert worktrees(path) == []


def assert_closed(runs: Runs, *tickets: str) -> None:
    assert runs.run().status == "closed"
    assert runs.store.close_journal(RUN) is None
    assert sessions() == []
    found = {ticket.ticket: ticket for ticket in runs.verbs.tickets().tickets}
    for ticket in tickets:
        assert found[ticket].status == "complete"
        changelog = (Path(found[ticket].path).parent / "changelog.md").read_text()
        assert changelog.count(f"Closed by metawsm, run {RUN}.") == 1


def close(runs: Runs) -> None:
    runs.verbs.close(RUN)
