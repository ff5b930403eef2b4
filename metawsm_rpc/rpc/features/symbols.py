"""Tickets, runs and agents as symbols of the workspace."""

from collections.abc import Iterator

from lsprotocol import types

from metawsm_rpc.domain.appearance import state_of
from metawsm_rpc.domain.markdown import one_line
from metawsm_rpc.pages.address import Address
from metawsm_rpc.rpc.features.places import START, ticket_range, uri_of
from metawsm_rpc.rpc.view import View

LIMIT = 500
"""So many symbols are enough for a list in which somebody searches."""


def symbols(view: View, query: str, *, documents: bool) -> list[types.WorkspaceSymbol]:
    """Return the symbols in whose names the letters of a query occur in their order.

    Runs and agents are virtual documents for a client that opens these, else the file of their ticket.
    """
    found = [symbol for symbol in _all(view, documents=documents) if _fits(query, symbol.name)]
    return found[:LIMIT]


def _all(view: View, *, documents: bool) -> Iterator[types.WorkspaceSymbol]:
    places = {ticket.ticket: types.Location(uri_of(ticket.path), ticket_range(ticket, {})) for ticket in view.tickets}

    def place(ticket: str, *address: str) -> types.Location:
        if ticket in places and not documents:
            return places[ticket]
        return types.Location(Address(address[0], address[1:]).uri, START)

    for ticket in view.tickets:
        yield types.WorkspaceSymbol(
            location=places[ticket.ticket],
            name=f"{ticket.ticket} {one_line(ticket.title, 80)}",
            kind=types.SymbolKind.File,
            container_name=f"ticket, {one_line(ticket.status, 40)}",
        )
    for detail in view.details:
        run = detail.run
        yield types.WorkspaceSymbol(
            location=place(run.tickets[0], "run", run.run_id),
            name=f"{run.run_id} {', '.join(run.tickets)}",
            kind=types.SymbolKind.Event,
            container_name=f"run, {run.status.replace('_', ' ')}",
        )
        for agent in detail.agents:
            yield types.WorkspaceSymbol(
                location=place(agent.ticket, "transcript", run.run_id, agent.ticket, agent.name),
                name=f"{agent.name} on {agent.ticket}",
                kind=types.SymbolKind.Object,
                container_name=f"agent of {run.run_id}, {state_of(agent)}",
            )


def _fits(query: str, name: str) -> bool:
    letters = iter(name.casefold())
    return all(letter in letters for letter in query.casefold() if not letter.isspace())
