"""Checks blocked closes again now and then, so that their diagnostics disappear with their cause.

The cause is in worktrees and checkouts, whose changes cause no event.
"""

import asyncio

from metawsm_rpc.errors import MetawsmError
from metawsm_rpc.rpc.session import Session

_FIRST_SECONDS = 2.0
_LONGEST_SECONDS = 30.0
_FACTOR = 1.5
"""A rehearsal is expensive, and a cause that has lasted for an hour seldom goes away in the next second."""


async def watched(session: Session) -> None:
    """Check blocked closes repeatedly, until the server ends."""
    pause = _FIRST_SECONDS
    before: dict[str, object] = {}
    while True:
        await asyncio.sleep(pause)
        found: dict[str, object] = {}
        for root in session.roots.opened:
            if not root.trusted:
                continue
            try:
                view = await session.view(root)
                runs = {run_id: blocked for run_id, blocked in view.blocked.items() if blocked}
                for run_id in runs:
                    await session.threads.on("work", root.service.look_at_blocked, run_id)
            except MetawsmError:
                continue  # the feed of this root tells what is wrong with it
            found |= runs
        pause = min(pause * _FACTOR, _LONGEST_SECONDS) if found and found == before else _FIRST_SECONDS
        before = found
