"""JSON-RPC as the specification has it, on pygls' base protocol, whose faults are mended here.

pygls 2.1 keeps the requests of both directions in one table, leaves malformed messages, unknown
result shapes and requests without `params` unanswered, and cannot cancel commands. Here each message
is taken apart by itself, every request has a task, and whatever becomes of the task is answered.
"""

import asyncio
import contextlib
import inspect
import itertools
import json
import logging
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol, cast

from cattrs import Converter
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.protocol import LanguageServerProtocol, lsp_method

from metawsm_rpc.errors import InvalidParamsError
from metawsm_rpc.rpc.connection import faults
from metawsm_rpc.rpc.connection.texts import Texts

if TYPE_CHECKING:
    from pygls.lsp.server import LanguageServer

_FIRST_ID = 1 << 30
"""Requests to the client are numbered from here: integers, which every client takes, far from its own."""

_CLEAN_UP_SECONDS = 1.0
"""Emacs' eglot waits 1.5 s for the answer to `shutdown`."""

_QUIET = frozenset({types.EXIT, types.CANCEL_REQUEST})


class Encoded(NamedTuple):
    """A result that is JSON already."""

    text: str


class Host(Protocol):
    """What the protocol asks of the server that it speaks for."""

    scheme: str
    end: Callable[[int], None]

    def greeted(self, params: dict[str, Any]) -> None:
        """Keep what the client says of itself in `initialize`."""

    def report(self, error: BaseException, doing: str) -> None:
        """Tell the log of what should not have happened."""

    def offered(self, token: object) -> None:
        """Keep the token for progress that came with a request."""

    async def cancel(self, token: str | int) -> None:
        """Do what the person who pressed Cancel means."""

    async def let_go(self) -> None:
        """Give up what the process holds."""


class MetawsmProtocol(LanguageServerProtocol):
    """Takes the client's messages and answers them."""

    def __init__(self, server: Host, converter: Converter) -> None:
        # pygls logs every payload, and a traceback for every error that a client is told.
        logging.getLogger("pygls").setLevel(logging.CRITICAL)
        self._initialized = False
        self._ids = itertools.count(_FIRST_ID)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._under_way: dict[tuple[type, Any], asyncio.Task[Any]] = {}
        self._host = server
        super().__init__(cast("LanguageServer", server), converter)  # reads every attribute

    @property
    def pending(self) -> set[asyncio.Task[Any]]:
        """What is being dealt with."""
        return set(self._tasks)

    # --- taking messages ---

    def receive(self, body: bytes) -> asyncio.Task[Any] | None:
        """Take one message; return the task that deals with it, None when that is done."""
        try:
            message = json.loads(body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            self.send_error(None, faults.PARSE_ERROR, f"This is not JSON: {faults.shortened(error)}")
            return None
        return self._take(message)

    def _take(self, message: Any) -> asyncio.Task[Any] | None:
        if not isinstance(message, dict):
            self.send_error(None, faults.INVALID_REQUEST, "A message is one object; LSP has no batches.")
            return None
        has_id, msg_id = "id" in message, message.get("id")
        if has_id and not _is_id(msg_id):
            self.send_error(None, faults.INVALID_REQUEST, "An id is a string or a number.")
            return None
        method = message.get("method")
        params = message.get("params")
        if message.get("jsonrpc") != "2.0":
            wrong = 'A message has "jsonrpc": "2.0".'
        elif "method" not in message and has_id and ("result" in message) != ("error" in message):
            self._take_response(msg_id, message)
            return None
        elif not isinstance(method, str):
            wrong = "A message has a method, which is a string, or it is the response to a request."
        elif params is not None and not isinstance(params, dict | list):
            wrong = "The parameters of a message are an object or an array."
        else:
            return self._request(msg_id, method, params) if has_id else self._notification(method, params)
        self.send_error(msg_id, faults.INVALID_REQUEST, wrong)
        return None

    def _request(self, msg_id: Any, method: str, params: Any) -> asyncio.Task[Any] | None:
        if self._shutdown:
            self.send_error(msg_id, faults.INVALID_REQUEST, "The server was told to shut down; only `exit` is left.")
            return None
        if method == types.INITIALIZE and self._initialized:
            self.send_error(msg_id, faults.INVALID_REQUEST, "The server is initialized already.")
            return None
        if method != types.INITIALIZE and not self._initialized:
            self.send_error(msg_id, faults.NOT_INITIALIZED, "Send `initialize` first.")
            return None
        handler = self._handler(method)
        if handler is None:
            known = faults.shortened(method)
            self.send_error(msg_id, faults.METHOD_NOT_FOUND, f"There is no method {known}; `rpc.discover` lists them.")
            return None
        try:
            structured = self._structured(method, params)
        except Exception as error:  # noqa: BLE001 - cattrs raises groups of whatever the classes raise
            self._send_error(msg_id, faults.response_error(_misfit(method, error), method))
            return None
        # Already now: what comes next is taken before the task begins.
        if method == types.INITIALIZE:
            self._initialized = True
        elif method == types.SHUTDOWN:
            self._shutdown = True
        task = self._start(handler, structured)
        key = (type(msg_id), msg_id)
        self._under_way[key] = task
        task.add_done_callback(lambda done: self._answer(done, key, method))
        return task

    def _answer(self, done: asyncio.Task[Any], key: tuple[type, Any], method: str) -> None:
        if self._under_way.get(key) is done:
            del self._under_way[key]
        _, msg_id = key
        if done.cancelled():
            self.send_error(msg_id, faults.CANCELLED, f"The request was cancelled: {method}.")
        elif error := done.exception():
            if method == types.INITIALIZE:
                self._initialized = False
            self._host.report(error, method)
            self._send_error(msg_id, faults.response_error(error, method))
        else:
            self._send_result(msg_id, done.result(), method)

    def _notification(self, method: str, params: Any) -> asyncio.Task[Any] | None:
        if method == types.CANCEL_REQUEST:
            msg_id = params.get("id") if isinstance(params, dict) else None
            if _is_id(msg_id) and (task := self._under_way.get((type(msg_id), msg_id))):
                task.cancel()
            return None
        if method != types.EXIT and (self._shutdown or not self._initialized):
            return None
        handler = self._handler(method)
        if handler is None:
            return None
        try:
            structured = self._structured(method, params)
        except Exception as error:  # noqa: BLE001 - cattrs raises groups of whatever the classes raise
            self._host.report(_misfit(method, error), method)
            return None
        task = self._start(handler, structured)
        task.add_done_callback(lambda done: self._noted(done, method))
        return task

    def _noted(self, done: asyncio.Task[Any], method: str) -> None:
        if not done.cancelled() and (error := done.exception()):
            self._host.report(error, method)

    def _take_response(self, msg_id: Any, message: dict[str, Any]) -> None:
        """Settle a request to the client; a result of no known shape is handed on as it is."""
        kind = self._result_types.pop(msg_id, None)
        future = self._request_futures.pop(msg_id, None)
        if future is None or not future.set_running_or_notify_cancel():
            return
        if "error" in message:
            told = message["error"] if isinstance(message["error"], dict) else {}
            future.set_exception(JsonRpcException(str(told.get("message", "")), code=-32603, data=told.get("data")))
            return
        result = message["result"]
        if kind is not None:
            with contextlib.suppress(Exception):
                result = self._converter.structure({"id": 0, "jsonrpc": "2.0", "result": result}, kind).result
        future.set_result(result)

    # --- handlers ---

    def _handler(self, method: str) -> Callable[..., Any] | None:
        found: Callable[..., Any] | None = self.fm.builtin_features.get(method) or self.fm.features.get(method)
        return found

    def _structured(self, method: str, params: Any) -> Any:
        if method == types.INITIALIZE:
            params = {"capabilities": {}, "processId": None, "rootUri": None, **(params or {})}
            self._host.greeted(params)
        kind = self.get_message_type(method)
        if kind is None or method in _QUIET:
            return params
        message = {"id": 0, "jsonrpc": "2.0", "method": method} | ({} if params is None else {"params": params})
        try:
            structured = self._converter.structure(message, kind)
        except Exception:
            if method != types.INITIALIZE:
                raise
            # A newer client may name capabilities that lsprotocol does not know: better fewer than none.
            structured = self._converter.structure({**message, "params": {**params, "capabilities": {}}}, kind)
        return getattr(structured, "params", None)

    def _start(self, handler: Callable[..., Any], params: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(_carry_out(handler, (params,), {}))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(self, params: types.InitializeParams) -> Generator[Any, Any, types.InitializeResult]:
        """Answer what the server can, the content of virtual documents with it, which pygls leaves out."""
        result = yield from super().lsp_initialize(params)
        made = self.workspace
        self._workspace = Texts(made.root_uri, position_encoding=made.position_encoding)
        if types.WORKSPACE_TEXT_DOCUMENT_CONTENT in self.fm.features and result.capabilities.workspace:
            result.capabilities.workspace.text_document_content = types.TextDocumentContentOptions(
                schemes=[self._host.scheme]
            )
        return result

    @lsp_method(types.SHUTDOWN)
    async def lsp_shutdown(self, *_: Any) -> None:  # type: ignore[override] # pygls' own are generators
        """Cancel what is under way, and clean up: nothing more is taken, and some clients kill after `exit`."""
        mine = asyncio.current_task()
        for task in list(self._under_way.values()):
            if task is not mine:
                task.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._host.let_go(), _CLEAN_UP_SECONDS)

    @lsp_method(types.EXIT)
    async def lsp_exit(self, *_: Any) -> None:  # type: ignore[override] # pygls' own are generators
        """End the process: well if `shutdown` came before."""
        self._host.end(0 if self._shutdown else 1)

    @lsp_method(types.WORKSPACE_EXECUTE_COMMAND)
    async def lsp_workspace__execute_command(self, params: types.ExecuteCommandParams) -> Any:  # type: ignore[override] # pygls' own are generators
        """Carry a command out, in the request's own task so that it can be cancelled."""
        handler = self.fm.commands.get(params.command)
        if handler is None:
            raise InvalidParamsError(
                f"There is no command {faults.shortened(params.command)!r}.",
                hint="The result of `initialize` lists the commands.",
            )
        self._host.offered(params.work_done_token)
        return await handler(*(params.arguments or ()))

    @lsp_method(types.WINDOW_WORK_DONE_PROGRESS_CANCEL)
    async def lsp_work_done_progress_cancel(self, params: types.WorkDoneProgressCancelParams) -> None:
        """Do what the person who pressed Cancel means."""
        await self._host.cancel(params.token)

    # --- sending ---

    def _send_data(self, data: Any) -> None:
        self._write(json.dumps(data, default=self._serialize_message))

    def _write(self, text: str) -> None:
        if self.writer is not None:
            self.writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body := text.encode()), body))

    def _send_result(self, msg_id: Any, result: Any, method: str) -> None:
        try:
            text = result.text if isinstance(result, Encoded) else json.dumps(result, default=self._serialize_message)
        except Exception as error:  # noqa: BLE001 - whatever cannot be said must not leave the client waiting
            self._host.report(error, method)
            self._send_error(msg_id, faults.response_error(error, method))
            return
        self._write(f'{{"jsonrpc":"2.0","id":{json.dumps(msg_id)},"result":{text}}}')

    def send_error(self, msg_id: Any, code: int, message: str) -> None:
        """Answer that a message breaks the protocol."""
        self._send_error(msg_id, faults.refusal(code, message))

    def _send_error(self, msg_id: Any, error: types.ResponseError) -> None:
        told = {"code": error.code, "message": error.message, "data": error.data}
        self._write(json.dumps({"jsonrpc": "2.0", "id": msg_id, "error": told}, default=str))

    def send_request(
        self,
        method: str,
        params: Any | None = None,
        callback: Callable[[Any], None] | None = None,
        msg_id: str | int | None = None,
    ) -> "Future[Any]":
        """Ask the client, with an integer id: some take no other."""
        return super().send_request(method, params, callback, self.next_id() if msg_id is None else msg_id)

    def next_id(self) -> int:
        """Return an id for a request to the client."""
        return next(self._ids)

    def forget(self, msg_id: int) -> None:
        """Wait no more for the answer to a request."""
        self._request_futures.pop(msg_id, None)
        self._result_types.pop(msg_id, None)


async def _carry_out(handler: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Call a handler of any of the kinds that pygls has: coroutine, generator of calls, or plain function."""
    if not inspect.isgeneratorfunction(handler):
        result = handler(*arguments, **named)
        return await result if inspect.isawaitable(result) else result
    calls = handler(*arguments, **named)
    value = None
    while True:
        try:
            inner, inner_arguments, inner_named = calls.send(value)
        except StopIteration as over:
            return over.value
        value = await _carry_out(inner, inner_arguments, inner_named or {})


def _is_id(value: Any) -> bool:
    return value is None or (isinstance(value, str | int | float) and not isinstance(value, bool))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _misfit(method: str, error: Exception) -> InvalidParamsError:
    from cattrs import transform_error

    said = "; ".join(transform_error(error)) if isinstance(error, BaseExceptionGroup) else str(error)
    return InvalidParamsError(f"{method} cannot be called so: {faults.shortened(said)}.")
