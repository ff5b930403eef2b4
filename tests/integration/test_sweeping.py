"""Looking at agents: what ended how, what was said, and what a look must not claim, move or lose."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import DONE, Root
from engine_support import RUN, WAITS, Runs, crash, runs_on, until, wait_for_death

from metawsm_rpc.domain import health
from metawsm_rpc.domain.models import Agent
from metawsm_rpc.engine import judging, signals
from metawsm_rpc.engine.sweeping import Sweeper
from metawsm_rpc.errors import IllegalTransitionError, InvalidParamsError
from metawsm_rpc.hosts.folders import LocalFolders


@pytest.fixture
def root(root: Root) -> Root:
    root.repository("app")
    return root


@pytest.fixture
def runs(root: Root) -> Iterator[Runs]:
    with runs_on(root) as opened:
        yield opened


def begin(runs: Runs, script: str = WAITS, *tickets: str, profile: str = "shell") -> None:
    runs.root.policy(
        agents=[Root.agent("worker", script, profile)], execution={"step_retries": 0, "stop_grace_seconds": 1}
    )
    runs.start(*(tickets or ("T-1",)), repos=["app"])


def swept(runs: Runs, condition: Callable[[], Any]) -> Any:
    """Look until the condition holds."""
    return until(lambda: runs.verbs.sweep(RUN) or condition())


def say(runs: Runs, what: str, message: str | None = None, *, launch: str | None = None, **more: Any) -> Any:
    agent = runs.agent()
    return runs.verbs.signal(
        RUN,
        ticket=agent.ticket,
        agent=agent.name,
        launch=launch or agent.launch or "",
        type=what,
        message=message,
        **more,
    )


def kill_server(number: signal.Signals = signal.SIGKILL) -> int:
    pid = int(subprocess.check_output(["tmux", "-L", "metawsm", "display-message", "-p", "#{pid}"]))
    os.kill(pid, number)
    return pid


SCRIPTS = {
    "good": ("shell", "exit 0"),
    "bad": ("shell", "exit 3"),
    "killed": ("shell", "kill -KILL $$"),
    "hung-up": ("shell", WAITS),
    "silent": ("claude", "exit 0"),
    "done": ("claude", DONE + "exit 0"),
    "done-badly": ("claude", DONE + "exit 3"),
    "gave-up": ("claude", '"$METAWSM_BIN" signal failed "it is impossible"; exit 0'),
}


class TestEnds:
    def test_mean_what_the_profile_says(self, runs: Runs) -> None:
        agents = [Root.agent(name, script, profile) for name, (profile, script) in SCRIPTS.items()]
        runs.root.policy(agents=agents)
        runs.start("T-1", repos=["app"])
        session = runs.agent("hung-up").session
        subprocess.run(["tmux", "-L", "metawsm", "kill-session", "-t", f"={session}"], check=True)
        assert runs.settled().status == "failed"
        found = {agent.name: (agent.status, agent.exit_code) for agent in runs.store.agents(RUN)}
        exits = {name: code for name, (_, code) in found.items()}
        assert {name: status for name, (status, _) in found.items()} == {
            "good": "completed",
            "bad": "failed",
            "killed": "dead",
            "hung-up": "dead",
            "silent": "failed",
            "done": "completed",
            "done-badly": "completed",
            "gave-up": "failed",
        }
        assert (exits["good"], exits["bad"], exits["killed"], exits["hung-up"]) == (0, 3, 137, None)
        why = {event.entity_id.partition("/")[2]: event.message for event in runs.events("exit", "die", "fail")}
        assert why["bad"] == "it exited with 3"
        assert why["killed"] == "signal 9 killed it"
        assert why["hung-up"] == "its tmux session is gone and left no exit record"
        assert why["silent"] == "it exited with 0 without having said done"
        assert why["gave-up"] == "it is impossible"
        health = {agent.name: agent.health and agent.health.state for agent in runs.store.agents(RUN)}
        assert {name for name, state in health.items() if state == "dead"} == {"killed", "hung-up"}
        assert {name for name, state in health.items() if state is None} == set(found) - {"killed", "hung-up"}

    def test_of_one_ticket_are_told_at_once_while_the_others_go_on(self, runs: Runs) -> None:
        begin(runs, f'[ "$METAWSM_TICKET" = T-1 ] && exit 7; {WAITS}', "T-1", "T-2")
        swept(runs, lambda: runs.agent(ticket="T-1").status == "failed")
        assert (runs.run().status, runs.run().error) == ("running", "T-1: worker failed: it exited with 7")
        assert runs.agent(ticket="T-2").status == "running"
        runs.let_go()
        assert runs.settled().status == "failed"
        assert runs.run().error == "T-1: worker failed: it exited with 7"

    def test_are_awaited_across_processes(self, runs: Runs) -> None:
        begin(runs)
        with runs_on(runs.root) as other:
            assert not other.verbs.wait(RUN, timeout=0).reached
            runs.let_go()
            assert other.verbs.wait(RUN, timeout=60).reached

    def test_that_no_run_has_are_not_awaited(self, runs: Runs) -> None:
        begin(runs)
        with pytest.raises(InvalidParamsError, match="finished"):
            runs.verbs.wait(RUN, until=["finished"])


def patience(runs: Runs, seconds: float) -> None:
    """Wait for tmux for so long."""
    runs.verbs._machine.terminals(runs.store.policy(RUN))._commands.timeout = seconds  # type: ignore[attr-defined]


class TestTmuxThatDoesNotAnswer:
    @pytest.fixture
    def frozen(self, runs: Runs) -> Iterator[int]:
        begin(runs)
        runs.verbs.sweep(RUN)
        patience(runs, 0.3)
        server = kill_server(signal.SIGSTOP)
        try:
            yield server
        finally:
            os.kill(server, signal.SIGCONT)

    def test_lets_nothing_be_claimed_and_moves_nothing(self, runs: Runs, frozen: int) -> None:
        before = runs.agent()
        detail = runs.verbs.status(RUN)
        (agent,) = detail.agents
        assert agent.health is not None
        assert (agent.health.state, agent.health.reason) == ("unknown", "tmux does not answer")
        assert (agent.status, detail.run.status) == ("running", "running")
        assert (agent.launch, agent.pid) == (before.launch, before.pid)
        os.kill(frozen, signal.SIGCONT)
        patience(runs, 60)
        (agent,) = runs.verbs.status(RUN).agents
        assert agent.health is not None
        assert agent.health.state == "healthy"

    @pytest.mark.usefixtures("frozen")
    def test_hides_no_exit_that_is_on_record(self, runs: Runs) -> None:
        runs.let_go()
        swept(runs, lambda: runs.agent().status == "completed")
        assert runs.run().status == "completed"

    def test_that_died_makes_its_agents_dead(self, runs: Runs) -> None:
        begin(runs)
        wait_for_death(kill_server())
        (agent,) = runs.verbs.status(RUN).agents
        assert (agent.status, runs.run().status) == ("dead", "failed")
        assert "worker died" in (runs.run().error or "")


class TestSignals:
    def test_of_an_earlier_start_are_recorded_and_move_nothing(self, runs: Runs) -> None:
        begin(runs)
        old = runs.agent().launch
        runs.verbs.restart(RUN, agent="worker")
        before = runs.agent()
        told = say(runs, "done", "too late", launch=old)
        assert told.event.type == "stale_signal"
        assert told.event.data == {"launch": old}
        assert runs.agent() == before
        assert runs.run().status == "running"

    def test_working_after_done_makes_agent_and_run_go_on(self, runs: Runs) -> None:
        begin(runs)
        say(runs, "done", "all is done")
        assert (runs.agent().status, runs.run().status) == ("completed", "completed")
        say(runs, "working")
        assert (runs.agent().status, runs.run().status) == ("running", "running")
        say(runs, "done")
        assert runs.run().status == "completed"

    @pytest.mark.parametrize("what", ["progress", "waiting", "done", "failed"])
    def test_everything_else_after_done_is_only_recorded(self, runs: Runs, what: str) -> None:
        begin(runs)
        say(runs, "done")
        before = runs.agent()
        assert say(runs, what, "late").event.message == "late"
        assert runs.agent() == before
        assert runs.run().status == "completed"

    def test_after_a_stop_move_nothing(self, runs: Runs) -> None:
        runs.root.policy(agents=[Root.agent("ann", "exit 0"), Root.agent("bob", WAITS)])
        runs.start("T-1", repos=["app"])
        swept(runs, lambda: runs.agent("ann").status == "completed")
        runs.verbs.stop(RUN)
        launch = runs.agent("ann").launch or ""
        told = runs.verbs.signal(RUN, ticket="T-1", agent="ann", launch=launch, type="working")
        assert told.event.type == "working"
        assert (runs.agent("ann").status, runs.run().status) == ("completed", "stopped")

    def test_that_give_up_fail_the_run_with_what_was_said(self, runs: Runs) -> None:
        begin(runs)
        say(runs, "failed", "no way")
        assert (runs.agent().status, runs.run().status) == ("failed", "failed")
        assert runs.run().error == "T-1: worker failed: no way"

    def test_that_wait_show_until_the_agent_goes_on(self, runs: Runs) -> None:
        begin(runs)
        say(runs, "waiting", "a decision")
        (agent,) = runs.verbs.status(RUN).agents
        assert agent.health is not None
        assert (agent.status, agent.health.state, agent.health.source) == ("waiting", "waiting", "signal")
        say(runs, "working")
        assert runs.verbs.status(RUN).agents[0].status == "running"

    def test_of_nobody_who_is_known_are_refused(self, runs: Runs) -> None:
        begin(runs)
        with pytest.raises(InvalidParamsError, match="shout"):
            say(runs, "shout")
        say(runs, "done")
        with pytest.raises(IllegalTransitionError, match="ask"):
            say(runs, "guidance", "May I?")


class TestDropBoxes:
    def box(self, runs: Runs, agent: Agent | None = None) -> Path:
        agent = agent or runs.agent()
        return Path(LocalFolders(runs.root.path / ".metawsm").paths(RUN, agent.ticket, agent.name).drop_box)

    def drop(self, runs: Runs, what: Any, message: str | None = None, name: str = "1", **more: Any) -> Path:
        agent = runs.agent()
        given = signals.Signal(RUN, agent.ticket, agent.name, agent.launch or "", what, message)._replace(**more)
        file = self.box(runs) / name
        file.write_text(signals.to_text(given))
        return file

    def test_are_read_in_order_and_emptied(self, runs: Runs) -> None:
        begin(runs)
        files = [self.drop(runs, "progress", f"step {n}", name=f"{9 - n}") for n in range(3)]
        for age, file in enumerate(files):
            os.utime(file, (1000 + age, 1000 + age))
        runs.verbs.sweep(RUN)
        assert [event.message for event in runs.events("progress")] == ["step 0", "step 1", "step 2"]
        assert not any(file.exists() for file in files)

    def test_count_once_when_the_reader_dies_between_the_two_writes(self, root: Root) -> None:
        with runs_on(root) as runs:
            begin(runs)
            file = self.drop(runs, "progress", "once")

        def die_before_discarding(runs: Runs) -> None:
            LocalFolders.discard = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment, method-assign, misc]
            runs.verbs.sweep(RUN)

        assert crash(root, die_before_discarding, at=99)
        assert file.exists()
        with runs_on(root) as runs:
            runs.verbs.sweep(RUN)
            assert not file.exists()
            assert [event.message for event in runs.events("progress")] == ["once"]

    def test_say_done_before_the_exit_is_seen(self, runs: Runs) -> None:
        begin(runs, WAITS, profile="claude")
        self.drop(runs, "done", "all is done")
        wait_for = runs.agent().pid or 0
        runs.let_go()
        wait_for_death(wait_for)
        assert runs.settled().status == "completed"

    def test_of_completed_agents_are_read_too(self, runs: Runs) -> None:
        begin(runs)
        say(runs, "done")
        self.drop(runs, "working")
        assert runs.verbs.status(RUN).run.status == "running"

    def test_let_nobody_speak_for_another_agent(self, runs: Runs) -> None:
        runs.root.policy(agents=[Root.agent(name, WAITS) for name in ("ann", "bob")])
        runs.start("T-1", repos=["app"])
        ann, bob = runs.agent("ann"), runs.agent("bob")
        forged = signals.Signal(RUN, "T-1", "bob", bob.launch or "", "done")
        (self.box(runs, ann) / "1").write_text(signals.to_text(forged))
        runs.verbs.sweep(RUN)
        assert (runs.agent("ann").status, runs.agent("bob").status) == ("running", "running")
        assert [event.entity_id for event in runs.events("stale_signal")] == ["T-1/ann"]

    def test_refuse_what_is_no_signal_and_go_on(self, runs: Runs) -> None:
        begin(runs)
        good = {"run_id": RUN, "ticket": "T-1", "agent": "worker", "launch": runs.agent().launch, "type": "done"}
        changes: tuple[dict[str, Any], ...] = (
            {"type": "dance"},
            {"type": ["done"]},
            {"message": {"a": 1}},
            {"message": "\ud800"},
            {"choices": 5},
            {"choices": [{}]},
            {"message": "x" * 300_000},
            {"data": "text"},
            {"data": {"a": float("nan")}},
            {"guidance_id": 7},
            {"launch": None},
            {"more": 1},
        )
        texts = ["", "no JSON", "[]", "{}", "null", "[" * 100_000, *(json.dumps({**good, **one}) for one in changes)]
        for number, text in enumerate(texts):
            (self.box(runs) / f"{number}").write_text(text)
        self.drop(runs, "progress", "good", name="last")
        runs.verbs.sweep(RUN)
        assert len(runs.events("signal_refused")) == len(texts)
        assert [event.message for event in runs.events("progress")] == ["good"]
        assert list(self.box(runs).iterdir()) == []
        assert runs.agent().status == "running"

    @pytest.mark.parametrize(
        "change",
        [{"at": float("nan")}, {"at": -1e300}, {"at": "now"}, {"told": {"said": "working", "what": "\ud800"}}],
    )
    def test_refuse_what_no_hook_tells_and_go_on(self, runs: Runs, change: dict[str, Any]) -> None:
        begin(runs)
        heard = {"run_id": RUN, "ticket": "T-1", "agent": "worker", "launch": runs.agent().launch, "at": 2e9}
        (self.box(runs) / "1").write_text(
            json.dumps({"heard": {**heard, "told": {"said": "working", "what": "it works"}, **change}})
        )
        runs.verbs.status(RUN)
        assert len(runs.events("signal_refused")) == 1
        assert list(self.box(runs).iterdir()) == []

    def test_take_files_of_any_name(self, runs: Runs) -> None:
        begin(runs)
        self.drop(runs, "progress", "read", name=os.fsdecode(b"\xff"))
        runs.verbs.status(RUN)
        assert [event.message for event in runs.events("progress")] == ["read"]
        assert list(self.box(runs).iterdir()) == []

    def test_refuse_what_only_another_user_can_read(self, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
        begin(runs)
        theirs = self.drop(runs, "progress", "unread")

        def opened(file: Any, *how: Any, **more: Any) -> int:
            if os.fspath(file) == str(theirs):  # nothing is kept from root
                raise PermissionError(13, "Permission denied")
            return really_open(file, *how, **more)

        really_open = os.open
        monkeypatch.setattr(os, "open", opened)
        runs.verbs.status(RUN)
        assert len(runs.events("signal_refused")) == 1

    def test_refuse_a_question_whose_id_is_taken(self, runs: Runs) -> None:
        begin(runs)
        for name in ("1", "2"):
            self.drop(runs, "guidance", "May I?", name=name, guidance_id="q")
        runs.verbs.sweep(RUN)
        assert len(runs.events("signal_refused")) == 1
        assert runs.run().status == "awaiting_guidance"


class TestProgressAndActivity:
    def test_output_is_activity_and_no_progress(self, runs: Runs) -> None:
        begin(runs, "while :; do echo at work; sleep 0.1; done")
        before = runs.agent()
        swept(runs, lambda: (runs.agent().last_activity_at or "") > (before.last_activity_at or ""))
        assert runs.agent().last_progress_at == before.last_progress_at

    def test_a_signal_is_progress(self, runs: Runs) -> None:
        begin(runs)
        before = runs.agent().last_progress_at or ""
        say(runs, "progress", "half of it")
        assert (runs.agent().last_progress_at or "") > before

    def test_looking_moves_no_progress_and_writes_nothing_new(self, runs: Runs) -> None:
        begin(runs)
        runs.verbs.status(RUN)
        seq, before = runs.store.seq(), runs.agent()
        for _ in range(3):
            runs.verbs.status(RUN)
            runs.verbs.runs()
        assert runs.store.seq() == seq
        assert runs.agent().last_progress_at == before.last_progress_at

    def test_silence_makes_idle_and_then_stalled_and_activity_makes_running_again(self, runs: Runs) -> None:
        begin(runs)
        world = runs.verbs.world
        for later, status in ((400, "idle"), (1000, "stalled"), (400, "idle"), (0, "running")):
            Sweeper(world._replace(clock=lambda later=later: time.time() + later)).sweep([RUN])
            assert runs.agent().status == status
            assert runs.run().status == "running"

    def test_who_is_found_as_before_is_judged_again_only_when_the_time_comes(
        self, runs: Runs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin(runs)
        began, later, judged = time.time(), 100.0, []

        def judge(*told: Any) -> Any:
            judged.append(told)
            return health.judge(*told)

        monkeypatch.setattr(judging, "judge", judge)
        sweeper = Sweeper(runs.verbs.world._replace(clock=lambda: began + later))
        for _ in range(3):  # the pane may be seen to have printed once more
            sweeper.sweep()
        judged.clear()
        sweeper.sweep()
        assert not judged
        later = 400.0
        sweeper.sweep()
        assert judged
        assert runs.agent().status == "idle"


class TestTranscripts:
    def test_go_on_after_their_writer_died_and_tell_of_the_gap(self, runs: Runs) -> None:
        begin(runs, 'n=0; while :; do n=$((n+1)); echo "line $n"; sleep 0.05; done')
        self.kill_writer()
        swept(runs, lambda: runs.events("transcript_gap"))
        transcript = Path(runs.agent().transcript)
        size = transcript.stat().st_size
        until(lambda: transcript.stat().st_size > size)
        self.kill_writer()
        until(lambda: not runs.verbs._machine.terminals(runs.store.policy(RUN)).panes()[0].piped)
        runs.verbs.sweep(RUN)
        assert len(runs.events("transcript_gap")) == 1  # not at every look

    def kill_writer(self) -> None:
        """Kill the shell that writes the transcript, and the dd that it has started."""
        server = int(subprocess.check_output(["tmux", "-L", "metawsm", "display-message", "-p", "#{pid}"]))
        (shell,) = until(lambda: [pid for pid in _children(server) if b"transcript.sh" in _command(pid)])
        (copy,) = until(lambda: [pid for pid in _children(shell) if _command(pid).startswith(b"dd")])
        for pid in (shell, copy):
            os.kill(pid, signal.SIGKILL)
        for pid in (shell, copy):
            wait_for_death(pid)


def _children(of: int) -> list[int]:
    return [process.pid for process in psutil.Process(of).children()]


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


class TestAnotherEnvironment:
    def test_finds_the_agents_where_the_run_left_them(
        self, runs: Runs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        begin(runs)
        for place in (None, str(tmp_path)):
            if place is None:
                monkeypatch.delenv("TMUX_TMPDIR")
            else:
                monkeypatch.setenv("TMUX_TMPDIR", place)
            with runs_on(runs.root) as others:
                others.verbs.sweep(RUN)
                assert runs.agent().status == "running"
