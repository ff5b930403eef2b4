"""Leases: which process may drive a run or supervise the root, even when processes die, hang or sleep.

A lease is a row with a fence that only rises. It is renewed while it is held, and backed by an `flock` that the
kernel releases when the process dies. A holder whose fence is not the latest has lost the lease: the database
refuses its writes, whatever it still believes.

Each fence has its own lock file. So a process that takes over from one that hangs has a lock, too, and each of
the two can be checked for being alive.
"""

import fcntl
import os
import sqlite3
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from metawsm_rpc.domain.clock import Clock, seconds, timestamp
from metawsm_rpc.errors import BusyError, LostLeaseError, StoreError
from metawsm_rpc.ports.store import ROOT_SCOPE, Lease
from metawsm_rpc.store.database import Database

LEASE_SECONDS = 15.0
"""How long a lease is valid without renewal; holders renew it after a third of this."""


class Leases:
    """The leases of one root, for one process."""

    def __init__(self, database: Database, directory: Path, clock: Clock) -> None:
        self._database = database
        self._directory = directory
        self._clock = clock
        self._holder = f"{os.getpid()}-{os.urandom(4).hex()}"
        self._files: dict[Lease, int] = {}
        self._guard = threading.Lock()

    def acquire(self, scope: str, *, takeover: bool = False) -> Lease:
        """Take the lease if no live process has it, if it has expired, or by `takeover`.

        Raises `BusyError` while another process holds it.
        """
        with ExitStack() as undo:
            with self._database.transaction() as connection:
                lease = self._next(connection, scope, takeover=takeover)
                # Locked before the row is visible: a process that sees the row must find its holder alive.
                self._lock(lease)
                undo.callback(self._unlock, lease)
                connection.execute(
                    "INSERT INTO leases (scope, fence, holder, pid, expires_at) VALUES (?, ?, ?, ?, ?) "
                    "ON CONFLICT (scope) DO UPDATE SET fence = excluded.fence, holder = excluded.holder, "
                    "pid = excluded.pid, expires_at = excluded.expires_at",
                    (scope, lease.fence, lease.holder, os.getpid(), self._expiry()),
                )
            undo.pop_all()
        self._clear(lease)
        return lease

    def _next(self, connection: sqlite3.Connection, scope: str, *, takeover: bool) -> Lease:
        row = self._row(connection, scope)
        if not takeover and self._is_alive(row):
            raise BusyError(
                f"Process {row['pid']} is driving {_named(scope)}; wait for it, or stop the run.",
                details={"scope": scope, "pid": row["pid"]},
            )
        return Lease(scope, self._holder, 1 + (row["fence"] if row else 0))

    def renew(self, lease: Lease) -> None:
        """Renew the lease. Raises `LostLeaseError` when it was taken over."""
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE leases SET expires_at = ? WHERE scope = ? AND fence = ? AND holder = ?",
                (self._expiry(), *_key(lease)),
            ).rowcount
        if not changed:
            raise lost(lease)

    def release(self, lease: Lease) -> None:
        """Release the lease; the fence stays, so that a late write of this holder still fails."""
        try:
            with self._database.transaction() as connection:
                connection.execute(
                    "UPDATE leases SET holder = NULL, pid = NULL, expires_at = NULL "
                    "WHERE scope = ? AND fence = ? AND holder = ?",
                    _key(lease),
                )
        finally:
            self._unlock(lease)

    def held(self, lease: Lease) -> bool:
        """Return whether the lease is still the latest."""
        with self._database.snapshot() as connection:
            return is_latest(connection, lease)

    def driven(self, scope: str) -> bool:
        """Return whether a live process holds the scope, this one included."""
        return self.holder(scope) is not None

    def holder(self, scope: str) -> int | None:
        """Return the pid of the live process that holds the scope."""
        with self._database.snapshot() as connection:
            row = self._row(connection, scope)
            return int(row["pid"]) if row is not None and self._is_alive(row) else None

    def await_release(self, scope: str, timeout: float) -> bool:
        """Wait until the previous holder of the scope has noticed the takeover, or is dead."""
        with self._database.snapshot() as connection:
            row = self._row(connection, scope)
        earlier = self._earlier(scope, row["fence"]) if row else []
        # flock has no timeout; only a process that takes over ever pays for this poll.
        deadline = time.monotonic() + timeout
        while any(map(_is_locked, earlier)):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return True

    def close(self) -> None:
        """Release every lock of this process."""
        for lease in list(self._files):
            self._unlock(lease)

    def _expiry(self) -> str:
        return timestamp(self._clock() + LEASE_SECONDS)

    @staticmethod
    def _row(connection: sqlite3.Connection, scope: str) -> Any:
        return connection.execute(
            "SELECT scope, fence, pid, expires_at FROM leases WHERE scope = ?", (scope,)
        ).fetchone()

    def _is_alive(self, row: Any) -> bool:
        """Return whether the lease in a row has not expired and its holder's process is alive."""
        # A holder that hangs, or whose machine slept, keeps its flock but its lease expires.
        if row is None or row["expires_at"] is None or seconds(row["expires_at"]) <= self._clock():
            return False
        return _is_locked(self._path(row["scope"], row["fence"]))

    def _path(self, scope: str, fence: int) -> Path:
        return self._directory / f"{scope}.{fence}.lock"

    def _earlier(self, scope: str, fence: int) -> list[Path]:
        """Return the lock files of earlier holders that still exist."""
        numbered = [(int(file.name.split(".")[-2]), file) for file in self._directory.glob(f"{scope}.*.lock")]
        return [file for number, file in numbered if number < fence]

    def _lock(self, lease: Lease) -> None:
        """Lock the lease's own file."""
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            file = os.open(self._path(lease.scope, lease.fence), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"The lock folder {self._directory} cannot be used: {error.strerror}.") from error
        try:
            # No other process has this fence, except for one that is just releasing it.
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            os.close(file)
            raise StoreError(f"{self._directory} cannot be locked: {error.strerror}.") from error
        with self._guard:
            self._files[lease] = file

    def _unlock(self, lease: Lease) -> None:
        with self._guard:
            file = self._files.pop(lease, None)
        if file is not None:
            self._path(lease.scope, lease.fence).unlink(missing_ok=True)
            os.close(file)

    def _clear(self, lease: Lease) -> None:
        """Remove the lock files of dead holders."""
        for file in self._earlier(lease.scope, lease.fence):
            if not _is_locked(file):
                file.unlink(missing_ok=True)


def _is_locked(path: Path) -> bool:
    """Return whether a live process, this one included, holds the lock file."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"The lock {path} cannot be read: {error.strerror}.") from error
    try:
        # Shared, so that two processes that check at the same time do not take each other for the holder.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def is_latest(connection: sqlite3.Connection, lease: Lease) -> bool:
    """Return whether the lease is still the latest, in the caller's transaction."""
    found = connection.execute("SELECT 1 FROM leases WHERE scope = ? AND fence = ? AND holder = ?", _key(lease))
    return found.fetchone() is not None


def lost(lease: Lease) -> LostLeaseError:
    """Return the error for a holder whose lease was taken over."""
    return LostLeaseError(f"Another process has taken over {_named(lease.scope)}; this one has let go of it.")


def _key(lease: Lease) -> tuple[str, int, str]:
    return lease.scope, lease.fence, lease.holder


def _named(scope: str) -> str:
    return "this root" if scope == ROOT_SCOPE else f"run {scope}"
