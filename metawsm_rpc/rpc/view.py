"""The view of a root that editor features are computed from: its tickets and the runs that are not closed."""

import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from metawsm_rpc.answers import TicketRow
from metawsm_rpc.domain.models import Blocked, RunDetail
from metawsm_rpc.errors import InvalidPolicyError

if TYPE_CHECKING:
    from metawsm_rpc.service import Service

_TICKETS_SECONDS = 1.0
"""How long the known state of the tickets' files stays valid."""

_WHOLE_SECONDS = 5.0
_MANY = 1000


class View(NamedTuple):
    """A root at one moment, the files of its tickets as the client names them: `details` are its runs that are not closed, newest first, as of event `seq`.

    `blocked` maps ids of runs to what blocked the last attempt to close them.
    """

    root: str
    tickets: tuple[TicketRow, ...]
    details: tuple[RunDetail, ...]
    seq: int
    blocked: Mapping[str, tuple[Blocked, ...]] = {}


class Views:
    """Maintains the view of one root, rereading only what has changed; may be used from any thread."""

    def __init__(self, root: str, service: "Service", as_shown: Callable[[str], str]) -> None:
        self._root = root
        self._service = service
        self._as_shown = as_shown
        self._lock = threading.Lock()
        self._tickets: tuple[TicketRow, ...] = ()
        self._tickets_at = -math.inf
        self._written: dict[str, int | None] = {}
        self._details: dict[str, RunDetail] = {}
        self._blocked: dict[str, tuple[Blocked, ...]] = {}
        self._seq = 0
        self._read_at = -math.inf

    def current(self) -> View:
        """Return the current view, without a sweep. Raises `StoreError`."""
        with self._lock:
            if self._service.has_state():
                self._read_runs()
            if time.monotonic() - self._tickets_at > _TICKETS_SECONDS:
                self._read_tickets()
            # These are oldest first, but runs are shown newest first.
            details = tuple(reversed(self._details.values()))
            return View(self._root, self._tickets, details, self._seq, dict(self._blocked))

    def tickets_changed(self) -> None:
        """Reread the tickets' files at the next look."""
        with self._lock:
            self._tickets_at = -math.inf

    def files_changed(self) -> bool:
        """Return whether the file of a ticket with a run was changed, moved or removed."""
        with self._lock:
            before, self._written = self._written, {path: _written_at(path) for path in self._written}
            changed = before != self._written
            if changed:
                self._tickets_at = -math.inf
            return changed

    def _read_runs(self) -> None:
        store = self._service.world.store
        fresh = store.events(self._seq, _MANY)
        # Changes without an event, such as the time of the last activity, are reread now and then.
        whole = len(fresh) == _MANY or time.monotonic() - self._read_at > _WHOLE_SECONDS
        changed = list(dict.fromkeys(event.run_id for event in fresh if event.run_id))
        if not (whole or changed):
            return
        if any(event.entity == "run" and event.type == "create" for event in fresh):
            self._tickets_at = -math.inf
        if whole:
            self._read_at = time.monotonic()
            rows, _, self._seq = store.summaries()
            changed = [row.run_id for row in reversed(rows) if row.status != "closed"]
            self._details = {run_id: self._details[run_id] for run_id in changed if run_id in self._details}
        else:
            self._seq = fresh[-1].seq
        for run_id in changed:
            self._read_run(run_id)

    def _read_run(self, run_id: str) -> None:
        detail = self._service.world.store.detail(run_id)
        if detail.run.status == "closed":
            self._details.pop(run_id, None)
            self._blocked.pop(run_id, None)
            return
        self._details[run_id] = detail
        self._blocked[run_id] = self._service.world.store.blocked(run_id)

    def _read_tickets(self) -> None:
        # With an unusable policy, the last known tickets still have their runs.
        with suppress(InvalidPolicyError):
            found = self._service.tickets().tickets
            # Times are only taken by who asks for changes: whoever else looks must not hide one.
            self._written = {ticket.path: self._written.get(ticket.path, -1) for ticket in found if ticket.runs}
            self._tickets = tuple(ticket._replace(path=self._as_shown(ticket.path)) for ticket in found)
            self._tickets_at = time.monotonic()


def _written_at(path: str) -> int | None:
    """Return a file's modification time in nanoseconds; None for a missing file."""
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return None
