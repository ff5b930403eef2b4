"""The server: a session with its verbs and its news.

The event loop only receives messages and passes results on. Verbs run on threads of `threads.py`, each root is
followed by a thread of `news/feed.py`, and bytes are read and written by those of `connection/transport.py`.
Everything heavy is imported after `initialize` has been answered.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from metawsm_rpc.errors import NotFoundError
from metawsm_rpc.rpc.calls.calling import Calls, as_it_is
from metawsm_rpc.rpc.calls.progress import Progress
from metawsm_rpc.rpc.files import Files
from metawsm_rpc.rpc.news.feed import Feeds
from metawsm_rpc.rpc.news.refreshing import Refreshes
from metawsm_rpc.rpc.roots import Root
from metawsm_rpc.rpc.session import Session
from metawsm_rpc.verbs import BY_NAME

CommandHandler = Callable[["MetawsmServer", str, Any], Awaitable[Any]]


class MetawsmServer(Session):
    """The session of one client, its verbs and its news."""

    def __init__(self) -> None:
        super().__init__()
        self.files = Files(self.threads, self.content)
        self.refreshes = Refreshes(self.client, self.files.want)
        self.feeds = Feeds(self, self.refreshes)
        self.work = Progress(self, self.feeds)
        self.calls = Calls(self, self.feeds, self.work)
        self.command_handler: CommandHandler = MetawsmServer.run_command
        self._letting_go: asyncio.Task[None] | None = None

    async def let_go(self) -> None:
        """Interrupt the drives of this process and release its leases, once; agents keep running."""
        if self._letting_go is None:
            self._letting_go = asyncio.get_running_loop().create_task(self._let_go())
        await asyncio.shield(self._letting_go)

    async def _let_go(self) -> None:
        self.files.remove()
        await self.threads.on("stops", self.feeds.stop)
        await self.threads.on("stops", self.roots.close)

    async def call(self, root: Root, verb: str, params: dict[str, Any] | None = None) -> Any:
        """Call a verb and return its result as plain JSON, as for a request. Raises `MetawsmError`."""
        return await self.calls.call(BY_NAME[verb], params, root, as_it_is)

    async def content(self, uri: str) -> Any:
        """Return `{text, languageId}` of a document, from whichever root has it. Raises `MetawsmError`."""
        roots = await self.threads.on("looks", lambda: self.roots.of_folders)
        for root in roots[:-1]:
            try:
                return await self.call(root, "content", {"uri": uri})
            except NotFoundError:
                continue  # an address does not say at which root its run is
        return await self.call(roots[-1], "content", {"uri": uri})

    async def run_command(self, verb: str, sent: Any) -> Any:
        """Execute a command exactly as its verb, without filling in anything."""
        return await self.calls.call(BY_NAME[verb], sent, None, as_it_is)

    def follow(self, before: Sequence[Root] = ()) -> None:
        """Follow the roots of the current workspace folders, and stop following others; for threads."""
        now = self.roots.of_folders
        for root in before:
            if root not in now:
                self.feeds.drop(root)
        for root in now:
            self.feeds.of(root)

    # --- the protocol's host ---

    def offered(self, token: object) -> None:
        """Keep the progress token of a request."""
        self.work.offered(token)

    async def cancel(self, token: str | int) -> None:
        """Cancel what a progress token stands for."""
        await self.work.cancel(token)
