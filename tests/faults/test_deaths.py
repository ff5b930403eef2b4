"""Kill -9 of what is not ours: tmux, an agent, its shim, the machine. The next look tells the truth, resume reaches the end."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Root, git
from engine_support import RUN, Runs, alive, runs_on, sessions, until, wait_for_death

from metawsm_rpc.hosts import processes

TICKETS = ("T-1", "T-2")
AGENT = """
echo "$METAWSM_TICKET" >> "$METAWSM_ROOT/starts"
cd "$METAWSM_WORKSPACE/app" && echo begun >> "$METAWSM_TICKET.txt" && git add . && git commit -qm "$METAWSM_TICKET begun"
: > "$METAWSM_ROOT/began-$METAWSM_TICKET"
read -r _ < "$METAWSM_ROOT/gate-$METAWSM_TICKET"
"""


@pytest.fixture
def runs(two_repositories: Root) -> Iterator[Runs]:
    two_repositories.policy(
        agents=[Root.agent("worker", AGENT)], execution={"stop_grace_seconds": 1, "shell_env": "never"}
    )
    for ticket in TICKETS:
        os.mkfifo(two_repositories.path / f"gate-{ticket}")
    with runs_on(two_repositories) as opened:
        opened.start(*TICKETS, repos=["app", "lib"])
        have_begun(opened, *TICKETS)
        yield opened


def have_begun(runs: Runs, *tickets: str) -> None:
    """Wait until the agents of these tickets have committed, and wait at their gates."""
    for ticket in tickets:
        until((runs.root.path / f"began-{ticket}").exists)


def let_go(runs: Runs, *tickets: str) -> None:
    for ticket in tickets:
        with (runs.root.path / f"gate-{ticket}").open("w") as gate:  # waits until it is read from
            gate.write("go\n")


def pid_of(runs: Runs, ticket: str) -> int:
    pid = runs.agent(ticket=ticket).pid
    assert pid is not None
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_for_death(pid)


def server() -> int:
    return int(subprocess.check_output(["tmux", "-L", "metawsm", "display-message", "-p", "#{pid}"]))


def kill_server(runs: Runs) -> None:
    pids = [pid_of(runs, ticket) for ticket in TICKETS]
    kill(server())
    for pid in pids:  # the kernel hangs up their terminals
        until(lambda pid=pid: not alive(pid))


def kill_agents(runs: Runs) -> None:
    for ticket in TICKETS:
        shim = pid_of(runs, ticket)
        for pid in processes.members(shim):
            if pid != shim and alive(pid):
                os.kill(pid, signal.SIGKILL)
        until(lambda shim=shim: not alive(shim))


def kill_shims(runs: Runs) -> None:
    for ticket in TICKETS:
        kill(pid_of(runs, ticket))


def end_sessions(_runs: Runs) -> None:
    for name in sessions():
        subprocess.run(["tmux", "-L", "metawsm", "kill-session", "-t", f"={name}"], check=True)


def reboot(runs: Runs) -> None:
    """Let everything be gone that does not survive a reboot: processes, the socket, what had not been written."""
    members = [pid for ticket in TICKETS for pid in processes.members(pid_of(runs, ticket))]
    socket = Path(os.environ["TMUX_TMPDIR"], f"tmux-{os.getuid()}")
    os.kill(server(), signal.SIGKILL)
    for pid in members:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: not alive(pid))
    shutil.rmtree(socket)
    for record in (runs.root.path / ".metawsm" / "agents").rglob("exit*"):
        record.unlink()


GONE = "its tmux session is gone and left no exit record"
DEATHS: dict[str, tuple[Callable[[Runs], None], str]] = {
    "the tmux server": (kill_server, GONE),
    "the agents": (kill_agents, "signal 9 killed it"),
    "their shims": (kill_shims, GONE),
    "their sessions": (end_sessions, GONE),
    "the machine": (reboot, GONE),
}


@pytest.mark.parametrize("what", DEATHS)
@pytest.mark.parametrize("asking", [False, True], ids=["at work", "while one asks"])
def test_is_told_by_the_next_look_and_mended_by_resume(runs: Runs, what: str, asking: bool) -> None:
    if asking:
        agent = runs.agent(ticket="T-1")
        runs.verbs.signal(
            RUN, ticket="T-1", agent="worker", launch=agent.launch or "", type="guidance", message="Which?"
        )
        assert runs.run().status == "awaiting_guidance"
    strike, reason = DEATHS[what]
    strike(runs)
    for ticket in TICKETS:
        (runs.root.path / f"began-{ticket}").unlink()

    detail = runs.verbs.status(RUN)
    assert [(agent.status, agent.health and agent.health.state) for agent in detail.agents] == [("dead", "dead")] * 2
    assert all(agent.health and reason in agent.health.reason for agent in detail.agents), detail.agents
    assert detail.run.status == "failed"
    assert [question.status for question in detail.guidance] == ["withdrawn"] * asking
    assert (runs.root.path / "starts").read_text().split() in (["T-1", "T-2"], ["T-2", "T-1"])

    runs.verbs.resume(RUN)
    runs.verbs.finish(RUN)
    have_begun(runs, *TICKETS)
    assert [(agent.status, agent.restarts) for agent in runs.store.agents(RUN)] == [("running", 1)] * 2
    assert len(sessions()) == 2
    let_go(runs, *TICKETS)
    assert runs.settled().status == "completed"
    runs.verbs.close(RUN)
    app = runs.root.path / "app"
    for ticket in TICKETS:
        assert (app / f"{ticket}.txt").read_text() == "begun\nbegun\n"
    assert len(git(app, "log", "--merges", "--format=%s", "main").splitlines()) == 2


def test_a_socket_that_vanished_is_made_anew_and_nobody_is_called_dead(runs: Runs) -> None:
    old = [pid_of(runs, ticket) for ticket in TICKETS]
    (Path(os.environ["TMUX_TMPDIR"]) / f"tmux-{os.getuid()}" / "metawsm").unlink()
    detail = runs.verbs.status(RUN)
    assert [(agent.status, agent.pid) for agent in detail.agents] == [("running", pid) for pid in old]
    assert len(sessions()) == 2
    let_go(runs, *TICKETS)
    assert runs.settled().status == "completed"


def test_a_socket_that_is_another_servers_by_now_is_left_to_it(runs: Runs) -> None:
    old = [pid_of(runs, ticket) for ticket in TICKETS]
    (Path(os.environ["TMUX_TMPDIR"]) / f"tmux-{os.getuid()}" / "metawsm").unlink()
    subprocess.run(["tmux", "-L", "metawsm", "-f", "/dev/null", "new-session", "-d", "-s", "mine"], check=True)
    detail = runs.verbs.status(RUN)
    assert [agent.health and agent.health.state for agent in detail.agents] == ["unknown"] * 2
    assert all(map(alive, old))
    assert sessions() == ["mine"]
    runs.verbs.stop(RUN)
    assert not any(map(alive, old))


def test_a_socket_that_vanished_leaves_no_agent_twice(runs: Runs) -> None:
    old = [pid_of(runs, ticket) for ticket in TICKETS]
    (Path(os.environ["TMUX_TMPDIR"]) / f"tmux-{os.getuid()}" / "metawsm").unlink()
    for ticket in TICKETS:
        (runs.root.path / f"began-{ticket}").unlink()
    runs.verbs.status(RUN)
    runs.verbs.restart(RUN, agent="worker")
    have_begun(runs, *TICKETS)
    assert not any(map(alive, old))
    assert len(sessions()) == 2
    let_go(runs, *TICKETS)
    assert runs.settled().status == "completed"
