"""What agents that are about to be ended have left behind, and nobody has read yet: signals, and how they exited.

Only files are read, so nobody who ends an agent has to wait for tmux or git.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from metawsm_rpc.domain.models import LIVE, Agent
from metawsm_rpc.engine import ends, mailbox
from metawsm_rpc.engine.world import World
from metawsm_rpc.ports.folders import Dropped
from metawsm_rpc.ports.store import Transaction
from metawsm_rpc.ports.terminals import Exit


class LastWords(NamedTuple):
    """What one agent has left: its signals, oldest first, and its exit record when there is one."""

    agent: Agent
    dropped: tuple[Dropped, ...]
    exit: Exit | None


def read(world: World, agents: Iterable[Agent]) -> tuple[LastWords, ...]:
    """Return what those of these agents have left that are live. Raises `HostError` for what cannot be read."""
    return tuple(_of(world, agent) for agent in agents if agent.status in LIVE)


def _of(world: World, agent: Agent) -> LastWords:
    folders = world.machine.folders()
    paths = folders.paths(agent.run_id, agent.ticket, agent.name)
    terminals = world.machine.terminals(world.store.policy(agent.run_id))
    # The record first: what was said before the end is there then.
    record = terminals.exit_record(folders.launch_directory(paths, agent.launch or ""))
    return LastWords(agent, folders.dropped(paths), record)


def note(world: World, transaction: Transaction, words: Sequence[LastWords]) -> None:
    """Put on record what agents have said, and then how they ended."""
    for agent, dropped, record in words:
        for item in dropped:
            mailbox.receive(world, transaction, agent, item)
        now = transaction.agent(agent.run_id, agent.ticket, agent.name)
        if record is not None and now.status in LIVE and now.launch == agent.launch:
            ends.exited(transaction, now, world.store.policy(agent.run_id), record, world.clock())


def discard(world: World, words: Iterable[LastWords]) -> None:
    """Remove the signals that have been noted."""
    folders = world.machine.folders()
    for agent, dropped, _ in words:
        paths = folders.paths(agent.run_id, agent.ticket, agent.name)
        for item in dropped:
            folders.discard(paths, item.id)
