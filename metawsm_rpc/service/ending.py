"""The verbs that merge or discard the work of a run: sync, close, cleanup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from metawsm_rpc.engine.holding import held
from metawsm_rpc.lazy import LazyModule
from metawsm_rpc.service.root import RootService

if TYPE_CHECKING:
    from metawsm_rpc import answers
else:
    answers = LazyModule("metawsm_rpc.answers")


class Ending(RootService):
    """Sync, close and cleanup."""

    def sync(
        self,
        run_id: str | None = None,
        *,
        ticket: str | None = None,
        strategy: Literal["merge", "rebase"] = "merge",
    ) -> answers.SyncAnswer:
        """Bring the base branches into the workspaces of a run; conflicts are left to the agent or a person."""
        from metawsm_rpc.engine import workspaces

        run = self.select(run_id, ticket)
        with held(self.world, run.run_id) as lease:
            run = self.world.store.run(run.run_id)
            return answers.SyncAnswer(workspaces.sync(self.world, run, lease, ticket=ticket, strategy=strategy))

    def close(
        self, run_id: str | None = None, *, ticket: str | None = None, dry_run: bool = False
    ) -> answers.CloseAnswer:
        """Merge all repositories of a run, or none.

        Raises `CloseBlockedError` when something blocks it and this is not a dry run.
        """
        from metawsm_rpc.domain.charts import advance
        from metawsm_rpc.domain.lifecycles import RUN
        from metawsm_rpc.engine.closing import Closer

        run = self.select(run_id, ticket)
        if dry_run:
            outcome = Closer(self.world, run.run_id).rehearse()
            return answers.CloseAnswer(run, outcome.merges, outcome.blocked)
        if (supervisor := self._supervising) is not None:
            supervisor.await_recovery(run.run_id)
        self._sweeper.sweep([run.run_id])
        run = self.world.store.run(run.run_id)
        advance(RUN, run.status, "close", entity=f"run {run.run_id}")
        if run.status == "closed":
            return answers.CloseAnswer(run, (), ())
        with held(self.world, run.run_id) as lease:
            closer = self._closers[run.run_id] = Closer(self.world, run.run_id)
            try:
                outcome = closer.close(lease)
            finally:
                del self._closers[run.run_id]
        return answers.CloseAnswer(self.world.store.run(run.run_id), outcome.merges, outcome.blocked)

    def interrupt_close(self, run_id: str) -> None:
        """Cancel a close that runs in this process, if it is not decided yet; harmless otherwise."""
        if closer := self._closers.get(run_id):
            closer.interrupt()

    def look_at_blocked(self, run_id: str) -> None:
        """Check whether what blocked the last close of a run still blocks it, and record what does."""
        from metawsm_rpc.engine import blocked

        blocked.look_again(self.world, run_id)

    def cleanup(
        self, run_id: str | None = None, *, ticket: str | None = None, keep_workspaces: bool = False
    ) -> answers.Cleaned:
        """Remove a settled run's sessions, and its worktrees unless they are to be kept."""
        from metawsm_rpc.engine import stopping, tidying

        run = self._at_rest(run_id, ticket)
        self._sweeper.sweep([run.run_id])
        with held(self.world, run.run_id) as lease:
            with self.world.store.transaction(lease) as transaction:
                transaction.move_run(run.run_id, "cleanup")
            stopping.end_sessions(self.world, self.world.store.agents(run.run_id), lease)
            stopping.end_strays(self.world, run.run_id)
            if keep_workspaces:
                return answers.Cleaned(*tidying.spare(self.world, run))
            return answers.Cleaned(*tidying.tidy(self.world, run, lease))
