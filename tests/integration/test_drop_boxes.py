"""Drop boxes on disk: what lies there is found, however the box looked before."""

import os
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
