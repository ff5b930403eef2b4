"""The stage on which scenes are played, with processes that die or sleep in the middle of them."""

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from crash_points import CrashPoints, install
from engine_support import RUN, runs_on
from fault_machine import Machine, end_sessions
from fault_picture import Picture, check_history, check_truth, picture
from fault_processes import Child, in_child, warm_up
from fault_scenes import FOLLOWS, SCENES, Scene

from metawsm_rpc.errors import RunNotFoundError
from metawsm_rpc.store import leases


@contextlib.contextmanager
def stage_in_a_folder() -> Iterator["Stage"]:
    """Set up a stage; its path is short, because the paths of sockets have to be."""
    warm_up()
    folder = Path(tempfile.mkdtemp(prefix="mw-", dir="/tmp"))
    try:
        yield Stage(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Stage:
    """The scenes of this process's tests, each with the copy that it begins with and its record."""

    def __init__(self, folder: Path) -> None:
        self.machine = Machine(folder / "machine")
        (folder / "sockets").mkdir()
        self._folder = folder
        self._records: dict[str, tuple[list[str], Picture]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """The variables of every process on this stage; a run remembers where its tmux server is."""
        return {**self.machine.environment, "TMUX_TMPDIR": str(self._folder / "sockets")}

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

    def play(self, scene: Scene, at: str | None = None, how: int = signal.SIGKILL) -> tuple[list[str], list[str]]:
        """Play a scene, to be called in a child; returns its points, and the effects without a name.

        `at` one of its points the child gives itself the signal `how`.
        """
        with runs_on(self.machine.root) as runs:
            scene.prepare(runs)
        tempfile.tempdir = str(self.machine.path / "tmp")  # else looked for with a file of a random name
        points = CrashPoints(self.machine.path, at, how)
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

    def freeze(self, scene: Scene, point: str) -> tuple[Picture, Picture]:
        """Play a scene up to a point at which its process sleeps, for longer than its lease lives.

        Returns the end to which another process comes meanwhile, and what there is after the late one
        has woken up and ended.
        """
        self.machine.restore(self.copy_before(scene))
        late = Child(lambda: self.play(scene, point, signal.SIGSTOP))
        try:
            assert late.stopped(), "the point was not reached"
            try:
                time.sleep(leases.LEASE_SECONDS)
                meanwhile = in_child(lambda: self.look_around(scene, scene.again)).answer
            finally:
                os.kill(late.pid, signal.SIGCONT)
                late.wait()
            return meanwhile, in_child(lambda: self.look_around(scene)).answer
        finally:
            end_sessions()

    def crash(self, scene: Scene, point: str) -> Picture:
        """Play a scene up to a point at which it is killed, and return how it ends all the same."""
        self.machine.restore(self.copy_before(scene))
        try:
            died = in_child(lambda: self.play(scene, point))
            assert died.signal == signal.SIGKILL, "the point was not reached"
            return in_child(lambda: self.look_around(scene, scene.again)).answer
        finally:
            end_sessions()


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
