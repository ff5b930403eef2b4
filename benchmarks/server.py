"""What the server costs: to start, to ask, to be told of a death, and in memory.

The floor is a server of pygls that does nothing, and answers what it answers from memory.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from rpc_client import Client
from scratch import HEADER, SOCKET, machine, repository, row

from metawsm_rpc.composition import open_service
from metawsm_rpc.service import Service

AGENTS, TICKETS = 20, 10
STARTS, ASKS, KILLS = 10, 200, 40
EVENTS = (1_000, 100_000)
IDLE_SECONDS = 5.0
RUN = "bench"

OURS = [sys.executable, "-m", "metawsm_rpc"]
EMPTY = [sys.executable, str(Path(__file__).with_name("empty_server.py"))]
JEDI = [str(Path(sys.executable).with_name("jedi-language-server"))]


def start(root: Path) -> Service:
    """Start a run of 200 agents that do nothing."""
    agents = [{"name": f"a{n}", "profile": "shell", "command": ["sleep", "3000"]} for n in range(AGENTS)]
    (root / ".metawsm").mkdir()
    policy = {"version": 3, "agents": agents, "execution": {"stop_grace_seconds": 0.1}}
    (root / ".metawsm" / "policy.json").write_text(json.dumps(policy))
    service = open_service(root)
    tickets = [f"T-{number}" for number in range(TICKETS)]
    for ticket in tickets:
        service.create_ticket(ticket)
    service.run(tickets, run_id=RUN)
    service.finish(RUN)
    service.status(RUN)
    return service


def fill(service: Service, events: int) -> None:
    """Bring the store to so many events."""
    store = service.world.store
    while (missing := events - store.seq()) > 0:
        with store.transaction() as transaction:
            for _ in range(min(missing, 1000)):
                transaction.record(RUN, "run", RUN, "note", message="one of many")


def spawned(command: Sequence[str], folder: Path) -> float:
    """Return how long it takes from spawn to the answer to `initialize`, in seconds."""
    client = Client(command, folder)
    took = client.initialize()
    client.close()
    return took


def starting(folder: Path) -> None:
    """Measure starts, one of each in turn."""
    commands = [OURS, EMPTY, *([JEDI] if Path(JEDI[0]).exists() else [])]
    rounds = [[spawned(command, folder) for command in commands] for _ in range(STARTS + 1)][1:]
    ours, empty, *others = zip(*rounds, strict=True)
    print(row("spawn to the answer to initialize", list(ours), list(empty), 1.25))
    for jedi in others:
        print(row("  the same of jedi-language-server", list(jedi), list(empty), 99.0))


def asking(root: Path, folder: Path, events: int) -> None:
    """Measure looks at the run, beside an empty command that answers the same."""
    with closing(Client(OURS, root)) as ours:
        ours.initialize()
        answer = json.loads(ours.ask("metawsm/status", {"runId": RUN}))["result"]
        same = folder / "answer.json"
        same.write_text(json.dumps(answer))
        with closing(Client([*EMPTY, str(same)], folder)) as empty:
            empty.initialize()
            pairs = [
                (
                    ours.timed("metawsm/status", {"runId": RUN}),
                    empty.timed("workspace/executeCommand", {"command": "same"}),
                    ours.timed("metawsm/runs"),
                    empty.timed("workspace/executeCommand", {"command": "nothing"}),
                )
                for _ in range(ASKS + 10)
            ][10:]
    status, echoed, runs, nothing = map(list, zip(*pairs, strict=True))
    floor = [statistics.median(echoed)]
    print(row(f"status of {AGENTS * TICKETS} agents, {events} events", status, echoed, 3.0))
    print(row("  its 99th percentile against the floor's median", [percentile(status, 0.99)], floor, 3.0))
    print(row(f"runs, {events} events", runs, nothing, 10.0))


def dying(root: Path, service: Service) -> None:
    """Measure from the kill of an agent to its diagnostic at the client."""
    victims = [agent for agent in service.status(RUN).agents if agent.pid][:KILLS]
    with closing(Client(OURS, root)) as ours:
        ours.initialize()
        ours.ask("metawsm/status", {"runId": RUN})
        time.sleep(IDLE_SECONDS)  # every process is watched by now
        took = []
        for victim in victims:
            began = time.perf_counter()
            os.kill(victim.pid or 0, signal.SIGKILL)
            while b"publishDiagnostics" not in (body := ours.receive()) or b"agent-dead" not in body:
                continue
            took.append(time.perf_counter() - began)
            time.sleep(0.3)
    panes = [timed(["tmux", "-L", SOCKET, "list-panes", "-a"]) for _ in range(KILLS)]
    print(row("kill to diagnostic at the client, median", [statistics.median(took)], [0.050], 1.0))
    print(row("  its 99th percentile", [percentile(took, 0.99)], [0.150], 1.0))
    print(row("  beside one list-panes", took, panes, 99.0))


def resting(root: Path, folder: Path) -> None:
    """Measure the memory of idle servers."""
    found: list[list[float]] = []
    for command, at in ((OURS, root), (EMPTY, folder), (JEDI, folder)):
        if not Path(command[0]).exists():
            continue
        with closing(Client(command, at)) as server:
            server.initialize()
            time.sleep(IDLE_SECONDS)
            found.append([server.memory() / 1e9])
    print(row("resident memory, idle beside 200 agents", found[0], found[1], 1.5, "ms").replace(" ms", " MB"))
    for jedi in found[2:]:
        print(row("  the same of jedi-language-server", jedi, found[1], 99.0, "ms").replace(" ms", " MB"))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def timed(command: list[str]) -> float:
    """Return how long a command takes, in seconds."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Print the comparison."""
    with machine() as folder:
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        root = repository(folder / "root", 1)
        print(HEADER)
        starting(elsewhere)
        service = start(root)
        try:
            resting(root, elsewhere)
            for events in EVENTS:
                fill(service, events)
                asking(root, elsewhere, events)
            dying(root, service)
        finally:
            service.shut_down()


if __name__ == "__main__":
    main()
