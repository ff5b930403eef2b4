"""What follows from moves: attempts, settled runs, questions and health."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from run_support import Clock, begin, carry_out, move_agent, move_run, plan, question, told

from metawsm_rpc.domain.clock import timestamp
from metawsm_rpc.domain.models import LIVE, Health
from metawsm_rpc.errors import AgentNotFoundError, IllegalTransitionError
from metawsm_rpc.store.store import SqliteStore


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


# --- steps ---


def test_a_failure_costs_a_try_and_an_interruption_does_not(store: SqliteStore, clock: Clock) -> None:
    begin(store, plan())

    def move(event: str, message: str | None = None) -> tuple[str, int, str | None]:
        clock.now += 1
        with store.transaction() as transaction:
            transaction.move_step("r1", 0, event, message=message)
        step = store.steps("r1")[0]
        return step.status, step.attempts, step.error

    assert move("start") == ("running", 1, None)
    assert move("interrupt", "interrupted") == ("failed", 0, "interrupted")
    assert store.run("r1").status == "running"
    assert move("retry") == ("running", 1, None)
    assert move("fail", "no such ticket") == ("failed", 1, "no such ticket")
    assert store.run("r1").status == "failed"
    step = store.steps("r1")[0]
    assert (step.started_at, step.finished_at) == (timestamp(clock.now - 1), timestamp(clock.now))
    assert [(event.type, event.from_, event.to) for event in store.events() if event.entity == "step"] == [
        ("start", "pending", "running"),
        ("interrupt", "running", "failed"),
        ("retry", "failed", "running"),
        ("fail", "running", "failed"),
    ]


def test_a_step_that_may_be_tried_again_lets_the_run_go_on(store: SqliteStore) -> None:
    begin(store, plan())
    with store.transaction() as transaction:
        transaction.move_step("r1", 0, "start")
        transaction.move_step("r1", 0, "fail", message="why")
    assert store.run("r1").status == "failed"
    with store.transaction() as transaction:
        transaction.allow_attempts("r1", 0, 2)
    assert store.steps("r1")[0].attempt_limit == 3
    assert store.run("r1").status == "running"


def test_an_interrupted_step_can_be_kept_from_running_again(store: SqliteStore) -> None:
    begin(store, plan())
    with store.transaction() as transaction:
        transaction.move_step("r1", 0, "start")
        transaction.move_step("r1", 0, "interrupt", message="interrupted", attempt_limit=0)
    assert store.run("r1").status == "failed"


def test_skipping_the_start_of_an_agent_takes_it_out_of_the_run(store: SqliteStore) -> None:
    begin(store, plan(agents=("a", "b")))
    with store.transaction() as transaction:
        transaction.move_step("r1", 4, "skip", message="by hand")
    carry_out(store, "r1")
    assert [agent.status for agent in store.agents("r1")] == ["running", "stopped"]
    move_agent(store, "finish")
    assert store.run("r1").status == "completed"
    assert ("agent", "T-1/b", "skip", "pending", "stopped") in told(store, 0)


# --- settling ---


def test_a_run_settles_in_the_transaction_of_the_change(running: SqliteStore) -> None:
    move_agent(running, "finish")
    before = running.seq()
    assert running.run("r1").status == "running"
    with running.transaction() as transaction:
        transaction.move_agent("r1", "T-1", "b", "fail")
        assert transaction.run("r1").status == "running"
    assert told(running, before) == [
        ("agent", "T-1/b", "fail", "running", "failed"),
        ("run", "r1", "settle", "running", "failed"),
    ]


def test_a_run_that_completes_after_all_has_no_error_any_more(running: SqliteStore) -> None:
    move_agent(running, "finish")
    with running.transaction() as transaction:
        transaction.move_agent("r1", "T-1", "b", "die")
        transaction.set_error("r1", "T-1: b died")
    assert (running.run("r1").status, running.run("r1").error) == ("failed", "T-1: b died")
    move_agent(running, "complete", "b")
    assert (running.run("r1").status, running.run("r1").error) == ("completed", None)


def test_a_run_that_is_not_under_way_does_not_settle(running: SqliteStore) -> None:
    move_run(running, "stop")
    for name in ("a", "b"):
        move_agent(running, "stop", name)
        move_agent(running, "stopped", name)
    assert running.run("r1").status == "stopping"
    move_run(running, "stopped")
    move_agent(running, "complete")
    move_agent(running, "complete", "b")
    assert running.run("r1").status == "stopped"


def test_working_after_done_makes_the_run_go_on(running: SqliteStore) -> None:
    move_agent(running, "finish")
    move_agent(running, "finish", "b")
    assert running.run("r1").status == "completed"
    move_agent(running, "work")
    assert running.run("r1").status == "running"


@pytest.mark.parametrize(
    ("events", "status"),
    [(("close",), "closing"), (("close", "closed"), "closed"), (("restart", "stop", "stopped"), "stopped")],
)
@pytest.mark.parametrize("event", ["work", "relaunch"])
def test_nothing_comes_alive_in_a_run_that_is_over(
    running: SqliteStore, events: tuple[str, ...], status: str, event: str
) -> None:
    move_agent(running, "finish")
    move_agent(running, "finish", "b")
    with running.transaction() as transaction:
        for one in events:
            transaction.move_run("r1", one)
    before = running.detail("r1")
    assert before.run.status == status
    with pytest.raises(IllegalTransitionError, match=f"Run r1 is {status}, so agent a on T-1 cannot {event}"):
        move_agent(running, event)
    assert running.detail("r1") == before


# --- questions ---


def ask(store: SqliteStore, asker: str = "a", **changes: Any) -> None:
    with store.transaction() as transaction:
        transaction.ask(question(asker, **changes))


def test_a_question_makes_the_run_wait_and_an_answer_lets_it_go_on(running: SqliteStore, clock: Clock) -> None:
    before = running.seq()
    ask(running)
    assert running.run("r1").status == "awaiting_guidance"
    clock.now += 5
    with running.transaction() as transaction:
        assert transaction.answer("q1", "this") is True
    assert running.run("r1").status == "running"
    with running.transaction() as transaction:
        assert transaction.answer("q1", "that") is False
        transaction.delivered("q1")
        transaction.delivered("q1")
    kept = running.guidance("q1")
    assert (kept.status, kept.answer, kept.choices) == ("answered", "this", ("this", "that"))
    assert kept.answered_at == kept.delivered_at == timestamp(clock.now)
    assert told(running, before) == [
        ("guidance", "q1", "ask", None, "pending"),
        ("run", "r1", "settle", "running", "awaiting_guidance"),
        ("guidance", "q1", "answer", "pending", "answered"),
        ("run", "r1", "settle", "awaiting_guidance", "running"),
        ("guidance", "q1", "deliver", None, None),
    ]


ENDS = {
    "stops": ["stop"],
    "is stopped": ["stop", "stopped"],
    "dies": ["die"],
    "restarts": ["die", "relaunch"],
    "completes": ["finish"],
    "is completed by hand": ["complete"],
    "fails": ["fail"],
    "exits": ["exit"],
}


@pytest.mark.parametrize("events", ENDS.values(), ids=ENDS.keys())
def test_a_question_is_withdrawn_when_its_agent_comes_to_an_end(running: SqliteStore, events: list[str]) -> None:
    ask(running)
    ask(running, id="q2")
    ask(running, "b", id="q3")
    with running.transaction() as transaction:
        transaction.answer("q2", "this")
    for event in events:
        move_agent(running, event)
    assert [running.guidance(one).status for one in ("q1", "q2", "q3")] == ["withdrawn", "answered", "pending"]
    assert ("guidance", "q1", "withdraw", "pending", "withdrawn") in told(running, 0)
    with running.transaction() as transaction:
        assert transaction.answer("q1", "too late") is False


@pytest.mark.parametrize("event", ["observe_idle", "observe_waiting", "observe_stalled", "observe_running", "work"])
@pytest.mark.parametrize("before", ["observe_running", "observe_waiting"])
def test_a_question_stays_open_while_its_agent_lives(running: SqliteStore, before: str, event: str) -> None:
    ask(running)
    move_agent(running, before)
    move_agent(running, event)
    assert running.guidance("q1").status == "pending"
    assert running.run("r1").status == "awaiting_guidance"


def test_only_a_live_agent_can_ask(running: SqliteStore) -> None:
    move_agent(running, "finish")
    with pytest.raises(IllegalTransitionError, match="Agent a on T-1 is completed, so it cannot ask"):
        ask(running)
    with pytest.raises(AgentNotFoundError):
        ask(running, "z")


def test_a_dropped_signal_counts_once(running: SqliteStore) -> None:
    with running.transaction() as transaction:
        assert [transaction.receive("r1/T-1/a/1") for _ in range(2)] == [True, False]
    with running.transaction() as transaction:
        assert [transaction.receive("r1/T-1/a/1"), transaction.receive("r1/T-1/a/2")] == [False, True]


# --- health ---


def health(state: Any, since: str = "2026-01-01T00:00:00.000Z", reason: str = "why") -> Health:
    return Health(state, reason, "activity", since)


def set_health(store: SqliteStore, to: Health) -> None:
    with store.transaction() as transaction:
        transaction.set_health("r1", "T-1", "a", to)


def test_a_verdict_is_an_event_only_when_its_state_changes(running: SqliteStore) -> None:
    set_health(running, health("healthy"))
    before = running.seq()
    set_health(running, health("healthy"))
    set_health(running, health("healthy", reason="another"))
    assert running.seq() == before
    assert running.agents("r1")[0].health == health("healthy", reason="another")
    set_health(running, health("idle", reason="quiet"))
    (event,) = running.events(before)
    assert (event.type, event.from_, event.to, event.message) == ("health", "healthy", "idle", "quiet")
    assert event.data == {"source": "activity"}
    assert running.agents("r1")[0].status == "running"


def test_something_else_that_is_waited_for_is_an_event(running: SqliteStore) -> None:
    set_health(running, health("waiting", reason="it waits: which database?"))
    before = running.seq()
    set_health(running, health("waiting", reason="it waits: which database?"))
    assert running.seq() == before
    set_health(running, health("waiting", reason="it waits: which port?"))
    (event,) = running.events(before)
    assert (event.type, event.from_, event.to) == ("health", "waiting", "waiting")
    assert event.message == "it waits: which port?"


def test_an_agent_that_has_just_come_alive_is_not_known_yet_and_not_still_dead(
    running: SqliteStore, clock: Clock
) -> None:
    unknown = Health("unknown", "it has not been looked at yet", "none", timestamp(clock.now))
    assert running.agents("r1")[0].health == unknown
    set_health(running, health("dead"))
    move_agent(running, "die")
    assert running.agents("r1")[0].health == health("dead")
    move_agent(running, "relaunch")
    assert running.agents("r1")[0].health == unknown


@pytest.mark.parametrize("event", ["finish", "fail", "stop", "exit", "complete"])
def test_an_agent_that_is_not_meant_to_live_has_no_health(running: SqliteStore, event: str) -> None:
    set_health(running, health("healthy"))
    move_agent(running, event)
    assert running.agents("r1")[0].health is None


def test_every_live_agent_has_health(running: SqliteStore) -> None:
    for agent in running.agents("r1"):
        assert (agent.status in LIVE) == (agent.health is not None)
