"""Stops runs: a stop wins over whatever is in progress, and leaves nothing running."""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from metawsm_rpc.domain.charts import advance
from metawsm_rpc.domain.lifecycles import RUN
from metawsm_rpc.domain.models import LIVE, Agent
from metawsm_rpc.engine import last_words, mailbox
from metawsm_rpc.engine.holding import kept
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import BusyError, LostLeaseError
from metawsm_rpc.policy.view import ExecutionLimits
from metawsm_rpc.ports.store import Lease
from metawsm_rpc.ports.terminals import Ended

if TYPE_CHECKING:
    from metawsm_rpc.engine.sweeping import Sweeper

_LETTING_GO_SECONDS = 0.8
"""How long the driver that was taken over may take to notice (it looks every 50 ms)."""

_LOOK_SECONDS = 0.02


def stop(world: World, sweeper: "Sweeper", run_id: str) -> None:
    """Stop a run: cut off its steps, end its sessions. Harmless when it is stopped.

    What has ended by itself is noted first, and counts: only what still lives is stopped. A stop that another
    process is at is waited for; one that was cut off is finished. Raises `IllegalTransitionError` while the run is
    closing or once it is closed.
    """
    is_overtaken = False
    while (status := world.store.run(run_id).status) != "stopped":
        # Refused before anything is taken over.
        advance(RUN, status, "stop", entity=f"run {run_id}")
        try:
            # Only stops take leases over: whoever did so, or holds the lease of a run that is stopping, stops it.
            lease = world.store.acquire(run_id, takeover=status != "stopping" and not is_overtaken)
        except BusyError:
            time.sleep(_LOOK_SECONDS)
            continue
        try:
            with kept(world, lease):
                # By now the driver that was taken over lets go, so that nothing in flight waits for this look.
                sweeper.sweep([run_id], wait_for_git=False)
                _stop(world, run_id, lease)
        except LostLeaseError:
            is_overtaken = True
            continue
        finally:
            world.store.release(lease)
        return


def _stop(world: World, run_id: str, lease: Lease) -> None:
    with world.store.transaction(lease) as transaction:
        transaction.move_run(run_id, "stop", message="stopped by hand")
        for agent in world.store.agents(run_id):
            if agent.due is not None:
                transaction.set_agent(run_id, agent.ticket, agent.name, due=None)
    world.store.await_release(run_id, _LETTING_GO_SECONDS)
    with world.store.transaction(lease) as transaction:
        for step in world.store.steps(run_id):
            if step.status == "running":
                transaction.move_step(run_id, step.index, "interrupt", message="interrupted by a stop")
    stop_agents(world, world.store.agents(run_id), lease)
    end_strays(world, run_id)
    with world.store.transaction(lease) as transaction:
        if transaction.run(run_id).status == "stopping":
            transaction.move_run(run_id, "stopped")


def stop_agents(world: World, agents: Iterable[Agent], lease: Lease) -> None:
    """Stop agents that are live, unless they turn out to have ended by themselves, and end the sessions of all."""
    agents = tuple(agents)
    words = last_words.read(world, agents)
    with world.store.transaction(lease) as transaction:
        last_words.note(world, transaction, words)
        for agent in agents:
            # As it is now: a sweep needs no lease, and may have seen it end.
            if transaction.agent(agent.run_id, agent.ticket, agent.name).status in LIVE:
                transaction.move_agent(agent.run_id, agent.ticket, agent.name, "stop")
    last_words.discard(world, words)
    for run_id in {agent.run_id for agent in agents}:
        mailbox.hand_over(world, world.store.questions(run_id))
    end_sessions(world, agents, lease)
    with world.store.transaction(lease) as transaction:
        for agent in agents:
            if transaction.agent(agent.run_id, agent.ticket, agent.name).status == "stopping":
                transaction.move_agent(agent.run_id, agent.ticket, agent.name, "stopped")


def end_sessions(world: World, agents: Iterable[Agent], lease: Lease) -> None:
    """End the sessions of agents, side by side, whatever their status; tell of what survived."""
    started = [agent for agent in agents if agent.launch is not None]
    if not started:
        return
    policy = world.store.policy(started[0].run_id)
    terminals = world.machine.terminals(policy)
    grace = ExecutionLimits.of(policy).stop_grace_seconds

    def end(agent: Agent) -> Ended:
        return terminals.end(agent.session, agent.launch or "", agent.pid, grace)

    with ThreadPoolExecutor(min(len(started), 16), "stop") as pool:
        ended = list(zip(started, pool.map(end, started), strict=True))
    for agent, result in ended:
        if result.survivors:
            listed = ", ".join(f"{command} (pid {pid})" for pid, command in result.survivors)
            with world.store.transaction(lease) as transaction:
                transaction.record(
                    agent.run_id,
                    "agent",
                    f"{agent.ticket}/{agent.name}",
                    "survivors",
                    message=f"still running after the stop: {listed}",
                )


def end_strays(world: World, run_id: str) -> None:
    """End sessions of the run that belong to no current launch: a late driver may have started them."""
    policy = world.store.policy(run_id)
    terminals = world.machine.terminals(policy)
    known = {agent.launch for agent in world.store.agents(run_id)}
    for pane in terminals.panes():
        if pane.run_id == run_id and pane.launch not in known:
            terminals.end(pane.session, pane.launch, pane.pid, 0)
