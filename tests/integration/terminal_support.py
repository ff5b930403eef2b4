"""A private tmux server for one test, and the launches that are started on it."""

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from metawsm_rpc.hosts import processes
from metawsm_rpc.hosts.death_watch import DeathWatch
from metawsm_rpc.hosts.tmux.tmux import TmuxTerminals
from metawsm_rpc.ports.terminals import Launch

SOCKET = "t"


def until(condition, seconds=60):
    """Return the condition's first true value; for what the system announces to nobody."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
    return value


def wait_for_death(pid):
    with DeathWatch() as watch:
        watch.add(pid, pid)
        assert watch.wait(60) == (pid,)


class Agents:
    """Launches below one root, on one server."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.terminals = TmuxTerminals(str(root), SOCKET)
        self._numbers = count(1)
        self.launches = []

    def launch(self, *argv, **changes) -> Launch:
        number = next(self._numbers)
        launch = f"launch{number}x{os.getpid()}"
        made = Launch(
            run_id="r-1",
            ticket="T-1",
            agent="coder",
            launch=launch,
            session=f"agent-{number}",
            argv=argv,
            cwd=str(self.root),
            environment={"PATH": os.environ["PATH"], "METAWSM_LAUNCH": launch},
            directory=f"{self.root}/launches/{launch}",
            transcript=f"{self.root}/transcripts/{number}",
            transcript_max_bytes=1 << 20,
        )
        made = made._replace(**changes)
        self.launches.append(made.launch)
        return made

    def start(self, *argv, **changes):
        launch = self.launch(*argv, **changes)
        return launch, self.terminals.start(launch)

    def ended(self, *argv, **changes):
        """Run an agent to its end; return its launch and its exit record."""
        launch, pid = self.start(*argv, **changes)
        wait_for_death(pid)
        return launch, self.terminals.exit_record(launch.directory)

    def end(self, launch, pid=None, grace=5.0):
        return self.terminals.end(launch.session, launch.launch, pid, grace)

    def printed(self, launch) -> bytes:
        return self.terminals.read_transcript(launch.transcript, 0, 1 << 22)[0]

    def wait_for_output(self, launch, text: bytes) -> bytes:
        return until(lambda: (printed := self.printed(launch)) if text in self.printed(launch) else b"")

    def mentioned(self):
        """The processes that have this root on their command line: shims, transcript writers, the server."""
        return [pid for pid in processes.every() if str(self.root) in " ".join(processes.command(pid))]

    def break_pipe(self, launch):
        """Kill the dd that writes a transcript, and wait until tmux has noticed."""
        for pid in self.mentioned():
            command = processes.command(pid)
            if command[0] == "/bin/sh" and launch.transcript in command and command[1].endswith("transcript.sh"):
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                os.kill(int(children[0]), 9)
        until(lambda: not any(pane.piped for pane in self.terminals.panes() if pane.launch == launch.launch))


def tmux(*arguments, socket=SOCKET, check=True):
    done = subprocess.run(["tmux", "-L", socket, *arguments], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def private_server(monkeypatch):
    """Keep tmux's sockets, home and configuration of this test to itself; nothing survives it."""
    # Not below pytest's folder: a socket's path may have about 100 characters.
    folder = Path(tempfile.mkdtemp(prefix="mw", dir="/tmp"))
    monkeypatch.setenv("TMUX_TMPDIR", str(folder))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("TMUX", raising=False)
    root = folder / "root"
    root.mkdir()
    agents = Agents(root)
    try:
        yield agents
    finally:
        tmux("kill-server", check=False)
        for launch in agents.launches:
            for pid, _ in processes.carriers(launch):
                os.kill(pid, 9)
        left = agents.mentioned
        until(lambda: not left())
        shutil.rmtree(folder)
