"""Observing worktrees, rolling them back, and their branches."""

import shutil

import pytest
from merging_support import Repository, use_private_git
from worktree_support import BRANCH, files, listed, repo, spec, worktrees

from metawsm_rpc.errors import HostError

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


# --- git directories --------------------------------------------------------------------------------


def test_git_directories_are_known_before_and_after(repository, path, git):
    common = repository.path / ".git"
    expected = (str(common / "worktrees" / "app"), str(common))
    assert git.git_directories(repo(repository, path)) == expected
    git.add(spec(repository, path))
    assert git.git_directories(repo(repository, path)) == expected


# --- observing --------------------------------------------------------------------------------------


def test_a_clean_worktree_is_observed(repository, path, git):
    git.add(spec(repository, path))
    assert git.observe(repo(repository, path)) == repo(
        repository, path, head=repository.first, dirty_files=0, ahead=0, behind=0
    )


def test_work_is_counted(repository, path, git):
    git.add(spec(repository, path))
    head = repository.commit("one", {"one.txt": "1"}, path)
    repository.commit("theirs", {"theirs.txt": "1"})
    repository.commit("theirs", {"theirs.txt": "2"})
    names = ["a b", "n\nn", "ü", "folder/deep/file", 'q"']
    repository.write(
        dict.fromkeys(names, "x") | {"changed.txt": "new", ".gitignore": "ignored\n", "ignored": "x"}, path
    )
    repository.git("mv", "kept.txt", "moved.txt", cwd=path)
    (path / "removed.txt").unlink()
    repository.git("config", "status.showUntrackedFiles", "no")
    seen = git.observe(repo(repository, path))
    assert (seen.head, seen.dirty_files, seen.ahead, seen.behind) == (head, len(names) + 4, 1, 2)


@pytest.mark.parametrize("how", ["deleted", "never", "pruned"])
def test_a_worktree_that_is_gone_is_observed_as_gone(repository, path, git, how):
    if how != "never":
        git.add(spec(repository, path))
        shutil.rmtree(repository.path / ".git" / "worktrees" if how == "pruned" else path)
    seen = git.observe(repo(repository, path, head="x", dirty_files=1, ahead=1, behind=1))
    assert seen == repo(repository, path)


def test_a_base_that_is_gone_leaves_the_rest(repository, path, git):
    git.add(spec(repository, path))
    seen = git.observe(repo(repository, path)._replace(base="gone"))
    assert (seen.head, seen.dirty_files, seen.ahead, seen.behind) == (repository.first, 0, None, None)


# --- rolling back -----------------------------------------------------------------------------------


def test_an_add_is_rolled_back_to_nothing(repository, path, git):
    git.add(spec(repository, path))
    repository.write({".git/info/exclude": "node_modules\n.env\n"})
    repository.write({"node_modules/x/y.js": "x", ".env": "x"}, path)
    assert git.roll_back(str(path), str(repository.path), BRANCH, repository.first) == (str(path), True, None, ())
    assert not path.exists()
    assert listed(repository) == []
    assert git.commit_of(str(repository.path), BRANCH) is None
    assert git.roll_back(str(path), str(repository.path), BRANCH, repository.first).removed


def test_a_branch_that_had_work_before_stays_when_its_worktree_is_rolled_back(repository, path, git):
    tip = repository.branch_with({"new.txt": "new"}, BRANCH)
    git.add(spec(repository, path))
    assert git.roll_back(str(path), str(repository.path), BRANCH, repository.first).removed
    assert not path.exists()
    assert repository.commit_of(BRANCH) == tip


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        ("untracked", "uncommitted files, mine.txt"),
        ("changed", "uncommitted files, changed.txt"),
        ("commit", "commits were made in it"),
        ("detached", "not on its branch"),
        ("locked", "locked: mine"),
    ],
)
def test_what_holds_work_is_not_rolled_back(repository, path, git, work, reason):
    git.add(spec(repository, path))
    if work == "untracked":
        repository.write({"mine.txt": "mine"}, path)
    elif work == "changed":
        repository.write({"changed.txt": "mine"}, path)
    elif work == "commit":
        repository.commit("mine", {"mine.txt": "mine"}, path)
    elif work == "detached":
        repository.git("checkout", "-q", "--detach", cwd=path)
    else:
        repository.git("worktree", "lock", "--reason", "mine", str(path))
    kept = git.roll_back(str(path), str(repository.path), BRANCH, repository.first)
    assert not kept.removed
    assert reason in kept.reason
    assert path.exists()
    assert git.commit_of(str(repository.path), BRANCH)


def test_what_is_no_worktree_of_ours_is_not_rolled_back(repository, path, git):
    repository.write({"mine.txt": "mine"}, path)
    kept = git.roll_back(str(path), str(repository.path), BRANCH, repository.first)
    assert not kept.removed
    assert files(path) == {"mine.txt": "mine"}


def test_a_half_made_worktree_is_rolled_back(repository, path, git):
    git.add(spec(repository, path))
    (repository.path / ".git" / "worktrees" / "app" / "locked").write_text("initializing")
    assert git.roll_back(str(path), str(repository.path), BRANCH, repository.first).removed
    assert not path.exists()
    assert git.commit_of(str(repository.path), BRANCH) is None


# --- commits and branches ---------------------------------------------------------------------------


def test_a_branch_is_meant_before_a_tag(repository, git):
    tip = repository.branch_with({"new.txt": "new"}, "both")
    repository.git("tag", "both", repository.first)
    assert git.commit_of(str(repository.path), "both") == tip
    assert git.commit_of(str(repository.path), "refs/tags/both") == repository.first


def test_unmerged_commits_are_counted(repository, git):
    source = str(repository.path)
    repository.branch_with({"new.txt": "new"}, BRANCH)
    assert git.unmerged_commits(source, BRANCH, "main") == 1
    assert git.unmerged_commits(source, "main", BRANCH) == 0
    assert git.unmerged_commits(source, "nope", "main") is None
    with pytest.raises(HostError, match="has no branch nope"):
        git.unmerged_commits(source, BRANCH, "nope")


def test_a_branch_is_deleted_only_when_its_work_is_elsewhere_too(repository, path, git):
    source = str(repository.path)
    repository.branch_with({"new.txt": "new"}, BRANCH)
    assert not git.delete_branch(source, BRANCH, "main")
    assert not git.delete_branch(source, BRANCH, "nope")
    repository.git("merge", "-q", BRANCH)
    git.add(spec(repository, path))
    assert not git.delete_branch(source, BRANCH, "main")
    assert not git.delete_branch(source, "main", "main")
    repository.git("worktree", "remove", str(path))
    assert git.delete_branch(source, BRANCH, "main")
    assert git.commit_of(source, BRANCH) is None
    assert git.delete_branch(source, BRANCH, "main")
