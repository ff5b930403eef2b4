"""A statement: what one source of a program's own says that the program is doing.

Sources overstate. Claude's status file calls `idle` what may be a failed turn, gemini's title calls
`Ready` what may be its question whether a folder is trusted. So a statement has a state, and the
states that the same words are used for as well: a weaker source may say which of them it is.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from metawsm_rpc.domain.models import HealthState

State = Literal["starting", "working", "waiting", "idle", "error", "finished", "unknown"]
"""`waiting`: for a person's decision; `idle`: its turn is over and it takes the next one; `error`:
its turn ended because it could not go on; `finished`: the program has left its terminal."""

WaitsFor = Literal["permission", "question", "plan", "trust", "login", "setup", "exit"]
"""What it wants decided: a tool's use, the model's question, the model's plan, whether a folder, its
hooks or an unsafe mode is trusted, who is signed in, a first choice of settings, whether to leave."""

Source = Literal["terminal", "status file", "escape sequence", "hook", "title", "screen", "none"]

STRENGTH: tuple[Source, ...] = ("terminal", "status file", "escape sequence", "hook", "title", "screen")
"""Strongest first, as observed of the real programs. `terminal` is who is in its foreground."""

HEALTH: Mapping[State, HealthState] = {
    "starting": "healthy",
    "working": "healthy",
    "waiting": "waiting",
    "idle": "idle",
    "error": "waiting",  # it goes on only when somebody sees to it
    "finished": "unknown",  # the exit record says how it ended
    "unknown": "unknown",
}


ASKS: Mapping[WaitsFor, str] = {
    "permission": "it asks for a permission",
    "question": "it asks a question",
    "plan": "it asks about its plan",
    "trust": "it asks whether to trust what it found here",
    "login": "it asks to sign in",
    "setup": "it asks for its settings",
    "exit": "it asks whether to leave",
}
"""What is waited for, as a clause about the program."""


class Statement(NamedTuple):
    """What one source says; `says` is a clause about the program ("its title spins").

    `state` is None when the words carry no state by themselves. `covers` are the other states that
    they are used for.
    """

    state: State | None
    waits_for: WaitsFor | None
    source: Source
    says: str
    covers: frozenset[State] = frozenset()


UNKNOWN = Statement("unknown", None, "none", "nothing that it shows says what it is doing")


def decide(statements: Iterable[Statement]) -> Statement:
    """Return the statement that holds, of statements that come strongest first.

    The first that names a state decides; what comes after it may only choose among the states that
    the words before it cover. `UNKNOWN` when no state is carried.
    """
    given = tuple(statements)
    holds, open_to = UNKNOWN, None
    for statement in given:
        if statement.state is None:
            if statement.covers:
                open_to = statement.covers if open_to is None else open_to & statement.covers
        elif open_to is None or statement.state in open_to:
            holds, open_to = statement, statement.covers
        if open_to is not None and not open_to:
            break
    return holds._replace(waits_for=_detail(holds, given))


def reason(statement: Statement, given: Iterable[Statement] = ()) -> str:
    """Return what a statement says, beginning with what is waited for where that is known.

    Of all that are `given` a hook says it best: it names the command or the question.
    """
    if statement.state != "waiting":
        return statement.says
    told = next((one.says for one in given if (one.source, one.state) == ("hook", "waiting")), None)
    asks = told or (ASKS[statement.waits_for] if statement.waits_for else None)
    if asks is None or statement.source == "hook" or statement.says.startswith("it asks"):
        return told or statement.says
    return f"{asks} ({statement.says})"


def _detail(holds: Statement, given: Iterable[Statement]) -> WaitsFor | None:
    """Return what is waited for, by the strongest source that agrees and tells it."""
    told = (one.waits_for for one in (holds, *given) if one.state == holds.state and one.waits_for)
    return next(told, None)
