"""The demonstration's client: it starts the server and speaks JSON-RPC to it, as any program can.

There is nothing of the server in it: frames, JSON, and the shapes that the protocol has.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar, cast
from urllib.parse import unquote, urlsplit

from metawsm_rpc.demo.reading import read
from metawsm_rpc.domain.models import Event
from metawsm_rpc.domain.wire import camel
from metawsm_rpc.errors import HostError, InternalError, MetawsmError

_PATIENCE_SECONDS = 60.0
_GOODBYE_SECONDS = 5.0

Answer = TypeVar("Answer")


class Diagnostic(NamedTuple):
    """Something that an editor would underline; `line` counts from 1, `severity` from 1 (an error) to 4."""

    line: int
    severity: int
    code: str
    message: str


class Published(NamedTuple):
    """All diagnostics of a file, in place of those before."""

    path: Path
    diagnostics: tuple[Diagnostic, ...]


class Client:
    """A server on a root, what it has told so far, and its verbs."""

    def __init__(self, root: Path, log: Path) -> None:
        self._log = log
        with log.open("wb") as errors:
            # In a session of its own: Ctrl-C is for the demonstration, which ends the server in order.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "metawsm_rpc"],
                cwd=root,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self._input = cast("BinaryIO", self._process.stdin)
        self._output = cast("BinaryIO", self._process.stdout)
        self._told: list[Event | Published] = []
        self._answers: dict[int, dict[str, Any]] = {}
        self._last = 0
        self._over = False
        self._changed = threading.Condition()
        self._listener = threading.Thread(target=self._listen, name="client", daemon=True)
        self._listener.start()
        self._request(
            "initialize",
            {
                "processId": os.getpid(),
                "rootUri": root.as_uri(),
                "capabilities": {},
                "initializationOptions": {"events": True},
            },
        )
        self._send(method="initialized", params={})

    def ask(self, verb: str, answer: type[Answer], /, **params: Any) -> Answer:
        """Call a verb and return its answer as the shape that the code has for it. Raises what the verb raises."""
        sent = {camel(name): value for name, value in params.items()}
        return read(answer, self._request(f"metawsm/{verb}", sent))

    def news(self, since: int = 0) -> Iterator[Event | Published]:
        """Yield all that the server tells after its first `since` messages, as it comes, without end.

        Raises `HostError` when the server ends, or nothing is told for a minute.
        """
        while True:
            yield self._message(since)
            since += 1

    def _message(self, number: int) -> Event | Published:
        with self._changed:
            if not self._changed.wait_for(lambda: self._over or len(self._told) > number, _PATIENCE_SECONDS):
                raise HostError("Nothing has happened for a minute.", hint=self._hint())
            if len(self._told) <= number:
                raise self._ended()
            return self._told[number]

    def end(self) -> None:
        """End the server: in order, or by force when it does not go."""
        try:
            if not self._over:
                self._request("shutdown", None)
                self._send(method="exit")
            self._process.wait(_GOODBYE_SECONDS)
        except (MetawsmError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._listener.join()
        self._output.close()
        with contextlib.suppress(OSError):
            self._input.close()

    # --- frames and JSON ---

    def _request(self, method: str, params: Any) -> Any:
        with self._changed:
            self._last += 1
            mine = self._last
        self._send(id=mine, method=method, params=params)
        with self._changed:
            if not self._changed.wait_for(lambda: self._over or mine in self._answers, _PATIENCE_SECONDS):
                raise HostError(f"The server has not answered {method} for a minute.", hint=self._hint())
            if mine not in self._answers:
                raise self._ended()
            answer = self._answers.pop(mine)
        if "error" in answer:
            raise _raised(answer["error"])
        return answer["result"]

    def _send(self, **message: Any) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        try:
            self._input.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            self._input.flush()
        except OSError as error:
            raise self._ended() from error

    def _listen(self) -> None:
        while (message := _receive(self._output)) is not None:
            with self._changed:
                if "method" not in message:
                    self._answers[message["id"]] = message
                elif message["method"] == "metawsm/event":
                    self._told.append(read(Event, message["params"]))
                elif message["method"] == "textDocument/publishDiagnostics":
                    self._told.append(_published(message["params"]))
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _ended(self) -> HostError:
        return HostError("The server has ended.", hint=self._hint())

    def _hint(self) -> str | None:
        """Return the last line that the server wrote to standard error, if it wrote any."""
        lines = self._log.read_text("utf-8", "replace").split("\n") if self._log.exists() else []
        return next((line for line in reversed(lines) if line.strip()), None)


def _receive(stream: BinaryIO) -> dict[str, Any] | None:
    """Return the next message, None at the end."""
    length = 0
    while (header := stream.readline()) not in (b"\r\n", b""):
        name, _, value = header.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    body = stream.read(length)
    if not body:
        return None
    message: dict[str, Any] = json.loads(body)
    return message


def _published(params: dict[str, Any]) -> Published:
    return Published(
        Path(unquote(urlsplit(params["uri"]).path)),
        tuple(
            Diagnostic(one["range"]["start"]["line"] + 1, one["severity"], one["code"], one["message"])
            for one in params["diagnostics"]
        ),
    )


def _raised(error: dict[str, Any]) -> MetawsmError:
    """Return the error that the server was told of, as the class that has its kind."""
    data = error.get("data") or {}
    kinds = {kind.kind: kind for kind in _below(MetawsmError)}
    found = kinds.get(str(data.get("kind")), InternalError)
    return found(error["message"], hint=data.get("hint"), details=data.get("details"))


def _below(parent: type[MetawsmError]) -> Iterator[type[MetawsmError]]:
    """Yield the classes of errors that are raised with nothing but message, hint and details."""
    for child in parent.__subclasses__():
        if "kind" in vars(child):
            yield child
        yield from _below(child)
