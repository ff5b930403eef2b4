"""`metawsm hook`: what an agent's program tells by its hooks, and what that moves."""

import json
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import pytest
from cli_support import Cli
from conftest import Root, command

PROMPT = {"hook_event_name": "UserPromptSubmit", "session_id": "s-1", "prompt": "go"}
TOOL = {"hook_event_name": "PreToolUse", "session_id": "s-1", "tool_name": "Bash", "tool_input": {"command": "make"}}
TOOL_ENDED = {**TOOL, "hook_event_name": "PostToolUse"}
ASKS = {**TOOL, "hook_event_name": "PermissionRequest"}
STOPPED = {"hook_event_name": "Stop", "session_id": "s-1"}
FAILED = {"hook_event_name": "StopFailure", "session_id": "s-1", "error": "billing_error"}


class Hooked:
    """A root whose run r1 has an agent, and what its program's hooks tell."""

    def __init__(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cli = cli
        self.root = cli.root
        self._monkeypatch = monkeypatch
        self.environment: dict[str, str] = {}

    def start(self) -> None:
        """Start the agent."""
        self.root.repository("app")
        self.root.policy(agents=[self.root.agent("worker", "sleep 600", profile="claude")])
        self.cli("ticket", "create", "T-1")
        self.cli("run", "--ticket", "T-1", "--run-id", "r1")
        self.environment = {
            "METAWSM_ROOT": str(self.root.path),
            "METAWSM_RUN_ID": "r1",
            "METAWSM_TICKET": "T-1",
            "METAWSM_AGENT": "worker",
            "METAWSM_LAUNCH": str(self.agent["launch"]),
        }

    @property
    def agent(self) -> dict[str, Any]:
        """The agent as the store has it, without another look at it."""
        import sqlite3

        with sqlite3.connect(self.root.path / ".metawsm" / "metawsm.db") as database:
            database.row_factory = sqlite3.Row
            return dict(database.execute("SELECT * FROM agents").fetchone())

    def tell(
        self, payload: Mapping[str, Any] | str, runner: str = "claude", env: Mapping[str, str] | None = None
    ) -> None:
        """Call the hook with a payload; it exits with 0 and prints nothing."""
        text = payload if isinstance(payload, str) else json.dumps(payload)
        with self._monkeypatch.context() as patch, tempfile.TemporaryFile("w+") as payload_file:
            for name, value in (self.environment if env is None else env).items():
                patch.setenv(name, value)
            payload_file.write(text)
            payload_file.seek(0)
            patch.setattr("sys.stdin", payload_file)
            ran = self.cli("hook", runner)
        assert (ran.out, ran.err) == ("", "")

    def signal(self, *words: str) -> None:
        """Let the agent itself say something."""
        with self._monkeypatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            self.cli("signal", *words)

    def moves(self) -> list[str]:
        """Return the statuses that the agent has come to."""
        events = self.cli.ask("history", "r1")["events"]
        return [event["to"] for event in events if event["entity"] == "agent" and event["type"].startswith("observe_")]

    def seq(self) -> int:
        """Return the number of the last event."""
        return int(self.cli.ask("events")["seq"])


@pytest.fixture
def cli(root: Root, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    return Cli(root, capfd, monkeypatch)


@pytest.fixture
def hooked(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Hooked:
    hooked = Hooked(cli, monkeypatch)
    hooked.start()
    return hooked


def test_a_hook_says_what_the_agent_does_and_in_which_words(hooked: Hooked) -> None:
    before = hooked.agent["last_progress_at"]
    hooked.tell(STOPPED)
    assert (hooked.agent["status"], hooked.agent["said_what"]) == ("idle", "its turn is over")
    hooked.tell(PROMPT)
    assert (hooked.agent["status"], hooked.agent["said"], hooked.agent["said_by"]) == ("running", "working", "hook")
    hooked.tell(ASKS)
    assert (hooked.agent["status"], hooked.agent["said_what"]) == ("waiting", "it asks for a permission: make")
    hooked.tell(FAILED)
    assert (hooked.agent["status"], hooked.agent["said"]) == ("waiting", "error")
    assert hooked.agent["said_what"] == "its turn failed: billing_error"
    assert hooked.agent["last_progress_at"] == before, "a hook is no progress"


def test_what_is_no_news_is_not_written_down(hooked: Hooked) -> None:
    hooked.tell(PROMPT)
    seq = hooked.seq()
    kept = hooked.agent["said_at"]
    for _ in range(3):
        hooked.tell(TOOL)
        hooked.tell(TOOL_ENDED)
    assert hooked.seq() == seq
    assert hooked.agent["said_at"] == kept


def test_a_reminder_does_not_take_away_what_is_asked(hooked: Hooked) -> None:
    hooked.tell(ASKS)
    hooked.tell({"hook_event_name": "Notification", "notification_type": "permission_prompt", "session_id": "s-1"})
    assert hooked.agent["said_what"] == "it asks for a permission: make"
    hooked.tell({**ASKS, "tool_input": {"command": "make install"}})
    assert hooked.agent["said_what"] == "it asks for a permission: make install"
    hooked.tell({**ASKS, "tool_name": "AskUserQuestion", "tool_input": {"questions": [{"question": "Keep it?"}]}})
    # The reminder of a question speaks of a permission.
    hooked.tell({"hook_event_name": "Notification", "notification_type": "permission_prompt", "session_id": "s-1"})
    assert hooked.agent["said_what"] == "it asks a question: Keep it?"


def test_what_an_agent_asks_cannot_reach_a_terminal(hooked: Hooked) -> None:
    hooked.tell({**ASKS, "tool_input": {"command": "echo \x1b]0;x\x07\x1b[31mred\n\n" + "x" * 500}})
    said = hooked.agent["said_what"]
    assert said.startswith("it asks for a permission: echo red xxx")
    assert said.endswith("x…")
    assert len(said) < 260


def test_done_is_not_taken_back_by_the_tool_that_said_it(hooked: Hooked) -> None:
    hooked.tell(PROMPT)
    hooked.tell(TOOL)
    hooked.signal("done", "all of it")
    its_own = {**PROMPT, "prompt": "<task-notification>\n<task-id>b1</task-id>"}
    for payload in (TOOL_ENDED, TOOL, ASKS, STOPPED, FAILED, its_own):
        hooked.tell(payload)
        assert hooked.agent["status"] == "completed"
    hooked.tell(PROMPT)
    assert hooked.agent["status"] == "running", "somebody has asked it for more"


def test_an_agent_that_said_it_waits_does_so_until_it_begins_something(hooked: Hooked) -> None:
    hooked.tell(TOOL)
    hooked.signal("waiting", "for the key")
    for payload in (TOOL_ENDED, STOPPED):
        hooked.tell(payload)
        assert (hooked.agent["status"], hooked.agent["said_what"]) == ("waiting", "for the key")
    hooked.tell(TOOL)
    assert (hooked.agent["status"], hooked.agent["said_by"]) == ("running", "hook")


def test_an_agent_that_was_stopped_or_failed_stays_so(hooked: Hooked) -> None:
    hooked.signal("failed", "no")
    hooked.tell(PROMPT)
    assert hooked.agent["status"] == "failed"
    hooked.cli("stop", "r1")
    hooked.tell(PROMPT)
    assert hooked.agent["status"] == "failed"


def test_an_earlier_launch_and_somebody_else_tell_nothing(hooked: Hooked) -> None:
    before = (hooked.agent, hooked.seq())
    hooked.tell(STOPPED, env={**hooked.environment, "METAWSM_LAUNCH": "0123456789abcdef"})
    hooked.tell(STOPPED, env={**hooked.environment, "METAWSM_AGENT": "nobody"})
    hooked.tell(STOPPED, env={**hooked.environment, "METAWSM_RUN_ID": "r2"})
    assert (hooked.agent, hooked.seq()) == before


@pytest.mark.parametrize(
    "payload",
    ["", "not JSON", "[]", "null", "{}", '{"hook_event_name": 3}', '{"hook_event_name": "Unheard"}', "{" * 100_000],
)
def test_what_makes_no_sense_is_passed_over(hooked: Hooked, payload: str) -> None:
    before = hooked.agent
    hooked.tell(payload)
    assert hooked.agent == before


def test_a_hook_outside_of_any_run_is_silent_and_makes_nothing(
    root: Root, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooked = Hooked(cli, monkeypatch)
    hooked.tell(STOPPED)
    hooked.tell(STOPPED, runner="unheard")
    gone = {"METAWSM_ROOT": str(root.path / "gone"), "METAWSM_RUN_ID": "r1", "METAWSM_TICKET": "T-1"}
    hooked.tell(STOPPED, env={**gone, "METAWSM_AGENT": "a", "METAWSM_LAUNCH": "l"})
    hooked.tell(STOPPED, env={**gone, "METAWSM_ROOT": str(root.path), "METAWSM_AGENT": "a", "METAWSM_LAUNCH": "l"})
    assert list(root.path.iterdir()) == []


def test_a_prompt_tells_which_conversation_can_be_gone_on_with(hooked: Hooked) -> None:
    hooked.tell(STOPPED)
    assert hooked.agent["conversation"] is None, "a session that was never asked anything cannot be resumed"
    hooked.tell(PROMPT)
    launch = hooked.environment["METAWSM_LAUNCH"]
    assert (hooked.agent["conversation"], hooked.agent["conversation_launch"]) == ("s-1", launch)
    hooked.tell({**PROMPT, "session_id": "s-2"})
    assert hooked.agent["conversation"] == "s-2", "the person has begun a new one"


def test_opencode_tells_its_conversation_in_its_own_way(hooked: Hooked) -> None:
    hooked.tell({"type": "chat.message", "properties": {"sessionID": "ses_1"}}, "opencode")
    assert hooked.agent["conversation"] == "ses_1"
    hooked.tell({"type": "session.idle", "properties": {"sessionID": "ses_1"}}, "opencode")
    assert hooked.agent["status"] == "idle"
    asked = {"sessionID": "ses_1", "patterns": ["rm *"], "metadata": {}}
    hooked.tell({"type": "permission.asked", "properties": asked}, "opencode")
    assert hooked.agent["said_what"] == "it asks for a permission: rm *"


def test_while_the_database_is_busy_the_hook_goes_to_the_drop_box(hooked: Hooked) -> None:
    import sqlite3

    with sqlite3.connect(hooked.root.path / ".metawsm" / "metawsm.db", isolation_level=None) as database:
        database.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        hooked.tell(STOPPED)
        assert time.monotonic() - began < 10
        database.execute("ROLLBACK")
    box = hooked.root.path / ".metawsm/drop/r1/T-1/worker"
    (dropped,) = (file for file in box.iterdir() if not file.name.startswith("."))
    assert json.loads(dropped.read_text())["heard"]["told"]["said"] == "idle"
    hooked.cli("status", "r1")
    assert "idle" in hooked.moves()
    assert (hooked.agent["said"], hooked.agent["said_by"]) == ("idle", "hook")


@pytest.mark.parametrize(
    "text", ['{"heard": 3}', '{"heard": {"told": {}}}', '{"heard": {"told": {"said": "x", "what": ""}}}']
)
def test_what_lies_in_the_drop_box_and_is_no_word_of_a_hook_is_refused(hooked: Hooked, text: str) -> None:
    (hooked.root.path / ".metawsm/drop/r1/T-1/worker/1").write_text(text)
    hooked.cli("status", "r1")
    assert "signal_refused" in [event["type"] for event in hooked.cli.ask("history", "r1")["events"]]


def test_as_a_process_of_its_own_it_is_quick_and_silent(hooked: Hooked) -> None:
    took = []
    for payload in (PROMPT, STOPPED, PROMPT):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            command("hook", "claude"),
            input=json.dumps(payload),
            capture_output=True,
            text=True,
            cwd="/",
            env={**os.environ, **hooked.environment},
            timeout=60,
            check=False,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert hooked.agent["status"] == "running"
    # Of the processor, so that it does not matter what else the machine does; it takes less than 0.1 s of it.
    assert min(took) < 0.5


@pytest.mark.parametrize("text", [json.dumps(STOPPED) + "\n", '{"hook_event_name": ', ""])
def test_it_ends_although_its_input_stays_open(hooked: Hooked, text: str) -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, text.encode())
        started = time.monotonic()
        done = subprocess.run(
            command("hook", "claude"),
            stdin=reading,
            env={**os.environ, **hooked.environment},
            cwd=hooked.root.path,
            capture_output=True,
            timeout=30,
            check=False,
        )
        took = time.monotonic() - started
    finally:
        os.close(writing)
        os.close(reading)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    if text.endswith("\n"):
        assert hooked.agent["status"] == "idle", "what was whole is told"
    else:
        assert took < 10
