"""What the editor is shown of a root: its tickets and the runs that are not closed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from metawsm_rpc.answers import TicketRow
from metawsm_rpc.domain.models import Blocked, RunDetail

if TYPE_CHECKING:
    from metawsm_rpc.service import Service


class View(NamedTuple):
    """A root at one moment: `details` are its runs that are not closed, newest first, as of event `seq`.

    `blocked` says for runs, by their ids, what blocked the last try to close them.
    """

    root: str
    tickets: tuple[TicketRow, ...]
    details: tuple[RunDetail, ...]
    seq: int
    blocked: Mapping[str, tuple[Blocked, ...]] = {}


def view_of(root: str, service: "Service") -> View:
    """Read what editors are shown; the machine is not asked."""
    tickets = service.tickets().tickets
    if not service.has_state():
        return View(root, tickets, (), 0)
    rows, _, seq = service.world.store.summaries()
    details = tuple(service.world.store.detail(row.run_id) for row in rows if row.status != "closed")
    blocked = {
        detail.run.run_id: service.world.store.blocked(detail.run.run_id)
        for detail in details
        if detail.run.status in ("completed", "closing")
    }
    return View(root, tickets, details, min([seq, *(detail.seq for detail in details)]), blocked)
