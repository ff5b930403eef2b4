"""Escape sequences in a transcript by which a program states what it is doing.

`OSC 7501 ; key=value : key=value …` reports a state; codex sends it without being asked. `OSC 0` and
`OSC 2` set the title. Both end in BEL or ST (ECMA-48).
"""

import re
from collections.abc import Mapping

from metawsm_rpc.domain.readings.rules import Word
from metawsm_rpc.domain.readings.statement import Statement, WaitsFor

LONGEST_REPORT = 4096
"""Who reads a transcript piece by piece begins again this many bytes before the end of the last."""

# A multiplexer's passthrough doubles the ESC of the terminator.
_REPORT = rb"\x1b\]7501;([^\x00-\x1f\x7f]{1,%d})(?:\x07|\x1b+\\)" % LONGEST_REPORT
_TITLE = rb"\x1b\][02];([^\x00-\x1f\x7f]{0,%d})(?:\x07|\x1b+\\)" % LONGEST_REPORT

_WORDS: Mapping[str, Word] = {
    "working": Word("working", "it reports that it is working"),
    # Codex says so before its session is there.
    "idle": Word("idle", "it reports that it is idle", covers=frozenset({"starting"})),
    "done": Word("idle", "it reports that its turn is done"),
    "error": Word("error", "it reports that its turn failed"),
    "blocked": Word("waiting", "it reports that it waits for a decision"),
    "clear": Word("finished", "it has taken back its reports, as it does when it leaves"),
}
_KINDS: Mapping[str, WaitsFor] = {"permission": "permission", "question": "question"}


def last_osc7501(printed: bytes) -> str | None:
    """Return the latest report about the program as a whole (`state=idle:app=codex`), or None.

    Reports that carry an `id` are about a part of it, and queries (`?`) about nothing.
    """
    reports = (match.decode("utf-8", "replace") for match in reversed(re.findall(_REPORT, printed)))
    return next((report for report in reports if _is_whole(_fields(report))), None)


def titles(printed: bytes) -> tuple[str, ...]:
    """Return the titles that were set, oldest first, without the blanks that pad them."""
    return tuple(match.decode("utf-8", "replace").strip() for match in re.findall(_TITLE, printed))


def report_statement(report: str) -> Statement | None:
    """Return what an OSC 7501 report states; None for a report of no known state."""
    fields = _fields(report)
    word = _WORDS.get(fields.get("state", ""))
    if word is None or not _is_whole(fields):
        return None
    return word._replace(waits_for=_KINDS.get(fields.get("kind", ""))).of("escape sequence")


def _fields(report: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in report.split(":"))
    return {key: value for key, _, value in pairs}


def _is_whole(fields: Mapping[str, str]) -> bool:
    return "state" in fields and "id" not in fields
