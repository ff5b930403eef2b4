"""Converts the protocol's JSON back to the types of the code: the reverse of `domain.wire`."""

from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from metawsm_rpc.domain.wire import camel

Shape = TypeVar("Shape")


def read(kind: type[Shape], value: Any) -> Shape:
    """Return JSON as the named tuple that it was made from; members that the shape does not have are left out."""
    found: Shape = _read(kind, value)
    return found


def _read(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    if hasattr(kind, "_fields"):
        hints = get_type_hints(kind)
        return kind(*(_read(hints[field], value[camel(field)]) for field in kind._fields))
    if get_origin(kind) is tuple:
        return tuple(_read(get_args(kind)[0], item) for item in value)
    if get_origin(kind) in (UnionType, Union):
        (inner,) = (one for one in get_args(kind) if one is not NoneType)
        return _read(inner, value)
    return value
