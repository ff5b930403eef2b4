"""Keeping a lease for as long as something is done with it, and noticing when somebody takes it over."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import BusyError, LostLeaseError, StoreError
from metawsm_rpc.ports.store import Lease

_RENEW_SECONDS = 5.0
"""A third of the life of a lease."""

_LOOK_SECONDS = 0.05
"""How soon a takeover is noticed: a stop waits for what it cuts off."""


_PATIENCE_SECONDS = 1.0
"""How long to wait for a lease: a drive that has come to its end holds it for a moment yet."""


def take(world: World, scope: str) -> Lease:
    """Take a lease. Raises `BusyError` while somebody else has it, and keeps it."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return world.store.acquire(scope)
        except BusyError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_LOOK_SECONDS)


@contextmanager
def kept(world: World, lease: Lease, on_loss: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Renew a lease in time until the block ends; `on_loss` is called once when it is lost meanwhile."""
    over = threading.Event()

    def keep() -> None:
        renewed = world.clock()
        while not over.wait(_LOOK_SECONDS):
            try:
                # Asked of the wall clock: a machine that slept has to renew as soon as it wakes.
                if world.clock() - renewed > _RENEW_SECONDS:
                    world.store.renew(lease)
                    renewed = world.clock()
                elif not world.store.held(lease):
                    break
            except LostLeaseError:
                break
            except StoreError:
                continue  # locked or full for the moment; the next write of who holds the lease tells of it
        if not over.is_set():
            on_loss()

    keeper = threading.Thread(target=keep, name=f"lease of {lease.scope}", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()


@contextmanager
def held(world: World, scope: str) -> Iterator[Lease]:
    """Take a lease for the block. Raises `BusyError` while somebody else has it."""
    lease = take(world, scope)
    try:
        with kept(world, lease):
            yield lease
    finally:
        world.store.release(lease)
