"""Layers: the sources of a policy's values, and how upper layers override lower ones.

From top to bottom: flags, environment, the root's file, the person's file, defaults. Objects are
merged field by field; `agents` and `agent_profiles` are merged by name, so that one file can change
one field of an agent that another one defines; every other list replaces the one below it.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, get_origin

from metawsm_rpc.domain.models import Problem
from metawsm_rpc.policy.model import Policy
from metawsm_rpc.policy.positions import Entry, pointer_of
from metawsm_rpc.policy.values import closest

BY_NAME = frozenset({"agents", "agent_profiles"})
"""The lists whose elements are identified by name."""

SECTIONS = ("workspace", "tickets", "tmux", "execution", "health", "transcripts", "close")
"""The objects whose fields can be set by environment variables."""

Words = tuple[int | str, ...]


class Layer(NamedTuple):
    """One source of values: a file with positions, or the environment or flags without any.

    `names` maps JSON pointers to what a person calls that place, such as a variable.
    """

    data: Mapping[str, Any]
    path: str | None = None
    entries: Mapping[str, Entry] = {}
    names: Mapping[str, str] = {}

    def find(self, words: Words, merged: Mapping[str, Any]) -> Words | None:
        """Return the position of a place in the merged data within this layer, None if it is not in it."""
        own = self._own(words, merged)
        value: Any = self.data
        for word in own or ():
            try:
                value = value[word]
            except (KeyError, IndexError, TypeError):
                return None
        return own

    def _own(self, words: Words, merged: Mapping[str, Any]) -> Words | None:
        if len(words) < 2 or words[0] not in BY_NAME or not isinstance(words[1], int):
            return words
        index = _same_element(self.data.get(words[0]), merged[words[0]], words[1])
        return None if index is None else (words[0], index, *words[2:])


def merge(layers: Iterable[Layer]) -> dict[str, Any]:
    """Return the merged data of all layers, given lowest first."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merge_objects(merged, layer.data)
    return merged


def environment_variables() -> dict[str, tuple[str, str]]:
    """Return every variable that sets a field, with its section and field.

    The rule is METAWSM_<SECTION>_<FIELD>; it never collides with the names that metawsm sets for agents.
    """
    return {
        f"METAWSM_{section}_{name}".upper(): (section, name)
        for section in SECTIONS
        for name in fields(Policy.model_fields[section].annotation)
    }


def fields(model: Any) -> dict[str, Any]:
    """Return the annotations of a model's fields by their keys in the file."""
    return {info.alias or name: info.annotation for name, info in model.model_fields.items()}


def environment_layer(environ: Mapping[str, str]) -> tuple[Layer, tuple[Problem, ...]]:
    """Return the values of METAWSM_<SECTION>_<FIELD> variables, and problems with invalid ones.

    Texts are taken as they are; numbers, booleans and lists are written as in JSON.
    """
    known = environment_variables()
    sections = tuple(f"METAWSM_{section}_".upper() for section in SECTIONS)
    data: dict[str, dict[str, Any]] = {}
    names: dict[str, str] = {}
    problems = []
    for variable in sorted(environ):
        if variable in known:
            section, field = known[variable]
            annotation = fields(Policy.model_fields[section].annotation)[field]
            data.setdefault(section, {})[field] = _from_text(environ[variable], annotation)
            names[pointer_of((section, field))] = variable
        elif variable.startswith(sections):
            problems.append(
                Problem(
                    "policy-unknown-key", f"The environment variable {variable} sets nothing.", closest(variable, known)
                )
            )
    return Layer(data, names=names), tuple(problems)


def _from_text(text: str, annotation: Any) -> Any:
    if annotation is str or get_origin(annotation) is Literal:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        # The model reports what is expected here.
        return text


def _merge_objects(lower: Mapping[str, Any], upper: Mapping[str, Any], *, top: bool = True) -> dict[str, Any]:
    merged = dict(lower)
    for key, value in upper.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge_objects(below, value, top=False)
        elif top and key in BY_NAME and isinstance(below, list) and isinstance(value, list):
            merged[key] = _merge_by_name(below, value)
        else:
            merged[key] = value
    return merged


def _merge_by_name(lower: list[Any], upper: list[Any]) -> list[Any]:
    merged = list(lower)
    free = {name: index for index, element in reversed(list(enumerate(lower))) if (name := _name(element)) is not None}
    for element in upper:
        # A name that occurs twice in the upper list matches only once, and stays a duplicate.
        index = free.pop(_name(element) or "", None)
        if index is None:
            merged.append(element)
        else:
            merged[index] = _merge_objects(merged[index], element, top=False)
    return merged


def _same_element(own: Any, merged: list[Any], index: int) -> int | None:
    """Return the index in a layer's own list of an element of the merged list."""
    if not isinstance(own, list):
        return None
    element, name = merged[index], _name(merged[index])
    if name is None:
        return next((i for i, candidate in enumerate(own) if candidate is element), None)
    earlier = sum(_name(other) == name for other in merged[:index])
    same = [i for i, candidate in enumerate(own) if _name(candidate) == name]
    return same[min(earlier, len(same) - 1)] if same else None


def _name(element: Any) -> str | None:
    name = element.get("name") if isinstance(element, Mapping) else None
    return name if isinstance(name, str) else None
