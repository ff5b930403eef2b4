"""The server: every verb as a request `metawsm/<verb>` and as a command `metawsm.<verb>`, and what editors show.

The event loop only takes messages and hands answers on. Verbs run on threads of `calling.py`, each
root is followed by a thread of `feed.py`, and bytes are read and written by those of `transport.py`.
Everything heavy is imported after `initialize` has been answered.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from metawsm_rpc import __version__
from metawsm_rpc.errors import MetawsmError
from metawsm_rpc.rpc import features
from metawsm_rpc.rpc.calling import as_it_is, call, encoded
from metawsm_rpc.rpc.client import Client
from metawsm_rpc.rpc.feed import Feeds
from metawsm_rpc.rpc.lifecycle import run, watch_parent
from metawsm_rpc.rpc.options import Options, options
from metawsm_rpc.rpc.progress import Progress
from metawsm_rpc.rpc.protocol import Encoded, MetawsmProtocol
from metawsm_rpc.rpc.refreshing import Refreshes
from metawsm_rpc.rpc.roots import Root, Roots
from metawsm_rpc.rpc.threads import Threads
from metawsm_rpc.rpc.transport import Writer
from metawsm_rpc.verbs import BY_NAME, VERBS, Verb

if TYPE_CHECKING:
    from metawsm_rpc.rpc.view import View

SCHEME = "metawsm"
"""The scheme of virtual documents."""

Handler = Callable[..., Coroutine[Any, Any, Any]]
CommandHandler = Callable[["MetawsmServer", str, dict[str, Any]], Awaitable[Any]]


class MetawsmServer(LanguageServer):
    """The server's state: the client, the roots, the threads."""

    protocol: MetawsmProtocol

    def __init__(self) -> None:
        super().__init__(SCHEME, __version__, protocol_cls=MetawsmProtocol)
        self.scheme = SCHEME
        self.client = Client(self.protocol)
        self.options = Options()
        self.roots = Roots()
        self.threads = Threads()
        self.feeds = Feeds(self)
        self.refreshes = Refreshes(self.client)
        self.work = Progress(self)
        self.command_handler: CommandHandler = MetawsmServer.run_command
        self.end: Callable[[int], None] = lambda _: None
        self._spawned: set[asyncio.Task[Any]] = set()

    def begin(self, loop: asyncio.AbstractEventLoop, writer: Writer) -> None:
        """Be ready for messages."""
        self.loop = loop
        self.writer = writer
        self.threads.heed(writer)
        self.protocol.set_writer(writer)

    async def let_go(self) -> None:
        """Cut off what this process drives and give up what it holds; agents go on."""
        features.end(self)
        await self.threads.on("stops", self.feeds.stop)
        await self.threads.on("stops", self.roots.close)

    # --- verbs ---

    def root_of(self, uri: str | None) -> Root:
        """Return the root that a document belongs to: its workspace folder's, else the first one's."""
        return self.roots.holding(uri)

    async def call(self, root: Root, verb: str, params: dict[str, Any] | None = None) -> Any:
        """Call a verb and return its answer as plain JSON, as a request would get it. Raises `MetawsmError`."""
        return await call(self, BY_NAME[verb], params, root, as_it_is)

    async def run_command(self, verb: str, params: dict[str, Any]) -> Any:
        """Carry out a command that an editor sent without help of ours: exactly the verb."""
        return await call(self, BY_NAME[verb], params, None, as_it_is)

    async def view(self, root: Root) -> "View":
        """Return what editors are shown of a root, as it is now."""
        return await self.threads.on("looks", lambda: root.views.current())  # noqa: PLW0108 - the root is opened on the thread

    def follow(self, before: Sequence[Root] = ()) -> None:
        """Follow the roots of the workspace folders, and no longer those that were before; for threads."""
        now = self.roots.of_folders
        for root in before:
            if root not in now:
                self.feeds.drop(root)
        for root in now:
            self.feeds.of(root)

    def spawn(self, job: Coroutine[Any, Any, Any]) -> None:
        """Do something in the background; what goes wrong is told to the log."""
        task = self.loop.create_task(job)
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)
        task.add_done_callback(self._report_of)

    def _report_of(self, done: "asyncio.Task[Any]") -> None:
        if not done.cancelled() and (error := done.exception()):
            self.report(error, "in the background")

    # --- the person ---

    def report(self, error: BaseException, doing: str) -> None:
        """Tell the log of what should not have happened; what a person can act on is told by its answer."""
        if not isinstance(error, MetawsmError):
            self.client.log("".join([f"{doing}: ", *traceback.format_exception(error)]), types.MessageType.Error)


def create_server() -> MetawsmServer:
    """Return a server with every verb and every feature of the editor registered."""
    server = MetawsmServer()
    server.feature(types.INITIALIZE)(_initialize(server))
    server.feature(types.INITIALIZED)(_initialized(server))
    server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)(_folders_changed(server))
    server.feature("rpc.discover")(_discover(server))
    for verb in VERBS:
        server.feature(f"{SCHEME}/{verb.name}")(_request(server, verb))
        server.command(f"{SCHEME}.{verb.name}")(_command(server, verb))
    features.register(server)
    return server


def _initialize(server: MetawsmServer) -> Callable[[types.InitializeParams], None]:
    def initialize(params: types.InitializeParams) -> None:
        if params.process_id is not None:
            watch_parent(params.process_id, server.end)
        server.options, problems = options(params.initialization_options)
        server.roots.trusted = server.options.trusted
        for problem in problems:
            server.client.show(problem, types.MessageType.Error)
        if server.options.root is not None:
            server.roots.fix(server.options.root)
        folders = [folder.uri for folder in params.workspace_folders or ()]
        for folder in folders or filter(None, [params.root_uri or params.root_path]):
            server.roots.add(folder)

    return initialize


def _initialized(server: MetawsmServer) -> Handler:
    async def initialized(_: Any) -> None:
        await server.threads.on("looks", server.follow)
        await features.begin(server)

    return initialized


def _folders_changed(server: MetawsmServer) -> Handler:
    async def folders_changed(params: types.DidChangeWorkspaceFoldersParams) -> None:
        before = await server.threads.on("looks", lambda: server.roots.of_folders)
        for folder in params.event.removed:
            server.roots.remove(folder.uri)
        for folder in params.event.added:
            server.roots.add(folder.uri)
        await server.threads.on("looks", server.follow, before)

    return folders_changed


def _discover(server: MetawsmServer) -> Handler:
    async def discover(_: Any) -> Encoded:
        return Encoded(await server.threads.on("looks", _document))

    return discover


@cache
def _document() -> str:
    from metawsm_rpc.rpc.openrpc import document

    return encoded(document())


def _request(server: MetawsmServer, verb: Verb) -> Handler:
    async def request(params: Any) -> Any:
        return Encoded(await call(server, verb, params, None, encoded))

    return request


def _command(server: MetawsmServer, verb: Verb) -> Handler:
    # Editors send `[params]`, `[{}]`, `[null]`, `[]` or nothing; VS Code's menus a second null.
    async def command(*arguments: Any) -> Any:
        return await server.command_handler(server, verb.name, _sent(arguments))

    return command


def _sent(arguments: tuple[Any, ...]) -> Any:
    """Return what a command was sent; a command line that an editor cut into words is one text again."""
    if all(isinstance(one, str) for one in arguments):
        return " ".join(arguments) if arguments else {}
    return {} if arguments[0] is None else arguments[0]


def serve(root: str | None = None) -> None:
    """Serve on standard input and output until the client goes; `root` replaces what the client opens."""
    server = create_server()
    if root is not None:
        server.roots.fix(root)
    run(server)
