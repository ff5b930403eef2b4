"""Text in an agent's terminal: there whole and once, sent, and never an answer to something else."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from terminal_support import SOCKET, Agents, private_server, until

from metawsm_rpc.hosts.tmux import typing
from metawsm_rpc.ports.terminals import Launch, Sent

PROGRAM = str(Path(__file__).with_name("prompting_program.py"))

TAKEN = Sent(delivered=True, reason=None)

TEXTS = [
    "hello",
    "hello",
    "first\n\n  third, indented\n\twith a tab",
    "\"a\" 'b' `c` $HOME \\; ; #{pane_id} #(touch executed) %if {x} ~ !",
    "é 漢字 ไทย 🙂 👩‍👩‍👧 שלום",
    "\n".join(f"line {number} of 100 kB of text with \ttabs and é" for number in range(2200)),
    "x" * 20_000,
    "-t looks like a flag",
    "hello",
]


@pytest.fixture
def agents(monkeypatch):
    with private_server(monkeypatch) as agents:
        yield agents


@pytest.fixture
def impatience(monkeypatch):
    """Let tests of what never happens be quick; what does happen may take its time on a slow machine."""
    monkeypatch.setattr(typing, "_PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(typing, "_ENTER_SECONDS", 0.5)


class Program:
    """The program with an input line in a terminal."""

    def __init__(self, agents: Agents, *flags: str, runner: str = "shell") -> None:
        self.file = agents.root / "received"
        self.agents = agents
        self.runner = runner
        self.launch, _ = agents.start(sys.executable, PROGRAM, str(self.file), *flags)
        until(lambda: flags[-2:] == ("--look", "silent") or self.screen().strip())

    def send(self, text: str, *, forced: bool = False) -> Sent:
        return send(self.agents, self.launch, text, runner=self.runner, forced=forced)

    def screen(self) -> str:
        return self.agents.terminals.capture(self.launch.session, self.launch.launch)

    def received(self) -> list[str]:
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []


def send(agents: Agents, launch: Launch, text: str, *, runner: str = "shell", forced: bool = False) -> Sent:
    return agents.terminals.send(
        launch.session, launch.launch, text, directory=launch.directory, runner=runner, forced=forced
    )


def tmux(*arguments: str) -> str:
    done = subprocess.run(["tmux", "-L", SOCKET, *arguments], capture_output=True, text=True, check=True)
    return done.stdout


class TestAText:
    @pytest.mark.parametrize(("look", "runner"), [("line", "shell"), ("claude", "claude")])
    def test_is_received_whole_and_once(self, agents: Agents, look: str, runner: str) -> None:
        program = Program(agents, "--look", look, runner=runner)
        for text in TEXTS:
            assert program.send(text) == TAKEN
        assert program.received() == TEXTS
        assert tmux("list-buffers") == ""
        assert not (agents.root / "executed").exists()

    def test_goes_line_by_line_to_a_program_that_asks_for_no_bracketed_paste(self, agents: Agents) -> None:
        program = Program(agents, "--plain")
        assert program.send("one\ntwo") == TAKEN
        assert program.received() == ["one", "two"]

    def test_is_read_by_a_shell_and_by_python(self, agents: Agents) -> None:
        shell, _ = agents.start("bash", "--norc", "-i")
        python, _ = agents.start("python3", "-q")
        for launch, prompt in ((shell, b"bash"), (python, b">>> ")):
            agents.wait_for_output(launch, prompt)
        assert send(agents, shell, "echo $((40 + 2))\necho $((50 + 3))") == TAKEN
        assert send(agents, python, "print(40 + 2)\nprint(50 + 3)") == TAKEN
        for launch in (shell, python):
            agents.wait_for_output(launch, b"42")
            agents.wait_for_output(launch, b"53")

    def test_is_read_by_who_reads_lines(self, agents: Agents) -> None:
        launch, _ = agents.start("sh", "-c", 'echo ready; read x; echo "got <$x>"; sleep 60')
        agents.wait_for_output(launch, b"ready")
        assert send(agents, launch, 'it\'s "me"') == TAKEN
        agents.wait_for_output(launch, b'got <it\'s "me">')

    def test_may_end_the_program(self, agents: Agents) -> None:
        launch, _ = agents.start("sh", "-c", "echo ready; read x")
        agents.wait_for_output(launch, b"ready")
        assert send(agents, launch, "exit") == Sent(delivered=True, reason="its program has ended since")

    def test_of_two_senders_at_once_is_not_mixed(self, agents: Agents) -> None:
        program = Program(agents)
        texts = [f"{sender} {number}\nof {sender}" for sender in "ab" for number in range(3)]
        threads = [
            threading.Thread(target=lambda own=sender: [program.send(text) for text in texts if text[0] == own])
            for sender in "ab"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(program.received()) == texts


class TestEnter:
    def test_comes_late_enough_after_a_paste(self, agents: Agents) -> None:
        program = Program(agents, "--within", "0.1")
        assert program.send("hello") == TAKEN
        assert "* 5 bytes, 0 lost" in program.screen()

    @pytest.mark.parametrize(("look", "runner"), [("line", "shell"), ("claude", "claude"), ("claude", "shell")])
    def test_comes_again_when_it_was_lost(self, agents: Agents, look: str, runner: str) -> None:
        program = Program(agents, "--swallow", "2", "--look", look, runner=runner)
        assert program.send("hello") == TAKEN
        assert program.received() == ["hello"]

    @pytest.mark.usefixtures("impatience")
    @pytest.mark.parametrize(("look", "runner"), [("line", "shell"), ("claude", "claude")])
    def test_does_not_come_for_ever(self, agents: Agents, look: str, runner: str) -> None:
        program = Program(agents, "--swallow", "9", "--look", look, runner=runner)
        sent = program.send("hello")
        assert not sent.delivered
        assert "did not take Enter" in (sent.reason or "")
        assert program.received() == []

    def test_comes_once_to_a_program_that_shows_nothing(self, agents: Agents) -> None:
        program = Program(agents, "--look", "silent")
        agents.wait_for_output(program.launch, b"\x1b[?2004h")
        sent = program.send("secret")
        assert sent == Sent(delivered=True, reason="it has read it, and shows nothing of it on its screen")
        assert program.received() == ["secret"]


class TestADialog:
    def test_is_not_answered_by_a_text(self, agents: Agents) -> None:
        program = Program(agents, "--look", "claude", "--dialog", "start", runner="claude")
        before = program.screen()
        sent = program.send("hello")
        assert not sent.delivered
        assert sent.reason == "it waits for a decision (permission): a dialog is open"
        assert (program.received(), program.screen()) == ([], before)

    def test_is_answered_when_that_is_forced(self, agents: Agents) -> None:
        program = Program(agents, "--look", "claude", "--dialog", "start", runner="claude")
        assert program.send("2", forced=True).delivered
        assert program.received() == ["2"]

    def test_that_opens_meanwhile_gets_no_enter(self, agents: Agents) -> None:
        program = Program(agents, "--look", "claude", "--dialog", "paste", runner="claude")
        sent = program.send("hello")
        assert not sent.delivered
        assert "Enter not pressed" in (sent.reason or "")
        assert program.received() == []

    def test_that_follows_does_not_mean_that_nothing_was_taken(self, agents: Agents) -> None:
        program = Program(agents, "--look", "claude", "--dialog", "enter", runner="claude")
        assert program.send("hello") == TAKEN
        assert program.received() == ["hello"]


class TestNothingIsClaimed:
    def assert_refused(self, sent: Sent, words: str) -> None:
        assert not sent.delivered
        assert words in (sent.reason or ""), sent

    @pytest.mark.usefixtures("impatience")
    def test_of_a_text_that_did_not_appear(self, agents: Agents) -> None:
        program = Program(agents, "--look", "frozen", runner="claude")
        self.assert_refused(program.send("hello"), "did not appear in its input line")
        assert program.received() == []

    def test_of_an_input_line_that_is_not_there(self, agents: Agents, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(typing, "_OPENING_SECONDS", 0.3)
        program = Program(agents, runner="claude")
        self.assert_refused(program.send("hello"), "its input line is not on its screen")

    @pytest.mark.usefixtures("impatience")
    def test_of_a_program_that_does_not_read(self, agents: Agents) -> None:
        program = Program(agents, "--busy", "60")
        self.assert_refused(program.send("hello"), "does not read its input now")
        launch, _ = agents.start("sleep", "60")
        self.assert_refused(send(agents, launch, "hello"), "has not read it yet")

    def test_of_a_line_that_the_terminal_would_cut(self, agents: Agents) -> None:
        launch, _ = agents.start("sh", "-c", "echo ready; exec cat")
        agents.wait_for_output(launch, b"ready")
        self.assert_refused(send(agents, launch, "x" * 5000), "4095 bytes of a line" if sys.platform == "linux" else "")
        assert b"x" not in agents.printed(launch)

    def test_of_a_terminal_that_is_closed_or_somebody_elses(self, agents: Agents) -> None:
        program = Program(agents)
        other = program.launch._replace(launch="another")
        self.assert_refused(send(agents, other, "hello"), "closed")
        agents.end(program.launch)
        self.assert_refused(program.send("hello"), "closed")

    def test_of_a_terminal_that_takes_no_input(self, agents: Agents) -> None:
        program = Program(agents)
        tmux("select-pane", "-d", "-t", f"={program.launch.session}:")
        self.assert_refused(program.send("hello"), "takes no input")


def test_who_reads_back_in_the_terminal_is_not_disturbed_unless_that_is_forced(agents: Agents) -> None:
    program = Program(agents)
    target = f"={program.launch.session}:"
    tmux("copy-mode", "-t", target)
    sent = program.send("hello")
    assert not sent.delivered
    assert "copy mode" in (sent.reason or "")
    assert tmux("display-message", "-p", "-t", target, "#{pane_in_mode}") == "1\n"
    assert program.send("hello", forced=True) == TAKEN
    assert program.received() == ["hello"]


class TestADraftOfSomebodyElse:
    FLAGS = ("--look", "claude", "--cursor")

    def test_is_left_alone_and_told_of(self, agents: Agents) -> None:
        program = Program(agents, *self.FLAGS, "--draft", "please also\nupdate the", runner="claude")
        sent = program.send("hello")
        assert not sent.delivered
        assert 'stands in its input line, "please also update the"' in (sent.reason or "")
        assert program.received() == []
        assert program.send("!", forced=True) == TAKEN
        assert program.received() == ["please also\nupdate the!"]

    def test_that_is_sent_at_that_moment_is_waited_for(self, agents: Agents) -> None:
        program = Program(agents, *self.FLAGS, "--draft", "please", "--clear", "0.5", runner="claude")
        assert program.send("hello") == TAKEN
        assert program.received() == ["hello"]

    def test_is_not_seen_in_an_example_that_an_empty_box_shows(self, agents: Agents) -> None:
        program = Program(agents, *self.FLAGS, runner="claude")
        until(lambda: "Try something" in program.screen())
        for text in ("hello", "more"):
            assert program.send(text) == TAKEN
        assert program.received() == ["hello", "more"]

    def test_is_none_where_the_program_is_not_known(self, agents: Agents) -> None:
        program = Program(agents, *self.FLAGS, "--draft", "please ")
        assert program.send("hello") == TAKEN
        assert program.received() == ["please hello"]
