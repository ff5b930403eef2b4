"""Holds a lease while work is done with it, and notices when it is taken over."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import BusyError, LostLeaseError, StoreError
from metawsm_rpc.ports.store import Lease

_RENEW_SECONDS = 5.0
"""A third of a lease's validity."""

_LOOK_SECONDS = 0.05
"""How soon a takeover is noticed: a stop waits for the driver that it interrupts."""


_PATIENCE_SECONDS = 1.0
"""How long to wait for a lease: a drive that has just ended still holds it for a moment."""


def take(world: World, scope: str) -> Lease:
    """Take a lease. Raises `BusyError` when another process holds it and does not release it in time."""
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
    """Renew a lease until the block ends; `on_loss` is called once if it is lost meanwhile."""
    over = threading.Event()

    def keep() -> None:
        renewed = world.clock()
        while not over.wait(_LOOK_SECONDS):
            try:
                # By the wall clock: after sleep, a machine has to renew as soon as it wakes.
                if world.clock() - renewed > _RENEW_SECONDS:
                    world.store.renew(lease)
                    renewed = world.clock()
                elif not world.store.held(lease):
                    break
            except LostLeaseError:
                break
            except StoreError:
                continue  # temporarily locked or full; the holder's next write will report it
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
    """Hold a lease within the block. Raises `BusyError` while another process holds it."""
    lease = take(world, scope)
    try:
        with kept(world, lease):
            yield lease
    finally:
        world.store.release(lease)
