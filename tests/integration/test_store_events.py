"""Events are facts: numbered without a gap over the whole root, and never changed or removed."""

import multiprocessing
import os
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from run_support import Clock, begin, carry_out, plan

from metawsm_rpc.errors import IllegalTransitionError, MetawsmError
from metawsm_rpc.store.store import SqliteStore


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def store(state: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(state, Clock())) as made:
        yield made


def numbers(store: SqliteStore) -> list[int]:
    return [event.seq for event in store.events()]


def test_numbers_have_no_gap_over_several_runs(store: SqliteStore) -> None:
    for number in range(4):
        begin(store, plan(run_id=f"r{number}"))
    for number in (2, 0, 3):
        with store.transaction() as transaction:
            transaction.move_run(f"r{number}", "stop")
    assert numbers(store) == list(range(1, store.seq() + 1))
    mine = store.events(run_id="r2")
    assert {event.run_id for event in mine} == {"r2"}
    assert [event.type for event in mine] == ["create", "plan", "start", "stop"]


class Interrupted(BaseException):
    """What a person's Ctrl-C would raise."""


def test_numbers_have_no_gap_after_transactions_that_were_taken_back(store: SqliteStore) -> None:
    begin(store, plan())
    for error in (IllegalTransitionError("no"), ValueError("no"), Interrupted("no")):
        with suppress(type(error)), store.transaction() as transaction:
            transaction.move_run("r1", "stop")
            transaction.record("r1", "run", "r1", "noise")
            raise error
    with suppress(MetawsmError), store.transaction() as transaction:
        transaction.record("r9", "run", "r9", "of no run")
    with store.transaction() as transaction:
        event = transaction.record(None, "workspace", "w", "noise", message="m", data={"a": [1, None]})
    assert event.seq == 4
    assert numbers(store) == [1, 2, 3, 4]
    assert store.events(3) == (event,)
    assert store.run("r1").status == "running"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET message = 'it was otherwise'",
        "UPDATE events SET seq = seq + 1",
        "DELETE FROM events",
        "DELETE FROM events WHERE seq = 1",
    ],
)
def test_events_can_be_neither_changed_nor_removed(store: SqliteStore, statement: str) -> None:
    begin(store, plan())
    before = store.events()
    with pytest.raises(sqlite3.IntegrityError, match=r"events are never (updated|deleted)"):
        store._database.connection.execute(statement)
    assert store.events() == before


def test_events_are_read_in_pages_without_missing_or_doubling_one(store: SqliteStore) -> None:
    begin(store, plan())
    carry_out(store, "r1")
    read: list[int] = []
    while page := store.events(read[-1] if read else 0, limit=3):
        read += [event.seq for event in page]
    assert read == numbers(store)
    assert store.events(store.seq()) == ()
    assert store.events(10**9) == ()


def test_an_event_comes_back_as_it_was_recorded(store: SqliteStore) -> None:
    begin(store, plan())
    text = "naïve ✓ \N{PILE OF POO} '\"\\ \n\t\x1b[31m %s {} $(x)"
    with store.transaction() as transaction:
        recorded = transaction.record("r1", "agent", "T-1/a", "progress", message=text, data={text: [text, 1.5, {}]})
    assert store.events()[-1] == recorded
    assert recorded.message == text


# --- several processes ---

WRITERS, WRITES = 3, 40


def _write(state: str, number: int, go: Any) -> None:
    chance = random.Random(number)
    run_id = f"r{number}"
    with closing(SqliteStore(Path(state), time.time)) as store:
        go.wait()
        begin(store, plan(run_id=run_id))
        carry_out(store, run_id)
        for _ in range(WRITES):
            event = chance.choice(("observe_idle", "observe_running", "observe_waiting", "launch"))
            # `launch` is illegal here: its transaction is taken back.
            with suppress(IllegalTransitionError), store.transaction() as transaction:
                transaction.record(run_id, "agent", "T-1/a", "progress", data={"pid": os.getpid()})
                transaction.move_agent(run_id, "T-1", "a", event)
        with store.transaction() as transaction:
            transaction.move_agent(run_id, "T-1", "a", "finish")


def test_numbers_have_no_gap_when_processes_write_at_once_and_a_reader_sees_whole_moments(
    state: Path, store: SqliteStore
) -> None:
    spawn = multiprocessing.get_context("spawn")
    go = spawn.Barrier(WRITERS + 1)
    writers = [spawn.Process(target=_write, args=(str(state), number, go)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    go.wait(60)
    seen, version = 0, store.data_version()
    while any(writer.is_alive() for writer in writers):
        for row in store.summaries()[0]:
            detail = store.detail(row.run_id)
            replayed = {(event.entity, event.entity_id): event.to for event in store.events(run_id=row.run_id)
                        if event.seq <= detail.seq and event.to is not None and event.type != "health"}  # fmt: skip
            assert replayed["run", row.run_id] == detail.run.status
            for agent in detail.agents:
                assert replayed.get(("agent", f"T-1/{agent.name}"), "pending") == agent.status
            for step in detail.steps:
                assert replayed.get(("step", str(step.index)), "pending") == step.status
            assert detail.seq >= seen
            seen = detail.seq
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    assert numbers(store) == list(range(1, store.seq() + 1))
    assert [row.status for row in store.summaries()[0]] == ["completed"] * WRITERS
    assert store.data_version() != version


def test_who_watches_is_told_by_the_data_version_of_what_others_write(state: Path, store: SqliteStore) -> None:
    before = store.data_version()
    assert store.data_version() == before
    with closing(SqliteStore(state, Clock())) as other:
        begin(other, plan())
    assert store.data_version() != before
    assert [event.type for event in store.events()] == ["create", "plan", "start"]
