"""Drop boxes on disk: what lies there is found, however the box looked before."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from metawsm_rpc.hosts.folders import LocalFolders
from metawsm_rpc.ports.folders import AgentPaths


@pytest.fixture
def folders(tmp_path: Path) -> LocalFolders:
    return LocalFolders(tmp_path)


@pytest.fixture
def paths(folders: LocalFolders) -> AgentPaths:
    paths = folders.paths("r", "T-1", "a")
    Path(paths.drop_box).mkdir(parents=True)
    return paths


@pytest.mark.parametrize("age", [0, 3600])
def test_what_is_left_in_a_box_that_was_empty_is_found(folders: LocalFolders, paths: AgentPaths, age: int) -> None:
    box = Path(paths.drop_box)
    then = box.stat().st_mtime_ns - age * 10**9
    os.utime(box, ns=(then, then))
    for number in range(2):
        for _ in range(2):
            assert folders.dropped(paths) == ()
        (box / ".half").write_text("said")
        (box / ".half").rename(box / f"s{number}")
        if age == 0:
            # As after a write in the same step of the file system's clock.
            os.utime(box, ns=(then, then))
        assert [item.text for item in folders.dropped(paths)] == ["said"]
        folders.discard(paths, f"s{number}")


def test_a_file_that_became_something_else_since_it_was_listed_is_not_waited_for(
    folders: LocalFolders, paths: AgentPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Path(paths.drop_box)
    (box / "s").write_text("said")
    (tmp_path / "other").write_text("kept to itself")
    really_open = os.open
    for become in (os.mkfifo, lambda path: Path(path).symlink_to(tmp_path / "other"), os.mkdir):

        def swapped(path: object, *how: int, become: Callable[[str], None] = become) -> int:
            (box / "s").unlink(missing_ok=True)
            become(str(box / "s"))
            return really_open(str(path), *how)

        monkeypatch.setattr(os, "open", swapped)
        assert [item.text for item in folders.dropped(paths)] == [""]
        monkeypatch.undo()
        (box / "s").rmdir() if (box / "s").is_dir() else (box / "s").unlink()
        (box / "s").write_text("said")


@pytest.mark.parametrize("goal", ["itself", "elsewhere"])
def test_a_link_in_the_place_of_a_box_is_not_followed(folders: LocalFolders, tmp_path: Path, goal: str) -> None:
    paths = folders.paths("r", "T-1", "a")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "letter").write_text("no signal")
    box = Path(paths.drop_box)
    box.parent.mkdir(parents=True)
    box.symlink_to(box if goal == "itself" else tmp_path / goal)
    assert folders.dropped(paths) == ()


@pytest.mark.parametrize("become", [Path.mkdir, Path.rmdir, None])
def test_a_signal_that_cannot_be_removed_any_more_stands_in_nobodys_way(
    folders: LocalFolders, paths: AgentPaths, become: Callable[[Path], None] | None
) -> None:
    box = Path(paths.drop_box)
    (box / "s").write_text("said")
    assert [item.text for item in folders.dropped(paths)] == ["said"]
    (box / "s").unlink()
    if become is None:
        box.rmdir()
        box.write_text("no folder any more")
    else:
        become(box / "s" if become is Path.mkdir else box)
    folders.discard(paths, "s")


def test_of_a_file_that_would_fill_the_memory_only_the_beginning_is_read(
    folders: LocalFolders, paths: AgentPaths
) -> None:
    for name in ("s", ".reply-0"):
        with Path(paths.drop_box, name).open("wb") as file:
            file.truncate(50_000_000_000)
    assert len(folders.dropped(paths)[0].text) < 5_000_000
    assert len(folders.left(paths, ".reply-0") or "") < 5_000_000


def test_who_waits_is_seen_until_the_last_one_has_gone(folders: LocalFolders, paths: AgentPaths) -> None:
    assert not folders.is_awaited(paths, "q")
    first, second = folders.awaiting(paths, "q"), folders.awaiting(paths, "q")
    with second:
        with first:
            assert folders.is_awaited(paths, "q")
        assert folders.is_awaited(paths, "q")
        assert not folders.is_awaited(paths, "another")
    assert not folders.is_awaited(paths, "q")
    assert list(Path(paths.drop_box).iterdir()) == []


def test_who_looks_is_not_taken_for_somebody_who_waits(
    folders: LocalFolders, paths: AgentPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    with folders.awaiting(paths, "q"):
        (mark,) = Path(paths.drop_box).iterdir()
    mark.touch()  # as a process that was killed leaves it
    seen = []

    def looked_at_by_two(descriptor: int, how: int) -> None:
        lock(descriptor, how)
        monkeypatch.setattr(fcntl, "flock", lock)
        seen.append(folders.is_awaited(paths, "q"))

    lock = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", looked_at_by_two)
    seen.append(folders.is_awaited(paths, "q"))
    assert seen == [False, False]
