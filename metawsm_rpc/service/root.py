"""The base of all verbs on a root: its world, opened at first use, and the selection of runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from metawsm_rpc.domain.models import Agent, Event, Run
from metawsm_rpc.engine.sweeping import Sweeper
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import (
    AmbiguousError,
    InvalidParamsError,
    RunNotFoundError,
)
from metawsm_rpc.lazy import LazyModule
from metawsm_rpc.ports.store import ROOT_SCOPE

if TYPE_CHECKING:
    from metawsm_rpc import answers
    from metawsm_rpc.engine.closing import Closer
    from metawsm_rpc.engine.drives import Drives
    from metawsm_rpc.engine.supervision import OnChange, OnTrouble, Supervisor
    from metawsm_rpc.policy.root_policy import RootPolicy
    from metawsm_rpc.ports.machine import Machine
else:
    answers = LazyModule("metawsm_rpc.answers")


_LOOK_SECONDS = 0.05
_SWEEP_SECONDS = 0.5


class RootService:
    """One root.

    `open_world` is called when state is first needed, and `has_state` says whether there is any:
    looking at an empty folder makes nothing there. One that is not `trusted` is only to be asked for
    what reads (`verbs.Verb.reads`), and tells what is stored: neither git nor tmux is asked. One that is not
    `writable` tells what is stored as well, because nothing new could be.
    """

    def __init__(
        self,
        open_world: Callable[[], World],
        *,
        has_state: Callable[[], bool],
        make_state: Callable[[], None],
        machine: Machine,
        policy: RootPolicy,
        trusted: bool = True,
        writable: bool = True,
    ) -> None:
        self._open_world = open_world
        self._has_state = has_state
        self._make_state = make_state
        self._machine = machine
        self._root_policy = policy
        self._trusted = trusted
        self.writable = writable
        self._making = threading.RLock()  # the server asks from many threads
        self._world: World | None = None
        self._sweeping: Sweeper | None = None
        self._driving: Drives | None = None
        self._supervising: Supervisor | None = None
        self._closers: dict[str, Closer] = {}

    @property
    def world(self) -> World:
        """The engine's surroundings, opened at first use."""
        with self._making:
            if self._world is None:
                self._world = self._open_world()
            return self._world

    @property
    def _sweeper(self) -> Sweeper:
        with self._making:
            if self._sweeping is None:
                self._sweeping = Sweeper(self.world)
            return self._sweeping

    @property
    def _drives(self) -> Drives:
        with self._making:
            if self._driving is None:
                from metawsm_rpc.engine.drives import Drives

                self._driving = Drives(self.world)
            return self._driving

    @contextmanager
    def supervise(
        self,
        on_change: OnChange = lambda _: None,
        on_trouble: OnTrouble = lambda _: None,
    ) -> Iterator[Supervisor]:
        """Supervise the root within the block, or follow while another process supervises.

        `on_change` gets all events from now on, in order, whoever wrote them; `on_trouble` what keeps
        the supervisor from its work. Both are called from a thread of its own. Nothing is made or
        executed before there is any state.
        """
        from metawsm_rpc.engine.supervision import Supervisor

        supervisor = Supervisor(
            self.world,
            self._sweeper,
            self._drives,
            has_state=self._has_state,
            on_change=on_change,
            on_trouble=on_trouble,
        )
        supervisor.start()
        self._supervising = supervisor
        try:
            yield supervisor
        finally:
            self._supervising = None
            supervisor.stop()

    def supervised_by(self) -> int | None:
        """Return the pid of the process that supervises this root, None while none does."""
        return self.world.store.holder(ROOT_SCOPE) if self._has_state() else None

    def has_state(self) -> bool:
        """Return whether this root has any state; nothing is created."""
        return self._has_state()

    def _look(self, run_ids: Sequence[str] | None = None) -> None:
        """Sweep some runs, or all that may change; does nothing where nothing may be executed."""
        supervisor = self._supervising  # which another thread may be ending
        if self._trusted and self.writable and not (supervisor is not None and supervisor.is_fresh()):
            self._sweeper.sweep(run_ids)

    def sweep(self, run_id: str) -> None:
        """Sweep one run."""
        self._sweeper.sweep([run_id])

    def finish(self, run_id: str, timeout: float | None = None) -> bool:
        """Wait until the drive of a run in this process has ended; return False on timeout."""
        return self._drives.wait(run_id, timeout)

    def follow(self, run_id: str, since: int) -> Iterator[Event]:
        """Yield the run's events after `since` as they occur, until its drive in this process has ended."""
        over = False
        while True:
            fresh = self.world.store.events(since, run_id=run_id)
            yield from fresh
            since = fresh[-1].seq if fresh else since
            if over and not fresh:
                return
            over = self._drives.wait(run_id, _LOOK_SECONDS)

    def shut_down(self) -> None:
        """Interrupt the drives of this process and close the store; agents keep running."""
        if self._driving is not None:
            self._driving.close()
        if self._world is not None:
            self._world.store.close()

    def _looks(self, deadline: float | None) -> Iterator[None]:
        """Sweep repeatedly until the deadline: at once when the store was written, else twice a second."""
        store = self.world.store
        while True:
            before = store.data_version()
            self._look()
            yield
            until = time.monotonic() + _SWEEP_SECONDS
            while store.data_version() == before and time.monotonic() < until:
                if deadline is not None and time.monotonic() >= deadline:
                    return
                time.sleep(_LOOK_SECONDS)
            if deadline is not None and time.monotonic() >= deadline:
                return

    def select(self, run_id: str | None, ticket: str | None) -> Run:
        """Return the selected run: by id or prefix, the newest of a ticket, or the only open one.

        A ticket in addition to a run id narrows the verb to that part of the run.
        """
        if not self._has_state():
            raise RunNotFoundError("There are no runs here yet; `metawsm run --ticket T` starts one.")
        store = self.world.store
        if run_id is not None:
            run = store.find_run(run_id)
            if ticket is not None and ticket not in run.tickets:
                raise InvalidParamsError(f"Run {run.run_id} has no ticket {ticket!r}; it has {', '.join(run.tickets)}.")
            return run
        if ticket is not None:
            newest = store.newest_run(ticket)
            if newest is None:
                raise RunNotFoundError(f"No run has the ticket {ticket!r}; `metawsm runs` lists the runs.")
            return newest
        rows, _, _ = store.summaries()
        open_runs = [row.run_id for row in rows if row.status != "closed"] or [row.run_id for row in rows[:1]]
        if not open_runs:
            raise RunNotFoundError("There are no runs here yet; `metawsm run --ticket T` starts one.")
        if len(open_runs) > 1:
            raise AmbiguousError(f"Say which run: {', '.join(open_runs[:5])}.", details=open_runs)
        return store.run(open_runs[0])

    def _at_rest(self, run_id: str | None, ticket: str | None) -> Run:
        """Return the selected run, after finishing any stop of it that was interrupted or is in progress."""
        run = self.select(run_id, ticket)
        if run.status == "stopping":
            from metawsm_rpc.engine import stopping

            stopping.stop(self.world, self._sweeper, run.run_id)
        return run

    def agent(self, run: Run, name: str, ticket: str | None) -> Agent:
        """Return one agent of a run. Raises `AgentNotFoundError`, or `AmbiguousError` when a ticket is needed."""
        from metawsm_rpc.engine import redoing

        found = redoing.chosen(self.world.store.agents(run.run_id), name=name, ticket=ticket)
        if len(found) > 1:
            listed = ", ".join(agent.ticket for agent in found)
            raise AmbiguousError(f"{name} works on more than one ticket of run {run.run_id}: say which ({listed}).")
        return found[0]

    def _answer(self, run: Run) -> answers.RunAnswer:
        return answers.RunAnswer(self.world.store.run(run.run_id))
