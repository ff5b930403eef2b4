"""A client that can break every rule of the protocol, for tests of the server process."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conftest import Root

PATIENCE = 60.0

ALL_CAPABILITIES: dict[str, Any] = {
    "window": {"workDoneProgress": True, "showDocument": {"support": True}, "showMessage": {}},
    "workspace": {"codeLens": {"refreshSupport": True}, "textDocumentContent": {"dynamicRegistration": False}},
    "textDocument": {"publishDiagnostics": {"dataSupport": True}},
}


class Wire:
    """A server process. `messages` is everything that it has sent, in order."""

    def __init__(self, folder: Path, *arguments: str, read: bool = True, env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *(arguments or ("metawsm_rpc",))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, **(env or {})},
        )
        self.messages: list[Any] = []
        self.errors = b""
        self.answer_requests = True
        self.replies: dict[str, Any] = {}
        self._last = 1000  # tests use small numbers themselves
        self._over = False
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._read_errors, daemon=True)]
        if read:
            self._threads.append(threading.Thread(target=self._read, daemon=True))
        for thread in self._threads:
            thread.start()

    # --- sending ---

    def raw(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def body(self, data: bytes) -> None:
        """Write a message with this body."""
        self.raw(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))

    def send(self, message: Any) -> None:
        """Write a message that is JSON."""
        self.body(json.dumps(message).encode())

    def notify(self, method: str, params: Any = None) -> None:
        """Send a notification."""
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def request(self, method: str, params: Any = None) -> int:
        """Send a request and return its id."""
        self._last += 1
        self.send({"jsonrpc": "2.0", "id": self._last, "method": method, "params": params})
        return self._last

    # --- receiving ---

    def until(self, found: Callable[[], Any], within: float = PATIENCE) -> Any:
        """Wait until `found` returns something, asked again after every message; return it."""
        deadline = time.monotonic() + within
        with self._changed:
            while not (result := found()):
                left = deadline - time.monotonic()
                assert left > 0, f"it never came; last messages: {self.messages[-5:]}; errors: {self.errors!r}"
                assert not self._over, f"the server has ended: {self.errors!r}; last: {self.messages[-5:]}"
                self._changed.wait(left)
            return result

    def answer_to(self, msg_id: Any, within: float = PATIENCE) -> dict[str, Any]:
        """Wait for the answer with an id."""

        def answers() -> list[dict[str, Any]]:
            return [
                message
                for message in self.messages
                if "method" not in message and message["id"] == msg_id and type(message["id"]) is type(msg_id)
            ]

        return self.until(answers, within)[0]

    def ask(self, method: str, params: Any = None, within: float = PATIENCE) -> Any:
        """Send a request and return its result; an error is returned as a whole answer is."""
        answer = self.answer_to(self.request(method, params), within)
        assert "result" in answer, answer
        return answer["result"]

    def error(self, method: str, params: Any = None) -> dict[str, Any]:
        """Send a request and return the error that answers it."""
        answer = self.answer_to(self.request(method, params))
        assert "error" in answer, answer
        return answer["error"]

    def told(self, method: str) -> list[Any]:
        """Return the parameters of what the server has sent with this method so far."""
        return [message.get("params") for message in list(self.messages) if message.get("method") == method]

    def diagnostics(self) -> dict[str, list[Any]]:
        """Return what a client shows by now."""
        return {one["uri"]: one["diagnostics"] for one in self.told("textDocument/publishDiagnostics")}

    def codes(self) -> set[str]:
        """Return the codes of all diagnostics that a client shows by now."""
        return {one["code"] for listed in self.diagnostics().values() for one in listed}

    # --- its life ---

    def initialize(self, folder: Path | None = None, **params: Any) -> dict[str, Any]:
        """Say hello, as a client does."""
        named = {"rootUri": folder.as_uri()} if folder else {}
        result = self.ask("initialize", {"processId": None, "capabilities": {}, **named, **params})
        self.notify("initialized", {})
        return result

    def wait(self, within: float = PATIENCE) -> int:
        """Wait until the process has ended and return its exit status."""
        return self.process.wait(within)

    def close(self) -> None:
        """End the process by force, if it is there."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                stream.close()
            except BrokenPipeError:
                continue

    def memory(self) -> int:
        """Return the resident memory in bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _read(self) -> None:
        while (message := self.receive()) is not None:
            with self._changed:
                self.messages.append(message)
                self._changed.notify_all()
            if self.answer_requests and "method" in message and "id" in message:
                try:
                    self.send({"jsonrpc": "2.0", "id": message["id"], "result": self.replies.get(message["method"])})
                except (BrokenPipeError, ValueError):
                    break
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def receive(self) -> Any:
        """Read one message; None at the end. Only for clients that are not read in the background."""
        length = 0
        while (header := self.process.stdout.readline()) not in (b"\r\n", b""):
            assert header.startswith(b"Content-Length: "), header
            length = int(header.removeprefix(b"Content-Length: "))
        return json.loads(self.process.stdout.read(length)) if length else None

    def _read_errors(self) -> None:
        while part := self.process.stderr.readline():
            self.errors += part


@contextmanager
def serving(folder: Path, *arguments: str, **options: Any) -> Iterator[Wire]:
    """Start a server for the block."""
    wire = Wire(folder, *arguments, **options)
    try:
        yield wire
    finally:
        wire.close()


@contextmanager
def served(folder: Path, **params: Any) -> Iterator[Wire]:
    """Start a server for the block, and say hello to it."""
    with serving(folder) as wire:
        wire.initialize(folder, **params)
        yield wire


def working(root: Root, *names: str) -> Root:
    """Give a root a repository and agents that never end; by default one, `worker`."""
    root.repository("app")
    agents = [Root.agent(name, "exec sleep 300") for name in names or ("worker",)]
    root.policy(agents=agents, execution={"stop_grace_seconds": 1})
    return root


def started(wire: Wire, root: Root, ticket: str = "T-1") -> str:
    """Start a run, wait until its agents live, and return its id."""
    wire.ask("metawsm/createTicket", {"ticket": ticket, "root": str(root.path)})
    run_id = wire.ask("metawsm/run", {"tickets": [ticket], "root": str(root.path)})["runId"]
    while "pending" in statuses(wire, root, run_id).values():
        time.sleep(0.02)
    return run_id


def statuses(wire: Wire, root: Root, run_id: str) -> dict[str, str]:
    """Return the statuses of a run's agents."""
    agents = wire.ask("metawsm/status", {"runId": run_id, "root": str(root.path)})["agents"]
    return {agent["name"]: agent["status"] for agent in agents}
