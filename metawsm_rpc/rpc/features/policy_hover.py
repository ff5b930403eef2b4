"""The hover in the policy file: what a field means, and what it is when nobody writes it."""

import json
from typing import Any

from lsprotocol import types
from pygls.workspace import PositionCodec

from metawsm_rpc.domain.markdown import code, inline
from metawsm_rpc.policy import schema
from metawsm_rpc.policy.positions import Entry, Position, positions, unescape
from metawsm_rpc.policy.positions import Range as TextRange
from metawsm_rpc.rpc.features.places import UTF16, policy_range, position_from


def hover(text: str, position: types.Position, codec: PositionCodec = UTF16) -> types.Hover | None:
    """Return the hover on a key or a plain value; None between them, and where the schema knows nothing."""
    lines = text.split("\n")
    at = position_from(lines, position, codec)
    for pointer, entry in positions(text).items():
        where = _covering(entry, at)
        node = schema.node(pointer) if where and pointer else None
        if where and node is not None:
            content = types.MarkupContent(types.MarkupKind.Markdown, _told(pointer, node))
            return types.Hover(content, policy_range(where, lines, codec))
    return None


def _covering(entry: Entry, at: Position) -> TextRange | None:
    """Return the key or the plain value of an entry that stands at a place."""
    value = entry.value
    # What goes on over several lines, or holds others, is told by its key.
    plain = (value,) if value.start.line == value.end.line else ()
    return next((where for where in (entry.key, *plain) if where and where.start <= at < where.end), None)


def _told(pointer: str, node: dict[str, Any]) -> str:
    parts = [f"**{inline('.'.join(unescape(pointer)))}**"]
    if "description" in node:
        parts.append(inline(node["description"], 1000))
    if "enum" in node:
        parts.append(f"One of {', '.join(code(json.dumps(value)) for value in node['enum'])}.")
    if node.get("default") is not None:
        parts.append(f"Default: {code(json.dumps(node['default'], ensure_ascii=False), 500)}")
    return "\n\n".join(parts)
