"""Sync: the base comes into a worktree's branch, and what is in the way stays as it is."""

import pytest
from merging_support import Repository, use_private_git
from worktree_support import BRANCH, files, repo, spec, worktrees

from metawsm_rpc.errors import HostError

STRATEGIES = pytest.mark.parametrize("strategy", ["merge", "rebase"])


@pytest.fixture(autouse=True)
def _private_git(tmp_path, monkeypatch):
    use_private_git(tmp_path / "home", monkeypatch)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "app", {"kept.txt": "kept\n", "changed.txt": "old\n", ".gitignore": ".env\nbuild\n"})


@pytest.fixture
def git(tmp_path):
    return worktrees(tmp_path)


@pytest.fixture
def path(tmp_path, repository, git):
    git.add(spec(repository, tmp_path / "wt" / "app"))
    return tmp_path / "wt" / "app"


def sync(git, repository, path, strategy):
    return git.sync(repo(repository, path), strategy)


@STRATEGIES
def test_a_base_that_has_nothing_new_changes_nothing(repository, path, git, strategy):
    head = repository.commit("mine", {"mine.txt": "mine"}, path)
    assert sync(git, repository, path, strategy) == ("up-to-date", ())
    assert repository.git("rev-parse", "HEAD", cwd=path) == head


@STRATEGIES
def test_the_base_comes_into_the_branch(repository, path, git, strategy):
    repository.commit("mine", {"mine.txt": "mine"}, path)
    base = repository.commit("theirs", {"changed.txt": "theirs\n"})
    assert sync(git, repository, path, strategy) == ("updated", ())
    assert files(path)["changed.txt"] == "theirs\n"
    assert files(path)["mine.txt"] == "mine"
    assert repository.git("rev-parse", "--abbrev-ref", "HEAD", cwd=path) == BRANCH
    subjects = repository.git("log", "--first-parent", "--format=%s", f"{repository.first}..", cwd=path).split("\n")
    assert subjects == {"merge": [f"Merge branch 'main' into {BRANCH}", "mine"], "rebase": ["mine", "theirs"]}[strategy]
    assert repository.commit_of("main") == base
    assert sync(git, repository, path, strategy) == ("up-to-date", ())


@STRATEGIES
def test_a_branch_without_commits_of_its_own_follows_the_base(repository, path, git, strategy):
    base = repository.commit("theirs", {"changed.txt": "theirs\n"})
    assert sync(git, repository, path, strategy) == ("updated", ())
    assert repository.git("rev-parse", "HEAD", cwd=path) == base


@STRATEGIES
def test_a_conflict_stays_in_the_worktree_and_is_listed_again(repository, path, git, strategy):
    repository.commit("mine", {"changed.txt": "mine\n", "größe x": "1"}, path)
    repository.commit("theirs", {"changed.txt": "theirs\n", "größe x": "2"})
    for _ in range(2):
        assert sync(git, repository, path, strategy) == ("conflict", ("changed.txt", "größe x"))
    assert "<<<<<<<" in files(path)["changed.txt"]
    repository.write({"changed.txt": "both\n", "größe x": "3"}, path)
    repository.git("add", "--all", cwd=path)
    assert sync(git, repository, path, strategy) == ("conflict", ())
    repository.git("-c", "core.editor=true", strategy, "--continue", cwd=path)
    assert sync(git, repository, path, strategy) == ("up-to-date", ())


@STRATEGIES
@pytest.mark.parametrize("name", ["changed.txt", "new.txt"])
def test_a_dirty_worktree_is_refused(repository, path, git, strategy, name):
    repository.commit("theirs", {"kept.txt": "theirs\n"})
    repository.write({name: "dirty"}, path)
    with pytest.raises(HostError, match=f"has uncommitted files, such as {name}: commit or remove"):
        sync(git, repository, path, strategy)
    assert files(path)[name] == "dirty"


@STRATEGIES
@pytest.mark.parametrize(
    ("mine", "theirs"), [(".env", ".env"), ("build/out", "build"), ("build", "build/deep/new"), ("build/a", "build/a")]
)
def test_ignored_files_in_the_way_are_not_overwritten(repository, path, git, strategy, mine, theirs):
    repository.commit("mine", {"mine.txt": "mine"}, path)
    repository.write({mine: "secret"}, path)
    repository.commit("theirs", {theirs: "theirs"})
    with pytest.raises(HostError, match="would overwrite ignored ones"):
        sync(git, repository, path, strategy)
    assert (path / mine).read_text() == "secret"


@STRATEGIES
def test_another_branch_in_the_worktree_is_refused(repository, path, git, strategy):
    repository.git("switch", "-q", "-c", "else", cwd=path)
    with pytest.raises(HostError, match=f"is not on its branch {BRANCH}"):
        sync(git, repository, path, strategy)


@STRATEGIES
def test_a_base_or_worktree_that_is_gone_is_told(repository, path, git, strategy, tmp_path):
    with pytest.raises(HostError, match="has no branch gone to sync with"):
        git.sync(repo(repository, path)._replace(base="gone"), strategy)
    with pytest.raises(HostError, match="There is no worktree at"):
        sync(git, repository, tmp_path / "nowhere", strategy)


def test_a_merge_that_a_hook_refuses_is_taken_back(repository, path, git):
    head = repository.commit("mine", {"mine.txt": "mine"}, path)
    repository.commit("theirs", {"changed.txt": "theirs\n"})
    hook = repository.path / ".git" / "hooks" / "commit-msg"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no such message >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(HostError, match="was taken back because git would not finish it: no such message"):
        sync(git, repository, path, "merge")
    assert repository.git("rev-parse", "HEAD", cwd=path) == head
    assert repository.status(path) == []
    hook.unlink()
    assert sync(git, repository, path, "merge") == ("updated", ())


@STRATEGIES
def test_the_persons_configuration_does_not_make_it_another_operation(repository, path, git, strategy):
    for setting in ("merge.ff=only", "rebase.autoStash=true", "core.editor=false", "sequence.editor=false"):
        repository.git("config", *setting.split("="))
    repository.commit("mine", {"mine.txt": "mine"}, path)
    repository.commit("theirs", {"changed.txt": "theirs\n"})
    assert sync(git, repository, path, strategy).result == "updated"


def test_unrelated_histories_are_told(repository, path, git):
    repository.git("checkout", "-q", "--orphan", "fresh")
    repository.commit("fresh", {"fresh.txt": "fresh"})
    with pytest.raises(HostError, match=f"{BRANCH} and fresh of app have no history in common"):
        git.sync(repo(repository, path)._replace(base="fresh"), "merge")
