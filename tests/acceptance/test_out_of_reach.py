"""Signals and questions of agents that cannot write the database: they go by the drop box, both ways."""

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from cli_support import Cli, assert_refused
from conftest import Root, command

LEFT = "metawsm: The signal was left in the agent's drop box, to be found at the next look. "


class Reach:
    """A root whose agent `worker` works in run r1, and whose database can be put out of its reach."""

    def __init__(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cli = cli
        self.state = cli.root.path / ".metawsm"
        self.box = self.state / "drop/r1/T-1/worker"
        cli.root.repository("app")
        cli.root.agents(worker="sleep 600")
        cli("ticket", "create", "T-1")
        cli("run", "--ticket", "T-1", "--run-id", "r1")
        launch = cli.ask("status", "r1")["agents"][0]["launch"]
        sender = {"ROOT": str(cli.root.path), "RUN_ID": "r1", "TICKET": "T-1", "AGENT": "worker", "LAUNCH": launch}
        for name, value in sender.items():
            monkeypatch.setenv(f"METAWSM_{name}", value)

    def _set_version(self, version: int) -> int:
        with closing(sqlite3.connect(self.state / "metawsm.db")) as database:
            (before,) = database.execute("PRAGMA user_version").fetchone()
            database.execute(f"PRAGMA user_version = {version}")
            return int(before)

    @contextmanager
    def denied(self) -> Iterator[None]:
        """Let the database be that of a newer metawsm for the block: everything is refused, on any machine."""
        version = self._set_version(999)
        try:
            yield
        finally:
            self._set_version(version)

    def dropped(self) -> list[Path]:
        return [file for file in self.box.iterdir() if not file.name.startswith(".")]

    def agent(self) -> dict[str, Any]:
        (agent,) = self.cli.ask("status", "r1")["agents"]
        return dict(agent)

    def events(self) -> list[str]:
        return [event["type"] for event in self.cli.ask("history", "r1")["events"]]

    def wait_for_question(self) -> str:
        self.cli("wait", "r1", "--until", "awaiting_guidance", "--timeout", "30")
        return str(self.cli.ask("status", "r1")["guidance"][-1]["id"])


@pytest.fixture
def reach(root: Root, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Reach:
    return Reach(Cli(root, capfd, monkeypatch), monkeypatch)


def test_a_signal_is_left_in_the_drop_box_and_said_to_be_there(reach: Reach) -> None:
    with reach.denied():
        ran = reach.cli("signal", "done", "all of it")
        assert ran.out == ""
        assert ran.err.startswith(LEFT)
        assert "newer metawsm" in ran.err
        assert reach.cli.ask("signal", "progress") == {"event": None, "guidanceId": None}
    assert len(reach.dropped()) == 2
    assert reach.agent()["status"] == "completed"
    assert reach.dropped() == []
    assert reach.events().count("done") == 1


def test_without_a_drop_box_it_is_the_database_that_is_told_of(reach: Reach) -> None:
    shutil.rmtree(reach.box)
    with reach.denied():
        assert_refused(reach.cli("signal", "done", code=1), 1, "newer metawsm")


def test_a_database_that_is_hidden_is_out_of_reach_too(reach: Reach) -> None:
    database = reach.state / "metawsm.db"
    hidden = database.rename(reach.state / "hidden")
    assert LEFT in reach.cli("signal", "progress", "on").err
    hidden.rename(database)
    reach.agent()
    assert "progress" in reach.events()


@pytest.mark.parametrize(
    "words",
    [["guidance"], ["guidance", "--wait"], ["nonsense", "x"], ["done", "--run-id", "../r1"], ["done", "--agent", ".."]],
)
def test_what_makes_no_sense_is_refused_there_and_then(reach: Reach, words: list[str]) -> None:
    with reach.denied():
        assert reach.cli("signal", *words, code=2).err
    assert reach.dropped() == []


@contextmanager
def ask(reach: Reach, *flags: str, text: str = "Which one?") -> Iterator["subprocess.Popen[str]"]:
    """Ask while the database is out of reach; the block is given who waits for the answer."""
    with reach.denied():
        waiting = reach.cli.root.spawn(*flags, "signal", "guidance", text, "--choice", "this", "--wait")
        assert waiting.stderr is not None
        assert waiting.stderr.readline().startswith(LEFT)
    with waiting:
        try:
            yield waiting
        finally:
            waiting.kill()


def test_who_waits_at_the_drop_box_gets_the_answer_there(reach: Reach) -> None:
    with ask(reach) as waiting:
        asked = reach.wait_for_question()
        assert reach.cli("answer", asked, "that\nor “this”").out == "worker on T-1 has the answer.\n"
        assert waiting.communicate(timeout=60) == ("that\nor “this”\n", "")
        assert waiting.returncode == 0
    (kept,) = reach.cli.ask("status", "r1")["guidance"]
    assert (kept["status"], kept["choices"]) == ("answered", ["this"])
    assert kept["deliveredAt"] >= kept["answeredAt"]
    assert [file.name for file in reach.box.iterdir()] == []


def test_with_json_it_is_told_what_became_of_the_question(reach: Reach) -> None:
    with ask(reach, "--json") as waiting:
        asked = reach.wait_for_question()
        reach.cli("answer", asked, "this")
        answer = json.loads(waiting.communicate(timeout=60)[0])
    assert (answer["event"], answer["guidanceId"], answer["guidance"]["answer"]) == (None, asked, "this")


def test_two_questions_get_an_answer_each(reach: Reach) -> None:
    with ask(reach) as first, ask(reach, text="And then?") as second:
        reach.wait_for_question()
        asked = {one["question"]: one["id"] for one in reach.cli.ask("status", "r1")["guidance"]}
        reach.cli("answer", asked["And then?"], "then")
        reach.cli("answer", asked["Which one?"], "now")
        assert first.communicate(timeout=60)[0] == "now\n"
        assert second.communicate(timeout=60)[0] == "then\n"


@pytest.mark.parametrize(
    "end", [["stop", "r1"], ["complete", "r1"], ["restart", "r1", "--agent", "worker"], ["signal", "failed", "no"]]
)
def test_who_waits_is_told_at_once_that_the_question_was_withdrawn(reach: Reach, end: list[str]) -> None:
    with ask(reach) as waiting:
        reach.wait_for_question()
        reach.cli(*end)
        assert "withdrawn" in waiting.communicate(timeout=60)[1]
        assert waiting.returncode == 1


def test_a_drop_box_that_is_gone_keeps_nobody_from_anything(reach: Reach) -> None:
    with ask(reach) as waiting:
        reach.wait_for_question()
        shutil.rmtree(reach.box)
        reach.box.write_text("in the way")
        for launch in (reach.state / "agents/r1/T-1/worker/launches").iterdir():
            (launch / "exit").mkdir()
        assert reach.agent()["status"] == "waiting"
        reach.cli("stop", "r1")
        assert reach.agent()["status"] == "stopped"
        waiting.kill()


def test_who_waits_is_told_that_nobody_takes_the_question(reach: Reach) -> None:
    reach.cli("signal", "done")
    with ask(reach) as waiting:
        reach.cli("status", "r1")
        out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, out) == (1, "")
    assert "cannot ask" in err


def test_a_wait_that_was_cut_off_is_taken_up_by_asking_again(reach: Reach) -> None:
    with ask(reach) as cut_off:
        asked = reach.wait_for_question()
        cut_off.kill()
        cut_off.wait(timeout=60)
    with ask(reach) as again:
        reach.cli("answer", asked, "this")
        assert again.communicate(timeout=60)[0] == "this\n"
    assert len(reach.cli.ask("status", "r1")["guidance"]) == 1


def test_what_an_agent_puts_in_the_way_in_its_box_is_not_followed(reach: Reach, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("untouched")
    with ask(reach) as waiting:
        asked = reach.wait_for_question()
        (request,) = reach.box.glob(".reply-*")
        kept = request.read_text()
        request.unlink()
        request.symlink_to(secret)
        reach.cli("answer", asked, "this")
        request.unlink()
        os.mkfifo(request)
        reach.cli("status", "r1")
        request.unlink()
        request.write_text(kept)
        reach.cli("status", "r1")
        assert waiting.communicate(timeout=60)[0] == "this\n"
    assert secret.read_text() == "untouched"


SANDBOX = """
mount --bind "$2" "$3" && mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && mount --bind "$3" "$2" || exit 111
shift 3
exec "$@"
"""
"""Runs a command where a folder may only be read, but for one inside of it: STATE BOX PLACE COMMAND."""


@pytest.fixture
def sandbox(reach: Reach, tmp_path: Path) -> list[str]:
    """Return how a command line is run that may write nothing of metawsm's but the drop box; else skip."""
    place = tmp_path / "place"
    place.mkdir()
    run = ["unshare", "--mount", "--map-root-user", "sh", "-c", SANDBOX, "sh", reach.state, reach.box, place]
    argv = [str(word) for word in run]
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare here, so nothing can be mounted for one process")
    probe = subprocess.run([*argv, "touch", reach.state / "x"], capture_output=True, text=True, check=False)
    if probe.returncode == 0 or "Read-only" not in probe.stderr:
        pytest.skip(f"this machine lets nobody mount in a namespace of his own: {probe.stderr.strip()}")
    return argv


def test_in_a_sandbox_that_may_only_read_the_database(reach: Reach, sandbox: list[str]) -> None:
    said = subprocess.run(
        [*sandbox, *command("signal", "progress", "from inside")], capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stdout) == (0, ""), said
    assert said.stderr.startswith(LEFT)
    reach.agent()
    assert "progress" in reach.events()


def test_in_a_sandbox_a_question_gets_its_answer(reach: Reach, sandbox: list[str]) -> None:
    argv = [*sandbox, *command("signal", "guidance", "Which one?", "--wait")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr is not None
        assert waiting.stderr.readline().startswith(LEFT)
        reach.cli("answer", reach.wait_for_question(), "this")
        assert waiting.communicate(timeout=60)[0] == "this\n"


def test_in_a_sandbox_a_hook_is_heard(reach: Reach, sandbox: list[str]) -> None:
    told = subprocess.run(
        [*sandbox, *command("hook", "claude")],
        input='{"hook_event_name": "Stop"}',
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    reach.cli("status", "r1")
    assert "observe_idle" in reach.events()


LOOKS = (
    ["status"],
    ["status", "r1"],
    ["explain", "r1", "--agent", "worker"],
    ["history", "r1"],
    ["logs", "r1"],
    ["attach", "r1"],
    ["diff", "r1"],
    ["wait", "r1", "--until", "running"],
    ["tickets"],
    ["doctor"],
)


def test_where_only_reading_is_possible_looking_is_and_nothing_else(reach: Reach, sandbox: list[str]) -> None:
    def inside(*words: str) -> "subprocess.CompletedProcess[str]":
        argv = [*sandbox, *command(*words)]
        folder = reach.cli.root.path
        return subprocess.run(
            argv, capture_output=True, text=True, check=False, cwd=folder, stdin=subprocess.DEVNULL, timeout=100
        )

    for words in LOOKS:
        looked = inside("--json", *words)
        assert looked.returncode == 0, looked
        assert json.loads(looked.stdout).keys() == reach.cli.ask(*words).keys()
    assert inside("status").stderr == "metawsm: .metawsm cannot be written, so this is what was recorded last.\n"
    for words in (["stop", "r1"], ["restart", "r1", "--agent", "worker"], ["run", "--ticket", "T-1"]):
        refused = inside(*words)
        assert (refused.returncode, refused.stdout) == (1, ""), refused
        assert "cannot be written, so metawsm only reads here" in refused.stderr
    assert reach.agent()["status"] == "running"
