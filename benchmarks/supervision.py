"""What supervising costs, and how soon a death is known, against the least that anybody could do.

The floor of a death is a pidfd and one `tmux list-panes -a`; the floor of a sweep is that call alone.
"""

import json
import os
import queue
import select
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
from scratch import HEADER, SOCKET, machine, repository, row

from metawsm_rpc.composition import open_service
from metawsm_rpc.domain.models import Agent, Event
from metawsm_rpc.engine import supervision
from metawsm_rpc.engine.sweeping import Sweeper
from metawsm_rpc.service import Service

TICKETS = 10
SWEEPS, KILLS = 15, 30
QUIET_SECONDS = 60.0

QUIET = ["sleep", "3000"]
# One process that prints every second; `sleep` would be a new process each time.
PRINTING = [
    "bash",
    "-c",
    'f="$METAWSM_ROOT/.metawsm/$METAWSM_LAUNCH"; mkfifo "$f"; exec 3<>"$f"; while :; do echo; read -r -t 1 -u 3; done',
]
PANES = ["tmux", "-L", SOCKET, "list-panes", "-a"]

SUPERVISES = """
import sys
from pathlib import Path
from metawsm_rpc.composition import open_service
with open_service(Path(sys.argv[1])).supervise():
    print("ready", flush=True)
    sys.stdin.read()
"""


def start(root: Path, run_id: str, agents: int, command: Callable[[int], Sequence[str]]) -> None:
    """Start a run of so many agents in all, each with the command for its number."""
    each = agents // TICKETS
    rows = [{"name": f"{run_id}{n}", "profile": "shell", "command": list(command(n))} for n in range(each)]
    policy = {"version": 3, "agents": rows, "execution": {"stop_grace_seconds": 0.1}}
    (root / ".metawsm" / "policy.json").write_text(json.dumps(policy))
    service = open_service(root)
    for ticket in range(TICKETS):
        service.create_ticket(f"{run_id}-{ticket}")
    service.run([f"{run_id}-{ticket}" for ticket in range(TICKETS)], run_id=run_id)
    service.finish(run_id)
    service.status(run_id)  # the first look keeps the verdicts
    service.shut_down()


def timed(act: Callable[[], object]) -> float:
    """Return how long it takes, in seconds."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def list_panes() -> None:
    """Ask tmux once, as the floor does."""
    subprocess.run(PANES, check=True, stdout=subprocess.DEVNULL)


def sweep_cost(root: Path, agents: int) -> str:
    """Measure sweeps at which nothing has changed."""
    service = open_service(root)
    sweeper = Sweeper(service.world)
    pairs = [(timed(sweeper.sweep), timed(list_panes)) for _ in range(SWEEPS + 2)][2:]
    service.shut_down()
    ours, theirs = zip(*pairs, strict=True)
    return row(f"a sweep of {agents} sessions", list(ours), list(theirs), 2.0)


@contextmanager
def supervised(service: Service) -> Iterator["queue.Queue[Event]"]:
    """Supervise, and hand on deaths."""
    deaths: queue.Queue[Event] = queue.Queue()

    def hear(events: Sequence[Event]) -> None:
        for event in events:
            if event.type == "die":
                deaths.put(event)

    with service.supervise(hear) as supervisor:
        while not supervisor.supervises:
            time.sleep(0.01)
        time.sleep(1.0)  # every process is watched by now
        yield deaths


def kill_child(agent: Agent) -> None:
    """Kill the agent's program; its shim records the end."""
    psutil.Process(agent.pid).children()[0].kill()


def kill_shim(agent: Agent) -> None:
    """Kill the process in the pane."""
    os.kill(agent.pid or 0, signal.SIGKILL)


def kill_session(agent: Agent) -> None:
    """Let tmux end the session."""
    subprocess.run(["tmux", "-L", SOCKET, "kill-session", "-t", f"={agent.session}"], check=True)


def kill_to_event(deaths: "queue.Queue[Event]", agents: Sequence[Agent], kill: Callable[[Agent], None]) -> list[float]:
    """Measure from the kill to the event in the store."""
    taken = []
    for agent in agents:
        began = time.perf_counter()
        kill(agent)
        event = deaths.get(timeout=30)
        taken.append(time.perf_counter() - began)
        if event.entity_id != f"{agent.ticket}/{agent.name}":
            raise RuntimeError(f"{event.entity_id} died, and not {agent.name} on {agent.ticket}")
    return taken


def kill_to_list(agents: Sequence[Agent], kill: Callable[[Agent], None]) -> list[float]:
    """Measure from the kill to the end of the `list-panes` that follows on a pidfd."""
    taken = []
    for agent in agents:
        descriptor = os.pidfd_open(agent.pid or 0)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        began = time.perf_counter()
        kill(agent)
        poll.poll()
        list_panes()
        taken.append(time.perf_counter() - began)
        os.close(descriptor)
    return taken


def percentile(values: Sequence[float], of: int) -> float:
    """Return the value that so many per cent do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[of - 1]


def deaths(root: Path, run_id: str) -> Iterator[str]:
    """Kill agents in three ways, under our supervisor and under the floor's eyes."""
    service = open_service(root)
    agents = list(service.world.store.agents(run_id))
    ways = {"its child": kill_child, "its shim": kill_shim, "its session": kill_session}
    parts = [agents[n * KILLS : (n + 1) * KILLS] for n in range(2 * len(ways))]
    with supervised(service) as heard:
        ours = [kill_to_event(heard, part, kill) for part, kill in zip(parts, ways.values(), strict=False)]
    service.shut_down()
    theirs = [kill_to_list(part, kill) for part, kill in zip(parts[len(ways) :], ways.values(), strict=True)]
    for name, mine, floor in zip(ways, ours, theirs, strict=True):
        yield row(f"a death known after killing {name}: median", mine, floor, 2.0)
        high = percentile(mine, 99) * 1e3
        yield f"{'  99th percentile (goal: under 100 ms)':<52} {high:>9.1f} ms  {percentile(floor, 99) * 1e3:>9.1f} ms"


def quiet_share(root: Path) -> str:
    """Measure the processor time of a supervisor and of tmux while nothing happens."""
    command = [sys.executable, "-c", SUPERVISES, str(root)]
    tmux = int(subprocess.check_output(["tmux", "-L", SOCKET, "display-message", "-p", "#{pid}"]))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as supervisor:
        if supervisor.stdout is None or not supervisor.stdout.readline():
            raise RuntimeError("the supervisor did not start")
        time.sleep(3)
        watched = [psutil.Process(supervisor.pid), psutil.Process(tmux)]
        before = [used(process) for process in watched]
        time.sleep(QUIET_SECONDS)
        ours, theirs = (
            100 * (used(process) - was) / QUIET_SECONDS for process, was in zip(watched, before, strict=True)
        )
        supervisor.kill()
    return (
        f"quiet for {QUIET_SECONDS:.0f} s with 200 agents: supervisor {ours:.2f} % + tmux {theirs:.2f} % of a core "
        f"(goal: under 1 % together): {'kept' if ours + theirs < 1 else 'NOT kept'}\n"
        f"  a sweep after at least {supervision.SWEEP_SECONDS:g} s, and at most {supervision.SHARE:.2%} of the time in sweeps"
    )


def used(process: psutil.Process) -> float:
    """Return the processor seconds of a process and of the children that it has waited for."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def main() -> None:
    """Print the tables."""
    with machine() as folder:
        root = repository(folder / "root", 1)
        (root / ".metawsm").mkdir()
        start(root, "a", 50, lambda _: QUIET)
        lines = [sweep_cost(root, 50)]
        start(root, "b", 150, lambda _: QUIET)
        lines.append(sweep_cost(root, 200))
        share = quiet_share(root)
        start(root, "c", 300, lambda _: QUIET)
        lines.append(sweep_cost(root, 500))
    with machine() as folder:
        root = repository(folder / "root", 1)
        (root / ".metawsm").mkdir()
        start(root, "d", 200, lambda number: PRINTING if number % 2 else QUIET)
        lines += deaths(root, "d")
    print(HEADER)
    for line in (*lines, share):
        print(line)


if __name__ == "__main__":
    main()
