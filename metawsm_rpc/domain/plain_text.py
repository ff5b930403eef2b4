"""What a program printed to its terminal, as text that any other place can show.

Escape sequences go (ECMA-48, and xterm's operating system commands), and of the control characters
all but newline and tab. What they did to the text stays: a progress bar that rewrote its line is
there once, as it ended. Only full-screen programs need a terminal to be read.
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
"""A longer one that is not finished is not waited for."""

_WIDEST = 1000
"""Where a movement to the right ends, as it would at a terminal's edge."""


def plain_text(printed: str | bytes) -> str:
    """Return the text without escape sequences and control characters; lines end in a newline.

    Carriage return, backspace, and movements and erasures near the cursor take effect. A character
    that is cut off at the beginning or the end of bytes is left out, other invalid UTF-8 replaced.
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
    """Return how many bytes from the start cut neither a character nor an escape sequence at their end.

    Who follows a transcript shows that much, and goes on reading from there.
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
    """Return how many bytes at the end are the beginning of a UTF-8 character."""
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
        """Do what a control sequence says, as far as it concerns the text near the cursor."""
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
        """Leave what was printed alone when the program goes to some place of a screen or clears it."""
        if self._lines[-1]:
            self._lines.append([])
        self._row = len(self._lines) - 1
        self._column = 0
