"""What a look at 200 agents costs, against starting Python and asking tmux once."""

import json
import subprocess
import sys
import time

from scratch import HEADER, SOCKET, machine, repository, row

from metawsm_rpc.composition import open_service

AGENTS, TICKETS, ROUNDS = 20, 10, 15


def timed(*commands: list[str]) -> float:
    """Return how long the commands take, one after the other."""
    began = time.perf_counter()
    for command in commands:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Print the comparison."""
    with machine() as folder:
        root = repository(folder / "root", 1)
        agents = [{"name": f"a{n}", "profile": "shell", "command": ["sleep", "300"]} for n in range(AGENTS)]
        (root / ".metawsm").mkdir()
        (root / ".metawsm" / "policy.json").write_text(json.dumps({"version": 3, "agents": agents}))
        service = open_service(root)
        tickets = [f"T-{number}" for number in range(TICKETS)]
        for ticket in tickets:
            service.create_ticket(ticket)
        service.run(tickets, run_id="bench")
        service.finish("bench")
        # The first look keeps the verdicts; what is measured is a look at a quiet run.
        service.status("bench")
        service.shut_down()
        status = [sys.executable, "-m", "metawsm_rpc.cli.main", "--json", "--root", str(root), "status", "bench"]
        bare = [sys.executable, "-c", "pass"]
        panes = ["tmux", "-L", SOCKET, "list-panes", "-a"]
        ours, theirs = [], []
        for _ in range(ROUNDS + 1):
            ours.append(timed(status))
            theirs.append(timed(bare, panes))
    print(HEADER)
    print(row(f"status of a run with {AGENTS * TICKETS} agents", ours[1:], theirs[1:], 3.0))


if __name__ == "__main__":
    main()
