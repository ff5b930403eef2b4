"""Drop boxes: what agents leave there that cannot reach the store, as in a sandbox, and what they get back.

A signal, and what a hook tells, is a file; whoever sweeps applies it. Who waits for an answer leaves a
request beside it, `.reply-` and a mark of the question, and finds what became of the question in its
place. A request that nobody waits at any more, because the agent's tool was cut off, is taken up by
the next one who asks the same.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from metawsm_rpc.domain.models import Agent, Guidance
from metawsm_rpc.domain.wire import wire
from metawsm_rpc.engine import hearing, signals
from metawsm_rpc.engine.hearing import Heard
from metawsm_rpc.engine.signals import Signal
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import HostError, InvalidParamsError, MetawsmError
from metawsm_rpc.ports.folders import AgentPaths, Dropped
from metawsm_rpc.ports.store import Transaction

_LOOK_SECONDS = 0.05
_REPLY = frozenset({"guidance", "reason"})


class Reply(NamedTuple):
    """What became of a question that was left in a drop box.

    `guidance` is the question as the protocol has it; None when it was refused, for the `reason`.
    """

    guidance_id: str
    guidance: Mapping[str, Any] | None
    reason: str | None


# --- the agent's side: nothing of the store is touched ---


def leave_signal(world: World, signal: Signal) -> None:
    """Leave a signal in its agent's drop box. Raises `HostError` when there is none, or it cannot be written."""
    world.machine.folders().leave(_paths(world, signal), _name(world), signals.to_text(signal))


def leave_heard(world: World, heard: Heard) -> None:
    """Leave what a hook told in its agent's drop box. Raises `HostError` when there is none."""
    text = json.dumps({"heard": hearing.as_data(heard)})
    world.machine.folders().leave(_paths(world, heard), _name(world), text)


@contextmanager
def asking(world: World, signal: Signal) -> Iterator[Callable[[], Reply]]:
    """Leave a question in the drop box; the block is given what waits for its reply, and has it when it ends.

    Raises `HostError` when there is no drop box.
    """
    folders, paths = world.machine.folders(), _paths(world, signal)
    name = _request(signal.message or "", signal.choices)
    earlier = _read(folders.left(paths, name))
    is_new = earlier.get("launch") != signal.launch
    guidance_id = world.token() if is_new else str(earlier.get("id"))
    with folders.awaiting(paths, guidance_id):
        if is_new:
            folders.leave(paths, name, json.dumps({"id": guidance_id, "launch": signal.launch}))
            leave_signal(world, signal._replace(guidance_id=guidance_id))

        def wait() -> Reply:
            while not _REPLY & (found := _read(folders.left(paths, name))).keys():
                time.sleep(_LOOK_SECONDS)
            return Reply(guidance_id, found.get("guidance"), found.get("reason"))

        yield wait
        folders.discard(paths, name)


def _name(world: World) -> str:
    return f"{time.time_ns():020d}-{world.token()}"


# --- the other side ---


def receive(world: World, transaction: Transaction, agent: Agent, item: Dropped) -> None:
    """Apply what lies in the drop box of an agent, once; what cannot be is recorded as refused."""
    name = item.id.encode(errors="backslashreplace").decode()
    if not transaction.receive(f"{agent.run_id}/{agent.ticket}/{agent.name}/{name}"):
        return
    try:
        _apply(world, transaction, agent, item)
    except MetawsmError as error:
        _refuse(transaction, agent, error.message)
    except Exception as error:  # noqa: BLE001 - whatever one agent leaves, the others are still to be looked at
        _refuse(transaction, agent, f"What lies in the drop box cannot be applied: {type(error).__name__}.")


def _apply(world: World, transaction: Transaction, agent: Agent, item: Dropped) -> None:
    # The box belongs to one agent; it cannot speak for another.
    run_id, ticket, name = agent.run_id, agent.ticket, agent.name
    heard = _heard(item.text)
    if heard is not None:
        hearing.apply(world, transaction, heard._replace(run_id=run_id, ticket=ticket, agent=name))
        return
    signal = signals.from_text(item.text)._replace(run_id=run_id, ticket=ticket, agent=name)
    try:
        told = signals.apply(world, transaction, signal)
    except MetawsmError as error:
        _refuse_to_answer(world, signal, error.message)
        raise
    if told.event.type == "stale_signal":
        _refuse_to_answer(world, signal, "This is not the agent's latest launch, so the question was only recorded.")


def _refuse(transaction: Transaction, agent: Agent, message: str) -> None:
    key = f"{agent.ticket}/{agent.name}"
    transaction.record(agent.run_id, "agent", key, "signal_refused", message=message)


def _refuse_to_answer(world: World, signal: Signal, reason: str) -> None:
    if signal.type == "guidance" and signal.guidance_id:
        request = _request(signal.message or "", signal.choices)
        _reply(world, _paths(world, signal), request, signal.guidance_id, {"reason": reason})


def hand_over(world: World, questions: Iterable[Guidance]) -> None:
    """Bring what became of questions to those who wait for it at a drop box.

    Who withdraws or answers a question calls this; each look does, too, for who could not be told then.
    """
    for question in questions:
        if question.status == "pending":
            continue
        request = _request(question.question, question.choices)
        reply = {"guidance": wire(question)}
        try:
            is_taken = _reply(world, _paths(world, question), request, question.id, reply)
        except HostError:  # the agent has taken its box away; whatever waits there is no concern of the others
            continue
        if not is_taken:
            continue
        if question.status == "answered" and question.delivered_at is None:
            with world.store.transaction() as transaction:
                transaction.delivered(question.id)


def _reply(world: World, paths: AgentPaths, name: str, guidance_id: str, reply: Mapping[str, Any]) -> bool:
    """Put a reply in the place of the request for it, if there is one and a live process waits at it."""
    folders = world.machine.folders()
    request = _read(folders.left(paths, name))
    if request.get("id") != guidance_id or _REPLY & request.keys() or not folders.is_awaited(paths, guidance_id):
        return False
    folders.leave(paths, name, json.dumps({**request, **reply}))
    return True


def _request(question: str, choices: Sequence[str]) -> str:
    """Return the name of the request for an answer; the same for the same question of an agent."""
    from hashlib import sha256

    words = json.dumps([question, list(choices)]).encode()
    return f".reply-{sha256(words).hexdigest()[:32]}"


def _paths(world: World, of: Signal | Heard | Guidance) -> AgentPaths:
    return world.machine.folders().paths(of.run_id, of.ticket, of.agent)


def _read(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _heard(text: str) -> Heard | None:
    """Return what a hook told, None for a file that is something else. Raises `InvalidParamsError`."""
    data = _read(text).get("heard")
    if data is None:
        return None
    try:
        return hearing.from_data(data)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InvalidParamsError(f"What lies in the drop box is no word of a hook: {error}.") from error
