"""Stopping: it wins over whatever is in flight, leaves nothing running, and late writers do no harm."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Root, git
from engine_support import (
    RUN,
    WAITS,
    Runs,
    alive,
    hook,
    pid_in,
    process,
    runs_on,
    sessions,
    until,
    wait_for_death,
    worktrees,
)

from metawsm_rpc.engine.holding import held
from metawsm_rpc.engine.mailbox import leave_signal
from metawsm_rpc.engine.signals import Signal, SignalType
from metawsm_rpc.engine.stopping import stop_agents
from metawsm_rpc.errors import IllegalTransitionError

HANGS = 'echo $$ > "{pid}"; while :; do sleep 1000; done'


@pytest.fixture
def runs(two_repositories: Root) -> Iterator[Runs]:
    policy(two_repositories, WAITS)
    with runs_on(two_repositories) as opened:
        yield opened


def policy(root: Root, script: str, *, grace: float = 1, **sections: object) -> None:
    execution = {"step_retries": 0, "stop_grace_seconds": grace}
    root.policy(agents=[Root.agent("worker", script)], execution=execution, **sections)


def hanging_hook(runs: Runs, repo: str = "app") -> Path:
    """Let `git worktree add` hang; returns the file that tells the pid of what hangs."""
    pid = runs.root.path / f"{repo}.pid"
    hook(runs.root.path / repo, HANGS.format(pid=pid))
    return pid


def kill_session(session: str) -> None:
    subprocess.run(["tmux", "-L", "metawsm", "kill-session", "-t", f"={session}"], check=True)


def drop(runs: Runs, name: str, what: SignalType) -> None:
    """Let an agent say something that only its drop box has heard."""
    agent = runs.agent(name)
    leave_signal(runs.verbs.world, Signal(RUN, agent.ticket, agent.name, agent.launch or "", what))


def assert_stopped(runs: Runs) -> None:
    assert runs.run().status == "stopped"
    assert not any(step.status == "running" for step in runs.steps())
    assert not any(agent.status in ("running", "stopping") for agent in runs.store.agents(RUN))
    assert sessions() == []


SOON_SECONDS = 10.0
"""Less than whatever could be waited for by mistake: what hangs, or a lease that runs out.

On a machine that is not under load it takes less than one second.
"""


@contextmanager
def soon() -> Iterator[None]:
    """Let the block take no longer than that."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SOON_SECONDS


class TestOverWhatIsInFlight:
    def test_a_hook_that_hangs_in_this_process(self, runs: Runs) -> None:
        pid = hanging_hook(runs)
        runs.start("T-1", repos=["app"], wait=False)
        hanging = pid_in(pid)
        with soon():
            assert runs.verbs.stop(RUN).run.status == "stopped"
        assert_stopped(runs)
        runs.verbs.finish(RUN)
        assert not alive(hanging)
        (step,) = runs.steps("create_workspace")
        assert (step.status, step.attempts, step.error) == ("failed", 0, "interrupted by a stop")
        assert worktrees(runs.root.path / "app") == []

    def test_a_hook_that_hangs_in_another_process(self, runs: Runs) -> None:
        pid = hanging_hook(runs)
        runs.verbs.create_ticket("T-1")
        with process(runs.root, "run", "--ticket", "T-1", "--repos", "app", "--run-id", RUN) as driver:
            hanging = pid_in(pid)
            with soon():
                runs.verbs.stop(RUN)
            assert_stopped(runs)
            _, errors = driver.communicate(timeout=60)
        assert not alive(hanging)
        assert "Traceback" not in errors

    def test_a_filter_that_hangs(self, runs: Runs) -> None:
        app, pid = runs.root.path / "app", runs.root.path / "pid"
        (app / ".gitattributes").write_text("*.md filter=slow\n")
        git(app, "add", ".")
        git(app, "commit", "-qm", "filtered")
        git(app, "config", "filter.slow.smudge", f'sh -c "echo \\$\\$ > {pid}; sleep 1000"')
        runs.start("T-1", repos=["app"], wait=False)
        hanging = pid_in(pid)
        with soon():
            runs.verbs.stop(RUN)
        assert_stopped(runs)
        runs.verbs.finish(RUN)
        assert not alive(hanging)

    def test_a_setup_command_that_hangs_and_ignores_signals(self, runs: Runs) -> None:
        pid = runs.root.path / "pid"
        policy(runs.root, WAITS, workspace={"setup": [{"run": f"trap '' TERM; echo $$ > {pid}; sleep 1000 & wait"}]})
        runs.start("T-1", repos=["app"], wait=False)
        hanging = pid_in(pid)
        with soon():
            runs.verbs.stop(RUN)
        runs.verbs.finish(RUN)
        assert not alive(hanging)

    def test_a_retry_that_is_waited_for(self, runs: Runs) -> None:
        execution = {"step_retries": 9, "stop_grace_seconds": 1}
        runs.root.policy(agents=[Root.agent("worker", WAITS)], execution=execution)
        hook(runs.root.path / "app", "exit 1")
        runs.start("T-1", repos=["app"], wait=False)
        until(lambda: len(runs.events("fail")) >= 3)
        runs.verbs.stop(RUN)
        runs.verbs.finish(RUN)
        assert_stopped(runs)

    def test_nothing_is_begun_after_it(self, runs: Runs) -> None:
        hanging_hook(runs)
        runs.start("T-1", "T-2", "T-3", repos=["app"], wait=False)
        pid_in(runs.root.path / "app.pid")
        runs.verbs.stop(RUN)
        seq = runs.store.seq()
        runs.verbs.finish(RUN)
        assert runs.store.seq() == seq


class TestAgents:
    def test_one_that_ignores_every_request_is_killed_after_the_grace(self, runs: Runs) -> None:
        pid = runs.root.path / "pid"
        policy(runs.root, f"trap '' HUP TERM INT; echo $$ > {pid}; while :; do sleep 1000; done", grace=0.2)
        runs.start("T-1", repos=["app"])
        stubborn = pid_in(pid)
        began = time.monotonic()
        runs.verbs.stop(RUN)
        assert 0.2 <= time.monotonic() - began < SOON_SECONDS
        assert not alive(stubborn)
        assert_stopped(runs)
        assert runs.agent().status == "stopped"
        assert runs.events("survivors") == []

    def test_what_they_left_running_dies_with_them(self, runs: Runs) -> None:
        pid = runs.root.path / "pid"
        policy(runs.root, f"nohup sleep 1000 >/dev/null 2>&1 & echo $! > {pid}; {WAITS}", grace=0.2)
        runs.start("T-1", repos=["app"])
        child = pid_in(pid)
        runs.verbs.stop(RUN)
        assert not alive(child)
        assert runs.events("survivors") == []

    def test_what_survives_is_told_and_left_alone(self, runs: Runs) -> None:
        pid = runs.root.path / "pid"
        policy(runs.root, f"setsid sh -c 'echo $$ > {pid}; exec sleep 1000' & {WAITS}", grace=0.2)
        runs.start("T-1", repos=["app"])
        daemon = pid_in(pid)
        try:
            runs.verbs.stop(RUN)
            (told,) = runs.events("survivors")
            assert f"(pid {daemon})" in (told.message or "")
            assert alive(daemon)
            assert runs.run().status == "stopped"
        finally:
            os.kill(daemon, signal.SIGKILL)

    def test_one_that_ends_meanwhile_keeps_its_own_end(self, runs: Runs) -> None:
        runs.start("T-1", repos=["app"])
        as_it_was = runs.agent()
        runs.let_go()
        assert runs.settled().status == "completed"
        with held(runs.verbs.world, RUN) as lease:
            stop_agents(runs.verbs.world, [as_it_was], lease)
        assert runs.agent().status == "completed"

    def test_one_that_ended_unseen_keeps_its_own_end(self, runs: Runs) -> None:
        policy(runs.root, WAITS + "exit 3")
        runs.start("T-1", repos=["app"])
        as_it_was = runs.agent()
        runs.let_go()
        wait_for_death(as_it_was.pid or 0)
        with held(runs.verbs.world, RUN) as lease:
            stop_agents(runs.verbs.world, [as_it_was], lease)
        assert (runs.agent().status, runs.agent().exit_code) == ("failed", 3)

    def test_one_that_died_unseen_is_owed_the_launch_that_was_asked_for(self, runs: Runs) -> None:
        policy(runs.root, WAITS + "kill -KILL $$", health={"restart_budget": 1})
        runs.start("T-1", repos=["app"])
        agent = runs.agent()
        runs.let_go()
        wait_for_death(agent.pid or 0)
        with held(runs.verbs.world, RUN) as lease:
            with runs.store.transaction(lease) as transaction:
                transaction.set_agent(RUN, agent.ticket, agent.name, due="restart")
            stop_agents(runs.verbs.world, [agent], lease)
        assert (runs.agent().status, runs.agent().due) == ("dead", "restart")
        assert runs.events("restart_due") == []


class TestWhatNobodyHasSeenYet:
    def begin(self, runs: Runs, **scripts: str) -> None:
        agents = [Root.agent(name, script) for name, script in scripts.items()]
        runs.root.policy(agents=agents, execution={"stop_grace_seconds": 1})
        runs.start("T-1", repos=["app"])

    def end(self, runs: Runs, *names: str) -> None:
        runs.let_go()
        for name in names:
            wait_for_death(runs.agent(name).pid or 0)

    def test_counts_before_what_still_lives_is_stopped(self, runs: Runs) -> None:
        works = "exec sleep 1000"
        self.begin(runs, good=WAITS, bad=WAITS + "exit 3", gone=works, done=works, busy=works)
        self.end(runs, "good", "bad")
        kill_session(runs.agent("gone").session)
        drop(runs, "done", "done")
        assert runs.verbs.stop(RUN).run.status == "stopped"
        found = {agent.name: (agent.status, agent.exit_code) for agent in runs.store.agents(RUN)}
        assert found == {
            "good": ("completed", 0),
            "bad": ("failed", 3),
            "gone": ("dead", None),
            "done": ("completed", None),
            "busy": ("stopped", None),
        }
        assert sessions() == []

    def test_leaves_a_run_completed_whose_agents_all_are(self, runs: Runs) -> None:
        self.begin(runs, one=WAITS, other="exec sleep 1000")
        self.end(runs, "one")
        drop(runs, "other", "done")
        assert runs.verbs.stop(RUN).run.status == "completed"
        assert sessions() == []

    def test_lets_a_run_be_cleaned_up_that_has_ended(self, runs: Runs) -> None:
        self.begin(runs, good=WAITS)
        self.end(runs, "good")
        assert runs.verbs.cleanup(RUN).removed == (str(runs.folder("app")),)

    def test_keeps_a_run_from_being_cleaned_up_that_goes_on(self, runs: Runs) -> None:
        self.begin(runs, eager=f'"$METAWSM_BIN" signal done; {WAITS}')
        assert runs.settled().status == "completed"
        drop(runs, "eager", "working")
        with pytest.raises(IllegalTransitionError, match="running"):
            runs.verbs.cleanup(RUN)
        assert runs.agent().status == "running"


class TestRepeated:
    def test_a_second_stop_changes_nothing(self, runs: Runs) -> None:
        runs.start("T-1", repos=["app"])
        runs.verbs.stop(RUN)
        seq = runs.store.seq()
        assert runs.verbs.stop(RUN).run.status == "stopped"
        assert runs.store.seq() == seq

    def test_two_at_once_both_end_well(self, runs: Runs) -> None:
        policy(runs.root, "trap '' HUP TERM INT; while :; do sleep 1000; done", grace=0.5)
        runs.start("T-1", repos=["app"])
        with contextlib.ExitStack() as stack:
            stops = [stack.enter_context(process(runs.root, "stop", RUN)) for _ in range(3)]
            for one in stops:
                _, errors = one.communicate(timeout=60)
                assert (one.returncode, errors) == (0, "")
        assert_stopped(runs)

    def test_one_that_is_overtaken_before_it_has_begun_leaves_it_to_the_other(
        self, runs: Runs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        policy(runs.root, WAITS)
        runs.start("T-1", repos=["app"])
        holds, go = threading.Event(), threading.Event()
        with runs_on(runs.root) as other:
            overtaking = threading.Thread(target=other.verbs.stop, args=(RUN,))
            sweep, theirs, acquire = runs.verbs._sweeper.sweep, other.verbs._sweeper.sweep, runs.store.acquire

            def wait(*args: Any, **options: Any) -> Any:
                holds.set()
                assert go.wait(60)
                return theirs(*args, **options)

            def be_overtaken(*args: Any, **options: Any) -> Any:
                monkeypatch.setattr(runs.verbs._sweeper, "sweep", sweep)
                monkeypatch.setattr(runs.store, "acquire", come_again)
                overtaking.start()
                assert holds.wait(60)
                return sweep(*args, **options)

            def come_again(*args: Any, **options: Any) -> Any:
                go.set()
                return acquire(*args, **options)

            monkeypatch.setattr(other.verbs._sweeper, "sweep", wait)
            monkeypatch.setattr(runs.verbs._sweeper, "sweep", be_overtaken)
            try:
                assert runs.verbs.stop(RUN).run.status == "stopped"
            finally:
                go.set()
                overtaking.join()
        assert_stopped(runs)
        assert len([event for event in runs.events("stop") if event.entity == "run"]) == 1

    def test_one_that_was_cut_off_is_finished_by_the_next(self, runs: Runs) -> None:
        pid = runs.root.path / "pid"
        policy(runs.root, f"trap '' HUP; echo $$ > {pid}; exec sleep 1000", grace=60)
        runs.start("T-1", repos=["app"])
        stubborn = pid_in(pid)
        with process(runs.root, "stop", RUN) as first:
            until(lambda: runs.agent().status == "stopping" and sessions() == [])
            first.kill()
        assert runs.run().status == "stopping"
        os.kill(stubborn, signal.SIGKILL)
        wait_for_death(stubborn)
        assert runs.verbs.stop(RUN).run.status == "stopped"
        assert_stopped(runs)

    def test_a_resume_finishes_one_that_was_cut_off(self, runs: Runs) -> None:
        policy(runs.root, f"trap '' HUP; {WAITS}", grace=60)
        runs.start("T-1", repos=["app"])
        with process(runs.root, "stop", RUN) as first:
            until(lambda: runs.agent().status == "stopping" and sessions() == [])
            first.kill()
        runs.let_go()
        runs.verbs.resume(RUN)
        assert runs.settled().status == "completed"
        assert runs.agent().restarts == 1

    def test_of_a_completed_run_ends_its_sessions_and_it_stays_completed(self, runs: Runs) -> None:
        policy(runs.root, f'"$METAWSM_BIN" signal done; {WAITS}')
        runs.start("T-1", repos=["app"])
        assert runs.settled().status == "completed"
        assert len(sessions()) == 1
        assert runs.verbs.stop(RUN).run.status == "completed"
        assert sessions() == []
        assert runs.agent().status == "completed"

    def test_of_a_closed_run_is_refused_and_takes_nothing_over(self, runs: Runs) -> None:
        runs.let_go()
        runs.start("T-1", repos=["app"])
        runs.settled()
        runs.verbs.close(RUN)
        seq = runs.store.seq()
        with pytest.raises(IllegalTransitionError, match="closed"):
            runs.verbs.stop(RUN)
        assert runs.store.seq() == seq

    def test_of_a_failed_run_is_a_stop_like_another(self, runs: Runs) -> None:
        hook(runs.root.path / "app", "exit 1")
        runs.start("T-1", repos=["app"])
        assert runs.verbs.stop(RUN).run.status == "stopped"


class TestControlC:
    def test_stops_the_run_in_order(self, runs: Runs) -> None:
        pid = hanging_hook(runs)
        runs.verbs.create_ticket("T-1")
        with process(runs.root, "run", "--ticket", "T-1", "--repos", "app,lib", "--run-id", RUN) as driver:
            hanging = pid_in(pid)
            driver.send_signal(signal.SIGINT)
            _, errors = driver.communicate(timeout=60)
            assert driver.returncode == 130
        assert f"Stopping run {RUN}" in errors
        assert "Traceback" not in errors
        assert_stopped(runs)
        assert not alive(hanging)

    def test_stops_a_run_that_is_waited_for_with_its_agents(self, runs: Runs) -> None:
        runs.verbs.create_ticket("T-1")
        with process(runs.root, "run", "--wait", "--ticket", "T-1", "--repos", "app", "--run-id", RUN) as driver:
            until(lambda: runs.events("launch"))
            until(lambda: not runs.store.driven(RUN))
            driver.send_signal(signal.SIGINT)
            driver.communicate(timeout=60)
            assert driver.returncode == 130
        assert_stopped(runs)

    def test_a_termination_lets_the_next_resume_go_on(self, runs: Runs) -> None:
        pid = hanging_hook(runs)
        runs.verbs.create_ticket("T-1")
        with process(runs.root, "run", "--ticket", "T-1", "--repos", "app", "--run-id", RUN) as driver:
            hanging = pid_in(pid)
            driver.terminate()
            driver.communicate(timeout=60)
            assert driver.returncode == 128 + signal.SIGTERM
        assert not alive(hanging)
        assert runs.run().status == "running"
        (runs.root.path / "app/.git/hooks/post-checkout").unlink()
        runs.let_go()
        runs.verbs.resume(RUN)
        assert runs.settled().status == "completed"


class TestAFrozenDriver:
    def test_finds_that_it_has_lost_the_run_and_changes_nothing(self, runs: Runs) -> None:
        pid = hanging_hook(runs)
        runs.verbs.create_ticket("T-1")
        with process(runs.root, "run", "--ticket", "T-1", "--repos", "app", "--run-id", RUN) as driver:
            hanging = pid_in(pid)
            driver.send_signal(signal.SIGSTOP)  # with nothing but the hook under way: it holds no lock of the database
            runs.verbs.stop(RUN)
            assert_stopped(runs)
            seq = runs.store.seq()
            driver.send_signal(signal.SIGCONT)
            _, errors = driver.communicate(timeout=60)
        assert "Traceback" not in errors
        until(lambda: not alive(hanging))
        assert runs.store.seq() == seq
        assert_stopped(runs)
        assert worktrees(runs.root.path / "app") == []

    def test_a_session_that_it_starts_late_is_ended_by_itself(
        self, runs: Runs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from metawsm_rpc.hosts.tmux.tmux import TmuxTerminals

        begun, go, start = threading.Event(), threading.Event(), TmuxTerminals.start

        def late(self: TmuxTerminals, launch: object) -> int:
            begun.set()
            assert go.wait(60)
            return start(self, launch)

        monkeypatch.setattr(TmuxTerminals, "start", late)
        runs.start("T-1", repos=["app"], wait=False)
        assert begun.wait(60)
        runs.verbs.stop(RUN)
        assert_stopped(runs)
        seq = runs.store.seq()
        go.set()
        runs.verbs.finish(RUN)
        assert sessions() == []
        assert runs.store.seq() == seq
        assert_stopped(runs)

    def test_a_stray_session_ends_with_the_next_stop(self, runs: Runs) -> None:
        runs.start("T-1", repos=["app"])
        with runs.store.transaction() as transaction:  # as after a crash between two launches
            transaction.set_agent(RUN, "T-1", "worker", launch="0123456789abcdef")
        runs.verbs.stop(RUN)
        assert sessions() == []

    def test_one_whose_lease_ran_out_loses_the_run_to_the_next_look(self, runs: Runs) -> None:
        pid = hanging_hook(runs)
        runs.start("T-1", repos=["app"], wait=False)
        hanging = pid_in(pid)
        with contextlib.closing(sqlite3.connect(runs.root.path / ".metawsm" / "metawsm.db")) as database, database:
            database.execute("UPDATE leases SET expires_at = '2001-01-01T00:00:00.000Z' WHERE scope = ?", (RUN,))
        with runs_on(runs.root) as other:
            assert other.verbs.status(RUN).steps[1].error == "interrupted"
        runs.verbs.finish(RUN)
        assert not alive(hanging)
        assert runs.steps("create_workspace")[0].error == "interrupted"
        assert worktrees(runs.root.path / "app") == []

    def test_a_resume_meanwhile_is_not_disturbed(self, runs: Runs) -> None:
        once = "if mkdir ../first 2>/dev/null; then echo $$ > ../pid; sleep 1000; fi"
        policy(runs.root, WAITS, workspace={"setup": [{"run": once}]})
        runs.verbs.create_ticket("T-1")
        with process(runs.root, "run", "--ticket", "T-1", "--repos", "app", "--run-id", RUN) as driver:
            until(lambda: any(step.command and step.status == "running" for step in runs.steps("prepare_workspace")))
            hanging = pid_in(Path(runs.workspace().path) / "pid")
            driver.send_signal(signal.SIGSTOP)
            runs.verbs.stop(RUN)
            runs.verbs.resume(RUN)
            runs.verbs.finish(RUN)
            assert [step.status for step in runs.steps()] == ["done"] * 5
            seq, launch = runs.store.seq(), runs.agent().launch
            driver.send_signal(signal.SIGCONT)
            driver.communicate(timeout=60)
        assert not alive(hanging)
        assert runs.store.seq() == seq
        assert (runs.agent().launch, runs.agent().status) == (launch, "running")
        runs.let_go()
        assert runs.settled().status == "completed"
