"""How an agent appears to a person: the verdict on it, or what it has said since.

What an agent says of itself moves it at once; the verdict follows with the next look, and until then
it would contradict the status beside it.
"""

from metawsm_rpc.domain.models import Agent

_OBSERVED = frozenset({"idle", "waiting", "stalled"})
"""The statuses that are named like the verdicts which lead to them."""


def state_of(agent: Agent) -> str:
    """Return how an agent is in a word: its health, or its status when it is not meant to live."""
    return agent.status if agent.health is None or _is_outdated(agent) else agent.health.state


def reason_of(agent: Agent) -> str:
    """Return why an agent is as it is; empty when nobody has said so."""
    if _is_outdated(agent):
        return f"it says so: {agent.said_what}" if agent.said_what else "it says so"
    if agent.health is not None:
        return agent.health.reason
    return "" if agent.exit_code is None else f"it exited with {agent.exit_code}"


def _is_outdated(agent: Agent) -> bool:
    return agent.health is not None and agent.status in _OBSERVED and agent.status != agent.health.state
