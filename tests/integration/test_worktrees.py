"""Worktrees are created exactly once, whatever exists already and whatever fails."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from merging_support import Repository, use_private_git
from worktree_support import BRANCH, files, listed, refs, spec, worktrees

from metawsm_rpc.errors import CommandError, HostError

CONTENT = {"kept.txt": "kept\n", "changed.txt": "old\n", "removed.txt": "gone\n"}


@pytest.fixture(autouse=True)
def _private_git(tmp_path, monkeypatch):
    use_private_git(tmp_path / "home", monkeypatch)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "app", CONTENT)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "workspaces" / "2026-01-02" / "t-1" / "app"


@pytest.fixture
def git(tmp_path):
    return worktrees(tmp_path)


# --- making -----------------------------------------------------------------------------------------


def test_a_worktree_is_made_on_a_new_branch(repository, path, git):
    made = git.add(spec(repository, path))
    assert made == (str(path), BRANCH, repository.first, True, True)
    assert files(path) == CONTENT
    assert repository.git("status", "--porcelain", "--branch", cwd=path) == f"## {BRANCH}"


def test_a_worktree_that_is_there_is_answered_and_not_touched(repository, path, git):
    git.add(spec(repository, path))
    head = repository.commit("work", {"new.txt": "new"}, path)
    repository.write({"dirty.txt": "dirty"}, path)
    assert git.add(spec(repository, path)) == (str(path), BRANCH, head, False, False)
    assert (path / "dirty.txt").read_text() == "dirty"
    assert listed(repository) == [str(path)]


def test_a_worktree_in_the_middle_of_a_rebase_is_still_on_its_branch(repository, path, git):
    git.add(spec(repository, path))
    repository.commit("ours", {"changed.txt": "ours\n"}, path)
    repository.commit("theirs", {"changed.txt": "theirs\n"})
    assert repository.git("rebase", "main", cwd=path, check=False) == "1"
    assert not git.add(spec(repository, path)).created


@pytest.mark.parametrize(
    ("name", "branch"),
    [
        ("a b", "task/größe"),
        ("q'u\"o", "task/q'uo"),
        ("$(touch x)", "task/$(touch-x)"),
        ("n\nl", "task/#x;y%z"),
        ("-dash", "task/-dash"),
        ("ünï", "t"),
    ],
)
def test_any_name_is_only_a_name(tmp_path, git, name, branch):
    repository = Repository(tmp_path / name, {name: name})
    path = tmp_path / "workspaces" / name
    made = git.add(spec(repository, path, branch))
    assert (made.path, made.branch) == (str(path), branch)
    assert files(path) == {name: name}
    assert not git.add(spec(repository, path, branch)).created
    assert git.roll_back(str(path), str(repository.path), branch, repository.first).removed
    assert not path.exists()
    assert git.commit_of(str(repository.path), branch) is None
    assert not (tmp_path / "x").exists()


def test_a_branch_that_looks_like_an_option_is_refused(repository, path, git):
    with pytest.raises(HostError, match="'-f' cannot be a branch"):
        git.add(spec(repository, path, "-f"))
    assert not path.exists()


def test_a_branch_can_begin_at_anything_that_names_a_commit(repository, path, git):
    repository.git("tag", "v1")
    assert git.add(spec(repository, path, start="v1")).head == repository.first
    with pytest.raises(HostError, match="has no commit 'nope' where"):
        git.add(spec(repository, path.with_name("other"), "other", start="nope"))


def test_a_bare_repository_and_a_linked_worktree_are_sources_too(repository, path, git, tmp_path):
    repository.git("clone", "-q", "--bare", ".", str(tmp_path / "bare"))
    linked = repository.worktree("linked")
    for number, source in enumerate((tmp_path / "bare", linked)):
        made = git.add(spec(repository, path.with_name(str(number)))._replace(source=str(source)))
        assert files(Path(made.path)) == CONTENT


def test_what_is_no_repository_is_refused(repository, path, git, tmp_path):
    with pytest.raises(HostError, match="is not the top of a git repository"):
        git.add(spec(repository, path)._replace(source=str(tmp_path)))


# --- what was there before --------------------------------------------------------------------------


def test_a_branch_with_work_is_checked_out_as_it_stands(repository, path, git):
    tip = repository.branch_with({"new.txt": "new"}, BRANCH)
    assert git.add(spec(repository, path)) == (str(path), BRANCH, tip, True, False)
    assert (path / "new.txt").exists()


def test_a_tag_of_the_same_name_does_not_confuse(repository, path, git):
    tip = repository.branch_with({"new.txt": "new"}, BRANCH)
    repository.git("tag", BRANCH, repository.first)
    assert git.add(spec(repository, path)).head == tip
    assert repository.git("symbolic-ref", "HEAD", cwd=path) == f"refs/heads/{BRANCH}"
    assert repository.git("rev-parse", "HEAD", cwd=path) == tip


def test_an_empty_folder_is_used(repository, path, git):
    path.mkdir(parents=True)
    assert git.add(spec(repository, path)).created


@pytest.mark.parametrize("content", ["file", "folder", "link", "repository", "copy"])
def test_what_holds_something_else_is_refused_and_left_alone(repository, path, git, tmp_path, content):
    path.parent.mkdir(parents=True)
    if content == "file":
        path.write_text("mine")
    elif content == "folder":
        repository.write(CONTENT, path)
    elif content == "link":
        (tmp_path / "elsewhere").mkdir()
        path.symlink_to(tmp_path / "elsewhere")
    elif content == "repository":
        Repository(path, {"mine": "mine"})
    else:
        shutil.copytree(repository.worktree("other"), path)
    before = files(path.parent)
    with pytest.raises(HostError, match=f"{path} is (in the way|not empty)|{path} is not empty"):
        git.add(spec(repository, path))
    assert files(path.parent) == before
    assert git.commit_of(str(repository.path), BRANCH) is None


def test_a_worktree_of_another_branch_is_refused(repository, path, git):
    git.add(spec(repository, path, "other"))
    with pytest.raises(HostError, match=f"The worktree at {path} is on other and not on {BRANCH}"):
        git.add(spec(repository, path))


def test_a_branch_that_is_checked_out_elsewhere_is_refused_with_the_place(repository, path, git):
    elsewhere = repository.worktree(BRANCH)
    with pytest.raises(HostError, match=f"{BRANCH} is checked out at {elsewhere}"):
        git.add(spec(repository, path))
    with pytest.raises(HostError, match=f"main is checked out at {repository.path}"):
        git.add(spec(repository, path, "main"))
    assert not path.parent.exists()


def test_a_branch_that_cannot_be_made_is_refused_without_a_trace(repository, path, git):
    repository.git("branch", "task")
    with pytest.raises(CommandError, match="'refs/heads/task' exists; cannot create"):
        git.add(spec(repository, path))
    assert not path.parent.exists()


@pytest.mark.parametrize("moved", [False, True], ids=["same-path", "other-path"])
def test_a_worktree_whose_folder_was_deleted_is_made_again_from_its_branch(repository, path, git, moved):
    git.add(spec(repository, path))
    tip = repository.commit("work", {"new.txt": "new"}, path)
    shutil.rmtree(path)
    again = path.with_name("again") if moved else path
    assert git.add(spec(repository, again)) == (str(again), BRANCH, tip, True, False)
    assert listed(repository) == [str(again)]


def test_a_commit_that_only_a_deleted_worktree_had_is_kept(repository, path, git):
    git.add(spec(repository, path, "other"))
    repository.git("checkout", "-q", "--detach", cwd=path)
    lost = repository.commit("work", {"new.txt": "new"}, path)
    shutil.rmtree(path)
    assert git.add(spec(repository, path)).created
    assert lost in refs(repository).values()


def test_a_locked_worktree_that_is_gone_is_left_alone(repository, path, git):
    git.add(spec(repository, path))
    repository.git("worktree", "lock", "--reason", "on a stick", str(path))
    shutil.rmtree(path)
    with pytest.raises(HostError, match=f"worktree at {path} is gone but locked"):
        git.add(spec(repository, path))
    assert listed(repository) == [str(path)]


# --- failures ---------------------------------------------------------------------------------------


def test_a_place_that_cannot_be_written_leaves_nothing_behind(repository, git):
    with pytest.raises(HostError, match=r"git worktree add in .* failed"):
        git.add(spec(repository, Path("/proc/self/workspaces/app")))
    assert git.commit_of(str(repository.path), BRANCH) is None
    assert listed(repository) == []


def test_a_full_disk_leaves_nothing_behind(repository, path, git):
    """A filter that fails in the middle of the checkout is what a full disk looks like to git."""
    repository.commit("filter", {".gitattributes": "removed.txt filter=full\n"})
    repository.git("config", "filter.full.smudge", "echo no space left >&2; exit 1")
    repository.git("config", "filter.full.required", "true")
    with pytest.raises(
        CommandError, match=r"git worktree add in .* failed: .*; removed.txt: smudge filter full failed"
    ):
        git.add(spec(repository, path))
    assert not path.parents[2].exists()
    assert git.commit_of(str(repository.path), BRANCH) is None
    assert listed(repository) == []
    repository.git("config", "filter.full.smudge", "cat")
    assert git.add(spec(repository, path)).created


def test_a_failure_keeps_a_branch_that_was_there(repository, path, git):
    tip = repository.branch_with({"new.txt": "new"}, BRANCH)
    hook(repository, "echo this hook does not like it >&2; exit 3")
    with pytest.raises(CommandError, match="failed: this hook does not like it"):
        git.add(spec(repository, path))
    assert not path.exists()
    assert listed(repository) == []
    assert repository.commit_of(BRANCH) == tip


def hook(repository, script):
    file = repository.path / ".git" / "hooks" / "post-checkout"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def test_the_hook_of_the_repository_runs_and_may_leave_something_running(repository, path, git):
    hook(repository, "echo ran >hook.txt; sleep 30 & echo $! >hook.pid")
    started = time.monotonic()
    git.add(spec(repository, path))
    git.add(spec(repository, path.with_name("second"), "second"))
    assert time.monotonic() - started < 25
    for place in (path, path.with_name("second")):
        assert (place / "hook.txt").exists()
        os.kill(int((place / "hook.pid").read_text()), signal.SIGKILL)


# --- sparse and shallow -----------------------------------------------------------------------------


def test_the_sparse_patterns_of_the_source_hold_in_the_worktree(tmp_path, path, git):
    repository = Repository(tmp_path / "app", {"in/a": "a", "out/b": "b", "top": "t"})
    repository.git("sparse-checkout", "set", "in")
    git.add(spec(repository, path))
    assert sorted(files(path)) == ["in/a", "top"]
    assert repository.git("sparse-checkout", "list", cwd=path) == "in"
    assert repository.status(path) == []


def test_a_shallow_source_stays_shallow(repository, tmp_path, path, git):
    repository.commit("second", {"new.txt": "new"})
    shallow = tmp_path / "shallow"
    repository.git("clone", "-q", "--depth", "1", repository.path.as_uri(), str(shallow))
    git.add(spec(repository, path)._replace(source=str(shallow)))
    assert repository.git("rev-list", "--count", "HEAD", cwd=path) == "1"
    assert repository.git("rev-parse", "--is-shallow-repository", cwd=path) == "true"
