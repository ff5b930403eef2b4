"""An agent's output and its terminal, from the command line."""

import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_support import Cli, assert_refused, sessions
from conftest import DONE, Root, command

TEXT = "Grüße, 日本 🎉 é\n" * 3


@pytest.fixture
def cli(root: Root, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    root.repository("app")
    cli = Cli(root, capfd, monkeypatch)
    cli("ticket", "create", "T-1")
    return cli


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def start(cli: Cli, script: str) -> None:
    cli.root.agents(worker=script)
    cli("run", "--ticket", "T-1", "--run-id", "r1")


def printed(cli: Cli, text: str) -> None:
    until(lambda: text in cli("logs", "r1").out)


def test_logs_print_what_an_agent_printed_whole_or_in_part(cli: Cli) -> None:
    start(cli, f"printf '\\033[31m%s\\033[0m' {shlex.quote(TEXT)}; sleep 60")
    printed(cli, TEXT)
    assert cli("logs").out == TEXT
    raw = cli("logs", "--raw").out
    assert raw.startswith("\x1b[31mGrüße")
    size = cli.ask("logs", "--raw")["size"]

    line = len("Grüße, 日本 🎉 é\n".encode()) + 1  # the terminal's own carriage return
    assert cli("logs", "--raw", "--offset", str(-line - 4)).out == "Grüße, 日本 🎉 é\r\n\x1b[0m"
    assert cli("logs", "--offset", str(5 + line), "--limit", "6").out == "Grüß"
    assert cli("logs", "--limit", "0").out == ""
    assert cli("logs", "--offset", "99999999").out == ""
    assert cli("logs", "--offset", "-99999999").out == TEXT
    assert_refused(cli("logs", "--limit", "-1", code=2), 2, "'-1'")

    for limit in (6, 7, 9):  # whatever is cut off comes with the next part
        offset, parts = 0, ""
        while offset < size:
            part = cli.ask("transcript", "--raw", "--offset", str(offset), "--limit", str(limit))
            assert part["size"] == size
            assert part["nextOffset"] > part["offset"] >= offset
            offset, parts = part["nextOffset"], parts + part["text"]
        assert parts == raw
    for offset in range(size):
        assert "\ufffd" not in cli.ask("transcript", "--raw", "--offset", str(offset), "--limit", "9")["text"]


def test_a_transcript_that_is_longer_than_one_part_is_printed_to_its_end(cli: Cli) -> None:
    # A whole part of nothing but escape sequences comes before the last word.
    start(
        cli, "yes text | head -n 5000; yes \"$(printf '\\033[1m')\" | head -n 30000 | tr -d '\\n'; echo last; sleep 60"
    )
    until(lambda: cli("logs", "--offset", "-100").out.endswith("last\n"))
    shown = cli("logs").out
    assert shown.startswith("text\ntext\n")
    assert (shown.count("text\n"), shown.endswith("last\n")) == (5000, True)


def test_following_prints_what_comes_until_the_agent_has_ended(cli: Cli) -> None:
    go = cli.root.path / "go"
    start(cli, f"echo one; while ! test -e {shlex.quote(str(go))}; do sleep 0.05; done; echo zwölf\n{DONE}echo last")
    with cli.root.spawn("logs", "r1", "-f") as following:
        assert following.stdout
        assert following.stdout.readline() == "one\n"
        go.touch()
        out, err = following.communicate(timeout=60)
    assert (out, err, following.returncode) == ("zwölf\nlast\n", "", 0)
    # Also where nothing was left to wait for.
    assert cli("logs", "r1", "--follow").out == "one\nzwölf\nlast\n"


def test_following_ends_when_the_run_is_stopped(cli: Cli) -> None:
    start(cli, f"echo one\n{DONE}sleep 60")
    with cli.root.spawn("logs", "-f") as following:
        assert following.stdout
        assert following.stdout.readline() == "one\n"
        cli("wait", "r1")
        assert following.poll() is None  # done, but still there
        cli("stop", "r1")
        out, err = following.communicate(timeout=60)
    assert (out, err, following.returncode) == ("", "", 0)


def test_with_several_agents_one_has_to_be_named(cli: Cli) -> None:
    root = cli.root
    root.agents(first="echo I am the first; sleep 60", second="echo I am the second; sleep 60")
    cli("ticket", "create", "T-2")
    cli("run", "--ticket", "T-1", "--ticket", "T-2", "--run-id", "r1")
    for verb in ("logs", "attach", "explain"):
        assert_refused(cli(verb, code=2), 2, "--agent", "first on T-1", "second on T-2")
        assert_refused(cli(verb, "--agent", "first", code=3), 3, "T-1, T-2")
        assert_refused(cli(verb, "r1", "--ticket", "T-2", code=2), 2, "first on T-2")
        assert "T-1" not in cli(verb, "r1", "--ticket", "T-2", code=2).err
    until(lambda: cli("logs", "r1", "--ticket", "T-2", "--agent", "second").out == "I am the second\n")
    assert cli.ask("attach", "r1", "--ticket", "T-2", "--agent", "second")["session"] == "second-t-2-r1"


@pytest.fixture
def terminal(cli: Cli) -> "Terminal":
    return Terminal(cli.root.path)


class Terminal:
    """A person's terminal: a tmux of their own, in which a command line runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, *argv: str) -> None:
        self._tmux("new-session", "-d", "-x", "90", "-y", "20", "-s", "person", "-c", str(self._folder), *argv)

    def shows(self, text: str) -> None:
        until(lambda: text in self._tmux("capture-pane", "-p", "-t", "person"))

    def press(self, *keys: str) -> None:
        self._tmux("send-keys", "-t", "person", *keys)

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", "person", "-f", "/dev/null", *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout


def test_attach_opens_the_agents_terminal_inside_another_tmux_too_and_leaves_the_agent_alone(
    cli: Cli, terminal: Terminal
) -> None:
    start(cli, 'echo "at your service"; while read -r line; do echo "you said $line"; done')
    printed(cli, "at your service")
    # The last line of the terminal stays, to be read after the agent's terminal has gone.
    terminal.run("sh", "-c", f"{shlex.join(command('attach', 'r1'))}; echo left with $?; cat")
    terminal.shows("at your service")
    terminal.press("hello there", "Enter")
    terminal.shows("you said hello there")
    printed(cli, "you said hello there")
    terminal.press("C-b", "d")  # taken by the outer one, which has detached nobody
    assert sessions() == ["worker-t-1-r1"]
    cli("stop", "r1")
    terminal.shows("left with 0")


def test_what_attach_answers_opens_the_terminal_from_any_other_program(cli: Cli, terminal: Terminal) -> None:
    start(cli, "echo here I am; sleep 60")
    printed(cli, "here I am")
    terminal.run(*cli.ask("attach")["argv"])
    terminal.shows("here I am")
    terminal.shows("worker-t-1-r1")


def test_attach_without_a_terminal_or_an_agent_says_what_to_do(cli: Cli) -> None:
    start(cli, "sleep 60")
    refused = cli.root.metawsm("attach", "r1", code=2)
    assert_refused(refused, 2, "attach-session -t =worker-t-1-r1")
    cli("stop", "r1")
    assert_refused(cli("attach", "r1", code=4), 4, "worker on T-1", "metawsm logs r1 --agent worker")


def test_the_reader_of_a_pipe_may_leave(cli: Cli) -> None:
    start(cli, "yes some text | head -n 20000; echo last; sleep 60")
    until(lambda: cli("logs", "--offset", "-100").out.endswith("last\n"))
    line = f"{shlex.join(command('logs', 'r1'))} | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=cli.root.path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("some text\n141\n", "")
