"""The input line of a known program: where a text stands that was put there, until it is sent from there."""

import re
from collections.abc import Mapping

from metawsm_rpc.domain.readings import claude, codex, gemini, opencode

_INPUT: Mapping[str, tuple[str, bool]] = {
    "claude": (claude.PROMPT, False),
    "codex": (codex.PROMPT, True),
    "gemini": (gemini.PROMPT, True),
    "opencode": (rf"(?:^ *┃.*\n)+(?={opencode.PROMPT.removeprefix('^')})", False),
}
"""By the profile's runner: how the input line looks, and whether it goes on below to where nothing marks its end."""


def is_known(runner: str) -> bool:
    """Return whether the input line of this runner's program can be found on its screen."""
    return runner in _INPUT


def input_line(runner: str, screen: str) -> str | None:
    """Return what stands in the input line, None when there is none on the screen, as while a dialog is open.

    It may hold what is drawn around or below the text. `runner` is known, `screen` is plain text.
    """
    pattern, goes_on = _INPUT[runner]
    text = "\n".join(line.rstrip() for line in screen.splitlines()).rstrip()
    last = None
    for last in re.finditer(pattern, text, re.MULTILINE):  # noqa: B007 - the last one is meant
        pass
    if last is None:
        return None
    return text[last.start() :] if goes_on else last[0]
