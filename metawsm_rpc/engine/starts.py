"""What a launch is in the store: begun before tmux is asked, started once it is known to run.

A launch that was begun has an id and no time of its start. Whoever learns first that it runs says
so: the driver that asked tmux, a later driver that finds the session, or the agent's own signal.
"""

from metawsm_rpc.domain.models import Agent
from metawsm_rpc.engine.conversations import Conversation
from metawsm_rpc.ports.store import Transaction


def is_begun(agent: Agent) -> bool:
    """Return whether a launch was begun of which nobody has said yet that it runs."""
    return agent.launch is not None and agent.started_at is None


def begin(transaction: Transaction, agent: Agent, launch: str, conversation: Conversation | None = None) -> None:
    """Write down that a launch is about to be asked for, and what it goes on with or begins."""
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
    """Say that the launch that was begun runs, or did run."""
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
