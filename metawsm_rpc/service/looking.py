"""The verbs that show runs, agents and their work."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from metawsm_rpc.domain.clock import timestamp
from metawsm_rpc.domain.models import SETTLED, RunDetail, RunStatus
from metawsm_rpc.errors import InvalidParamsError
from metawsm_rpc.lazy import LazyModule
from metawsm_rpc.service.root import RootService

if TYPE_CHECKING:
    from metawsm_rpc import answers
else:
    answers = LazyModule("metawsm_rpc.answers")


class Looking(RootService):
    """Status, events, transcripts, diffs and explanations."""

    def runs(
        self,
        *,
        tickets: Sequence[str] = (),
        statuses: Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
    ) -> answers.RunsListed:
        """List the runs of this root, newest first."""
        _check_counts(limit=limit, offset=offset)
        _check_statuses(statuses)
        if not self._has_state():
            return answers.RunsListed((), 0, 0)
        self._look()
        rows, total, seq = self.world.store.summaries(tickets=tickets, statuses=statuses, limit=limit, offset=offset)
        return answers.RunsListed(rows, total, seq)

    def status(self, run_id: str | None = None, *, ticket: str | None = None) -> RunDetail:
        """Show everything about one run, as it is now."""
        from metawsm_rpc.engine import workspaces

        run = self.select(run_id, ticket)
        if self._trusted and self.writable:
            supervisor = self._supervising
            # First, because progress that git shows counts in the sweep.
            workspaces.refresh(self.world, run, None if supervisor is None else supervisor.aside)
        self._look([run.run_id])
        return self.world.store.detail(run.run_id)

    def wait(
        self,
        run_id: str | None = None,
        *,
        ticket: str | None = None,
        until: Sequence[str] = (),
        timeout: float | None = None,
    ) -> answers.Waited:
        """Wait until a run reaches one of these statuses, by default until it settles."""
        _check_statuses(until)
        run = self.select(run_id, ticket)
        wanted = frozenset(until) or SETTLED
        deadline = None if timeout is None else time.monotonic() + timeout
        for _ in self._looks(deadline):
            run = self.world.store.run(run.run_id)
            if run.status in wanted:
                return answers.Waited(run, reached=True)
        return answers.Waited(run, reached=False)

    def events(self, *, since: int = 0, limit: int | None = None, run_id: str | None = None) -> answers.EventsListed:
        """List what happened, in order."""
        _check_counts(limit=limit)
        if not self._has_state():
            return answers.EventsListed((), 0)
        found = None if run_id is None else self.world.store.find_run(run_id).run_id
        return answers.EventsListed(self.world.store.events(since, limit, found), self.world.store.seq())

    def explain(self, run_id: str | None = None, *, agent: str, ticket: str | None = None) -> answers.Explained:
        """Show an agent's health with all the evidence behind it."""
        run = self.select(run_id, ticket)
        self._look([run.run_id])
        found = self.agent(run, agent, ticket)
        verdict = self._sweeper.explain(found) if self._trusted else None
        evidence = verdict.evidence if verdict else ()
        return answers.Explained(
            found.health, tuple(answers.Observation(e.source, e.observed, timestamp(e.at), e.says) for e in evidence)
        )

    def transcript(
        self,
        run_id: str | None = None,
        *,
        agent: str,
        ticket: str | None = None,
        offset: int = 0,
        limit: int = 65536,
        raw: bool = False,
    ) -> answers.TranscriptPart:
        """Return what an agent printed; a negative offset counts from the end."""
        from metawsm_rpc.engine import talking

        _check_counts(limit=limit)
        run = self.select(run_id, ticket)
        found = self.agent(run, agent, ticket)
        return answers.TranscriptPart(*talking.transcript(self.world, found, offset=offset, limit=limit, raw=raw))

    def attach(self, run_id: str | None = None, *, agent: str, ticket: str | None = None) -> answers.Attachment:
        """Return the command that shows an agent's terminal.

        Raises `IllegalTransitionError` when it has ended.
        """
        from metawsm_rpc.engine import talking

        run = self.select(run_id, ticket)
        found = self.agent(run, agent, ticket)
        return answers.Attachment(*talking.attachment(self.world, found, looking=self._trusted))

    def diff(
        self,
        run_id: str | None = None,
        *,
        ticket: str | None = None,
        repo: str | None = None,
        patch: bool = False,
    ) -> answers.Diffs:
        """Show the committed and uncommitted work of a run against its base branches."""
        from metawsm_rpc.engine import workspaces

        run = self.select(run_id, ticket)
        return answers.Diffs(workspaces.diff(self.world, run, ticket=ticket, repo=repo, patch=patch))


def _check_statuses(given: Sequence[str]) -> None:
    """Raise `InvalidParamsError` for what is no status of a run."""
    if unknown := set(given) - set(get_args(RunStatus)):
        raise InvalidParamsError(
            f"No run ever is {' or '.join(sorted(unknown))}; there are: {', '.join(get_args(RunStatus))}."
        )


def _check_counts(**counts: int | None) -> None:
    """Raise `InvalidParamsError` for a negative count, which SQLite would take for no limit."""
    for name, count in counts.items():
        if count is not None and count < 0:
            raise InvalidParamsError(f"`{name}` counts, so it cannot be {count}.")
