"""Kill -9 between any two side effects of a run, from its creation to its close, and then a new process.

The run is a sequence of scenes (fault_scenes.py). Each is recorded undisturbed, which names its crash
points (crash_points.py). Then, for each point, a child plays the scene and is killed there; another one
looks, does what a person would do, and comes to the same end.
"""

import contextlib
import importlib
import os
import pkgutil
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crash_points import CrashPoints, install
from engine_support import RUN, runs_on
from fault_scenes import (
    FOLLOWS,
    SCENES,
    Machine,
    Picture,
    Scene,
    check_history,
    check_truth,
    end_sessions,
    in_child,
    picture,
)

import metawsm_rpc
from metawsm_rpc.errors import RunNotFoundError

EVERY = 1 if os.environ.get("CRASH_POINTS") == "all" else 4
"""Of four neighbours one is enough for every day; `make faults` takes all of them."""

PARTS = {"run": 8, "close": 8, "resume": 3, "restart": 3, "cleanup": 3}
"""Into how many tests a scene is divided, so that none takes long and several can be run at once."""


def warm_up() -> None:
    """Import everything, so that no child has to."""
    for module in pkgutil.walk_packages(metawsm_rpc.__path__, "metawsm_rpc."):
        if module.name.split(".")[1] in {"engine", "hosts", "store", "policy", "domain", "ports"}:
            importlib.import_module(module.name)
    for name in ("psutil", "filecmp", "shutil", "tempfile", "concurrent.futures.thread"):
        importlib.import_module(name)


class Stage:
    """The scenes of this process's tests, each with the copy that it begins with and its record."""

    def __init__(self, folder: Path) -> None:
        self.machine = Machine(folder / "machine")
        self._folder = folder
        self._records: dict[str, tuple[list[str], Picture]] = {}
        self._environment: pytest.MonkeyPatch | None = None

    def copy_before(self, scene: Scene) -> Path:
        return self._folder / f"after {FOLLOWS.get(scene.name, 'nothing')}"

    def record(self, name: str) -> tuple[list[str], Picture]:
        """Return the points of a scene and its end, undisturbed; those before it are played first."""
        if name not in self._records:
            scene = next(scene for scene in SCENES if scene.name == name)
            if name in FOLLOWS:
                self.record(FOLLOWS[name])
            elif not self.copy_before(scene).exists():
                self.machine.make()
                self.machine.keep(self.copy_before(scene))
            self.machine.restore(self.copy_before(scene))
            points, unnamed = in_child(lambda: self.play(scene)).answer
            assert unnamed == [], f"side effects that no table names: {unnamed}"
            end = in_child(lambda: self.look_around(scene)).answer
            end_sessions()
            self.machine.keep(self._folder / f"after {name}")
            self._records[name] = (points, end)
        return self._records[name]

    def play(self, scene: Scene, die_at: str | None = None) -> tuple[list[str], list[str]]:
        """Play a scene, to be called in a child; returns its points, and the effects without a name."""
        with runs_on(self.machine.root) as runs:
            scene.prepare(runs)
        tempfile.tempdir = str(self.machine.path / "tmp")  # else looked for with a file of a random name
        points = CrashPoints(self.machine.path, die_at)
        install(points)
        with runs_on(self.machine.root) as runs:
            scene.act(runs)
        return points.names, points.unnamed

    def look_around(self, scene: Scene, person: Callable[[Any], None] | None = None) -> Picture:
        """Look, let a person act, and return the end; to be called in a child."""
        with runs_on(self.machine.root) as runs:
            if person is not None:
                with contextlib.suppress(RunNotFoundError):
                    check_truth(runs, runs.verbs.status(RUN))
                person(runs)
            scene.after(runs)
            runs.verbs.status(RUN)
            end = picture(runs)
            details = [runs.store.detail(row.run_id) for row in runs.store.summaries()[0]]
            check_history(runs.store.events(), details)
            return end

    def crash(self, scene: Scene, point: str) -> Picture:
        """Play a scene up to a point at which it is killed, and return how it ends all the same."""
        self.machine.restore(self.copy_before(scene))
        try:
            died = in_child(lambda: self.play(scene, point))
            assert died.signal == signal.SIGKILL, "the point was not reached"
            return in_child(lambda: self.look_around(scene, scene.again)).answer
        finally:
            end_sessions()


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


def differing(expected: Any, found: Any, where: str = "") -> Iterator[str]:
    """Yield where two pictures differ."""
    if isinstance(expected, Picture):
        expected, found = expected._asdict(), found._asdict()
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in {**expected, **found}:
            yield from differing(expected.get(key), found.get(key), f"{where}{key}.")
    elif isinstance(expected, list) and isinstance(found, list) and Counter(expected) != Counter(found):
        missing, more = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
        yield f"{where} lacks {list(missing.elements())} and has {list(more.elements())}"
    elif expected != found:
        yield f"{where} {expected} became {found}"
