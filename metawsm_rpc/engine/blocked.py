"""What blocked the close of a run, looked at again, so that it is told as long as it is so."""

from metawsm_rpc.engine.closing import Closer, keep_blocked
from metawsm_rpc.engine.world import World


def look_again(world: World, run_id: str) -> None:
    """Rehearse a close that was blocked, and keep what blocks it now; nothing, when the way is free.

    This asks git, and writes nothing but an event when there is news.
    """
    before = world.store.blocked(run_id)
    if not before or world.store.run(run_id).status != "completed":
        return
    now = Closer(world, run_id).rehearse().blocked
    if now == before:
        return
    with world.store.transaction() as transaction:
        # Meanwhile somebody may have tried to close it again, or let it go on.
        if transaction.run(run_id).status == "completed" and world.store.blocked(run_id) == before:
            keep_blocked(transaction, run_id, now, now[0].message if now else "Nothing blocks the close any more.")
