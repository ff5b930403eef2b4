"""What blocks the close of a run: kept as events, and looked at again, so that it is told as long as it is so."""

from collections.abc import Sequence

from metawsm_rpc.domain.models import Blocked
from metawsm_rpc.domain.wire import wire
from metawsm_rpc.engine.world import World
from metawsm_rpc.ports.store import CLOSE_BLOCKED


def keep(world: World, run_id: str, blocked: Sequence[Blocked], message: str) -> None:
    """Keep what blocked a close."""
    with world.store.transaction() as transaction:
        transaction.record(
            run_id, "merge", run_id, CLOSE_BLOCKED, message=message, data={"blocked": wire(tuple(blocked))}
        )


def look_again(world: World, run_id: str) -> None:
    """Rehearse a close that was blocked, and keep what blocks it now; nothing, when the way is free.

    This asks git, and writes nothing but an event when there is news.
    """
    from metawsm_rpc.engine.closing import Closer

    before = world.store.blocked(run_id)
    if not before or world.store.run(run_id).status != "completed":
        return
    now = Closer(world, run_id).rehearse().blocked
    if now == before:
        return
    with world.store.transaction() as transaction:
        # Meanwhile somebody may have tried to close it again, or let it go on.
        if transaction.run(run_id).status == "completed" and world.store.blocked(run_id) == before:
            message = now[0].message if now else "Nothing blocks the close any more."
            transaction.record(run_id, "merge", run_id, CLOSE_BLOCKED, message=message, data={"blocked": wire(now)})
