"""Git as metawsm calls it: its environment, its answers, its version."""

import os
import subprocess

import pytest
from merging_support import Repository, use_private_git

from metawsm_rpc.errors import CommandError, DependencyMissingError
from metawsm_rpc.hosts.commands import Commands
from metawsm_rpc.hosts.git.git import Git, git_environment, shown


@pytest.fixture(autouse=True)
def _private_git(tmp_path, monkeypatch):
    use_private_git(tmp_path / "home", monkeypatch)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "app")


@pytest.fixture
def git():
    return Git(Commands(timeout=60))


# --- environment ------------------------------------------------------------------------------------


def test_what_redirects_git_is_scrubbed_and_nothing_prompts():
    inherited = {
        "GIT_DIR": "/x",
        "GIT_INDEX_FILE": "/y",
        "GIT_AUTHOR_NAME": "Eve",
        "GIT_ASKPASS": "z",
        "GIT_TRACE": "1",
    }
    kept = {"HOME": "/h", "PATH": "/p", "GIT_CONFIG_GLOBAL": "/g", "GIT_SSH_COMMAND": "ssh -i key"}
    assert git_environment(inherited | kept) == kept | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def test_a_git_that_called_us_does_not_redirect_ours(repository, tmp_path, monkeypatch):
    other = Repository(tmp_path / "other", {"x": "other\n"})
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.path))
    assert Git(Commands()).commit_of(str(repository.path), "HEAD") == repository.first


def test_looking_runs_no_monitor_and_writes_nothing(repository, git, tmp_path):
    monitor = tmp_path / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    monitor.chmod(0o755)
    repository.git("config", "core.fsmonitor", str(monitor))
    os.utime(repository.path / "kept.txt", (1, 1))
    before = (repository.path / ".git" / "index").read_bytes()
    assert git.read(str(repository.path), "status", "--porcelain") == ""
    assert (repository.path / ".git" / "index").read_bytes() == before
    assert not (tmp_path / "ran").exists()


# --- answers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["-x", "--help", "nope", "a b", "$(touch x)", "", "^HEAD", "a..b", "HEAD~9", "0" * 40])
def test_a_revision_that_is_none_has_no_commit(repository, git, name):
    assert git.commit_of(str(repository.path), name) is None


def test_a_revision_is_answered_with_its_commit(repository, git):
    repository.git("tag", "-a", "v1", "-m", "x")
    for name in ("HEAD", "main", "refs/heads/main", "v1", repository.first[:8]):
        assert git.commit_of(str(repository.path), name) == repository.first


def test_what_is_no_repository_is_an_error_that_names_it(git, tmp_path):
    with pytest.raises(CommandError, match=f"git rev-parse in {tmp_path} failed: not a git repository"):
        git.commit_of(str(tmp_path), "HEAD")
    with pytest.raises(CommandError, match=r"^The folder /no/such is not there"):
        git.read("/no/such", "status")


def test_a_folder_that_is_gone_and_a_worktree_without_its_repository_are_said_to_be_that(repository, git, tmp_path):
    worktree = repository.worktree("side")
    repository.path.rename(tmp_path / "elsewhere")
    with pytest.raises(CommandError, match=f"^The folder {repository.path} is not there; put it back where it was.$"):
        git.read(str(repository.path), "status")
    with pytest.raises(CommandError, match=f"^The repository of the worktree {worktree} is gone "):
        git.read(str(worktree), "status")


def test_fields_keep_every_character_of_a_name(repository, git):
    names = ["a b", 'q"q', "n\nn", "t\tt", "ü", "-x", "$(touch x)", "b\udcff"]
    for name in names:
        (repository.path / name).write_text("x")
    found = git.fields(str(repository.path), "ls-files", "--others", "-z")
    assert sorted(found) == sorted(names)
    assert git.fields(str(repository.path), "diff", "-z", "--name-only") == []


def test_a_name_that_is_not_text_is_shown_with_its_bytes():
    assert shown("b\udcff ü") == r"b\xff ü"


def test_yes_and_no_are_told_from_an_error(repository, git):
    path = str(repository.path)
    assert git.ok(path, "merge-base", "--is-ancestor", "HEAD", "HEAD")
    assert not git.ok(path, "diff", "--quiet", "HEAD", git.run(path, "hash-object", "-t", "tree", "-w", "--stdin"))
    with pytest.raises(CommandError):
        git.ok(path, "merge-base", "--is-ancestor", "HEAD", "nope")


def test_a_repository_is_known_by_its_common_directory(repository, git):
    worktree = repository.worktree("t")
    assert git.common_dir(str(worktree)) == git.common_dir(str(repository.path)) == str(repository.path / ".git")
    assert git.git_dir(str(worktree)) == str(repository.path / ".git" / "worktrees" / worktree.name)


# --- version ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("git version 2.39.5", "2.39.5"),
        ("git version 2.39.5 (Apple Git-154)", "2.39.5"),
        ("git version 2.50.0-rc1", "2.50.0"),
        ("git version 2.40.1.windows.1", "2.40.1"),
        ("git version 3.0", "3.0"),
    ],
)
def test_versions_of_all_vendors_are_read(git, fake_git, said, version):
    fake_git(said)
    assert git.require() == version


@pytest.fixture
def fake_git(tmp_path, monkeypatch, git):
    def install(said):
        program = tmp_path / "bin" / "git"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\necho '{said}'\n")
        program.chmod(0o755)
        monkeypatch.setitem(git._environment, "PATH", f"{program.parent}:{os.environ['PATH']}")

    return install


def test_the_installed_git_is_new_enough(git):
    assert git.require() in subprocess.run(("git", "version"), capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("said", "named"), [("git version 2.37.9", r"2\.37\.9"), ("git version", "of an unknown version")]
)
def test_an_old_git_is_named_with_what_is_needed(git, fake_git, said, named):
    fake_git(said)
    with pytest.raises(
        DependencyMissingError, match=rf"git {named} is too old: metawsm needs git 2\.38 or newer"
    ) as caught:
        git.require()
    assert "Install git 2.38" in caught.value.hint


def test_without_git_the_error_says_what_to_install(git, monkeypatch, tmp_path):
    monkeypatch.setitem(git._environment, "PATH", str(tmp_path))
    with pytest.raises(DependencyMissingError, match="git is not installed") as caught:
        git.require()
    assert "Install git 2.38" in caught.value.hint
    with pytest.raises(DependencyMissingError, match="git is not installed"):
        git.read("/", "status")
