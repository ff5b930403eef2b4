"""The input line of a known program: where a text stands that was put there, until it is sent from there."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from metawsm_rpc.domain.readings import claude, codex, gemini, opencode


class _Input(NamedTuple):
    """How an input line looks, and where in it the text begins.

    `goes_on` is whether it may go on below to where nothing marks its end, `above` how many rows of what
    `pattern` matches are above the text, and `left` matches what is left of the text's first row; left of
    the others is as much.
    """

    pattern: str
    goes_on: bool
    above: int
    left: str


_INPUT: Mapping[str, _Input] = {
    "claude": _Input(claude.PROMPT, False, 1, r"❯\s"),
    "codex": _Input(codex.PROMPT, True, 0, r"› ?"),
    "gemini": _Input(gemini.PROMPT, True, 0, r"[ │]{0,2}[>!*] "),
    "opencode": _Input(rf"(?:^ *┃.*\n)+(?={opencode.PROMPT.removeprefix('^')})", False, 0, r" *┃ {0,2}"),
}
"""By the profile's runner."""

_BESIDE = " \u00a0│┃"
"""What is left of the second row of a text and those below."""


def is_known(runner: str) -> bool:
    """Return whether the input line of this runner's program can be found on its screen."""
    return runner in _INPUT


def input_line(runner: str, screen: str) -> str | None:
    """Return what stands in the input line, None when there is none on the screen, as while a dialog is open.

    It may hold what is drawn around or below the text. `runner` is known, `screen` is plain text.
    """
    found = _found(runner, screen)
    return found and found[1]


def draft(runner: str, screen: str, cursor: tuple[int, int]) -> str | None:
    """Return the text that stands before the cursor in the input line; None when there is none, or nobody can tell.

    What a program shows in an empty input line, as an example, it shows behind the cursor. `cursor` is the
    terminal's, column and row from 0; `runner` is known.
    """
    found = _found(runner, screen)
    if found is None:
        return None
    how, (top, text), (column, row) = _INPUT[runner], found, cursor
    rows = text.split("\n")[how.above :]
    count = row - top - how.above + 1
    prompt = re.match(how.left, rows[0])
    if prompt is None or not 0 < count <= len(rows) or column < prompt.end():
        return None
    first, *others = (*rows[: count - 1], rows[count - 1][:column])
    if any(other[: prompt.end()].strip(_BESIDE) for other in others):
        return None  # what is below the prompt is something else, such as a dialog
    return " ".join(" ".join(one[prompt.end() :] for one in (first, *others)).split()) or None


def _found(runner: str, screen: str) -> tuple[int, str] | None:
    """Return the row of the screen in which the input line begins, and what stands there."""
    how = _INPUT[runner]
    text = "\n".join(line.rstrip() for line in screen.splitlines()).rstrip()
    last = None
    for last in re.finditer(how.pattern, text, re.MULTILINE):  # noqa: B007 - the last one is meant
        pass
    if last is None:
        return None
    return text.count("\n", 0, last.start()), text[last.start() :] if how.goes_on else last[0]
