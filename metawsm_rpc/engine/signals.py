"""Applies agents' signals, received by command or from a drop box."""

import contextlib
import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

from metawsm_rpc.domain.clock import timestamp
from metawsm_rpc.domain.lifecycles import SETTLING
from metawsm_rpc.domain.models import LIVE, Agent, Event, Guidance
from metawsm_rpc.engine import starts
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import GuidanceNotFoundError, IllegalTransitionError, InvalidParamsError
from metawsm_rpc.ports.store import Transaction

SignalType = Literal["progress", "waiting", "working", "guidance", "done", "failed"]

_MOVES: Mapping[str, str] = {
    "progress": "observe_running",
    "waiting": "observe_waiting",
    "working": "work",
    "done": "finish",
    "failed": "fail",
}


_MOST_CHARACTERS = 256_000
"""The limit for a signal, which stays in the store forever and is sent to every client."""


class Signal(NamedTuple):
    """A signal; `launch` identifies the start of the agent that it came from."""

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
    """The result of a signal: its event, and the question if it asked one."""

    event: Event
    guidance_id: str | None


def receive(world: World, signal: Signal) -> Received:
    """Apply a signal.

    Raises `RunNotFoundError`, `AgentNotFoundError`, or `IllegalTransitionError` when the agent's status does
    not allow it (a question of an agent that is not live). A signal of an earlier launch is recorded and moves
    nothing.
    """
    with world.store.transaction() as transaction:
        return apply(world, transaction, signal)


def apply(world: World, transaction: Transaction, signal: Signal) -> Received:
    """Apply a signal within an open transaction."""
    _check_size(signal)
    key = (signal.run_id, signal.ticket, signal.agent)
    agent = transaction.agent(*key)
    now = timestamp(world.clock())
    if agent.launch != signal.launch:
        return Received(_record(transaction, signal, "stale_signal"), None)
    counts = transaction.run(signal.run_id).status in SETTLING
    if counts and starts.is_begun(agent):
        # It runs, although its driver has not recorded that yet, or never will.
        starts.start(transaction, agent, None, now)
        agent = transaction.agent(*key)
    guidance_id = _ask(world, transaction, signal, agent) if signal.type == "guidance" else None
    event = _record(transaction, signal, signal.type)
    # After `done` only `working` moves an agent, and after a stop nothing; other signals are only recorded.
    live = agent.status in LIVE
    if live or (counts and agent.status == "completed" and signal.type == "working"):
        _move(transaction, signal, now)
    return Received(event, guidance_id)


def _check_size(signal: Signal) -> None:
    size = sum(map(len, (signal.message or "", *signal.choices)))
    if signal.data is not None:
        size += len(json.dumps(signal.data, ensure_ascii=False))
    if size > _MOST_CHARACTERS:
        raise InvalidParamsError(
            f"A signal holds {_MOST_CHARACTERS} characters at most, not {size}; put the rest into a file, and name that."
        )


def _move(transaction: Transaction, signal: Signal, now: str) -> None:
    key = (signal.run_id, signal.ticket, signal.agent)
    columns: dict[str, Any] = {"last_progress_at": now} if signal.type in ("progress", "done") else {}
    if signal.type in ("working", "waiting"):
        columns |= {"said": signal.type, "said_at": now, "said_by": "signal", "said_what": signal.message}
    elif signal.type in ("progress", "done", "failed"):
        columns |= dict.fromkeys(("said", "said_at", "said_by", "said_what"))
    move = _MOVES.get(signal.type)
    if move is not None:
        transaction.move_agent(*key, move, message=signal.message, **columns)
    if signal.type == "failed":
        transaction.set_error(
            signal.run_id, f"{signal.ticket}: {signal.agent} failed: {signal.message or 'no reason given'}"
        )


def _ask(world: World, transaction: Transaction, signal: Signal, agent: Agent) -> str:
    if agent.status not in LIVE:
        raise IllegalTransitionError(f"Agent {agent.name} on {agent.ticket} is {agent.status}, so it cannot ask.")
    if not signal.message:
        raise InvalidParamsError('A question needs a text: metawsm signal guidance "…".')
    guidance_id = signal.guidance_id or world.token()
    with contextlib.suppress(GuidanceNotFoundError):
        world.store.guidance(guidance_id)
        raise InvalidParamsError(f"There is a question {guidance_id!r} already; leave the id out.")
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
        json.dumps(values, ensure_ascii=False, allow_nan=False).encode()  # no lone surrogates
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidParamsError(f"What lies in the drop box is no signal: {error}.") from error
    texts = (signal.run_id, signal.ticket, signal.agent, signal.launch, signal.type, *signal.choices)
    optional = (signal.message, signal.guidance_id)
    if (
        not all(isinstance(text, str) for text in texts)
        or not all(isinstance(text, str | None) for text in optional)
        or not isinstance(signal.data, dict | None)
    ):
        raise InvalidParamsError("What lies in the drop box is no signal: a value is of another type.")
    return signal._replace(type=check_type(signal.type))


def check_type(name: str) -> SignalType:
    """Return the type of a signal. Raises `InvalidParamsError` for an unknown name."""
    if name not in get_args(SignalType):
        raise InvalidParamsError(f"There is no signal {name!r}; there are: {', '.join(get_args(SignalType))}.")
    found: SignalType = name  # type: ignore[assignment] # checked above
    return found
