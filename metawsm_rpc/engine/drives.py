"""The drives of this process: one thread for each run that it drives."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from metawsm_rpc.engine.driving import Drive
from metawsm_rpc.engine.holding import take
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import LostLeaseError
from metawsm_rpc.ports.store import Lease


class _Underway(NamedTuple):
    drive: Drive
    thread: threading.Thread


class Failure(NamedTuple):
    """The error that ended a drive, a defect or a failing store, and its time by the monotonic clock."""

    at: float
    error: BaseException


class Drives:
    """Starts drives, waits for them, and ends them when the process ends."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._underway: dict[str, _Underway] = {}
        self._failures: dict[str, Failure] = {}

    def start(self, run_id: str, lease: Lease) -> None:
        """Drive a run in the background with a lease that is released at the end, even if this fails."""
        try:
            if run_id in self._underway:
                # It has lost the run, or we could not hold the lease; it is making its last writes.
                self._underway[run_id].thread.join()
            drive = Drive(self._world, run_id, lease)
        except BaseException as error:
            self._failures[run_id] = Failure(time.monotonic(), error)
            self._world.store.release(lease)
            raise
        self._failures.pop(run_id, None)
        thread = threading.Thread(target=self._drive, args=(run_id, drive, lease), name=f"drive {run_id}", daemon=True)
        self._underway[run_id] = _Underway(drive, thread)
        thread.start()

    def _drive(self, run_id: str, drive: Drive, lease: Lease) -> None:
        try:
            drive.run()
        except LostLeaseError:
            # A stop has taken over, and reports it itself.
            return
        except BaseException as error:  # noqa: BLE001 - raised again in wait(), in the caller's thread
            self._failures[run_id] = Failure(time.monotonic(), error)
        finally:
            self._world.store.release(lease)

    def wait(self, run_id: str, timeout: float | None = None) -> bool:
        """Wait until the run's drive is over; return False on timeout.

        Raises the error that ended the drive, if any.
        """
        if run_id in self._underway:
            thread = self._underway[run_id].thread
            thread.join(timeout)
            if thread.is_alive():
                return False
        if failure := self._failures.pop(run_id, None):
            raise failure.error
        return True

    def failure(self, run_id: str) -> Failure | None:
        """Return the error that ended the latest drive of a run, unless it was already raised."""
        return self._failures.get(run_id)

    def holding(self, run_id: str, act: Callable[[Lease], object]) -> None:
        """Take the run's lease, record a request with it, and drive the run in the background."""
        lease = take(self._world, run_id)
        try:
            act(lease)
        except BaseException:
            self._world.store.release(lease)
            raise
        self.start(run_id, lease)

    def close(self) -> None:
        """Interrupt every drive; the next driver picks up what was running."""
        for drive, _ in tuple(self._underway.values()):
            drive.interrupt()
        for _, thread in tuple(self._underway.values()):
            thread.join()
