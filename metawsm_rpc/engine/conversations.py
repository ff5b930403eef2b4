"""Chooses the conversation of its program that a restarted agent continues.

A program refuses to continue a conversation that never began, and to begin one that exists. So each new
conversation has a new id, and one is continued only if it is known to have begun: from a hook, which also
reports the ids that programs choose themselves, or from what its agent did.
"""

from typing import NamedTuple

from metawsm_rpc.domain.models import Agent


class Conversation(NamedTuple):
    """A conversation by the program's own id, and the launch that began it or last continued it."""

    id: str
    launch: str


def chosen_id(run_id: str, ticket: str, agent: str, launch: str) -> str:
    """Return the id for the conversation that this launch begins, for a program that lets metawsm choose it."""
    from uuid import NAMESPACE_URL, uuid5

    return str(uuid5(NAMESPACE_URL, f"metawsm:{run_id}/{ticket}/{agent}/{launch}"))


def to_go_on_with(agent: Agent, *, chosen: bool) -> Conversation | None:
    """Return the conversation that a new launch of an agent can continue, None when it has to begin a new one.

    `chosen` is whether metawsm chooses the ids of the program's conversations.
    """
    if agent.conversation is not None:
        conversation = Conversation(agent.conversation, agent.conversation_launch or "")
        if agent.launch == conversation.launch and agent.started_at is None:
            return None  # it was about to begin when the process that started it died
        # The last launch tried to continue it and failed, so it may be gone.
        failed = agent.status == "failed" and agent.exit_code is not None and agent.launch != conversation.launch
        return None if failed else conversation
    if chosen and agent.launch is not None and _has_worked(agent):
        return Conversation(chosen_id(agent.run_id, agent.ticket, agent.name, agent.launch), agent.launch)
    return None


def _has_worked(agent: Agent) -> bool:
    """Return whether the agent did anything in its last launch, which it cannot without a conversation."""
    progressed = agent.started_at is not None and (agent.last_progress_at or "") > agent.started_at
    return progressed or agent.said_by == "signal" or agent.status == "completed"
