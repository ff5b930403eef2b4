"""Embeds text of agents and files in Markdown so that it never becomes structure, a link or a command.

Editors support different dialects (CommonMark, GitHub's, or none), so only characters that could have a meaning
are escaped.
"""

import re
from collections.abc import Sequence

from metawsm_rpc.domain.plain_text import plain_text

_MEANINGFUL = re.compile(r"[\\`*\[\]<>!|~&@#$]|(?<!\w)_|_(?!\w)|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""Emphasis, code, links, images, HTML, entities, tables, mentions, formulas, and addresses that link themselves."""

_MISLEADING = re.compile("[\u061c\u200b-\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff]")
"""Invisible characters that reorder or hide their neighbours."""

_BACKTICKS = re.compile("`+")


def shown(text: str) -> str:
    """Return multi-line text without escape sequences and misleading characters."""
    return _MISLEADING.sub("", plain_text(text))


def one_line(text: str, limit: int = 200) -> str:
    """Return text as one line of at most `limit` characters, for messages and labels."""
    return unlinked(_line(text, limit))


def unlinked(text: str) -> str:
    """Return text without links as Markdown has them: some editors find them in messages, of commands too."""
    return text.replace("](", "] (")


def inline(text: str, limit: int = 200) -> str:
    """Return text as one line of Markdown that renders as exactly this text, also in a table cell."""
    return _MEANINGFUL.sub(lambda found: f"\\{found[0]}", _line(text, limit))


def code(text: str, limit: int = 200) -> str:
    """Return text as inline code in Markdown; not for table cells."""
    line = _line(text, limit)
    if not line:
        return ""
    fence = _longer_than_in(line, 1)
    return f"{fence} {line} {fence}" if len(fence) > 1 or line[:1] == "`" else f"`{line}`"


def fenced(text: str, language: str = "text") -> str:
    """Return multi-line text as a fenced code block in Markdown."""
    content = shown(text).strip("\n")
    fence = _longer_than_in(content, 3)
    return f"{fence}{language}\n{content}\n{fence}"


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table; its cells are single lines of Markdown."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _line(text: str, limit: int) -> str:
    line = " ".join(shown(text[: limit * 20]).split())
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"


def _longer_than_in(text: str, least: int) -> str:
    return "`" * max(least, *(len(run) + 1 for run in _BACKTICKS.findall(text)), least)
