"""Bringing answers to agents: to the process that waits for one, else into the agent's terminal, and there at most once.

That an answer is about to be typed is on record before the first key. Who dies between that and the record of
its delivery leaves an answer of which nobody knows whether it arrived: that is told, and it is not typed again.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from metawsm_rpc.domain.models import LIVE, Agent, Guidance
from metawsm_rpc.engine import mailbox, sending
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import MetawsmError
from metawsm_rpc.policy.view import profile_of

_LOOK_SECONDS = 0.05

_TAKING_SECONDS = 2.0
"""How long a process that waits may take to take its answer."""


@contextmanager
def bringing(world: World, question: Guidance) -> Iterator[bool]:
    """Let nobody else bring the answer to a question for the block, which is given False when a live process does."""
    folders = world.machine.folders()
    paths = folders.paths(question.run_id, question.ticket, question.agent)
    with folders.claiming(paths, f"the answer to {question.id}") as is_ours:
        yield is_ours


def bring(world: World, question: Guidance) -> str | None:
    """Bring the answer of a question to its agent, within `bringing`; return why the agent does not have it."""
    mailbox.hand_over(world, [question])
    if _is_taken(world, question):
        return None
    return _type(world, question)


def bring_late(world: World, guidance_id: str) -> None:
    """Bring an answer whose bringer has died, unless somebody else does, or did."""
    with bringing(world, world.store.guidance(guidance_id)) as is_ours:
        question = world.store.guidance(guidance_id)
        if is_ours and question in world.store.undelivered():
            bring(world, question)


def _is_taken(world: World, question: Guidance) -> bool:
    """Return whether a process that waits for the answer has taken it."""
    folders = world.machine.folders()
    paths = folders.paths(question.run_id, question.ticket, question.agent)
    deadline = time.monotonic() + _TAKING_SECONDS
    while True:
        is_awaited = folders.is_awaited(paths, question.id)
        if world.store.guidance(question.id).delivered_at is not None:
            return True
        if not is_awaited or time.monotonic() > deadline:
            # Who is there and slow, as a machine under load is, still takes it.
            return is_awaited
        time.sleep(_LOOK_SECONDS)


def _type(world: World, question: Guidance) -> str | None:
    """Type an answer into the agent's terminal; return why it did not get there."""
    agent = _asker(world, question)
    if agent.status not in LIVE:
        reason = f"it is {agent.status}"
    elif not sending.reads_input(profile_of(world.store.policy(agent.run_id), agent.name)):
        reason = "nobody waits for it, and its program reads no input"
    else:
        with world.store.transaction() as transaction:
            may_type = transaction.begin_typing(question.id)
        if not may_type:
            return (
                "whoever typed it was cut off, so it may be there already; look with `metawsm attach`, and "
                "`metawsm send` it where it is not"
            )
        try:
            sent = sending.send(world, agent, question.answer or "", occasion="answer")
        except MetawsmError as error:
            reason = error.message.removesuffix(".")
        else:
            if sent.delivered:
                with world.store.transaction() as transaction:
                    transaction.delivered(question.id)
                return None
            reason = sent.reason or "it did not take it"
    with world.store.transaction() as transaction:
        transaction.record(question.run_id, "guidance", question.id, "not_delivered", message=reason)
    return reason


def _asker(world: World, question: Guidance) -> Agent:
    (agent,) = (
        one
        for one in world.store.agents(question.run_id)
        if (one.ticket, one.name) == (question.ticket, question.agent)
    )
    return agent
