"""Watching agents: notices deaths, new files in drop boxes and writes to the store without polling."""

from typing import NamedTuple, Protocol


class Woken(NamedTuple):
    """Why a wait ended: `dead` are launches whose process has died, `dropped` says that a drop box has new files.

    Both are empty after a timeout, `wake`, or a write to the store.
    """

    dead: tuple[str, ...]
    dropped: bool


class Watch(Protocol):
    """Watches agents, by launch. One thread waits; any thread may wake it.

    A wait also ends when the store is written, as far as the machine reports that.
    """

    def follow_store(self) -> float:
        """Start watching the store, which must exist.

        Returns the interval in seconds at which the store has to be polled all the same.
        """

    def follow(self, launch: str, pid: int, drop_box: str) -> None:
        """Watch an agent's process and its drop box; no effect when it is already watched."""

    def followed(self) -> frozenset[str]:
        """Return the launches that are watched, without those that were reported dead."""

    def forget(self, launch: str) -> None:
        """Stop watching an agent; harmless when it is not watched."""

    def wait(self, timeout: float) -> Woken:
        """Wait for news, for at most `timeout` seconds."""

    def wake(self) -> None:
        """End the current wait, or else the next one, at once."""

    def close(self) -> None:
        """Release the watch's resources; no wait may be in progress."""
