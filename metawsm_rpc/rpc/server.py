"""The server: every verb as a request `metawsm/<verb>` and as a command `metawsm.<verb>`.

The event loop only takes messages and sends answers; verbs run on threads of the server's own.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from metawsm_rpc import __version__
from metawsm_rpc.composition import find_root, open_service
from metawsm_rpc.domain.wire import wire
from metawsm_rpc.errors import InternalError, InvalidParamsError, MetawsmError
from metawsm_rpc.rpc.converter import converter
from metawsm_rpc.rpc.parameters import checked
from metawsm_rpc.service import Service
from metawsm_rpc.verbs import VERBS, Verb

_THREADS = 16
"""How many verbs run at a time; those that wait for a run hold one each."""

Handler = Callable[..., Coroutine[Any, Any, Any]]


class Roots:
    """The services of a server, one for each root that was asked for."""

    def __init__(self) -> None:
        self.default = Path.cwd()
        self._services: dict[Path, Service] = {}

    def service(self, named: str | None) -> Service:
        """Return the service on a root: a path, a file URI, or None for the workspace folder's."""
        root = find_root(self.default) if named is None else path_of(named)
        if not root.is_dir():
            raise InvalidParamsError(f"The root {named or root} is not a folder; name one that exists.")
        if root not in self._services:
            self._services[root] = open_service(root)
        return self._services[root]

    def close(self) -> None:
        """Let go of everything; agents go on."""
        for service in self._services.values():
            service.shut_down()


def path_of(named: str) -> Path:
    """Return the folder that a path or a file URI names."""
    parts = urlsplit(named)
    return Path(unquote(parts.path) if parts.scheme == "file" else named).expanduser().resolve()


def create_server() -> tuple[LanguageServer, Roots]:
    """Return a server with every verb registered, and the roots that it serves."""
    # pygls logs every payload, and a traceback for every error that a client is told.
    logging.getLogger("pygls").setLevel(logging.CRITICAL)
    server = LanguageServer("metawsm", __version__, converter_factory=converter)
    roots = Roots()
    pool = ThreadPoolExecutor(_THREADS, "verb")

    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        roots.default = _workspace_folder(params) or roots.default

    for verb in VERBS:
        server.feature(f"metawsm/{verb.name}")(_request(verb, roots, pool))
        server.command(f"metawsm.{verb.name}")(_command(verb, roots, pool))
    return server, roots


def _workspace_folder(params: types.InitializeParams) -> Path | None:
    options = params.initialization_options
    if isinstance(options, dict) and isinstance(options.get("root"), str):
        return path_of(options["root"])
    named = params.workspace_folders[0].uri if params.workspace_folders else params.root_uri or params.root_path
    return path_of(named) if named else None


def _request(verb: Verb, roots: Roots, pool: ThreadPoolExecutor) -> Handler:
    async def request(*arguments: Any) -> Any:
        return await _call(verb, arguments[0] if arguments else None, roots, pool)

    return request


def _command(verb: Verb, roots: Roots, pool: ThreadPoolExecutor) -> Handler:
    # Editors send `[params]`, `[{}]`, `[null]`, `[]` or nothing; VS Code's menus a second null.
    async def command(*arguments: Any) -> Any:
        return await _call(verb, arguments[0] if arguments else None, roots, pool)

    return command


async def _call(verb: Verb, sent: object, roots: Roots, pool: ThreadPoolExecutor) -> Any:
    try:
        root, arguments = checked(verb, sent)
        method = partial(_on_thread, roots, verb, root, arguments)
        return await asyncio.get_running_loop().run_in_executor(pool, method)
    except MetawsmError as error:
        raise as_json_rpc(error) from error
    except Exception as error:
        defect = InternalError(f"{verb.name} failed in a way that it should not: {type(error).__name__}: {error}")
        raise as_json_rpc(defect) from error


def _on_thread(roots: Roots, verb: Verb, root: str | None, arguments: dict[str, Any]) -> Any:
    return wire(getattr(roots.service(root), verb.method)(**arguments))


def as_json_rpc(error: MetawsmError) -> JsonRpcException:
    """Return an error as pygls sends it."""
    return JsonRpcException(error.message, error.code, wire(error.data()))


def serve() -> None:
    """Serve on standard input and output until the client goes."""
    server, roots = create_server()
    try:
        server.start_io()
    finally:
        roots.close()
        # A verb that waits for a run must not hold the process up.
        os._exit(0)
