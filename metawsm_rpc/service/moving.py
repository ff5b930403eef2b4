"""The verbs by which a person lets a run stop, go on, go back or be enough."""

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
    """Wishes about a run that is there."""

    def resume(self, run_id: str | None = None, *, ticket: str | None = None) -> answers.RunAnswer:
        """Let a run go on; answers once that is recorded, while execution goes on."""
        from metawsm_rpc.engine import redoing

        run = self._at_rest(run_id, ticket)
        self._sweeper.sweep([run.run_id])
        self._drives.holding(run.run_id, lambda lease: redoing.resume(self.world, run.run_id, lease))
        return self._answer(run)

    def stop(self, run_id: str | None = None, *, ticket: str | None = None) -> answers.RunAnswer:
        """Stop a run: cut off what is under way and end its sessions; answers when that is done."""
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
        """Start agents again: the one named, else those that are dead or failed; answers when done."""
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
        """Let agents go on with feedback: it is added to their brief; who is at work is sent it, who is not starts again.

        What was sent, or why it was not, is an event.
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
        """Try a failed step again; answers once that is recorded, while execution goes on."""
        from metawsm_rpc.engine import redoing

        run = self._at_rest(run_id, ticket)
        self._sweeper.sweep([run.run_id])
        self._drives.holding(run.run_id, lambda lease: redoing.retry_step(self.world, run.run_id, lease, index))
        return self._step(run, index)

    def skip_step(self, run_id: str | None = None, *, ticket: str | None = None, index: int) -> answers.StepAnswer:
        """Go on without a step; what waited for it can run now."""
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
