"""Completion in the policy file, half-typed and broken as it is: keys that are not there yet, and known values."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from lsprotocol import types
from pygls.workspace import PositionCodec

from metawsm_rpc.policy import schema
from metawsm_rpc.policy.cursor import Cursor, cursor
from metawsm_rpc.policy.positions import unescape
from metawsm_rpc.policy.profiles import BUILT_IN
from metawsm_rpc.rpc.features.places import UTF16, offset_of, range_between

_HIDDEN = frozenset({"$schema"})
"""Keys that are for programs."""


def completion(
    text: str, position: types.Position, *, snippets: bool, codec: PositionCodec = UTF16
) -> list[types.CompletionItem]:
    """Return what can stand at a position of a policy; with `snippets` keys come with the shape of their value."""
    at = cursor(text, offset_of(text, position, codec))
    if at is None:
        return []
    offered = _keys(at, snippets=snippets) if at.role == "key" else _values(at, text, snippets=snippets)
    where = range_between(text, at.start, at.end, codec)
    # An item is compared with what it replaces, which may begin with a quotation mark.
    quoted = text[at.start : at.start + 1] == '"'
    found = []
    for number, item in enumerate(offered):
        item.text_edit = types.TextEdit(where, item.insert_text or item.label)
        item.filter_text = f'"{item.label}"' if quoted else item.label
        item.insert_text = None
        item.sort_text = f"{number:03}"
        found.append(item)
    return found


def _keys(at: Cursor, *, snippets: bool) -> Iterator[types.CompletionItem]:
    properties: Mapping[str, Any] = (schema.node(at.pointer) or {}).get("properties", {})
    for name in properties:
        if name in at.taken or name in _HIDDEN:
            continue
        node = schema.node(f"{at.pointer}/{name}") or {}
        comma = "," if at.needs_comma else ""
        value = "" if at.has_value else f": {_shape(node, snippets=snippets)}{comma}"
        yield types.CompletionItem(
            label=name,
            kind=types.CompletionItemKind.Property,
            detail=detail(node),
            documentation=node.get("description"),
            insert_text=f'"{_literal(name, snippets=snippets)}"{value}',
            insert_text_format=types.InsertTextFormat.Snippet if snippets else types.InsertTextFormat.PlainText,
        )


def _values(at: Cursor, text: str, *, snippets: bool) -> Iterator[types.CompletionItem]:
    node = schema.node(at.pointer)
    if node is None:
        return
    default = node.get("default")
    for value, told in _known(at.pointer, node, text):
        comma = "," if at.needs_comma else ""
        yield types.CompletionItem(
            label=value if isinstance(value, str) else json.dumps(value),
            kind=types.CompletionItemKind.EnumMember,
            detail="default" if value == default and type(value) is type(default) else None,
            documentation=told,
            insert_text=f"{json.dumps(value, ensure_ascii=False)}{comma}",
        )
    if node.get("type") == "object" and node.get("required"):
        yield types.CompletionItem(
            label=f"{{ {', '.join(node['required'])} }}",
            kind=types.CompletionItemKind.Struct,
            documentation=node.get("description"),
            insert_text=_object(node, snippets=snippets),
            insert_text_format=types.InsertTextFormat.Snippet if snippets else types.InsertTextFormat.PlainText,
        )


def _known(pointer: str, node: Mapping[str, Any], text: str) -> Iterator[tuple[Any, str | None]]:
    """Yield the values that make sense at a place, and what each one is."""
    words = unescape(pointer)
    if words[0] == "agents" and words[2:] == ["profile"]:
        own = [name for name in _profiles_of(text) if name not in BUILT_IN]
        yield from ((name, "A profile of this policy.") for name in own)
        yield from ((name, "A built-in profile.") for name in BUILT_IN)
    elif "enum" in node:
        yield from ((value, node.get("description")) for value in node["enum"])
    elif "const" in node:
        yield node["const"], node.get("description")
    elif node.get("type") == "boolean":
        yield from ((value, node.get("description")) for value in (True, False))
    elif isinstance(node.get("default"), str | int | float):
        yield node["default"], node.get("description")


def _profiles_of(text: str) -> list[str]:
    """Return the names of the profiles that a text defines, whole or not."""
    from metawsm_rpc.policy.positions import positions

    entries = positions(text)
    lines = text.split("\n")
    names = []
    for pointer, entry in entries.items():
        words = unescape(pointer)
        where = entry.value
        if words[:1] == ["agent_profiles"] and words[2:] == ["name"] and where.start.line == where.end.line:
            written = lines[where.start.line - 1][where.start.column - 1 : where.end.column - 1]
            names.append(written.strip('"'))
    return [name for name in names if name]


def detail(node: Mapping[str, Any]) -> str | None:
    """Return the kind and the default of a field, in a few words."""
    kinds = " or ".join(json.dumps(value) for value in node["enum"]) if "enum" in node else node.get("type")
    default = f"default {json.dumps(node['default'], ensure_ascii=False)}" if _is_short(node.get("default")) else None
    return ", ".join(part for part in (kinds, default) if part) or None


def _is_short(default: Any) -> bool:
    return default is not None and len(json.dumps(default)) <= 60


def _shape(node: Mapping[str, Any], *, snippets: bool) -> str:
    """Return a value to begin with: the default, where a person would mostly change it."""
    kind, default = node.get("type"), node.get("default")
    if "enum" in node and snippets:
        first = [default] if default in node["enum"] else []
        choices = [json.dumps(one) for one in (*first, *(one for one in node["enum"] if one not in first))]
        return f"${{1|{','.join(choices)}|}}"
    if kind == "boolean" and snippets:
        return "${1|true,false|}" if default is not True else "${1|false,true|}"
    if kind == "object":
        return _object(node, snippets=snippets) if node.get("required") else ("{$1}" if snippets else "{}")
    if kind == "array":
        return "[$1]" if snippets else "[]"
    if kind == "string":
        inside = _literal(default, snippets=snippets) if isinstance(default, str) else ""
        return f'"${{1:{inside}}}"' if snippets and inside else '"$1"' if snippets else json.dumps(default or "")
    written = json.dumps(default if default is not None else node.get("const"))
    return f"${{1:{written}}}" if snippets else written


def _object(node: Mapping[str, Any], *, snippets: bool) -> str:
    fields = [
        f'"{name}": "${{{number}}}"' if snippets else f'"{name}": ""'
        for number, name in enumerate(node["required"], start=1)
    ]
    return f"{{{', '.join(fields)}}}"


def _literal(text: str, *, snippets: bool) -> str:
    """Return text of a JSON string that is no syntax of snippets."""
    written = json.dumps(text, ensure_ascii=False)[1:-1]
    return written.replace("\\", "\\\\").replace("$", "\\$").replace("}", "\\}") if snippets else written
