"""How long a run takes until its agents have started, against the bare git and tmux commands in it."""

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from scratch import HEADER, SOCKET, machine, repository, row

from metawsm_rpc.composition import open_service

TICKETS, REPOSITORIES, FILES, AGENTS, ROUNDS = 10, 3, 3000, 2, 3


def floor(repos: list[Path], workspaces: Path) -> float:
    """Issue exactly the same worktrees and sessions, in parallel by repository, and nothing else."""

    def add(repo: Path) -> None:
        for ticket in range(TICKETS):
            path = workspaces / f"t{ticket}" / repo.name
            command = ["git", "-C", str(repo), "worktree", "add", "-q", "-b", f"floor/t{ticket}", str(path), "main"]
            subprocess.run(command, check=True, capture_output=True)

    began = time.perf_counter()
    threads = [threading.Thread(target=add, args=(repo,)) for repo in repos]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ticket in range(TICKETS):
        for agent in range(AGENTS):
            command = [
                "tmux",
                "-L",
                SOCKET,
                "-f",
                "/dev/null",
                "new-session",
                "-d",
                "-s",
                f"t{ticket}a{agent}",
                "sleep 300",
            ]
            subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def engine(root: Path, tickets: list[str], number: int) -> float:
    """Run the same by metawsm, until every agent has been started."""
    service = open_service(root)
    began = time.perf_counter()
    started = service.run(tickets, repos=[f"r{n}" for n in range(REPOSITORIES)], run_id=f"bench-{number:04d}")
    service.finish(started.run_id)
    took = time.perf_counter() - began
    steps = service.world.store.steps(started.run_id)
    if any(step.status != "done" for step in steps):
        raise SystemExit(f"the run did not do its steps: {[step.error for step in steps if step.error]}")
    service.shut_down()
    return took


def clean(repos: list[Path], workspaces: Path) -> None:
    """Put everything back, so that each round begins alike."""
    subprocess.run(["tmux", "-L", SOCKET, "kill-server"], capture_output=True, check=False)
    shutil.rmtree(workspaces, ignore_errors=True)
    for repo in repos:
        subprocess.run(["git", "-C", str(repo), "worktree", "prune"], check=True)
        subprocess.run(
            "git for-each-ref --format='%(refname:short)' refs/heads/floor refs/heads/task | xargs -r git branch -qD",
            shell=True,
            cwd=repo,
            check=True,
            capture_output=True,
        )


def main() -> None:
    """Print the comparison."""
    with machine() as folder:
        root, workspaces = folder / "root", folder / "workspaces"
        repos = [repository(root / f"r{number}", FILES) for number in range(REPOSITORIES)]
        (root / ".metawsm").mkdir()
        (root / ".metawsm" / "policy.json").write_text(
            '{"version": 3, "agents": ['
            '{"name": "a", "profile": "shell", "command": ["sleep", "300"]},'
            '{"name": "b", "profile": "shell", "command": ["sleep", "300"]}]}'
        )
        tickets = [f"T-{number}" for number in range(TICKETS)]
        service = open_service(root)
        for ticket in tickets:
            service.create_ticket(ticket)
        service.shut_down()
        ours, bare = [], []
        for number in range(ROUNDS + 1):
            bare.append(floor(repos, workspaces))
            clean(repos, workspaces)
            ours.append(engine(root, tickets, number))
            clean(repos, workspaces)
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import metawsm_rpc.cli.running"], check=True)
        started = time.perf_counter() - began
    print(HEADER)
    # The first round warms the disk's cache.
    print(row(f"{TICKETS} tickets x {REPOSITORIES} repositories x {AGENTS} agents", ours[1:], bare[1:], 1.25, "s"))
    print(f"{'  the interpreter and its imports, once':<52} {started:>9.2f} s")


if __name__ == "__main__":
    main()
