"""The live view as a person sees it: in a real terminal, with keys that are typed."""

import fcntl
import json
import os
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_support import Cli, sessions
from conftest import DONE, Root, command

ASKS = '"$METAWSM_BIN" signal guidance "Which [bold]store[/bold]?" --choice sqlite --choice postgres --wait > "$METAWSM_WORKSPACE/../answer"\nsleep 600'

IN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Replaces itself by a command line whose controlling terminal is its standard input."""


@pytest.fixture
def cli(root: Root, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    return Cli(root, capfd, monkeypatch)


class Screen:
    """A terminal of 80 by 24 that a person sits at, with the live view in it."""

    def __init__(self, root: Root, *, size: tuple[int, int] = (80, 24)) -> None:
        self._socket = "person"
        self.exit = root.path / "exit"
        watch = f"{shlex.join(command('watch'))}; echo $? > {self.exit}; sleep 100"
        columns, lines = map(str, size)
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", columns, "-y", lines, "-c", str(root.path), watch)

    def _tmux(self, *words: str) -> str:
        return subprocess.run(["tmux", "-L", self._socket, *words], capture_output=True, text=True, check=True).stdout

    def shown(self) -> str:
        return self._tmux("capture-pane", "-p")

    def type(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def sees(self, *words: str, but: str | None = None) -> str:
        """Wait until all of this is on the screen, and `but` is not."""
        return until(
            self.shown, lambda shown: all(word in shown for word in words) and (but is None or but not in shown)
        )

    def status(self) -> int:
        """Wait until the view has ended, and return its exit status."""
        return int(until(lambda: self.exit.read_text() if self.exit.exists() else "", lambda text: text.endswith("\n")))

    def pid(self) -> int:
        """Return the process of the view."""
        shell = self._tmux("display-message", "-p", "#{pane_pid}").strip()
        children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        return int(children[0])


def until(look: Callable[[], str], enough: Callable[[str], bool], seconds: float = 60) -> str:
    """Look again and again until it is enough; fail with what was seen last."""
    deadline = time.monotonic() + seconds
    while not enough(seen := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s:\n{seen}"
        time.sleep(0.05)
    return seen


@pytest.fixture
def asked(cli: Cli) -> Iterator[Root]:
    """Return a root with run r1, one agent of which has asked, while the other prints."""
    root = cli.root
    root.repository("app")
    root.agents(asker=ASKS, worker="printf '\\033[31mred\\033[0m [bold]text[/bold]\\n'; sleep 600")
    cli("ticket", "create", "T-1")
    cli("run", "--ticket", "T-1", "--run-id", "r1")
    cli("wait", "r1", "--until", "awaiting_guidance", "--timeout", "20")
    yield root
    cli("stop", "r1", code=None)


def test_a_person_sees_answers_reads_and_stops_in_80_by_24(asked: Root, cli: Cli) -> None:
    screen = Screen(asked)
    shown = screen.sees("supervising", "asker", "worker", "waiting", "Which [bold]store[/bold]?", "sqlite | postgres")
    assert "awaiting guidance" in shown

    screen.type("a")
    screen.sees("asker on T-1 asks", "or write another answer")
    screen.type("Down", "Enter")
    screen.sees("answered", "Questions (0 open)")
    (answer,) = Path(os.environ["METAWSM_WORKSPACE_DIRECTORY"]).rglob("answer")
    until(answer.read_text, lambda text: text == "postgres\n")

    screen.type("Down", "l")
    screen.sees("worker on T-1: what it prints", "red [bold]text[/bold]")
    screen.type("Escape")
    screen.sees("Runs (1)")

    screen.type("s")
    screen.sees("Stop run r1 and its agents?")
    screen.type("n")
    screen.sees("Runs (1)", but="Stop run r1")
    assert cli.ask("status", "r1")["run"]["status"] == "running"
    screen.type("s")
    screen.sees("Stop run r1 and its agents?")
    screen.type("y")
    screen.sees("r1   stopped", "2 stopped")
    assert sessions() == []

    screen.type("q")
    assert screen.status() == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_view_in_order(asked: Root, cli: Cli, number: signal.Signals, status: int) -> None:
    screen = Screen(asked)
    screen.sees("supervising", "worker")
    os.kill(screen.pid(), number)
    assert screen.status() == status
    assert "2 agents go on" in screen.shown()
    assert len(sessions()) == 2
    assert lease_is_free(cli)


def test_a_signal_ends_the_view_in_order_however_long_what_it_does_takes(cli: Cli) -> None:
    cli.root.repository("app")
    # Hung up, it lives until it is killed after 5 seconds.
    cli.root.agents(worker="trap '' HUP; echo ready; while :; do sleep 600; done")
    cli("ticket", "create", "T-1")
    cli("run", "--ticket", "T-1", "--run-id", "r1")
    screen = Screen(cli.root)
    screen.sees("supervising", "worker")
    screen.type("r")
    screen.sees("Restart")
    screen.type("y")
    screen.sees("supervising", but="Restart ")
    os.kill(screen.pid(), signal.SIGTERM)
    assert screen.status() == 143
    assert "1 agent goes on" in screen.shown()
    cli("stop", "r1")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_view_whose_terminal_takes_no_output(
    asked: Root, cli: Cli, number: signal.Signals, status: int
) -> None:
    terminal, inner = os.openpty()
    watch = subprocess.Popen(
        [sys.executable, "-c", IN_TERMINAL, *command("watch")],
        cwd=asked.path,
        env={**os.environ, "TERM": "xterm-256color"},
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
    )
    os.close(inner)
    until(lambda: "" if lease_is_free(cli) else "taken", bool)
    # Each new size has the view draw itself anew, until it waits for somebody to read what it has drawn.
    for n in range(100):
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24 + n % 2, 80, 0, 0))
        time.sleep(0.02)
    watch.send_signal(number)
    assert watch.wait(60) == status
    os.close(terminal)
    assert len(sessions()) == 2


def test_an_agents_terminal_opens_and_the_view_comes_back_and_agents_go_on_when_it_ends(asked: Root, cli: Cli) -> None:
    screen = Screen(asked)
    screen.sees("supervising", "worker")
    screen.type("Down", "o")
    screen.sees("red [bold]text[/bold]", "C-b d detaches")
    screen.type("C-b", "d")
    screen.sees("Agents of run r1 (2)", "supervising")
    screen.type("q")
    assert screen.status() == 0
    screen.sees("2 agents go on")
    assert len(sessions()) == 2
    assert lease_is_free(cli)


def test_a_second_view_says_who_supervises_takes_over_and_ends_by_ctrl_c_from_a_dialog(asked: Root) -> None:
    with asked.spawn("watch") as first:
        assert "Watching" in first.stderr.readline()  # type: ignore[union-attr]
        screen = Screen(asked, size=(120, 30))
        screen.sees(f"another process supervises (pid {first.pid})")
        first.send_signal(signal.SIGINT)
        assert first.wait(60) == 130
    screen.sees("  supervising")
    screen.type("a")
    screen.sees("or write another answer")
    screen.type("C-c")
    assert screen.status() == 130


def test_runs_that_begin_and_end_elsewhere_are_seen(cli: Cli) -> None:
    root = cli.root
    root.repository("app")
    root.agents(worker=f"{DONE}sleep 600")
    screen = Screen(root)
    screen.sees("There are no runs here yet")
    assert not (root.path / ".metawsm" / "metawsm.db").exists()
    cli("ticket", "create", "T-1")
    cli("run", "--ticket", "T-1", "--run-id", "r1")
    screen.sees("r1   completed", "1 completed")
    screen.type("c")
    screen.sees("Close run r1?", "app: T-1 into main (none")
    screen.type("y")
    screen.sees("1 closed: z")
    screen.type("z")
    screen.sees("r1   closed")


def test_an_error_of_a_verb_is_told_with_its_hint(asked: Root, cli: Cli) -> None:
    screen = Screen(asked)
    screen.sees("supervising", "worker")
    cli("stop", "r1")
    screen.sees("r1   stopped")
    screen.type("o")
    screen.sees("The terminal of asker on T-1 is closed")
    screen.sees("metawsm logs r1")


# --- without a screen ---


def test_without_a_terminal_each_event_is_a_line(cli: Cli) -> None:
    root = cli.root
    root.repository("app")
    root.agents(worker=f'"$METAWSM_BIN" signal progress "$(printf \'half \\033]0;evil\\007\')"\n{DONE}sleep 600')
    cli("ticket", "create", "T-1")
    with root.spawn("watch") as plain, root.spawn("watch", "--json") as as_json:
        for watching in (plain, as_json):
            assert "Watching" in watching.stderr.readline()  # type: ignore[union-attr]
        cli("run", "--ticket", "T-1", "--run-id", "r1", "--wait")
        told = until_line(plain, "running to completed")
        documents = [json.loads(line) for line in until_line(as_json, '"completed"').splitlines()]
        for watching, status in ((plain, 130), (as_json, 130)):
            watching.send_signal(signal.SIGINT)
            assert watching.wait(60) == status
    assert "half" in told
    assert "\x1b" not in told
    assert [one["seq"] for one in documents] == list(range(1, len(documents) + 1))
    assert len(sessions()) == 1
    assert lease_is_free(cli)


def test_who_reads_the_lines_may_go_away(asked: Root, cli: Cli) -> None:
    with asked.spawn("watch") as watching:
        assert "Watching" in watching.stderr.readline()  # type: ignore[union-attr]
        watching.stdout.close()  # type: ignore[union-attr]
        cli("stop", "r1")
        assert watching.wait(60) == 141


def until_line(watching: "subprocess.Popen[str]", words: str) -> str:
    """Return the lines up to the one that has these words."""
    told = ""
    for line in watching.stdout or ():
        told += line
        if words in line:
            return told
    raise AssertionError(told)


def lease_is_free(cli: Cli) -> bool:
    """Return whether nobody supervises the root."""
    return not list((cli.root.path / ".metawsm" / "locks").glob("_root.*"))
