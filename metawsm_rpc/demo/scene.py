"""The scene of the demonstration: repositories with a history, tickets, and a policy with scripted agents."""

import json
import os
import subprocess
import sys
from pathlib import Path

from metawsm_rpc.answers import TicketAnswer
from metawsm_rpc.demo.agent import PACE
from metawsm_rpc.demo.client import Client
from metawsm_rpc.demo.story import AGENTS, PAST, TICKETS, TIME_ZERO, PastCommit
from metawsm_rpc.errors import HostError

SOCKET = "demo"
"""The name of the tmux socket that the policy gives."""

_AUTHOR = "Robin <robin@example.com>"
_HOUR = 3600


def write_policy(root: Path, *, workspaces: Path, pace: float) -> None:
    """Write the policy of a root whose agents play the story, `pace` seconds for a thought."""
    policy = {
        "version": 3,
        "workspace": {"directory": str(workspaces)},
        "tmux": {"socket": SOCKET},
        # The environment is as private as this process has made its own; a login shell's would not be.
        "execution": {"shell_env": "never", "stop_grace_seconds": 2},
        "agent_profiles": [
            {
                "name": "scripted",
                "runner": "shell",
                "command": [sys.executable, "-P", "-m", "metawsm_rpc.demo.agent"],
                "completes_on": "signal",
                "env": {PACE: str(pace)},
            }
        ],
        "agents": [{"name": name, "profile": "scripted"} for name in AGENTS],
    }
    (root / ".metawsm").mkdir(mode=0o700)
    (root / ".metawsm" / "policy.json").write_text(json.dumps(policy, indent=2) + "\n", "utf-8")
    # The nearest one counts: without it, one in a folder above would say where the tickets are.
    (root / ".ttmp.yaml").write_text("root: ttmp\n", "utf-8")


def make_repositories(root: Path) -> None:
    """Make the story's repositories with their history; the same commit ids every time.

    Raises `HostError` when git refuses.
    """
    for name, past in PAST.items():
        repository = root / name
        repository.mkdir()
        _git(repository, "init", "-q", "-b", "main", "--template=")
        for number, commit in enumerate(past):
            _commit(repository, commit, TIME_ZERO + number * _HOUR)


def make_tickets(client: Client) -> None:
    """Make the story's tickets, and say in each what is to be done."""
    for ticket in TICKETS:
        made = client.ask(
            "createTicket", TicketAnswer, ticket=ticket.ticket, title=ticket.title, topics=list(ticket.topics)
        )
        index = Path(made.path)
        frontmatter, heading, _ = index.read_text("utf-8").partition(f"# {ticket.title}\n")
        index.write_text(f"{frontmatter}{heading}\n{ticket.text}", "utf-8")


def merged_history(repository: Path, *, colour: bool) -> str:
    """Return what `git log --graph --oneline` prints. Raises `HostError` when git refuses."""
    return _git(repository, "log", "--graph", "--oneline", f"--color={'always' if colour else 'never'}")


def _commit(repository: Path, commit: PastCommit, at: int) -> None:
    for path, text in commit.files.items():
        file = repository / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, "utf-8")
    _git(repository, "add", "--", *commit.files)
    _git(repository, "commit", "-q", "-m", commit.message, "--author", _AUTHOR, at=at)


def _git(repository: Path, *arguments: str, at: int | None = None) -> str:
    dates = {} if at is None else {"GIT_AUTHOR_DATE": f"{at} +0000", "GIT_COMMITTER_DATE": f"{at} +0000"}
    done = subprocess.run(
        ["git", *arguments],
        cwd=repository,
        env={**os.environ, **dates},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise HostError(f"git {arguments[0]} failed in {repository}: {done.stderr.strip()}")
    return done.stdout
