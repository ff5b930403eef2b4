"""Every status moves along its chart, with its event, or not at all."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from run_support import Clock, begin, carry_out, move_agent, move_run, plan, told

from metawsm_rpc.domain.clock import timestamp
from metawsm_rpc.domain.lifecycles import AGENT, RUN, STEP
from metawsm_rpc.errors import (
    AgentNotFoundError,
    IllegalTransitionError,
    InvalidParamsError,
    RunNotFoundError,
    StepNotFoundError,
)
from metawsm_rpc.store.store import SqliteStore
from metawsm_rpc.store.transaction import StoreTransaction


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[SqliteStore]:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    with closing(SqliteStore(folder, clock)) as made:
        yield made


@pytest.fixture
def running(store: SqliteStore) -> SqliteStore:
    """Return a store with run r1, whose agents a and b are at work."""
    begin(store, plan(agents=("a", "b")))
    carry_out(store, "r1")
    return store


# --- a plan ---


def test_a_plan_is_stored_with_its_run_as_one(store: SqliteStore) -> None:
    made = plan(("T-1", "T-2"), repos=("app", "lib"), agents=("a", "b"))
    begin(store, made, policy={"version": 3})
    detail = store.detail("r1")
    assert detail.run == made.run._replace(status="running", updated_at=detail.run.updated_at)
    assert (detail.steps, detail.agents, detail.workspaces) == (made.steps, made.agents, made.workspaces)
    assert store.policy("r1") == {"version": 3}
    assert told(store, 0) == [
        ("run", "r1", "create", None, "created"),
        ("run", "r1", "plan", "created", "planning"),
        ("run", "r1", "start", "planning", "running"),
    ]
    assert detail.seq == 3


def test_a_plan_that_cannot_be_stored_whole_is_not_stored_at_all(store: SqliteStore) -> None:
    begin(store, plan())
    before = store.detail("r1")
    with pytest.raises(InvalidParamsError, match="A run r1 exists already"):
        begin(store, plan(("T-9",)))
    assert store.detail("r1") == before
    assert store.newest_run("T-9") is None
    assert store.seq() == before.seq


def test_a_plan_cannot_bring_statuses_of_its_own(store: SqliteStore) -> None:
    made = plan()
    for wrong in (
        made._replace(run=made.run._replace(status="completed")),
        made._replace(steps=(made.steps[0]._replace(status="done"), *made.steps[1:])),
        made._replace(agents=(made.agents[0]._replace(status="running"),)),
    ):
        with pytest.raises(AssertionError, match="a status moves along its chart only"):
            begin(store, wrong)
    assert store.seq() == 0


def test_a_dry_run_waits_to_be_resumed(store: SqliteStore) -> None:
    begin(store, plan(), dry_run=True)
    assert store.run("r1").status == "paused"
    assert store.unsettled() == ()
    move_run(store, "resume")
    assert store.run("r1").status == "running"


# --- legal and illegal moves ---


def test_a_move_and_its_event_are_one(running: SqliteStore, clock: Clock) -> None:
    before = running.seq()
    clock.now += 1.5
    assert move_agent(running, "observe_idle", message="quiet") is True
    (event,) = running.events(before)
    assert event == (
        before + 1, timestamp(clock.now), "r1", "agent", "T-1/a", "observe_idle", "running", "idle", "quiet", None,
    )  # fmt: skip
    assert running.agents("r1")[0].status == "idle"


def test_a_move_to_the_state_it_is_in_is_no_event(running: SqliteStore) -> None:
    before = running.seq()
    assert move_agent(running, "observe_running") is False
    move_run(running, "resume")
    assert running.seq() == before


def test_columns_are_set_also_where_the_state_stays(running: SqliteStore) -> None:
    assert move_agent(running, "observe_running", said="working", last_progress_at="2030-01-01T00:00:00.000Z") is False
    agent = running.agents("r1")[0]
    assert (agent.said, agent.last_progress_at) == ("working", "2030-01-01T00:00:00.000Z")


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda t: t.move_run("r1", "close"), "Run r1 is running, so it cannot be closed."),
        (lambda t: t.move_step("r1", 0, "start"), "Step 0 of run r1 is done, so it cannot start."),
        (lambda t: t.move_agent("r1", "T-1", "a", "launch"), "Agent a on T-1 is running, so it cannot launch."),
    ],
    ids=["run", "step", "agent"],
)
def test_an_illegal_move_says_so_and_takes_back_its_whole_transaction(
    running: SqliteStore, act: Callable[[StoreTransaction], object], message: str
) -> None:
    def finish_and_act() -> None:
        with running.transaction() as transaction:
            transaction.move_agent("r1", "T-1", "b", "finish")
            act(transaction)

    before = running.detail("r1")
    with pytest.raises(IllegalTransitionError) as caught:
        finish_and_act()
    assert caught.value.message == message
    assert "legal" in caught.value.details
    assert running.detail("r1") == before


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda t: t.move_run("r9", "stop"), RunNotFoundError),
        (lambda t: t.move_step("r1", 99, "start"), StepNotFoundError),
        (lambda t: t.move_agent("r1", "T-1", "z", "finish"), AgentNotFoundError),
        (lambda t: t.allow_attempts("r1", 99, 1), StepNotFoundError),
    ],
)
def test_what_does_not_exist_cannot_be_moved(
    running: SqliteStore, act: Callable[[StoreTransaction], object], error: type[Exception]
) -> None:
    with pytest.raises(error), running.transaction() as transaction:
        act(transaction)


def test_no_other_way_leads_to_a_status(running: SqliteStore) -> None:
    with pytest.raises(AssertionError, match="along its chart only"), running.transaction() as transaction:
        transaction.set_agent("r1", "T-1", "a", status="completed")
    with pytest.raises(AssertionError, match="no column"), running.transaction() as transaction:
        transaction.move_agent("r1", "T-1", "a", "observe_idle", status="completed")


def test_a_write_that_meets_no_row_is_not_passed_over(running: SqliteStore) -> None:
    (workspace,) = running.workspaces("r1")
    for act in (
        lambda t: t.set_agent("r1", "T-1", "z", said="working"),
        lambda t: t.set_error("r9", "lost"),
        lambda t: t.set_repo("r1", "T-1", workspace.repos[0]._replace(name="other")),
    ):
        with pytest.raises(AssertionError, match="changed 0 rows"), running.transaction() as transaction:
            act(transaction)


def test_of_two_threads_that_move_the_same_agent_one_wins(running: SqliteStore) -> None:
    results: list[object] = []

    def finish() -> None:
        try:
            results.append(move_agent(running, "finish"))
        except IllegalTransitionError as error:
            results.append(error)

    threads = [threading.Thread(target=finish) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count(True) == 1
    assert sum(isinstance(one, IllegalTransitionError) for one in results) == 5


def test_who_reads_neither_sees_a_transaction_that_is_under_way_nor_waits_for_it(running: SqliteStore) -> None:
    seen: list[str] = []

    def look() -> None:
        seen.append(running.agents("r1")[0].status)

    with running.transaction() as transaction:
        transaction.move_agent("r1", "T-1", "a", "finish")
        reader = threading.Thread(target=look, daemon=True)
        reader.start()
        reader.join(60)
        assert seen == ["running"]
        assert running.agents("r1")[0].status == "completed"  # who writes sees what it wrote
    look()
    assert seen == ["running", "completed"]


def test_every_state_of_every_chart_can_be_stored(store: SqliteStore) -> None:
    # The CHECK constraints repeat the charts.
    begin(store, plan())
    connection = store._database.connection
    for table, chart in (("runs", RUN), ("steps", STEP), ("agents", AGENT)):
        for state in chart.states:
            connection.execute("BEGIN")
            connection.execute(f"UPDATE {table} SET status = ?", (state,))
            connection.execute("ROLLBACK")
