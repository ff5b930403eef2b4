"""The drives of this process: one thread for each run that it drives."""

import threading
from collections.abc import Callable

from metawsm_rpc.engine.driving import Drive
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import LostLeaseError
from metawsm_rpc.ports.store import Lease


class Drives:
    """Starts drives, waits for them, and ends them with the process."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._threads: dict[str, threading.Thread] = {}
        self._drives: dict[str, Drive] = {}
        self._failures: dict[str, BaseException] = {}

    def start(self, run_id: str, lease: Lease) -> None:
        """Drive a run in the background with a lease that is given up at the end."""
        drive = Drive(self._world, run_id, lease)
        self._in_background(run_id, drive, lease)

    def _in_background(self, run_id: str, drive: Drive, lease: Lease) -> None:
        def body() -> None:
            try:
                drive.run()
            except LostLeaseError:
                # A stop has taken over, and tells of it itself.
                return
            except BaseException as error:  # noqa: BLE001 - raised again in wait(), in the caller's thread
                self._failures[run_id] = error
            finally:
                self._world.store.release(lease)

        self._drives[run_id] = drive
        self._threads[run_id] = threading.Thread(target=body, name=f"drive {run_id}", daemon=True)
        self._threads[run_id].start()

    def wait(self, run_id: str, timeout: float | None = None) -> bool:
        """Wait until the run's drive is over; False when the time came first.

        Raises what ended the drive, if that was a defect.
        """
        thread = self._threads.get(run_id)
        if thread is not None:
            thread.join(timeout)
            if thread.is_alive():
                return False
        if failure := self._failures.pop(run_id, None):
            raise failure
        return True

    def holding(self, run_id: str, act: Callable[[Lease], object]) -> None:
        """Take the run's lease, record a wish with it, and drive the run in the background."""
        lease = self._world.store.acquire(run_id)
        try:
            act(lease)
        except BaseException:
            self._world.store.release(lease)
            raise
        self.start(run_id, lease)

    def close(self) -> None:
        """Cut off every drive; what was under way is picked up by the next one."""
        for drive in self._drives.values():
            drive.interrupt()
        for thread in self._threads.values():
            thread.join()
