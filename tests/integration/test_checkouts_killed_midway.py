"""Updating checkouts when git or metawsm was killed midway, and unusual checkouts."""

import os
import subprocess
import sys

import pytest
from merging_support import Repository, merging, use_private_git

from metawsm_rpc.errors import HostError


@pytest.fixture(autouse=True)
def _private_git(tmp_path, monkeypatch):
    use_private_git(tmp_path / "home", monkeypatch)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "app")


def follow(repository, move):
    """Move the branch itself, so that `git status` compares with the new commit."""
    repository.git("update-ref", f"refs/heads/{move.base}", move.new, move.old)


# --- killed half-way --------------------------------------------------------------------------------

HALF_WAY = {"a.txt": "new a\n", "b.txt": "new b\n", "c.txt": "new c\n", "d.txt": "new d\n", "gone.txt": None}


@pytest.fixture
def half_way(tmp_path):
    """A checkout whose read-tree was killed in the middle: by a filter, at a known file."""
    repository = Repository(tmp_path / "app", {f"{name}.txt": f"old {name}\n" for name in "abcd"} | {"gone.txt": "x\n"})
    move = repository.move(repository.branch_with(HALF_WAY))
    repository.write({"mine.txt": "mine\n"})
    attributes = repository.path / ".git/info/attributes"
    attributes.write_text("c.txt filter=deadly\n")
    repository.git("config", "filter.deadly.smudge", "kill -9 $PPID")
    with pytest.raises(HostError):
        merging().advance_checkouts(move)
    attributes.unlink()
    assert (repository.path / ".git/index.lock").exists()
    assert (repository.path / "a.txt").read_text() == "new a\n"
    assert not (repository.path / "c.txt").exists()
    assert (repository.path / "d.txt").read_text() == "old d\n"
    return repository, move


def test_a_checkout_that_was_left_half_way_can_be_finished(half_way):
    repository, move = half_way

    merging().advance_checkouts(move)
    follow(repository, move)

    assert repository.status() == ["?? mine.txt"]
    assert not (repository.path / ".git/index.lock").exists()
    assert not (repository.path / ".git/metawsm-move").exists()


def test_a_checkout_that_was_left_half_way_can_be_undone(half_way):
    repository, move = half_way

    merging().restore_checkouts(move)

    assert repository.status() == ["?? mine.txt"]
    assert not (repository.path / ".git/metawsm-move").exists()


@pytest.mark.parametrize("forward", [True, False], ids=["finished", "undone"])
def test_a_file_of_which_only_the_beginning_was_written_is_mended(half_way, forward):
    repository, move = half_way
    (repository.path / "c.txt").write_text("new")

    if forward:
        merging().advance_checkouts(move)
        follow(repository, move)
    else:
        merging().restore_checkouts(move)

    assert repository.status() == ["?? mine.txt"]


@pytest.mark.parametrize("forward", [True, False], ids=["finished", "undone"])
def test_what_a_person_changed_after_the_kill_is_kept(half_way, forward):
    repository, move = half_way
    repository.write({"b.txt": "mine b\n", "d.txt": "mine d\n"})

    if forward:
        merging().advance_checkouts(move)
        follow(repository, move)
    else:
        merging().restore_checkouts(move)

    assert repository.status() == [" M b.txt", " M d.txt", "?? mine.txt"]
    assert (repository.path / "b.txt").read_text() == "mine b\n"


def test_an_undo_that_is_killed_as_well_can_still_be_undone(half_way):
    repository, move = half_way
    attributes = repository.path / ".git/info/attributes"
    attributes.write_text("b.txt filter=deadly\n")
    with pytest.raises(HostError):
        merging().restore_checkouts(move)
    attributes.unlink()

    merging().restore_checkouts(move)

    assert repository.status() == ["?? mine.txt"]


@pytest.mark.parametrize("forward", [True, False], ids=["finished", "undone"])
def test_a_folder_that_became_a_file_half_way_is_mended(tmp_path, forward):
    repository = Repository(tmp_path / "app", {"docs/a": "a\n", "docs/b": "b\n", "notes": "n\n", "z.txt": "z\n"})
    repository.branch_with({"docs": None, "notes": None})
    repository.git("switch", "-q", "task/t-1")
    tip = repository.commit("swap", {"docs": "one file\n", "notes/a": "1\n", "notes/b": "2\n", "z.txt": "new z\n"})
    repository.git("switch", "-q", "main")
    move = repository.move(tip)
    attributes = repository.path / ".git/info/attributes"
    attributes.write_text("notes/b filter=deadly\n")
    repository.git("config", "filter.deadly.smudge", "kill -9 $PPID")
    with pytest.raises(HostError):
        merging().advance_checkouts(move)
    attributes.unlink()
    assert (repository.path / "docs").is_file()

    if forward:
        merging().advance_checkouts(move)
        follow(repository, move)
    else:
        merging().restore_checkouts(move)

    assert repository.status() == []


def test_a_read_tree_that_outlived_its_metawsm_is_waited_for(tmp_path):
    repository = Repository(tmp_path / "app", {"a.txt": "old\n", "b.txt": "old\n"})
    move = repository.move(repository.branch_with({"a.txt": "new\n", "b.txt": "new\n"}))
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    (repository.path / ".git/info/attributes").write_text("b.txt filter=slow\n")
    repository.git("config", "filter.slow.smudge", f"read line < '{gate}'; cat")
    program = (
        "from metawsm_rpc.hosts.commands import Commands\n"
        "from metawsm_rpc.hosts.git.merging import GitMerging\n"
        "from metawsm_rpc.ports.merging import RefMove\n"
        f"GitMerging(Commands()).advance_checkouts(RefMove(*{tuple(move)!r}))\n"
    )
    child = subprocess.Popen((sys.executable, "-c", program))
    with gate.open("w") as opened:  # opens when the filter reads: git is in the middle
        child.kill()
        child.wait()
        recovery = subprocess.Popen((sys.executable, "-c", program))
        with pytest.raises(subprocess.TimeoutExpired):
            recovery.wait(1)
        opened.write("go\n")
    assert recovery.wait(60) == 0
    (repository.path / ".git/info/attributes").unlink()
    follow(repository, move)

    assert repository.status() == []


def test_a_sparse_checkout_stays_sparse(tmp_path):
    repository = Repository(tmp_path / "app", {"in/a": "old\n", "out/b": "old\n"})
    move = repository.move(repository.branch_with({"in/a": "new\n", "out/b": "new\n", "out/c": "new\n"}))
    repository.git("sparse-checkout", "set", "in")
    assert not (repository.path / "out").exists()

    assert merging().in_the_way(move, ()) == ()
    merging().advance_checkouts(move)
    assert (repository.path / "in/a").read_text() == "new\n"
    assert not (repository.path / "out").exists()
    merging().restore_checkouts(move)

    assert repository.status() == []
    assert not (repository.path / "out").exists()


def test_a_submodules_files_are_left_to_the_person_as_git_merge_does(repository, tmp_path):
    library = Repository(tmp_path / "lib")
    repository.git("config", "--global", "protocol.file.allow", "always")
    repository.git("config", "submodule.recurse", "true")
    repository.git("submodule", "--quiet", "add", str(library.path), "lib")
    repository.git("commit", "-q", "-m", "submodule")
    later = library.commit("later", {"later.txt": "later\n"})
    repository.git("fetch", "-q", cwd=repository.path / "lib")
    repository.git("switch", "-q", "--no-recurse-submodules", "-c", "task/t-1")
    repository.git("update-index", "--cacheinfo", f"160000,{later},lib")
    repository.git("commit", "-q", "-m", "newer library")
    repository.git("switch", "-q", "--no-recurse-submodules", "main")
    move = repository.move(repository.commit_of("task/t-1"))

    assert merging().in_the_way(move, ()) == ()
    merging().advance_checkouts(move)
    merging().restore_checkouts(move)
    assert repository.status() == []
    merging().advance_checkouts(move)
    follow(repository, move)

    assert repository.status() == [" M lib"]
    assert repository.git("rev-parse", ":lib") == later
