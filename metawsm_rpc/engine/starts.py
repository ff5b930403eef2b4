"""The states of a launch in the store: begun before tmux is asked, started once it is known to run.

A launch that has begun has an id but no start time. The start is recorded by whichever notices it first: the
driver that asked tmux, a later driver that finds the session, or the agent's own signal.
"""

from metawsm_rpc.domain.models import Agent
from metawsm_rpc.engine.conversations import Conversation
from metawsm_rpc.ports.store import Transaction


def is_begun(agent: Agent) -> bool:
    """Return whether a launch has begun whose start is not recorded yet."""
    return agent.launch is not None and agent.started_at is None


def begin(transaction: Transaction, agent: Agent, launch: str, conversation: Conversation | None = None) -> None:
    """Record that a launch is about to be requested, and the conversation that it continues or begins."""
    transaction.set_agent(
        agent.run_id,
        agent.ticket,
        agent.name,
        launch=launch,
        pid=None,
        started_at=None,
        exit_code=None,
        conversation=conversation and conversation.id,
        conversation_launch=conversation and conversation.launch,
    )


def start(transaction: Transaction, agent: Agent, pid: int | None, at: str) -> None:
    """Record that the launch runs, or has run."""
    first = agent.status == "pending"
    transaction.move_agent(
        agent.run_id,
        agent.ticket,
        agent.name,
        "launch" if first else "relaunch",
        message=agent.due,
        data={"launch": agent.launch},
        pid=pid,
        due=None,
        said=None,
        said_at=None,
        said_by=None,
        said_what=None,
        restarts=agent.restarts + (not first),
        automatic_restarts=agent.automatic_restarts + 1 if agent.due == "budget" else 0,
        started_at=at,
        last_activity_at=at,
        last_progress_at=at,
    )
