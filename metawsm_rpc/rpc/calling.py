"""Verbs on threads of the server's own, so that nothing that takes long is waited for by anything else.

Looks, work and stops have a pool each: ten runs that are being planned and a git that hangs leave the
threads of looks free, and a stop finds a thread whatever else is under way.
"""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

from metawsm_rpc.verbs import Verb

Pool = Literal["looks", "work", "stops"]

_THREADS: dict[Pool, int] = {"looks": 8, "work": 32, "stops": 8}

Result = TypeVar("Result")


class Calls:
    """The threads that verbs run on. Threads begin when they are first needed."""

    def __init__(self) -> None:
        self._pools = {name: ThreadPoolExecutor(number, name) for name, number in _THREADS.items()}

    async def on(self, pool: Pool, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function on a thread of a pool. A thread that has begun is not cut off by cancelling."""
        return await asyncio.get_running_loop().run_in_executor(self._pools[pool], function, *arguments)


def pool_of(verb: Verb) -> Pool:
    """Return the pool for a verb: what only reads, or only writes a line, waits for no work."""
    if verb.name == "stop":
        return "stops"
    return "looks" if verb.reads or verb.name in ("answer", "signal") else "work"


def encoded(value: Any) -> str:
    """Return plain data as JSON, in the form in which it is sent."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
