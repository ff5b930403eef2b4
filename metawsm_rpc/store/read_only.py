"""The memory of a root that is not trusted: read as it is, with nothing made, migrated or locked."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NoReturn

from metawsm_rpc.errors import NotTrustedError, StoreError
from metawsm_rpc.ports.store import Lease
from metawsm_rpc.store.database import Database, migrations, translated
from metawsm_rpc.store.store import SqliteStore
from metawsm_rpc.store.transaction import StoreTransaction


class ReadOnlyDatabase(Database):
    """Opens the file anew for each look: nobody's log has to be there, and none is left behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Read several tables as they are at one moment."""
        # Whoever writes at this moment has both; without them the file says it all.
        logged = all(self.path.with_name(f"{self.path.name}-{part}").exists() for part in ("wal", "shm"))
        uri = f"{self.path.absolute().as_uri()}?{'mode=ro' if logged else 'immutable=1'}"
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
        """Raise `NotTrustedError`."""
        raise refused()

    def data_version(self) -> int:
        """Return a number that changes when somebody has written."""
        log = self.path.with_name(f"{self.path.name}-wal")
        return hash(tuple((seen.st_mtime_ns, seen.st_size) for seen in _seen(self.path, log)))

    def close(self) -> None:
        """Do nothing: it is never open for longer than a look."""


class ReadOnlyStore(SqliteStore):
    """Reads as `SqliteStore` does; whatever would write raises `NotTrustedError`."""

    def __init__(self, directory: Path) -> None:
        self._database = ReadOnlyDatabase(directory / "metawsm.db")

    @contextmanager
    def transaction(self, lease: Lease | None = None) -> Iterator[StoreTransaction]:  # noqa: ARG002 - the port's
        """Raise `NotTrustedError`."""
        self._database.transaction()
        yield  # type: ignore[misc] # unreachable; makes it a context

    def acquire(self, scope: str, *, takeover: bool = False) -> Lease:  # noqa: ARG002 - the port's
        """Raise `NotTrustedError`."""
        raise refused()

    def release(self, lease: Lease) -> None:
        """Do nothing: there can be none."""

    def driven(self, scope: str) -> bool:  # noqa: ARG002 - the port's
        """Return True: here nobody may take anything up."""
        return True

    def close(self) -> None:
        """Do nothing: it is never open for longer than a look."""


def refused() -> NotTrustedError:
    """Return the error for what would write."""
    return NotTrustedError("This folder is not trusted, so metawsm only reads here; trust it first.")


def _seen(*paths: Path) -> Iterator[os.stat_result]:
    for path in paths:
        try:
            yield path.stat()
        except OSError:
            continue
