"""Turns the model's errors into problems that a person can act on: where, what, and what to write instead."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from metawsm_rpc.domain.models import Problem
from metawsm_rpc.policy import schema
from metawsm_rpc.policy.layers import Layer, Words
from metawsm_rpc.policy.positions import Entry, Range, pointer_of
from metawsm_rpc.policy.values import closest

SYNTAX = "policy-syntax"
UNKNOWN_KEY = "policy-unknown-key"
VALUE = "policy-value"

_MESSAGES = {
    "missing": "{label} is missing.",
    "string_type": "{label} must be a text in double quotes.",
    "bool_type": "{label} must be true or false.",
    "int_type": "{label} must be a whole number.",
    "float_type": "{label} must be a number.",
    "finite_number": "{label} must be a finite number.",
    "tuple_type": "{label} must be a list.",
    "dict_type": "{label} must be an object.",
    "model_type": "{label} must be an object.",
    "model_attributes_type": "{label} must be an object.",
    "literal_error": "{label} must be {expected}.",
    "greater_than": "{label} must be more than {gt:g}.",
    "greater_than_equal": "{label} must be at least {ge:g}.",
    "less_than_equal": "{label} must be at most {le:g}.",
    "refused": "{label}: {message}",
}
"""Pydantic's errors in the words of somebody who writes a policy."""


def problems_of(error: ValidationError, layers: Sequence[Layer], merged: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return a problem for each error, located in the topmost of `layers` that contains the wrong value."""
    return tuple(_problem(details, layers, merged) for details in error.errors(include_url=False))


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return problems sorted by file and position."""
    return tuple(sorted(problems, key=lambda problem: (problem.path or "", problem.line or 0, problem.column or 0)))


def range_of(problem: Problem, entries: Mapping[str, Entry]) -> Range | None:
    """Return the range to underline for a problem: the wrong key or value.

    Args:
        problem: a problem of this text.
        entries: what `positions.positions` answered for the text.

    Returns:
        None when the problem has only a position (broken syntax), or none at all.
    """
    entry = entries.get(problem.pointer) if problem.pointer is not None else None
    if entry is None:
        return None
    return entry.key if entry.key and entry.key.start == (problem.line, problem.column) else entry.value


def _problem(details: ErrorDetails, layers: Sequence[Layer], merged: Mapping[str, Any]) -> Problem:
    kind, context = details["type"], details.get("ctx", {})
    # The location of a key's error ends with "[key]" after the key itself.
    of_key = details["loc"][-1:] == ("[key]",)
    words: Words = details["loc"][:-1] if of_key else details["loc"]
    code = UNKNOWN_KEY if kind == "extra_forbidden" else VALUE
    hint = context.get("hint") or _hint(kind, words, details["input"])
    place = words[:-1] if kind == "missing" else words
    layer, own = _source(place, layers, merged)
    pointer = pointer_of(own if own is not None else place)
    label = layer.names.get(pointer) or _label(words if own is None else (*own, *words[len(place) :]))
    if kind == "extra_forbidden":
        message = f'There is no key "{words[-1]}" in {_label(words[:-1])}.'
    else:
        template = _MESSAGES.get(kind)
        message = template.format(label=label, **context) if template else f"{label}: {details['msg']}."
    entry = layer.entries.get(pointer)
    if entry is None:
        return Problem(code, message, hint, layer.path, pointer=pointer)
    at_key = kind == "extra_forbidden" or of_key
    where = (entry.key if at_key and entry.key else entry.value).start
    return Problem(code, message, hint, layer.path, where.line, where.column, pointer)


def _source(words: Words, layers: Sequence[Layer], merged: Mapping[str, Any]) -> tuple[Layer, Words | None]:
    for layer in reversed(layers):
        own = layer.find(words, merged)
        if own is not None:
            return layer, own
    return Layer({}), None


def _hint(kind: str, words: Words, value: Any) -> str | None:
    if kind == "extra_forbidden":
        known = (schema.node(pointer_of(words[:-1])) or {}).get("properties", {})
        return closest(str(words[-1]), known) or f"Use one of {', '.join(name for name in known if name != '$schema')}."
    if kind == "literal_error" and isinstance(value, str):
        return closest(value, [str(choice) for choice in (schema.node(pointer_of(words)) or {}).get("enum", ())])
    if kind == "tuple_type" and isinstance(value, str):
        return "Write a list, one element for each argument; nothing is split by a shell."
    return None


def _label(words: Words) -> str:
    """Return a place as people write it, such as `agents[0].name`."""
    label = "".join(f"[{word}]" if isinstance(word, int) else f".{word}" for word in words)
    return label.lstrip(".") or "the policy"
