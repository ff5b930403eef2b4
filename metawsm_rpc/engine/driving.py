"""Driving a run: everything that can be done now is done, in parallel, until nothing is left.

A drive holds the run's lease. It ends when no step can run and no launch is owed, or at once when
somebody takes the lease over: a stop wins over whatever is in flight.
"""

import random
import threading
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

from metawsm_rpc.domain.models import Agent, Step
from metawsm_rpc.domain.settle import runnable
from metawsm_rpc.engine.steps import StepActions
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import InterruptedStepError, LostLeaseError, MetawsmError
from metawsm_rpc.policy.view import ExecutionLimits
from metawsm_rpc.ports import Worktrees
from metawsm_rpc.ports.store import Lease

_HEARTBEAT_SECONDS = 5.0
_LOOK_SECONDS = 0.05
_FIRST_RETRY_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 30.0
_DRIVEN = frozenset({"running", "awaiting_guidance"})


def retry_delay(attempt: int, chance: float) -> float:
    """Return how many seconds to wait before the try after `attempt` (from 1); `chance` is in [0, 1).

    Exponential with jitter over half of it, so that runs that failed together do not retry together.
    """
    longest = min(_FIRST_RETRY_SECONDS * 2.0 ** (attempt - 1), _LONGEST_RETRY_SECONDS)
    return longest * (0.5 + chance / 2)


class _Launch(NamedTuple):
    """A launch that is owed to an agent."""

    ticket: str
    agent: str


class Drive:
    """One drive of one run by this process."""

    def __init__(self, world: World, run_id: str, lease: Lease) -> None:
        self._world = world
        self._run_id = run_id
        self._lease = lease
        self._policy: Mapping[str, Any] = world.store.policy(run_id)
        self._max_parallel = ExecutionLimits.of(self._policy).max_parallel
        self._worktrees: Worktrees = world.machine.worktrees(self._policy)
        run = world.store.run(run_id)
        self._actions = StepActions(world, run, self._policy, self._worktrees, lease)
        self._over = threading.Event()
        self._not_before: dict[int, float] = {}
        self._sources = {
            (workspace.ticket, repo.name): repo.source
            for workspace in world.store.workspaces(run_id)
            for repo in workspace.repos
        }

    def run(self) -> None:
        """Drive until nothing can be done. Raises `LostLeaseError` when somebody took over."""
        keeper = threading.Thread(target=self._keep_lease, name=f"lease of {self._run_id}", daemon=True)
        keeper.start()
        try:
            with ThreadPoolExecutor(self._max_parallel, f"run {self._run_id}") as pool:
                self._loop(pool)
            self._roll_back_failed()
        finally:
            self._over.set()
            keeper.join()

    def interrupt(self) -> None:
        """End the drive at once, from any thread: what is in flight is cut off."""
        self._over.set()
        self._worktrees.interrupt()

    def _keep_lease(self) -> None:
        renewed = self._world.clock()
        while not self._over.wait(_LOOK_SECONDS):
            try:
                if self._world.clock() - renewed > _HEARTBEAT_SECONDS:
                    self._world.store.renew(self._lease)
                    renewed = self._world.clock()
                elif not self._world.store.held(self._lease):
                    self.interrupt()
            except LostLeaseError:
                self.interrupt()

    def _loop(self, pool: ThreadPoolExecutor) -> None:
        flying: dict[Future[float | None], Step | _Launch] = {}
        while not self._over.is_set():
            for task in self._ready(list(flying.values())):
                flying[pool.submit(self._perform, task)] = task
                if len(flying) >= self._max_parallel:
                    break
            if not flying:
                if not self._not_before:
                    return
                # Only retries are left: wait for the first, or for the end.
                self._over.wait(max(0.0, min(self._not_before.values()) - self._world.clock()))
                self._forget_due_retries()
                continue
            timeout = max(0.0, min(self._not_before.values()) - self._world.clock()) if self._not_before else None
            done, _ = wait(flying, timeout=timeout, return_when=FIRST_COMPLETED)
            self._forget_due_retries()
            for future in done:
                task, delay = flying.pop(future), future.result()
                if delay is not None and isinstance(task, Step):
                    self._not_before[task.index] = self._world.clock() + delay
        for future in flying:
            future.result()

    def _forget_due_retries(self) -> None:
        now = self._world.clock()
        self._not_before = {index: at for index, at in self._not_before.items() if at > now}

    def _ready(self, flying: list[Step | _Launch]) -> list[Step | _Launch]:
        """Return what can be started now: steps first, then launches that are owed."""
        detail = self._world.store.detail(self._run_id)
        if detail.run.status not in _DRIVEN:
            return []
        busy = {self._source(task) for task in flying} - {None}
        indexes = {task.index for task in flying if isinstance(task, Step)}
        ready: list[Step | _Launch] = []
        for step in runnable(detail.steps):
            source = self._source(step)
            if step.index in indexes or step.index in self._not_before or source in busy:
                continue
            if source is not None:
                # git takes one worktree at a time in a repository; a second one would only hold a thread.
                busy.add(source)
            ready.append(step)
        owed = [_Launch(agent.ticket, agent.name) for agent in detail.agents if self._is_owed(agent)]
        return ready + [launch for launch in owed if launch not in flying]

    def _is_owed(self, agent: Agent) -> bool:
        return agent.due is not None and agent.status in ("dead", "failed", "stopped", "completed")

    def _source(self, task: Step | _Launch) -> str | None:
        if isinstance(task, Step) and task.kind == "create_workspace":
            return self._sources[task.ticket, task.repo or ""]
        return None

    def _perform(self, task: Step | _Launch) -> float | None:
        """Carry out a task; answers after how many seconds it is to be tried again, if at all."""
        try:
            if isinstance(task, Step):
                return self._perform_step(task)
            self._perform_launch(task)
        except LostLeaseError:
            self.interrupt()
            raise
        return None

    def _perform_step(self, step: Step) -> float | None:
        with self._world.store.transaction(self._lease) as transaction:
            transaction.move_step(self._run_id, step.index, "start" if step.status == "pending" else "retry")
        try:
            self._actions.perform(step)
        except InterruptedStepError:
            with self._world.store.transaction(self._lease) as transaction:
                transaction.move_step(self._run_id, step.index, "interrupt", message="interrupted")
        except MetawsmError as error:
            return self._fail(step, error)
        else:
            with self._world.store.transaction(self._lease) as transaction:
                transaction.move_step(self._run_id, step.index, "finish")
        return None

    def _fail(self, step: Step, error: MetawsmError) -> float | None:
        attempt = step.attempts + 1
        with self._world.store.transaction(self._lease) as transaction:
            transaction.move_step(self._run_id, step.index, "fail", message=error.message)
            if step.blocking and attempt >= step.attempt_limit:
                transaction.set_error(self._run_id, f"{step.ticket}: {step.name} failed: {error.message}")
        return retry_delay(attempt, random.random()) if attempt < step.attempt_limit else None  # noqa: S311 - jitter

    def _perform_launch(self, launch: _Launch) -> None:
        try:
            self._actions.relaunch(launch.ticket, launch.agent)
        except InterruptedStepError:
            return
        except LostLeaseError:
            raise
        except MetawsmError as error:
            with self._world.store.transaction(self._lease) as transaction:
                transaction.set_agent(self._run_id, launch.ticket, launch.agent, due=None)
                transaction.record(
                    self._run_id, "agent", f"{launch.ticket}/{launch.agent}", "relaunch_failed", message=error.message
                )
                transaction.set_error(
                    self._run_id, f"{launch.ticket}: {launch.agent} could not be started again: {error.message}"
                )

    def _roll_back_failed(self) -> None:
        """Take back workspaces that stayed half-made: a create step of theirs failed for good."""
        if self._over.is_set():
            return
        failed = {
            step.ticket
            for step in self._world.store.steps(self._run_id)
            if step.kind == "create_workspace" and step.status == "failed" and step.attempts >= step.attempt_limit
        }
        for ticket in sorted(failed):
            self._actions.roll_back(self._actions.workspace(ticket))
