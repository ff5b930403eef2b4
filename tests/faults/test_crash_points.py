"""Kill -9 between any two side effects of a run, from its creation to its close, and then a new process.

The run is a sequence of scenes (fault_scenes.py). Each is recorded undisturbed, which names its crash
points (crash_points.py). Then, for each point, a child plays the scene and is killed there; another one
looks, does what a person would do, and comes to the same end.
"""

import os
from collections.abc import Callable, Iterator

import pytest
from fault_scenes import SCENES
from fault_stage import Stage, differing, stage_in_a_folder

EVERY = 1 if os.environ.get("CRASH_POINTS") == "all" else 4
"""Of four neighbours one is enough for every day; `make faults` takes all of them."""

PARTS = {"run": 8, "close": 8, "resume": 3, "restart": 3, "cleanup": 3}
"""Into how many tests a scene is divided, so that none takes long and several can be run at once."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with stage_in_a_folder() as made:
        yield made


@pytest.fixture(autouse=True)
def on_this_machine(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stage.environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("name", "part"),
    [(scene.name, part) for scene in SCENES for part in range(PARTS.get(scene.name, 1))],
    ids=str,
)
def test_a_death_at_any_point_changes_nothing_about_the_end(
    stage: Stage, name: str, part: int, record_property: Callable[[str, object], None]
) -> None:
    scene = next(scene for scene in SCENES if scene.name == name)
    points, undisturbed = stage.record(name)
    mine = points[part :: PARTS.get(name, 1)][::EVERY]
    record_property("crash points", len(mine))
    wrong = {}
    for point in mine:
        try:
            end = stage.crash(scene, point)
        except AssertionError as error:
            wrong[point] = str(error)
            continue
        if differences := list(differing(undisturbed, end)):
            wrong[point] = "\n    ".join(differences)
    assert not wrong, "\n".join(f"{point}:\n    {what}" for point, what in wrong.items())
