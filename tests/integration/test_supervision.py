"""Supervising a root: what is noticed at once, by whom, and what goes on without anybody asking."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import DONE, Root
from engine_support import RUN, WAITS, Runs, hook, pid_in, process, runs_on, until, wait_for_death

from metawsm_rpc.domain.models import Event
from metawsm_rpc.engine import supervision, workspaces
from metawsm_rpc.engine.driving import Drive
from metawsm_rpc.engine.supervision import Supervisor
from metawsm_rpc.errors import MetawsmError, StoreError
from metawsm_rpc.hosts import agent_watch

SUPERVISES = """
import sys
from pathlib import Path
from metawsm_rpc.composition import open_service
service = open_service(Path(sys.argv[1]))
with service.supervise() as supervisor:
    while not supervisor.supervises:
        pass
    print("supervises", flush=True)
    sys.stdin.read()
"""


class News:
    """The events that a supervisor hands on, and what troubles it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.troubles: list[MetawsmError] = []
        self._queue: queue.Queue[Event] = queue.Queue()
        self.supervisor: Supervisor

    def hear(self, fresh: list[Event]) -> None:
        self.events += fresh
        for event in fresh:
            self._queue.put(event)

    def of_type(self, event_type: str) -> Event:
        """Wait for the next event of a type."""
        while True:
            event = self._queue.get(timeout=60)
            if event.type == event_type:
                return event


@contextmanager
def supervised(runs: Runs) -> Iterator[News]:
    news = News()
    with runs.verbs.supervise(news.hear, news.troubles.append) as news.supervisor:
        yield news


@pytest.fixture
def a_root(root: Root) -> Root:
    root.repository("app")
    return root


@pytest.fixture
def runs(a_root: Root) -> Iterator[Runs]:
    with runs_on(a_root) as opened:
        yield opened


@pytest.fixture
def rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sweeps come so rarely that what is noticed was told by the kernel or the store."""
    monkeypatch.setattr(supervision, "SWEEP_SECONDS", 1000.0)
    monkeypatch.setattr(supervision, "_LONGEST_SWEEP_SECONDS", 1000.0)


def begin(runs: Runs, script: str = WAITS, *tickets: str, wait: bool = True, **sections: object) -> None:
    execution = {"step_retries": 0, "stop_grace_seconds": 1, **sections.pop("execution", {})}
    runs.root.policy(agents=[Root.agent("worker", script)], execution=execution, **sections)
    runs.start(*(tickets or ("T-1",)), repos=["app"], wait=wait)


def watched(runs: Runs, news: News) -> str:
    """Wait until the agent's process is watched, and return its launch."""
    launch = runs.agent().launch or ""
    until(lambda: launch in news.supervisor._watch.followed())
    return launch


@pytest.mark.usefixtures("rarely")
class TestNoticesAtOnce:
    def test_that_a_session_was_killed(self, runs: Runs) -> None:
        with supervised(runs) as news:
            begin(runs)
            watched(runs, news)
            subprocess.run(["tmux", "-L", "metawsm", "kill-session", "-t", f"={runs.agent().session}"], check=True)
            assert news.of_type("die").message == "its tmux session is gone and left no exit record"

    def test_that_a_shim_was_killed(self, runs: Runs) -> None:
        with supervised(runs) as news:
            begin(runs)
            watched(runs, news)
            os.kill(runs.agent().pid or 0, signal.SIGKILL)
            assert news.of_type("die").from_ == "running"

    def test_that_an_agent_was_killed_and_by_what(self, runs: Runs) -> None:
        with supervised(runs) as news:
            begin(runs, f'echo $$ > "$METAWSM_ROOT/pid"; {WAITS}')
            watched(runs, news)
            os.kill(pid_in(runs.root.path / "pid"), signal.SIGKILL)
            assert news.of_type("die").message == "signal 9 killed it"

    def test_that_an_agent_ended_and_that_the_run_did(self, runs: Runs) -> None:
        with supervised(runs) as news:
            begin(runs)
            watched(runs, news)
            runs.let_go()
            assert news.of_type("exit").to == "completed"
            assert news.of_type("settle").to == "completed"

    def test_a_signal_in_a_drop_box(self, runs: Runs) -> None:
        with supervised(runs) as news:
            begin(runs)
            launch = watched(runs, news)
            box = Path(runs.verbs.world.machine.folders().paths(RUN, "T-1", "worker").drop_box)
            said = {"run_id": RUN, "ticket": "T-1", "agent": "worker", "launch": launch, "type": "progress"}
            (box / ".half").write_text(json.dumps(said | {"message": "half is done"}))
            (box / ".half").rename(box / "half")
            assert news.of_type("progress").message == "half is done"
            until(lambda: not any(box.iterdir()))

    def test_a_signal_whose_commit_waits_for_a_slow_disk(self, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(agent_watch, "_TOLD_SECONDS", 1000.0)
        begin(runs)
        agent = runs.agent()
        ask, seen = runs.store.data_version, dict[int, float]()

        def late() -> int:
            """Return what was true a moment ago: the kernel tells of a write before anybody can see it."""
            now = time.monotonic()
            seen.setdefault(ask(), now)
            return max((version for version, at in seen.items() if now - at > 0.2), default=0)

        monkeypatch.setattr(runs.store, "data_version", late)
        with supervised(runs) as news:
            until(lambda: news.supervisor.supervises)
            runs.verbs.signal(
                RUN, ticket="T-1", agent="worker", launch=agent.launch or "", type="progress", message="m"
            )
            assert news.of_type("progress").message == "m"

    def test_what_agents_of_other_processes_do(self, runs: Runs) -> None:
        with supervised(runs) as news:
            begin(runs)  # so that there is a policy and a ticket
            assert runs.root.metawsm("run", "--ticket", "T-1", "--run-id", "other").code == 0
            launch = runs.store.agents("other")[0].launch or ""
            until(lambda: launch in news.supervisor._watch.followed())
            os.kill(runs.store.agents("other")[0].pid or 0, signal.SIGKILL)
            assert news.of_type("die").run_id == "other"


class TestNews:
    def test_are_all_events_in_order_whoever_wrote_them(self, runs: Runs) -> None:
        with supervised(runs) as news:
            begin(runs, DONE)
            assert runs.root.metawsm("ticket", "create", "T-2").code == 0
            assert runs.root.metawsm("run", "--ticket", "T-2", "--run-id", "other", "--wait").code == 0
            runs.settled()
            last = runs.store.seq()
            until(lambda: news.events and news.events[-1].seq >= last)
        assert tuple(news.events) == runs.store.events()

    def test_begin_where_the_supervisor_does(self, runs: Runs) -> None:
        begin(runs)
        before = runs.store.seq()
        with supervised(runs) as news:
            assert news.supervisor.seq >= before
            runs.let_go()
            news.of_type("settle")
        assert news.events[0].seq == before + 1

    def test_of_an_empty_root_are_none_and_nothing_is_made_there(self, root: Root) -> None:
        with runs_on(root) as runs, supervised(runs) as news:
            assert not news.supervisor._over.wait(0.3), "it ended"
            assert not (root.path / ".metawsm").exists()
            root.repository("app")
            begin(runs, DONE)
            assert news.of_type("settle").to == "completed"
        assert news.events[0].seq == 1


class TestOneSupervises:
    def test_and_another_takes_over_when_it_ends(self, runs: Runs) -> None:
        begin(runs)
        with runs_on(runs.root) as others, supervised(others) as second:
            with supervised(runs) as first:
                until(lambda: first.supervisor.supervises or second.supervisor.supervises)
                holder, follower = (first, second) if first.supervisor.supervises else (second, first)
                assert not follower.supervisor.supervises
                if holder is second:
                    holder, follower = follower, holder
            until(lambda: second.supervisor.supervises)
            runs.let_go()
            assert second.of_type("exit").to == "completed"

    def test_and_another_takes_over_when_it_is_killed(self, runs: Runs) -> None:
        begin(runs)
        command = [sys.executable, "-c", SUPERVISES, str(runs.root.path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            try:
                assert other.stdout is not None
                assert other.stdout.readline() == "supervises\n"
                with supervised(runs) as news:
                    assert not news.supervisor.supervises
                    os.kill(runs.agent().pid or 0, signal.SIGKILL)
                    assert news.of_type("die").to == "dead"  # which the other one saw
                    assert not news.supervisor.supervises
                    other.kill()
                    until(lambda: news.supervisor.supervises)
            finally:
                other.kill()

    def test_and_gives_the_lease_up_at_its_end(self, runs: Runs) -> None:
        begin(runs)
        for _ in range(2):
            with supervised(runs) as news:
                until(lambda news=news: news.supervisor.supervises)
            assert not runs.store.driven("_root")


class TestRunsThatNobodyDrives:
    @pytest.fixture
    def abandoned(self, runs: Runs) -> Path:
        """Return a folder whose file `go` lets the step end that was under way when the driver was killed."""
        folder = runs.root.path / "app"
        hook(folder, f'[ -e "{folder}/.git/slow" ] || exit 0; echo $$ > "{folder}/.git/pid"; exec sleep 1000')
        (folder / ".git" / "slow").touch()
        return folder

    def cut_off(self, runs: Runs, folder: Path, **sections: object) -> None:
        runs.root.policy(agents=[Root.agent("worker", DONE)], **sections)
        runs.verbs.create_ticket("T-1")
        with process(runs.root, "run", "--ticket", "T-1", "--repos", "app", "--run-id", RUN) as driver:
            git = pid_in(folder / ".git" / "pid")
            driver.kill()
            driver.wait()
        os.kill(git, signal.SIGKILL)
        wait_for_death(git)
        (folder / ".git" / "slow").unlink()

    def test_are_taken_up(self, runs: Runs, abandoned: Path) -> None:
        self.cut_off(runs, abandoned)
        with supervised(runs) as news:
            assert news.of_type("taken_up").run_id == RUN
            assert news.of_type("settle").to == "completed"

    def test_wait_for_a_person_when_the_policy_says_so(self, runs: Runs, abandoned: Path) -> None:
        self.cut_off(runs, abandoned, execution={"on_interrupt": "fail"})
        with supervised(runs) as news:
            assert news.of_type("settle").to == "failed"
        assert "taken_up" not in {event.type for event in news.events}
        assert "metawsm resume" in (runs.run().error or "")

    def test_are_left_to_who_drives_them(self, runs: Runs) -> None:
        with supervised(runs) as news:
            begin(runs, DONE, wait=False)
            news.of_type("settle")
        assert "taken_up" not in {event.type for event in news.events}


class TestTheDead:
    def test_are_started_again_while_the_budget_lasts(self, runs: Runs) -> None:
        with supervised(runs) as news:
            begin(runs, WAITS, health={"restart_budget": 2})
            for restart in (1, 2):
                watched(runs, news)
                os.kill(runs.agent().pid or 0, signal.SIGKILL)
                assert news.of_type("restart_due").message == f"it is started again: restart {restart} of 2"
                news.of_type("relaunch")
            watched(runs, news)
            os.kill(runs.agent().pid or 0, signal.SIGKILL)
            assert news.of_type("settle").to == "failed"
        assert "all 2 restarts" in (runs.run().error or "")
        assert (runs.agent().status, runs.agent().restarts) == ("dead", 2)

    def test_are_started_again_also_where_interrupted_steps_are_left_to_a_person(self, runs: Runs) -> None:
        with supervised(runs) as news:
            begin(runs, WAITS, health={"restart_budget": 1}, execution={"on_interrupt": "fail"})
            watched(runs, news)
            os.kill(runs.agent().pid or 0, signal.SIGKILL)
            assert news.of_type("relaunch").to == "running"

    def test_have_their_whole_budget_again_after_a_start_by_hand(self, runs: Runs) -> None:
        with supervised(runs) as news:
            begin(runs, WAITS, health={"restart_budget": 1})
            for _ in range(2):
                watched(runs, news)
                os.kill(runs.agent().pid or 0, signal.SIGKILL)
                news.of_type("relaunch")
                runs.verbs.finish(RUN)
                runs.verbs.restart(RUN, agent="worker")
                news.of_type("relaunch")

    def test_are_not_started_again_when_they_failed(self, runs: Runs) -> None:
        with supervised(runs) as news:
            begin(runs, "exit 3", health={"restart_budget": 1})
            assert news.of_type("settle").to == "failed"
        assert runs.agent().restarts == 0


class TestALook:
    @pytest.mark.usefixtures("rarely")
    def test_finds_the_store_fresh_and_does_not_sweep(self, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
        begin(runs)
        with supervised(runs) as news:
            until(news.supervisor.is_fresh)
            sweeping = threading.current_thread()
            sweep = runs.verbs._sweeper.sweep

            def count(*args: object) -> object:
                assert threading.current_thread() is not sweeping, "the look swept itself"
                return sweep(*args)  # type: ignore[arg-type]

            monkeypatch.setattr(runs.verbs._sweeper, "sweep", count)
            until(news.supervisor.is_fresh)
            assert runs.verbs.status(RUN).agents[0].status == "running"

    def test_at_many_worktrees_does_not_wait_for_git(self, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
        begin(runs, WAITS, *(f"T-{number}" for number in range(workspaces.EXACT_LIMIT + 1)))
        runs.verbs.status(RUN)
        (runs.folder("app", "T-0") / "new.txt").write_text("new\n")
        monkeypatch.setattr(workspaces, "FRESH_SECONDS", 0.0)
        asked, answered, observe = threading.Event(), threading.Event(), workspaces.observe

        def wait_first(*args: Any) -> None:
            asked.set()
            assert answered.wait(60)
            observe(*args)

        monkeypatch.setattr(workspaces, "observe", wait_first)
        with supervised(runs):
            assert runs.verbs.status(RUN).workspaces[0].repos[0].dirty_files == 0
            assert asked.wait(60)
            answered.set()
            until(lambda: runs.workspace("T-0").repos[0].dirty_files == 1)

    def test_sweeps_where_another_process_supervises(self, runs: Runs) -> None:
        begin(runs)
        with runs_on(runs.root) as others, supervised(others) as first:
            until(lambda: first.supervisor.supervises)
            with supervised(runs) as second:
                assert not second.supervisor.is_fresh()


class TestProgress:
    def test_is_seen_in_the_work_itself(self, runs: Runs) -> None:
        policy = {"progress_stalled_seconds": 1.5}
        script = f'sleep 0.3; cd "$METAWSM_WORKSPACE"/* 2>/dev/null; git commit -q --allow-empty -m "more"; {WAITS}'
        with supervised(runs):
            begin(runs, script, health=policy)
            started = runs.agent().started_at or ""
            until(lambda: (runs.agent().last_progress_at or "") > started)


class TestTrouble:
    def test_is_told_once_and_does_not_end_it(self, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(supervision, "_TROUBLE_SECONDS", 0.01)
        begin(runs)
        with supervised(runs) as news:
            until(lambda: news.supervisor.supervises)
            real, calls = news.supervisor._hand_on, []

            def fail() -> None:
                calls.append(1)
                raise ZeroDivisionError("a defect")

            monkeypatch.setattr(news.supervisor, "_hand_on", fail)
            until(lambda: len(calls) > 3)
            monkeypatch.setattr(news.supervisor, "_hand_on", real)
            runs.let_go()
            assert news.of_type("exit").to == "completed"
        assert [trouble.kind for trouble in news.troubles] == ["internal"]

    @pytest.mark.usefixtures("rarely")
    def test_hides_no_death(self, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(supervision, "_TROUBLE_SECONDS", 0.01)
        begin(runs)
        with supervised(runs) as news:
            watched(runs, news)
            real = runs.verbs._sweeper.note_ends

            def fail(agents: object) -> None:
                monkeypatch.setattr(runs.verbs._sweeper, "note_ends", real)
                raise StoreError("It is locked.")

            monkeypatch.setattr(runs.verbs._sweeper, "note_ends", fail)
            os.kill(runs.agent().pid or 0, signal.SIGKILL)
            assert news.of_type("die").to == "dead"
        assert [trouble.message for trouble in news.troubles] == ["It is locked."]

    def test_of_a_drive_is_told_and_not_made_again_and_again(self, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(supervision, "_LONGEST_SWEEP_SECONDS", 0.1)
        monkeypatch.setattr(supervision, "_FAILED_SECONDS", 1000.0)
        begin(runs)
        with supervised(runs) as news:
            watched(runs, news)

            def fail(drive: Drive) -> None:
                raise ZeroDivisionError("a defect")

            monkeypatch.setattr(Drive, "run", fail)
            with runs.store.transaction() as transaction:
                transaction.set_agent(RUN, "T-1", "worker", due="restart")
            until(lambda: news.troubles)
            swept = news.supervisor._swept
            until(lambda: news.supervisor._swept > swept + 0.5)
        assert [trouble.message for trouble in news.troubles] == ["ZeroDivisionError: a defect"]
        assert len(runs.events("taken_up")) == 1
        assert not runs.store.driven(RUN)

    def test_of_losing_the_root_leaves_no_lock_behind(self, runs: Runs) -> None:
        begin(runs)
        with supervised(runs) as news:
            until(lambda: news.supervisor.supervises)
            other = runs.store.acquire("_root", takeover=True)
            news.supervisor._renewed = 0.0
            news.supervisor._watch.wake()
            until(lambda: not news.supervisor.supervises)
            locks = [file.name for file in (runs.root.path / ".metawsm" / "locks").glob("_root.*")]
            runs.store.release(other)
        assert locks == [f"_root.{other.fence}.lock"]
