"""What tells the engine at once that something happened to agents, without asking again and again."""

from typing import NamedTuple, Protocol


class Woken(NamedTuple):
    """Why a wait ended: `dead` are launches whose process has died, `dropped` that a drop box has something new.

    Neither when the time was over, or somebody asked for it.
    """

    dead: tuple[str, ...]
    dropped: bool


class Watch(Protocol):
    """The agents that are watched, by launch. One thread waits; any thread may wake it.

    A wait ends also when somebody writes to the store, as far as the machine tells that.
    """

    def follow_store(self) -> float:
        """Begin to watch the store, which is there by now.

        Returns after how many seconds at most it has to be asked all the same.
        """

    def follow(self, launch: str, pid: int, drop_box: str) -> None:
        """Watch an agent's process and its drop box; one that is followed already is left as it is."""

    def followed(self) -> frozenset[str]:
        """Return the launches that are watched; who was told to be dead is not among them."""

    def forget(self, launch: str) -> None:
        """Watch it no longer; harmless when it is not watched."""

    def wait(self, timeout: float) -> Woken:
        """Wait for news, at most `timeout` seconds."""

    def wake(self) -> None:
        """Let the wait that is under way, or else the next one, end now."""

    def close(self) -> None:
        """Give back what the watch holds; no wait may be under way."""
