"""A person's access to an agent: its terminal and its transcript."""

from metawsm_rpc.domain.models import LIVE, Agent
from metawsm_rpc.domain.plain_text import plain_text, whole_length
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import IllegalTransitionError


def attachment(world: World, agent: Agent, *, looking: bool = True) -> tuple[tuple[str, ...], str]:
    """Return `(argv, session)` of an agent's terminal; without `looking`, what is stored says whether it is there.

    Raises `IllegalTransitionError` when the session has ended.
    """
    terminals = world.machine.terminals(world.store.policy(agent.run_id))
    is_open = any(pane.launch == agent.launch for pane in terminals.panes()) if looking else agent.status in LIVE
    if agent.launch is None or not is_open:
        raise closed_terminal(agent)
    return terminals.attach_command(agent.session), agent.session


def closed_terminal(agent: Agent) -> IllegalTransitionError:
    """Return the error for a terminal that is closed."""
    return IllegalTransitionError(
        f"The terminal of {agent.name} on {agent.ticket} is closed ({agent.status}).",
        hint=f"`metawsm logs {agent.run_id} --agent {agent.name} --ticket {agent.ticket}` shows what it printed, "
        "`metawsm restart` starts it again.",
    )


def transcript(world: World, agent: Agent, *, offset: int, limit: int, raw: bool) -> tuple[str, int, int, int]:
    """Return `(text, offset, next offset, size)` of what an agent printed, without escapes unless `raw`.

    No character is cut: the text may end up to three bytes before the limit.
    """
    terminals = world.machine.terminals(world.store.policy(agent.run_id))
    found, start, size = terminals.read_transcript(agent.transcript, offset, limit)
    cut = _cut_at_start(found)
    # A limit shorter than an escape sequence must not keep a reader in the same place forever.
    whole = found[cut : whole_length(found)] or (found[cut:] if start + len(found) < size else b"")
    text = whole.decode("utf-8", "replace") if raw else plain_text(whole)
    return text, start + cut, start + cut + len(whole), size


def _cut_at_start(found: bytes) -> int:
    """Count the bytes at the start that belong to a character whose beginning was cut off."""
    count = next((n for n, byte in enumerate(found[:4]) if not 0x80 <= byte < 0xC0), 0)
    return min(count, 3)
