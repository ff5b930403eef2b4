"""The database file: how it is opened, migrated and protected, and what its errors say."""

import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from run_support import Clock, begin, carry_out, plan

from metawsm_rpc.errors import InvalidParamsError, StoreError
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


def contents(state: Path) -> dict[str, bytes]:
    """Return what is in the database and its log; the shared memory beside them holds nothing that lasts."""
    return {file.name: file.read_bytes() for file in state.iterdir() if file.is_file() and file.suffix != ".db-shm"}


# --- how it is opened ---


def test_the_database_is_durable_and_checks_references(store: SqliteStore) -> None:
    assert pragma(store, "journal_mode") == "wal"
    assert pragma(store, "synchronous") == 2  # FULL
    assert pragma(store, "foreign_keys") == 1
    assert pragma(store, "busy_timeout") == 10_000
    assert pragma(store, "user_version") == len(database.migrations())


def test_every_table_is_strict(store: SqliteStore) -> None:
    tables = store._database.connection.execute("PRAGMA table_list").fetchall()
    ours = {row["name"]: row["strict"] for row in tables if not row["name"].startswith("sqlite_")}
    assert set(ours) > {"runs", "steps", "agents", "events", "leases"}
    assert set(ours.values()) == {1}


def test_nothing_counts_by_autoincrement_and_nothing_is_ignored(store: SqliteStore) -> None:
    texts = [row[0] or "" for row in store._database.connection.execute("SELECT sql FROM sqlite_schema")]
    assert not any("AUTOINCREMENT" in text.upper() or "OR IGNORE" in text.upper() for text in texts)


def test_every_file_is_private_whatever_the_umask(state: Path) -> None:
    before = os.umask(0)
    try:
        with closing(opened(state)) as store:
            begin(store, plan())
            store.acquire("r1")
            modes = {
                str(path.relative_to(state)): stat.S_IMODE(path.stat().st_mode) for path in sorted(state.rglob("*"))
            }
    finally:
        os.umask(before)
    assert modes == {
        "locks": 0o700,
        "locks/r1.1.lock": 0o600,
        "metawsm.db": 0o600,
        "metawsm.db-shm": 0o600,
        "metawsm.db-wal": 0o600,
    }


def test_what_was_committed_is_there_when_the_process_is_killed(state: Path) -> None:
    code = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from run_support import begin, plan
from metawsm_rpc.store.store import SqliteStore
store = SqliteStore(Path(sys.argv[1]), time.time)
begin(store, plan())
with store.transaction() as transaction:
    transaction.set_error("r1", "half done")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    tests = str(Path(__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code, str(state), tests], check=False, timeout=60)
    assert done.returncode == -9
    with closing(opened(state)) as store:
        assert (store.run("r1").status, store.run("r1").error) == ("running", None)


def test_several_processes_can_be_the_first_at_once(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from metawsm_rpc.store.store import SqliteStore
print("ready", flush=True)
for line in sys.stdin:
    SqliteStore(Path(line.strip()), time.time).close()
    print("done", flush=True)
"""
    with ExitStack() as stack:
        starters = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
                )
            )
            for _ in range(4)
        ]
        assert [starter.stdout.readline() for starter in starters] == ["ready\n"] * 4
        for n in range(20):
            (tmp_path / str(n)).mkdir()
            for starter in starters:
                starter.stdin.write(f"{tmp_path / str(n)}\n")
                starter.stdin.flush()
            assert [starter.stdout.readline() for starter in starters] == ["done\n"] * 4


def test_a_second_opening_in_one_process_leaves_the_locks_of_the_first(state: Path, store: SqliteStore) -> None:
    opened(state).close()
    # Another process that believes to be the last one removes the log at its end.
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM runs').fetchall(); c.close()"
    )
    subprocess.run([sys.executable, "-c", code, str(state / "metawsm.db")], check=True, timeout=60)
    assert (state / "metawsm.db-wal").exists()
    begin(store, plan())
    with closing(opened(state)) as other:
        assert other.run("r1").status == "running"


# --- what can be wrong with it ---


def test_a_newer_database_is_told_and_left_alone(state: Path) -> None:
    opened(state).close()
    with closing(sqlite3.connect(state / "metawsm.db")) as newer:
        newer.execute("PRAGMA user_version = 99")
    before = contents(state)
    with pytest.raises(StoreError, match=r"was written by a newer metawsm \(schema 99; this one knows \d+\)") as caught:
        opened(state)
    assert caught.value.hint == "Install the newer metawsm again; nothing was changed."
    assert contents(state) == before


def test_a_newer_database_whose_program_was_killed_keeps_its_log(state: Path, tmp_path: Path) -> None:
    opened(state).close()
    killed = tmp_path / "killed"
    with closing(sqlite3.connect(state / "metawsm.db")) as newer:
        newer.execute("PRAGMA wal_autocheckpoint = 0")
        newer.execute("PRAGMA user_version = 99")
        newer.execute("CREATE TABLE newer (id TEXT)")
        newer.commit()
        shutil.copytree(state, killed)
    before = contents(killed)
    assert len(before["metawsm.db-wal"]) > 4096
    for _ in range(2):
        with pytest.raises(StoreError, match="newer metawsm"):
            opened(killed)
        assert contents(killed) == before


def test_a_database_whose_creation_was_cut_off_is_repaired(state: Path) -> None:
    # A rollback journal that was left behind: only who may write can play it back.
    with closing(sqlite3.connect(state / "metawsm.db", isolation_level=None)) as dying:
        dying.execute("CREATE TABLE leftover (id TEXT)")
        dying.execute("PRAGMA cache_size = 1")
        dying.execute("BEGIN IMMEDIATE")
        dying.execute("DROP TABLE leftover")
        dying.execute(
            "CREATE TABLE half AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i, hex(randomblob(50)) FROM n"
        )
        crashed = state.with_name("crashed")
        shutil.copytree(state, crashed)
    assert (crashed / "metawsm.db-journal").stat().st_size > 0
    with closing(opened(crashed)) as store:
        tables = {row[0] for row in store._database.connection.execute("SELECT name FROM sqlite_schema")}
    assert "leftover" in tables
    assert "half" not in tables


@pytest.mark.parametrize("text", [b"this is no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_damaged_database_is_told_and_left_alone(state: Path, text: bytes) -> None:
    (state / "metawsm.db").write_bytes(text)
    with pytest.raises(StoreError, match="is damaged") as caught:
        opened(state)
    assert caught.value.hint is not None
    assert "metawsm.db.v*.bak" in caught.value.hint
    assert (state / "metawsm.db").read_bytes() == text


def test_damage_that_shows_later_is_told_too(state: Path) -> None:
    with closing(opened(state)) as store:
        begin(store, plan([f"T-{number}" for number in range(20)], agents=("a", "b")))
    file = state / "metawsm.db"
    data = bytearray(file.read_bytes())
    data[4096 * 2 :] = b"\xa5" * (len(data) - 4096 * 2)
    file.write_bytes(data)
    with pytest.raises(StoreError, match="is damaged"), closing(opened(state)) as store:
        store.detail("r1")


def test_a_folder_in_the_place_of_the_database_is_told(state: Path) -> None:
    (state / "metawsm.db").mkdir()
    with pytest.raises(StoreError, match=r"cannot be opened: Is a directory"):
        opened(state)


def test_a_database_that_another_program_locks_is_told_after_a_while(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_TIMEOUT_SECONDS", 0.2)
    with closing(opened(state)) as store, closing(sqlite3.connect(state / "metawsm.db", isolation_level=None)) as other:
        begin(store, plan())
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with (
            pytest.raises(StoreError, match=r"stayed locked for 0\.2 seconds; try again") as caught,
            store.transaction(),
        ):
            raise AssertionError("a transaction began beside another one")
        assert time.monotonic() - began < 8
        assert caught.value.hint is not None
        assert store.run("r1").status == "running"  # who reads does not wait
        other.execute("ROLLBACK")
        with store.transaction() as transaction:
            transaction.set_error("r1", "free again")


def stop_with_much_noise(store: SqliteStore) -> None:
    with store.transaction() as transaction:
        transaction.move_run("r1", "stop")
        for _ in range(1000):
            transaction.record("r1", "run", "r1", "noise", message="x" * 1000)


def test_a_full_disk_is_told_and_changes_nothing(store: SqliteStore) -> None:
    begin(store, plan())
    connection = store._database.connection
    before = store.detail("r1")
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match=r"The disk that holds .*metawsm\.db is full; free some space"):
        stop_with_much_noise(store)
    assert store.detail("r1") == before
    connection.execute("PRAGMA max_page_count = 1000000")
    with store.transaction() as transaction:
        transaction.move_run("r1", "stop")
    assert store.seq() == before.seq + 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a file system of its own, of 512 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("only root may mount a file system")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(ballast: Path) -> None:
    """Write until there is no room left for a page."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def test_a_disk_that_is_really_full_is_told_and_changes_nothing(small_disk: Path) -> None:
    with closing(opened(small_disk)) as store:
        begin(store, plan())
        carry_out(store, "r1")
        before = store.detail("r1")
        ballast = small_disk / "ballast"
        fill(ballast)
        with pytest.raises(StoreError, match="is full"):
            stop_with_much_noise(store)
        assert store.detail("r1") == before
        ballast.unlink()
        with store.transaction() as transaction:
            transaction.move_agent("r1", "T-1", "a", "finish")
        assert store.run("r1").status == "completed"


def test_a_disk_that_is_full_before_the_database_is_opened_is_told_as_full(small_disk: Path) -> None:
    with closing(opened(small_disk)) as store:
        begin(store, plan())
    fill(small_disk / "ballast")
    with pytest.raises(StoreError, match="is full"):
        opened(small_disk)


def test_a_database_that_cannot_be_written_is_told(store: SqliteStore) -> None:
    begin(store, plan())
    store._database.connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError, match=r"cannot be written: attempt to write a readonly database; check permissions"):
        stop_with_much_noise(store)
    assert store.run("r1").status == "running"


# --- a file that goes away ---


@pytest.mark.parametrize("is_replaced", [False, True])
def test_nothing_is_written_to_a_database_that_was_removed_under_us(
    state: Path, store: SqliteStore, *, is_replaced: bool
) -> None:
    begin(store, plan())
    path = state / "metawsm.db"
    kept = path.rename(state / "kept")
    if is_replaced:
        opened(state).close()
    for use in (lambda: begin(store, plan()), lambda: store.run("r1"), store.data_version):
        with pytest.raises(StoreError, match="removed or replaced"):
            use()
    if not is_replaced:  # its log is still its own
        kept.rename(path)
        assert store.run("r1").status == "running"


# --- what cannot be kept ---


@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.find_run("r\udcff"),
        lambda store: store.events(since=10**30),
        lambda store: store.detail("\ud800"),
    ],
    ids=["bytes that are no UTF-8", "a huge number", "half a character"],
)
def test_a_value_that_sqlite_cannot_hold_is_the_callers_mistake(
    store: SqliteStore, use: Callable[[SqliteStore], object]
) -> None:
    with pytest.raises(InvalidParamsError) as caught:
        use(store)
    assert caught.value.message.isprintable()
    assert store.seq() == 0


def test_no_query_is_put_together_from_values(store: SqliteStore) -> None:
    hostile = "'; DROP TABLE runs; --"
    begin(store, plan())
    with store.transaction() as transaction:
        transaction.set_error("r1", hostile)
        transaction.record("r1", "run", hostile, hostile, message=hostile, data={hostile: hostile})
    assert store.run("r1").error == hostile
    assert store.newest_run(hostile) is None
    assert store.events()[-1].data == {hostile: hostile}
