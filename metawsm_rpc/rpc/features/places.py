"""Places in the terms of the protocol: URIs of files, and ranges in the columns that the client counts."""

from collections.abc import Mapping

from lsprotocol import types
from pygls.uris import from_fs_path, to_fs_path
from pygls.workspace import PositionCodec

from metawsm_rpc.answers import TicketRow
from metawsm_rpc.domain.ticket_line import place_in
from metawsm_rpc.policy.positions import Position, Range, position_of

UTF16 = PositionCodec()
"""The columns of a client that asks for no others."""

START = types.Range(types.Position(0, 0), types.Position(0, 0))
"""The beginning of a document."""


def uri_of(path: str) -> str:
    """Return the URI of a file."""
    return from_fs_path(path) or path


def path_of(uri: str) -> str | None:
    """Return the path of a file's URI, None for any other URI."""
    return to_fs_path(uri) if uri.startswith("file:") else None


def ticket_range(ticket: TicketRow, texts: Mapping[str, str], codec: PositionCodec = UTF16) -> types.Range:
    """Return where a ticket's file says its id; `texts` are the open documents by path, saved or not."""
    text = texts.get(ticket.path)
    if text is None:
        # Before the value there is only ASCII.
        start = types.Position(ticket.line - 1, ticket.column - 1)
        return types.Range(start, types.Position(start.line, start.character + codec.client_num_units(ticket.ticket)))
    place = place_in(text)
    line = text.split("\n")[place.line]
    return types.Range(
        types.Position(place.line, codec.client_num_units(line[: place.start])),
        types.Position(place.line, codec.client_num_units(line[: place.end])),
    )


def policy_range(where: Range, lines: list[str], codec: PositionCodec = UTF16) -> types.Range:
    """Return a range of the policy, which counts code points from 1, as the client counts."""
    return types.Range(_position(where.start, lines, codec), _position(where.end, lines, codec))


def _position(where: Position, lines: list[str], codec: PositionCodec) -> types.Position:
    line = lines[where.line - 1] if where.line <= len(lines) else ""
    return types.Position(where.line - 1, codec.client_num_units(line[: where.column - 1]))


def position_from(lines: list[str], position: types.Position, codec: PositionCodec = UTF16) -> Position:
    """Return a position of the client as line and column in code points, from 1; past a line it is the line's end."""
    line = lines[position.line] if position.line < len(lines) else ""
    column = units = 0
    while column < len(line) and units < position.character:
        units += codec.client_num_units(line[column])
        column += 1
    return Position(position.line + 1, column + 1)


def offset_of(text: str, position: types.Position, codec: PositionCodec = UTF16) -> int:
    """Return the offset in code points of a position of the client."""
    lines = text.split("\n")
    if position.line >= len(lines):
        return len(text)
    before = sum(len(line) + 1 for line in lines[: position.line])
    return before + position_from(lines, position, codec).column - 1


def range_between(text: str, start: int, end: int, codec: PositionCodec = UTF16) -> types.Range:
    """Return two offsets in code points as the client's range."""
    return policy_range(Range(position_of(text, start), position_of(text, end)), text.split("\n"), codec)
