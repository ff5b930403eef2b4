"""What the visible text of a terminal states by a profile's own patterns, which a person has written."""

import re
from collections.abc import Iterable

from metawsm_rpc.domain.readings.statement import State, Statement


def pattern_statement(screen: str, waiting: Iterable[str], done: Iterable[str]) -> Statement | None:
    r"""Return `waiting` or `idle` (done) for the pattern that matches; None when none does.

    Of several the one that matches furthest down counts: what stands above it is older. The patterns
    are multi-line, and `\Z` is the end of the last line that is not empty.
    """
    text = "\n".join(line.rstrip() for line in screen.splitlines()).rstrip()
    found = [
        (match.end(), state, _shown(match[0]))
        for state, patterns in (("idle", done), ("waiting", waiting))
        for pattern in patterns
        for match in re.finditer(pattern, text, re.MULTILINE)
    ]
    if not found:
        return None
    _, state, shown = max(found, key=lambda one: one[0])
    kept: State = "waiting" if state == "waiting" else "idle"
    says = "it shows what it does when it waits" if kept == "waiting" else "it shows what it does when its turn is over"
    return Statement(kept, None, "screen", f"{says}: {shown}" if shown else says)


_LONGEST = 200


def _shown(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]
