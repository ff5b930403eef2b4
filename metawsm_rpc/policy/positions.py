"""Where things stand in a JSON text: the key and the value of every JSON pointer.

`json.loads` gives values without positions, so the text is read a second time, for positions only.
Broken text gives the positions up to where it breaks, which is what an editor needs while somebody
types. Lines and columns count from 1, columns in Unicode code points.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

MAX_DEPTH = 32
"""How deep objects and lists may be nested; a policy needs 5, and Python's parser ends near 1000."""

TOKEN = re.compile(r'[ \t\r\n]+|"(?:[^"\\\n]|\\.)*"?|[{}\[\]:,]|[^\s{}\[\]:,"]+|.', re.DOTALL)
"""The tokens of a text that may be broken; a string that nobody has closed ends with its line."""

_NOT_JSON = frozenset({"NaN", "Infinity", "-Infinity"})


class Position(NamedTuple):
    """A place in a text."""

    line: int
    column: int


class Range(NamedTuple):
    """From a place up to, and not including, another one."""

    start: Position
    end: Position


class Entry(NamedTuple):
    """Where a value stands, and its key; elements of a list and the whole document have none."""

    key: Range | None
    value: Range


class Fault(NamedTuple):
    """Something that Python's JSON parser would let through, or fall over."""

    where: Range
    pointer: str
    message: str
    hint: str


class Scan(NamedTuple):
    """What a reading for positions found; of an `unusable` text the values should not be read."""

    entries: dict[str, Entry]
    faults: tuple[Fault, ...]
    unusable: bool


class _Level:
    """An object or list that is still open."""

    def __init__(self, pointer: str, opened: int, key: Range | None, *, is_object: bool) -> None:
        self.pointer = pointer
        self.opened = opened
        self.key = key
        self.is_object = is_object
        self.index = 0
        self.seen: set[str] = set()
        self.pending: tuple[str, Range] | None = None

    def place(self) -> tuple[str, Range | None]:
        """Return the pointer and key of the value that comes next."""
        if not self.is_object:
            return f"{self.pointer}/{self.index}", None
        name, key = self.pending or ("", None)
        return f"{self.pointer}/{escape(name)}", key


def positions(text: str) -> dict[str, Entry]:
    """Return where the key and the value of every JSON pointer (RFC 6901) stand.

    The whole document is the pointer "". Of a key that is given twice, the last one counts, as it
    does for `json.loads`.
    """
    return scan(text).entries


def scan(text: str) -> Scan:
    """Return the positions in a JSON text, and its duplicate keys, non-numbers and excessive depth."""
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    entries: dict[str, Entry] = {}
    faults: list[Fault] = []
    levels: list[_Level] = []
    unusable = False

    def position(offset: int) -> Position:
        line = bisect_right(starts, offset)
        return Position(line, offset - starts[line - 1] + 1)

    def place() -> tuple[str, Range | None]:
        return levels[-1].place() if levels else ("", None)

    for match in TOKEN.finditer(text):
        lexeme, start, end = match[0], match.start(), match.end()
        if lexeme.isspace():
            continue
        here = Range(position(start), position(end))
        level = levels[-1] if levels else None
        if lexeme.startswith('"') and _has_half_pair(lexeme):
            message = "Half of a surrogate pair cannot stand in a text."
            faults.append(Fault(here, place()[0], message, "Write the character itself, without \\u."))
            unusable = True
        if lexeme in "{[":
            pointer, key = place()
            if len(levels) == MAX_DEPTH:
                faults.append(
                    Fault(here, pointer, f"This is nested more than {MAX_DEPTH} levels deep.", "Take levels out.")
                )
                unusable = True
                break
            levels.append(_Level(pointer, start, key, is_object=lexeme == "{"))
        elif lexeme in "}]":
            if level is not None:
                entries[level.pointer] = Entry(level.key, Range(position(level.opened), here.end))
                levels.pop()
        elif lexeme == ",":
            if level is not None:
                level.index += 1
                level.pending = None
        elif lexeme == ":":
            continue
        elif level is not None and level.is_object and level.pending is None:
            name = _string(lexeme)
            if name in level.seen:
                pointer = f"{level.pointer}/{escape(name)}"
                faults.append(
                    Fault(
                        here, pointer, f'The key "{name}" is given twice.', "Remove one of them; the last one counts."
                    )
                )
            level.seen.add(name)
            level.pending = (name, here)
        else:
            pointer, key = place()
            entries[pointer] = Entry(key, here)
            if lexeme in _NOT_JSON:
                faults.append(Fault(here, pointer, f"{lexeme} is not JSON.", "Write a number."))
    end_of_text = position(len(text))
    for level in levels:
        entries[level.pointer] = Entry(level.key, Range(position(level.opened), end_of_text))
    return Scan(entries, tuple(faults), unusable)


def position_of(text: str, offset: int) -> Position:
    """Return the line and column of an offset into a text."""
    before = text[:offset]
    return Position(before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)


def escape(word: str) -> str:
    """Return one word of a JSON pointer."""
    return word.replace("~", "~0").replace("/", "~1")


def pointer_of(words: Iterable[str | int]) -> str:
    """Return the JSON pointer of a path."""
    return "".join(f"/{escape(str(word))}" for word in words)


def unescape(pointer: str) -> list[str]:
    """Return the words of a JSON pointer."""
    return [word.replace("~1", "/").replace("~0", "~") for word in pointer.split("/")[1:]]


def _has_half_pair(token: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in _decoded(token))


def _string(token: str) -> str:
    """Return what a string token says, fit to be printed."""
    return _decoded(token).encode(errors="replace").decode()


def _decoded(token: str) -> str:
    try:
        return str(json.loads(token, strict=False))
    except json.JSONDecodeError:
        return token.strip('"')
