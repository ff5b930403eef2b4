"""Handlers for an editor's requests, commands and document notifications.

`rpc/features` computes the content. Handlers are found by name and imported at their first request, on a
thread, so that `initialize` is answered before anything heavy is imported.
"""

from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any

from lsprotocol import types

from metawsm_rpc.rpc.news.blocked import watched
from metawsm_rpc.rpc.server import MetawsmServer

Handler = Callable[[MetawsmServer, Any], Coroutine[Any, Any, Any]]

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
    (types.TEXT_DOCUMENT_HOVER, "hovering", "hover", None),
    (
        types.TEXT_DOCUMENT_COMPLETION,
        "policy_file",
        "completion",
        types.CompletionOptions(trigger_characters=['"', ":"]),
    ),
    (types.WORKSPACE_TEXT_DOCUMENT_CONTENT, "documents", "content", None),
    (types.TEXT_DOCUMENT_DID_OPEN, "documents", "opened", None),
    (types.TEXT_DOCUMENT_DID_CHANGE, "documents", "typed", None),
    (types.TEXT_DOCUMENT_DID_SAVE, "documents", "saved", None),
    (types.TEXT_DOCUMENT_DID_CLOSE, "documents", "closed", None),
    (types.WORKSPACE_DID_CHANGE_WATCHED_FILES, "documents", "changed_on_disk", None),
)
"""Method, module and function of each handler, and what the server says of it in `initialize`."""


def register(server: MetawsmServer) -> None:
    """Register every handler, and what becomes of commands."""
    server.command_handler = _execute
    for method, module, function, options in _HANDLERS:
        server.feature(method, options)(_lazy(server, module, function))


async def begin(server: MetawsmServer) -> None:
    """Publish the problems of policies even if none is open, and watch them for changes on disk."""
    await check_policies(server)
    server.spawn(watched(server))
    if server.client.can("workspace.textDocumentContent"):
        documents = await server.threads.on("looks", import_module, f"{__name__}.documents")
        server.spawn(documents.followed(server))
    if server.client.can("workspace.didChangeWatchedFiles.dynamicRegistration"):
        await server.client.ask(types.CLIENT_REGISTER_CAPABILITY, import_module(f"{__name__}.policy_file").WATCH)


async def check_policies(server: MetawsmServer) -> None:
    """Show what is wrong with the policies of the roots that there are, and no longer with those of others."""
    policy_file = await server.threads.on("looks", import_module, f"{__name__}.policy_file")
    await policy_file.all_checked(server)


async def _execute(server: MetawsmServer, verb: str, sent: Any) -> Any:
    commands = await server.threads.on("looks", import_module, f"{__name__}.commands")
    return await commands.execute(server, verb, sent)


def _lazy(server: MetawsmServer, module: str, function: str) -> Callable[[Any], Coroutine[Any, Any, Any]]:
    def load() -> Handler:
        handler: Handler = getattr(import_module(f"{__name__}.{module}"), function)
        return handler

    loaded: list[Handler] = []

    async def handle(params: Any) -> Any:
        if not loaded:
            loaded.append(await server.threads.on("looks", load))
        return await loaded[0](server, params)

    return handle
