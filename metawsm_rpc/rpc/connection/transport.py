"""Reads and writes messages: LSP's framing over two streams, each with its own thread.

It uses threads because a non-blocking mode would also apply to the terminal or the editor's log, which may
share standard output. A client that does not read blocks only the writing thread; its backlog is counted, and
beyond a limit nothing more is read.
"""

import asyncio
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import BinaryIO

LIMIT_BYTES = 64 * 1024 * 1024
"""The limit for messages that are not answered yet, plus answers that are not read yet."""

CONGESTED_BYTES = 8 * 1024 * 1024
"""The backlog beyond which the client counts as congested: other messages wait, or are replaced by later ones."""

MESSAGE_LIMIT_BYTES = 256 * 1024 * 1024
"""A longer message is discarded and reported as an error."""

_HEADER_LIMIT = 8192
_OVERHEAD_BYTES = 4096
"""The memory that a message needs in addition to its text."""

_CHUNK = 1024 * 1024


class Budget:
    """Counts bytes in progress, and makes the reader wait while there are too many."""

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self._limit = limit
        self._used = 0
        self._changed = threading.Condition()

    def take(self, size: int) -> None:
        """Count bytes without waiting."""
        with self._changed:
            self._used += size

    def wait_and_take(self, size: int) -> None:
        """Wait until there is room; a message larger than the whole budget has to be alone."""
        with self._changed:
            self._changed.wait_for(lambda: self._used == 0 or self._used + size <= self._limit)
            self._used += size

    def give(self, size: int) -> None:
        """Give back bytes that have been processed."""
        with self._changed:
            self._used -= size
            self._changed.notify_all()


class Writer:
    """Writes messages in order; `write` returns at once and may be called from any thread."""

    def __init__(self, descriptor: int, budget: Budget, on_broken: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._budget = budget
        self._on_broken = on_broken
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._broken = False
        threading.Thread(target=self._work, name="writer", daemon=True).start()

    def write(self, data: bytes) -> None:
        """Queue one whole message; it is dropped once the client can no longer read."""
        with self._changed:
            if self._broken:
                return
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            self._changed.notify_all()
        self._budget.take(len(data))

    def close(self) -> None:
        """Do nothing: the descriptor goes with the process."""

    @property
    def congested(self) -> bool:
        """Whether the client is far behind with reading."""
        return self._waiting_bytes > CONGESTED_BYTES

    def is_read(self) -> bool:
        """Return whether the client can still read."""
        poll = select.poll()
        poll.register(self._descriptor, 0)  # errors and hang-ups are always reported
        return not poll.poll(0)

    def await_room(self, timeout: float) -> bool:
        """Wait until the client has read most of the backlog; return False on timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: self._broken or not self.congested, timeout)

    def drain(self, timeout: float) -> bool:
        """Wait until everything is written; return False on timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: self._broken or not self._waiting, timeout)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                data = self._waiting[0]
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(self._descriptor, view) :]
            except OSError:
                self._break()
                return
            with self._changed:
                self._waiting.popleft()
                self._waiting_bytes -= len(data)
                self._changed.notify_all()
            self._budget.give(len(data))

    def _break(self) -> None:
        with self._changed:
            self._broken = True
            unread, self._waiting_bytes = self._waiting_bytes, 0
            self._waiting.clear()
            self._changed.notify_all()
        self._budget.give(unread)
        self._on_broken()


class Reader:
    """Reads messages, and calls back on the event loop: `on_body(body, release)`, `on_fault(why)`, `on_end()`.

    `release` has to be called when the message has been dealt with. `on_fault` tells, once for each
    stretch of it, of input that is no message; reading goes on at the next header that is one.
    """

    def __init__(
        self,
        stream: BinaryIO,
        budget: Budget,
        loop: asyncio.AbstractEventLoop,
        *,
        on_body: Callable[[bytes, Callable[[], None]], None],
        on_fault: Callable[[str], None],
        on_end: Callable[[], None],
    ) -> None:
        self._stream = stream
        self._budget = budget
        self._loop = loop
        self._on_body = on_body
        self._on_fault = on_fault
        self._on_end = on_end
        self._lost = False

    def start(self) -> None:
        """Read on a thread until the input ends."""
        threading.Thread(target=self._work, name="reader", daemon=True).start()

    def _work(self) -> None:
        try:
            while (length := self._header()) is not None:
                self._body(length)
        except (OSError, EOFError, ValueError):
            pass  # the client has gone, in the middle of a message or between two
        finally:
            self._call(self._on_end)

    def _header(self) -> int | None:
        """Return the length of the next message, None at the end of the input."""
        length: int | None = None
        while line := self._stream.readline(_HEADER_LIMIT):
            name, colon, value = line.partition(b":")
            if name.strip().lower() == b"content-length":
                length = _number(value)
                if length is None:
                    self._fault("The header Content-Length is no number.")
            elif line in (b"\r\n", b"\n"):
                if length is not None:
                    return length
                self._fault("There is no header Content-Length before the empty line.")
            elif not (colon and name.strip().lower() == b"content-type" and line.endswith(b"\n")):
                length = None
                self._fault("This is no header; each message begins with `Content-Length: N` and an empty line.")
        return None

    def _body(self, length: int) -> None:
        if length > MESSAGE_LIMIT_BYTES:
            self._fault(f"A message may have {MESSAGE_LIMIT_BYTES} bytes, not {length}.")
            self._skip(length)
            return
        cost = length + _OVERHEAD_BYTES
        self._budget.wait_and_take(cost)
        body = self._stream.read(length)
        if len(body) < length:
            raise EOFError
        self._lost = False
        self._call(self._on_body, body, lambda: self._budget.give(cost))

    def _skip(self, length: int) -> None:
        while length > 0:
            skipped = len(self._stream.read(min(length, _CHUNK)))
            if not skipped:
                raise EOFError
            length -= skipped

    def _fault(self, why: str) -> None:
        if not self._lost:
            self._lost = True
            self._call(self._on_fault, why)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            return  # the loop is over, and with it the process


def _number(text: bytes) -> int | None:
    digits = text.strip()
    return int(digits) if digits.isdigit() and len(digits) < 19 else None
