"""The state of the work in a worktree: what counts as another state, and when the last change was."""

import os
from pathlib import Path

import pytest
from conftest import git, make_repository

from metawsm_rpc.domain.models import Repo
from metawsm_rpc.hosts.commands import Commands
from metawsm_rpc.hosts.git.worktrees import GitWorktrees
from metawsm_rpc.ports.worktrees import WorkState

LONG_AGO = 1_000_000_000


@pytest.fixture
def worktree(tmp_path: Path) -> Path:
    source = make_repository(tmp_path / "app", {"a.txt": "one\n", "b.txt": "two\n", ".gitignore": "build/\n"})
    git(source, "worktree", "add", "-q", "-b", "task/x", str(tmp_path / "linked"))
    return tmp_path / "linked"


def state(worktree: Path) -> WorkState | None:
    repo = Repo("app", str(worktree), str(worktree.parent / "app"), "task/x", "main", None, None, None, None, None)
    return GitWorktrees(Commands(), str(worktree.parent)).work_state(repo)


def digest(worktree: Path) -> str:
    found = state(worktree)
    assert found is not None
    return found.digest


def test_a_look_changes_nothing_and_finds_the_same(worktree: Path) -> None:
    (worktree / "a.txt").write_text("changed\n")
    index = worktree.parent / "app/.git/worktrees/linked/index"
    before = index.stat().st_mtime_ns
    assert state(worktree) == state(worktree)
    assert index.stat().st_mtime_ns == before


def test_every_change_of_the_work_is_another_state(worktree: Path) -> None:
    seen = [digest(worktree)]

    def look() -> None:
        seen.append(digest(worktree))

    (worktree / "a.txt").write_text("changed\n")
    look()
    (worktree / "a.txt").write_text("changes\n")  # of the same length
    look()
    (worktree / "new").mkdir()
    (worktree / "new" / "c.txt").write_text("new\n")
    look()
    (worktree / "new" / "c.txt").write_text("NEW\n")
    look()
    (worktree / "b.txt").unlink()
    look()
    git(worktree, "add", "-A")
    look()
    git(worktree, "commit", "-qm", "Work")
    look()
    git(worktree, "commit", "-q", "--allow-empty", "-m", "More")
    look()
    assert len(set(seen)) == len(seen)


def test_a_file_that_is_written_again_and_what_is_ignored_are_the_same_work(worktree: Path) -> None:
    (worktree / "a.txt").write_text("changed\n")
    (worktree / "log").write_text("a line\n")
    before = digest(worktree)
    (worktree / "a.txt").write_text("changed\n")
    (worktree / "b.txt").write_text("two\n")
    os.utime(worktree / "log")
    (worktree / "build").mkdir()
    (worktree / "build" / "out").write_text("built\n")
    assert digest(worktree) == before


def test_the_base_may_move_without_moving_the_work(worktree: Path) -> None:
    git(worktree, "branch", "--set-upstream-to=main")
    before = digest(worktree)
    git(worktree.parent / "app", "commit", "-q", "--allow-empty", "-m", "Somebody else's")
    assert digest(worktree) == before


def test_it_moved_when_the_last_file_was_changed_or_the_last_commit_made(worktree: Path) -> None:
    log = worktree.parent / "app/.git/worktrees/linked/logs/HEAD"
    os.utime(log, (LONG_AGO, LONG_AGO))
    assert state(worktree) is not None
    assert getattr(state(worktree), "moved_at") == LONG_AGO  # noqa: B009 - the state may be None to the type checker
    (worktree / "new.txt").write_text("new\n")
    os.utime(worktree / "new.txt", (LONG_AGO + 5, LONG_AGO + 5))
    assert state(worktree) == WorkState(digest(worktree), LONG_AGO + 5)
    git(worktree, "add", "-A")
    git(worktree, "commit", "-qm", "Work")
    moved = state(worktree)
    assert moved is not None
    assert moved.moved_at == log.stat().st_mtime


def test_large_files_links_and_pipes_are_looked_at_without_reading_them(worktree: Path) -> None:
    with (worktree / "large").open("wb") as large:
        large.truncate(1 << 30)
    (worktree / "link").symlink_to("/dev/zero")
    before = digest(worktree)
    with (worktree / "large").open("r+b") as large:
        large.write(b"x")
    assert digest(worktree) != before


def test_names_of_any_bytes_are_taken(worktree: Path) -> None:
    name = os.fsdecode(b'caf\xe9 \n"x')
    (worktree / name).write_text("1")
    before = digest(worktree)
    (worktree / name).write_text("2")
    assert digest(worktree) != before


def test_a_worktree_that_is_gone_has_no_state(worktree: Path) -> None:
    git(worktree.parent / "app", "worktree", "remove", str(worktree))
    assert state(worktree) is None
