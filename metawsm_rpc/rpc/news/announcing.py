"""Messages for a person, as few as possible: questions, and the ends of agents and runs."""

import time
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from metawsm_rpc.domain.markdown import one_line
from metawsm_rpc.domain.models import Event
from metawsm_rpc.domain.sentences import ended

_QUIET_SECONDS = 3.0
"""How long after a message the next ones are collected into one."""

_NAMED = 3
"""How many items a message names; of more it gives the number."""

_TEXT_LIMIT = 300

Kind = Literal["question", "dead", "failed", "run_failed", "run_completed"]
Level = Literal["error", "warning", "info"]

_LEVELS: Mapping[Kind, Level] = {
    "question": "warning",
    "dead": "error",
    "failed": "error",
    "run_failed": "error",
    "run_completed": "info",
}


class Message(NamedTuple):
    """A message to show."""

    level: Level
    text: str


class Announcer:
    """Collects messages from events, and decides when to show them. For one thread."""

    def __init__(self) -> None:
        self._waiting: dict[Kind, dict[str, str]] = {}
        self._troubled: set[str | None] = set()
        self._next = 0.0

    def take(self, events: Iterable[Event]) -> None:
        """Keep what a person must know; a message that a later event makes obsolete is dropped."""
        for event in events:
            kind = _kind(event)
            if kind in ("dead", "failed"):
                self._troubled.add(event.run_id)
            if kind == "run_failed" and event.run_id in self._troubled:
                continue  # its agent has reported it
            if kind is not None:
                self._waiting.setdefault(kind, {})[f"{event.run_id} {event.entity_id}"] = _sentence(kind, event)
            elif event.entity == "guidance":
                self._waiting.get("question", {}).pop(f"{event.run_id} {event.entity_id}", None)

    def due(self) -> tuple[Message, ...]:
        """Return the messages to show now; none shortly after the last ones."""
        if not any(self._waiting.values()) or time.monotonic() < self._next:
            return ()
        self._next = time.monotonic() + _QUIET_SECONDS
        waiting, self._waiting = self._waiting, {}
        self._troubled.clear()
        return tuple(
            Message(_LEVELS[kind], _told(kind, tuple(told.values()))) for kind, told in waiting.items() if told
        )

    @property
    def is_waiting(self) -> bool:
        """Whether something is still to be shown."""
        return any(self._waiting.values())


def _kind(event: Event) -> Kind | None:
    if event.entity == "guidance" and event.type == "ask":
        return "question"
    if event.entity == "agent" and event.to in ("dead", "failed") and event.type != "health":
        return "dead" if event.to == "dead" else "failed"
    if event.entity == "run" and event.from_ != event.to:
        if event.to == "failed":
            return "run_failed"
        if event.to == "completed" and event.from_ != "closing":
            return "run_completed"
    return None


def _sentence(kind: Kind, event: Event) -> str:
    why = f": {one_line(event.message, _TEXT_LIMIT)}" if event.message else ""
    run = f"run {event.run_id}"
    match kind:
        case "question":
            return f"An agent of {run} asks{why}"
        case "dead":
            return f"{event.entity_id} of {run} died{why}"
        case "failed":
            return f"{event.entity_id} of {run} failed{why}"
        case "run_failed":
            return f"The {run} failed{why}"
        case "run_completed":
            return f"The {run} is completed; review and close it"


def _told(kind: Kind, sentences: tuple[str, ...]) -> str:
    if len(sentences) <= _NAMED:
        return " ".join(map(ended, sentences))
    what = {
        "question": "agents ask something",
        "dead": "agents died",
        "failed": "agents failed",
        "run_failed": "runs failed",
        "run_completed": "runs are completed",
    }[kind]
    return f"{len(sentences)} {what}; first: {ended(sentences[0])}"
