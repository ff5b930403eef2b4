"""Virtual documents, and notifications about documents that are opened, edited and closed."""

import asyncio
import time
from typing import TYPE_CHECKING

from lsprotocol import types

from metawsm_rpc.errors import MetawsmError
from metawsm_rpc.pages.address import SCHEME

if TYPE_CHECKING:
    from metawsm_rpc.rpc.server import MetawsmServer

_CHANGING = (f"{SCHEME}:/transcript/", f"{SCHEME}:/diff/")
_FOLLOWED = 4
"""So many are followed, those that were read last."""

_LOOK_SECONDS = 1.0
_SHARE = 0.05
"""How much of the time may go into looking at them."""


async def content(server: "MetawsmServer", params: types.TextDocumentContentParams) -> types.TextDocumentContentResult:
    """Answer the text of a virtual document; the client is asked to ask again when something has changed."""
    found = await server.content(params.uri)
    server.refreshes.shown(params.uri, found["text"])
    return types.TextDocumentContentResult(found["text"])


async def followed(server: "MetawsmServer") -> None:
    """Look at the transcripts and diffs that the client shows, until the server ends: no event tells of their changes."""
    while True:
        began = time.monotonic()
        changing = [uri for uri in server.refreshes.documents if uri.startswith(_CHANGING)]
        for uri in changing[:_FOLLOWED]:
            try:
                found = await server.content(uri)
            except MetawsmError:
                continue  # whoever reads it is told
            await server.refreshes.compare(uri, found["text"])
        await asyncio.sleep(max(_LOOK_SECONDS, (time.monotonic() - began) / _SHARE))


async def opened(server: "MetawsmServer", params: types.DidOpenTextDocumentParams) -> None:
    """Note that a document was opened."""
    uri = params.text_document.uri
    server.memory.used(uri)
    if uri.startswith(f"{server.scheme}:"):
        server.refreshes.shown(uri)
    await _changed(server, uri)


async def typed(server: "MetawsmServer", params: types.DidChangeTextDocumentParams) -> None:
    """Note that somebody types in a document."""
    server.memory.used(params.text_document.uri)
    await _changed(server, params.text_document.uri)


async def saved(server: "MetawsmServer", params: types.DidSaveTextDocumentParams) -> None:
    """Note that a document was saved."""
    await _changed(server, params.text_document.uri)


async def closed(server: "MetawsmServer", params: types.DidCloseTextDocumentParams) -> None:
    """Note that a document was closed: what is saved counts again."""
    server.memory.closed(params.text_document.uri)
    server.refreshes.closed(params.text_document.uri)
    await _changed(server, params.text_document.uri)


async def changed_on_disk(server: "MetawsmServer", params: types.DidChangeWatchedFilesParams) -> None:
    """Note that files were changed by somebody else."""
    for change in params.changes:
        await _changed(server, change.uri)


async def _changed(server: "MetawsmServer", uri: str) -> None:
    if uri.endswith("/index.md"):
        # The line of a ticket's diagnostics may be another one.
        # The root may have to be opened, or its view be in use.
        await server.threads.on("looks", lambda: server.root_of(uri).views.tickets_changed())  # noqa: PLW0108 - the root is opened on the thread
        server.feeds.wake()
    elif uri.endswith("/policy.json"):
        from metawsm_rpc.rpc.handlers import policy_file

        if policy_file.is_policy(uri):
            await policy_file.checked(server, uri)
