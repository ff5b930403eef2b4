"""What a program tells by a hook: the state of its agent, and which conversation that is."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, cast

from metawsm_rpc.domain.plain_text import plain_text
from metawsm_rpc.domain.readings.reading import PROGRAMS
from metawsm_rpc.domain.readings.rules import hook_statement

Said = Literal["working", "waiting", "idle", "error"]

_SAID: frozenset[str] = frozenset({"working", "waiting", "idle", "error"})

_PROMPTS = frozenset({"UserPromptSubmit", "BeforeAgent", "chat.message"})
"""Somebody has asked the program for something; `chat.message` is what opencode's plugins are called for."""

_OWN_PROMPT = "<task-notification>"
"""How claude's prompts to itself begin, which tell it that something it had left running has ended."""

_BEGINNINGS = _PROMPTS | {"PreToolUse", "BeforeTool"}

_ASKED = (
    "tool_input.command",
    "tool_input.questions.0.question",
    "tool_input.file_path",
    "tool_input.url",
    "properties.metadata.command",
    "properties.questions.0.question",
    "properties.patterns.0",
)
"""Where a payload says what is to be allowed, or what is asked; the first that is there is told."""

_LONGEST_ASKED = 200


class Told(NamedTuple):
    """What one hook told.

    `what` is a clause about the program. `prompted` is whether somebody has just given it a prompt,
    `begins` whether it begins something, as it does not when a tool has ended. `conversation` is the
    program's own id of what it is doing this in.
    """

    said: Said
    what: str
    prompted: bool = False
    begins: bool = False
    conversation: str | None = None


def told(runner: str, payload: Mapping[str, Any]) -> Told | None:
    """Return what a hook's payload tells of an agent of this runner; None when that is nothing."""
    program = PROGRAMS.get(runner)
    statement = hook_statement(program, payload) if program else None
    if program is None or statement is None or statement.state not in _SAID:
        return None
    event = str(payload.get("hook_event_name") or payload.get("type"))
    asked = next(_asked(payload), "") if statement.state == "waiting" else ""
    conversation = _at(payload, program.session or "session_id")
    return Told(
        cast("Said", statement.state),
        f"{statement.says}: {asked}" if asked else statement.says,
        prompted=event in _PROMPTS and not str(payload.get("prompt", "")).startswith(_OWN_PROMPT),
        begins=event in _BEGINNINGS,
        conversation=conversation if isinstance(conversation, str) and conversation else None,
    )


def _asked(payload: Mapping[str, Any]) -> Iterator[str]:
    for path in _ASKED:
        found = _at(payload, path)
        text = " ".join(plain_text(found).split()) if isinstance(found, str) else ""
        if text:
            yield text if len(text) <= _LONGEST_ASKED else f"{text[: _LONGEST_ASKED - 1]}…"


def _at(payload: Any, path: str) -> Any:
    """Return what stands at a dotted path of objects and arrays, None when nothing does."""
    for name in path.split("."):
        if isinstance(payload, Mapping):
            payload = payload.get(name)
        elif isinstance(payload, list) and name.isdecimal() and int(name) < len(payload):
            payload = payload[int(name)]
        else:
            return None
    return payload
