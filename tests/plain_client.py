"""A client of the server without any library of its protocol: frames, JSON, and a thread that reads."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 60.0


class RpcError(Exception):
    """What a request was answered with instead of a result."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.error = dict(error)


class PlainClient:
    """A server process, and what it has said.

    `told` are its notifications in order; requests of the server are answered with null, as a client
    does that takes note and nothing more.
    """

    def __init__(
        self,
        folder: Path,
        *,
        options: Mapping[str, Any] | None = None,
        capabilities: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.told: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "metawsm_rpc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, **(env or {})},
        )
        self._answers: dict[int, dict[str, Any]] = {}
        self._last = 0
        self._over = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.initialized = self.ask(
            "initialize",
            {
                "processId": None,
                "rootUri": folder.as_uri(),
                "capabilities": capabilities or {},
                "initializationOptions": options or {},
            },
        )
        self.send(method="initialized", params={})

    def ask(self, method: str, params: Any = None) -> Any:
        """Send a request and return its result. Raises `RpcError`."""
        with self._changed:
            self._last += 1
            mine = self._last
        self.send(id=mine, method=method, params=params)
        answer = self.until(lambda: self._answers.pop(mine, None), f"an answer to {method} {params}")
        if "error" in answer:
            raise RpcError(answer["error"])
        return answer["result"]

    def until(self, found: Callable[[], Any], what: str) -> Any:
        """Wait until `found` returns something, asked again whenever the server has said something; return it."""
        with self._changed:
            result = found()
            while not result:
                assert not self._over, f"the server ended before there was {what}"
                assert self._changed.wait(PATIENCE_SECONDS), f"there was never {what}"
                result = found()
            return result

    def notified(self, method: str) -> list[Any]:
        """Return the parameters of the notifications of one kind so far."""
        return [message.get("params") for message in self.told if message["method"] == method]

    def send(self, **message: Any) -> None:
        """Write one message."""
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def end(self) -> int:
        """Shut the server down in order, and return its exit status."""
        assert self.ask("shutdown") is None
        self.send(method="exit")
        status = self.process.wait(PATIENCE_SECONDS)
        self.close()
        return status

    def close(self) -> None:
        """Let go of the process, whatever state it is in."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        self.process.stdin.close()
        self.process.stdout.close()

    def _read(self) -> None:
        while message := self._receive():
            with self._changed:
                if "method" not in message:
                    self._answers[message["id"]] = message
                elif "id" not in message:
                    self.told.append(message)
                self._changed.notify_all()
            if "method" in message and "id" in message:
                self.send(id=message["id"], result=None)
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _receive(self) -> dict[str, Any] | None:
        length = 0
        while (header := self.process.stdout.readline()) not in (b"\r\n", b""):
            name, _, value = header.partition(b":")
            assert name == b"Content-Length", header
            length = int(value)
        return json.loads(self.process.stdout.read(length)) if length else None
