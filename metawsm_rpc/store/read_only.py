"""The store of a root that is not trusted or cannot be written: read as it is, nothing created, migrated or locked."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NoReturn

from metawsm_rpc.errors import MetawsmError, NotTrustedError, StoreError
from metawsm_rpc.ports.store import Lease
from metawsm_rpc.store.database import Database, migrations, translated
from metawsm_rpc.store.store import SqliteStore
from metawsm_rpc.store.transaction import StoreTransaction


class ReadOnlyDatabase(Database):
    """Opens the file for each read: it needs no write-ahead log, and leaves none behind."""

    def __init__(self, path: Path, refused: Callable[[], MetawsmError]) -> None:
        self.path = path
        self._refused = refused

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Read several tables as they are at one moment."""
        # A process that writes at this moment has both files; without them the database file is complete.
        logged = all(self.path.with_name(f"{self.path.name}-{part}").exists() for part in ("wal", "shm"))
        uri = f"{self.path.absolute().as_uri()}?{'mode=ro' if logged else 'mode=ro&immutable=1'}"
        with translated(self.path), closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")
            self._check(connection.execute("PRAGMA user_version").fetchone()[0])
            yield connection

    def _check(self, version: int) -> None:
        if version != len(migrations()):
            age = "a newer" if version > len(migrations()) else "an older"
            raise StoreError(
                f"The database {self.path} was written by {age} metawsm, so it can only be used where it is trusted.",
                hint="Nothing was changed.",
            )

    def transaction(self) -> NoReturn:
        """Raise the refusal."""
        raise self._refused()

    def data_version(self) -> int:
        """Return a number that changes with every write."""
        log = self.path.with_name(f"{self.path.name}-wal")
        return hash(tuple((seen.st_mtime_ns, seen.st_size) for seen in _seen(self.path, log)))

    def close(self) -> None:
        """Do nothing: the file is only open during a read."""


class ReadOnlyStore(SqliteStore):
    """Reads like `SqliteStore`; every method that would write raises the error that `refused` returns."""

    def __init__(self, directory: Path, refused: Callable[[], MetawsmError]) -> None:
        self._refused = refused
        self._database = ReadOnlyDatabase(directory / "metawsm.db", refused)

    @contextmanager
    def transaction(self, lease: Lease | None = None) -> Iterator[StoreTransaction]:  # noqa: ARG002 - the port's
        """Raise the refusal."""
        self._database.transaction()
        yield  # type: ignore[misc] # unreachable; makes it a context

    def acquire(self, scope: str, *, takeover: bool = False) -> Lease:  # noqa: ARG002 - the port's
        """Raise the refusal."""
        raise self._refused()

    def release(self, lease: Lease) -> None:
        """Do nothing: there can be no lease."""

    def driven(self, scope: str) -> bool:  # noqa: ARG002 - the port's
        """Return True, so that nothing here is ever picked up for driving."""
        return True

    def holder(self, scope: str) -> int | None:  # noqa: ARG002 - the port's
        """Return None: who holds a lease is only told where it could be taken."""
        return None

    def close(self) -> None:
        """Do nothing: the file is only open during a read."""


def not_trusted() -> NotTrustedError:
    """Return the error of a write where the root is not trusted."""
    return NotTrustedError("This folder is not trusted, so metawsm only reads here; trust it first.")


def not_writable(directory: Path) -> StoreError:
    """Return the error of a write where the state directory cannot be written."""
    return StoreError(f"The folder {directory} cannot be written, so metawsm only reads here; check its permissions.")


def _seen(*paths: Path) -> Iterator[os.stat_result]:
    for path in paths:
        try:
            yield path.stat()
        except OSError:
            continue
