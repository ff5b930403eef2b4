"""Supervising a root: noticing at once what happens, while nobody looks.

One process supervises a root at a time, whoever holds its lease; every other follows, and takes the
lease when it becomes free. A supervisor wakes up when an agent dies or leaves a signal, sweeps now
and then for what announces itself to nobody, and takes up runs whose driver has died.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from metawsm_rpc.domain.models import LIVE, Event
from metawsm_rpc.engine import delivery
from metawsm_rpc.engine.closing import Closer
from metawsm_rpc.engine.drives import Drives
from metawsm_rpc.engine.holding import held
from metawsm_rpc.engine.probing import Prober
from metawsm_rpc.engine.sweeping import Living, Sweeper
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import BusyError, InternalError, LostLeaseError, MetawsmError
from metawsm_rpc.ports.store import ROOT_SCOPE, Lease
from metawsm_rpc.ports.watching import Watch

_BREATH_SECONDS = 0.01
"""How long to let writes to the store come together; they are to be known within 50 ms."""

_COMMIT_SECONDS = 1.0
"""How long a commit may wait for its disk after the kernel has told of the write."""

_NEXT_COMMIT_SECONDS = 0.1
"""The same for one that follows another at once."""

_FAILED_SECONDS = 10.0
"""How long to leave a run alone that could not be driven."""

SWEEP_SECONDS = 1.0
"""How long at least from one sweep to the next, when nothing happens."""

SHARE = 0.0025
"""The share of the time that sweeps may take at most when nothing happens: with hundreds of agents
they come less often, because nothing that is urgent waits for them."""

_LONGEST_SWEEP_SECONDS = 15.0

_EAGER_SECONDS = 0.8
"""How long from one sweep to the next while somebody looks, so that each look finds a fresh one."""

_INTEREST_SECONDS = 10.0
"""For how long after a look somebody is taken to be looking."""

_LEASE_SECONDS = 1.0
"""How often who follows asks whether it may supervise."""

_RENEW_SECONDS = 5.0
"""A third of the life of a lease."""

_SOON_SECONDS = 0.1
"""How long at least between two sweeps that something called for."""

_SPEECH = frozenset({"progress", "waiting", "working", "done", "failed"})
"""Events that an agent has said something: the verdict on it may be another one now."""

_TROUBLE_SECONDS = 1.0
"""How long to leave a store or a tmux alone that failed."""

_EMPTY_SECONDS = 0.25
"""How often to look whether a root has any state at all by now."""

_PAGE = 1000
"""How many events are handed on at a time."""

OnChange = Callable[[Sequence[Event]], None]
OnTrouble = Callable[[MetawsmError], None]


class Supervisor:
    """Follows one root in a thread of its own, and supervises it while no other process does.

    `on_change` is called from that thread with all events since it was made, in order, whoever wrote
    them. `on_trouble` is told once of each thing that keeps it from its work; it goes on trying.
    Nothing of the store is touched before `has_state` says that there is one.
    """

    def __init__(
        self,
        world: World,
        sweeper: Sweeper,
        drives: Drives,
        *,
        has_state: Callable[[], bool],
        on_change: OnChange = lambda _: None,
        on_trouble: OnTrouble = lambda _: None,
    ) -> None:
        self._world = world
        self._sweeper = sweeper
        self._drives = drives
        self._has_state = has_state
        self._on_change = on_change
        self._on_trouble = on_trouble
        self._over = threading.Event()
        self._guard = threading.Lock()
        self._under_way: dict[str, threading.Thread] = {}
        self._recovered: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._watch: Watch = world.machine.watch()
        self._prober = Prober(world)
        self._living: Mapping[str, Living] = {}
        self._lease: Lease | None = None
        self._renewed = 0.0
        self._next_try = 0.0
        self._swept = 0.0
        self._took = 0.0
        self._is_outdated = True
        self._next_sweep = 0.0
        self._next_probe = 0.0
        self._looked = 0.0
        self._ask_until = float("-inf")
        self._blamed: BaseException | None = None
        self._told: str | None = None
        self._version = -1
        self._patience: float | None = None
        self._since = world.store.seq() if has_state() else 0

    @property
    def supervises(self) -> bool:
        """Whether this process has the root's lease now."""
        return self._lease is not None

    @property
    def seq(self) -> int:
        """The number of the last event that `on_change` was called with, or that was there before."""
        return self._since

    def start(self) -> None:
        """Begin; the lease is taken at once when it is free."""
        self._watch.wake()
        self._thread.start()

    def stop(self) -> None:
        """End, and give the lease up; agents and drives go on."""
        self._over.set()
        self._watch.wake()
        if self._thread.is_alive():
            self._thread.join()

    def is_fresh(self) -> bool:
        """Return whether the store is as a sweep of this supervisor left it at most a second ago.

        While somebody asks this again and again, it stays so.
        """
        self._looked = now = time.monotonic()
        if self._lease is None:
            return False
        if self._next_sweep > self._swept + _EAGER_SECONDS:
            self._next_sweep = self._swept + _EAGER_SECONDS
            self._watch.wake()
        return not self._is_outdated and now - self._swept <= SWEEP_SECONDS

    def aside(self, name: str, act: Callable[[], None]) -> None:
        """Do something in the background, unless it is under way; what goes wrong is told as trouble."""
        with self._guard:
            if name in self._under_way:
                return
            thread = threading.Thread(target=self._aside, args=(name, act), name=f"aside {name}", daemon=True)
            self._under_way[name] = thread
        thread.start()

    def _aside(self, name: str, act: Callable[[], None]) -> None:
        try:
            act()
        except MetawsmError as error:
            self._tell(error)
        finally:
            with self._guard:
                del self._under_way[name]

    def await_recovery(self, run_id: str) -> None:
        """Wait until this supervisor has undone or finished the interrupted close of a run, if it is at it."""
        with self._guard:
            thread = self._under_way.get(_recovery(run_id))
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                try:
                    self._turn()
                except Exception as error:  # noqa: BLE001 - whatever it is, agents need their supervisor
                    self._tell(error)
                    # A death that it was woken for may not have been noted.
                    self._is_outdated, self._next_sweep = True, 0.0
                    self._over.wait(_TROUBLE_SECONDS)
                else:
                    self._told = None
        finally:
            if self._lease is not None:
                with contextlib.suppress(MetawsmError):
                    self._world.store.release(self._lease)
                self._lease = None
            self._prober.close()
            self._watch.close()

    def _turn(self) -> None:
        """Wait for news and do what follows from it."""
        if self._patience is None:
            if not self._has_state():
                self._over.wait(_EMPTY_SECONDS)
                return
            self._patience = self._watch.follow_store()
        patience, began = self._patience_left(), time.monotonic()
        woken = self._watch.wait(patience)
        is_early = time.monotonic() < began + patience
        self._hold()
        if self._lease is not None:
            if woken.dead:
                self._note_ends(woken.dead)
            if woken.dropped or time.monotonic() >= self._next_sweep:
                self._sweep()
            if time.monotonic() >= self._next_probe:
                self._next_probe = time.monotonic() + self._prober.probe()
        is_written = self._hand_on()
        if is_early:
            # The kernel tells of a write before the disk has it, and nobody tells of the commit. One that
            # was found may not be the one that was told of.
            self._ask_until = time.monotonic() + (_NEXT_COMMIT_SECONDS if is_written else _COMMIT_SECONDS)
        if not woken.dead:
            self._over.wait(_BREATH_SECONDS)

    def _patience_left(self) -> float:
        """Return how long to wait at most, until the next sweep or until the store has to be asked."""
        patience = self._patience or 0.0
        if time.monotonic() < self._ask_until:
            patience = min(patience, _BREATH_SECONDS)
        if self._lease is None:
            return patience
        return max(0.0, min(patience, min(self._next_sweep, self._next_probe) - time.monotonic()))

    def _tell(self, error: BaseException) -> None:
        trouble = error if isinstance(error, MetawsmError) else InternalError(f"{type(error).__name__}: {error}")
        if trouble.message != self._told:
            self._told = trouble.message
            self._on_trouble(trouble)

    # --- the lease ---

    def _hold(self) -> None:
        """Renew the lease in time, or see whether it has become free."""
        now = self._world.clock()
        try:
            if self._lease is None:
                if abs(now - self._next_try) > _LEASE_SECONDS:
                    self._next_try = now
                    if not self._world.store.driven(ROOT_SCOPE):
                        self._lease = self._world.store.acquire(ROOT_SCOPE)
                        self._renewed = now
                        self._next_sweep = 0.0
            # Asked of the wall clock: a machine that slept has to renew as soon as it wakes.
            elif abs(now - self._renewed) > _RENEW_SECONDS:
                self._world.store.renew(self._lease)
                self._renewed = now
        except BusyError:
            return  # somebody was quicker
        except LostLeaseError:
            if self._lease is not None:
                self._world.store.release(self._lease)
            self._lease = None
            for launch in self._watch.followed():
                self._watch.forget(launch)

    # --- the sweep ---

    def _sweep(self) -> None:
        began = time.monotonic()
        self._is_outdated = False
        self._living = self._sweeper.sweep().living
        self._swept = time.monotonic()
        self._took = self._swept - began
        for launch in self._watch.followed() - self._living.keys():
            self._watch.forget(launch)
        for launch, one in self._living.items():
            self._watch.follow(launch, one.pid, one.drop_box)
        self._take_up()
        for run_id in self._world.store.interrupted_closes():
            if run_id not in self._recovered:
                self.aside(_recovery(run_id), partial(self._recover, run_id))
        for question in self._world.store.undelivered():
            self.aside(f"answer {question.id}", partial(delivery.bring_late, self._world, question.id))
        pause = min(max(SWEEP_SECONDS, self._took / SHARE), _LONGEST_SWEEP_SECONDS)
        is_looked_at = began - self._looked < _INTEREST_SECONDS
        self._next_sweep = self._swept + (_EAGER_SECONDS if is_looked_at else pause)

    def _note_ends(self, launches: Sequence[str]) -> None:
        """Note deaths; who is to be started again after one does not wait for the next sweep."""
        self._sweeper.note_ends([self._living[launch].agent for launch in launches if launch in self._living])
        self._hand_on()
        self._take_up()

    def _take_up(self) -> None:
        """Drive runs that nobody drives although something of them can be done."""
        for run_id in self._world.store.abandoned():
            failure = self._drives.failure(run_id)
            if failure is not None and time.monotonic() < failure.at + _FAILED_SECONDS:
                if failure.error is not self._blamed:
                    self._blamed = failure.error
                    self._tell(failure.error)
                continue
            try:
                lease = self._world.store.acquire(run_id)
            except BusyError:
                continue  # somebody does by now
            self._drive(run_id, lease)

    def _drive(self, run_id: str, lease: Lease) -> None:
        try:
            with self._world.store.transaction(lease) as transaction:
                transaction.record(
                    run_id, "run", run_id, "taken_up", message="nobody was driving it; the supervisor goes on with it"
                )
        except BaseException:
            self._world.store.release(lease)
            raise
        self._drives.start(run_id, lease)

    def _recover(self, run_id: str) -> None:
        """Undo or finish an interrupted close, whose locks keep everybody from committing; try it only once.

        What needs a person goes on when the person closes again.
        """
        with contextlib.suppress(BusyError), held(self._world, run_id) as lease:
            self._recovered.add(run_id)
            Closer(self._world, run_id).recover(lease)

    # --- news ---

    def _hand_on(self) -> bool:
        """Tell of the events that are new; return whether the store was written."""
        version = self._world.store.data_version()
        if version == self._version:
            return False
        self._version = version  # what is committed from here on changes it again
        while fresh := self._world.store.events(self._since, _PAGE):
            self._since = fresh[-1].seq
            if any(map(_calls_for_a_look, fresh)):
                self._is_outdated = True
                # Many may be starting or speaking at a time: sweeps take a tenth of the time at most.
                soon = self._swept + max(_SOON_SECONDS, 10 * self._took)
                self._next_sweep = min(self._next_sweep, max(soon, time.monotonic()))
            self._on_change(fresh)
        return True


def _recovery(run_id: str) -> str:
    return f"close {run_id}"


def _calls_for_a_look(event: Event) -> bool:
    """Return whether an agent has come alive, and is to be watched, or has spoken, and is to be judged."""
    moved = event.entity == "agent" and event.to in LIVE and event.from_ != event.to
    return moved or event.entity == "guidance" or event.type in _SPEECH
