"""Validated types for the policy's values: names, paths, branches, commands and so on.

Each type accepts or refuses one value by itself; constraints between values are checked in `model.py`. A
refusal is one sentence, with a hint if there is something better to write.
"""

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field, PlainSerializer
from pydantic_core import PydanticCustomError

from metawsm_rpc.domain import names
from metawsm_rpc.errors import MetawsmError
from metawsm_rpc.policy.backtracking import may_take_forever
from metawsm_rpc.policy.expansion import PLACEHOLDERS, PROMPT_PLACEHOLDERS, placeholders

T = TypeVar("T")

YEAR = 365 * 24 * 3600
"""The longest accepted duration, in seconds; a longer one is a typing error."""

IDENTITY = frozenset(
    f"METAWSM_{name}" for name in ("ROOT", "RUN_ID", "TICKET", "AGENT", "LAUNCH", "WORKSPACE", "BRIEF", "BIN")
)
"""Environment variables that metawsm sets for every agent, so that policies must not set them."""

_SESSION_PLACEHOLDERS = frozenset({"agent", "workspace", "ticket"})


def refusal(message: str, hint: str | None = None) -> PydanticCustomError:
    """Return the error for a refused value, to be raised in a validator."""
    return PydanticCustomError("refused", "{message}", {"message": message, "hint": hint})


def closest(word: str, choices: Iterable[str]) -> str | None:
    """Return a hint that names the most similar known word, None when none is similar."""
    folded = {choice.casefold(): choice for choice in choices}
    near = difflib.get_close_matches(word.casefold(), folded, n=1)
    return f'Did you mean "{folded[near[0]]}"?' if near else None


def _relay(check: Callable[[str], object]) -> Callable[[str], str]:
    def validate(value: str) -> str:
        try:
            check(value)
        except MetawsmError as error:
            raise refusal(error.message, error.hint) from error
        return value

    return validate


def _plain_text(value: str) -> str:
    if "\0" in value:
        raise refusal("A NUL character cannot stand here.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise refusal("This is not Unicode text.") from error
    return value


def _no_blank(value: str) -> str:
    if not value.strip():
        raise refusal("This must not be empty.")
    return value


def _environment_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise refusal(f"{value!r} cannot be the name of an environment variable: use letters, digits and '_'.")
    if value in IDENTITY:
        raise refusal(f"{value} is set by metawsm itself.")
    return value


def _branch(value: str) -> str:
    # git check-ref-format(1), with a leading '-' refused as git branch does.
    parts = value.split("/")
    if (
        not value
        or value == "@"
        or re.search(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|^-|\.$", value)
        or any(not part or part.startswith(".") or part.endswith(".lock") for part in parts)
    ):
        raise refusal(
            f"{value!r} cannot be part of a branch's name.", "git check-ref-format --branch NAME says what can."
        )
    return value


def _inside(value: str) -> str:
    parts = value.split("/")
    if value.startswith(("/", "~")) or ".." in parts:
        raise refusal(f"{value!r} must stay inside: a relative path without '..'.")
    return value


def _socket(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", value):
        raise refusal(f"{value!r} must be a plain file name: at most 64 of A-Z, a-z, 0-9, '.', '_' and '-'.")
    return value


def _session_pattern(value: str) -> str:
    found = placeholders(value, _SESSION_PLACEHOLDERS)
    if "agent" not in found or not {"workspace", "ticket"}.intersection(found):
        raise refusal("Two agents would get one session name.", "Use {agent} and one of {workspace} and {ticket}.")
    if not re.fullmatch(r"[A-Za-z0-9_-]*", re.sub(r"\{\w+\}", "", value)):
        raise refusal("A session name is made of letters, digits, '_' and '-' around the placeholders.")
    return value


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        raise refusal(f"This is not a regular expression: {error}.") from error
    if may_take_forever(value):
        raise refusal(
            "To repeat what holds a repetition or alternatives can take for ever.",
            "Repeat a class, as in [ab]+, or forbid other tries, as in (?>a+)+.",
        )
    return value


def _command(argv: tuple[str, ...]) -> tuple[str, ...]:
    if not argv or not argv[0].strip():
        raise refusal("A command needs a program.", 'Write a list, such as ["my-agent", "{prompt}"].')
    return argv


Items = Annotated[tuple[T, ...], Field(strict=False)]
"""A JSON array; strict mode would not take a list for a tuple."""

Text = Annotated[str, AfterValidator(_plain_text)]
Filled = Annotated[Text, AfterValidator(_no_blank)]
AgentName = Annotated[str, AfterValidator(_relay(names.check_agent))]
RepositoryName = Annotated[str, AfterValidator(_relay(names.check_repository))]
EnvironmentName = Annotated[str, AfterValidator(_environment_name)]
Branch = Annotated[Text, AfterValidator(_branch)]
InsidePath = Annotated[Filled, AfterValidator(_inside)]
Socket = Annotated[str, AfterValidator(_socket)]
SessionPattern = Annotated[Text, AfterValidator(_relay(_session_pattern))]
RegularExpression = Annotated[Filled, AfterValidator(_pattern)]
Prompt = Annotated[Text, AfterValidator(_relay(lambda value: placeholders(value, PROMPT_PLACEHOLDERS)))]
Argument = Annotated[Text, AfterValidator(_relay(lambda value: placeholders(value, PLACEHOLDERS)))]
Command = Annotated[Items[Argument], AfterValidator(_command)]
Environment = dict[EnvironmentName, Text]

# Integral seconds are written without a fraction, as people write them.
Seconds = Annotated[float, Field(ge=0, le=YEAR), PlainSerializer(lambda value: int(value) if value % 1 == 0 else value)]
Timeout = Annotated[Seconds, Field(gt=0)]
