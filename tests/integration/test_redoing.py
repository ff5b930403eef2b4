"""What a person asks of a run later: restart, iterate, complete, retry and skip a step."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Root
from engine_support import RUN, WAITS, Runs, alive, crash, hook, runs_on, sessions, until
from launching_support import STARTS, begin, go_on, policy, starts

from metawsm_rpc.errors import AgentNotFoundError, IllegalTransitionError, InvalidParamsError, StepNotFoundError


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
