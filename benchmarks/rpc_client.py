"""A client of language servers that measures: it writes one request, reads until its answer, and nothing else."""

import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Client:
    """A server process; `began` is when it was spawned."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder
        )
        self._folder = folder
        self._last = 0

    def initialize(self) -> float:
        """Say hello; return how long it took since the process was spawned, in seconds."""
        self.ask("initialize", {"processId": None, "rootUri": self._folder.as_uri(), "capabilities": {}})
        took = time.perf_counter() - self.began
        self.send({"method": "initialized", "params": {}})
        return took

    def send(self, message: dict[str, Any]) -> None:
        """Write a message."""
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def receive(self) -> bytes:
        """Read a message, and leave it as it is."""
        length = 0
        while (header := self.process.stdout.readline()) not in (b"\r\n", b""):
            if header.lower().startswith(b"content-length"):
                length = int(header.partition(b":")[2])
        return self.process.stdout.read(length)

    def ask(self, method: str, params: Any = None) -> bytes:
        """Send a request and return its answer, unparsed."""
        self._last += 1
        self.send({"id": self._last, "method": method, "params": params})
        # One request is under way at a time; whatever has no method is its answer.
        while b'"method":' in (body := self.receive()):
            continue
        return body

    def timed(self, method: str, params: Any = None) -> float:
        """Return how long a request takes, in seconds."""
        began = time.perf_counter()
        self.ask(method, params)
        return time.perf_counter() - began

    def memory(self) -> float:
        """Return the resident memory in bytes."""
        return float(int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
