"""Code actions in a ticket's file: what helps against its diagnostics, and what else needs no typing."""

from collections.abc import Iterator, Sequence

from lsprotocol import types

from metawsm_rpc.answers import TicketRow
from metawsm_rpc.rpc.features.offers import Offer, on_ticket, on_trouble
from metawsm_rpc.rpc.features.troubles import Trouble, troubles
from metawsm_rpc.rpc.view import View

OTHER = "source.metawsm"
"""The kind of what is offered without a diagnostic: VS Code shows no light bulb for it on every line."""


def actions(
    ticket: TicketRow,
    view: View,
    context: types.CodeActionContext,
    *,
    trusted: bool = True,
    asks: bool = False,
) -> list[types.CodeAction]:
    """Return the actions in a ticket's file, those against troubles first, nothing twice.

    The troubles are those of now, whatever diagnostics the client still shows; in a folder that is
    not trusted there are only actions that look.
    """
    found: dict[str, types.CodeAction] = {}
    for kind, offer, mended in _offered(ticket, view, context.diagnostics, asks=asks):
        if (trusted or offer.reads) and _wanted(kind, context.only):
            key = f"{offer.verb} {offer.arguments}"
            found.setdefault(key, types.CodeAction(offer.title, kind, mended, command=offer.command()))
    return list(found.values())


def _offered(
    ticket: TicketRow, view: View, shown: Sequence[types.Diagnostic], *, asks: bool
) -> Iterator[tuple[str, Offer, list[types.Diagnostic] | None]]:
    for trouble in troubles(ticket, view):
        mended = [diagnostic for diagnostic in shown if _tells(diagnostic, trouble)]
        for offer in on_trouble(trouble, asks=asks):
            yield types.CodeActionKind.QuickFix, offer, mended or None
    for offer in on_ticket(ticket, view, asks=asks):
        yield OTHER, offer, None


def _tells(diagnostic: types.Diagnostic, trouble: Trouble) -> bool:
    return (diagnostic.code, diagnostic.message) == (trouble.code, trouble.message)


def _wanted(kind: str, only: Sequence[str] | None) -> bool:
    return only is None or any(kind == one or kind.startswith(f"{one}.") or not one for one in only)
