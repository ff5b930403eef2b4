"""A server in this process that reads from memory: quick enough for thousands of inputs."""

import asyncio
import json
from typing import Any, BinaryIO

from metawsm_rpc.rpc.connection import faults
from metawsm_rpc.rpc.connection.transport import Budget, Reader
from metawsm_rpc.rpc.registration import create_server


class Session:
    """One server, whose roots are never followed: its methods are those of the protocol alone."""

    def __init__(self) -> None:
        self._written = b""

    def feed(self, stream: BinaryIO) -> list[Any]:
        """Let the server read a stream to its end; return what it has said."""
        asyncio.run(self._feed(stream))
        return parsed(self._written)

    async def _feed(self, stream: BinaryIO) -> None:
        loop, over, errors = asyncio.get_running_loop(), asyncio.Event(), []
        loop.set_exception_handler(lambda _, context: errors.append(context))
        server = create_server()
        for method in [name for name in server.protocol.fm.features if name.startswith(("metawsm/", "initialized"))]:
            del server.protocol.fm.features[method]
        server.protocol.fm.commands.clear()
        server.loop = loop
        server.protocol.set_writer(self)

        def on_body(body: bytes, release: Any) -> None:
            server.protocol.receive(body)
            release()

        Reader(
            stream,
            Budget(),
            loop,
            on_body=on_body,
            on_fault=lambda why: server.protocol.send_error(None, faults.PARSE_ERROR, why),
            on_end=over.set,
        ).start()
        await over.wait()
        if pending := server.protocol.pending:
            await asyncio.wait(pending)
        assert not errors, errors

    def write(self, data: bytes) -> None:
        """Take what the server says."""
        self._written += data


def parsed(written: bytes) -> list[Any]:
    """Take messages apart, strictly."""
    found = []
    while written:
        header, written = written.split(b"\r\n\r\n", 1)
        name, length = header.split(b": ")
        assert name == b"Content-Length"
        body, written = written[: int(length)], written[int(length) :]
        assert len(body) == int(length)
        message = json.loads(body)
        assert message["jsonrpc"] == "2.0"
        found.append(message)
    return found
