"""`metawsm demo`, as somebody sees it who has just heard of metawsm."""

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from conftest import Ran, Root, command, git

COMMITS = {
    "api": {
        "SHOP-1: Search by title and author",
        "SHOP-1: Test the search",
        "SHOP-2: Say which books are sold out",
        "SHOP-2: Test which books are sold out",
    },
    "web": {
        "SHOP-1: Search while typing",
        "SHOP-1: Test the search field",
        "SHOP-2: Strike out what is sold out",
        "SHOP-2: Test the mark on books that are sold out",
    },
}
QUICK = ("--pace", "0.1")


@pytest.fixture
def somewhere(tmp_path: Path) -> Path:
    """Return an empty folder to be in that is nobody's root."""
    folder = tmp_path / "somewhere"
    folder.mkdir()
    return folder


def demo(cwd: Path, *args: str, **env: str) -> Ran:
    """Run the demonstration without a terminal."""
    return Ran(
        subprocess.run(
            command("demo", *QUICK, *args),
            cwd=cwd,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
            stdin=subprocess.DEVNULL,
        )
    )


def files(*folders: Path) -> dict[str, int]:
    """Return what lies below these folders, with the time of its last change."""
    return {str(path): path.lstat().st_mtime_ns for folder in folders for path in (folder, *folder.rglob("*"))}


def processes_of(folder: Path) -> list[str]:
    """Return the processes that were started for something below this folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if str(folder) in f"{process.cmdline()} {process.cwd()} {process.environ()}" and process.pid != os.getpid():
                found.append(" ".join(process.cmdline()))
    return found


# --- what is shown ---


def test_the_work_of_both_tickets_is_merged_in_both_repositories(tmp_path: Path, somewhere: Path) -> None:
    place = tmp_path / "place"
    ran = demo(somewhere, "--keep", "--directory", str(place))
    assert ran.code == 0, ran

    for name, commits in COMMITS.items():
        repository = place / "shop" / name
        subjects = git(repository, "log", "--format=%s", "main").splitlines()
        assert commits < set(subjects)
        assert git(repository, "log", "--merges", "--format=%s", "main").splitlines() == [
            "Merge branch 'task/shop-2-demo' into main",
            "Merge branch 'task/shop-1-demo' into main",
        ]
        assert {git(repository, "log", "-1", "--format=%an", f"--grep={subject}") for subject in commits} == {
            "coder",
            "tester",
        }
        assert git(repository, "status", "--porcelain") == ""
        assert git(repository, "worktree", "list").count("\n") == 0
        for line in git(repository, "log", "--graph", "--oneline").splitlines():
            assert line.rstrip() in map(str.rstrip, ran.out.splitlines())
    subprocess.run(
        ["python3", "-B", "-m", "unittest", "-q"], cwd=place / "shop" / "api", check=True, capture_output=True
    )
    assert str(place) in ran.out.splitlines()[-6], "it says where it stays"

    root = Root(place / "shop")
    history = root.ask("history", "demo")["events"]
    assert [event["type"] for event in history if event["entity"] == "run"][-1] == "closed"
    assert {ticket["status"] for ticket in root.ask("tickets")["tickets"]} == {"complete"}
    assert processes_of(place) == []


def test_each_part_names_its_command_and_diagnostics_are_told_as_they_come_and_go(somewhere: Path) -> None:
    ran = demo(somewhere, "--pace", "0.5")
    assert ran.code == 0, ran
    every_part_is_announced_with_the_command_that_a_person_would_type(ran)
    diagnostics_come_and_go(ran)
    assert "\x1b" not in ran.out + ran.err


def every_part_is_announced_with_the_command_that_a_person_would_type(ran: Ran) -> None:
    commands = [line.strip().removeprefix("$ ") for line in ran.out.splitlines() if line.startswith("   $ ")]
    request = "--ticket SHOP-1 --ticket SHOP-2 --repos api,web --run-id demo"
    (answer,) = (line for line in commands if line.startswith("metawsm answer "))
    assert commands[:10] == [
        f"metawsm plan {request}",
        f"metawsm run {request}",
        "metawsm wait demo",
        "metawsm status demo",
        answer,
        "metawsm restart demo --ticket SHOP-1 --agent coder",
        "metawsm diff demo --patch",
        "metawsm close demo",
        "git -C api log --graph --oneline",
        "git -C web log --graph --oneline",
    ]
    shown = ran.out.partition("$ metawsm status demo")[2].partition("$ metawsm answer")[0]
    assert "healthy" in shown
    assert answer.split()[2] in shown, "the question is shown with the id that is answered"
    assert "✓ start coder on SHOP-1" in ran.err
    assert "· coder on SHOP-1: api answers /search" in ran.err
    assert "+def search(words):" in ran.out


def diagnostics_come_and_go(ran: Ran) -> None:
    lines = [line for line in ran.err.splitlines() if line[0] in "■▲△"]
    question = "▲ SHOP-2, index.md:3 [guidance-pending] coder asks: How should a book look that is sold out?"
    (asked,) = (number for number, line in enumerate(lines) if line.startswith(question))
    (died,) = (number for number, line in enumerate(lines) if line.startswith("■ SHOP-1, index.md:3 [agent-dead]"))
    assert lines.index("△ SHOP-2, index.md:3 [guidance-pending] is over") > asked
    assert lines.index("△ SHOP-1, index.md:3 [agent-dead] is over") > died
    came, went = (sum(line[0] in signs for line in lines) for signs in ("■▲", "△"))
    assert came == went, "none is left"
    assert "· coder on SHOP-1: what was committed is still there; on with the rest" in ran.err


# --- what is touched ---


def test_nothing_is_left_and_nothing_outside_was_touched(private_machine: Path, somewhere: Path) -> None:
    somewhere.chmod(0o555)
    (private_machine / ".tmux.conf").write_text("set -g destroy-unattached on\nset -g default-shell /bin/false\n")
    (private_machine / ".gitconfig").write_text(
        "[commit]\ngpgsign = true\n[core]\nhooksPath = /nowhere\n[user]\nuseConfigOnly = true\n"
    )
    subprocess.run(["tmux", "-L", "metawsm", "-f/dev/null", "new-session", "-d", "-s", "mine", "cat"], check=True)
    places = (private_machine, somewhere, Path(os.environ["TMPDIR"]))
    before = files(*places)
    ran = demo(
        somewhere,
        GIT_DIR="/nowhere",
        METAWSM_ROOT="/nowhere",
        METAWSM_TMUX_SOCKET="not a name",
        DOCMGR_CONFIG="/nowhere",
        TMUX="/nowhere,1,0",
    )
    assert ran.code == 0, ran
    after = files(*places)
    after[str(places[2])] = before[str(places[2])]  # the folder in it has come and gone
    assert after == before
    sessions = subprocess.run(["tmux", "-L", "metawsm", "ls", "-F#S"], capture_output=True, text=True, check=True)
    assert sessions.stdout.split() == ["mine"]
    assert sorted(path.name for path in Path(os.environ["TMUX_TMPDIR"]).glob("tmux-*/*")) == ["metawsm"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_cut_off_while_agents_work_it_leaves_nothing(somewhere: Path, stop: signal.Signals) -> None:
    started = subprocess.Popen(
        command("demo", "--pace", "30"),
        cwd=somewhere,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    assert started.stderr is not None
    assert any("the ticket is read" in line for line in started.stderr)
    temporary = Path(os.environ["TMPDIR"])
    assert processes_of(temporary) != []
    started.send_signal(stop)
    started.communicate(timeout=60)
    assert started.returncode == 128 + stop
    assert list(temporary.iterdir()) == []
    assert processes_of(temporary) == []


def test_a_folder_that_was_there_empty_is_empty_again(tmp_path: Path, somewhere: Path) -> None:
    place = tmp_path / ("a name that is much too long for the address of a socket " * 2) / "it's #(here)"
    place.mkdir(parents=True)
    ran = demo(somewhere, "--directory", str(place))
    assert ran.code == 0, ran
    assert list(place.iterdir()) == []


# --- what goes wrong, and what is refused ---


def test_an_agent_that_fails_ends_it_with_the_reason(tmp_path: Path, somewhere: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "git").write_text(
        f"""#!/bin/sh
        case "$*" in
            *"commit -q -m SHOP-1: Search"*) echo "fatal: not today" >&2; exit 128 ;;
            *) exec {shutil.which("git")} "$@" ;;
        esac
        """
    )
    (programs / "git").chmod(0o755)
    ran = demo(somewhere, PATH=f"{programs}:{os.environ['PATH']}")
    assert ran.code == 1
    assert ran.err.splitlines()[-1] == "metawsm: coder on SHOP-1 failed: git commit failed: fatal: not today"
    assert list(Path(os.environ["TMPDIR"]).iterdir()) == []


@pytest.mark.parametrize("program", ["git", "tmux"])
def test_without_a_program_it_says_so_in_one_sentence(tmp_path: Path, somewhere: Path, program: str) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in {"git", "tmux", "sh", "env", "cat", "rm", "mv"} - {program}:
        (programs / name).symlink_to(str(shutil.which(name)))
    ran = demo(somewhere, PATH=str(programs))
    assert ran.code == 6
    assert ran.out == ""
    assert ran.err.startswith(f"metawsm: {program} is not installed, or not on the PATH.\n")
    assert list(Path(os.environ["TMPDIR"]).iterdir()) == []


def test_a_folder_that_holds_something_is_refused_and_left_as_it_is(somewhere: Path) -> None:
    (somewhere / "mine").write_text("")
    ran = demo(somewhere, "--directory", ".")
    assert (ran.code, ran.err) == (2, "metawsm: . is not empty; name a folder that is empty or not there yet.\n")
    assert [path.name for path in somewhere.iterdir()] == ["mine"]


@pytest.mark.parametrize("args", [("--json",), ("--root", "."), ("--pace", "-1"), ("--pace", "nan")], ids=" ".join)
def test_what_makes_no_sense_is_refused(somewhere: Path, args: tuple[str, ...]) -> None:
    ran = demo(somewhere, *args)
    assert ran.code == 2, ran
    assert ran.err.startswith("metawsm: ")


# --- on a terminal ---


class Terminal:
    """A terminal with the demonstration in it."""

    def __init__(self, cwd: Path, **env: str) -> None:
        self._leader, follower = pty.openpty()
        self.process = subprocess.Popen(
            command("demo", *QUICK),
            cwd=cwd,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", **env},
        )
        os.close(follower)
        self.text = ""

    def wait_for(self, text: str | None) -> None:
        """Read until this text has come, or until the end."""
        until = time.monotonic() + 60
        while text is None or text not in self.text:
            assert time.monotonic() < until, self.text
            try:
                part = os.read(self._leader, 65536)
            except OSError:
                part = b""
            if not part:
                assert text is None, self.text
                return
            self.text += part.decode("utf-8", "replace")

    def type(self, text: str) -> None:
        os.write(self._leader, text.encode())

    def end(self) -> int:
        self.wait_for(None)
        return self.process.wait(60)

    def close(self) -> None:
        os.close(self._leader)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def terminal(somewhere: Path) -> Iterator[type[Terminal]]:
    """Return how to open a terminal; all of them are closed at the end."""
    opened: list[Terminal] = []

    class Opened(Terminal):
        def __init__(self, **env: str) -> None:
            super().__init__(somewhere, **env)
            opened.append(self)

    yield Opened
    for one in opened:
        one.close()


def test_on_a_terminal_it_asks_before_it_shows_the_diff_and_before_it_closes(terminal: type[Terminal]) -> None:
    screen = terminal()
    screen.wait_for("Show the diff? [Y/n] ")
    assert "+def search" not in screen.text
    screen.type("\n")
    screen.wait_for("close the run? [Y/n] ")
    assert "def search" in screen.text
    assert "Merge branch" not in screen.text
    screen.type("y\n")
    assert screen.end() == 0
    assert "Merge branch 'task/shop-2-demo' into main" in screen.text
    assert "\x1b[32m" in screen.text, "it is coloured"


def test_what_the_person_does_not_want_is_left_out(terminal: type[Terminal]) -> None:
    screen = terminal(NO_COLOR="1", TERM="dumb")
    screen.wait_for("Show the diff? [Y/n] ")
    screen.type("n\n")
    screen.wait_for("close the run? [Y/n] ")
    screen.type("\x04")
    assert screen.end() == 0
    assert "Nothing was merged." in screen.text
    assert "+def search" not in screen.text
    assert "\x1b" not in screen.text
