"""Finding runs, listing them, and keeping what is no status."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from run_support import Clock, begin, carry_out, plan, question

from metawsm_rpc.domain.clock import timestamp
from metawsm_rpc.domain.models import Health, Merge
from metawsm_rpc.errors import AmbiguousError, GuidanceNotFoundError, RunNotFoundError
from metawsm_rpc.ports.merging import RefMove
from metawsm_rpc.ports.store import CloseJournal
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


# --- finding runs ---


def test_a_run_is_found_by_its_id_or_by_an_unambiguous_beginning(store: SqliteStore) -> None:
    for run_id in ("abc", "abcd", "abxy", "zz"):
        begin(store, plan(run_id=run_id))
    assert [store.find_run(prefix).run_id for prefix in ("abc", "abcd", "abx", "z")] == ["abc", "abcd", "abxy", "zz"]
    with pytest.raises(AmbiguousError, match=r"more than one run \(.*abxy.*\)") as caught:
        store.find_run("ab")
    assert sorted(caught.value.details) == ["abc", "abcd", "abxy"]


@pytest.mark.parametrize("prefix", ["", "q", "abcde", "ABC", "%", "_bc", "a*", "abc\0", "abc "])
def test_nothing_else_finds_a_run(store: SqliteStore, prefix: str) -> None:
    begin(store, plan(run_id="abc"))
    with pytest.raises(RunNotFoundError):
        store.find_run(prefix)


def test_the_newest_run_of_a_ticket_is_the_one_that_was_made_last(store: SqliteStore) -> None:
    assert store.newest_run() is None
    for run_id, tickets in (("z1", ("T-1",)), ("a2", ("T-1", "T-2")), ("m3", ("T-2",))):
        begin(store, plan(tickets, run_id=run_id))
    newest = [store.newest_run(ticket) for ticket in (None, "T-1", "T-2", "T-3")]
    assert [run and run.run_id for run in newest] == ["m3", "a2", "m3", None]


def test_what_does_not_exist_is_told(store: SqliteStore) -> None:
    for read in (store.run, store.detail, store.policy):
        with pytest.raises(RunNotFoundError, match="There is no run 'r9' here"):
            read("r9")
    with pytest.raises(GuidanceNotFoundError):
        store.guidance("q9")


# --- overviews ---


def test_runs_are_listed_newest_first_in_pages_and_by_filter(store: SqliteStore) -> None:
    for number in range(5):
        begin(store, plan(("T-1", "T-2") if number % 2 else ("T-1",), run_id=f"r{number}"))
    with store.transaction() as transaction:
        transaction.move_run("r3", "stop")

    def listed(**options: object) -> tuple[list[str], int]:
        rows, total, seq = store.summaries(**options)  # type: ignore[arg-type]
        assert seq == store.seq()
        return [row.run_id for row in rows], total

    assert listed() == (["r4", "r3", "r2", "r1", "r0"], 5)
    assert listed(limit=2, offset=1) == (["r3", "r2"], 5)
    assert listed(limit=0) == ([], 5)
    assert listed(tickets=["T-2"]) == (["r3", "r1"], 2)
    assert listed(tickets=["T-1", "T-2"], statuses=["stopping"]) == (["r3"], 1)
    assert listed(tickets=["T-9"]) == ([], 0)


def test_a_row_counts_agents_by_what_they_are(store: SqliteStore) -> None:
    names = ("healthy", "idle", "unknown", "dead", "done", "bad", "ended", "ending")
    begin(store, plan(agents=(*names, "late")))
    with store.transaction() as transaction:
        for step in store.steps("r1")[:3]:
            transaction.move_step("r1", step.index, "start")
            transaction.move_step("r1", step.index, "finish")
        for name in names:
            transaction.move_agent("r1", "T-1", name, "launch")
        for name in ("healthy", "idle"):
            transaction.set_health("r1", "T-1", name, Health(name, "", "", ""))  # type: ignore[arg-type]
        for name, event in (
            ("dead", "die"),
            ("done", "finish"),
            ("bad", "fail"),
            ("ended", "stop"),
            ("ending", "stop"),
        ):
            transaction.move_agent("r1", "T-1", name, event)
        transaction.move_agent("r1", "T-1", "ended", "stopped")
        transaction.ask(question("healthy"))
    ((row,), _, _) = store.summaries()
    assert row.guidance_pending == 1
    assert row.agents == {
        "total": 9,
        "healthy": 1,
        "idle": 1,
        "waiting": 0,
        "stalled": 0,
        "dead": 1,
        "unknown": 2,  # one that nobody has looked at, one that is being stopped
        "completed": 1,
        "failed": 1,
        "stopped": 1,
        "pending": 1,
    }


def test_runs_in_which_something_may_move_are_known(store: SqliteStore) -> None:
    for run_id in ("running", "paused", "stopping", "stray", "over"):
        begin(store, plan(run_id=run_id), dry_run=run_id == "paused")
    carry_out(store, "stray")
    with store.transaction() as transaction:
        for run_id in ("stopping", "stray", "over"):
            transaction.move_run(run_id, "stop")
        for run_id in ("stray", "over"):
            transaction.move_run(run_id, "stopped")
    assert store.unsettled() == ("running", "stopping", "stray")


class TestRunsThatNobodyDrives:
    def test_with_a_step_that_can_run_are_abandoned_until_somebody_drives_them(self, store: SqliteStore) -> None:
        for run_id in ("r1", "r2"):
            begin(store, plan(run_id=run_id))
        assert store.abandoned() == ("r1", "r2")
        lease = store.acquire("r1")
        assert store.abandoned() == ("r2",)
        store.release(lease)
        assert store.abandoned() == ("r1", "r2")

    def test_with_a_step_that_was_cut_off_are_abandoned(self, store: SqliteStore) -> None:
        begin(store, plan())
        with store.transaction() as transaction:
            transaction.move_step("r1", 0, "start")
        assert store.abandoned() == ("r1",)
        with store.transaction() as transaction:
            transaction.move_step("r1", 0, "interrupt")
        assert store.abandoned() == ("r1",)

    def test_with_nothing_but_agents_at_work_are_not(self, store: SqliteStore) -> None:
        begin(store, plan())
        carry_out(store, "r1")
        assert store.abandoned() == ()

    def test_that_owe_a_launch_are_abandoned(self, store: SqliteStore) -> None:
        begin(store, plan())
        carry_out(store, "r1")
        with store.transaction() as transaction:
            transaction.set_agent("r1", "T-1", "a", due="restart")
        assert store.abandoned() == ("r1",)

    def test_whose_steps_wait_for_one_that_failed_for_good_are_not(self, store: SqliteStore) -> None:
        begin(store, plan(("T-1", "T-2")))
        with store.transaction() as transaction:
            for step in store.steps("r1"):
                if step.kind == "verify_ticket":
                    transaction.move_step("r1", step.index, "start")
                    transaction.move_step("r1", step.index, "fail", attempt_limit=1)
        assert (store.run("r1").status, store.abandoned()) == ("failed", ())

    def test_that_were_stopped_or_paused_are_not(self, store: SqliteStore) -> None:
        begin(store, plan(run_id="paused"), dry_run=True)
        begin(store, plan(run_id="stopping"))
        with store.transaction() as transaction:
            transaction.move_run("stopping", "stop")
        assert store.abandoned() == ()

    def test_are_left_to_a_person_where_the_policy_says_so(self, store: SqliteStore) -> None:
        for run_id, rule in (("r1", "fail"), ("r2", "resume")):
            begin(store, plan(run_id=run_id), policy={"execution": {"on_interrupt": rule}})
        assert store.abandoned() == ("r2",)
        with store.transaction() as transaction:
            transaction.set_agent("r1", "T-1", "a", due="budget")
        assert store.abandoned() == ("r1", "r2")


def test_steps_that_run_are_known(store: SqliteStore) -> None:
    begin(store, plan())
    assert not store.has_running_steps("r1")
    with store.transaction() as transaction:
        transaction.move_step("r1", 0, "start")
    assert store.has_running_steps("r1")
    assert not store.has_running_steps("r9")


# --- the order of things ---


def test_things_come_back_in_the_order_of_the_plan(store: SqliteStore) -> None:
    made = plan(("Z-1", "A-2", "M-3"), repos=("zlib", "app"), agents=("z", "a"))
    begin(store, made)
    with store.transaction() as transaction:
        transaction.set_workspace(made.workspaces[0])
        transaction.set_agent("r1", "Z-1", "z", said="working")
    detail = store.detail("r1")
    assert [workspace.ticket for workspace in detail.workspaces] == ["Z-1", "A-2", "M-3"]
    assert [repo.name for repo in detail.workspaces[0].repos] == ["zlib", "app"]
    assert [(agent.ticket, agent.name) for agent in detail.agents] == [
        (ticket, name) for ticket in ("Z-1", "A-2", "M-3") for name in ("z", "a")
    ]


def test_questions_come_back_oldest_first(store: SqliteStore, clock: Clock) -> None:
    begin(store, plan())
    carry_out(store, "r1")
    for number in (3, 1, 2):
        clock.now += 1
        with store.transaction() as transaction:
            transaction.ask(question(id=f"q{number}", asked_at=timestamp(clock.now)))
    assert [one.id for one in store.detail("r1").guidance] == ["q3", "q1", "q2"]


# --- workspaces and closes ---


def test_what_was_observed_of_a_repository_replaces_what_was_known(store: SqliteStore, clock: Clock) -> None:
    begin(store, plan(repos=("app", "lib")))
    (workspace,) = store.workspaces("r1")
    assert workspace.observed_at is None
    seen = workspace.repos[1]._replace(head="f" * 40, dirty_files=2, ahead=1, behind=0, copied=(".env", "a b"))
    with store.transaction() as transaction:
        transaction.set_repo("r1", "T-1", seen)
    (after,) = store.workspaces("r1")
    assert after.repos == (workspace.repos[0], seen)
    assert after.observed_at == timestamp(clock.now)


def test_the_journal_of_a_close_is_kept_until_it_is_removed(store: SqliteStore) -> None:
    begin(store, plan())
    assert store.close_journal("r1") is None
    move = RefMove("app", "/src/app", "main", "0" * 40, "1" * 40, ("/src/app", "/x y"))
    merge = Merge("app", "T-1", "main", "0" * 40, "1" * 40, "merge")
    journal = CloseJournal("preparing", (move,), (merge,))
    for phase in ("preparing", "decided", "merged"):
        with store.transaction() as transaction:
            transaction.set_close("r1", journal._replace(phase=phase))
        assert store.close_journal("r1") == journal._replace(phase=phase)
    with store.transaction() as transaction:
        transaction.set_close("r1", None)
    assert store.close_journal("r1") is None
    told = [(event.entity, event.type, event.data) for event in store.events(run_id="r1") if event.entity == "merge"]
    assert [event_type for _, event_type, _ in told] == ["preparing", "decided", "merged"]
    assert told[0][2] == {
        "merges": [{"repo": "app", "ticket": "T-1", "base": "main", "from": "0" * 40, "to": "1" * 40, "kind": "merge"}]
    }
