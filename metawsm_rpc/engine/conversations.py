"""Which conversation of its program an agent goes on with when it is started again.

A program refuses to go on with what never began, and to begin what it has begun before. So each new
conversation has an id of its own, and one is gone on with only when it is known to have begun: by a
hook, which also tells the ids of programs that choose them themselves, or by what its agent did.
"""

from typing import NamedTuple

from metawsm_rpc.domain.models import Agent


class Conversation(NamedTuple):
    """A conversation by the program's own id, and the launch that began it or last went on with it."""

    id: str
    launch: str


def chosen_id(run_id: str, ticket: str, agent: str, launch: str) -> str:
    """Return the id of a conversation that this launch begins, for a program that lets it be chosen."""
    from uuid import NAMESPACE_URL, uuid5

    return str(uuid5(NAMESPACE_URL, f"metawsm:{run_id}/{ticket}/{agent}/{launch}"))


def to_go_on_with(agent: Agent, *, chosen: bool) -> Conversation | None:
    """Return what a new launch of an agent can go on with, None when it has to begin anew.

    `chosen` is whether the program's conversations have ids of our choice.
    """
    if agent.conversation is not None:
        conversation = Conversation(agent.conversation, agent.conversation_launch or "")
        if agent.launch == conversation.launch and agent.started_at is None:
            return None  # it was about to begin, when whoever started it died
        # The last launch was to go on with it, and came to nothing: it may be gone.
        failed = agent.status == "failed" and agent.exit_code is not None and agent.launch != conversation.launch
        return None if failed else conversation
    if chosen and agent.launch is not None and _has_worked(agent):
        return Conversation(chosen_id(agent.run_id, agent.ticket, agent.name, agent.launch), agent.launch)
    return None


def _has_worked(agent: Agent) -> bool:
    """Return whether the agent has done anything in its last launch, as none does without a conversation."""
    progressed = agent.started_at is not None and (agent.last_progress_at or "") > agent.started_at
    return progressed or agent.said_by == "signal" or agent.status == "completed"
