"""The session of a client: its capabilities, its roots, and the threads that work for it."""

import asyncio
import traceback
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from metawsm_rpc import __version__
from metawsm_rpc.errors import MetawsmError
from metawsm_rpc.rpc.connection.client import Client
from metawsm_rpc.rpc.connection.options import Options
from metawsm_rpc.rpc.connection.protocol import MetawsmProtocol
from metawsm_rpc.rpc.connection.texts import opened
from metawsm_rpc.rpc.connection.transport import Writer
from metawsm_rpc.rpc.memory import Memory
from metawsm_rpc.rpc.roots import Root, Roots, path_of
from metawsm_rpc.rpc.threads import Threads

if TYPE_CHECKING:
    from metawsm_rpc.rpc.view import View

SCHEME = "metawsm"
"""The scheme of virtual documents, and the prefix of verbs."""

_LONGEST_BYTES = 8 * 1024 * 1024
"""Longer files are read only when they are open in the editor."""


class Session(LanguageServer):
    """The base of the server; `server.py` adds verbs and news."""

    protocol: MetawsmProtocol

    def __init__(self) -> None:
        super().__init__(SCHEME, __version__, protocol_cls=MetawsmProtocol)
        self.scheme = SCHEME
        self.client = Client(self.protocol)
        self.options = Options()
        self.memory = Memory()
        self.roots = Roots()
        self.threads = Threads()
        self.end: Callable[[int], None] = lambda _: None
        self._spawned: set[asyncio.Task[Any]] = set()

    def begin(self, loop: asyncio.AbstractEventLoop, writer: Writer) -> None:
        """Get ready for messages."""
        self.loop = loop
        self.writer = writer
        self.threads.heed(writer)
        self.protocol.set_writer(writer)

    def greeted(self, params: dict[str, Any]) -> None:
        """Keep the client's parameters of `initialize`."""
        self.client.told(params)

    def root_of(self, uri: str | None) -> Root:
        """Return the root that a document belongs to: its workspace folder's, else the first one's."""
        return self.roots.holding(uri)

    async def view(self, root: Root) -> "View":
        """Return the current view of a root."""
        return await self.threads.on("looks", lambda: root.views.current())  # noqa: PLW0108 - the root is opened on the thread

    async def text(self, uri: str) -> str | None:
        """Return a file's text: the editor's if it is open, else the saved one; None if it is not text."""
        document = opened(self.workspace, uri)
        return document.source if document is not None else await self.threads.on("looks", _saved, uri)

    def spawn(self, job: Coroutine[Any, Any, Any]) -> None:
        """Run something in the background; errors are logged."""
        task = self.loop.create_task(job)
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)
        task.add_done_callback(self._report_of)

    def _report_of(self, done: "asyncio.Task[Any]") -> None:
        if not done.cancelled() and (error := done.exception()):
            self.report(error, "in the background")

    def report(self, error: BaseException, doing: str) -> None:
        """Log an unexpected error; errors that a person can act on are in the answers."""
        if not isinstance(error, MetawsmError):
            self.client.log("".join([f"{doing}: ", *traceback.format_exception(error)]), types.MessageType.Error)


def _saved(uri: str) -> str | None:
    path = path_of(uri)
    try:
        if path is None or not path.is_file() or path.stat().st_size > _LONGEST_BYTES:
            return None
        return path.read_text("utf-8")
    except (OSError, ValueError):
        return None
