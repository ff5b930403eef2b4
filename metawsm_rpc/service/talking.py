"""The verbs between people and agents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from metawsm_rpc.errors import (
    GuidanceNotFoundError,
    RunNotFoundError,
)
from metawsm_rpc.lazy import LazyModule
from metawsm_rpc.service.root import RootService

if TYPE_CHECKING:
    from metawsm_rpc import answers
else:
    answers = LazyModule("metawsm_rpc.answers")


class Talking(RootService):
    """Send, signal and answer."""

    def send(
        self, run_id: str | None = None, *, agent: str, ticket: str | None = None, text: str, force: bool = False
    ) -> answers.Sent:
        """Type a text and Enter into an agent's terminal; not while the agent waits for a decision, unless forced.

        Raises `IllegalTransitionError` when the terminal is closed.
        """
        from metawsm_rpc.engine import sending

        run = self.select(run_id, ticket)
        self._sweeper.sweep([run.run_id])
        return answers.Sent(*sending.send(self.world, self.agent(run, agent, ticket), text, forced=force))

    def signal(
        self,
        run_id: str,
        *,
        ticket: str,
        agent: str,
        launch: str,
        type: str,  # noqa: A002 - the wire name
        message: str | None = None,
        choices: Sequence[str] = (),
        data: Mapping[str, Any] | None = None,
    ) -> answers.SignalAnswer:
        """Record an agent's signal: progress, waiting, working, guidance, done or failed."""
        from metawsm_rpc.engine import mailbox, signals

        found = signals.Signal(run_id, ticket, agent, launch, signals.check_type(type), message, tuple(choices), data)
        if not self._has_state():
            raise RunNotFoundError(f"There is no run {run_id!r} here; a signal belongs to a run of its root.")
        received = signals.receive(self.world, found)
        if found.type in ("done", "failed"):  # which withdraws what the agent has asked
            mailbox.hand_over(self.world, self.world.store.questions(run_id))
        return answers.SignalAnswer(*received)

    def answer(self, guidance_id: str, answer: str) -> answers.GuidanceAnswer:
        """Answer an agent's question.

        Raises `IllegalTransitionError` when it is not open any more.
        """
        from metawsm_rpc.engine import guidance

        if not self._has_state():
            raise GuidanceNotFoundError(f"There is no question {guidance_id!r} here: this root has no runs.")
        self._sweeper.sweep([self.world.store.guidance(guidance_id).run_id])
        return answers.GuidanceAnswer(*guidance.answer(self.world, guidance_id, answer))

    @contextmanager
    def asking(
        self,
        run_id: str,
        *,
        ticket: str,
        agent: str,
        launch: str,
        message: str | None,
        choices: Sequence[str] = (),
        data: Mapping[str, Any] | None = None,
    ) -> Iterator[answers.Asked]:
        """Ask a question for an agent; the answer counts as delivered when the block ends."""
        from metawsm_rpc.engine import guidance, signals

        if not self._has_state():
            raise RunNotFoundError(f"There is no run {run_id!r} here; a question belongs to a run of its root.")
        question = signals.Signal(run_id, ticket, agent, launch, "guidance", message, tuple(choices), data)
        with guidance.asking(self.world, question) as (event, asked):
            yield answers.Asked(event, asked.id if asked else None, asked)
