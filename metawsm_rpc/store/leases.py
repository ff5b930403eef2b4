"""Leases: who may drive a run or supervise the root, also when processes die, hang or sleep.

A lease is a row with a fence that only rises, renewed while it is held, and on this machine also
an `flock` that the kernel lets go when the process dies. A holder whose fence is not the latest
has lost: the database refuses its writes, whatever it still believes.
"""

import errno
import fcntl
import os
import sqlite3
import threading
import time
from pathlib import Path

from metawsm_rpc.domain.clock import Clock, seconds, timestamp
from metawsm_rpc.errors import BusyError, LostLeaseError, StoreError
from metawsm_rpc.ports.store import Lease
from metawsm_rpc.store.database import Database

LEASE_SECONDS = 15.0
"""How long a lease lives without being renewed; holders renew at a third of it."""


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
        """Take the lease: when nobody alive has it, when it ran out, or by `takeover`.

        Raises `BusyError` while somebody else holds it.
        """
        file = self._lock(scope)
        with self._database.transaction() as connection:
            row = connection.execute("SELECT fence, pid, expires_at FROM leases WHERE scope = ?", (scope,)).fetchone()
            fence = 0 if row is None else row["fence"]
            # A holder that hangs, or slept with its laptop, keeps its flock but not its time.
            expired = row is None or row["expires_at"] is None or seconds(row["expires_at"]) <= self._clock()
            if file is None and not expired and not takeover:
                raise BusyError(
                    f"Another process (pid {row['pid']}) is driving {_named(scope)}; wait for it, or stop the run.",
                    details={"scope": scope, "pid": row["pid"]},
                )
            lease = Lease(scope, self._holder, fence + 1)
            connection.execute(
                "INSERT INTO leases (scope, fence, holder, pid, expires_at) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (scope) DO UPDATE SET fence = excluded.fence, holder = excluded.holder, "
                "pid = excluded.pid, expires_at = excluded.expires_at",
                (scope, lease.fence, lease.holder, os.getpid(), self._expiry()),
            )
        if file is not None:
            with self._guard:
                self._files[lease] = file
        return lease

    def renew(self, lease: Lease) -> None:
        """Prolong the lease. Raises `LostLeaseError` when somebody took it over."""
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE leases SET expires_at = ? WHERE scope = ? AND fence = ? AND holder = ?",
                (self._expiry(), *_key(lease)),
            ).rowcount
        if not changed:
            raise lost(lease)

    def release(self, lease: Lease) -> None:
        """Give the lease up; the fence stays, so that a late write of this holder still fails."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE leases SET holder = NULL, pid = NULL, expires_at = NULL "
                "WHERE scope = ? AND fence = ? AND holder = ?",
                _key(lease),
            )
        self._unlock(lease)

    def held(self, lease: Lease) -> bool:
        """Return whether the lease is still the latest."""
        with self._database.snapshot() as connection:
            return is_latest(connection, lease)

    def driven(self, scope: str) -> bool:
        """Return whether a live process holds the scope, this one included."""
        with self._database.snapshot() as connection:
            row = connection.execute("SELECT expires_at FROM leases WHERE scope = ?", (scope,)).fetchone()
        if row is None or row["expires_at"] is None or seconds(row["expires_at"]) <= self._clock():
            return False
        file = self._lock(scope)
        if file is None:
            return True
        os.close(file)
        return False

    def await_release(self, scope: str, timeout: float) -> bool:
        """Wait until the flock is free: the one who held it has noticed, or is dead."""
        # flock has no time-out; a poll of 10 ms is only ever paid by who takes over.
        deadline = time.monotonic() + timeout
        while True:
            file = self._lock(scope)
            if file is not None:
                os.close(file)
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)

    def close(self) -> None:
        """Let go of every lock of this process."""
        for lease in list(self._files):
            self._unlock(lease)

    def _expiry(self) -> str:
        return timestamp(self._clock() + LEASE_SECONDS)

    def _lock(self, scope: str) -> int | None:
        """Return the descriptor of the locked file, or None when somebody holds it."""
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            file = os.open(self._directory / f"{scope}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"The lock folder {self._directory} cannot be used: {error.strerror}.") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return None
            raise StoreError(f"{self._directory} cannot be locked: {error.strerror}.") from error
        return file

    def _unlock(self, lease: Lease) -> None:
        with self._guard:
            file = self._files.pop(lease, None)
        if file is not None:
            os.close(file)


def is_latest(connection: sqlite3.Connection, lease: Lease) -> bool:
    """Return whether the lease is still the latest, in the caller's transaction."""
    found = connection.execute("SELECT 1 FROM leases WHERE scope = ? AND fence = ? AND holder = ?", _key(lease))
    return found.fetchone() is not None


def lost(lease: Lease) -> LostLeaseError:
    """Return the error for a holder that has been taken over."""
    return LostLeaseError(f"Another process has taken over {_named(lease.scope)}; this one has let go of it.")


def _key(lease: Lease) -> tuple[str, int, str]:
    return lease.scope, lease.fence, lease.holder


def _named(scope: str) -> str:
    return "this root" if scope == "root" else f"run {scope}"
