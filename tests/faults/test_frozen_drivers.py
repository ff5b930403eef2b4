"""A driver that sleeps for longer than its lease lives, as with a laptop: another one takes over, and it notices.

Wherever it fell asleep, what it does when it wakes up changes nothing any more: the end is that of the
process which took over. Between BEGIN and COMMIT nobody falls asleep alone: a machine that sleeps does so whole.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_processes import warm_up
from fault_scenes import SCENES
from fault_stage import Stage, differing

from metawsm_rpc.engine import holding
from metawsm_rpc.store import leases

PARTS = 4
"""Into how many tests a scene is divided."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    folder = Path(tempfile.mkdtemp(prefix="metawsm-faults-"))
    warm_up()
    yield Stage(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def on_this_machine(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stage.machine.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.5)
    monkeypatch.setattr(holding, "_RENEW_SECONDS", 0.1)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", ["run", "restart"])
def test_a_late_driver_changes_nothing(stage: Stage, name: str, part: int) -> None:
    scene = next(scene for scene in SCENES if scene.name == name)
    points, undisturbed = stage.record(name)
    worth = [point for point in points if "git" in point or "tmux" in point or "launches" in point or "sh -c" in point]
    wrong = {}
    for point in worth[part :: 3 * PARTS]:
        try:
            meanwhile, after = stage.freeze(scene, point)
        except AssertionError as error:
            wrong[point] = str(error)
            continue
        told = [*differing(undisturbed, meanwhile, "meanwhile "), *differing(meanwhile, after, "after ")]
        if told:
            wrong[point] = "\n    ".join(told)
    assert not wrong, "\n".join(f"{point}:\n    {what}" for point, what in wrong.items())
