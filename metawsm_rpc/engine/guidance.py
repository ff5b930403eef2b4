"""Questions of agents: asking, waiting, answering, and delivering the answer.

A process that waits for an answer holds a lock, which the kernel releases when the process dies. An answer is
typed into the agent's terminal only if no process waits for it.
"""

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from metawsm_rpc.domain.models import Event, Guidance
from metawsm_rpc.domain.typed_text import typed_text
from metawsm_rpc.engine import delivery, signals
from metawsm_rpc.engine.signals import Signal
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import IllegalTransitionError, StoreError

_LOOK_SECONDS = 0.05


_ANSWERING_SECONDS = 2.0
"""How long to wait for somebody who is about to answer the same question; then they are taken to be frozen."""


class Asked(NamedTuple):
    """The event of a question, and the question; None when it came from an earlier launch."""

    event: Event
    guidance: Guidance | None


class Answered(NamedTuple):
    """An answered question, and why the agent does not have the answer yet."""

    guidance: Guidance
    reason: str | None


@contextmanager
def asking(world: World, signal: Signal) -> Iterator[Asked]:
    """Ask a question and wait until it is answered or withdrawn; leaving the block marks the answer delivered.

    A question that the same agent has asked before is not asked twice: if it is still open, as after an
    interrupted wait, or answered but not delivered, it is used instead. Raises what `signals.receive` raises.
    """
    folders = world.machine.folders()
    paths = folders.paths(signal.run_id, signal.ticket, signal.agent)
    earlier = _earlier(world, signal)
    guidance_id = earlier.id if earlier else world.token()
    with folders.awaiting(paths, guidance_id):
        if earlier is None:
            event, asked = signals.receive(world, signal._replace(guidance_id=guidance_id))
            if asked is None:
                yield Asked(event, None)
                return
        else:
            event = _ask_again(world, signal, earlier)
        question = _await(world, guidance_id)
        yield Asked(event, question)
        if question.status == "answered":
            # The caller has its answer: a failing store must not make it ask again.
            with contextlib.suppress(StoreError), world.store.transaction() as transaction:
                transaction.delivered(guidance_id)


def _earlier(world: World, signal: Signal) -> Guidance | None:
    """Return the same question of the same agent, if its answer can still be delivered."""
    same = (signal.ticket, signal.agent, signal.message, signal.choices)
    for question in reversed(world.store.questions(signal.run_id)):
        if (question.ticket, question.agent, question.question, question.choices) == same:
            undelivered = question.status == "answered" and question.delivered_at is None
            return question if question.status == "pending" or undelivered else None
    return None


def _ask_again(world: World, signal: Signal, question: Guidance) -> Event:
    with world.store.transaction() as transaction:
        return transaction.record(
            signal.run_id,
            "guidance",
            question.id,
            "ask_again",
            message=question.question,
            data={"launch": signal.launch},
        )


def _await(world: World, guidance_id: str) -> Guidance:
    while True:
        version = world.store.data_version()
        question = world.store.guidance(guidance_id)
        if question.status != "pending":
            return question
        while world.store.data_version() == version:
            time.sleep(_LOOK_SECONDS)


def answer(world: World, guidance_id: str, text: str) -> Answered:
    """Answer a question, and bring the answer to the process that waits for it, else to the agent's input.

    The same answer again brings one that has not arrived. Raises `GuidanceNotFoundError`,
    `InvalidParamsError` for what is no text, or `IllegalTransitionError` when the question is not open any more.
    """
    typed_text(text)
    question = world.store.guidance(guidance_id)
    deadline = time.monotonic() + _ANSWERING_SECONDS
    while True:
        with delivery.bringing(world, question) as is_ours:
            is_open = world.store.guidance(guidance_id).status == "pending"
            # Somebody else is about to answer, and will bring what is on record then.
            if is_ours or not is_open or time.monotonic() > deadline:
                return _answer(world, guidance_id, text, is_ours=is_ours)
        time.sleep(_LOOK_SECONDS)


def _answer(world: World, guidance_id: str, text: str, *, is_ours: bool) -> Answered:
    with world.store.transaction() as transaction:
        is_new = transaction.answer(guidance_id, text)
    question = world.store.guidance(guidance_id)
    is_owed = question.status == "answered" and question.answer == text and question.delivered_at is None
    if not is_new and not (is_ours and is_owed):
        raise _not_open(question)
    reason = delivery.bring(world, question)
    return Answered(world.store.guidance(guidance_id), reason)


def _not_open(question: Guidance) -> IllegalTransitionError:
    became = (
        f'was answered already, with "{question.answer}"'
        if question.status == "answered"
        else "was withdrawn, because its agent stopped, ended or was started again"
    )
    return IllegalTransitionError(
        f"The question {question.id} {became}.",
        hint=f"`metawsm send {question.run_id} --agent {question.agent} --ticket {question.ticket} TEXT` "
        "tells the agent something else.",
        details={"status": question.status, "answer": question.answer},
    )
