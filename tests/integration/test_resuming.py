"""Going on: what is missing is done again, what is done is not, whoever died and whenever."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest
from conftest import DONE, Root, git
from engine_support import (
    RUN,
    WAITS,
    Runs,
    alive,
    branches,
    crash,
    hook,
    pid_in,
    process,
    runs_on,
    sessions,
    until,
    wait_for_death,
    worktrees,
)
from launching_support import STARTS, begin, go_on, policy, starts

from metawsm_rpc.errors import IllegalTransitionError


@pytest.fixture
def a_root(root: Root) -> Root:
    root.repository("app", {"README.md": "# app\n", ".gitignore": ".env\n"})
    (root.path / "app" / ".env").write_text("KEY=1\n")
    policy(root, workspace={"copy": [".env"]})
    return root


@pytest.fixture
def runs(a_root: Root) -> Iterator[Runs]:
    with runs_on(a_root) as opened:
        yield opened


def assert_at_work(runs: Runs) -> None:
    """Check that the run is where an undisturbed one is after its steps: nothing doubled, nothing missing."""
    assert [(step.kind, step.status, step.attempts) for step in runs.steps()] == [
        ("verify_ticket", "done", 1),
        ("create_workspace", "done", 1),
        ("prepare_workspace", "done", 1),
        ("start_agent", "done", 1),
    ]
    assert runs.run().status == "running"
    assert runs.run().error is None
    assert runs.workspace().repos[0].copied == (".env",)
    assert (runs.folder("app") / ".env").read_text() == "KEY=1\n"
    assert worktrees(runs.root.path / "app") == [str(runs.folder("app"))]
    assert branches(runs.root.path / "app") == ["main", "task/t-1-0001"]
    assert len(sessions()) == 1
    agent = runs.agent()
    assert (agent.status, agent.due) == ("running", None)
    assert runs.verbs.attach(RUN, agent="worker").session == agent.session
    until(lambda: starts(runs.root) >= 1)
    assert starts(runs.root) == 1
    seqs = [event.seq for event in runs.store.events()]
    assert seqs == list(range(1, len(seqs) + 1))


def assert_ends_well(runs: Runs) -> None:
    runs.let_go()
    assert runs.settled().status == "completed"
    assert starts(runs.root) == 1
    assert runs.agent().exit_code == 0


class TestADriverThatIsKilled:
    # The plan; start and end of each step; the worktree, its copies, the launch as begun and as started.
    WRITES = 13

    @pytest.mark.parametrize("write", range(1, WRITES + 1))
    def test_after_any_write_is_followed_by_one_that_comes_to_the_same_end(self, a_root: Root, write: int) -> None:
        assert crash(a_root, begin, at=write)
        with runs_on(a_root) as runs:
            go_on(runs)
            assert_at_work(runs)
            assert_ends_well(runs)

    # git worktree add, the copies, wsm's files, the tmux session
    @pytest.mark.parametrize("write", [5, 8, 9, 12])
    def test_between_an_effect_and_its_record_too(self, a_root: Root, write: int) -> None:
        assert crash(a_root, begin, at=write, before=True)
        with runs_on(a_root) as runs:
            go_on(runs)
            assert_at_work(runs)
            assert_ends_well(runs)

    def test_twice(self, a_root: Root) -> None:
        assert crash(a_root, begin, at=6)
        assert crash(a_root, go_on, at=8)
        with runs_on(a_root) as runs:
            go_on(runs)
            assert_at_work(runs)

    def test_leaves_an_agent_that_has_come_and_gone_known_as_that(self, a_root: Root) -> None:
        policy(a_root, STARTS + "exit 0", workspace={"copy": [".env"]})
        assert crash(a_root, begin, at=12, before=True)
        until(lambda: sessions() == [])
        with runs_on(a_root) as runs:
            go_on(runs)
            assert_ends_well(runs)
            go_on(runs, "restart", agent="worker")
            assert runs.settled().status == "completed"
            assert starts(a_root) == 2

    def test_leaves_an_agent_whose_word_counts(self, a_root: Root) -> None:
        policy(a_root, STARTS + DONE + WAITS, profile="claude", workspace={"copy": [".env"]})
        assert crash(a_root, begin, at=12, before=True)
        with runs_on(a_root) as runs:
            until(lambda: runs.events("done"))
            assert runs.agent().status == "completed"
            go_on(runs)
            assert runs.settled().status == "completed"
            assert [step.status for step in runs.steps()] == ["done"] * 4
            assert (starts(a_root), len(sessions())) == (1, 1)

    def test_leaves_a_git_that_is_waited_for(self, runs: Runs) -> None:
        pid = runs.root.path / "pid"
        failing = hook(runs.root.path / "app", f"echo $$ > {pid}; exec sleep 1000")
        runs.verbs.create_ticket("T-1")
        with process(runs.root, "run", "--ticket", "T-1", "--repos", "app", "--run-id", RUN) as driver:
            orphan = pid_in(pid)
            driver.kill()
        assert alive(orphan)
        failing.unlink()
        runs.verbs.resume(RUN)
        assert not runs.verbs._drives.wait(RUN, 0.2)
        os.kill(orphan, signal.SIGKILL)
        runs.verbs.finish(RUN)
        assert_at_work(runs)

    @pytest.mark.parametrize("write", range(1, 6))
    def test_in_a_restart_leaves_it_to_be_carried_out_once(self, a_root: Root, write: int) -> None:
        with runs_on(a_root) as runs:
            begin(runs)
            until(lambda: starts(a_root) == 1)

        assert crash(a_root, lambda runs: go_on(runs, "restart", agent="worker"), at=write)
        with runs_on(a_root) as runs:
            go_on(runs)
            until(lambda: starts(a_root) >= 2)
            assert (runs.agent().status, runs.agent().due, runs.agent().restarts) == ("running", None, 1)
            assert (starts(a_root), len(sessions())) == (2, 1)

    def test_in_an_iteration_does_not_lose_the_feedback(self, a_root: Root) -> None:
        with runs_on(a_root) as runs:
            begin(runs)
            until(lambda: starts(a_root) == 1)
            runs.verbs.stop(RUN)
        assert crash(a_root, lambda runs: go_on(runs, "iterate", feedback="Add tests."), at=1)
        with runs_on(a_root) as runs:
            go_on(runs)
            until(lambda: starts(a_root) == 2)
            (relaunch,) = runs.events("relaunch")
            assert relaunch.message == "iterate"


class TestAStepWhoseDriverIsGone:
    @pytest.fixture(params=["resume", "fail"])
    def on_interrupt(self, request: pytest.FixtureRequest, a_root: Root) -> str:
        policy(a_root, execution={"on_interrupt": request.param}, workspace={"copy": [".env"]})
        return str(request.param)

    def test_is_interrupted_by_the_next_look_which_executes_nothing(self, a_root: Root, on_interrupt: str) -> None:
        assert crash(a_root, begin, at=4)
        with runs_on(a_root) as runs:
            assert runs.run().status == "running"
            detail = runs.verbs.status(RUN)
            (step,) = (step for step in detail.steps if step.kind == "create_workspace")
            assert (step.status, step.error, step.attempts) == ("failed", "interrupted", 0)
            assert detail.run.status == {"resume": "running", "fail": "failed"}[on_interrupt]
            assert ("interrupted" in (detail.run.error or "")) == (on_interrupt == "fail")
            runs.verbs.status(RUN)
            assert worktrees(a_root.path / "app") == []
            go_on(runs)
            assert_at_work(runs)

    @pytest.mark.parametrize("write", [2, 3, 5])
    def test_holds_up_those_that_had_not_begun_where_that_is_left_to_a_person(self, a_root: Root, write: int) -> None:
        policy(a_root, execution={"on_interrupt": "fail"}, workspace={"copy": [".env"]})
        assert crash(a_root, begin, at=write)
        with runs_on(a_root) as runs:
            assert runs.verbs.wait(RUN, timeout=60).run.status == "failed"
            assert "was interrupted; `metawsm resume" in (runs.run().error or "")
            assert {step.attempts for step in runs.steps() if step.status != "done"} == {0}
            go_on(runs)
            assert_at_work(runs)

    def test_is_gone_on_with_by_whoever_drives_next(self, a_root: Root) -> None:
        assert crash(a_root, begin, at=4)
        with runs_on(a_root) as runs:
            assert runs.store.abandoned() == (RUN,)
            runs.verbs._drives.start(RUN, runs.store.acquire(RUN))
            runs.verbs.finish(RUN)
            assert runs.store.abandoned() == ()
            assert_at_work(runs)

    def test_is_left_alone_while_somebody_drives(self, runs: Runs) -> None:
        pid = runs.root.path / "pid"
        hook(runs.root.path / "app", f"echo $$ > {pid}; exec sleep 1000")
        runs.start("T-1", repos=["app"], wait=False)
        pid_in(pid)
        with runs_on(runs.root) as other:
            assert [step.status for step in other.verbs.status(RUN).steps][:2] == ["done", "running"]
        runs.verbs.stop(RUN)


class TestWhatIsMissing:
    def commit(self, runs: Runs) -> str:
        (runs.folder("app") / "work").write_text("done\n")
        git(runs.folder("app"), "add", "work")
        git(runs.folder("app"), "commit", "-qm", "work")
        return git(runs.folder("app"), "rev-parse", "HEAD")

    def test_a_session_that_is_gone_comes_back_once(self, runs: Runs) -> None:
        begin(runs)
        until(lambda: starts(runs.root) == 1)
        commit = self.commit(runs)
        subprocess.run(["tmux", "-L", "metawsm", "kill-session", "-t", f"={runs.agent().session}"], check=True)
        assert runs.verbs.status(RUN).agents[0].status == "dead"
        assert runs.run().status == "failed"
        go_on(runs)
        until(lambda: starts(runs.root) == 2)
        assert (runs.agent().status, runs.agent().restarts, len(sessions())) == ("running", 1, 1)
        assert git(runs.folder("app"), "rev-parse", "HEAD") == commit
        assert runs.run().error is None
        go_on(runs)
        assert starts(runs.root) == 2

    def test_a_tmux_server_that_was_killed(self, runs: Runs) -> None:
        begin(runs)
        until(lambda: starts(runs.root) == 1)
        pid = int(subprocess.check_output(["tmux", "-L", "metawsm", "display-message", "-p", "#{pid}"]))
        os.kill(pid, signal.SIGKILL)
        wait_for_death(pid)
        go_on(runs)
        until(lambda: starts(runs.root) == 2)
        assert (runs.agent().status, len(sessions())) == ("running", 1)
        assert runs.events("die")[0].message == "its tmux session is gone and left no exit record"

    @pytest.mark.parametrize("agent", ["at work", "dead"])
    def test_a_worktree_that_was_deleted_comes_back_with_its_commits_copies_and_set_up(
        self, a_root: Root, agent: str
    ) -> None:
        setup = [{"run": "echo prepared > .env.local"}, {"run": "exit 1", "on_failure": "warn"}]
        policy(a_root, workspace={"copy": [".env"], "setup": setup})
        with runs_on(a_root) as runs:
            begin(runs)
            commit = self.commit(runs)
            shutil.rmtree(runs.folder("app"))
            if agent == "dead":
                subprocess.run(["tmux", "-L", "metawsm", "kill-server"], check=True)
            go_on(runs)
            folder = runs.folder("app")
            assert git(folder, "rev-parse", "HEAD") == commit
            assert (folder / ".env").read_text() == "KEY=1\n"
            assert (folder / ".env.local").read_text() == "prepared\n"
            assert worktrees(a_root.path / "app") == [str(folder)]
            assert runs.run().status == "running"
            assert [event.message for event in runs.events("restored")] == [str(folder)]

    def test_a_worktree_that_cannot_come_back_is_told_and_the_run_goes_on(self, runs: Runs) -> None:
        begin(runs)
        until(lambda: starts(runs.root) == 1)
        shutil.rmtree(runs.folder("app"))
        git(runs.root.path / "app", "worktree", "prune")
        git(runs.root.path / "app", "worktree", "add", "-q", str(runs.root.path / "elsewhere"), "task/t-1-0001")
        go_on(runs)
        assert runs.run().status == "running"
        assert "checked out at" in (runs.run().error or "")

    def test_nothing_is_done_when_nothing_is_missing(self, runs: Runs) -> None:
        begin(runs)
        until(lambda: starts(runs.root) == 1)
        launch, seq = runs.agent().launch, runs.store.seq()
        go_on(runs)
        assert (runs.agent().launch, starts(runs.root)) == (launch, 1)
        assert [e for e in runs.store.events(seq) if e.type not in ("health", "observe_running")] == []

    def test_what_was_stopped_goes_on_but_not_what_was_completed(self, a_root: Root) -> None:
        ones = [Root.agent("ann", f'echo >> "$METAWSM_ROOT/ann"; {WAITS}'), Root.agent("bob", STARTS + "exit 0")]
        a_root.policy(agents=ones, execution={"stop_grace_seconds": 1})
        with runs_on(a_root) as runs:
            begin(runs)
            until(lambda: runs.verbs.sweep(RUN) or runs.agent("bob").status == "completed")
            runs.verbs.stop(RUN)
            go_on(runs)
            assert (runs.agent("ann").status, runs.agent("bob").status) == ("running", "completed")
            assert starts(a_root) == 1

    def test_a_completed_run_is_not_resumed(self, runs: Runs) -> None:
        begin(runs)
        runs.let_go()
        runs.settled()
        with pytest.raises(IllegalTransitionError, match="completed"):
            runs.verbs.resume(RUN)
