"""The types of the protocol for TypeScript, made from its JSON Schemas.

Every shape becomes an interface, every set of words a union of strings, and `Verbs` maps the name of
each verb to its parameters and its answer.
"""

import json
from typing import Any

from metawsm_rpc.rpc.reference import schemas
from metawsm_rpc.verbs import VERBS

_HEADER = """\
// The types of metawsm's protocol. Written by `python -m metawsm_rpc.generate`; do not edit.
//
// Answers may have more members than these in later versions; what is here stays.

"""
_WIDTH = 120


def module() -> str:
    """Return the module as text; it compiles under `tsc --strict` and has no run-time code but `VERBS`."""
    declared = [_declaration(name, schema) for name, schema in schemas.components().items()]
    return _HEADER + "\n".join([*declared, _verbs(), _constants()])


def _declaration(name: str, schema: dict[str, Any]) -> str:
    comment = _comment(schema["description"], "")
    if "enum" in schema:
        return f"{comment}export type {name} =\n  | " + "\n  | ".join(map(json.dumps, schema["enum"])) + ";\n"
    return f"{comment}export interface {name} {_object(schema, '')}\n"


def _object(schema: dict[str, Any], indent: str) -> str:
    required = frozenset(schema.get("required", ()))
    inner = indent + "  "
    members = [
        f"{_comment(member['description'], inner) if 'description' in member else ''}"
        f"{inner}{name}{'' if name in required else '?'}: {_type(member, inner)};\n"
        for name, member in schema["properties"].items()
    ]
    return "{\n" + "".join(members) + indent + "}"


def _type(schema: dict[str, Any], indent: str) -> str:
    """Return the type of a value. Raises `TypeError` for what the protocol's schemas do not use."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(map(json.dumps, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(_type(one, indent) for one in schema["anyOf"])
    match schema.get("type"):
        case "string" | "boolean" | "null" as plain:
            return str(plain)
        case "integer" | "number":
            return "number"
        case "array":
            item = _type(schema["items"], indent)
            return f"({item})[]" if " | " in item else f"{item}[]"
        case "object" if "properties" in schema:
            return _object(schema, indent)
        case "object":
            values = schema.get("additionalProperties", True)
            return f"Record<string, {_type(values, indent) if isinstance(values, dict) else 'unknown'}>"
        case None if not set(schema) - {"description", "default"}:
            return "unknown"
    raise TypeError(f"The protocol has a schema that has no type yet: {schema}.")


def _verbs() -> str:
    rows = "".join(
        f"{_comment(verb.summary, '  ')}"
        f"  {verb.name}: {{ params: {schemas.name_of(verb, 'Params')}; result: {schemas.result_type(verb).__name__} }};\n"
        for verb in VERBS
    )
    return f"/** Every verb: the request `metawsm/NAME`, the command `metawsm.NAME`. */\nexport interface Verbs {{\n{rows}}}\n"


def _constants() -> str:
    names = "".join(f"  {json.dumps(verb.name)},\n" for verb in VERBS)
    return (
        "export type VerbName = keyof Verbs;\n\n"
        f"export const VERBS: readonly VerbName[] = [\n{names}];\n\n"
        "/** Notifications of the server, by their method. */\n"
        'export interface Notifications {\n  "metawsm/event": EventNotification;\n}\n'
    )


def _comment(text: str, indent: str) -> str:
    return f"{indent}/** {text} */\n"
