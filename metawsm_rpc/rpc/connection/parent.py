"""The client's process: the server ends when it is gone."""

import asyncio
import os
from collections.abc import Callable

_PARENT_SECONDS = 1.0


def watch_parent(process_id: int, end: Callable[[int], None]) -> None:
    """End the server when the process that `initialize` names is gone, as the specification asks.

    One that cannot be seen, as from inside a container, is not watched: the end of input tells as well.
    """
    loop = asyncio.get_running_loop()
    try:
        if hasattr(os, "pidfd_open"):
            loop.add_reader(os.pidfd_open(process_id), end, 0)
            return
        os.kill(process_id, 0)
    except OSError:
        return

    def look() -> None:
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            end(0)
        except PermissionError:
            return
        else:
            loop.call_later(_PARENT_SECONDS, look)

    loop.call_later(_PARENT_SECONDS, look)
