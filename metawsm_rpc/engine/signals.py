"""What agents tell us, by command or by drop box, and what it moves."""

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

from metawsm_rpc.domain.clock import timestamp
from metawsm_rpc.domain.models import LIVE, Agent, Event, Guidance
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import IllegalTransitionError, InvalidParamsError
from metawsm_rpc.ports.store import Transaction

SignalType = Literal["progress", "waiting", "working", "guidance", "done", "failed"]

_MOVES: Mapping[str, str] = {
    "progress": "observe_running",
    "waiting": "observe_waiting",
    "working": "work",
    "done": "finish",
    "failed": "fail",
}


class Signal(NamedTuple):
    """One thing that an agent said; `launch` tells which start of it spoke."""

    run_id: str
    ticket: str
    agent: str
    launch: str
    type: SignalType
    message: str | None = None
    choices: tuple[str, ...] = ()
    data: Mapping[str, Any] | None = None
    guidance_id: str | None = None


class Received(NamedTuple):
    """What a signal led to: the event that tells of it, and the question when it asked one."""

    event: Event
    guidance_id: str | None


def receive(world: World, signal: Signal) -> Received:
    """Apply a signal.

    Raises `RunNotFoundError`, `AgentNotFoundError`, or `IllegalTransitionError` when the agent is
    in no state to say this (a question of an agent that is not live). A signal of an earlier
    launch is recorded and moves nothing.
    """
    with world.store.transaction() as transaction:
        return apply(world, transaction, signal)


def apply(world: World, transaction: Transaction, signal: Signal) -> Received:
    """Apply a signal in a transaction that is under way."""
    agent = transaction.agent(signal.run_id, signal.ticket, signal.agent)
    if agent.launch != signal.launch:
        return Received(_record(transaction, signal, "stale_signal"), None)
    guidance_id = _ask(world, transaction, signal, agent) if signal.type == "guidance" else None
    event = _record(transaction, signal, signal.type)
    now = timestamp(world.clock())
    columns: dict[str, Any] = {"last_progress_at": now} if signal.type in ("progress", "done") else {}
    if signal.type in ("working", "waiting"):
        columns |= {"said": signal.type, "said_at": now}
    elif signal.type in ("progress", "done", "failed"):
        columns |= {"said": None, "said_at": None}
    move = _MOVES.get(signal.type)
    key = (signal.run_id, signal.ticket, signal.agent)
    # After `done` only `working` moves an agent again; the rest is on record.
    if move is not None and (agent.status in LIVE or (agent.status == "completed" and move == "work")):
        transaction.move_agent(*key, move, message=signal.message, **columns)
        if signal.type == "failed":
            transaction.set_error(
                signal.run_id, f"{signal.ticket}: {signal.agent} failed: {signal.message or 'no reason given'}"
            )
    elif columns:
        transaction.set_agent(*key, **columns)
    return Received(event, guidance_id)


def _ask(world: World, transaction: Transaction, signal: Signal, agent: Agent) -> str:
    if agent.status not in LIVE:
        raise IllegalTransitionError(f"Agent {agent.name} on {agent.ticket} is {agent.status}, so it cannot ask.")
    if not signal.message:
        raise InvalidParamsError('A question needs a text: metawsm signal guidance "…".')
    guidance_id = signal.guidance_id or world.token()
    transaction.ask(
        Guidance(
            id=guidance_id,
            run_id=signal.run_id,
            ticket=signal.ticket,
            agent=signal.agent,
            question=signal.message,
            context=None if signal.data is None else json.dumps(signal.data, ensure_ascii=False),
            choices=signal.choices,
            answer=None,
            status="pending",
            asked_at=timestamp(world.clock()),
            answered_at=None,
            delivered_at=None,
        )
    )
    return guidance_id


def _record(transaction: Transaction, signal: Signal, event_type: str) -> Event:
    return transaction.record(
        signal.run_id,
        "agent",
        f"{signal.ticket}/{signal.agent}",
        event_type,
        message=signal.message,
        data={"launch": signal.launch, **({} if signal.data is None else {"data": dict(signal.data)})},
    )


def to_text(signal: Signal) -> str:
    """Return a signal as the text of a file in a drop box."""
    return json.dumps(signal._asdict())


def from_text(text: str) -> Signal:
    """Return the signal in a dropped file. Raises `InvalidParamsError` for anything else."""
    try:
        values = json.loads(text)
        signal = Signal(**{**values, "choices": tuple(values.get("choices") or ())})
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidParamsError(f"What lies in the drop box is no signal: {error}.") from error
    return signal._replace(type=check_type(signal.type))


def check_type(name: str) -> SignalType:
    """Return the type of a signal. Raises `InvalidParamsError` for a name that is none."""
    if name not in get_args(SignalType):
        raise InvalidParamsError(f"There is no signal {name!r}; there are: {', '.join(get_args(SignalType))}.")
    found: SignalType = name  # type: ignore[assignment] # checked above
    return found
