"""Ticket ids in Markdown files, as links to the tickets."""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from lsprotocol import types
from pygls.workspace import PositionCodec

from metawsm_rpc.answers import TicketRow
from metawsm_rpc.domain.markdown import one_line
from metawsm_rpc.rpc.connection.texts import lines_of
from metawsm_rpc.rpc.features.places import UTF16, uri_of

_WORD = re.compile(r"(?<![\w.:/\\#@-])[^\W_][\w.:-]*")
_PLAIN_WORD = re.compile(r"[^\W\d_]+|\d+")
"""A ticket that is called `docs` or `12` is not meant by every such word."""


def mentions(text: str, tickets: Iterable[TicketRow]) -> Iterator[tuple[int, int, int, TicketRow]]:
    """Yield `(line, start, end, ticket)` for each ticket id in a text, counted from 0 in code points."""
    known = {ticket.ticket: ticket for ticket in tickets if not _PLAIN_WORD.fullmatch(ticket.ticket)}
    if not known:
        return
    for number, line in enumerate(lines_of(text)):
        for word in _WORD.finditer(line):
            written = word[0].rstrip(".:-")
            ticket = known.get(unicodedata.normalize("NFC", written))
            if ticket is not None:
                yield number, word.start(), word.start() + len(written), ticket


def links(
    text: str, path: str | None, tickets: Iterable[TicketRow], codec: PositionCodec = UTF16
) -> list[types.DocumentLink]:
    """Return the links of a Markdown file: each ticket id but its own to the ticket's file."""
    lines = lines_of(text)
    found = []
    for number, start, end, ticket in mentions(text, tickets):
        line = lines[number]
        # What is the text of a link already goes where its author wants it.
        if ticket.path == path or line[end : end + 2] == "](":
            continue
        where = types.Range(
            types.Position(number, codec.client_num_units(line[:start])),
            types.Position(number, codec.client_num_units(line[:end])),
        )
        found.append(types.DocumentLink(where, uri_of(ticket.path), one_line(ticket.title)))
    return found


def ticket_at(
    text: str, position: types.Position, tickets: Iterable[TicketRow], codec: PositionCodec = UTF16
) -> tuple[TicketRow, types.Range] | None:
    """Return the ticket whose id stands at a position, and where it stands."""
    lines = lines_of(text)
    for number, start, end, ticket in mentions(text, tickets):
        if number == position.line:
            before, after = (codec.client_num_units(lines[number][:column]) for column in (start, end))
            if before <= position.character <= after:
                return ticket, types.Range(types.Position(number, before), types.Position(number, after))
    return None
