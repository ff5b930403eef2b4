"""Where a ticket's index.md says which ticket it is: the line `Ticket: MEN-1` of its frontmatter."""

import re
from typing import NamedTuple

_LINE = re.compile(r"""[ ]* (?P<mark>["']?) Ticket (?P=mark) [ \t]* :""", re.VERBOSE)
_VALUE = re.compile(
    r"""[ \t]+ (?: (?P<mark>["']) (?P<quoted> .*?) (?P=mark) | (?P<plain> \S .*? ) ) [ \t]* (?: [ ]\#.* )? \r?\Z""",
    re.VERBOSE,
)


class Place(NamedTuple):
    """A piece of one line: `line` counts from 0, `start` and `end` are offsets in code points."""

    line: int
    start: int
    end: int


def value_in(line: str) -> tuple[int, int]:
    """Return start and end of the value in a line `Ticket: value`, without its quotes; else of the whole line."""
    key = _LINE.match(line)
    value = _VALUE.match(line, key.end()) if key else None
    if value is None:
        return 0, len(line.rstrip())
    return value.span("quoted" if value["mark"] else "plain")


def place_in(text: str) -> Place:
    """Return where the text of a ticket's file names the ticket; if it does not, its first line."""
    lines = text.split("\n")
    if lines[0].strip() == "---":
        for number, line in enumerate(lines[1:], start=1):
            if line.strip() == "---":
                break
            if _LINE.match(line):
                return Place(number, *value_in(line))
    return Place(0, 0, len(lines[0].rstrip()))
