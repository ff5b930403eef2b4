"""The SQLite file: opening, migrating and locking it, and explaining its errors.

Rules that always hold (docs/architecture.md): write-ahead log, foreign keys, `synchronous=FULL`,
explicit `BEGIN IMMEDIATE`, bound parameters, one transaction per migration, a backup before it.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from metawsm_rpc.errors import InvalidParamsError, StoreError

_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_TIMEOUT_SECONDS = 10.0
_MODE_RETRY_SECONDS = 0.01
_LITTLE_ROOM = 65536


def migrations() -> list[Path]:
    """Return the migration files; the n-th (from 1) brings the database to `user_version` n."""
    return sorted(_MIGRATIONS.glob("[0-9][0-9][0-9][0-9]_*.sql"))


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into `StoreError`s that say what to do.

    A value that cannot be bound came from the caller, so it raises `InvalidParamsError`.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _explained(path, error) from error
    except UnicodeEncodeError as error:
        raise InvalidParamsError(f"{error.object!r} is not valid Unicode; write it in UTF-8.") from error
    except OverflowError as error:
        raise InvalidParamsError("A number is too large; it must fit into 64 bits.") from error


def _explained(path: Path, error: sqlite3.Error) -> StoreError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(
            f"The database {path} stayed locked for {_BUSY_TIMEOUT_SECONDS:g} seconds; try again.",
            hint="Another program may have it open in a long transaction, such as a database browser.",
        )
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(path)):
        return StoreError(f"The disk that holds {path} is full; free some space and try again.")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreError(
            f"The database {path} is damaged: {error}.",
            hint="Move it away to start afresh, or put back one of the copies beside it (metawsm.db.v*.bak).",
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR):
        return StoreError(f"The database {path} cannot be written: {error}; check permissions and the disk.")
    return StoreError(f"The database {path} refused: {error}.")


def _is_full(path: Path) -> bool:
    """Return whether the disk has no room for SQLite's shared-memory file: SQLite reports that as an I/O error."""
    try:
        room = os.statvfs(path.parent)
    except OSError:
        return False
    return room.f_bavail * room.f_frsize < _LITTLE_ROOM


class Database:
    """A writing connection that the threads of a process share under a lock; transactions are short.

    A commit waits for the disk. Readers do not wait for it: they use a second connection, which is opened when
    first needed.
    """

    def __init__(self, path: Path, patience: float | None = None) -> None:
        self.path = path
        self._patience = _BUSY_TIMEOUT_SECONDS if patience is None else patience
        self.lock = threading.RLock()
        self._commits = 0
        self._reading: sqlite3.Connection | None = None
        self._reading_lock = threading.RLock()
        with translated(path):
            _make_private(path)
            _leave_newer_alone(path)
            self._identity = _identity(path)
            self.connection = _connect(path, self._patience)
            try:
                self._configure()
            except BaseException:
                self.connection.close()
                raise

    def _configure(self) -> None:
        if (mode := self._journal_mode()) != "wal":
            raise StoreError(
                f"The database {self.path} cannot have a write-ahead log here ({mode}); put the root on a local disk."
            )
        self.connection.execute("PRAGMA synchronous = FULL")
        self._migrate()
        # Only now: a migration that rebuilds a table drops the old one while other tables refer to it.
        self.connection.execute("PRAGMA foreign_keys = ON")

    def _journal_mode(self) -> str:
        """Ask for a write-ahead log and return the journal mode in effect.

        Two connections that switch the mode at the same time would deadlock, so SQLite fails one of them at
        once instead of waiting (https://www.sqlite.org/c3ref/busy_handler.html); its next attempt finds the
        log.
        """
        deadline = time.monotonic() + self._patience
        while True:
            try:
                mode: str = self.connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(_MODE_RETRY_SECONDS)
            else:
                return mode

    def _migrate(self) -> None:
        if _version(self.connection) == len(migrations()):
            return
        with self.transaction():
            # Another process may have migrated while this one waited for the lock.
            version = _checked_version(self.path, self.connection)
            if 0 < version < len(migrations()):
                self._back_up(version)
            for number, file in enumerate(migrations()[version:], start=version + 1):
                for statement in _statements(file.read_text(encoding="utf-8")):
                    self.connection.execute(statement)
                self.connection.execute(f"PRAGMA user_version = {number}")
            if broken := self.connection.execute("PRAGMA foreign_key_check").fetchall():
                raise StoreError(
                    f"The database {self.path} could not be brought up to date: rows of {broken[0][0]} refer to nothing.",
                    hint="Nothing was changed; install the earlier metawsm again.",
                )

    def _back_up(self, version: int) -> None:
        target = self.path.with_name(f"{self.path.name}.v{version}.bak")
        draft = target.with_name(f"{target.name}.draft")
        draft.unlink(missing_ok=True)
        _make_private(draft)
        try:
            # A second connection sees only what is committed: the state before the migration.
            with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(draft)) as copy:
                source.backup(copy)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write in one `BEGIN IMMEDIATE` transaction; any exception rolls all of it back."""
        with self.lock, translated(self.path):
            self._check_place()
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
                self._commits += 1
            except BaseException:
                _end(self.connection)
                raise

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Read several tables consistently; inside a transaction, including its own changes."""
        if self.lock.acquire(blocking=False):
            try:
                if not self.connection.in_transaction:
                    self._check_place()
                with translated(self.path), _at_one_moment(self.connection):
                    yield self.connection
            finally:
                self.lock.release()
            return
        with self._reading_lock, translated(self.path):
            self._check_place()
            if self._reading is None:
                self._reading = _connect(self.path, self._patience)
            with _at_one_moment(self._reading):
                yield self._reading

    def data_version(self) -> int:
        """Return a number that rises with every commit, through this connection or another one."""
        with self.lock, translated(self.path):
            self._check_place()
            version: int = self.connection.execute("PRAGMA data_version").fetchone()[0]
            return version + self._commits

    def _check_place(self) -> None:
        """Raise `StoreError` when the file was removed or replaced: anything written to it would be lost.

        SQLite does not detect this (https://www.sqlite.org/howtocorrupt.html, 2.4).
        """
        if _identity(self.path) != self._identity:
            raise StoreError(
                f"The database {self.path} was removed or replaced while it was open.",
                hint="Put it back, or end this metawsm and start it again to go on with what is there now.",
            )

    def close(self) -> None:
        """Close the connections."""
        with self.lock, self._reading_lock:
            self.connection.close()
            if self._reading is not None:
                self._reading.close()


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what distinguishes a file from another one at the same path, None when there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - for each transaction
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _connect(path: Path, patience: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    return connection


@contextmanager
def _at_one_moment(connection: sqlite3.Connection) -> Iterator[None]:
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        _end(connection)


def _end(connection: sqlite3.Connection) -> None:
    # Some errors, such as a full disk, have already ended the transaction.
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _checked_version(path: Path, connection: sqlite3.Connection) -> int:
    """Return the schema's version. Raises `StoreError` when it is newer than this program."""
    version, known = _version(connection), len(migrations())
    if version > known:
        raise StoreError(
            f"The database {path} was written by a newer metawsm (schema {version}; this one knows {known}).",
            hint="Install the newer metawsm again; nothing was changed.",
        )
    return version


def _leave_newer_alone(path: Path) -> None:
    """Check the version before anything may be written: even closing a connection can write the log back."""
    # Without a log the file is complete; opening it with a log allowed would leave an empty one behind.
    logged = path.with_name(f"{path.name}-wal").exists()
    uri = f"{path.absolute().as_uri()}?{'mode=ro' if logged else 'mode=ro&immutable=1'}"
    # What a read-only connection cannot do, such as recovery after a crash, the writing one does or reports.
    with suppress(sqlite3.Error), closing(sqlite3.connect(uri, uri=True)) as looking:
        _checked_version(path, looking)


def _make_private(path: Path) -> None:
    """Create the file with mode 0600 unless it is there; SQLite gives the same mode to its log.

    An existing file is not opened: closing it would drop the locks that another connection of this process
    holds on it (https://www.sqlite.org/howtocorrupt.html, 2.2).
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if path.is_dir():
            raise StoreError(f"The database {path} cannot be opened: Is a directory.") from None
    except OSError as error:
        raise StoreError(f"The database {path} cannot be opened: {error.strerror}.") from error


def _statements(script: str) -> Iterator[str]:
    """Split a script into statements (`executescript` would commit the transaction around it)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
