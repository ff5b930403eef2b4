"""Drives a run: executes everything that can be executed, in parallel, until nothing is left.

A drive holds the run's lease. It ends when no step can run and no launch is owed, or at once when the lease is
taken over: a stop wins over whatever is in progress.
"""

import random
import threading
from collections.abc import Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

from metawsm_rpc.domain.models import LIVE, Agent, Step
from metawsm_rpc.domain.settle import runnable
from metawsm_rpc.engine.holding import kept
from metawsm_rpc.engine.interrupting import interrupt_step
from metawsm_rpc.engine.steps import StepActions
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import InterruptedStepError, LostLeaseError, MetawsmError
from metawsm_rpc.policy.view import ExecutionLimits
from metawsm_rpc.ports.store import Lease
from metawsm_rpc.ports.worktrees import Worktrees

_FIRST_RETRY_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 30.0
_DRIVEN = frozenset({"running", "awaiting_guidance"})


def retry_delay(attempt: int, chance: float) -> float:
    """Return the delay in seconds after the failed attempt number `attempt` (from 1); `chance` is in [0, 1).

    Exponential, with jitter of up to half, so that runs that failed together do not retry together.
    """
    longest = min(_FIRST_RETRY_SECONDS * 2.0 ** (attempt - 1), _LONGEST_RETRY_SECONDS)
    return longest * (0.5 + chance / 2)


class _Launch(NamedTuple):
    """A launch that is owed to an agent."""

    ticket: str
    agent: str


class _Mending(NamedTuple):
    """Worktrees that have gone missing under live agents."""

    ticket: str


_Task = Step | _Launch | _Mending


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
        self._to_mend = {agent.ticket for agent in world.store.agents(run_id) if agent.status in LIVE}

    def run(self) -> None:
        """Drive until nothing is left to execute. Raises `LostLeaseError` when the lease was taken over."""
        with kept(self._world, self._lease, self.interrupt):
            self._take_over()
            with ThreadPoolExecutor(self._max_parallel, f"run {self._run_id}") as pool:
                self._loop(pool)
            self._roll_back_failed()

    def interrupt(self) -> None:
        """End the drive at once, from any thread, interrupting whatever it executes."""
        self._over.set()
        self._worktrees.interrupt()

    def _take_over(self) -> None:
        """Mark the running steps of an earlier driver as interrupted."""
        if not self._world.store.has_running_steps(self._run_id):
            return
        with self._world.store.transaction(self._lease) as transaction:
            for step in self._world.store.steps(self._run_id):
                if step.status == "running":
                    interrupt_step(transaction, step, self._policy)

    def _loop(self, pool: ThreadPoolExecutor) -> None:
        flying: dict[Future[float | None], _Task] = {}
        while not self._over.is_set():
            room = self._max_parallel - len(flying)
            for task in self._ready(flying.values())[:room]:
                flying[pool.submit(self._perform, task)] = task
            if flying:
                done, _ = wait(flying, timeout=self._until_next_retry(), return_when=FIRST_COMPLETED)
                for future in done:
                    task, delay = flying.pop(future), future.result()
                    if delay is not None and isinstance(task, Step):
                        self._not_before[task.index] = self._world.clock() + delay
            elif self._not_before:
                self._over.wait(self._until_next_retry())
            else:
                return
            now = self._world.clock()
            self._not_before = {index: at for index, at in self._not_before.items() if at > now}
        for future in flying:
            future.result()

    def _until_next_retry(self) -> float | None:
        if not self._not_before:
            return None
        return max(0.0, min(self._not_before.values()) - self._world.clock())

    def _ready(self, flying: Collection[_Task]) -> list[_Task]:
        """Return the tasks that can be started now: steps first, then owed launches."""
        detail = self._world.store.detail(self._run_id)
        if detail.run.status not in _DRIVEN:
            return []
        busy = {self._source(task) for task in flying} - {None}
        indexes = {task.index for task in flying if isinstance(task, Step)}
        ready: list[_Task] = []
        for step in runnable(detail.steps):
            source = self._source(step)
            if step.index in indexes or step.index in self._not_before or source in busy:
                continue
            if source is not None:
                # git adds one worktree at a time to a repository; a second one would only occupy a thread.
                busy.add(source)
            ready.append(step)
        ready += [_Launch(agent.ticket, agent.name) for agent in detail.agents if _is_owed(agent)]
        ready += [_Mending(ticket) for ticket in sorted(self._to_mend)]
        return [task for task in ready if task not in flying]

    def _source(self, task: _Task) -> str | None:
        if isinstance(task, Step) and task.kind == "create_workspace":
            return self._sources[task.ticket, task.repo or ""]
        return None

    def _perform(self, task: _Task) -> float | None:
        """Execute a task; returns the delay in seconds until its next attempt, None for no further one."""
        try:
            if isinstance(task, Step):
                return self._perform_step(task)
            if isinstance(task, _Launch):
                self._perform_launch(task)
            else:
                self._mend(task)
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
                interrupt_step(transaction, step, self._policy)
        except LostLeaseError:
            raise
        except (MetawsmError, OSError) as error:
            return self._fail(step, _message(error))
        else:
            with self._world.store.transaction(self._lease) as transaction:
                transaction.move_step(self._run_id, step.index, "finish")
        return None

    def _fail(self, step: Step, message: str) -> float | None:
        attempt = step.attempts + 1
        with self._world.store.transaction(self._lease) as transaction:
            transaction.move_step(self._run_id, step.index, "fail", message=message)
            if step.blocking and attempt >= step.attempt_limit:
                transaction.set_error(self._run_id, f"{step.ticket}: {step.name} failed: {message}")
        return retry_delay(attempt, random.random()) if attempt < step.attempt_limit else None  # noqa: S311 - jitter

    def _perform_launch(self, launch: _Launch) -> None:
        try:
            self._actions.relaunch(launch.ticket, launch.agent)
        except InterruptedStepError:
            return
        except LostLeaseError:
            raise
        except (MetawsmError, OSError) as error:
            message = _message(error)
            with self._world.store.transaction(self._lease) as transaction:
                transaction.set_agent(self._run_id, launch.ticket, launch.agent, due=None)
                transaction.record(
                    self._run_id, "agent", f"{launch.ticket}/{launch.agent}", "relaunch_failed", message=message
                )
                transaction.set_error(
                    self._run_id, f"{launch.ticket}: {launch.agent} could not be started again: {message}"
                )

    def _mend(self, mending: _Mending) -> None:
        workspace = self._actions.workspace(mending.ticket)
        try:
            self._actions.restore(workspace)
        except InterruptedStepError:
            return
        except LostLeaseError:
            raise
        except (MetawsmError, OSError) as error:
            self._actions.tell(workspace, "restore_failed", _message(error))
            with self._world.store.transaction(self._lease) as transaction:
                transaction.set_error(
                    self._run_id, f"{mending.ticket}: a worktree cannot be restored: {_message(error)}"
                )
        self._to_mend.discard(mending.ticket)

    def _roll_back_failed(self) -> None:
        """Roll back half-made workspaces, in which creating a worktree has failed for good."""
        failed = {
            step.ticket
            for step in self._world.store.steps(self._run_id)
            if step.kind == "create_workspace" and step.status == "failed" and step.attempts >= step.attempt_limit
        }
        for ticket in sorted(failed):
            if self._over.is_set():
                return
            self._actions.roll_back(self._actions.workspace(ticket))


def _is_owed(agent: Agent) -> bool:
    return agent.due is not None


def _message(error: Exception) -> str:
    # A full disk or a missing permission that an adapter did not handle is an ordinary failure.
    return error.message if isinstance(error, MetawsmError) else f"{type(error).__name__}: {error}."
