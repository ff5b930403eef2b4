r"""The shapes of the rules: a program is a table of what its titles, screens, hooks and files mean.

Patterns are kept as text and compiled when they are first used, because most looks use few of them.
Those for screens are multi-line: `^` and `$` are a line's ends, `\Z` the end of the part.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from metawsm_rpc.domain.readings.statement import Source, State, Statement, WaitsFor

Part = Literal["above", "below", "end"]
"""Of a screen: above the program's input line, below it, or what is below it or else all of it.

A dialog takes the place of the input line, so dialogs stand in `end`.
"""


class Word(NamedTuple):
    """What a matched rule states; `{text}` in `says` is what the pattern's group `text` found."""

    state: State | None
    says: str
    waits_for: WaitsFor | None = None
    covers: frozenset[State] = frozenset()

    def of(self, source: Source, text: str = "") -> Statement:
        """Return it as the statement of a source, with the text cut where it is no longer a clause."""
        says = self.says.format(text=" ".join(text.split())[:_LONGEST_TEXT])
        return Statement(self.state, self.waits_for, source, says, self.covers)


_LONGEST_TEXT = 200


class ScreenRule(NamedTuple):
    """A pattern in one part of the screen."""

    part: Part
    pattern: str
    word: Word


class HookRule(NamedTuple):
    """An event that the program tells its hooks; each of `fields` (dotted paths) must match."""

    event: str
    word: Word
    fields: Mapping[str, str] = {}


class Ask(NamedTuple):
    """A wording that tells what a dialog asks for."""

    pattern: str
    kind: WaitsFor


class Program(NamedTuple):
    """All rules of one program, each table in the order of precedence.

    `prompt` finds its input line and `opening` where a dialog begins; the last match counts. `asks`
    tells by the wording of a dialog what it asks for. `session` is the path of the session's id in a
    hook's payload, for a program that tells its hooks of sessions other than its own. `reports` is
    whether it states what it does by OSC 7501.
    """

    titles: tuple[tuple[str, Word], ...] = ()
    statuses: Mapping[str, Word] = {}
    hooks: tuple[HookRule, ...] = ()
    session: str = ""
    reports: bool = False
    prompt: str = r"(?!)"
    screens: tuple[ScreenRule, ...] = ()
    opening: str = r"(?!)"
    asks: tuple[Ask, ...] = ()


def title_statement(program: Program, title: str) -> Statement | None:
    """Return what a window title states, None for one that carries nothing."""
    return next((word.of("title") for pattern, word in program.titles if re.match(pattern, title)), None)


def hook_statement(program: Program, payload: Mapping[str, Any], session: str | None = None) -> Statement | None:
    """Return what the payload of a hook states, None for an event that tells no state.

    When the program's `session` is known, only questions count from other sessions: the program
    asks those for them.
    """
    rule = next((rule for rule in program.hooks if _matches(rule, payload)), None)
    if rule is None:
        return None
    other = program.session and session and _field(payload, program.session) != session
    return None if other and rule.word.state != "waiting" else rule.word.of("hook", str(payload.get("error", "")))


def _matches(rule: HookRule, payload: Mapping[str, Any]) -> bool:
    event = payload.get("hook_event_name") or payload.get("type")
    return event == rule.event and all(
        re.search(pattern, str(_field(payload, path))) for path, pattern in rule.fields.items()
    )


def screen_statement(program: Program, screen: str) -> Statement | None:
    """Return what the visible text of the terminal states, None for one that no rule knows.

    `screen` is plain text, one line per row, as the terminal shows it.
    """
    text = "\n".join(line.rstrip() for line in screen.splitlines()).rstrip()
    if not text:
        return BLANK.of("screen")
    parts = _parts(program, text)
    for rule in program.screens:
        found = re.search(rule.pattern, parts[rule.part], re.MULTILINE) if rule.part in parts else None
        if found:
            statement = rule.word.of("screen", found.groupdict().get("text") or "")
            return _told(program, statement, text, parts["end"])
    return None


BLANK = Word("starting", "its screen is still blank")


def _parts(program: Program, text: str) -> dict[Part, str]:
    prompt = _last(program.prompt, text)
    if prompt is None:
        return {"end": text}
    below = text[prompt.end() :]
    return {"above": text[: prompt.start()].rstrip(), "below": below, "end": below}


def _told(program: Program, statement: Statement, text: str, end: str) -> Statement:
    if statement.state != "waiting" or statement.waits_for:
        return statement
    opening = _last(program.opening, text)
    dialog = text[opening.start() :] if opening else end
    kind = next((ask.kind for ask in program.asks if re.search(ask.pattern, dialog, re.MULTILINE)), None)
    return statement._replace(waits_for=kind)


def _last(pattern: str, text: str) -> re.Match[str] | None:
    last = None
    for last in re.finditer(pattern, text, re.MULTILINE):  # noqa: B007 - the last one is meant
        pass
    return last


def _field(payload: Any, path: str) -> Any:
    for name in path.split("."):
        payload = payload.get(name, "") if isinstance(payload, Mapping) else ""
    return payload
