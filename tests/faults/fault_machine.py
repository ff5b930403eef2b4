"""All that a run can change, in one folder, which can be copied and put back."""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from conftest import Root
from engine_support import RUN, Runs, runs_on, until

from metawsm_rpc.policy.view import TranscriptLimits
from metawsm_rpc.ports.terminals import Launch

TICKETS = ("T-1", "T-2")
REPOS = ("app", "lib")

AGENT = """
echo "$METAWSM_TICKET $METAWSM_LAUNCH" >> "$METAWSM_ROOT/starts"
read -r word < "$METAWSM_ROOT/gates/$METAWSM_TICKET"
for repo in app lib; do
    cd "$METAWSM_WORKSPACE/$repo" || exit 3
    echo "$word" >> "$METAWSM_TICKET.txt"
    git add "$METAWSM_TICKET.txt" && git commit -qm "$METAWSM_TICKET: $word" || exit 4
done
"""
"""It waits at a gate, one for each ticket, then works, and is done."""


class Machine:
    """All that a scene can change, in one folder: the root, the workspaces and a person's home."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = Root(path / "root")

    @property
    def environment(self) -> dict[str, str]:
        home = self.path / "home"
        return {
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_CACHE_HOME": str(home / ".cache"),
            "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
            "METAWSM_WORKSPACE_DIRECTORY": str(self.path / "workspaces"),
            "TMPDIR": str(self.path / "tmp"),
        }

    def make(self) -> None:
        """Make what is there before a run: repositories, tickets, a policy."""
        for folder in ("home", "tmp", "root/gates"):
            (self.path / folder).mkdir(parents=True)
        (self.path / "home" / ".gitconfig").write_text(
            "[user]\nname = Tester\nemail = tester@example.com\n[init]\ndefaultBranch = main\ntemplateDir =\n"
            "[commit]\ngpgsign = false\n[gc]\nauto = 0\n"
        )
        for ticket in TICKETS:
            os.mkfifo(self.path / "root" / "gates" / ticket)
        for repo in REPOS:
            self.root.repository(repo, {"README.md": f"# {repo}\n", ".gitignore": ".env\n"})
            (self.root.path / repo / ".env").write_text("KEY=1\n")
        self.root.policy(
            agents=[Root.agent("worker", AGENT)],
            execution={"max_parallel": 1, "step_retries": 0, "stop_grace_seconds": 1, "shell_env": "never"},
            workspace={"copy": [".env"], "setup": [{"run": "true"}]},
        )
        with runs_on(self.root) as runs:
            for ticket in TICKETS:
                runs.verbs.create_ticket(ticket)

    def keep(self, place: Path) -> None:
        """Keep a copy of everything."""
        subprocess.run(["cp", "-a", self.path, place], check=True)

    def restore(self, place: Path) -> None:
        """Be as a copy is; nothing that was there since stays."""
        shutil.rmtree(self.path, ignore_errors=True)
        subprocess.run(["cp", "-a", place, self.path], check=True)

    def open_gate(self, ticket: str, word: str) -> None:
        """Let the agent of a ticket work; waits until it is there."""

        def opened() -> int | None:
            try:
                return os.open(self.root.path / "gates" / ticket, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody reads from it yet
                return None

        gate = until(opened)
        os.write(gate, f"{word}\n".encode())
        os.close(gate)


def end_sessions() -> None:
    """End the tmux server and every agent, at once."""
    subprocess.run(["tmux", "-L", "metawsm", "kill-server"], capture_output=True, check=False)


def revive(runs: Runs, *tickets: str, script: str = "") -> None:
    """Start sessions that are there when a scene begins, as the database knows them.

    They are the launches of the agents, started as the product starts them; only the numbers of their
    processes differ, which the database is told.
    """
    folders = runs.verbs.world.machine.folders()
    policy = runs.store.policy(RUN)
    for agent in runs.store.agents(RUN):
        if agent.ticket not in tickets or agent.launch is None:
            continue
        paths = folders.paths(RUN, agent.ticket, agent.name)
        directory = folders.launch_directory(paths, agent.launch)
        gate = runs.root.path / "gates" / agent.ticket
        pid = runs.verbs.world.machine.terminals(policy).start(
            Launch(
                run_id=RUN,
                ticket=agent.ticket,
                agent=agent.name,
                launch=agent.launch,
                session=agent.session,
                argv=("sh", "-c", script or f"read -r word < {gate}"),
                cwd=str(runs.root.path),
                environment={**os.environ, "METAWSM_LAUNCH": agent.launch},
                directory=directory,
                transcript=agent.transcript,
                transcript_max_bytes=TranscriptLimits.of(policy).max_bytes,
            )
        )
        with closing(sqlite3.connect(runs.root.path / ".metawsm" / "metawsm.db")) as database, database:
            database.execute("UPDATE agents SET pid = ? WHERE launch = ?", (pid, agent.launch))


def drop(runs: Runs, ticket: str, name: str, text: str) -> None:
    """Leave a signal in the drop box of a ticket's agent."""
    folders = runs.verbs.world.machine.folders()
    box = Path(folders.paths(RUN, ticket, "worker").drop_box)
    (box / name).write_text(text)


def lines(file: Path) -> list[str]:
    """Return the lines of a file, none of one that is not there."""
    return file.read_text().splitlines() if file.exists() else []
