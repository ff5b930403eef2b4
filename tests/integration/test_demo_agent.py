"""The demonstration's agent: what it reads in a brief, and how it shares a worktree."""

import subprocess
import threading
from pathlib import Path

import pytest
from conftest import git, make_repository

from metawsm_rpc.demo import story
from metawsm_rpc.demo.agent import apply, commit, read_brief

BRIEF = """# SHOP-1: Find books: by title or author

You are the agent `tester` of run `demo`. The ticket is `/shop/ttmp/SHOP-1/index.md`;
read it and what stands beside it in its folder first.

## Repositories

- `api` at `/work space/it`s (branch x)/api` (branch `task/shop-1-demo`, from `main`)
- `web` at `/work space/web` (branch `task/shop-1-demo`, from `main`)
"""


def test_a_brief_says_who_works_on_what_and_where() -> None:
    brief = read_brief(BRIEF)
    assert (brief.agent, brief.ticket, brief.title) == ("tester", "SHOP-1", "Find books: by title or author")
    assert brief.worktrees == {"api": Path("/work space/it`s (branch x)/api"), "web": Path("/work space/web")}


def test_what_is_no_brief_is_refused() -> None:
    with pytest.raises(ValueError, match="no brief"):
        read_brief("# A ticket: about something\n")


def test_only_its_own_files_are_committed(tmp_path: Path) -> None:
    worktree = make_repository(tmp_path / "api", {"a.txt": "a\n", "b.txt": "b\n"})
    (worktree / "a.txt").write_text("mine\n")
    (worktree / "new.txt").write_text("mine\n")
    (worktree / "b.txt").write_text("half of what the oth")
    (worktree / "theirs.txt").write_text("half of what the oth")
    git(worktree, "add", "b.txt", "theirs.txt")
    commit(worktree, ["a.txt", "new.txt"], "Mine", author="coder")
    assert git(worktree, "show", "--format=%an: %s", "--name-only").split("\n") == [
        "coder: Mine",
        "",
        "a.txt",
        "new.txt",
    ]
    assert git(worktree, "status", "--porcelain").split("\n") == ["M  b.txt", "A  theirs.txt"]


def test_a_commit_waits_while_the_other_agent_holds_the_lock(tmp_path: Path) -> None:
    worktree = make_repository(tmp_path / "api")
    (worktree / "new.txt").write_text("mine\n")
    lock = worktree / ".git" / "index.lock"
    lock.touch()
    thread = threading.Thread(target=commit, args=(worktree, ["new.txt"], "Mine"), kwargs={"author": "coder"})
    thread.start()
    thread.join(0.5)
    assert thread.is_alive()
    lock.unlink()
    thread.join(60)
    assert git(worktree, "log", "-1", "--format=%s") == "Mine"


def test_a_commit_is_made_again_when_the_other_agent_was_quicker(tmp_path: Path) -> None:
    worktree = make_repository(tmp_path / "api")
    (worktree / "new.txt").write_text("mine\n")
    hook = worktree / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    theirs = "git update-ref HEAD $(git commit-tree -p HEAD -m Theirs 'HEAD^{tree}')"
    hook.write_text(f"#!/bin/sh\n[ -e '{tmp_path}/once' ] && exit\ntouch '{tmp_path}/once'\n{theirs}\n")
    hook.chmod(0o755)
    commit(worktree, ["new.txt"], "Mine", author="coder")
    assert git(worktree, "log", "-2", "--format=%s").split() == ["Mine", "Theirs"]


def test_what_git_refuses_for_another_reason_is_told(tmp_path: Path) -> None:
    worktree = make_repository(tmp_path / "api")
    with pytest.raises(RuntimeError, match=r"git add failed: .*nowhere"):
        commit(worktree, ["nowhere.txt"], "Mine", author="coder")


@pytest.mark.parametrize("order", [("SHOP-1", "SHOP-2"), ("SHOP-2", "SHOP-1")], ids=" then ".join)
def test_the_work_of_the_tickets_fits_together_in_either_order(tmp_path: Path, order: tuple[str, str]) -> None:
    for name, past in story.PAST.items():
        folder = tmp_path / name
        for made in past:
            for path, text in made.files.items():
                file = folder / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
    for ticket in order:
        for agent in story.AGENTS:
            for change in story.WORK[ticket, agent]:
                for edit in change.edits:
                    apply(edit, tmp_path / change.repo)
    tested = subprocess.run(
        ["python3", "-B", "-m", "unittest"], cwd=tmp_path / "api", capture_output=True, text=True, check=False
    )
    assert "Ran 5 tests" in tested.stderr, tested.stderr
    assert tested.returncode == 0, tested.stderr


def test_an_edit_whose_lines_are_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\none\n")
    with pytest.raises(ValueError, match="exactly once"):
        apply(story.Edit("a.txt", "one\n", "two\n"), tmp_path)


def test_each_agent_changes_both_repositories_and_waits_only_for_what_is_made() -> None:
    made = {(ticket, change.repo, change.message) for (ticket, _), changes in story.WORK.items() for change in changes}
    for (ticket, _), changes in story.WORK.items():
        assert {change.repo for change in changes} == set(story.PAST)
        for change in changes:
            assert change.waits_for is None or (ticket, change.repo, change.waits_for) in made
