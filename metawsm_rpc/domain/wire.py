"""Converts plain data to the JSON of the protocol: snake_case becomes camelCase, tuples become arrays."""

from functools import cache
from typing import Any

_PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types that need no conversion."""


@cache
def camel(name: str) -> str:
    """Return the wire name of a field: `depends_on` is `dependsOn`, `from_` is `from`."""
    first, *rest = name.strip("_").split("_")
    return first + "".join(word.capitalize() for word in rest)


@cache
def _wire_names(kind: type) -> tuple[str, ...]:
    return tuple(camel(field) for field in kind._fields)  # type: ignore[attr-defined]


def wire(value: Any) -> Any:
    """Return `value` as JSON-ready data.

    NamedTuples become objects with camelCase keys, other tuples and lists arrays; the keys of
    dictionaries are data and stay as they are.
    """
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    # Nearly all items are plain; a call for each would be slow.
    if isinstance(value, tuple):
        if hasattr(kind, "_fields"):
            items = zip(_wire_names(kind), value, strict=True)
            return {name: item if type(item) in _PLAIN else wire(item) for name, item in items}
        return [item if type(item) in _PLAIN else wire(item) for item in value]
    if isinstance(value, list):
        return [wire(item) for item in value]
    if isinstance(value, dict):
        return {key: wire(item) for key, item in value.items()}
    return value
