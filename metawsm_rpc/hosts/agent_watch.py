"""Wakes the supervisor when an agent's process dies, a signal reaches a drop box, or the store is written."""

import threading

from metawsm_rpc.hosts.death_watch import DeathWatch
from metawsm_rpc.hosts.folder_watch import FolderWatch
from metawsm_rpc.ports.watching import Woken

_TOLD_SECONDS = 1.0
_UNTOLD_SECONDS = 0.025
"""A signal is to be noticed within 50 ms."""


class AgentWatch:
    """Implements `metawsm_rpc.ports.watching.Watch` with notifications of the kernel."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._folders = FolderWatch()
        self._deaths = DeathWatch[str](also=self._folders)
        self._guard = threading.Lock()
        self._boxes: dict[str, str] = {}

    def follow_store(self) -> float:
        """Start watching the database's folder; returns the interval at which the store still has to be polled."""
        return _TOLD_SECONDS if self._folders.add_writes(self._state) else _UNTOLD_SECONDS

    def follow(self, launch: str, pid: int, drop_box: str) -> None:
        """Watch an agent's process and its drop box; no effect when it is already watched."""
        with self._guard:
            if launch in self._boxes:
                return
            self._boxes[launch] = drop_box
        self._folders.add(drop_box)
        self._deaths.add(launch, pid)

    def followed(self) -> frozenset[str]:
        """Return the launches that are watched, without those that were reported dead."""
        with self._guard:
            return frozenset(self._boxes)

    def forget(self, launch: str) -> None:
        """Stop watching an agent; harmless when it is not watched."""
        with self._guard:
            box = self._boxes.pop(launch, None)
            shared = box in self._boxes.values()
        if box is not None:
            self._deaths.discard(launch)
            if not shared:  # a restarted agent has the same drop box
                self._folders.discard(box)

    def wait(self, timeout: float) -> Woken:
        """Wait for news, for at most `timeout` seconds."""
        dead = self._deaths.wait(timeout)
        dropped = self._folders.has_news()
        for launch in dead:
            self.forget(launch)
        return Woken(dead, dropped)

    def wake(self) -> None:
        """End the current wait, or else the next one, at once."""
        self._deaths.wake()

    def close(self) -> None:
        """Release the watch's resources; no wait may be in progress."""
        self._deaths.close()
        self._folders.close()
