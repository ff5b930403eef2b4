"""Positions in a JSON text: of the key and the value of every JSON pointer.

`json.loads` returns values without positions, so the text is read a second time, for positions only. Broken
text gives the positions before the error, which is what an editor needs while somebody types. Lines and columns
count from 1, columns in Unicode code points.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

MAX_DEPTH = 32
"""How deep objects and lists may be nested; a policy needs 5, and Python's parser ends near 1000."""

TOKEN = re.compile(r'[ \t\r\n]+|"(?:[^"\\\n]|\\.)*"?|[{}\[\]:,]|[^\s{}\[\]:,"]+|.', re.DOTALL)
"""The tokens of a text that may be broken; an unclosed string ends with its line."""

_NOT_JSON = frozenset({"NaN", "Infinity", "-Infinity"})


class Position(NamedTuple):
    """A position in a text."""

    line: int
    column: int


class Range(NamedTuple):
    """A half-open range of positions."""

    start: Position
    end: Position


class Entry(NamedTuple):
    """The range of a value and of its key; elements of a list and the whole document have no key."""

    key: Range | None
    value: Range


class Fault(NamedTuple):
    """Something that Python's JSON parser would accept or crash on."""

    where: Range
    pointer: str
    message: str
    hint: str


class Scan(NamedTuple):
    """The positions and faults of a text; the values of an `unusable` text should not be read."""

    entries: dict[str, Entry]
    faults: tuple[Fault, ...]
    unusable: bool


class _Level:
    """An open object or list."""

    def __init__(self, pointer: str, opened: Position, key: Range | None, *, is_object: bool) -> None:
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

    def go_on(self) -> None:
        """Move on to the next key or element."""
        self.index += 1
        self.pending = None


def positions(text: str) -> dict[str, Entry]:
    """Return the positions of the key and the value of every JSON pointer (RFC 6901).

    The whole document is the pointer "". Of a duplicate key the last one counts, as in `json.loads`.
    """
    return scan(text).entries


def scan(text: str) -> Scan:
    """Return the positions in a JSON text, and its duplicate keys, non-numbers and excessive depth."""
    return _Scanner(text).scan()


class _Scanner:
    """Reads one text, token by token."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._levels: list[_Level] = []
        self._entries: dict[str, Entry] = {}
        self._faults: list[Fault] = []
        self._unusable = False

    def scan(self) -> Scan:
        for match in TOKEN.finditer(self._text):
            lexeme = match[0]
            here = Range(self._position(match.start()), self._position(match.end()))
            if lexeme in "{[":
                if len(self._levels) == MAX_DEPTH:
                    self._refuse(here, f"This is nested more than {MAX_DEPTH} levels deep.", "Take levels out.")
                    break
                pointer, key = self._place()
                self._levels.append(_Level(pointer, here.start, key, is_object=lexeme == "{"))
            elif lexeme in "}]":
                if self._levels:
                    self._close(self._levels.pop(), here.end)
            elif lexeme == ",":
                if self._levels:
                    self._levels[-1].go_on()
            elif lexeme != ":" and not lexeme.isspace():
                self._take(lexeme, here)
        for level in self._levels:
            self._close(level, self._position(len(self._text)))
        return Scan(self._entries, tuple(self._faults), self._unusable)

    def _take(self, lexeme: str, here: Range) -> None:
        """Take a key or a scalar value."""
        if lexeme.startswith('"') and _has_half_pair(lexeme):
            message = "Half of a surrogate pair cannot stand in a text."
            self._refuse(here, message, "Write the character itself, without \\u.")
        level = self._levels[-1] if self._levels else None
        if level is not None and level.is_object and level.pending is None:
            name = _string(lexeme)
            if name in level.seen:
                hint = "Remove one of them; the last one counts."
                pointer = f"{level.pointer}/{escape(name)}"
                self._faults.append(Fault(here, pointer, f'The key "{name}" is given twice.', hint))
            level.seen.add(name)
            level.pending = (name, here)
            return
        pointer, key = self._place()
        self._entries[pointer] = Entry(key, here)
        if lexeme in _NOT_JSON:
            self._faults.append(Fault(here, pointer, f"{lexeme} is not JSON.", "Write a number."))

    def _refuse(self, where: Range, message: str, hint: str) -> None:
        """Record a fault that makes the values unusable."""
        self._faults.append(Fault(where, self._place()[0], message, hint))
        self._unusable = True

    def _close(self, level: _Level, end: Position) -> None:
        self._entries[level.pointer] = Entry(level.key, Range(level.opened, end))

    def _place(self) -> tuple[str, Range | None]:
        return self._levels[-1].place() if self._levels else ("", None)

    def _position(self, offset: int) -> Position:
        line = bisect_right(self._starts, offset)
        return Position(line, offset - self._starts[line - 1] + 1)


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
    """Return the value of a string token, safe to print."""
    return _decoded(token).encode(errors="replace").decode()


def _decoded(token: str) -> str:
    try:
        return str(json.loads(token, strict=False))
    except json.JSONDecodeError:
        return token.strip('"')
