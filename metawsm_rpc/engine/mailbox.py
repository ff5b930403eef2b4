"""Drop boxes: how agents that cannot reach the store, as in a sandbox, exchange messages with it.

A signal or a hook's report is a file, which the next sweep applies. A process that waits for an answer leaves a
request beside it, named `.reply-` and a hash of the question, and finds the reply in its place. A request that
no process waits for any more, because the agent's tool was interrupted, is used by the next process that asks
the same question.
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
    """The reply to a question that was left in a drop box.

    `guidance` is the question in the protocol's form; None when it was refused, with the `reason`.
    """

    guidance_id: str
    guidance: Mapping[str, Any] | None
    reason: str | None


# --- the agent's side, which never touches the store ---


def leave_signal(world: World, signal: Signal) -> None:
    """Leave a signal in its agent's drop box. Raises `HostError` when there is none or it is not writable."""
    world.machine.folders().leave(_paths(world, signal), _name(world), signals.to_text(signal))


def leave_heard(world: World, heard: Heard) -> None:
    """Leave a hook's report in its agent's drop box. Raises `HostError` when there is none."""
    text = json.dumps({"heard": hearing.as_data(heard)})
    world.machine.folders().leave(_paths(world, heard), _name(world), text)


@contextmanager
def asking(world: World, signal: Signal) -> Iterator[Callable[[], Reply]]:
    """Leave a question in the drop box; the block gets a function that waits for the reply.

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


# --- the store's side ---


def receive(world: World, transaction: Transaction, agent: Agent, item: Dropped) -> None:
    """Apply the files in an agent's drop box, each once; those that cannot be applied are recorded as refused."""
    name = item.id.encode(errors="backslashreplace").decode()
    if not transaction.receive(f"{agent.run_id}/{agent.ticket}/{agent.name}/{name}"):
        return
    try:
        _apply(world, transaction, agent, item)
    except MetawsmError as error:
        _refuse(transaction, agent, error.message)
    except Exception as error:  # noqa: BLE001 - whatever one agent leaves, the other boxes must still be read
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
    """Deliver replies to the processes that wait for them at a drop box.

    Called when a question is answered or withdrawn, and again at each sweep, for replies that could not be
    delivered then.
    """
    for question in questions:
        if question.status == "pending":
            continue
        request = _request(question.question, question.choices)
        reply = {"guidance": wire(question)}
        try:
            is_taken = _reply(world, _paths(world, question), request, question.id, reply)
        except HostError:  # the agent has removed its box; that must not affect the others
            continue
        if not is_taken:
            continue
        if question.status == "answered" and question.delivered_at is None:
            with world.store.transaction() as transaction:
                transaction.delivered(question.id)


def _reply(world: World, paths: AgentPaths, name: str, guidance_id: str, reply: Mapping[str, Any]) -> bool:
    """Replace a request by its reply, if there is one and a live process waits for it."""
    folders = world.machine.folders()
    request = _read(folders.left(paths, name))
    if request.get("id") != guidance_id or _REPLY & request.keys() or not folders.is_awaited(paths, guidance_id):
        return False
    folders.leave(paths, name, json.dumps({**request, **reply}))
    return True


def _request(question: str, choices: Sequence[str]) -> str:
    """Return the name of the request for an answer, which is the same for the same question of an agent."""
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
    """Return a hook's report, None for a file that is something else. Raises `InvalidParamsError`."""
    data = _read(text).get("heard")
    if data is None:
        return None
    try:
        return hearing.from_data(data)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InvalidParamsError(f"What lies in the drop box is no word of a hook: {error}.") from error
