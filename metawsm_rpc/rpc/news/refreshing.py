"""Asks the client to refresh lenses and virtual documents when their content has changed."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from lsprotocol import types

if TYPE_CHECKING:
    from metawsm_rpc.rpc.connection.client import Client

_PAUSE_SECONDS = 0.2
"""How long at least from one round to the next: clients ask anew for all that is in sight."""

_REMEMBERED = 100


class Refreshes:
    """Keeps what the client shows fresh; `also` is called when it may not be. For the event loop."""

    def __init__(self, client: "Client", also: Callable[[], None]) -> None:
        self._client = client
        self._also = also
        self._documents: dict[str, int | None] = {}
        self._wanted = False
        self._task: asyncio.Task[None] | None = None

    def shown(self, uri: str, text: str | None = None) -> None:
        """Remember a virtual document that the client has read; the oldest are forgotten."""
        before = self._documents.pop(uri, None)
        self._documents[uri] = before if text is None else hash(text)
        for oldest in list(self._documents)[:-_REMEMBERED]:
            del self._documents[oldest]

    def closed(self, uri: str) -> None:
        """Forget a virtual document."""
        self._documents.pop(uri, None)

    @property
    def documents(self) -> tuple[str, ...]:
        """The virtual documents that the client shows, the one that was read last first."""
        return tuple(reversed(self._documents))

    async def compare(self, uri: str, text: str) -> None:
        """Have a document asked for again if it is not what the client has read."""
        if uri not in self._documents:
            return
        before, self._documents[uri] = self._documents[uri], hash(text)
        if before not in (None, hash(text)):
            await self._again(uri)

    def want(self) -> None:
        """Have everything asked for again soon."""
        self._also()
        self._wanted = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._refresh())

    async def _refresh(self) -> None:
        while self._wanted:
            self._wanted = False
            if self._client.can("workspace.codeLens.refreshSupport"):
                await self._client.ask(types.WORKSPACE_CODE_LENS_REFRESH)
            if self._client.can("workspace.textDocumentContent"):
                for uri in list(self._documents):
                    await self._again(uri)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _again(self, uri: str) -> None:
        params = types.TextDocumentContentRefreshParams(uri)
        await self._client.ask(types.WORKSPACE_TEXT_DOCUMENT_CONTENT_REFRESH, params)
