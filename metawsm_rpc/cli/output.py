"""Output: JSON for programs, tables and colours for people, plain columns for pipes.

Results go to standard output; everything else, errors and progress, to standard error.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from metawsm_rpc.domain.wire import wire
from metawsm_rpc.errors import MetawsmError

COLOURS = {
    "completed": "green",
    "closed": "green",
    "done": "green",
    "healthy": "green",
    "running": "cyan",
    "closing": "cyan",
    "idle": "blue",
    "waiting": "yellow",
    "awaiting_guidance": "yellow",
    "stalled": "yellow",
    "paused": "yellow",
    "stopping": "yellow",
    "failed": "red",
    "dead": "red",
    "unknown": "magenta",
    "skipped": "dim",
    "stopped": "dim",
    "pending": "dim",
}
"""The colour of each state; the words alone say the same."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that control a terminal, or that change the reading order of a line."""


def print_json(answer: Any) -> None:
    """Print one JSON document: a result in the form of the protocol."""
    sys.stdout.write(json.dumps(wire(answer), ensure_ascii=False) + "\n")


def fail(error: MetawsmError, *, as_json: bool) -> int:
    """Print an error and return its exit status."""
    if as_json:
        print_json({"error": {"code": error.code, "message": error.message, "data": error.data()}})
    say(f"metawsm: {' '.join(error.message.splitlines())}", colour="red")
    if error.hint:
        say(f"  {error.hint}")
    return error.exit_status


def say(text: str, *, colour: str | None = None) -> None:
    """Print a message for people on standard error, without anything that could control a terminal.

    If the reader has gone, the message is dropped, because a started run must continue.
    """
    try:
        _write(sys.stderr, clean(text), colour)
    except BrokenPipeError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Discard what could not be written, also at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def line(text: str, *, colour: str | None = None) -> None:
    """Print a line of a result."""
    _write(sys.stdout, clean(text), colour)


def paragraph(head: str, text: str, *, by: int, colour: str | None = None) -> None:
    """Print what somebody wrote after a head of ours; for people broken between words.

    Continuation lines are indented, so that none passes for a line of our own.
    """
    lines = clean(head + text).split("\n")
    if is_terminal(sys.stdout):
        from rich.console import Console
        from rich.text import Text

        console = Console()
        lines = [part.plain.rstrip() for one in lines for part in Text(one).wrap(console, console.width - by)]
    line(("\n" + " " * by).join(lines), colour=colour)


def said(state: str) -> str:
    """Return a state as words in a sentence: `awaiting guidance`."""
    return state.replace("_", " ")


def clean(text: str) -> str:
    """Return text without control characters, including Unicode's: names and messages may come from agents."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def _write(stream: TextIO, text: str, colour: str | None) -> None:
    if colour and is_terminal(stream):
        from rich.console import Console

        Console(file=stream, highlight=False, soft_wrap=True).print(text, style=colour, markup=False)
    else:
        stream.write(text + "\n")


def is_terminal(stream: TextIO) -> bool:
    """Return whether this stream is a terminal."""
    return stream.isatty()


def has_colours(stream: TextIO) -> bool:
    """Return whether this stream is a terminal that should get colours (NO_COLOR and TERM can forbid them)."""
    if not is_terminal(stream):
        return False
    from rich.console import Console

    console = Console(file=stream)
    return console.color_system is not None and not console.no_color


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print rows: a table with coloured states for people, aligned plain columns for pipes."""
    cells = [[clean("" if cell is None else str(cell)).replace("\n", " ") for cell in row] for row in rows]
    if not cells:
        say(empty)
    elif is_terminal(sys.stdout):
        _rich_table(columns, cells)
    else:
        widths = [max(len(column), *(_width(row[n]) for row in cells)) for n, column in enumerate(columns)]
        for row in ([column.upper() for column in columns], *cells):
            padded = (cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
            sys.stdout.write("  ".join(padded).rstrip() + "\n")


def _width(text: str) -> int:
    """Return the width of a text in terminal columns: two for each East Asian character."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _rich_table(columns: Sequence[str], rows: list[list[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(said(cell), COLOURS[cell]) if cell in COLOURS else Text(cell) for cell in row))
    Console().print(shown)


def heading(text: str) -> None:
    """Print a heading."""
    if is_terminal(sys.stdout):
        line(f"\n{text}", colour="bold")
    else:
        sys.stdout.write(f"\n{clean(text)}\n")
