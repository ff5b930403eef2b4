"""Finds what is being typed at an offset of a JSON text: a key or a value, and what precedes it.

The text is usually broken at that moment: quotes and brackets are open, commas are missing, keys have no value.
"""

import json
from collections.abc import Iterator
from typing import Literal, NamedTuple

from metawsm_rpc.policy.positions import TOKEN, escape

Role = Literal["key", "value"]


class Cursor(NamedTuple):
    """What is being typed.

    For a key, `pointer` is its object, and `taken` are the other keys of that object. For a value, `pointer` is
    the value's own. The text typed so far is at the offsets `start` to `end`; `has_value` says that a colon
    follows, `needs_comma` that a key or value follows without a comma.
    """

    role: Role
    pointer: str
    start: int
    end: int
    taken: frozenset[str]
    has_value: bool
    needs_comma: bool


class _Token(NamedTuple):
    text: str
    start: int
    end: int


class _Level:
    """An open object or list: `key` is the key whose value comes next."""

    def __init__(self, pointer: str, number: int, *, is_object: bool) -> None:
        self.pointer = pointer
        self.number = number
        self.is_object = is_object
        self.index = 0
        self.key: str | None = None
        self.colon = False

    @property
    def role(self) -> Role:
        """What comes next."""
        return "key" if self.is_object and not (self.key is not None and self.colon) else "value"

    @property
    def place(self) -> str:
        """The place of the value that comes next."""
        return f"{self.pointer}/{escape(self.key or '') if self.is_object else self.index}"


def cursor(text: str, offset: int) -> Cursor | None:
    """Return what is being typed at an offset; None where nothing can be, such as outside the policy."""
    tokens = list(_tokens(text))
    levels: list[_Level] = []
    keys: dict[int, list[tuple[int, str]]] = {}
    opened = 0
    at: tuple[_Level | None, Role, str, _Token, int] | None = None
    for number, token in enumerate(tokens):
        if at is None and _touches(token, offset):
            at = _at(levels, token, number)
        elif at is None and token.start >= offset:
            at = _at(levels, _Token("", offset, offset), number)
        opened = _follow(levels, keys, token, opened)
    if at is None:
        at = _at(levels, _Token("", offset, offset), len(tokens))
    level, role, pointer, token, number = at
    if level is None:
        return None
    after = number + 1 if token.text else number
    following = tokens[after].text if after < len(tokens) else ""
    taken = frozenset(key for start, key in keys.get(level.number, ()) if start != token.start)
    closed = len(token.text) > 1 and token.text.endswith('"')
    # An open string has swallowed the rest of its line.
    end = token.end if closed or not token.text.startswith('"') else offset
    follows = following not in ("", ",", "}", "]", ":")
    return Cursor(role, pointer, token.start, end, taken, following == ":", follows)


def _at(levels: list[_Level], token: _Token, number: int) -> tuple[_Level | None, Role, str, _Token, int]:
    if not levels:
        return None, "value", "", token, number
    level = levels[-1]
    return level, level.role, level.pointer if level.role == "key" else level.place, token, number


def _follow(levels: list[_Level], keys: dict[int, list[tuple[int, str]]], token: _Token, opened: int) -> int:
    """Process one token; returns how many objects and lists have been opened so far."""
    level = levels[-1] if levels else None
    if token.text in ("{", "["):
        pointer = level.place if level else ""
        levels.append(_Level(pointer, opened, is_object=token.text == "{"))
        return opened + 1
    if token.text in ("}", "]"):
        if levels:
            levels.pop()
        if levels:
            _value_ended(levels[-1])
    elif level is None:
        return opened
    elif token.text == ",":
        if not level.is_object:
            level.index += 1
        level.key, level.colon = None, False
    elif token.text == ":":
        level.colon = level.key is not None
    elif level.role == "key":
        level.key = _said(token.text)
        keys.setdefault(level.number, []).append((token.start, level.key))
    else:
        _value_ended(level)
    return opened


def _value_ended(level: _Level) -> None:
    # After a value comes a key, even if the comma is missing.
    if level.is_object:
        level.key, level.colon = None, False


def _touches(token: _Token, offset: int) -> bool:
    return token.text not in "{}[]:," and token.start < offset <= token.end


def _tokens(text: str) -> Iterator[_Token]:
    for match in TOKEN.finditer(text):
        if not match[0].isspace():
            yield _Token(match[0], match.start(), match.end())


def _said(token: str) -> str:
    try:
        return str(json.loads(token, strict=False))
    except ValueError:
        return token.strip('"')
