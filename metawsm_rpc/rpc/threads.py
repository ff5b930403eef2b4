"""Thread pools of the server, so that slow work delays nothing else.

Looks, work and stops have separate pools: ten runs being planned and a git that hangs leave the threads for
looks free, and a stop always finds a thread.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

from metawsm_rpc.rpc.connection.transport import Writer

Pool = Literal["looks", "work", "stops"]

_NUMBERS: dict[Pool, int] = {"looks": 8, "work": 32, "stops": 8}

Result = TypeVar("Result")


class Threads:
    """Calls functions on the threads of a pool; further calls wait for a free thread.

    While the client is far behind with reading, only stops are started.
    """

    def __init__(self) -> None:
        self._pools = {name: ThreadPoolExecutor(number, name) for name, number in _NUMBERS.items()}
        self._turns = {name: asyncio.Semaphore(number) for name, number in _NUMBERS.items()}
        self._writer: Writer | None = None
        self._room: asyncio.Future[bool] | None = None
        self._waiting = ThreadPoolExecutor(1, "room")

    def heed(self, writer: Writer) -> None:
        """Start nothing while this writer is congested."""
        self._writer = writer

    async def on(self, pool: Pool, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function on a thread of a pool. Cancelling does not interrupt a call that has started."""
        async with self._turns[pool]:
            if pool != "stops":
                await self._await_room()
            return await asyncio.get_running_loop().run_in_executor(self._pools[pool], function, *arguments)

    async def _await_room(self) -> None:
        while self._writer is not None and self._writer.congested:
            if self._room is None or self._room.done():
                loop = asyncio.get_running_loop()
                self._room = loop.run_in_executor(self._waiting, self._writer.await_room, 1.0)
            await asyncio.shield(self._room)
