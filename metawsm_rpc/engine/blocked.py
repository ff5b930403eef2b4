"""Checks again what blocked the close of a run, so that it is reported only as long as it lasts."""

from metawsm_rpc.engine.closing import Closer, keep_blocked
from metawsm_rpc.engine.world import World


def look_again(world: World, run_id: str) -> None:
    """Rehearse a close that was blocked, and record what blocks it now, which may be nothing.

    It runs git, and writes only an event if something has changed.
    """
    before = world.store.blocked(run_id)
    if not before or world.store.run(run_id).status != "completed":
        return
    now = Closer(world, run_id).rehearse().blocked
    if now == before:
        return
    with world.store.transaction() as transaction:
        # Meanwhile somebody may have closed or resumed the run.
        if transaction.run(run_id).status == "completed" and world.store.blocked(run_id) == before:
            keep_blocked(transaction, run_id, now, now[0].message if now else "Nothing blocks the close any more.")
