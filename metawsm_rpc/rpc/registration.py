"""Registers every method and command of the protocol, from one table for both."""

from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any

from lsprotocol import types

from metawsm_rpc.rpc import handlers
from metawsm_rpc.rpc.calls.calling import encoded
from metawsm_rpc.rpc.connection.options import options
from metawsm_rpc.rpc.connection.parent import watch_parent
from metawsm_rpc.rpc.connection.protocol import Encoded
from metawsm_rpc.rpc.server import MetawsmServer
from metawsm_rpc.rpc.session import SCHEME
from metawsm_rpc.verbs import VERBS, Verb

Handler = Callable[..., Coroutine[Any, Any, Any]]


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
    handlers.register(server)
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
        await handlers.begin(server)

    return initialized


def _folders_changed(server: MetawsmServer) -> Handler:
    async def folders_changed(params: types.DidChangeWorkspaceFoldersParams) -> None:
        # At once: what is asked next is asked of the folders that there are now.
        before = server.roots.folders
        for folder in params.event.removed:
            server.roots.remove(folder.uri)
        for folder in params.event.added:
            server.roots.add(folder.uri)
        await server.threads.on("looks", lambda: server.follow(server.roots.of(before)))
        await handlers.check_policies(server)

    return folders_changed


def _discover(server: MetawsmServer) -> Handler:
    async def discover(_: Any) -> Encoded:
        return Encoded(await server.threads.on("looks", _document))

    return discover


@cache
def _document() -> str:
    from metawsm_rpc.rpc.reference.openrpc import document

    return encoded(document())


def _request(server: MetawsmServer, verb: Verb) -> Handler:
    async def request(params: Any) -> Any:
        return Encoded(await server.calls.call(verb, params, None, encoded))

    return request


def _command(server: MetawsmServer, verb: Verb) -> Handler:
    # Editors send `[params]`, `[{}]`, `[null]`, `[]` or nothing; VS Code's menus a second null.
    async def command(*arguments: Any) -> Any:
        return await server.command_handler(server, verb.name, _sent(arguments))

    return command


def _sent(arguments: tuple[Any, ...]) -> Any:
    """Return a command's argument; a command line that an editor has split into words is joined again."""
    if all(isinstance(one, str) for one in arguments):
        return " ".join(arguments) if arguments else {}
    return {} if arguments[0] is None else arguments[0]
