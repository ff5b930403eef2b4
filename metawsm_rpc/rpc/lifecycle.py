"""The server's lifecycle: how it starts, and all the ways in which it ends.

However it ends, agents keep running: drives are interrupted, the lease of each root is released, pending
answers are written, and the process exits, within about a second. Only a client that closes its output but
still reads first gets the answers to all its requests.
"""

import asyncio
import gc
import linecache
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from metawsm_rpc.rpc.connection import faults
from metawsm_rpc.rpc.connection.transport import Budget, Reader, Writer
from metawsm_rpc.rpc.registration import create_server
from metawsm_rpc.rpc.server import MetawsmServer

_ANSWERING_SECONDS = 10.0
"""How long to keep answering after the input has ended: a script may send everything, then read."""

_LOOK_SECONDS = 0.1

_CLEAN_UP_SECONDS = 1.0
_FLUSH_SECONDS = 0.5
_INTERRUPTED = 130

_OBJECTS_BETWEEN_COLLECTIONS = 20_000
"""More than an answer about hundreds of agents consists of, and a few megabytes at most."""


def serve(root: str | None = None) -> None:
    """Serve on standard input and output until the client goes; `root` replaces the client's workspace folders."""
    server = create_server()
    if root is not None:
        server.roots.fix(root)
    _run(server)


def _run(server: MetawsmServer) -> None:
    """Serve on this process's standard input and output; does not return."""
    try:
        incoming, outgoing = _take_standard_streams()
    except OSError as error:
        sys.exit(f"metawsm serve speaks on standard input and output, and one of them is closed: {error}")
    # attrs keeps the source text of the methods that it has generated for the protocol's types: 1.5 MB for tracebacks.
    linecache.clearcache()
    # A collection takes 20 ms of an answer and finds next to nothing: what was imported stays for ever, and the
    # thousands of objects that each answer is made of are freed without it.
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    os._exit(asyncio.run(_serve(server, incoming, outgoing)))


async def _serve(server: MetawsmServer, incoming: int, outgoing: int) -> int:
    loop = asyncio.get_running_loop()
    over: asyncio.Future[int] = loop.create_future()

    def end(status: int) -> None:
        if not over.done():
            over.set_result(status)

    server.end = end
    for number, status in ((signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGINT, _INTERRUPTED)):
        loop.add_signal_handler(number, end, status)
    budget = Budget()
    writer = Writer(outgoing, budget, lambda: _soon(loop, end))
    server.begin(loop, writer)

    def on_body(body: bytes, release: Callable[[], None]) -> None:
        task = server.protocol.receive(body)
        if task is None:
            release()
        else:
            task.add_done_callback(lambda _: release())

    def on_end() -> None:
        loop.create_task(_answer_and_end(server, writer, end))  # noqa: RUF006 - `over` keeps the loop until it is done

    reader = Reader(
        os.fdopen(incoming, "rb"),
        budget,
        loop,
        on_body=on_body,
        on_fault=lambda why: server.protocol.send_error(None, faults.PARSE_ERROR, why),
        on_end=on_end,
    )
    reader.start()
    status = await over
    with suppress(TimeoutError):
        await asyncio.wait_for(server.let_go(), _CLEAN_UP_SECONDS)
    await loop.run_in_executor(None, writer.drain, _FLUSH_SECONDS)
    return status


async def _answer_and_end(server: MetawsmServer, writer: Writer, end: Callable[[int], None]) -> None:
    deadline = time.monotonic() + _ANSWERING_SECONDS
    while (pending := server.protocol.pending) and writer.is_read() and time.monotonic() < deadline:
        await asyncio.wait(pending, timeout=_LOOK_SECONDS)
    end(0)


def _take_standard_streams() -> tuple[int, int]:
    """Return private descriptors for input and output.

    Anything else that reads in this process or its children gets nothing, and anything else that prints is
    redirected to standard error, so that no message is taken or broken.
    """
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    try:
        os.dup2(2, 1)
    except OSError:
        os.dup2(nothing, 1)
    os.close(nothing)
    return incoming, outgoing


def _soon(loop: asyncio.AbstractEventLoop, end: Callable[[int], None]) -> None:
    loop.call_soon_threadsafe(end, 0)
