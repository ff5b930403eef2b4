"""Settle: a run's status between start and stop, as a pure function of its steps, agents and questions."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

from metawsm_rpc.domain.models import LIVE, Agent, Guidance, Step

Settled = Literal["running", "awaiting_guidance", "completed", "failed"]


def can_run(step: Step, steps: Mapping[int, Step]) -> bool:
    """Return whether a step may be started now: it has attempts left and its dependencies are satisfied."""
    if step.status not in ("pending", "failed") or step.attempts >= step.attempt_limit:
        return False
    return all(_satisfied(steps[index]) for index in step.depends_on)


def _satisfied(step: Step) -> bool:
    # The failure of a non-blocking step is reported, but holds nothing up.
    return step.status in ("done", "skipped") or (
        step.status == "failed" and not step.blocking and step.attempts >= step.attempt_limit
    )


def runnable(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Return the steps that may be started now, in the order of the plan."""
    by_index = {step.index: step for step in steps}
    return tuple(step for step in by_index.values() if can_run(step, by_index))


def taken_out(steps: Iterable[Step]) -> frozenset[tuple[str, str]]:
    """Return `(ticket, agent)` of the agents that a skipped `start_agent` took out of the run."""
    return frozenset(
        (step.ticket, step.agent or "") for step in steps if step.kind == "start_agent" and step.status == "skipped"
    )


def settle(steps: Sequence[Step], agents: Collection[Agent], guidance: Iterable[Guidance]) -> Settled:
    """Return the status of a run that has been started and not stopped.

    Checked in this order: work is under way or can start (`awaiting_guidance` if a live agent has an open
    question, else `running`); every agent that was not taken out is completed (`completed`); else `failed`.
    """
    live = {(agent.ticket, agent.name) for agent in agents if agent.status in LIVE}
    moving = (
        live
        or any(agent.status == "stopping" or agent.due for agent in agents)
        or any(step.status == "running" for step in steps)
        or runnable(steps)
    )
    if moving:
        asked = any(item.status == "pending" and (item.ticket, item.agent) in live for item in guidance)
        return "awaiting_guidance" if asked else "running"
    out = taken_out(steps)
    over = all(agent.status == "completed" for agent in agents if (agent.ticket, agent.name) not in out)
    return "completed" if over else "failed"
