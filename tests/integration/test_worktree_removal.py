"""Removing worktrees: what would be lost is kept first, and what cannot be kept keeps the worktree."""

import shutil

import pytest
from merging_support import Repository, use_private_git
from worktree_support import BRANCH, SNAPSHOTS, change_at_once, files, listed, refs, repo, spec, worktrees

from metawsm_rpc.errors import HostError, InterruptedStepError
from metawsm_rpc.hosts.git.snapshots import snapshot

CONTENT = {"kept.txt": "kept\n", "changed.txt": "old\n", "removed.txt": "gone\n", ".gitignore": ".env\nbuild/\n"}


@pytest.fixture(autouse=True)
def _private_git(tmp_path, monkeypatch):
    use_private_git(tmp_path / "home", monkeypatch)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "app", CONTENT)


@pytest.fixture
def git(tmp_path):
    return worktrees(tmp_path)


@pytest.fixture
def path(tmp_path, repository, git):
    path = tmp_path / "workspaces" / "app"
    git.add(spec(repository, path))
    return path


def remove(git, repository, path, copied=()):
    return git.remove(repo(repository, path), SNAPSHOTS, copied)


def tree(repository, commit):
    names = repository.git("ls-tree", "-r", "-z", "--name-only", commit).split("\0")[:-1]
    return {name: repository.git("show", f"{commit}:{name}") for name in names}


# --- what goes --------------------------------------------------------------------------------------


def test_a_clean_worktree_goes_and_its_branch_stays(repository, path, git):
    tip = repository.commit("work", {"new.txt": "new"}, path)
    assert remove(git, repository, path) == (str(path), True, None, ())
    assert not path.exists()
    assert listed(repository) == []
    assert repository.commit_of(BRANCH) == tip
    assert refs(repository) == {}
    assert remove(git, repository, path) == (str(path), True, None, ())


def test_uncommitted_work_is_kept_under_a_ref(repository, path, git):
    names = ["a b", "n\nn", "ü", "deep/er/file", 'q"q', "-x", "$(touch x)"]
    repository.write(dict.fromkeys(names, "new") | {"changed.txt": "mine"}, path)
    (path / "removed.txt").unlink()
    (path / "link").symlink_to("kept.txt")
    before = files(path)
    gone = remove(git, repository, path)
    assert gone.removed
    assert not path.exists()
    ((ref, commit),) = gone.snapshots
    assert ref.startswith(f"{SNAPSHOTS}/{BRANCH}/")
    assert refs(repository) == {ref: commit}
    assert tree(repository, commit) == {name: text.strip() for name, text in before.items()} | {"link": "kept.txt"}
    assert repository.git("rev-parse", f"{commit}^") == repository.first
    assert repository.commit_of(BRANCH) == repository.first
    assert repository.git("log", "-1", "--format=%an <%ae> %s", commit) == (
        f"Ada <ada@example.org> Snapshot of {BRANCH} before its worktree was removed"
    )


def test_a_change_right_after_the_checkout_is_kept(repository, path, git):
    change_at_once(repository, path, "changed.txt", "new\n")
    ((_, commit),) = remove(git, repository, path).snapshots
    assert repository.git("show", f"{commit}:changed.txt") == "new"


def test_a_snapshot_needs_no_identity_hook_or_signature(repository, path, git, tmp_path):
    (tmp_path / "home" / ".gitconfig").write_text("[user]\nuseConfigOnly = true\n[commit]\ngpgsign = true\n")
    repository.git("config", "core.safecrlf", "true")
    repository.git("config", "core.autocrlf", "input")
    hook = repository.path / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    (path / "crlf.txt").write_bytes(b"a\r\nb\n")
    ((_, commit),) = remove(git, repository, path).snapshots
    assert repository.git("log", "-1", "--format=%an <%ae>", commit) == "metawsm <metawsm@localhost>"


def test_what_is_staged_and_differs_from_the_files_is_kept_too(repository, path, git):
    repository.write({"changed.txt": "staged"}, path)
    repository.git("add", "changed.txt", cwd=path)
    repository.write({"changed.txt": "edited again"}, path)
    ((_, commit),) = remove(git, repository, path).snapshots
    assert repository.git("show", f"{commit}:changed.txt") == "edited again"
    assert repository.git("show", f"{commit}^2:changed.txt") == "staged"


@pytest.mark.parametrize("staged", [{}, {"changed.txt": "staged"}])
def test_a_removal_that_was_cut_off_leaves_one_snapshot(repository, path, git, staged):
    repository.write(staged, path)
    repository.git("add", "--all", cwd=path)
    repository.write({"changed.txt": "mine", "new.txt": "new"}, path)
    earlier = snapshot(git._git, str(path), "made by somebody who was killed then")
    repository.git("update-ref", f"{SNAPSHOTS}/{BRANCH}/{earlier[:12]}", earlier)
    gone = remove(git, repository, path)
    assert dict(gone.snapshots) == refs(repository) == {f"{SNAPSHOTS}/{BRANCH}/{earlier[:12]}": earlier}
    assert git.snapshots(str(repository.path), SNAPSHOTS) == gone.snapshots


def test_a_snapshot_of_other_work_is_another_one(repository, path, git):
    for number, text in enumerate(("one", "two"), start=1):
        repository.write({"changed.txt": text}, path)
        remove(git, repository, path)
        git.add(spec(repository, path))
        assert len(refs(repository)) == number


def test_a_conflict_is_kept_as_it_stands(repository, path, git):
    repository.commit("ours", {"changed.txt": "ours\n"}, path)
    repository.commit("theirs", {"changed.txt": "theirs\n"})
    assert repository.git("merge", "main", cwd=path, check=False) == "1"
    ((_, commit),) = remove(git, repository, path).snapshots
    assert "<<<<<<< HEAD" in repository.git("show", f"{commit}:changed.txt")


def test_a_commit_that_no_branch_has_is_kept(repository, path, git):
    repository.git("checkout", "-q", "--detach", cwd=path)
    lost = repository.commit("lost", {"lost.txt": "lost"}, path)
    gone = remove(git, repository, path)
    assert gone.snapshots == ((f"{SNAPSHOTS}/{BRANCH}/{lost[:12]}", lost),)
    assert refs(repository) == dict(gone.snapshots)


def test_a_commit_that_only_a_worktree_had_whose_folder_was_deleted_is_kept(repository, path, git):
    repository.git("checkout", "-q", "--detach", cwd=path)
    lost = repository.commit("lost", {"lost.txt": "lost"}, path)
    shutil.rmtree(path)
    gone = remove(git, repository, path)
    assert gone.removed
    assert list(refs(repository).values()) == [lost] == [commit for _, commit in gone.snapshots]
    assert listed(repository) == []


def test_a_worktree_whose_folder_was_deleted_is_forgotten(repository, path, git):
    shutil.rmtree(path)
    assert remove(git, repository, path) == (str(path), True, None, ())
    assert listed(repository) == []


def test_a_half_made_worktree_goes(repository, path, git):
    own = repository.path / ".git" / "worktrees" / "app"
    (own / "locked").write_text("initializing")
    (own / "index").unlink()
    assert remove(git, repository, path) == (str(path), True, None, ())
    assert not path.exists()


def test_an_empty_folder_goes_and_so_does_what_has_no_source_any_more(repository, path, git, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert remove(git, repository, empty).removed
    assert not empty.exists()
    shutil.rmtree(repository.path)
    shutil.rmtree(path)
    assert remove(git, repository, path).removed


def test_copied_files_may_go(repository, path, git):
    repository.write({".env": "SECRET=1", "build/n\nn": "x"})
    copied = git.copy_files(str(repository.path), str(path), [".env", "build/*"])
    assert copied == (".env", "build/n\nn")
    assert remove(git, repository, path, copied).removed


def test_a_copied_file_that_git_does_not_ignore_is_in_no_snapshot_unless_it_was_edited(repository, path, git):
    repository.write({"local.cfg": "secret"})
    copied = git.copy_files(str(repository.path), str(path), ["local.cfg"])
    again = path.with_name("again")
    git.add(spec(repository, again, "again"))
    git.copy_files(str(repository.path), str(again), ["local.cfg"])
    assert remove(git, repository, path, copied) == (str(path), True, None, ())
    repository.write({"new.txt": "new"}, again)
    ((_, commit),) = git.remove(repo(repository, again, "again"), SNAPSHOTS, copied).snapshots
    assert set(tree(repository, commit)) == {*CONTENT, "new.txt"}
    git.add(spec(repository, again, "again"))
    repository.write({"local.cfg": "edited"}, again)
    ((_, commit),) = git.remove(repo(repository, again, "again"), SNAPSHOTS, copied).snapshots
    assert set(tree(repository, commit)) == {*CONTENT, "local.cfg"}


# --- what stays -------------------------------------------------------------------------------------


def test_ignored_files_that_were_not_copied_keep_the_worktree(repository, path, git):
    repository.write({".env": "x", "build/a": "x", "build/b": "x", "build/c": "x", "build/d": "x"}, path)
    repository.write({"changed.txt": "mine"}, path)
    kept = remove(git, repository, path, (".env",))
    assert kept == (
        str(path),
        False,
        "it has ignored files that were not copied into it, build/a, build/b, build/c and 1 more",
        (),
    )
    assert (path / ".env").exists()
    assert refs(repository) == {}


def test_a_copied_file_that_was_edited_keeps_the_worktree(repository, path, git):
    repository.write({".env": "SECRET=1"})
    copied = git.copy_files(str(repository.path), str(path), [".env"])
    repository.write({".env": "SECRET=2"}, path)
    kept = remove(git, repository, path, copied)
    assert kept.reason == "files that were copied into it differ from the source's, .env"
    repository.write({".env": "SECRET=1"}, path)
    assert remove(git, repository, path, copied).removed


@pytest.mark.parametrize("ignored", [False, True])
def test_a_nested_repository_keeps_the_worktree(repository, path, git, ignored):
    Repository(path / ("build" if ignored else "vendor") / "lib", {"x": "x"})
    kept = remove(git, repository, path)
    assert not kept.removed
    assert "build/lib/" in kept.reason if ignored else "nested repository, vendor/lib/" in kept.reason


def test_a_nested_repository_that_was_added_keeps_the_worktree(repository, path, git):
    Repository(path / "lib", {"x": "x"})
    repository.git("add", "lib", cwd=path)
    repository.git("commit", "-q", "-m", "oops", cwd=path)
    kept = remove(git, repository, path)
    assert kept.reason == "lib is a nested repository that has its commits inside the worktree"


@pytest.mark.parametrize(
    ("options", "reason"), [((), "locked"), (("--reason", "on\nmy stick"), "locked: on\nmy stick")]
)
def test_a_locked_worktree_stays(repository, path, git, options, reason):
    repository.git("worktree", "lock", *options, str(path))
    kept = remove(git, repository, path)
    assert not kept.removed
    assert reason in kept.reason
    shutil.rmtree(path)
    assert not remove(git, repository, path).removed
    assert listed(repository) == [str(path)]


def test_what_is_no_worktree_of_the_source_stays(repository, path, git, tmp_path):
    other = Repository(tmp_path / "other", {"mine": "mine"})
    for place in (other.path, other.worktree("x"), repository.path):
        kept = remove(git, repository, place)
        assert kept.reason == f"{place} is no worktree of {repository.path}"
        assert place.exists()


def test_a_branch_without_commits_stays(repository, path, git):
    repository.git("checkout", "-q", "--orphan", "fresh", cwd=path)
    assert not remove(git, repository, path).removed


def test_work_that_cannot_be_kept_stays(repository, path, git):
    repository.write({".gitattributes": "*.bin filter=broken\n", "x.bin": "x"}, path)
    repository.git("config", "filter.broken.clean", "false")
    repository.git("config", "filter.broken.required", "true")
    kept = remove(git, repository, path)
    assert not kept.removed
    assert "its uncommitted files could not be kept" in kept.reason
    assert (path / "x.bin").exists()


def test_a_worktree_whose_source_is_gone_stays(repository, path, git):
    shutil.rmtree(repository.path)
    kept = remove(git, repository, path)
    assert kept.reason == f"its repository at {repository.path} is gone"
    assert path.exists()


def test_an_interrupt_is_no_reason_to_keep(repository, path, git):
    git.interrupt()
    with pytest.raises(InterruptedStepError):
        remove(git, repository, path)


def test_a_snapshot_changes_neither_index_nor_files(repository, path, git):
    """Kept because of an ignored file, found before anything is written."""
    repository.write({"new.txt": "new", ".env": "x"}, path)
    repository.git("add", "-N", "new.txt", cwd=path)
    index = repository.path / ".git" / "worktrees" / "app" / "index"
    before = index.read_bytes(), files(path)
    assert not remove(git, repository, path).removed
    assert (index.read_bytes(), files(path)) == before


def test_errors_of_git_are_told(repository, path, git):
    (repository.path / ".git" / "worktrees" / "app" / "index").write_bytes(b"x" * 100)
    with pytest.raises(HostError, match=r"git status in .* failed: bad signature 0x78787878; index file corrupt"):
        remove(git, repository, path)
    assert path.exists()
