"""Text of agents and of files inside Markdown: it is shown, and never becomes structure, a link or a command.

What is CommonMark or GitHub's dialect to one editor is plain text to another, so only what could
mean something is escaped.
"""

import re
from collections.abc import Sequence

from metawsm_rpc.domain.plain_text import plain_text

_MEANINGFUL = re.compile(r"[\\`*\[\]<>!|~&@#$]|(?<!\w)_|_(?!\w)|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""Emphasis, code, links, images, HTML, entities, tables, mentions, formulas, and addresses that link themselves."""

_MISLEADING = re.compile("[\u061c\u200b-\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff]")
"""Characters without a shape that reorder or hide what stands beside them."""

_BACKTICKS = re.compile("`+")


def shown(text: str) -> str:
    """Return text of several lines without escape sequences and characters that mislead."""
    return _MISLEADING.sub("", plain_text(text))


def one_line(text: str, limit: int = 200) -> str:
    """Return text as one line of at most `limit` characters, for messages and labels."""
    line = " ".join(shown(text[: limit * 20]).split())
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"


def inline(text: str, limit: int = 200) -> str:
    """Return text as one line of Markdown that means just this text, also in the cell of a table."""
    return _MEANINGFUL.sub(lambda found: f"\\{found[0]}", one_line(text, limit))


def code(text: str, limit: int = 200) -> str:
    """Return text as one line of code in Markdown; not for the cell of a table."""
    line = one_line(text, limit)
    if not line:
        return ""
    fence = _longer_than_in(line, 1)
    return f"{fence} {line} {fence}" if len(fence) > 1 or line[:1] == "`" else f"`{line}`"


def fenced(text: str, language: str = "text") -> str:
    """Return text of several lines as a block of code in Markdown."""
    content = shown(text).strip("\n")
    fence = _longer_than_in(content, 3)
    return f"{fence}{language}\n{content}\n{fence}"


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table; its cells are Markdown of one line each."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _longer_than_in(text: str, least: int) -> str:
    return "`" * max(least, *(len(run) + 1 for run in _BACKTICKS.findall(text)), least)
