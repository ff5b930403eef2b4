"""What is seen of a program, read by the rules of that program.

`read` gives every statement, strongest first, and `decide` (in `statement`) the one that holds.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from metawsm_rpc.domain.readings.aider import AIDER
from metawsm_rpc.domain.readings.claude import CLAUDE
from metawsm_rpc.domain.readings.codex import CODEX
from metawsm_rpc.domain.readings.escapes import report_statement
from metawsm_rpc.domain.readings.gemini import GEMINI
from metawsm_rpc.domain.readings.opencode import OPENCODE
from metawsm_rpc.domain.readings.rules import Program, hook_statement, screen_statement, title_statement
from metawsm_rpc.domain.readings.statement import STRENGTH, Statement, decide

PROGRAMS: Mapping[str, Program] = {
    "claude": CLAUDE,
    "codex": CODEX,
    "gemini": GEMINI,
    "opencode": OPENCODE,
    "aider": AIDER,
}
"""The rules by the profile's runner."""

FRESH_SECONDS = 2.0
"""A hook tells of a moment. For so long it is stronger than what is shown, which may lag behind;
after that it is weaker, because an answered dialog and an Esc are told by no hook."""

_BEGINNING_MS = 2000
"""A status that is no younger than this stands since the program began."""

_SHELLS = frozenset({"bash", "zsh", "fish", "ksh", "tcsh"})
"""Shells that take commands from a person. Not `sh`, which runs the program for us."""


class Observation(NamedTuple):
    """What was seen of one program at one moment; None is what was not looked at or is not there.

    `report` is its latest OSC 7501 report, `hook` the payload of its latest hook, or `told` what a
    hook was already understood to state, and `hook_age` how many seconds ago that came (None:
    unknown). `session` is the program's own session id. `screen` is the visible text, `patterns` what
    that states by the profile's own patterns, `command` the name of the process in the terminal's
    foreground. `interactive` is False for a program that was started to do one thing, ask nobody,
    and exit.
    """

    title: str | None = None
    report: str | None = None
    status_file: Mapping[str, Any] | None = None
    hook: Mapping[str, Any] | None = None
    told: Statement | None = None
    hook_age: float | None = None
    session: str | None = None
    screen: str | None = None
    patterns: Statement | None = None
    command: str | None = None
    interactive: bool = True


def read(runner: str, seen: Observation) -> tuple[Statement, ...]:
    """Return what the program states, strongest first; a runner without rules only what its patterns say.

    What is left on the terminal of a program that has left it states nothing either.
    """
    program = PROGRAMS.get(runner)
    if program is None:
        return (seen.patterns,) if seen.patterns else ()
    if seen.command is not None and seen.command.lstrip("-") in _SHELLS:
        return (Statement("finished", None, "terminal", f"{seen.command} is in the foreground of its terminal"),)
    stale = seen.hook_age is None or seen.hook_age > FRESH_SECONDS

    def weakness(statement: Statement) -> int:
        return len(STRENGTH) if stale and statement.source == "hook" else STRENGTH.index(statement.source)

    return tuple(sorted(filter(None, _statements(runner, seen)), key=weakness))


def _statements(runner: str, seen: Observation) -> Iterator[Statement | None]:
    program = PROGRAMS[runner]
    if not seen.interactive:
        yield Statement("working", None, "terminal", "it asks nobody and works until it exits")
    elif seen.screen is not None:
        yield seen.patterns
        yield _screen_statement(runner, seen.screen)
    if seen.status_file is not None:
        yield status_statement(program, seen.status_file)
    if seen.report is not None:
        yield report_statement(seen.report)
    if seen.hook is not None:
        yield hook_statement(program, seen.hook, seen.session)
    yield seen.told
    if seen.title is not None:
        yield title_statement(program, seen.title.strip())


@lru_cache(maxsize=512)  # most screens stand still from one look to the next
def _screen_statement(runner: str, screen: str) -> Statement | None:
    return screen_statement(PROGRAMS[runner], screen)


def wants_screen(runner: str, seen: Observation) -> bool:
    """Return whether the screen could tell more than what was seen without it.

    It could when nothing decides, when the words that decide are used for other states as well, and
    when they do not say what is waited for. A hook that is not fresh is weaker than the screen.
    """
    if seen.hook_age is None or seen.hook_age > FRESH_SECONDS:
        seen = seen._replace(hook=None, told=None)
    holds = decide(read(runner, seen))
    return holds.state == "unknown" or bool(holds.covers) or (holds.state == "waiting" and holds.waits_for is None)


def status_statement(program: Program, file: Mapping[str, Any]) -> Statement | None:
    """Return what the program's status file states, None for a status of no known meaning.

    A status that stands since the program began has a rule of its own where it means something else.
    """
    status = str(file.get("status") or "")
    began, since = file.get("startedAt"), file.get("statusUpdatedAt")
    word = program.statuses.get(status)
    if isinstance(began, int) and isinstance(since, int) and since - began < _BEGINNING_MS:
        word = program.statuses.get(f"{status} since it began", word)
    return word.of("status file", str(file.get("waitingFor") or "")) if word else None
