"""A person's requests for a started run: resume, restart, iterate, retry or skip a step, complete.

Each function records the request in one transaction. What has to be executed for it is then owed (steps that
can run, launches that are due), and the run's driver executes it.
"""

import contextlib
from collections.abc import Iterable

from metawsm_rpc.domain.charts import advance
from metawsm_rpc.domain.lifecycles import RUN
from metawsm_rpc.domain.models import LIVE, Agent, Step
from metawsm_rpc.domain.settle import taken_out
from metawsm_rpc.domain.typed_text import typed_text
from metawsm_rpc.engine import mailbox, stopping
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import AgentNotFoundError, IllegalTransitionError, InvalidParamsError
from metawsm_rpc.policy.view import ExecutionLimits
from metawsm_rpc.ports.store import Lease, Transaction


def chosen(agents: Iterable[Agent], *, name: str | None, ticket: str | None) -> tuple[Agent, ...]:
    """Return the agents with this name and ticket; None matches all.

    Raises `AgentNotFoundError` when there is none.
    """
    every = tuple(agents)
    found = tuple(a for a in every if (name is None or a.name == name) and (ticket is None or a.ticket == ticket))
    if not found:
        listed = ", ".join(f"{agent.name} on {agent.ticket}" for agent in every)
        asked = " on ".join(part for part in (name or "any agent", ticket) if part)
        raise AgentNotFoundError(f"The run has no {asked}; it has: {listed}.")
    return found


def resume(world: World, run_id: str, lease: Lease) -> None:
    """Resume a run: failed steps may be tried again, and agents that are gone are owed a launch.

    Raises `IllegalTransitionError` for a run that is completed, closing or closed.
    """
    more = 1 + ExecutionLimits.of(world.store.policy(run_id)).step_retries
    with world.store.transaction(lease) as transaction:
        transaction.move_run(run_id, "resume")
        steps = world.store.steps(run_id)
        for step in steps:
            if step.status == "running":
                transaction.move_step(run_id, step.index, "interrupt", message="interrupted")
            if step.status in ("running", "failed", "pending"):
                transaction.allow_attempts(run_id, step.index, more)
        out = taken_out(steps)
        for agent in world.store.agents(run_id):
            if agent.status == "stopping":  # a stop that was interrupted
                transaction.move_agent(run_id, agent.ticket, agent.name, "stopped")
            gone = agent.status in ("dead", "failed", "stopping", "stopped") and (agent.ticket, agent.name) not in out
            if gone and agent.due is None:  # a launch owed since before a crash stays owed, for its own reason
                _owe(transaction, agent, "resume")
        transaction.set_error(run_id, None)


def restart(world: World, run_id: str, lease: Lease, *, name: str | None, ticket: str | None) -> tuple[Agent, ...]:
    """Start agents again: those named, else the dead and failed ones; a live one is stopped first.

    Returns the agents that are owed a launch. Raises `AgentNotFoundError`, `IllegalTransitionError`.
    """
    agents = chosen(world.store.agents(run_id), name=name, ticket=ticket)
    wanted = _started(world, run_id, agents)
    if name is None:
        wanted = [agent for agent in wanted if agent.status in ("dead", "failed")]
    if not wanted:
        raise IllegalTransitionError(
            f"No agent of run {run_id} can be restarted ({_listed(agents)}).",
            hint="Name one that is completed, stopped or at work to start it again; "
            f"`metawsm resume {run_id}` goes on with what has been stopped or never started.",
        )
    with world.store.transaction(lease) as transaction:
        transaction.move_run(run_id, "restart")
        for agent in wanted:
            _owe(transaction, agent, "restart")
        transaction.set_error(run_id, None)
    return tuple(wanted)


def iterate(
    world: World, run_id: str, lease: Lease, *, feedback: str, name: str | None, ticket: str | None
) -> tuple[Agent, ...]:
    """Give agents feedback: completed and stopped ones are owed a launch, the others find it in their brief.

    Returns the live ones, which can be sent the feedback. Raises `AgentNotFoundError`, or
    `IllegalTransitionError` when none of them can continue.
    """
    from metawsm_rpc.engine.launching import rewrite_brief

    if not feedback.strip():
        raise InvalidParamsError("Say what should be done differently: the feedback is empty.")
    typed_text(feedback)
    agents = chosen(world.store.agents(run_id), name=name, ticket=ticket)
    ended = [agent for agent in _started(world, run_id, agents) if agent.status in ("completed", "stopped")]
    others = [agent for agent in agents if agent.status in LIVE or agent.status == "pending"]
    if not ended and not others:
        raise IllegalTransitionError(
            f"No agent of run {run_id} can go on with the feedback ({_listed(agents)}).",
            hint=f"`metawsm restart {run_id}` starts dead and failed ones again.",
        )
    with world.store.transaction(lease) as transaction:
        transaction.move_run(run_id, "iterate")
        for agent in (*ended, *others):
            transaction.record(run_id, "agent", f"{agent.ticket}/{agent.name}", "feedback", message=feedback)
        for agent in ended:
            _owe(transaction, agent, "iterate")
        transaction.set_error(run_id, None)
    for agent in others:
        if agent.launch is not None:
            rewrite_brief(world, agent)
    return tuple(agent for agent in others if agent.status in LIVE)


def tell(world: World, agents: Iterable[Agent], feedback: str) -> None:
    """Send feedback to live agents, in parallel; a failure is an event, and the brief has the feedback anyway."""
    from concurrent.futures import ThreadPoolExecutor

    from metawsm_rpc.engine import sending

    def send(agent: Agent) -> None:
        with contextlib.suppress(IllegalTransitionError):  # it has ended meanwhile, which the next look reports
            sending.send(world, agent, feedback, occasion="iterate")

    agents = tuple(agents)
    if agents:
        with ThreadPoolExecutor(min(len(agents), 8), "iterate") as pool:
            list(pool.map(send, agents))


def _started(world: World, run_id: str, agents: Iterable[Agent]) -> list[Agent]:
    """Return the agents that have ever been started and were not taken out of the run."""
    out = taken_out(world.store.steps(run_id))
    return [agent for agent in agents if agent.status != "pending" and (agent.ticket, agent.name) not in out]


def _listed(agents: Iterable[Agent]) -> str:
    return ", ".join(f"{agent.name} on {agent.ticket} is {agent.status}" for agent in agents)


def retry_step(world: World, run_id: str, lease: Lease, index: int) -> None:
    """Let a failed step be tried again. Raises `StepNotFoundError`, `IllegalTransitionError`."""
    more = 1 + ExecutionLimits.of(world.store.policy(run_id)).step_retries
    with world.store.transaction(lease) as transaction:
        step = transaction.step(run_id, index)
        if step.status != "failed":
            raise IllegalTransitionError(
                f"Step {index} of run {run_id} is {step.status}; only a failed one is retried."
            )
        transaction.move_run(run_id, "retry_step")
        transaction.allow_attempts(run_id, index, more)
        transaction.set_error(run_id, None)


def skip_step(world: World, run_id: str, lease: Lease, index: int) -> None:
    """Skip a step. Raises `StepNotFoundError`, `IllegalTransitionError`."""
    with world.store.transaction(lease) as transaction:
        status = transaction.run(run_id).status
        if status in ("stopping", "closing", "closed"):
            raise IllegalTransitionError(f"Run {run_id} is {status}, so its steps cannot be skipped.")
        transaction.move_step(run_id, index, "skip", message="skipped by hand")
        step = transaction.step(run_id, index)
    if step.kind == "start_agent":
        # A start that failed midway may have left a session behind.
        agents = chosen(world.store.agents(run_id), name=step.agent, ticket=step.ticket)
        stopping.stop_agents(world, agents, lease)


def complete(world: World, run_id: str, lease: Lease, *, name: str | None, ticket: str | None) -> None:
    """Declare a run, or some of its agents, completed; steps that never ran are skipped.

    Raises `IllegalTransitionError`, `AgentNotFoundError`.
    """
    agents = chosen(world.store.agents(run_id), name=name, ticket=ticket)
    whole = name is None and ticket is None
    advance(RUN, world.store.run(run_id).status, "complete", entity=f"run {run_id}")
    with world.store.transaction(lease) as transaction:
        # Agents taken out before stay out; a start that a stop interrupted has still started its agent.
        out = taken_out(world.store.steps(run_id))
        if whole:
            for step in world.store.steps(run_id):
                _abandon(transaction, step)
        for agent in agents:
            status = transaction.agent(run_id, agent.ticket, agent.name).status
            if status == "pending":
                raise IllegalTransitionError(
                    f"Agent {agent.name} on {agent.ticket} has not been started, so it cannot be completed; "
                    f"skip its step instead (metawsm skip-step)."
                )
            if status == "stopping":
                transaction.move_agent(run_id, agent.ticket, agent.name, "stopped")
            started = status != "stopped" or agent.launch is not None
            if started and (agent.ticket, agent.name) not in out:
                transaction.move_agent(run_id, agent.ticket, agent.name, "complete", message="by hand", due=None)
        if whole:
            transaction.move_run(run_id, "complete", message="by hand")
            transaction.set_error(run_id, None)
    mailbox.hand_over(world, world.store.questions(run_id))


def _abandon(transaction: Transaction, step: Step) -> None:
    if step.status == "running":
        transaction.move_step(step.run_id, step.index, "interrupt", message="completed by hand")
    if step.status in ("running", "pending", "failed"):
        transaction.move_step(step.run_id, step.index, "skip", message="completed by hand")


def _owe(transaction: Transaction, agent: Agent, why: str) -> None:
    transaction.set_agent(agent.run_id, agent.ticket, agent.name, due=why)
