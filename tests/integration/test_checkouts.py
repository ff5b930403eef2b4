"""Checkouts of the base: found, checked for files in the way, brought along and back."""

import os
import subprocess
from pathlib import Path

import pytest
from merging_support import Repository, merging, use_private_git

from metawsm_rpc.errors import InTheWayError, RefLockedError
from metawsm_rpc.hosts.git import locks

CHANGES = {"changed.txt": "new\n", "added.txt": "added\n", "removed.txt": None}


@pytest.fixture(autouse=True)
def _private_git(tmp_path, monkeypatch):
    use_private_git(tmp_path / "home", monkeypatch)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "app")


def follow(repository, move):
    """Move the branch itself, so that `git status` compares with the new commit."""
    repository.git("update-ref", f"refs/heads/{move.base}", move.new, move.old)


# --- which checkouts --------------------------------------------------------------------------------


def test_the_main_checkout_and_linked_worktrees_are_found(repository):
    linked = repository.worktree("release/größe")

    assert merging().checkouts(str(repository.path), "main") == (str(repository.path),)
    assert merging().checkouts(str(repository.path), "release/größe") == (str(linked),)
    assert merging().checkouts(str(linked), "main") == (str(repository.path),)
    assert merging().checkouts(str(repository.path), "nobody") == ()


def test_a_detached_head_and_a_deleted_worktree_show_no_branch(repository, tmp_path):
    repository.git("switch", "-q", "--detach")
    linked = repository.worktree("release")
    subprocess.run(("rm", "-r", linked), check=True)

    assert merging().checkouts(str(repository.path), "main") == ()
    assert merging().checkouts(str(repository.path), "release") == ()


def test_a_bare_repository_has_only_its_linked_worktrees(repository, tmp_path):
    bare = tmp_path / "bare.git"
    repository.git("clone", "-q", "--bare", str(repository.path), str(bare))
    assert merging().checkouts(str(bare), "main") == ()

    repository.git("worktree", "add", "-q", str(tmp_path / "linked"), "main", cwd=bare)
    assert merging().checkouts(str(bare), "main") == (str(tmp_path / "linked"),)


def test_a_git_directory_that_lies_apart_is_not_taken_for_the_checkout(repository, tmp_path):
    apart = tmp_path / "apart"
    repository.git("clone", "-q", "--separate-git-dir", str(tmp_path / "apart.git"), str(repository.path), str(apart))

    assert merging().checkouts(str(apart), "main") == (str(apart),)


# --- what is in the way -----------------------------------------------------------------------------


def in_the_way(repository, tip, exempt=()):
    before = (repository.path / ".git/index").read_bytes()
    found = merging().in_the_way(repository.move(tip), exempt)
    assert (repository.path / ".git/index").read_bytes() == before, "looking changes nothing"
    return found


def test_nothing_is_in_the_way_of_a_clean_checkout(repository):
    assert in_the_way(repository, repository.branch_with(CHANGES)) == ()


def test_local_work_on_files_that_the_merge_does_not_touch_is_not_in_the_way(repository):
    tip = repository.branch_with(CHANGES)
    repository.write({"kept.txt": "mine\n", "untracked.txt": "mine\n", "staged.txt": "mine\n"})
    repository.git("add", "staged.txt")

    assert in_the_way(repository, tip) == ()


@pytest.mark.parametrize("staged", [False, True], ids=["in the file", "staged"])
@pytest.mark.parametrize("name", ["changed.txt", "removed.txt"])
def test_a_local_change_of_a_file_that_the_merge_touches_is_in_the_way(repository, name, staged):
    tip = repository.branch_with(CHANGES)
    repository.write({name: "mine\n"})
    if staged:
        repository.git("add", name)

    assert in_the_way(repository, tip) == (name,)


def test_a_change_that_is_staged_and_then_undone_in_the_file_is_in_the_way(repository):
    tip = repository.branch_with(CHANGES)
    repository.write({"changed.txt": "mine\n"})
    repository.git("add", "changed.txt")
    repository.write({"changed.txt": "old\n"})

    assert in_the_way(repository, tip) == ("changed.txt",)


@pytest.mark.parametrize("ignored", [False, True], ids=["untracked", "ignored"])
def test_a_file_that_git_does_not_know_is_in_the_way_of_one_that_the_merge_adds(repository, ignored):
    tip = repository.branch_with({"out/result.bin": "theirs\n"})
    repository.write({"out/result.bin": "mine\n"})
    if ignored:
        (repository.path / ".git/info/exclude").write_text("out/\n")

    assert in_the_way(repository, tip) == ("out/result.bin",)


def test_an_ignored_file_where_the_merge_needs_a_folder_is_in_the_way(repository):
    tip = repository.branch_with({"out/result.bin": "theirs\n"})
    repository.write({"out": "mine\n"})
    (repository.path / ".git/info/exclude").write_text("out\n")

    assert in_the_way(repository, tip) == ("out",)


def test_an_ignored_file_in_a_folder_where_the_merge_puts_a_file_is_in_the_way(repository):
    tip = repository.branch_with({"out": "theirs\n"})
    repository.write({"out/deep/mine.bin": "mine\n"})
    (repository.path / ".git/info/exclude").write_text("*.bin\n")

    assert in_the_way(repository, tip) == ("out/deep/mine.bin",)


def test_a_link_where_the_merge_needs_a_folder_is_in_the_way(repository, tmp_path):
    tip = repository.branch_with({"out/result.bin": "theirs\n"})
    (tmp_path / "elsewhere").mkdir()
    (repository.path / "out").symlink_to(tmp_path / "elsewhere")

    assert in_the_way(repository, tip) == ("out",)


def test_a_folder_of_tracked_files_that_the_merge_replaces_by_a_file_is_not_in_the_way(tmp_path):
    repository = Repository(tmp_path / "app", {"docs/a": "a\n", "docs/b": "b\n", "notes": "n\n"})
    tip = repository.branch_with({"docs": None, "notes": None})
    repository.git("switch", "-q", "task/t-1")
    tip = repository.commit("swap", {"docs": "one file\n", "notes/a": "many\n"})
    repository.git("switch", "-q", "main")
    assert in_the_way(repository, tip) == ()

    move = repository.move(tip)
    merging().advance_checkouts(move)
    assert (repository.path / "docs").read_text() == "one file\n"
    merging().restore_checkouts(move)
    assert repository.status() == []


def test_a_touched_time_stamp_is_no_change(repository):
    tip = repository.branch_with(CHANGES)
    os.utime(repository.path / "changed.txt", (1, 1))

    assert in_the_way(repository, tip) == ()
    move = repository.move(tip)
    merging().advance_checkouts(move)
    assert (repository.path / "changed.txt").read_text() == "new\n"


def test_converted_line_ends_are_no_change(repository):
    repository.git("config", "core.autocrlf", "true")
    (repository.path / "changed.txt").unlink()
    repository.git("checkout", "-q", "--", "changed.txt")
    assert (repository.path / "changed.txt").read_bytes() == b"old\r\n"
    tip = repository.branch_with(CHANGES)

    assert in_the_way(repository, tip) == ()


def test_a_file_that_was_deleted_holds_nothing_that_could_be_lost(repository):
    tip = repository.branch_with(CHANGES)
    (repository.path / "changed.txt").unlink()
    (repository.path / "removed.txt").unlink()

    assert in_the_way(repository, tip) == ()
    merging().advance_checkouts(repository.move(tip))
    assert (repository.path / "changed.txt").read_text() == "new\n"


def test_files_in_conflict_are_in_the_way_of_every_move(repository):
    tip = repository.branch_with({"added.txt": "added\n"})
    repository.branch_with({"kept.txt": "theirs\n"}, "other")
    repository.commit("mine", {"kept.txt": "mine\n"})
    repository.git("merge", "other", check=False)

    assert "kept.txt" in in_the_way(repository, tip)


def test_what_metawsm_keeps_is_exempt_and_keeps_its_content_both_ways(repository):
    repository.commit("ticket", {"ttmp/T-1/index.md": "Status: active\n"})
    tip = repository.branch_with({"ttmp/T-1/index.md": "agent's\n", "ttmp/T-1/new.md": "agent's\n", "code.py": "x\n"})
    mine = {"ttmp/T-1/index.md": "mine\n", "ttmp/T-1/new.md": "mine\n"}
    repository.write(mine)
    exempt = (str(repository.path / "ttmp"),)
    move = repository.move(tip)

    assert in_the_way(repository, tip) == ("ttmp/T-1/index.md", "ttmp/T-1/new.md")
    assert in_the_way(repository, tip, exempt) == ()
    with pytest.raises(InTheWayError) as refused:
        merging().advance_checkouts(move)
    assert refused.value.files == ("ttmp/T-1/index.md", "ttmp/T-1/new.md")
    assert not (repository.path / "code.py").exists()

    merging().advance_checkouts(move, exempt)
    assert {name: (repository.path / name).read_text() for name in mine} == mine
    assert (repository.path / "code.py").exists()

    merging().restore_checkouts(move)
    assert {name: (repository.path / name).read_text() for name in mine} == mine
    assert repository.status() == [" M ttmp/T-1/index.md", "?? ttmp/T-1/new.md"]

    merging().advance_checkouts(move, exempt)
    follow(repository, move)
    assert repository.status() == [" M ttmp/T-1/index.md", " M ttmp/T-1/new.md"]


def test_file_names_that_are_not_text_are_named_so_that_they_can_be_shown(repository):
    name = os.fsdecode(b"caf\xe9 \n.txt")
    tip = repository.branch_with({name: "theirs\n"})
    Path(repository.path, name).write_text("mine\n")

    assert in_the_way(repository, tip) == ("caf\\xe9 \n.txt",)


# --- there and back ---------------------------------------------------------------------------------


def test_a_checkout_is_brought_along_and_a_persons_other_work_stays(repository):
    tip = repository.branch_with(CHANGES)
    repository.write({"kept.txt": "mine\n", "untracked.txt": "mine\n", "staged.txt": "mine\n"})
    repository.git("add", "staged.txt")
    move = repository.move(tip)

    merging().advance_checkouts(move)
    merging().advance_checkouts(move)
    follow(repository, move)

    assert repository.status() == [" M kept.txt", "A  staged.txt", "?? untracked.txt"]
    assert (repository.path / "added.txt").read_text() == "added\n"
    assert not (repository.path / ".git/metawsm-move").exists()


def test_a_checkout_is_brought_back_and_a_persons_other_work_stays(repository):
    tip = repository.branch_with(CHANGES)
    repository.write({"kept.txt": "mine\n", "untracked.txt": "mine\n"})
    move = repository.move(tip)

    merging().advance_checkouts(move)
    merging().restore_checkouts(move)
    merging().restore_checkouts(move)

    assert repository.status() == [" M kept.txt", "?? untracked.txt"]
    assert (repository.path / "removed.txt").read_text() == "gone\n"
    assert not (repository.path / "added.txt").exists()


def test_restoring_what_was_never_advanced_changes_nothing(repository):
    tip = repository.branch_with(CHANGES)
    repository.write({"changed.txt": "mine\n"})

    merging().restore_checkouts(repository.move(tip))

    assert repository.status() == [" M changed.txt"]


def test_what_a_person_changes_between_there_and_back_is_kept(repository):
    tip = repository.branch_with(CHANGES)
    move = repository.move(tip)
    merging().advance_checkouts(move)
    repository.write({"changed.txt": "new and mine\n", "added.txt": "added and mine\n"})

    merging().restore_checkouts(move)

    assert (repository.path / "changed.txt").read_text() == "new and mine\n"
    assert repository.status() == [" M changed.txt", "?? added.txt"]


def test_a_linked_worktree_that_shows_the_base_is_brought_along(repository):
    tip = repository.branch_with(CHANGES)
    repository.git("branch", "release/größe")
    linked = repository.path.parent / "linked"
    repository.git("worktree", "add", "-q", str(linked), "release/größe")
    move = repository.move(tip, base="release/größe")

    merging().advance_checkouts(move)
    follow(repository, move)

    assert repository.status(linked) == []
    assert repository.status() == []


def test_a_checkout_that_appeared_after_the_rehearsal_is_brought_along(repository):
    tip = repository.branch_with(CHANGES)
    repository.git("switch", "-q", "--detach")
    move = repository.move(tip)
    repository.git("switch", "-q", "main")

    merging().advance_checkouts(move)
    follow(repository, move)

    assert repository.status() == []


def test_a_checkout_whose_branch_somebody_moved_on_is_left_alone(repository):
    tip = repository.branch_with(CHANGES)
    move = repository.move(tip)
    repository.commit("mine", {"changed.txt": "mine\n"})

    merging().advance_checkouts(move)
    merging().restore_checkouts(move)

    assert repository.status() == []
    assert (repository.path / "changed.txt").read_text() == "mine\n"


def test_an_index_that_somebody_has_locked_is_refused_and_stays_locked(repository, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE_SECONDS", 0.1)
    move = repository.move(repository.branch_with(CHANGES))
    lock = repository.path / ".git/index.lock"
    lock.touch()

    with pytest.raises(RefLockedError):
        merging().advance_checkouts(move)

    assert lock.exists()
    assert repository.status() == []
