"""How an agent is shown to a person: the last verdict on its health, or what it has signalled since.

A signal changes an agent's status at once, but its health only changes with the next sweep. Until then the
stored health would contradict the status shown beside it.
"""

from metawsm_rpc.domain.models import Agent

_OBSERVED = frozenset({"idle", "waiting", "stalled"})
"""The statuses that have the same name as the health that leads to them."""


def state_of(agent: Agent) -> str:
    """Return one word for an agent's state: its health, or its status when it is not meant to be alive."""
    return agent.status if agent.health is None or _is_outdated(agent) else agent.health.state


def reason_of(agent: Agent) -> str:
    """Return the reason for that state; empty when none is known."""
    if _is_outdated(agent):
        return f"it says so: {agent.said_what}" if agent.said_what else "it says so"
    if agent.health is not None:
        return agent.health.reason
    return "" if agent.exit_code is None else f"it exited with {agent.exit_code}"


def _is_outdated(agent: Agent) -> bool:
    return agent.health is not None and agent.status in _OBSERVED and agent.status != agent.health.state
