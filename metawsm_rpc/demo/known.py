"""What the demonstration has learned from the server: which agents have signalled or died, what is wrong."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from metawsm_rpc.demo.client import Diagnostic, Published
from metawsm_rpc.demo.story import TICKETS, WORK
from metawsm_rpc.domain.models import SETTLED, Event

_DYING: Mapping[str, int] = {
    f"{ticket}/{agent}": sum(change.dies for change in changes) for (ticket, agent), changes in WORK.items()
}
"""How often each agent dies in the story."""


class Change(NamedTuple):
    """A diagnostic on a ticket that has come, or is `gone`."""

    ticket: str
    diagnostic: Diagnostic
    gone: bool


class Known:
    """Grows with every message that is taken."""

    def __init__(self) -> None:
        self.done: set[str] = set()
        self.is_settled = False
        self._silent = {f"{ticket}/{agent}" for ticket, agent in WORK}
        self._deaths: dict[str, int] = {}
        self._standing: dict[Path, dict[tuple[str, str], Diagnostic]] = {}
        self._changes: list[Change] = []
        self._codes: set[str] = set()

    @property
    def everybody_has_spoken(self) -> bool:
        """Whether every agent has said something."""
        return not self._silent

    def has_been(self, code: str) -> bool:
        """Return whether there ever was a diagnostic of this code."""
        return code in self._codes

    def is_unexpected(self, event: Event) -> bool:
        """Return whether a death, which was taken already, is none of the story's."""
        return self._deaths.get(event.entity_id, 0) > _DYING.get(event.entity_id, 0)

    def changes(self) -> Iterator[Change]:
        """Yield the diagnostics that have come or gone since the last call."""
        fresh, self._changes = self._changes, []
        yield from fresh

    def take(self, item: Event | Published) -> None:
        """Learn from one message."""
        if isinstance(item, Published):
            self._compare(item)
        elif item.entity == "agent" and item.type != "health":
            if item.type in ("waiting", "progress", "guidance"):
                self._silent.discard(item.entity_id)
            if item.to == "completed":
                self.done.add(item.entity_id)
            if item.to == "dead" != item.from_:
                self._deaths[item.entity_id] = self._deaths.get(item.entity_id, 0) + 1
        elif item.entity == "run" and item.from_ != item.to and item.to is not None:
            self.is_settled = item.to in SETTLED

    def _compare(self, published: Published) -> None:
        ticket = next((one.ticket for one in TICKETS if published.path.parent.name.startswith(one.ticket)), "")
        before = self._standing.get(published.path, {})
        # Its words may change while it stands: those up to a colon say who and what it is about.
        now = {(one.code, one.message.partition(":")[0]): one for one in published.diagnostics}
        self._standing[published.path] = now
        self._codes.update(one.code for one in now.values())
        self._changes += [Change(ticket, one, gone=True) for key, one in before.items() if key not in now]
        self._changes += [Change(ticket, one, gone=False) for key, one in now.items() if key not in before]
