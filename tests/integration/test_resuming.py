"""Going on: what is missing is done again, what is done is not, whoever died and whenever."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

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

from metawsm_rpc.errors import AgentNotFoundError, IllegalTransitionError, InvalidParamsError, StepNotFoundError

STARTS = 'echo "$METAWSM_LAUNCH" >> "$METAWSM_ROOT/starts"; '


def policy(root: Root, script: str = STARTS + WAITS, *, profile: str = "shell", **sections: object) -> None:
    execution = {"step_retries": 0, "stop_grace_seconds": 1, **sections.pop("execution", {})}
    root.policy(agents=[Root.agent("worker", script, profile)], execution=execution, **sections)


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


def starts(root: Root) -> int:
    """Return how often an agent has been started."""
    file = root.path / "starts"
    return len(file.read_text().split()) if file.exists() else 0


def go_on(runs: Runs, verb: str = "resume", **options: object) -> None:
    getattr(runs.verbs, verb)(RUN, **options)
    runs.verbs.finish(RUN)


def begin(runs: Runs) -> None:
    runs.start("T-1", repos=["app"])


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


class TestRestarting:
    def test_stops_a_live_agent_first_and_starts_it_once(self, runs: Runs) -> None:
        begin(runs)
        until(lambda: starts(runs.root) == 1)
        before = runs.agent()
        (after,) = runs.verbs.restart(RUN, agent="worker").agents
        assert (after.status, after.restarts) == ("running", 1)
        assert before.launch != after.launch
        assert before.pid is not None
        assert not alive(before.pid)
        assert len(sessions()) == 1
        assert [e.type for e in runs.events("stop", "stopped", "relaunch") if e.entity == "agent"] == [
            "stop",
            "stopped",
            "relaunch",
        ]

    def test_starts_by_itself_only_what_is_dead_or_failed(self, a_root: Root) -> None:
        fails = f'echo >> "$METAWSM_ROOT/bob"; [ "$(wc -l < "$METAWSM_ROOT/bob")" -gt 1 ] || exit 3; {WAITS}'
        a_root.policy(agents=[Root.agent("ann", STARTS + WAITS), Root.agent("bob", fails)])
        with runs_on(a_root) as runs:
            begin(runs)
            until(lambda: runs.verbs.sweep(RUN) or runs.agent("bob").status == "failed")
            assert "bob failed: it exited with 3" in (runs.run().error or "")
            assert [agent.name for agent in runs.verbs.restart(RUN).agents] == ["bob"]
            assert runs.agent("bob").status == "running"
            assert runs.run().error is None
            assert starts(a_root) == 1

    def test_says_so_when_nothing_needs_it(self, runs: Runs) -> None:
        begin(runs)
        with pytest.raises(IllegalTransitionError, match="worker on T-1 is running"):
            runs.verbs.restart(RUN)
        with pytest.raises(AgentNotFoundError, match="nobody"):
            runs.verbs.restart(RUN, agent="nobody")

    def test_tells_what_cannot_be_started_again(self, runs: Runs) -> None:
        begin(runs)
        shutil.rmtree(Path(runs.root.path, "ttmp"))
        (agent,) = runs.verbs.restart(RUN, agent="worker").agents
        assert (agent.status, agent.due) == ("stopped", None)
        assert "worker could not be started again" in (runs.run().error or "")
        assert runs.run().status == "failed"


class TestIterating:
    def test_starts_completed_agents_again_with_the_feedback_in_their_brief(self, a_root: Root) -> None:
        policy(a_root, STARTS + 'cp "$METAWSM_BRIEF" "$METAWSM_ROOT/brief.$(wc -l < "$METAWSM_ROOT/starts")"')
        with runs_on(a_root) as runs:
            begin(runs)
            runs.settled()
            for text in ("Add tests.", "And documentation."):
                go_on(runs, "iterate", feedback=text)
                assert runs.settled().status == "completed"
            assert starts(a_root) == 3
            assert "Feedback" not in (a_root.path / "brief.1").read_text()
            brief = (a_root.path / "brief.3").read_text()
            assert brief.index("Add tests.") < brief.index("And documentation.")

    def test_writes_it_into_the_brief_of_agents_at_work_and_leaves_them_at_it(self, a_root: Root) -> None:
        policy(a_root, STARTS + 'echo "$METAWSM_BRIEF" > "$METAWSM_ROOT/where"; ' + WAITS)
        with runs_on(a_root) as runs:
            begin(runs)
            where = until(lambda: (a_root.path / "where").exists() and (a_root.path / "where").read_text().strip())
            go_on(runs, "iterate", feedback="Hurry up.")
            assert "Hurry up." in Path(where).read_text()
            assert (starts(a_root), runs.agent().restarts) == (1, 0)

    def test_goes_on_with_a_stopped_run(self, runs: Runs) -> None:
        begin(runs)
        runs.verbs.stop(RUN)
        go_on(runs, "iterate", feedback="Try again.")
        until(lambda: starts(runs.root) == 2)
        assert runs.run().status == "running"

    def test_refuses_what_it_cannot_do(self, a_root: Root) -> None:
        policy(a_root, "exit 1")
        with runs_on(a_root) as runs:
            begin(runs)
            with pytest.raises(InvalidParamsError, match="empty"):
                runs.verbs.iterate(RUN, feedback=" \n")
            until(lambda: runs.verbs.sweep(RUN) or runs.run().status == "failed")
            with pytest.raises(IllegalTransitionError):
                runs.verbs.iterate(RUN, feedback="Again.")
            assert runs.events("feedback") == []


class TestCompletingByHand:
    def test_takes_the_agents_along_and_ends_what_was_still_to_be_tried(self, a_root: Root) -> None:
        policy(a_root, execution={"step_retries": 9})
        hook(a_root.path / "app", 'case "$PWD" in */t-2-*) exit 1;; esac')
        with runs_on(a_root) as runs:
            runs.start("T-1", "T-2", repos=["app"], wait=False)
            until(lambda: runs.agent(ticket="T-1").status == "running" and runs.events("fail"))
            runs.verbs.stop(RUN)
            assert runs.verbs.complete(RUN).run.status == "completed"
            assert (runs.agent(ticket="T-1").status, runs.agent(ticket="T-2").status) == ("completed", "stopped")
            assert {step.status for step in runs.steps()} <= {"done", "skipped"}
            assert runs.run().error is None

    def test_of_one_agent_completes_the_run_when_it_was_the_last(self, a_root: Root) -> None:
        a_root.policy(agents=[Root.agent("ann", WAITS), Root.agent("bob", "exit 1")])
        with runs_on(a_root) as runs:
            begin(runs)
            until(lambda: runs.verbs.sweep(RUN) or runs.agent("bob").status == "failed")
            assert runs.verbs.complete(RUN, agent="bob").run.status == "running"
            assert runs.verbs.complete(RUN, agent="ann").run.status == "completed"

    def test_of_an_agent_that_was_never_started_is_refused(self, a_root: Root) -> None:
        hook(a_root.path / "app", "exit 1")
        with runs_on(a_root) as runs:
            begin(runs)
            with pytest.raises(IllegalTransitionError, match="skip"):
                runs.verbs.complete(RUN, agent="worker")
            assert runs.run().status == "failed"

    def test_of_a_run_whose_agents_have_all_never_started(self, a_root: Root) -> None:
        hook(a_root.path / "app", "exit 1")
        with runs_on(a_root) as runs:
            begin(runs)
            assert runs.verbs.complete(RUN).run.status == "completed"
            assert runs.agent().status == "stopped"

    def test_of_a_plan_that_was_only_stored_is_refused(self, runs: Runs) -> None:
        runs.start("T-1", repos=["app"], dry_run=True)
        with pytest.raises(IllegalTransitionError, match="paused"):
            runs.verbs.complete(RUN)


class TestSteps:
    def test_a_failed_one_is_tried_again_and_what_waited_for_it_follows(self, a_root: Root) -> None:
        failing = hook(a_root.path / "app", "exit 1")
        with runs_on(a_root) as runs:
            begin(runs)
            with pytest.raises(IllegalTransitionError, match="only a failed one"):
                runs.verbs.retry_step(RUN, index=0)
            with pytest.raises(StepNotFoundError):
                runs.verbs.retry_step(RUN, index=99)
            failing.unlink()
            (step,) = runs.steps("create_workspace")
            go_on(runs, "retry_step", index=step.index)
            assert [one.status for one in runs.steps()] == ["done"] * 4
            assert runs.run().status == "running"

    @pytest.mark.parametrize("verb", ["retry_step", "skip_step", "complete"])
    def test_one_whose_driver_was_killed_need_not_be_looked_at_first(self, a_root: Root, verb: str) -> None:
        assert crash(a_root, begin, at=4)
        with runs_on(a_root) as runs:
            (step,) = runs.steps("create_workspace")
            assert step.status == "running"
            if verb == "complete":
                assert runs.verbs.complete(RUN).run.status == "completed"
            else:
                go_on(runs, verb, index=step.index)
                assert runs.steps("create_workspace")[0].status == {"retry_step": "done", "skip_step": "skipped"}[verb]

    def test_skipping_the_start_of_an_agent_takes_it_out_of_the_run(self, a_root: Root) -> None:
        ones = [Root.agent("ann", "exit 0"), Root.agent("bob", STARTS + WAITS)]
        a_root.policy(agents=ones, execution={"step_retries": 0})
        with runs_on(a_root) as runs:
            runs.start("T-1", repos=["app"], dry_run=True)
            (step,) = (step for step in runs.steps("start_agent") if step.agent == "bob")
            assert runs.verbs.skip_step(RUN, index=step.index).step.status == "skipped"
            runs.verbs.finish(RUN)
            go_on(runs)
            assert runs.settled().status == "completed"
            assert runs.agent("bob").status == "stopped"
            # It stays out, whatever is asked of the others.
            with pytest.raises(IllegalTransitionError):
                runs.verbs.restart(RUN, agent="bob")
            go_on(runs, "iterate", feedback="More.")
            assert runs.settled().status == "completed"
            assert (starts(a_root), runs.agent("ann").restarts) == (0, 1)

    def test_skipping_a_worktree_leaves_its_repository_out_to_the_end(self, two_repositories: Root) -> None:
        root = two_repositories
        policy(root, 'cd "$METAWSM_WORKSPACE/app" && echo work >> README.md && git commit -qam work')
        hook(root.path / "lib", "exit 1")
        with runs_on(root) as runs:
            runs.start("T-1", repos=["app", "lib"])
            assert runs.run().status == "failed"
            (step,) = (step for step in runs.steps("create_workspace") if step.repo == "lib")
            go_on(runs, "skip_step", index=step.index)
            assert runs.settled().status == "completed"
            assert not runs.folder("lib").exists()
            assert [merge.repo for merge in runs.verbs.close(RUN).merges] == ["app"]
            assert runs.run().status == "closed"

    def test_one_that_runs_or_is_done_is_not_skipped(self, runs: Runs) -> None:
        begin(runs)
        with pytest.raises(IllegalTransitionError, match="done"):
            runs.verbs.skip_step(RUN, index=0)
