"""What a transition costs, against the bare SQLite transaction that it is made of."""

import os
import sqlite3
import time
from pathlib import Path

from scratch import HEADER, machine, row

from metawsm_rpc.composition import open_service

BATCHES, BATCH = 20, 50


def main() -> None:
    """Print the comparison."""
    with machine() as folder:
        root = folder / "root"
        from scratch import repository

        repository(root, 1)
        (root / ".metawsm").mkdir()
        (root / ".metawsm" / "policy.json").write_text(
            '{"version": 3, "agents": [{"name": "a", "profile": "shell", "command": ["true"]}]}'
        )
        service = open_service(root)
        service.create_ticket("T-1")
        service.run(["T-1"], dry_run=True, run_id="bench")
        service.resume("bench")
        service.finish("bench")
        store = service.world.store
        bare = _bare(root / ".metawsm" / "bare.db")
        ours, theirs = [], []
        for batch in range(BATCHES + 1):
            began = time.perf_counter()
            for number in range(BATCH):
                event = "observe_idle" if (batch * BATCH + number) % 2 == 0 else "observe_running"
                with store.transaction() as transaction:
                    transaction.move_agent("bench", "T-1", "a", event)
            ours.append((time.perf_counter() - began) / BATCH)
            began = time.perf_counter()
            for number in range(BATCH):
                _transition(bare, (batch * BATCH + number) % 2)
            theirs.append((time.perf_counter() - began) / BATCH)
        service.shut_down()
        os.sync()
    print(HEADER)
    print(row("a transition with its event", ours[1:], theirs[1:], 2.0, "µs"))


def _bare(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE agents (id INTEGER PRIMARY KEY, status TEXT) STRICT")
    connection.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, at TEXT, type TEXT, was TEXT, now TEXT) STRICT")
    connection.execute("INSERT INTO agents VALUES (1, 'running')")
    return connection


def _transition(connection: sqlite3.Connection, number: int) -> None:
    now = "idle" if number == 0 else "running"
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE agents SET status = ? WHERE id = 1 AND status IN ('running', 'idle')", (now,))
    (seq,) = connection.execute("SELECT coalesce(max(seq), 0) + 1 FROM events").fetchone()
    connection.execute("INSERT INTO events VALUES (?, '2026-01-01T00:00:00.000Z', 'observe', 'x', ?)", (seq, now))
    connection.execute("COMMIT")


if __name__ == "__main__":
    main()
