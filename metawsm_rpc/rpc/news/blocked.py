"""Closes that were blocked: looked at again now and then, so that their diagnostics go when the cause has gone.

What is in the way lies in worktrees and checkouts, where no event tells of a change.
"""

import asyncio

from metawsm_rpc.errors import MetawsmError
from metawsm_rpc.rpc.session import Session

_FIRST_SECONDS = 2.0
_LONGEST_SECONDS = 30.0
_FACTOR = 1.5
"""A rehearsal asks git a lot, and who has not mended it for an hour will not do so in the next second."""


async def watched(session: Session) -> None:
    """Look again at what blocks closes, until the server ends."""
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
