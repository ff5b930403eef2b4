"""Migrations of the database: applied once, backed up first, and undone as a whole."""

import multiprocessing
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from run_support import Clock, begin, plan

from metawsm_rpc.errors import StoreError
from metawsm_rpc.store import database
from metawsm_rpc.store.store import SqliteStore


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


def opened(state: Path) -> SqliteStore:
    return SqliteStore(state, Clock())


@pytest.fixture
def store(state: Path) -> Iterator[SqliteStore]:
    with closing(opened(state)) as made:
        yield made


def pragma(store: SqliteStore, name: str) -> object:
    return store._database.connection.execute(f"PRAGMA {name}").fetchone()[0]


# --- migrations ---


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the program know more migrations: those that the test writes beside the real ones."""
    folder = tmp_path / "migrations"
    shutil.copytree(database._MIGRATIONS, folder)
    monkeypatch.setattr(database, "_MIGRATIONS", folder)
    return folder


def write(folder: Path, name: str, script: str) -> None:
    (folder / f"{len(list(folder.glob('*.sql'))) + 1:04}_{name}.sql").write_text(script)


def test_a_migration_is_applied_once_and_the_file_as_it_was_is_kept(state: Path, migrations: Path) -> None:
    with closing(opened(state)) as store:
        begin(store, plan())
        known = pragma(store, "user_version")
    write(migrations, "colour", "ALTER TABLE runs ADD COLUMN colour TEXT;\nUPDATE runs SET colour = 'red';\n")
    for _ in range(2):
        with closing(opened(state)) as store:
            assert pragma(store, "user_version") == len(database.migrations())
            assert store._database.connection.execute("SELECT colour FROM runs").fetchone()[0] == "red"

    copies = [file for file in state.iterdir() if file.name.endswith(".bak")]
    assert [file.name for file in copies] == [f"metawsm.db.v{known}.bak"]
    assert stat.S_IMODE(copies[0].stat().st_mode) == 0o600
    with closing(sqlite3.connect(copies[0])) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("PRAGMA user_version").fetchone() == (known,)
        assert copy.execute("SELECT run_id, status FROM runs").fetchall() == [("r1", "running")]
        assert "colour" not in {row[1] for row in copy.execute("PRAGMA table_info(runs)")}


def test_a_new_database_needs_no_copy(state: Path) -> None:
    opened(state).close()
    assert not list(state.glob("*.bak*"))


def test_a_migration_that_fails_leaves_everything_as_it_was(state: Path, migrations: Path) -> None:
    with closing(opened(state)) as store:
        begin(store, plan())
    right = [file.read_text() for file in sorted(migrations.glob("*.sql"))]
    write(migrations, "colour", "ALTER TABLE runs ADD COLUMN colour TEXT;\nUPDATE runs SET colour = 'red';\n")
    write(migrations, "wrong", "CREATE TABLE more (id TEXT) STRICT;\nINSERT INTO nowhere VALUES (1);\n")
    for _ in range(2):
        with pytest.raises(StoreError, match="no such table: nowhere"):
            opened(state)
    for file in sorted(migrations.glob("*.sql"))[len(right) :]:
        file.unlink()
    with closing(opened(state)) as store:
        assert pragma(store, "user_version") == len(right)
        assert store.run("r1").status == "running"
        assert "colour" not in store._database.connection.execute("SELECT * FROM runs").fetchone().keys()  # noqa: SIM118 - a Row is no mapping


def test_a_migration_may_build_a_table_anew_that_others_refer_to(state: Path, migrations: Path) -> None:
    with closing(opened(state)) as store:
        begin(store, plan())
        definition = store._database.connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'runs'").fetchone()
    anew = definition[0].replace("CREATE TABLE runs", "CREATE TABLE new_runs")
    script = (
        f"{anew};\nINSERT INTO new_runs SELECT * FROM runs;\nDROP TABLE runs;\nALTER TABLE new_runs RENAME TO runs;\n"
    )
    write(migrations, "anew", script)
    with closing(opened(state)) as store:
        assert store.run("r1").status == "running"
        assert len(store.agents("r1")) == 1
        assert pragma(store, "foreign_keys") == 1


def test_a_migration_that_breaks_references_is_refused(state: Path, migrations: Path) -> None:
    with closing(opened(state)) as store:
        begin(store, plan())
    write(migrations, "forget", "DELETE FROM runs;\n")
    with pytest.raises(StoreError, match="refer to nothing") as caught:
        opened(state)
    assert caught.value.hint
    next(migrations.glob("*_forget.sql")).unlink()
    with closing(opened(state)) as store:
        assert store.run("r1").status == "running"


def test_a_migration_may_hold_triggers_comments_and_a_last_statement_without_an_end(
    state: Path, migrations: Path
) -> None:
    write(
        migrations,
        "odd",
        "-- first; a comment with a semicolon\n"
        "CREATE TABLE odd (id TEXT) STRICT;\n"
        "CREATE TRIGGER odd_too AFTER INSERT ON odd\nBEGIN\n  DELETE FROM odd WHERE id = 'a;b';\nEND;\n"
        "INSERT INTO odd VALUES ('a;b'), ('c')",
    )
    with closing(opened(state)) as store:
        assert [row["id"] for row in store._database.connection.execute("SELECT id FROM odd")] == ["c"]
        assert pragma(store, "user_version") == len(database.migrations())


def test_a_copy_that_cannot_be_made_stops_the_migration(
    state: Path, migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(opened(state)) as store:
        begin(store, plan())
        known = pragma(store, "user_version")
    good = state / f"metawsm.db.v{known}.bak"
    good.write_text("an earlier copy")
    write(migrations, "colour", "ALTER TABLE runs ADD COLUMN colour TEXT;\n")

    def full(connection: sqlite3.Connection, target: sqlite3.Connection) -> None:
        target.execute("CREATE TABLE half (id TEXT)")
        raise sqlite3.OperationalError("database or disk is full")

    class Failing(sqlite3.Connection):
        backup = full  # type: ignore[assignment] # as if the disk were full

    real = sqlite3.connect
    monkeypatch.setattr(database.sqlite3, "connect", lambda *args, **named: real(*args, factory=Failing, **named))
    with pytest.raises(StoreError, match="disk is full"):
        opened(state)
    monkeypatch.undo()
    assert good.read_text() == "an earlier copy"
    assert sorted(file.name for file in state.iterdir()) == ["metawsm.db", good.name]
    with closing(opened(state)) as store:
        assert pragma(store, "user_version") == known


def _migrate(state: str, folder: str, go: object) -> None:
    database._MIGRATIONS = Path(folder)
    go.wait()  # type: ignore[attr-defined] # an event of multiprocessing
    opened(Path(state)).close()


def test_two_processes_that_migrate_at_once_migrate_once(state: Path, migrations: Path) -> None:
    with closing(opened(state)) as store:
        begin(store, plan())
    write(
        migrations,
        "count",
        "CREATE TABLE counted (id INTEGER PRIMARY KEY) STRICT;\nINSERT INTO counted DEFAULT VALUES;\n",
    )
    spawn = multiprocessing.get_context("spawn")
    go = spawn.Event()
    both = [spawn.Process(target=_migrate, args=(str(state), str(migrations), go)) for _ in range(2)]
    for process in both:
        process.start()
    go.set()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    with closing(opened(state)) as store:
        assert store._database.connection.execute("SELECT count(*) FROM counted").fetchone()[0] == 1
