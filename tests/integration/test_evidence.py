"""What agents show of themselves, in real terminals: titles, reports, status files, screens and hooks."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Root
from engine_support import RUN, Runs, runs_on, until

from metawsm_rpc.domain.clock import timestamp
from metawsm_rpc.domain.models import Agent
from metawsm_rpc.engine.sweeping import Sweeper
from metawsm_rpc.hosts.status_files import LocalStatusFiles
from metawsm_rpc.hosts.tmux.tmux import TmuxTerminals

PROGRAM = """\
import json, os, sys, time

root = os.environ["METAWSM_ROOT"]
name = os.environ["METAWSM_AGENT"]


def title(text):
    sys.stdout.write(f"\\033]0;{text}\\007")


def report(text):
    sys.stdout.write(f"\\033]7501;{text}\\033\\\\")


def screen(text):
    sys.stdout.write("\\033[2J\\033[H" + text)


def status(state, **more):
    file = os.path.expanduser(f"~/.claude/sessions/{os.getpid()}.json")
    os.makedirs(os.path.dirname(file), exist_ok=True)
    now = int(time.time() * 1000)
    with open(file + ".new", "w") as new:
        json.dump({"startedAt": now - 60000, "statusUpdatedAt": now, "status": state, **more}, new)
    os.rename(file + ".new", file)


done = 0
while True:
    try:
        lines = open(f"{root}/{name}.do").read().splitlines()
    except FileNotFoundError:
        lines = []
    for line in lines[done:]:
        exec(line)
        sys.stdout.flush()
        done += 1
    time.sleep(0.02)
"""
"""A program that does what is written into a file, line by line."""

CLAUDE_DIALOG = (
    "────────────────────────────────\n Bash command\n\n   rm -rf build\n\n Do you want to proceed?\n"
    " ❯ 1. Yes\n   2. No\n\n Esc to cancel · Tab to amend"
)
CLAUDE_PROMPT = "● Done.\n\n──────────\n❯ \n──────────\n  ? for shortcuts"
CLAUDE_ERROR = "● API Error: 500 no more\n\n──────────\n❯ \n──────────\n  ? for shortcuts"


@pytest.fixture
def runs(root: Root) -> Iterator[Runs]:
    root.repository("app")
    with runs_on(root) as opened:
        yield opened


def begin(runs: Runs, *runners: str, health: dict[str, Any] | None = None, **profile: Any) -> None:
    """Start one agent for each runner, which has the runner's name."""
    script = runs.root.path / "program.py"
    script.write_text(PROGRAM)
    profiles = [{"name": f"{runner}-fake", "runner": runner, "completes_on": "signal", **profile} for runner in runners]
    agents = [
        {"name": runner, "profile": f"{runner}-fake", "command": [sys.executable, str(script)]} for runner in runners
    ]
    runs.root.policy(agents=agents, agent_profiles=profiles, health=health or {})
    runs.start("T-1", repos=["app"])


def do(runs: Runs, agent: str, *lines: str) -> None:
    with (runs.root.path / f"{agent}.do").open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))


def judged(runs: Runs, agent: str, sweeper: Sweeper | None = None) -> tuple[str, str, str]:
    """Sweep, and return state, source and reason of the agent's health."""
    (sweeper or runs.verbs._sweeper).sweep([RUN])
    health = runs.agent(agent).health
    assert health is not None
    return health.state, health.source, health.reason


def becomes(runs: Runs, agent: str, state: str, source: str, sweeper: Sweeper | None = None) -> str:
    """Sweep until an agent is judged so; return why."""
    until(lambda: judged(runs, agent, sweeper)[:2] == (state, source))
    return judged(runs, agent, sweeper)[2]


def said(runs: Runs, agent: str, what: str, text: str, age: float = 0.0) -> None:
    """Keep what a hook has told."""
    found = runs.agent(agent)
    with runs.store.transaction() as transaction:
        transaction.set_agent(
            *(found.run_id, found.ticket, found.name),
            said=what,
            said_by="hook",
            said_what=text,
            said_at=timestamp(time.time() - age),
        )


def counted(monkeypatch: pytest.MonkeyPatch, kind: type, name: str) -> list[Any]:
    """Return a list that gets the arguments of each call of a method."""
    calls: list[Any] = []
    method: Callable[..., Any] = getattr(kind, name)

    def counting(self: Any, *args: Any, **options: Any) -> Any:
        calls.append(args)
        return method(self, *args, **options)

    monkeypatch.setattr(kind, name, counting)
    return calls


class TestClaude:
    def test_is_judged_by_its_status_file_and_by_what_that_leaves_open_on_its_screen(self, runs: Runs) -> None:
        begin(runs, "claude")
        do(runs, "claude", 'title("⠂ Claude Code")', 'status("busy")')
        assert becomes(runs, "claude", "healthy", "status file") == "its status file says busy"
        do(runs, "claude", f"screen({CLAUDE_DIALOG!r})", 'status("waiting", waitingFor="permission prompt")')
        becomes(runs, "claude", "waiting", "status file")
        until(lambda: judged(runs, "claude")[2].startswith("it asks for a permission (its status file"))
        assert runs.agent("claude").status == "waiting"
        do(runs, "claude", 'title("✳ Claude Code")', f"screen({CLAUDE_PROMPT!r})", 'status("idle")')
        becomes(runs, "claude", "idle", "status file")
        do(runs, "claude", f"screen({CLAUDE_ERROR!r})")
        assert becomes(runs, "claude", "waiting", "screen").startswith("its turn failed: API Error: 500 no more")

    def test_that_left_its_file_behind_is_not_taken_for_one_that_runs(self, runs: Runs, private_machine: Path) -> None:
        begin(runs, "claude")
        other = private_machine / ".claude/sessions"
        other.mkdir(parents=True)
        for pid in (1, os.getpid(), 2**22 + 1):  # of somebody else, of another session, of nobody
            (other / f"{pid}.json").write_text(json.dumps({"status": "busy"}))
        (other / "no number.json").write_text("{")
        do(runs, "claude", 'title("✳ Claude Code")', f"screen({CLAUDE_PROMPT!r})")
        becomes(runs, "claude", "idle", "screen")

    def test_keeps_its_files_where_the_environment_of_its_agent_says(self, runs: Runs, tmp_path: Path) -> None:
        configuration = tmp_path / "configuration"
        begin(runs, "claude", env={"CLAUDE_CONFIG_DIR": str(configuration)})
        (configuration / "sessions").mkdir(parents=True)
        pid = runs.agent("claude").pid  # leads the process session, and is of it
        (configuration / f"sessions/{pid}.json").write_text(json.dumps({"status": "busy"}))
        becomes(runs, "claude", "healthy", "status file")


class TestCodex:
    def test_is_judged_by_the_last_report_in_its_transcript(self, runs: Runs) -> None:
        begin(runs, "codex")
        do(runs, "codex", 'report("state=working:app=codex")')
        assert becomes(runs, "codex", "healthy", "escape sequence") == "it reports that it is working"
        do(runs, "codex", 'report("state=blocked:app=codex:kind=permission")')
        why = becomes(runs, "codex", "waiting", "escape sequence")
        assert why == "it asks for a permission (it reports that it waits for a decision)"
        do(runs, "codex", 'report("state=done:app=codex")')
        becomes(runs, "codex", "idle", "escape sequence")

    def test_is_judged_alike_by_who_looks_for_the_first_time(self, runs: Runs) -> None:
        begin(runs, "codex")
        noise = '[print("x" * 99) for _ in range(9000)]'  # more than is read at once
        do(runs, "codex", 'report("state=blocked:app=codex:kind=question")', noise, 'title("end")')
        sweeper = Sweeper(runs.verbs.world)
        becomes(runs, "codex", "waiting", "escape sequence", sweeper)
        until(lambda: Path(runs.agent("codex").transcript).stat().st_size > 900_000)
        becomes(runs, "codex", "waiting", "escape sequence", sweeper)
        becomes(runs, "codex", "waiting", "escape sequence", Sweeper(runs.verbs.world))

    def test_is_not_judged_by_what_an_earlier_launch_reported(self, runs: Runs) -> None:
        begin(runs, "codex")
        do(runs, "codex", 'report("state=blocked:app=codex")')
        becomes(runs, "codex", "waiting", "escape sequence")
        (runs.root.path / "codex.do").unlink()
        runs.verbs.restart(RUN, agent="codex")
        assert judged(runs, "codex", Sweeper(runs.verbs.world))[0] == "healthy"

    def test_reads_only_what_is_new_and_nothing_while_it_prints_nothing(
        self, runs: Runs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin(runs, "codex")
        do(runs, "codex", 'report("state=working:app=codex")')
        becomes(runs, "codex", "healthy", "escape sequence")
        time.sleep(2.1)  # tmux tells activity in whole seconds
        judged(runs, "codex")
        reads = counted(monkeypatch, TmuxTerminals, "read_transcript")
        captures = counted(monkeypatch, TmuxTerminals, "captures")
        for _ in range(3):
            assert judged(runs, "codex")[:2] == ("healthy", "escape sequence")
        assert not reads
        assert not captures


class TestGemini:
    def test_is_judged_by_its_title(self, runs: Runs) -> None:
        begin(runs, "gemini")
        do(runs, "gemini", 'title("✦  Working… (app)")')
        becomes(runs, "gemini", "healthy", "title")
        do(runs, "gemini", 'title("✋  Action Required (app)")')
        becomes(runs, "gemini", "waiting", "title")

    def test_is_judged_by_its_hook_while_that_is_fresh_and_when_nothing_else_is_told(self, runs: Runs) -> None:
        begin(runs, "gemini")
        do(runs, "gemini", 'title("✦  Working… (app)")')
        becomes(runs, "gemini", "healthy", "title")
        said(runs, "gemini", "waiting", "it asks for a \033[1mpermission\033[0m")
        assert judged(runs, "gemini") == ("waiting", "hook", "it asks for a permission")
        said(runs, "gemini", "waiting", "it asks for a permission", age=60)
        assert judged(runs, "gemini")[:2] == ("healthy", "title")
        do(runs, "gemini", 'title("")', 'screen("what nobody knows")')
        becomes(runs, "gemini", "waiting", "hook")


class TestOpencode:
    def test_whose_turn_is_over_because_it_failed_is_not_called_idle(self, runs: Runs) -> None:
        begin(runs, "opencode")
        failed = (
            "┃  go on\\n┃\\n\\n┃\\n┃  Stub says 401\\n┃\\n\\n▣  Build · stub-1\\n\\n┃\\n╹▀▀▀▀▀▀▀▀▀▀▀▀▀▀\\n  tab agents"
        )
        do(runs, "opencode", f'screen("{failed}")')

        def is_judged_by_its_screen() -> bool:
            said(runs, "opencode", "idle", "its session is idle")  # so that it is fresh
            return judged(runs, "opencode")[1] == "screen"

        until(is_judged_by_its_screen)
        assert judged(runs, "opencode") == ("waiting", "screen", "its turn failed: Stub says 401")


class TestScreens:
    def test_of_all_who_need_it_are_taken_with_one_call(self, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
        begin(runs, "opencode", "aider", "gemini", "shell")
        do(runs, "gemini", 'title("✦  Working… (app)")')
        do(runs, "opencode", 'screen("  ┃\\n  ╹▀▀▀▀▀▀▀▀▀▀▀▀▀▀\\n   ■■⬝⬝⬝⬝⬝⬝  esc interrupt")')
        do(runs, "aider", 'screen("Add file to the chat? (Y)es/(N)o [Yes]: ")')
        becomes(runs, "gemini", "healthy", "title")
        becomes(runs, "opencode", "healthy", "screen")
        becomes(runs, "aider", "waiting", "screen")
        calls = counted(monkeypatch, TmuxTerminals, "captures")
        Sweeper(runs.verbs.world).sweep([RUN])
        (((panes),),) = calls
        assert sorted(pane.agent for pane in panes) == ["aider", "opencode"]

    def test_that_stand_still_are_not_taken_again(self, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
        begin(runs, "aider")
        do(runs, "aider", 'screen("Add file to the chat? (Y)es/(N)o [Yes]: ")')
        becomes(runs, "aider", "waiting", "screen")
        time.sleep(2.1)  # tmux tells activity in whole seconds
        judged(runs, "aider")
        calls = counted(monkeypatch, TmuxTerminals, "captures")
        assert judged(runs, "aider")[:2] == ("waiting", "screen")
        assert not any(panes for (panes,) in calls)

    def test_are_judged_by_a_profiles_own_patterns_the_lowest_match_first(self, runs: Runs) -> None:
        begin(runs, "shell", waiting_patterns=[r"^Proceed with (\w+)\?$"], done_patterns=["^ready>"])
        assert judged(runs, "shell")[:2] == ("healthy", "activity")
        do(runs, "shell", 'print("working\\nProceed with it?")')
        assert becomes(runs, "shell", "waiting", "screen").endswith(": Proceed with it?")
        do(runs, "shell", 'print("ready> ")')
        becomes(runs, "shell", "idle", "screen")
        assert runs.agent("shell").status == "idle"
        do(runs, "shell", 'print("\\nProceed with that?")')
        becomes(runs, "shell", "waiting", "screen")

    def test_of_a_shell_without_patterns_are_never_looked_at(self, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
        begin(runs, "shell")
        calls = [counted(monkeypatch, TmuxTerminals, name) for name in ("captures", "read_transcript")]
        files = counted(monkeypatch, LocalStatusFiles, "claude")
        do(runs, "shell", 'title("✋")', 'report("state=blocked:app=codex")', 'status("waiting")')
        until(lambda: [pane for pane in TmuxTerminals(str(runs.root.path)).panes() if pane.title == "✋"])
        assert judged(runs, "shell")[:2] == ("healthy", "activity")
        assert not [*calls[0], *calls[1], *files]

    def test_cost_a_look_nothing_that_nobody_needs(self, runs: Runs) -> None:
        begin(runs, "shell")
        code = (
            "import sys; from pathlib import Path; from metawsm_rpc.composition import open_service\n"
            f"print(open_service(Path({str(runs.root.path)!r})).status({RUN!r}).agents[0].health.state)\n"
            "print([name for name in sys.modules if 'readings' in name or 'plain_text' in name])"
        )
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert shown.stdout.split("\n")[:2] == ["healthy", "[]"], shown


class TestHeadless:
    def test_programs_are_not_looked_at_and_work_until_they_exit(
        self, runs: Runs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin(runs, "claude", completes_on="exit")
        calls = counted(monkeypatch, TmuxTerminals, "captures")
        do(runs, "claude", f"screen({CLAUDE_DIALOG!r})", 'status("waiting")')
        until(lambda: runs.verbs.sweep(RUN) or runs.agent("claude").last_activity_at)
        assert judged(runs, "claude")[:2] == ("healthy", "process")
        assert not calls


class TestQuestions:
    def test_that_are_open_make_their_agent_wait_and_an_answer_lets_it_go_on(self, runs: Runs) -> None:
        begin(runs, "shell")
        agent = runs.agent()
        asked = runs.verbs.signal(
            *(RUN,),
            ticket=agent.ticket,
            agent=agent.name,
            launch=agent.launch or "",
            type="guidance",
            message="Which \033[31mdatabase?",
        )
        assert judged(runs, "shell") == ("waiting", "signal", "it waits for an answer: Which database?")
        with runs.store.transaction() as transaction:
            transaction.answer(asked.guidance_id or "", "the large one")
        assert judged(runs, "shell")[:2] == ("healthy", "activity")


class TestExplaining:
    def explained(self, runs: Runs, agent: str) -> dict[str, tuple[str, str | None]]:
        return {item.source: (item.observed, item.says) for item in runs.verbs.explain(RUN, agent=agent).evidence}

    def test_shows_everything_that_was_looked_at(self, runs: Runs) -> None:
        begin(runs, "claude")
        do(runs, "claude", 'title("✳ Claude Code")', f"screen({CLAUDE_DIALOG!r})")
        do(runs, "claude", 'status("waiting", waitingFor="permission prompt")')
        said(runs, "claude", "working", "it uses a tool", age=60)
        becomes(runs, "claude", "waiting", "status file")
        until(lambda: "screen" in self.explained(runs, "claude"))
        found = self.explained(runs, "claude")
        assert list(found) == [
            *("exit record", "terminal", "status file", "title", "screen", "hook", "activity", "progress"),
        ]
        assert found["exit record"] == ("there is none", None)
        assert found["title"] == ("its title stands still", None)
        assert found["screen"] == ("it asks for a permission (a dialog is open)", "waiting")
        assert found["hook"] == ("it uses a tool", "healthy")

    def test_tells_of_an_agent_that_has_ended_how_it_did(self, runs: Runs) -> None:
        begin(runs, "shell")
        os.kill(child_of(runs.agent()), 9)
        until(lambda: runs.verbs.sweep(RUN) or runs.agent().status == "dead")
        explained = runs.verbs.explain(RUN, agent="shell")
        assert [(one.source, one.observed, one.says) for one in explained.evidence] == [
            ("exit record", "signal 9 killed it", "dead")
        ]


def child_of(agent: Agent) -> int:
    """Return the pid of the program, once its shim has started it."""
    children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children")
    (child,) = until(lambda: children.read_text().split())
    return int(child)


class TestRestartBudget:
    def die(self, runs: Runs) -> None:
        launch = runs.agent().launch
        os.kill(child_of(runs.agent()), 9)
        until(lambda: runs.verbs.sweep(RUN) or runs.agent().status == "dead")
        assert runs.agent().launch == launch

    def start_again(self, runs: Runs) -> None:
        """Do what a supervisor does: drive what is owed."""
        runs.verbs.resume(RUN)
        runs.verbs.finish(RUN)

    def test_lets_the_dead_start_again_so_often_and_then_the_run_fails(self, runs: Runs) -> None:
        begin(runs, "shell", health={"restart_budget": 2})
        for number in (1, 2):
            self.die(runs)
            assert (runs.agent().due, runs.run().status, runs.run().error) == ("budget", "running", None)
            assert runs.events("restart_due")[-1].message == f"it is started again: restart {number} of 2"
            self.start_again(runs)
            assert (runs.agent().status, runs.agent().automatic_restarts) == ("running", number)
        self.die(runs)
        assert (runs.agent().due, runs.run().status) == (None, "failed")
        assert runs.run().error == "T-1: shell died: signal 9 killed it; all 2 restarts of its budget are used"

    def test_begins_anew_when_a_person_restarts(self, runs: Runs) -> None:
        begin(runs, "shell", health={"restart_budget": 1})
        self.die(runs)
        self.start_again(runs)
        self.die(runs)
        runs.verbs.restart(RUN, agent="shell")
        assert runs.agent().automatic_restarts == 0
        self.die(runs)
        assert runs.agent().due == "budget"

    def test_is_not_for_who_has_failed(self, runs: Runs) -> None:
        begin(runs, "shell", health={"restart_budget": 2})
        do(runs, "shell", "sys.exit(3)")
        until(lambda: runs.verbs.sweep(RUN) or runs.agent().status == "failed")
        assert (runs.agent().due, runs.run().status) == (None, "failed")

    def test_is_none_by_default(self, runs: Runs) -> None:
        begin(runs, "shell")
        self.die(runs)
        assert (runs.agent().due, runs.run().status) == (None, "failed")
        assert runs.run().error == "T-1: shell died: signal 9 killed it"
