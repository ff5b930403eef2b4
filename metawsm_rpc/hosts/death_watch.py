"""Waits for the death of any of many processes, which need not be children.

The kernel reports deaths: pidfds on Linux, kqueue on macOS. A process that it cannot watch (an old kernel, no
descriptors left) is polled every fifth of a second instead.
"""

import contextlib
import os
import select
import selectors
import sys
import threading
import time
from collections.abc import Hashable
from typing import Generic, Protocol, Self, TypeVar

from metawsm_rpc.hosts import processes

_POLL_SECONDS = 0.2

Key = TypeVar("Key", bound=Hashable)


class DeathWatch(Generic[Key]):
    """The processes to wait for, each under a key of the caller's choice.

    One thread waits; any thread may add, discard and wake. No process is watched under two keys.
    """

    def __init__(self, also: "_HasFileno | None" = None) -> None:
        """Create a watch whose `wait` also ends when `also` becomes readable."""
        self._lock = threading.Lock()
        self._kernel: _Kernel[Key] = _kernel()
        self._polled: dict[Key, int] = {}
        self._gone: set[Key] = set()
        self._woken = False
        self._closed = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._selector.register(self._kernel, selectors.EVENT_READ)
        if also is not None:
            self._selector.register(also, selectors.EVENT_READ, also)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, key: Key, pid: int) -> None:
        """Watch a process, replacing the one with this key.

        A process that is already gone, or a zombie, is reported by the next `wait`.
        """
        with self._lock:
            self._forget(key)
            try:
                self._kernel.watch(key, pid)
            except ProcessLookupError:
                self._gone.add(key)
            except OSError:
                self._polled[key] = pid
            else:
                return
        self._nudge()

    def discard(self, key: Key) -> None:
        """Stop watching a process; harmless when it is not watched."""
        with self._lock:
            self._forget(key)

    def wait(self, timeout: float | None) -> tuple[Key, ...]:
        """Return the keys of processes that have died, which are then no longer watched.

        Returns nothing after `timeout` seconds, after `wake`, and when `also` is readable.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._lock:
                dead = self._dead()
                woken, self._woken = self._woken, False
                polling = bool(self._polled)
            left = None if deadline is None else deadline - time.monotonic()
            if dead or woken or (left is not None and left <= 0):
                return dead
            if polling:
                left = _POLL_SECONDS if left is None else min(left, _POLL_SECONDS)
            ready = self._selector.select(left)
            if any(key.data is not None for key, _ in ready):
                self._woken = True
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_read, 4096)

    def wake(self) -> None:
        """Make the current `wait`, or else the next one, return at once; harmless after `close`."""
        with self._lock:
            if not self._closed:
                self._woken = True
                self._nudge()

    def close(self) -> None:
        """Close the descriptors; no `wait` may be in progress."""
        with self._lock:
            self._closed = True
            self._selector.close()
            self._kernel.close()
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _dead(self) -> tuple[Key, ...]:
        polled = (key for key, pid in self._polled.items() if not processes.runs(pid))
        dead = (*self._gone, *self._kernel.ended(), *polled)
        for key in dead:
            self._forget(key)
        return dead

    def _forget(self, key: Key) -> None:
        self._kernel.forget(key)
        self._polled.pop(key, None)
        self._gone.discard(key)

    def _nudge(self) -> None:
        with contextlib.suppress(BlockingIOError):  # the pipe is full, so it wakes anyway
            os.write(self._wake_write, b"x")


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


class _Kernel(Protocol[Key]):
    """A descriptor that can be waited for, and that reports which processes have ended.

    `watch` raises ProcessLookupError for a process that is gone, another OSError for one that
    cannot be watched. Forgetting a key that is not watched is harmless.
    """

    def fileno(self) -> int: ...
    def watch(self, key: Key, pid: int) -> None: ...
    def forget(self, key: Key) -> None: ...
    def ended(self) -> list[Key]: ...
    def close(self) -> None: ...


if sys.platform == "linux":

    class _Pidfds(Generic[Key]):
        """Linux, from 5.3 on."""

        def __init__(self) -> None:
            self._epoll = select.epoll()
            self._descriptors: dict[Key, int] = {}
            self._keys: dict[int, Key] = {}

        def fileno(self) -> int:
            return self._epoll.fileno()

        def watch(self, key: Key, pid: int) -> None:
            descriptor = os.pidfd_open(pid)
            try:
                self._epoll.register(descriptor, select.EPOLLIN)
            except OSError:
                os.close(descriptor)
                raise
            self._descriptors[key] = descriptor
            self._keys[descriptor] = key

        def forget(self, key: Key) -> None:
            descriptor = self._descriptors.pop(key, None)
            if descriptor is not None:
                del self._keys[descriptor]
                self._epoll.unregister(descriptor)
                os.close(descriptor)

        def ended(self) -> list[Key]:
            return [self._keys[descriptor] for descriptor, _ in self._epoll.poll(0)]

        def close(self) -> None:
            self._epoll.close()
            for descriptor in self._keys:
                os.close(descriptor)

    def _kernel() -> "_Kernel[Key]":
        return _Pidfds()

else:

    class _Kqueue(Generic[Key]):
        """macOS and the BSDs."""

        def __init__(self) -> None:
            self._kqueue = select.kqueue()
            self._pids: dict[Key, int] = {}
            self._keys: dict[int, Key] = {}

        def fileno(self) -> int:
            return self._kqueue.fileno()

        def watch(self, key: Key, pid: int) -> None:
            self._control(pid, select.KQ_EV_ADD)
            self._pids[key] = pid
            self._keys[pid] = key

        def forget(self, key: Key) -> None:
            pid = self._pids.pop(key, None)
            if pid is not None:
                del self._keys[pid]
                with contextlib.suppress(OSError):  # the kernel removes ended processes by itself
                    self._control(pid, select.KQ_EV_DELETE)

        def ended(self) -> list[Key]:
            events = self._kqueue.control(None, len(self._keys) + 1, 0)
            return [self._keys[event.ident] for event in events if event.ident in self._keys]

        def close(self) -> None:
            self._kqueue.close()

        def _control(self, pid: int, flags: int) -> None:
            event = select.kevent(pid, select.KQ_FILTER_PROC, flags, select.KQ_NOTE_EXIT)
            self._kqueue.control([event], 0, 0)

    def _kernel() -> "_Kernel[Key]":
        return _Kqueue()
