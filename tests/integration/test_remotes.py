"""Fetching a base from its remote, and pushing it there."""

import subprocess

import pytest
from merging_support import Repository, use_private_git
from worktree_support import worktrees

from metawsm_rpc.errors import CommandError, HostError


@pytest.fixture(autouse=True)
def _private_git(tmp_path, monkeypatch):
    use_private_git(tmp_path / "home", monkeypatch)


@pytest.fixture
def upstream(tmp_path):
    return Repository(tmp_path / "upstream")


@pytest.fixture
def store(tmp_path, upstream):
    upstream.git("clone", "-q", "--bare", ".", str(tmp_path / "store.git"))
    upstream.git("remote", "add", "origin", str(tmp_path / "store.git"))
    return tmp_path / "store.git"


@pytest.fixture
def clone(tmp_path, store):
    subprocess.run(("git", "clone", "-q", str(store), str(tmp_path / "clone")), check=True)
    repository = Repository.__new__(Repository)
    repository.path = tmp_path / "clone"
    return repository


@pytest.fixture
def git(tmp_path):
    return worktrees(tmp_path)


def publish(upstream, name="theirs.txt"):
    commit = upstream.commit("theirs", {name: "theirs"})
    upstream.git("push", "-q", "origin", "main")
    return commit


def test_a_branch_that_nobody_has_checked_out_is_fast_forwarded(upstream, clone, git):
    new = publish(upstream)
    clone.git("switch", "-q", "-c", "other")
    assert git.fetch(str(clone.path), "main") == new
    assert clone.commit_of("refs/heads/main") == clone.commit_of("origin/main") == new


@pytest.mark.parametrize("linked", [False, True])
def test_a_checkout_does_not_change_under_a_person(upstream, clone, git, linked):
    old = clone.commit_of("HEAD")
    if linked:
        clone.git("switch", "-q", "-c", "other")
        clone.git("worktree", "add", "-q", str(clone.path.parent / "linked"), "main")
    new = publish(upstream)
    assert git.fetch(str(clone.path), "main") == new  # where new work begins
    assert clone.commit_of("refs/heads/main") == old
    assert clone.commit_of("origin/main") == new
    assert clone.status() == []


def test_a_branch_with_commits_of_its_own_stays(upstream, clone, git):
    mine = clone.commit("mine", {"mine.txt": "mine"})
    clone.git("switch", "-q", "-c", "other")
    new = publish(upstream)
    assert git.fetch(str(clone.path), "main") == mine
    assert clone.commit_of("refs/heads/main") == mine
    assert clone.commit_of("origin/main") == new


def test_a_branch_follows_the_one_that_it_is_configured_to(upstream, clone, git):
    upstream.git("switch", "-q", "-c", "trunk")
    new = upstream.commit("trunk", {"trunk.txt": "x"})
    upstream.git("push", "-q", "origin", "trunk")
    clone.git("remote", "rename", "origin", "store")
    clone.git("branch", "mine", "main")
    clone.git("config", "branch.mine.remote", "store")
    clone.git("config", "branch.mine.merge", "refs/heads/trunk")
    git.fetch(str(clone.path), "mine")
    assert clone.commit_of("refs/heads/mine") == new


def test_what_has_no_remote_is_left_alone(upstream, clone, git, tmp_path):
    alone = Repository(tmp_path / "alone")
    assert git.fetch(str(alone.path), "main") == alone.first
    clone.git("branch", "local")
    here = clone.commit_of("local")
    assert git.fetch(str(clone.path), "local") == here
    assert git.fetch(str(clone.path), "nope") is None
    clone.git("branch", "--set-upstream-to=main", "local")
    assert git.fetch(str(clone.path), "local") == here
    assert alone.commit_of("main") == alone.first


def test_a_remote_that_cannot_be_reached_is_an_error(clone, git, tmp_path):
    clone.git("remote", "set-url", "origin", str(tmp_path / "nowhere"))
    with pytest.raises(CommandError, match=r"git fetch in .* failed: .*nowhere"):
        git.fetch(str(clone.path), "main")


def test_a_branch_is_pushed_to_its_remote(store, clone, git):
    new = clone.commit("mine", {"mine.txt": "mine"})
    git.push(str(clone.path), "main")
    assert git.commit_of(str(store), "main") == new


def test_a_branch_is_pushed_to_the_one_that_it_follows(upstream, store, clone, git):
    upstream.git("push", "-q", "origin", "main:trunk")
    clone.git("fetch", "-q")
    clone.git("switch", "-q", "-c", "mine", "--track", "origin/trunk")
    new = clone.commit("mine", {"mine.txt": "mine"})
    git.push(str(clone.path), "mine")
    assert git.commit_of(str(store), "trunk") == new
    assert git.commit_of(str(store), "mine") is None


def test_a_push_overwrites_nothing(upstream, store, clone, git):
    new = publish(upstream)
    clone.commit("mine", {"mine.txt": "mine"})
    with pytest.raises(CommandError, match="git push in"):
        git.push(str(clone.path), "main")
    assert git.commit_of(str(store), "main") == new


def test_a_push_without_a_remote_says_how_to_add_one(tmp_path, git):
    alone = Repository(tmp_path / "alone")
    with pytest.raises(HostError, match="has no remote to push to: add one with `git remote add"):
        git.push(str(alone.path), "main")
