"""JSON Schemas of everything that crosses the wire, made from the types that the code itself uses.

Parameters come from the models that check them, results from the named tuples that the verbs answer,
so a schema cannot say anything else than the code does. What they mean is in `descriptions`.

Results stay open for additions: a client ignores keys that it does not know. Parameters are closed.
"""

import json
from collections.abc import Iterator
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from metawsm_rpc.domain import models
from metawsm_rpc.domain.wire import camel
from metawsm_rpc.errors import MetawsmError
from metawsm_rpc.rpc.calls import parameters
from metawsm_rpc.rpc.reference import descriptions
from metawsm_rpc.service import Service
from metawsm_rpc.verbs import VERBS, Verb

Schema = dict[str, Any]

_COMPONENTS = "#/components/schemas/"

_WORDS = {value: name for name, value in vars(models).items() if get_origin(value) is Literal}
"""The sets of words that have a name: `RunStatus` and its like."""

_PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    Any: {},
}
_TIME: Schema = {"type": "string", "format": "date-time"}
_TIMES = frozenset({"at", "since"})


def name_of(verb: Verb, suffix: str) -> str:
    """Return the name of a verb's own schema: `RetryStepParams`."""
    return f"{verb.name[:1].upper()}{verb.name[1:]}{suffix}"


@cache
def components() -> dict[str, Schema]:
    """Return every named schema by its name, in alphabetical order.

    They refer to each other as `#/components/schemas/NAME`, as OpenRPC wants it.
    """
    found: dict[str, Schema] = {"RpcError": _error(), "ErrorKind": _words(tuple(kinds()), "ErrorKind")}
    _of(models.Event, found)
    found["EventNotification"] = _event_notification(found["Event"])
    for verb in VERBS:
        found[name_of(verb, "Params")] = params(verb)
        _of(result_type(verb), found)
    return dict(sorted(found.items()))


def shapes() -> tuple[type, ...]:
    """Return every named tuple that is part of an answer, or is sent as an event."""
    found: dict[type, None] = {}

    def visit(kind: Any) -> None:
        if kind not in found and hasattr(kind, "_fields"):
            found[kind] = None
            for inner in get_type_hints(kind).values():
                visit(inner)
        for argument in get_args(kind):
            visit(argument)

    for kind in (models.Event, *map(result_type, VERBS)):
        visit(kind)
    return tuple(found)


def document() -> Schema:
    """Return one JSON Schema (draft 2020-12) with all of them in `$defs`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "metawsm protocol",
        "description": "Every shape of the protocol. This schema itself takes anything; refer to a definition in it.",
        "$defs": json.loads(json.dumps(components()).replace(_COMPONENTS, "#/$defs/")),
    }


def params(verb: Verb) -> Schema:
    """Return the schema of a verb's parameters, an object without other keys."""
    schema = parameters.model(verb).model_json_schema(by_alias=True)
    properties = {
        name: {"description": descriptions.parameter(verb.name, name), **_untitled(inner)}
        for name, inner in schema["properties"].items()
    }
    required = {"required": schema["required"]} if "required" in schema else {}
    return {
        "type": "object",
        "description": f"What `{verb.name}` takes.",
        "properties": properties,
        **required,
        "additionalProperties": False,
    }


def result(verb: Verb) -> Schema:
    """Return the schema of a verb's answer: a reference into `components`."""
    return _reference(result_type(verb).__name__)


def result_type(verb: Verb) -> type:
    """Return the named tuple that a verb answers."""
    found: type = get_type_hints(getattr(Service, verb.method))["return"]
    return found


def kinds() -> Iterator[str]:
    """Yield the kind of every error, in the order of `errors.py`."""
    yield from dict.fromkeys(error.kind for error in error_classes())


def error_classes() -> Iterator[type[MetawsmError]]:
    """Yield one error class for each kind, in the order of `errors.py`; internal errors come last."""
    seen = {MetawsmError.kind}

    def below(parent: type[MetawsmError]) -> Iterator[type[MetawsmError]]:
        for child in parent.__subclasses__():
            if child.kind not in seen:
                seen.add(child.kind)
                yield child
            yield from below(child)

    yield from below(MetawsmError)
    yield MetawsmError


def _of(kind: Any, found: dict[str, Schema], *, field: str = "") -> Schema:
    """Return the schema of a type; what has a name is added to `found` and referred to."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is str and (field.endswith("_at") or field in _TIMES):
        return dict(_TIME)
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    if origin is Literal:
        return _literal(kind, found)
    if origin in (UnionType, Union):
        some = [_of(one, found, field=field) for one in arguments if one is not NoneType]
        return {"anyOf": [*some, {"type": "null"}]}
    if origin is tuple and arguments[1:] == (...,):
        return {"type": "array", "items": _of(arguments[0], found)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(arguments[1], found) or True}
    if hasattr(kind, "_fields"):
        return _shape(kind, found)
    raise TypeError(f"{kind} has no place in the protocol; its fields are named tuples, tuples and plain values.")


def _shape(kind: Any, found: dict[str, Schema]) -> Schema:
    name = kind.__name__
    if name not in found:
        found[name] = {}  # so that a shape within itself ends
        hints = get_type_hints(kind)
        properties = {
            camel(field): {"description": descriptions.field(name, field), **_of(hints[field], found, field=field)}
            for field in kind._fields
        }
        found[name] = {
            "type": "object",
            "description": " ".join(kind.__doc__.split("\n\n")[0].split()),
            "properties": properties,
            "required": list(properties),
        }
    return _reference(name)


def _literal(kind: Any, found: dict[str, Schema]) -> Schema:
    name = _WORDS.get(kind)
    if name is None:
        return {"type": "string", "enum": list(get_args(kind))}
    found.setdefault(name, _words(get_args(kind), name))
    return _reference(name)


def _words(words: tuple[str, ...], name: str) -> Schema:
    return {"type": "string", "description": descriptions.WORDS[name], "enum": list(words)}


def _event_notification(event: Schema) -> Schema:
    root = {"description": "The folder of the root that it happened at.", "type": "string"}
    return event | {
        "description": "An event as it is sent without being asked for.",
        "properties": {**event["properties"], "root": root},
        "required": [*event["required"], "root"],
    }


def _error() -> Schema:
    return {
        "type": "object",
        "description": "What a request that failed is answered with.",
        "properties": {
            "code": {"description": "The number of the kind.", "type": "integer"},
            "message": {
                "description": "One sentence that says what is wrong and what to do next.",
                "type": "string",
            },
            "data": {
                "description": "What a program decides by.",
                "type": "object",
                "properties": {
                    "kind": {"description": "The kind of the error.", **_reference("ErrorKind")},
                    "hint": {
                        "description": "What to try, as a sentence.",
                        "anyOf": [{"type": "string"}, {"type": "null"}],
                    },
                    "details": {"description": "What the kind has besides: a list of `Blocked` for `close_blocked`."},
                },
                "required": ["kind", "hint", "details"],
            },
        },
        "required": ["code", "message"],
    }


def _reference(name: str) -> Schema:
    return {"$ref": _COMPONENTS + name}


def _untitled(schema: Any) -> Any:
    """Return a schema without the titles that pydantic makes of names."""
    if isinstance(schema, dict):
        return {key: _untitled(value) for key, value in schema.items() if not (key == "title" and type(value) is str)}
    return [_untitled(item) for item in schema] if isinstance(schema, list) else schema
