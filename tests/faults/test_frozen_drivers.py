"""A driver that sleeps for longer than its lease lives, as with a laptop: another one takes over, and it notices.

Wherever it fell asleep, what it does when it wakes up changes nothing any more: the end is that of the
process which took over. Between BEGIN and COMMIT nobody falls asleep alone: a machine that sleeps does so whole.
"""

from collections.abc import Iterator

import pytest
from fault_scenes import SCENES
from fault_stage import Stage, differing, stage_in_a_folder

from metawsm_rpc.store import leases

EFFECTS = ("tmux", "launches", "sh -c", ".metawsm-part")
"""Where a driver may be late. While it has its turn at a repository, or at wsm's files, others wait for it."""

PARTS = 4
"""Into how many tests a scene is divided."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with stage_in_a_folder() as made:
        yield made


@pytest.fixture(autouse=True)
def on_this_machine(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stage.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.5)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", ["run", "restart"])
def test_a_late_driver_changes_nothing(stage: Stage, name: str, part: int) -> None:
    scene = next(scene for scene in SCENES if scene.name == name)
    points, undisturbed = stage.record(name)
    worth = [point for point in points if any(word in point for word in EFFECTS)]
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
