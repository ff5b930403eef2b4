"""Converts what a program printed to its terminal into plain text.

Escape sequences (ECMA-48 and xterm's operating system commands) and control characters other than newline and
tab are removed, but their effect on the text remains: a progress bar that rewrote its line appears once, in its
final state. Only the output of full-screen programs needs a terminal to be readable.
"""

import re

_SEQUENCE = re.compile(
    r"""
      (?P<text> [^\x00-\x08\x0a-\x1f\x7f-\x9f]+ )
    | (?: \x1b\[ | \x9b ) (?P<parameters> [0-?]* ) [ -/]* (?P<final> [@-~] )  # control sequence
    | (?: \x1b\] | \x9d ) [^\x07\n\x18\x1a\x1b\x9c]* (?: \x07 | \x1b\\ | \x9c )?  # title, link, notification
    | (?: \x1b[PX^_] | [\x90\x98\x9e\x9f] ) [^\x18\x1a\x1b\x9c]* (?: \x1b\\ | \x9c )?  # device control string
    | (?: \x1b\[ | \x9b ) [ -?]*  # a control sequence that was broken off
    | \x1b [ -/]* [0-~]?
    | (?P<control> [\x00-\x1f\x7f-\x9f] )
    """,
    re.VERBOSE,
)

_UNFINISHED = re.compile(
    rb"\x1b (?: \[ [ -?]* | \] [^\x07\n\x18\x1a\x1b]* \x1b? | [PX^_] [^\x18\x1a\x1b]* \x1b? | [ -/]* )? \Z", re.VERBOSE
)

_LONGEST_SEQUENCE = 4096
"""An unfinished sequence that is longer is no longer waited for."""

_WIDEST = 1000
"""The column at which movements to the right stop, as at a terminal's edge."""


def plain_text(printed: str | bytes) -> str:
    """Return the text without escape sequences and control characters; lines end in a newline.

    Carriage return, backspace, and movements and erasures near the cursor are applied. A character that is cut
    off at the beginning or the end of bytes is left out, other invalid UTF-8 replaced.
    """
    screen = _Screen()
    for match in _SEQUENCE.finditer(printed if isinstance(printed, str) else _decoded(printed)):
        if match["text"]:
            screen.write(match["text"])
        elif match["final"]:
            screen.obey(match["final"], match["parameters"])
        elif match["control"]:
            screen.control(match["control"])
    return screen.text()


def whole_length(printed: bytes) -> int:
    """Return the length of the longest prefix that ends neither within a character nor within an escape sequence.

    A reader that follows a transcript shows that prefix and continues after it.
    """
    tail = printed[-_LONGEST_SEQUENCE:]
    unfinished = _UNFINISHED.search(tail)
    end = len(printed) - len(tail) + unfinished.start() if unfinished else len(printed)
    return end - _cut_off(printed[:end])


def _decoded(data: bytes) -> str:
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start : len(data) - _cut_off(data)].decode("utf-8", "replace")


def _cut_off(data: bytes) -> int:
    """Return the number of bytes at the end that begin an incomplete UTF-8 character."""
    for length in range(1, min(3, len(data)) + 1):
        lead = data[-length]
        if lead & 0xC0 == 0x80:
            continue
        needed = 2 if lead & 0xE0 == 0xC0 else 3 if lead & 0xF0 == 0xE0 else 4 if lead & 0xF8 == 0xF0 else 1
        return length if length < needed else 0
    return 0


class _Screen:
    """Lines that grow downwards, and a cursor in them; a character is one cell."""

    def __init__(self) -> None:
        self._lines: list[list[str]] = [[]]
        self._row = 0
        self._column = 0

    def text(self) -> str:
        return "\n".join(map("".join, self._lines))

    def write(self, text: str) -> None:
        line = self._lines[self._row]
        line.extend(" " * (self._column - len(line)))
        line[self._column : self._column + len(text)] = text
        self._column += len(text)

    def control(self, character: str) -> None:
        if character == "\n":
            self._row += 1
            self._column = 0
            if self._row == len(self._lines):
                self._lines.append([])
        elif character == "\r":
            self._column = 0
        elif character == "\b":
            self._column = max(0, self._column - 1)

    def obey(self, final: str, parameters: str) -> None:
        """Apply a control sequence, as far as it concerns the text near the cursor."""
        number = int(parameters[:6]) if parameters.isdecimal() else 0
        count = number or 1
        if final in "AF":
            self._row = max(0, self._row - count)
        elif final in "BE":
            self._row = min(len(self._lines) - 1, self._row + count)
        elif final == "C":
            self._column = max(self._column, min(self._column + count, _WIDEST))
        elif final == "D":
            self._column = max(0, self._column - count)
        elif final == "G":
            self._column = min(count - 1, _WIDEST)
        elif final == "K" or (final == "J" and number == 0):
            self._erase(number)
            if final == "J":
                del self._lines[self._row + 1 :]
        elif final in "HJdf":
            self._begin_afresh()
        if final in "EF":
            self._column = 0

    def _erase(self, part: int) -> None:
        line = self._lines[self._row]
        if part == 0:
            del line[self._column :]
        elif part == 1:
            line[: self._column + 1] = " " * min(self._column + 1, len(line))
        else:
            line.clear()

    def _begin_afresh(self) -> None:
        """Start a new line when the program positions the cursor or clears the screen, keeping the text so far."""
        if self._lines[-1]:
            self._lines.append([])
        self._row = len(self._lines) - 1
        self._column = 0
