"""Code lenses on a ticket: Run, or how its runs are, with what can be done about them."""

from collections import Counter
from collections.abc import Iterator

from lsprotocol import types

from metawsm_rpc.answers import TicketRow
from metawsm_rpc.domain.appearance import state_of
from metawsm_rpc.domain.models import RunDetail
from metawsm_rpc.rpc.features.offers import Offer, answers, at_work
from metawsm_rpc.rpc.features.troubles import runs_of
from metawsm_rpc.rpc.view import View


def lenses(
    ticket: TicketRow, view: View, where: types.Range, *, trusted: bool = True, asks: bool = False
) -> list[types.CodeLens]:
    """Return the lenses above a ticket's line; in a folder that is not trusted only those that look."""
    return [
        types.CodeLens(where, offer.command()) for offer in _offers(ticket, view, asks=asks) if trusted or offer.reads
    ]


def _offers(ticket: TicketRow, view: View, *, asks: bool) -> Iterator[Offer]:
    runs = runs_of(ticket, view)
    for detail in runs:
        yield from _on_run(detail, ticket.ticket, view, asks=asks)
    if all(detail.run.status in ("stopped", "failed") for detail in runs):
        yield Offer("Run", "run", {"tickets": [ticket.ticket], "root": view.root})


def _on_run(detail: RunDetail, ticket: str, view: View, *, asks: bool) -> Iterator[Offer]:
    run = detail.run
    this = {"runId": run.run_id, "root": view.root}
    yield Offer(_told(detail, ticket), "status", this, reads=True)
    for question in detail.guidance:
        if question.ticket == ticket and question.status == "pending":
            yield from answers(question.id, view.root, question.agent, question.choices, asks=asks)
    if at_work(detail) or run.status == "stopping":
        yield Offer("Stop", "stop", this)
    if run.status in ("failed", "stopped", "paused"):
        yield Offer("Start" if run.status == "paused" else "Resume", "resume", this)
    if run.status != "paused":
        yield Offer("Review", "diff", {**this, "ticket": ticket, "patch": True})
    if run.status in ("completed", "closing"):
        yield Offer("Close", "close", this)


def _told(detail: RunDetail, ticket: str) -> str:
    """Return how a run is: `Run r1: running (worker idle)`."""
    mine = [agent for agent in detail.agents if agent.ticket == ticket]
    counted = Counter(map(state_of, mine))
    how = (
        f"{mine[0].name} {state_of(mine[0])}"
        if len(mine) == 1
        else ", ".join(f"{number} {state}" for state, number in counted.items())
    )
    status = detail.run.status.replace("_", " ")
    return f"Run {detail.run.run_id}: {status}" + (f" ({how})" if how else "")
