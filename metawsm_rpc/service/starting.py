"""The verbs that plan and start runs."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from metawsm_rpc.domain.models import Strategy
from metawsm_rpc.errors import InvalidParamsError, RunNotFoundError
from metawsm_rpc.lazy import LazyModule
from metawsm_rpc.service.root import RootService

if TYPE_CHECKING:
    from metawsm_rpc import answers
else:
    answers = LazyModule("metawsm_rpc.answers")


class Starting(RootService):
    """Plan and run."""

    def run(
        self,
        tickets: Sequence[str],
        *,
        repos: Sequence[str] | None = None,
        agents: Sequence[str] | None = None,
        strategy: Strategy | None = None,
        source: str | None = None,
        base_branch: str | None = None,
        run_id: str | None = None,
        dry_run: bool = False,
    ) -> answers.RunStarted:
        """Start agents on tickets; returns as soon as the plan is stored, while execution continues."""
        from metawsm_rpc.engine import planning

        request = planning.RunRequest(
            tuple(tickets), _tuple(repos), _tuple(agents), strategy, source, base_branch, run_id, dry_run
        )
        self._check_free(run_id)
        planned = planning.Planner(self.world, self._root_policy.data()).plan(request)
        if planned.problems or planned.plan is None:
            raise planned.problems[0]
        new = planned.plan.run.run_id
        lease = self.world.store.acquire(new)
        try:
            with self.world.store.transaction(lease) as transaction:
                transaction.insert_plan(
                    planned.plan.run, planned.policy, planned.plan.steps, planned.plan.agents, planned.plan.workspaces
                )
                transaction.move_run(new, "plan")
                transaction.move_run(new, "pause" if dry_run else "start")
        except BaseException:
            self.world.store.release(lease)
            raise
        if dry_run:
            self.world.store.release(lease)
        else:
            try:
                self._drives.start(new, lease)
            except KeyboardInterrupt:
                from metawsm_rpc.engine import stopping

                stopping.stop(self.world, self._sweeper, new)
                raise
        return answers.RunStarted(new, self.world.store.run(new).status, self.world.store.steps(new))

    def plan(
        self,
        tickets: Sequence[str],
        *,
        repos: Sequence[str] | None = None,
        agents: Sequence[str] | None = None,
        strategy: Strategy | None = None,
        source: str | None = None,
        base_branch: str | None = None,
        run_id: str | None = None,
        dry_run: bool = False,  # noqa: ARG002 - it takes what `run` takes, and never does more
    ) -> answers.PlanShown:
        """Show what a run would do and any problems that prevent it; stores nothing."""
        from metawsm_rpc.engine import planning

        request = planning.RunRequest(
            tuple(tickets), _tuple(repos), _tuple(agents), strategy, source, base_branch, run_id
        )
        planned = planning.Planner(self.world, self._root_policy.data()).plan(request)
        steps = planned.plan.steps if planned.plan else ()
        return answers.PlanShown(steps, tuple(map(planning.as_problem, planned.problems)))

    def _check_free(self, run_id: str | None) -> None:
        """Raise `InvalidParamsError` for the id of an existing run, without disturbing its driver."""
        if run_id is not None and self._has_state():
            with contextlib.suppress(RunNotFoundError):
                self.world.store.run(run_id)
                raise InvalidParamsError(f"A run {run_id} exists already; choose another --run-id, or resume it.")


def _tuple(items: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if items is None else tuple(items)
