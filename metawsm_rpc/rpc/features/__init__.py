"""What an editor is shown: diagnostics, lenses, hovers, actions, links, symbols, completion and documents.

Each module answers from plain data; the handlers here are found by name and imported by their first
request, on a thread, so that `initialize` is answered before anything heavy is there.
"""

from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lsprotocol import types

if TYPE_CHECKING:
    from metawsm_rpc.rpc.server import MetawsmServer

Handler = Callable[["MetawsmServer", Any], Coroutine[Any, Any, Any]]

_HANDLERS: tuple[tuple[str, str, str, Any], ...] = (
    (types.TEXT_DOCUMENT_CODE_LENS, "tickets", "code_lenses", types.CodeLensOptions(resolve_provider=False)),
    (
        types.TEXT_DOCUMENT_CODE_ACTION,
        "tickets",
        "code_actions",
        types.CodeActionOptions([types.CodeActionKind.QuickFix, "source.metawsm"], resolve_provider=False),
    ),
    (
        types.TEXT_DOCUMENT_DOCUMENT_LINK,
        "tickets",
        "document_links",
        types.DocumentLinkOptions(resolve_provider=False),
    ),
    (types.WORKSPACE_SYMBOL, "tickets", "workspace_symbols", None),
    (types.TEXT_DOCUMENT_HOVER, "tickets", "hover_on_ticket", None),
)
"""Method, module and function of each handler, and what the server says of it in `initialize`."""


def register(server: "MetawsmServer") -> None:
    """Register every handler."""
    for method, module, function, options in _HANDLERS:
        server.feature(method, options)(_lazy(server, module, function))


def _lazy(server: "MetawsmServer", module: str, function: str) -> Callable[[Any], Coroutine[Any, Any, Any]]:
    def load() -> Handler:
        handler: Handler = getattr(import_module(f"{__name__}.{module}"), function)
        return handler

    loaded: list[Handler] = []

    async def handle(params: Any) -> Any:
        if not loaded:
            loaded.append(await server.calls.on("looks", load))
        return await loaded[0](server, params)

    return handle
