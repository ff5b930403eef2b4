"""What the editor is shown of a root: its tickets and the runs that are not closed."""

from collections.abc import Mapping
from typing import NamedTuple

from metawsm_rpc.answers import TicketRow
from metawsm_rpc.domain.models import Blocked, RunDetail


class View(NamedTuple):
    """A root at one moment: `details` are its runs that are not closed, newest first, as of event `seq`.

    `blocked` says for runs, by their ids, what blocked the last try to close them.
    """

    root: str
    tickets: tuple[TicketRow, ...]
    details: tuple[RunDetail, ...]
    seq: int
    blocked: Mapping[str, tuple[Blocked, ...]] = {}
