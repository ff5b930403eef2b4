"""What every part of the engine is given: the store, the machine, a clock and randomness."""

from collections.abc import Callable
from typing import NamedTuple

from metawsm_rpc.domain.clock import Clock
from metawsm_rpc.ports.machine import Machine
from metawsm_rpc.ports.store import Store


class World(NamedTuple):
    """The engine's surroundings; `random_bytes(n)` returns n random bytes."""

    store: Store
    machine: Machine
    clock: Clock
    random_bytes: Callable[[int], bytes]

    def token(self) -> str:
        """Return a random id for a launch, a question or a signal."""
        return self.random_bytes(8).hex()
