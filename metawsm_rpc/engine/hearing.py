"""Applies what the hooks of agents' programs report.

A hook is not progress, and counts for less than the agent's own signals. Hooks run for every tool that an agent
uses, so they are recorded only if they change something.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from metawsm_rpc.domain.clock import seconds, timestamp
from metawsm_rpc.domain.lifecycles import SETTLING
from metawsm_rpc.domain.models import LIVE, Agent
from metawsm_rpc.engine import starts
from metawsm_rpc.engine.world import World
from metawsm_rpc.ports.store import Transaction

if TYPE_CHECKING:
    from metawsm_rpc.domain.readings.hooks import Said, Told

_MOVES: Mapping["Said", tuple[str, str]] = {
    "working": ("observe_running", "running"),
    "waiting": ("observe_waiting", "waiting"),
    "idle": ("observe_idle", "idle"),
    "error": ("observe_waiting", "waiting"),  # it continues only when a person intervenes
}
"""By state: the event, and the status that it leads to."""

_REFRESH_SECONDS = 5.0
"""How old a report must be before an identical one is worth a write."""


class Heard(NamedTuple):
    """A hook's report on one agent; `launch` identifies the start of it, `at` is in seconds since the epoch."""

    run_id: str
    ticket: str
    agent: str
    launch: str
    at: float
    told: "Told"


def receive(world: World, heard: Heard) -> None:
    """Apply a report, unless it changes nothing.

    Raises `RunNotFoundError` or `AgentNotFoundError`. A report of an earlier launch is not even recorded,
    because it cannot count any more.
    """
    agents = world.store.agents(heard.run_id)
    mine = next((one for one in agents if (one.ticket, one.name) == (heard.ticket, heard.agent)), None)
    if mine is not None and not _is_news(mine, heard):
        return
    with world.store.transaction() as transaction:
        apply(world, transaction, heard)


def apply(world: World, transaction: Transaction, heard: Heard) -> None:
    """Apply a report within an open transaction."""
    key = (heard.run_id, heard.ticket, heard.agent)
    agent = transaction.agent(*key)
    heard = heard._replace(at=min(heard.at, world.clock()))  # a dropped file may claim any time
    if not _is_news(agent, heard):
        return
    counts = transaction.run(heard.run_id).status in SETTLING
    if counts and starts.is_begun(agent):
        starts.start(transaction, agent, None, timestamp(world.clock()))
        agent = transaction.agent(*key)
    told = heard.told
    if told.prompted and told.conversation:
        transaction.set_agent(*key, conversation=told.conversation, conversation_launch=heard.launch)
    if not _may_say(agent, heard):
        return
    columns: dict[str, Any] = {"said": told.said, "said_at": timestamp(heard.at), "said_by": "hook"}
    if not _says_less(agent, told):
        columns["said_what"] = told.what
    if agent.status in LIVE:
        transaction.move_agent(*key, _MOVES[told.said][0], message=told.what, **columns)
    elif counts:
        transaction.move_agent(*key, "work", message=told.what, **columns)


def _is_news(agent: Agent, heard: Heard) -> bool:
    if agent.launch != heard.launch:
        return False
    told = heard.told
    begun = (told.conversation, heard.launch)
    if starts.is_begun(agent) or (
        told.prompted and told.conversation and begun != (agent.conversation, agent.conversation_launch)
    ):
        return True
    if not _may_say(agent, heard):
        return False
    same = (agent.said, agent.said_by, agent.status) == (told.said, "hook", _MOVES[told.said][1])
    # A change of what it waits for matters; a change of the tool it uses does not.
    known = same and (told.said in ("working", "idle") or _says_less(agent, told))
    return not (known and heard.at - _said_at(agent) < _REFRESH_SECONDS)


def _may_say(agent: Agent, heard: Heard) -> bool:
    """Return whether a hook may change its agent's status, given what the agent itself has signalled."""
    if agent.status not in LIVE:
        # After the tool that signals `done`, that tool and the turn end: only a new prompt means more work.
        return agent.status == "completed" and heard.told.prompted
    if agent.said_by == "signal" and agent.said == "waiting":
        # The same holds for `waiting`, but an agent that begins something else no longer waits.
        return heard.told.begins and heard.at > _said_at(agent)
    return heard.at >= _said_at(agent)


def _says_less(agent: Agent, told: "Told") -> bool:
    """Return whether the stored words are at least as specific as the new ones.

    A reminder names neither command nor question, and claude's calls a question a permission.
    """
    kept = agent.said_what or ""
    return agent.said == told.said and (kept.startswith(told.what) or (": " in kept and ": " not in told.what))


def _said_at(agent: Agent) -> float:
    return seconds(agent.said_at) if agent.said_at else 0.0


def as_data(heard: Heard) -> dict[str, Any]:
    """Return a report as the data of a drop box file."""
    return {**heard._asdict(), "told": heard.told._asdict()}


def from_data(data: Mapping[str, Any]) -> Heard:
    """Return the report in a dropped file. Raises `TypeError`, `ValueError` or `KeyError` for anything else."""
    from metawsm_rpc.domain.readings.hooks import Told

    told = Told(**data["told"])
    heard = Heard(**{**data, "told": told})
    texts = (heard.run_id, heard.ticket, heard.agent, heard.launch, told.what)
    if (
        told.said not in _MOVES
        or not all(isinstance(text, str) for text in texts)
        or not isinstance(told.conversation, str | None)
        or not isinstance(heard.at, int | float)
        or not heard.at >= 0  # NaN is refused, too
    ):
        raise ValueError("a value is of another kind")
    return heard
