"""The diff of a worktree: committed, uncommitted and untracked work in one, against the merge base."""

import os
import subprocess

import pytest
from merging_support import Repository, use_private_git
from worktree_support import change_at_once, repo, spec, worktrees

from metawsm_rpc.errors import HostError

TEXT = "".join(f"line {number}\n" for number in range(20))


@pytest.fixture(autouse=True)
def _private_git(tmp_path, monkeypatch):
    use_private_git(tmp_path / "home", monkeypatch)


@pytest.fixture
def repository(tmp_path):
    return Repository(
        tmp_path / "app", {"kept": "kept\n", "changed": TEXT, "removed": "gone\n", "moved": TEXT + "x\n", "run": "#!\n"}
    )


@pytest.fixture
def git(tmp_path):
    return worktrees(tmp_path)


@pytest.fixture
def path(tmp_path, repository, git):
    git.add(spec(repository, tmp_path / "wt" / "app"))
    return tmp_path / "wt" / "app"


def diff(git, repository, path, *, patch=False):
    return git.diff(repo(repository, path), patch=patch)


def changes(git, repository, path):
    return {change.path: change[1:] for change in diff(git, repository, path).files}


def test_a_worktree_without_work_has_an_empty_diff(repository, path, git):
    repository.commit("theirs", {"theirs": "x"})
    assert diff(git, repository, path, patch=True) == (repository.first, repository.first, (), "")
    assert diff(git, repository, path).patch is None


def test_committed_and_uncommitted_and_new_files_come_in_one_list(repository, path, git):
    head = repository.commit("one", {"committed": "1\n2\n", "changed": TEXT + "more\n"}, path)
    repository.write({"new": "n\n", "staged": "s\n", "binary": "\0\1", "kept": "kept\nand more\n"}, path)
    repository.git("add", "staged", cwd=path)
    repository.git("mv", "moved", "folder", cwd=path)
    (path / "removed").unlink()
    (path / "run").chmod(0o755)
    repository.commit("theirs", {"theirs": "x", "changed": "theirs"})
    assert changes(git, repository, path) == {
        "binary": ("?", None, None),
        "changed": ("M", 1, 0),
        "committed": ("A", 2, 0),
        "folder": ("R", 0, 0),
        "kept": ("M", 1, 0),
        "new": ("?", 1, 0),
        "removed": ("D", 0, 1),
        "run": ("M", 0, 0),
        "staged": ("A", 1, 0),
    }
    found = diff(git, repository, path)
    assert (found.base, found.head) == (repository.first, head)


def test_work_that_was_undone_is_no_work(repository, path, git):
    repository.commit("one", {"changed": "x"}, path)
    repository.write({"changed": TEXT}, path)
    os.utime(path / "kept", (1, 1))
    assert changes(git, repository, path) == {}


@pytest.mark.parametrize("others", [{}, {"new": "n\n"}], ids=["alone", "beside a new file"])
def test_a_change_right_after_the_checkout_is_seen(repository, path, git, others):
    repository.write(others, path)
    change_at_once(repository, path, "kept", "tepk\n")
    assert changes(git, repository, path)["kept"] == ("M", 1, 1)


def test_a_move_that_git_was_not_told_of_is_a_move(repository, path, git):
    (path / "moved").rename(path / "elsewhere")
    assert changes(git, repository, path) == {"elsewhere": ("R", 0, 0)}


def test_a_file_that_became_a_link_has_another_type(repository, path, git):
    (path / "kept").unlink()
    (path / "kept").symlink_to("run")
    assert changes(git, repository, path)["kept"][0] == "T"


NAMES = ["a b", 'q"q', "n\nn", "t\tt", "größe", "-x", "$(touch x)", ":(top)x", "deep/er/*", ":100644 x"]


def test_every_name_comes_through(repository, path, git):
    repository.write({f"{name}1": "1\n" for name in NAMES}, path)
    repository.git("add", "--all", cwd=path)
    repository.git("commit", "-q", "-m", "x", cwd=path)
    repository.write(dict.fromkeys(NAMES, "1\n"), path)
    expected = {f"{name}1": ("A", 1, 0) for name in NAMES} | dict.fromkeys(NAMES, ("?", 1, 0))
    assert changes(git, repository, path) == expected


@pytest.mark.parametrize("name", NAMES[:3])
def test_every_name_can_be_moved_to(repository, path, git, name):
    (path / "moved").rename(path / name)
    assert changes(git, repository, path) == {name: ("R", 0, 0)}


def test_a_name_that_is_not_text_is_shown(repository, path, git):
    (path / "b\udcff").write_text("1\n")
    assert changes(git, repository, path) == {r"b\xff": ("?", 1, 0)}


def test_the_patch_applies_to_the_base(repository, path, git, tmp_path):
    repository.commit("one", {"committed": "1\n", "changed": TEXT + "more\n"}, path)
    repository.write({"new ü": "n\n", "kept": "no newline at the end"}, path)
    (path / "removed").unlink()
    patch = diff(git, repository, path, patch=True).patch
    assert "b/new ü" in patch
    fresh = repository.worktree("fresh", repository.first)
    subprocess.run(("git", "apply", "-"), input=patch.encode(), cwd=fresh, check=True)
    for name in ("committed", "changed", "new ü", "kept"):
        assert (fresh / name).read_text() == (path / name).read_text()
    assert not (fresh / "removed").exists()


def test_a_patch_with_bytes_that_are_no_text_is_still_text(repository, path, git):
    (path / "kept").write_bytes(b"latin \xe4\n")
    assert "+latin \ufffd" in diff(git, repository, path, patch=True).patch


def test_looking_changes_nothing(repository, path, git):
    repository.write({"new": "n", "staged": "s"}, path)
    repository.git("add", "staged", cwd=path)
    index = repository.path / ".git" / "worktrees" / "app" / "index"
    os.utime(path / "kept", (1, 1))
    repository.git("hash-object", "-w", os.devnull)  # what git enters for a file that is only intended
    status = repository.status(path)
    before, objects = index.read_bytes(), repository.git("count-objects")
    diff(git, repository, path, patch=True)
    assert (index.read_bytes(), repository.git("count-objects")) == (before, objects)
    assert repository.status(path) == status


def test_nothing_of_the_persons_configuration_changes_it(repository, path, git, tmp_path):
    repository.commit("one", {"changed": TEXT + "more\n", ".gitattributes": "*.x diff=x\n", "a.x": "1\n"}, path)
    (path / "moved").rename(path / "elsewhere")
    plain = diff(git, repository, path, patch=True)
    (tmp_path / "order").write_text("moved\n")
    for setting in (
        "diff.external=touch ran",
        "diff.noprefix=true",
        "diff.mnemonicPrefix=true",
        "diff.renames=false",
        "diff.context=9",
        f"diff.orderFile={tmp_path}/order",
        "color.ui=always",
        "color.diff=always",
        "diff.x.textconv=touch ran; cat",
        "diff.x.command=touch ran",
        "core.quotePath=true",
        "core.splitIndex=true",
        "diff.submodule=log",
        "diff.relative=true",
        "core.pager=touch ran",
    ):
        repository.git("config", "--add", *setting.split("=", 1))
    assert diff(git, repository, path, patch=True) == plain
    assert not (path / "ran").exists()


def test_ignored_files_are_no_work_and_a_nested_repository_is_one(repository, path, git):
    repository.write({".git/info/exclude": "*.log\n"})
    repository.write({"x.log": "x"}, path)
    Repository(path / "nested repo", {"x": "x"})
    subprocess.run(("git", "init", "-q", str(path / "fresh")), check=True)
    repository.write({"new": "n\n", "fresh/file": "x"}, path)
    assert changes(git, repository, path) == {
        "fresh/": ("?", None, None),
        "nested repo/": ("?", None, None),
        "new": ("?", 1, 0),
    }


def test_a_merge_in_conflict_is_shown_as_its_files_stand(repository, path, git):
    repository.commit("ours", {"changed": "ours\n", "removed": "mine\n", "both": "1\n"}, path)
    repository.git("rm", "-q", "removed")
    repository.commit("theirs", {"changed": "theirs\n", "both": "2\n"})
    assert repository.git("merge", "main", cwd=path, check=False) == "1"
    found = git.diff(repo(repository, path)._replace(base="gone"), patch=True)
    assert {change.path: change.status for change in found.files} == {"both": "A", "changed": "M", "removed": "M"}
    assert "+<<<<<<< HEAD" in found.patch


def test_a_sparse_worktree_shows_its_work(tmp_path, git):
    repository = Repository(tmp_path / "sparse", {"in/a": "a\n", "out/b": "b\n"})
    repository.git("sparse-checkout", "set", "in")
    path = tmp_path / "wt2"
    git.add(spec(repository, path))
    repository.write({"in/new": "n\n", "elsewhere/new": "n\n"}, path)
    assert changes(git, repository, path) == {"elsewhere/new": ("?", 1, 0), "in/new": ("?", 1, 0)}


def test_without_its_base_the_work_is_compared_with_where_it_began(repository, path, git):
    repository.commit("one", {"new": "n\n"}, path)
    gone = repo(repository, path)._replace(base="gone")
    assert git.diff(gone, patch=False).base == repository.first
    with pytest.raises(HostError, match="app has no branch gone"):
        git.diff(gone._replace(base_commit=None), patch=False)


def test_a_worktree_that_is_gone_is_an_error(repository, path, git, tmp_path):
    with pytest.raises(HostError):
        git.diff(repo(repository, tmp_path / "nowhere"), patch=False)
