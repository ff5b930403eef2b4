"""The verb `wait` on the server: it occupies no thread, and ends when its request is cancelled."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from metawsm_rpc.domain.models import SETTLED
from metawsm_rpc.rpc.news.feed import Feed
from metawsm_rpc.rpc.roots import Root
from metawsm_rpc.rpc.threads import Threads

if TYPE_CHECKING:
    from metawsm_rpc.answers import Waited

_LOOK_SECONDS = 5.0
"""How often to look even without a notification of changes."""


async def wait(threads: Threads, feed: Feed, root: Root, arguments: Mapping[str, Any]) -> "Waited":
    """Answer as `Service.wait` does. Raises what it raises."""
    timeout = arguments.get("timeout")
    deadline = None if timeout is None else time.monotonic() + timeout
    wanted = frozenset(arguments.get("until") or SETTLED)
    with feed.changes() as changed:
        waited = await threads.on("looks", lambda: root.service.wait(**{**arguments, "timeout": 0}))
        while not waited.reached:
            left = _LOOK_SECONDS if deadline is None else min(_LOOK_SECONDS, deadline - time.monotonic())
            if left <= 0:
                break
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), left)
            changed.clear()
            run = await threads.on("looks", root.service.world.store.run, waited.run.run_id)
            waited = waited._replace(run=run, reached=run.status in wanted)
    return waited
