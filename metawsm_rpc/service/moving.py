"""The verbs that control a started run: resume, stop, complete, restart, iterate, retry and skip a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metawsm_rpc.domain.models import Agent, Run
from metawsm_rpc.engine.holding import held
from metawsm_rpc.lazy import LazyModule
from metawsm_rpc.service.root import RootService

if TYPE_CHECKING:
    from metawsm_rpc import answers
else:
    answers = LazyModule("metawsm_rpc.answers")


class Moving(RootService):
    """Requests for a started run."""

    def resume(self, run_id: str | None = None, *, ticket: str | None = None) -> answers.RunAnswer:
        """Resume a run; returns once that is recorded, while execution continues."""
        from metawsm_rpc.engine import redoing

        run = self._at_rest(run_id, ticket)
        self._sweeper.sweep([run.run_id])
        self._drives.holding(run.run_id, lambda lease: redoing.resume(self.world, run.run_id, lease))
        return self._answer(run)

    def stop(self, run_id: str | None = None, *, ticket: str | None = None) -> answers.RunAnswer:
        """Stop a run: interrupt its steps and end its sessions; returns when that is done."""
        from metawsm_rpc.engine import stopping

        run = self.select(run_id, ticket)
        stopping.stop(self.world, self._sweeper, run.run_id)
        return self._answer(run)

    def complete(
        self, run_id: str | None = None, *, ticket: str | None = None, agent: str | None = None
    ) -> answers.RunAnswer:
        """Declare a run, or one of its agents, completed by hand."""
        from metawsm_rpc.engine import redoing

        run = self._at_rest(run_id, ticket)
        self._sweeper.sweep([run.run_id])
        with held(self.world, run.run_id) as lease:
            redoing.complete(self.world, run.run_id, lease, name=agent, ticket=_own(run, ticket, agent))
        return self._answer(run)

    def restart(
        self, run_id: str | None = None, *, ticket: str | None = None, agent: str | None = None
    ) -> answers.AgentsAnswer:
        """Start agents again: the one named, else all dead or failed ones; returns when that is done."""
        from metawsm_rpc.engine import redoing

        run = self._at_rest(run_id, ticket)
        self._sweeper.sweep([run.run_id])
        wanted: list[Agent] = []
        self._drives.holding(
            run.run_id,
            lambda lease: wanted.extend(
                redoing.restart(self.world, run.run_id, lease, name=agent, ticket=_own(run, ticket, agent))
            ),
        )
        self._drives.wait(run.run_id)
        keys = {(agent.ticket, agent.name) for agent in wanted}
        now = self.world.store.agents(run.run_id)
        return answers.AgentsAnswer(tuple(agent for agent in now if (agent.ticket, agent.name) in keys))

    def iterate(
        self,
        run_id: str | None = None,
        *,
        feedback: str,
        ticket: str | None = None,
        agent: str | None = None,
    ) -> answers.RunAnswer:
        """Give agents feedback: it is added to their briefs, working agents receive it at once, others start again.

        Each delivery, or why it failed, is an event.
        """
        from metawsm_rpc.engine import redoing

        run = self._at_rest(run_id, ticket)
        self._sweeper.sweep([run.run_id])
        live: list[Agent] = []
        self._drives.holding(
            run.run_id,
            lambda lease: live.extend(
                redoing.iterate(
                    self.world, run.run_id, lease, feedback=feedback, name=agent, ticket=_own(run, ticket, agent)
                )
            ),
        )
        redoing.tell(self.world, live, feedback)
        return self._answer(run)

    def retry_step(self, run_id: str | None = None, *, ticket: str | None = None, index: int) -> answers.StepAnswer:
        """Retry a failed step; returns once that is recorded, while execution continues."""
        from metawsm_rpc.engine import redoing

        run = self._at_rest(run_id, ticket)
        self._sweeper.sweep([run.run_id])
        self._drives.holding(run.run_id, lambda lease: redoing.retry_step(self.world, run.run_id, lease, index))
        return self._step(run, index)

    def skip_step(self, run_id: str | None = None, *, ticket: str | None = None, index: int) -> answers.StepAnswer:
        """Skip a step; steps that depend on it can run now."""
        from metawsm_rpc.engine import redoing

        run = self._at_rest(run_id, ticket)
        self._sweeper.sweep([run.run_id])
        self._drives.holding(run.run_id, lambda lease: redoing.skip_step(self.world, run.run_id, lease, index))
        return self._step(run, index)

    def _step(self, run: Run, index: int) -> answers.StepAnswer:
        (step,) = (step for step in self.world.store.steps(run.run_id) if step.index == index)
        return answers.StepAnswer(step)


def _own(run: Run, ticket: str | None, agent: str | None) -> str | None:
    """Return the ticket that narrows a verb: one that only selected a run of one ticket does not."""
    return None if agent is None and run.tickets == (ticket,) else ticket
