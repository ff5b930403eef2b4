"""How messages that the LSP does not define become Python: as plain dictionaries.

pygls makes named tuples of their parameters, which renames keys such as `class`, and never answers a
request that has no `params` at all. Both are mended here.
"""

from collections.abc import Callable
from typing import Any

from cattrs import Converter
from pygls.protocol import JsonRPCNotification, JsonRPCRequestMessage, JsonRPCResponseMessage, default_converter


def converter() -> Converter:
    """Return the converter for `LanguageServer(converter_factory=…)`."""
    made: Converter = default_converter()  # type: ignore[no-untyped-call]
    for kind, member in (
        (JsonRPCRequestMessage, "params"),
        (JsonRPCNotification, "params"),
        (JsonRPCResponseMessage, "result"),
    ):
        made.register_structure_hook(kind, _hook(member))
    return made


def _hook(member: str) -> Callable[[dict[str, Any], type[Any]], Any]:
    def structure(message: dict[str, Any], kind: type[Any]) -> Any:
        known = {name: message.get(name) for name in ("id", "method", "jsonrpc", member) if name in message}
        return kind(**{member: None, **known})

    return structure
