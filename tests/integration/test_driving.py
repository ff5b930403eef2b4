"""Driving: what can be done is done, in parallel where it may be, again where it failed, and once."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Root, git
from engine_support import RUN, WAITS, Runs, branches, hook, runs_on, sessions, until, worktrees

from metawsm_rpc.domain.clock import seconds
from metawsm_rpc.domain.models import Repo
from metawsm_rpc.engine.driving import Drive
from metawsm_rpc.engine.steps import StepActions
from metawsm_rpc.errors import HostError, InvalidParamsError, MetawsmError
from metawsm_rpc.hosts.git.worktrees import GitWorktrees
from metawsm_rpc.hosts.tmux.tmux import CONFIGURATION

QUICK = {"stop_grace_seconds": 1}


@pytest.fixture
def runs(two_repositories: Root) -> Iterator[Runs]:
    two_repositories.policy(agents=[Root.agent("worker", "exit 0")], execution={"step_retries": 0, **QUICK})
    with runs_on(two_repositories) as opened:
        yield opened


def policy(runs: Runs, *, script: str = "exit 0", retries: int = 0, **sections: object) -> None:
    execution = {"step_retries": retries, **QUICK, **sections.pop("execution", {})}
    runs.root.policy(agents=[Root.agent("worker", script)], execution=execution, **sections)


class TestARunId:
    def test_of_a_run_that_is_driven_is_taken_and_not_busy(self, runs: Runs) -> None:
        policy(runs, script=WAITS)
        hook(runs.root.path / "app", "exec sleep 1000")
        runs.start("T-1", repos=["app"], wait=False)
        with runs_on(runs.root) as other:
            other.verbs.create_ticket("T-2")
            for ticket in ("T-1", "T-2"):
                with pytest.raises(InvalidParamsError, match=f"A run {RUN} exists already"):
                    other.verbs.run([ticket], repos=["app"], run_id=RUN)
        runs.verbs.stop(RUN)


class TestAWorktreeThatVanishes:
    def test_before_its_set_up_is_made_again_with_its_copies_and_set_up(self, runs: Runs) -> None:
        away = f'if [ ! -e "{runs.root.path}/away" ]; then touch "{runs.root.path}/away"; rm -rf "$PWD"; fi'
        setup = [{"run": "touch one", "on_failure": "warn"}, {"run": away}, {"run": "ls -A > two; ls .env one"}]
        policy(runs, workspace={"copy": [".env"], "setup": setup})
        (runs.root.path / "app" / ".env").write_text("KEY=1\n")
        runs.start("T-1", repos=["app"])
        assert [(step.status, step.error) for step in runs.steps("prepare_workspace")] == [("done", None)] * 4
        (restored,) = runs.events("restored")
        assert restored.message == str(runs.folder("app"))
        assert (runs.folder("app") / "two").read_text().split()[:2] == [".env", ".git"]


class TestRetries:
    def test_each_try_and_its_error_is_an_event_and_the_tries_end(self, runs: Runs) -> None:
        policy(runs, retries=2)
        hook(runs.root.path / "app", "echo the hook says no >&2; exit 1")
        runs.start("T-1", repos=["app"])
        (step,) = runs.steps("create_workspace")
        told = [e for e in runs.events() if e.entity == "step" and e.entity_id == str(step.index)]
        assert [e.type for e in told] == ["start", "fail", "retry", "fail", "retry", "fail"]
        assert all("the hook says no" in (e.message or "") for e in told[1::2])
        assert (step.status, step.attempts) == ("failed", 3)
        assert runs.run().status == "failed"
        assert "the hook says no" in (runs.run().error or "")

    def test_waits_longer_before_each_further_try(self, runs: Runs) -> None:
        policy(runs, retries=2)
        hook(runs.root.path / "app", "exit 1")
        runs.start("T-1", repos=["app"])
        (step,) = runs.steps("create_workspace")
        at = [seconds(e.at) for e in runs.events("fail", "retry") if e.entity_id == str(step.index)]
        first, second = at[1] - at[0], at[3] - at[2]
        assert 0.24 <= first <= 0.9
        assert 0.49 <= second <= 1.4

    def test_goes_on_once_a_try_succeeds(self, runs: Runs) -> None:
        policy(runs, retries=1)
        hook(runs.root.path / "app", f"[ -e {runs.root.path}/tried ] && exit 0; touch {runs.root.path}/tried; exit 1")
        runs.start("T-1", repos=["app"])
        (step,) = runs.steps("create_workspace")
        assert (step.status, step.attempts, step.error) == ("done", 2, None)
        assert runs.settled().status == "completed"
        assert runs.run().error is None

    def test_an_error_that_no_adapter_foresaw_fails_the_step_alone(
        self, runs: Runs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from metawsm_rpc.hosts.git import worktrees as hosts

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(hosts, "copy_files", full)
        runs.start("T-1", repos=["app"])
        (step,) = runs.steps("prepare_workspace")
        assert (step.status, runs.run().status) == ("failed", "failed")
        assert "No space left on device" in (step.error or "")


class TestSetupCommands:
    def test_one_whose_failure_is_a_warning_holds_nothing_up(self, runs: Runs) -> None:
        policy(runs, workspace={"setup": [{"run": "echo not now >&2; exit 3", "on_failure": "warn"}]})
        runs.start("T-1", repos=["app"])
        (step,) = (step for step in runs.steps("prepare_workspace") if step.command)
        assert (step.status, step.blocking) == ("failed", False)
        assert "not now" in (step.error or "")
        assert runs.settled().status == "completed"
        assert runs.run().error is None

    def test_one_that_must_succeed_keeps_the_agents_from_starting(self, runs: Runs) -> None:
        policy(runs, workspace={"setup": [{"run": "exit 3"}]})
        runs.start("T-1", repos=["app"])
        assert runs.run().status == "failed"
        assert runs.agent().status == "pending"
        assert [step.status for step in runs.steps("start_agent")] == ["pending"]

    def test_run_in_order_in_each_worktree_with_the_names_of_the_run(self, runs: Runs) -> None:
        note = 'echo "{n} $METAWSM_RUN_ID $METAWSM_TICKET $(basename "$PWD")" >> ../log'
        setup = [{"run": note.replace("{n}", n)} for n in ("one", "two")]
        policy(runs, workspace={"setup": setup})
        runs.start("T-1", repos=["app", "lib"])
        lines = (Path(runs.workspace().path) / "log").read_text().splitlines()
        assert sorted(lines) == sorted(f"{n} {RUN} T-1 {repo}" for repo in ("app", "lib") for n in ("one", "two"))
        for repo in ("app", "lib"):
            assert [line.split()[0] for line in lines if line.endswith(repo)] == ["one", "two"]

    def test_one_that_takes_too_long_is_ended_with_what_it_started(self, runs: Runs) -> None:
        policy(runs, workspace={"setup": [{"run": "sleep 1000 & echo $! > ../pid; wait", "timeout_seconds": 1}]})
        runs.start("T-1", repos=["app"])
        (step,) = (step for step in runs.steps("prepare_workspace") if step.command)
        assert step.status == "failed"
        assert "did not finish within 1 seconds" in (step.error or "")
        pid = int((Path(runs.workspace().path) / "pid").read_text())
        until(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text())


class TestRollingBack:
    FAILS = "until [ -e ../app/.git ]; do sleep 0.01; done; echo no room >&2; exit 1"

    def test_a_workspace_that_fails_half_way_leaves_nothing(self, runs: Runs, tmp_path: Path) -> None:
        hook(runs.root.path / "lib", self.FAILS)
        runs.start("T-1", repos=["app", "lib"])
        assert {step.repo: step.status for step in runs.steps("create_workspace")} == {"app": "done", "lib": "failed"}
        for repo in ("app", "lib"):
            assert worktrees(runs.root.path / repo) == []
            assert branches(runs.root.path / repo) == ["main"]
        assert not Path(runs.workspace().path).exists()
        assert list((tmp_path / "workspaces").iterdir()) == []
        assert [event.message for event in runs.events("rolled_back")] == [str(runs.folder("app"))]

    def test_resume_makes_all_of_it_once_the_cause_is_gone(self, runs: Runs) -> None:
        failing = hook(runs.root.path / "lib", self.FAILS)
        runs.start("T-1", repos=["app", "lib"])
        failing.unlink()
        runs.verbs.resume(RUN)
        runs.verbs.finish(RUN)
        assert runs.settled().status == "completed"
        assert {repo: len(worktrees(runs.root.path / repo)) for repo in ("app", "lib")} == {"app": 1, "lib": 1}
        assert [step.status for step in runs.steps()] == ["done"] * 5

    def test_what_holds_work_is_kept_and_told_and_found_again(self, runs: Runs) -> None:
        failing = hook(
            runs.root.path / "lib", "until [ -e ../app/README.md ]; do sleep 0.01; done; echo mine > ../app/new; exit 1"
        )
        runs.start("T-1", repos=["app", "lib"])
        assert (runs.folder("app") / "new").read_text() == "mine\n"
        (told,) = runs.events("kept")
        assert str(runs.folder("app")) in (told.message or "")
        assert not runs.folder("lib").exists()
        failing.unlink()
        runs.verbs.resume(RUN)
        runs.verbs.finish(RUN)
        assert runs.settled().status == "completed"
        assert (runs.folder("app") / "new").read_text() == "mine\n"
        assert len(worktrees(runs.root.path / "app")) == 1

    def test_one_that_fails_itself_is_told_and_ends_nothing(self, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise HostError("the repository is locked")

        monkeypatch.setattr(GitWorktrees, "roll_back", refuse)
        hook(runs.root.path / "lib", self.FAILS)
        runs.start("T-1", repos=["app", "lib"])
        assert runs.run().status == "failed"
        assert {event.message for event in runs.events("kept")} == {
            f"{runs.folder(repo)}: the repository is locked" for repo in ("app", "lib")
        }

    def test_a_folder_of_somebody_else_is_left_alone(self, runs: Runs) -> None:
        runs.start("T-1", repos=["app", "lib"], dry_run=True)
        runs.folder("lib").mkdir(parents=True)
        (runs.folder("lib") / "notes.txt").write_text("mine")
        runs.verbs.resume(RUN)
        runs.verbs.finish(RUN)
        assert runs.run().status == "failed"
        assert "not empty" in (runs.run().error or "")
        assert (runs.folder("lib") / "notes.txt").read_text() == "mine"
        assert worktrees(runs.root.path / "app") == []


class TestTickets:
    def test_a_failure_in_one_is_told_at_once_and_stops_no_other(self, runs: Runs) -> None:
        policy(runs, script=WAITS)
        hook(runs.root.path / "app", 'case "$PWD" in */t-1-*) exit 1;; esac')
        runs.start("T-1", "T-2", repos=["app"])
        assert runs.run().status == "running"
        assert (runs.run().error or "").startswith("T-1: create")
        assert (runs.agent(ticket="T-2").status, runs.agent(ticket="T-1").status) == ("running", "pending")
        runs.let_go()
        assert runs.settled().status == "failed"
        assert runs.agent(ticket="T-2").status == "completed"

    def test_worktrees_of_one_repository_are_made_one_by_one_and_of_several_side_by_side(self, runs: Runs) -> None:
        for mine, other in (("app", "lib"), ("lib", "app")):
            hook(
                runs.root.path / mine,
                f"""
                cd {runs.root.path} && mkdir {mine}.busy || echo {mine} >> overlap
                touch {mine}.began
                n=0; until [ -e {other}.began ] || [ $n -gt 300 ]; do sleep 0.02; n=$((n+1)); done
                [ -e {other}.began ] || echo {mine} >> alone
                rmdir {mine}.busy
                """,
            )
        runs.start("T-1", "T-2", "T-3", repos=["app", "lib"])
        assert runs.settled().status == "completed"
        assert not (runs.root.path / "overlap").exists()
        assert not (runs.root.path / "alone").exists()

    def test_no_more_is_done_at_once_than_the_policy_allows(self, runs: Runs) -> None:
        policy(runs, execution={"max_parallel": 1})
        for repo in ("app", "lib"):
            hook(
                runs.root.path / repo,
                f"cd {runs.root.path} && mkdir busy || echo {repo} >> overlap; sleep 0.05; rmdir busy",
            )
        runs.start("T-1", "T-2", repos=["app", "lib"])
        assert runs.settled().status == "completed"
        assert not (runs.root.path / "overlap").exists()


class TestDryRuns:
    def test_store_the_plan_and_run_nothing(self, runs: Runs, tmp_path: Path) -> None:
        runs.start("T-1", repos=["app", "lib"], dry_run=True)
        assert (runs.run().status, runs.run().dry_run) == ("paused", True)
        assert {step.status for step in runs.steps()} == {"pending"}
        assert not (tmp_path / "workspaces").exists()
        assert branches(runs.root.path / "app") == ["main"]
        assert sessions() == []
        runs.verbs.status(RUN)
        assert runs.run().status == "paused"

    def test_resume_runs_what_was_stored(self, runs: Runs) -> None:
        runs.start("T-1", repos=["app", "lib"], dry_run=True)
        planned = [step._replace(status="done") for step in runs.steps()]
        runs.verbs.resume(RUN)
        runs.verbs.finish(RUN)
        kept = {"attempts": 0, "started_at": None, "finished_at": None}
        assert [step._replace(**kept) for step in runs.steps()] == planned
        assert runs.settled().status == "completed"

    def test_a_stop_of_one_only_says_so(self, runs: Runs) -> None:
        runs.start("T-1", repos=["app"], dry_run=True)
        assert runs.verbs.stop(RUN).run.status == "stopped"


class TestAgents:
    def test_two_in_one_workspace_share_its_files_and_the_plan_says_so(self, runs: Runs) -> None:
        ones = [Root.agent(name, f'echo {name} >> "$METAWSM_WORKSPACE/names"; {WAITS}') for name in ("ann", "bob")]
        runs.root.policy(agents=ones)
        runs.start("T-1", repos=["app", "lib"])
        assert sessions() == ["ann-t-1-0001", "bob-t-1-0001"]
        names = Path(runs.workspace().path) / "names"
        until(lambda: names.exists() and sorted(names.read_text().split()) == ["ann", "bob"])
        told = {step.agent: step.description for step in runs.steps("start_agent")}
        assert "shares the files of the workspace with bob" in told["ann"]
        runs.let_go()
        assert runs.settled().status == "completed"

    def test_work_in_the_worktree_itself_when_there_is_only_one(self, runs: Runs) -> None:
        policy(runs, script="pwd > where")
        runs.start("T-1", repos=["app"])
        assert runs.settled().status == "completed"
        assert (runs.folder("app") / "where").read_text().strip() == str(runs.folder("app"))

    def test_one_whose_program_is_not_there_is_told_before_anything_is_made(self, runs: Runs, tmp_path: Path) -> None:
        runs.root.policy(agents=[{"name": "worker", "profile": "shell", "command": ["no-such-program"]}])
        with pytest.raises(MetawsmError, match="no-such-program"):
            runs.start("T-1", repos=["app"])
        assert not (tmp_path / "workspaces").exists()
        assert runs.store.newest_run() is None

    def test_one_that_cannot_be_started_fails_its_step_and_no_other(self, runs: Runs) -> None:
        ones = [Root.agent(name, WAITS) for name in ("ann", "bob")]
        runs.root.policy(agents=ones, execution={"step_retries": 0})
        runs.start("T-1", repos=["app"], dry_run=True)
        taken = runs.agent("ann").session
        tmux = ("tmux", "-L", "metawsm", "-f", CONFIGURATION)
        subprocess.run([*tmux, "new-session", "-d", "-s", taken, "sleep 1000"], check=True)
        runs.verbs.resume(RUN)
        runs.verbs.finish(RUN)
        assert {step.agent: step.status for step in runs.steps("start_agent")} == {"ann": "failed", "bob": "done"}
        assert "already a tmux session" in (runs.run().error or "")
        runs.let_go()
        assert runs.settled().status == "failed"
        assert taken in sessions()


class TestDrives:
    def test_one_that_cannot_begin_lets_go_of_the_run(self, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(Drive, "__init__", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                runs.start("T-1", repos=["app"])
        assert not runs.store.driven(RUN)
        runs.verbs.resume(RUN)
        assert runs.settled().status == "completed"

    def test_a_defect_in_one_is_raised_to_who_waits_for_it(self, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(StepActions, "perform", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                runs.start("T-1", repos=["app"])
        assert not runs.store.driven(RUN)
        runs.verbs.resume(RUN)
        assert runs.settled().status == "completed"

    def test_a_look_takes_nothing_away_that_they_note(self, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
        policy(runs, workspace={"copy": [".env"]})
        (runs.root.path / "app" / ".env").write_text("KEY=1\n")
        (runs.root.path / "app" / ".git" / "info" / "exclude").write_text(".env\n")
        observe, looked = GitWorktrees.observe, []

        def slow(self: GitWorktrees, repo: Repo) -> Repo:
            if not looked:  # the run goes on while the first look is at the worktree
                looked.append(repo)
                runs.verbs.resume(RUN)
                runs.verbs.finish(RUN)
            return observe(self, repo)

        with monkeypatch.context() as first:
            first.setattr(StepActions, "_prepare_workspace", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                runs.start("T-1", repos=["app"])
        (runs.folder("app") / "new.txt").write_text("something to note")
        monkeypatch.setattr(GitWorktrees, "observe", slow)
        runs.verbs.status(RUN)
        assert looked[0].copied == ()
        assert runs.workspace().repos[0].copied == (".env",)


def test_the_branch_begins_at_the_base_as_it_was_planned(runs: Runs) -> None:
    runs.start("T-1", repos=["app"], dry_run=True)
    planned = git(runs.root.path / "app", "rev-parse", "main")
    git(runs.root.path / "app", "commit", "-q", "--allow-empty", "-m", "later")
    runs.verbs.resume(RUN)
    runs.verbs.finish(RUN)
    assert git(runs.folder("app"), "rev-parse", "HEAD") == planned


def test_the_branch_begins_at_the_remote_base_when_the_policy_fetches(runs: Runs, tmp_path: Path) -> None:
    policy(runs, workspace={"fetch": True})
    app = runs.root.path / "app"
    git(tmp_path, "clone", "-q", "--bare", str(app), "store.git")
    git(tmp_path, "clone", "-q", "store.git", "colleague")
    git(tmp_path / "colleague", "commit", "-q", "--allow-empty", "-m", "theirs")
    git(tmp_path / "colleague", "push", "-q")
    git(app, "remote", "add", "origin", str(tmp_path / "store.git"))
    before = git(app, "rev-parse", "main")
    runs.start("T-1", repos=["app"])
    assert git(runs.folder("app"), "log", "-1", "--format=%s") == "theirs"
    assert git(app, "rev-parse", "main") == before
    assert runs.settled().status == "completed"
    assert [merge.kind for merge in runs.verbs.close(RUN).merges] == ["merge"]
