"""Submodules of worktrees: filled from the source without a network, updated, and never lost."""

import shutil

import pytest
from merging_support import Repository, use_private_git
from worktree_support import BRANCH, SNAPSHOTS, files, listed, repo, spec, worktrees

from metawsm_rpc.errors import HostError

LIB = "libs/a lib"
ALLOW = ("-c", "protocol.file.allow=always")


@pytest.fixture(autouse=True)
def _private_git(tmp_path, monkeypatch):
    use_private_git(tmp_path / "home", monkeypatch)


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """An application with a library that has a submodule of its own, made once."""
    folder = tmp_path_factory.mktemp("submodules")
    with pytest.MonkeyPatch.context() as patch:
        use_private_git(folder / "home", patch)
        inner = Repository(folder / "remote" / "inner", {"inner.txt": "inner"})
        library = Repository(folder / "remote" / "lib", {"lib.txt": "lib"})
        library.git(*ALLOW, "submodule", "--quiet", "add", str(inner.path), "inner")
        library.commit("inner", {})
        app = Repository(folder / "app", {"app.txt": "app"})
        app.git(*ALLOW, "submodule", "--quiet", "add", "--name", "the=lib", str(library.path), LIB)
        app.git(*ALLOW, "submodule", "--quiet", "update", "--init", "--recursive")
        app.commit("lib", {})
    return folder


@pytest.fixture
def repository(tmp_path, template):
    shutil.copytree(template / "app", tmp_path / "app", symlinks=True)
    repository = Repository.__new__(Repository)
    repository.path = tmp_path / "app"
    repository.first = repository.commit_of("HEAD~1")
    return repository


@pytest.fixture
def git(tmp_path):
    return worktrees(tmp_path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "wt" / "app"


@pytest.fixture
def offline(repository, template):
    """The remotes are gone: whatever works now works without a network."""
    repository.git("config", "--global", "url./nowhere/.insteadOf", f"{template}/remote/")


ALL = {".gitmodules", "app.txt", f"{LIB}/.gitmodules", f"{LIB}/lib.txt", f"{LIB}/inner/inner.txt"}


@pytest.mark.usefixtures("offline")
def test_what_the_source_has_initialised_is_initialised_without_a_network(repository, path, git, template):
    git.add(spec(repository, path))
    assert set(files(path)) == ALL
    assert repository.status(path) == []
    assert repository.git("config", "remote.origin.url", cwd=path / LIB) == str(template / "remote" / "lib")
    assert repository.git("config", "submodule.the=lib.url") == str(template / "remote" / "lib")
    assert not git.add(spec(repository, path)).created


def test_what_the_source_has_not_initialised_stays_empty(repository, path, git):
    repository.git("submodule", "--quiet", "deinit", "--all")
    git.add(spec(repository, path))
    assert set(files(path)) == {".gitmodules", "app.txt"}


def test_an_add_that_was_cut_off_before_the_submodules_is_finished(repository, path, git):
    repository.git("worktree", "add", "-q", "-b", BRANCH, str(path))
    assert set(files(path)) == {".gitmodules", "app.txt"}
    git.add(spec(repository, path))
    assert set(files(path)) == ALL


def test_a_clone_that_was_cut_off_is_made_anew(repository, path, git):
    git.add(spec(repository, path))
    common = repository.path / ".git"
    (common / "metawsm-worktree-add").write_text(f"{path}\0")
    shutil.rmtree(common / "worktrees" / "app" / "modules" / "the=lib" / "refs")
    (path / LIB / "lib.txt").write_text("half writ")
    git.add(spec(repository, path))
    assert files(path)[f"{LIB}/lib.txt"] == "lib"
    assert repository.status(path) == []


@pytest.mark.usefixtures("offline")
def test_a_commit_that_no_branch_of_the_source_has_is_found_there(repository, path, git):
    lib = repository.path / LIB
    repository.git("checkout", "-q", "--detach", cwd=lib)
    repository.commit("detached", {"lib.txt": "detached"}, lib)
    repository.commit("use it", {})
    start = repository.commit_of("main")
    repository.git("checkout", "-q", "HEAD~1", cwd=lib)
    git.add(spec(repository, path, start=start))
    assert files(path)[f"{LIB}/lib.txt"] == "detached"


def test_a_commit_that_the_source_lacks_comes_from_the_remote(repository, path, git, template, tmp_path):
    repository.git("clone", "-q", str(template / "remote" / "lib"), str(tmp_path / "lib"))
    new = repository.commit("newer", {"lib.txt": "newer"}, tmp_path / "lib")
    repository.git("config", "submodule.the=lib.url", str(tmp_path / "lib"))
    repository.git("update-index", "--cacheinfo", f"160000,{new},{LIB}")
    repository.git("commit", "-q", "-m", "newer")
    with pytest.raises(HostError, match=r"git submodule update in .* failed"):
        git.add(spec(repository, path))  # git refuses a remote that is a local path by itself
    assert not path.exists()
    assert listed(repository) == []
    assert git.commit_of(str(repository.path), BRANCH) is None
    repository.git("config", "--global", "protocol.file.allow", "always")
    git.add(spec(repository, path))
    assert files(path)[f"{LIB}/lib.txt"] == "newer"


def test_a_worktree_with_clean_submodules_is_removed_and_rolled_back(repository, path, git):
    wanted = spec(repository, path)
    git.add(wanted)
    assert git.remove(repo(repository, path), SNAPSHOTS, ()) == (str(path), True, None, ())
    git.add(wanted)
    assert git.roll_back(str(path), str(repository.path), BRANCH, wanted.start).removed
    assert not path.exists()
    assert listed(repository) == []


@pytest.mark.parametrize("place", [LIB, f"{LIB}/inner"])
@pytest.mark.parametrize("work", ["changed", "untracked", "ignored", "commit", "branch", "stash"])
def test_work_in_a_submodule_keeps_the_worktree(repository, path, git, place, work):
    git.add(spec(repository, path))
    lib = path / place
    name = "lib.txt" if place == LIB else "inner.txt"
    if work == "changed":
        repository.write({name: "mine"}, lib)
    elif work == "untracked":
        repository.write({"mine.txt": "mine"}, lib)
    elif work == "ignored":
        (lib / "x.log").touch()
        exclude = repository.path / ".git" / "worktrees" / "app" / "modules" / "the=lib"
        exclude = exclude if place == LIB else exclude / "modules" / "inner"
        (exclude / "info" / "exclude").write_text("*.log\n")
    elif work in {"commit", "branch"}:
        repository.git("switch", "-q", "-c", "mine", cwd=lib)
        repository.commit("mine", {name: "mine"}, lib)
        repository.git("checkout", "-q", "--detach", "HEAD~1" if work == "branch" else "HEAD", cwd=lib)
    else:
        repository.write({name: "mine"}, lib)
        repository.git("stash", "-q", cwd=lib)
    kept = git.remove(repo(repository, path), SNAPSHOTS, ())
    assert not kept.removed
    assert "submodule" in kept.reason
    assert path.exists()
    rolled_back = git.roll_back(str(path), str(repository.path), BRANCH, repository.commit_of("main"))
    assert rolled_back.removed == (work == "ignored")


def test_commits_of_a_submodule_that_is_not_checked_out_any_more_keep_the_worktree(repository, path, git):
    git.add(spec(repository, path))
    repository.commit("mine", {"lib.txt": "mine"}, path / LIB)
    repository.git("submodule", "--quiet", "deinit", "--force", "--all", cwd=path)
    kept = git.remove(repo(repository, path), SNAPSHOTS, ())
    assert kept.reason == "the submodule the=lib has commits that the source repository does not have"


def test_work_of_a_submodule_that_the_source_has_too_may_go(repository, path, git):
    git.add(spec(repository, path))
    new = repository.commit("mine", {"lib.txt": "mine"}, path / LIB)
    repository.commit("use it", {}, path)
    assert not git.remove(repo(repository, path), SNAPSHOTS, ()).removed
    repository.git("fetch", "-q", str(path / LIB), new, cwd=repository.path / LIB)
    assert git.remove(repo(repository, path), SNAPSHOTS, ()).removed


@pytest.mark.parametrize("strategy", ["merge", "rebase"])
@pytest.mark.usefixtures("offline")
def test_sync_brings_submodules_along(repository, path, git, strategy):
    git.add(spec(repository, path))
    repository.commit("mine", {"mine.txt": "mine"}, path)
    repository.commit("newer", {"lib.txt": "newer"}, repository.path / LIB)
    repository.commit("use it", {})
    assert git.sync(repo(repository, path), strategy) == ("updated", ())
    assert files(path)[f"{LIB}/lib.txt"] == "newer"
    assert repository.status(path) == []


def test_a_change_in_a_submodule_is_observed_and_shown(repository, path, git):
    git.add(spec(repository, path))
    repository.git("config", "submodule.the=lib.ignore", "all")
    repository.write({"lib.txt": "mine"}, path / LIB)
    assert git.observe(repo(repository, path)).dirty_files == 1
    assert [change[:2] for change in git.diff(repo(repository, path), patch=True).files] == [(LIB, "M")]
