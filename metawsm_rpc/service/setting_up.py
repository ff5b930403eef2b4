"""The verbs on what runs need: tickets, the policy, and programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from metawsm_rpc.lazy import LazyModule
from metawsm_rpc.service.root import RootService

if TYPE_CHECKING:
    from metawsm_rpc import answers
    from metawsm_rpc.policy.migration import Migration
else:
    answers = LazyModule("metawsm_rpc.answers")


class SettingUp(RootService):
    """Tickets, the policy and doctor."""

    def tickets(self, *, status: str | None = None) -> answers.TicketsListed:
        """List the tickets of this root, each with its runs."""
        runs: dict[str, list[str]] = {}
        if self._has_state():
            for run in self.world.store.summaries()[0]:
                for ticket in run.tickets:
                    runs.setdefault(ticket, []).append(run.run_id)
        found, problems = self._machine.tickets(self._root_policy.data()).all_and_problems()
        return answers.TicketsListed(
            tuple(
                answers.TicketRow(
                    one.ticket, one.title, one.status, one.path, tuple(runs.get(one.ticket, ())), one.line, one.column
                )
                for one in found
                if status in (None, one.status)
            ),
            problems,
        )

    def create_ticket(
        self, ticket: str, *, title: str | None = None, topics: Sequence[str] = ()
    ) -> answers.TicketAnswer:
        """Create a ticket."""
        made = self._machine.tickets(self._root_policy.data()).create(ticket, title=title, topics=topics)
        return answers.TicketAnswer(made.ticket, made.path)

    def close_ticket(self, ticket: str) -> answers.TicketAnswer:
        """Set a ticket's status to complete."""
        closed = self._machine.tickets(self._root_policy.data()).close(ticket, changelog="Closed by hand with metawsm.")
        return answers.TicketAnswer(closed.ticket, closed.path)

    def policy(self) -> answers.PolicyAnswer:
        """Show the policy in effect, or everything that is wrong with it."""
        return answers.PolicyAnswer(*self._root_policy.show())

    def policy_init(self, *, force: bool = False) -> answers.PathAnswer:
        """Write a starter policy."""
        self._make_state()
        return answers.PathAnswer(self._root_policy.init(force=force))

    def policy_migrate(self) -> Migration:
        """Convert a policy of the earlier metawsm in Go, with a backup beside it."""
        return self._root_policy.migrate()

    def doctor(self) -> answers.Checks:
        """Check that everything metawsm needs is installed."""
        from metawsm_rpc.engine import diagnosing

        shown = self._root_policy.show()
        return answers.Checks(diagnosing.diagnose(self._machine, shown.policy, shown.problems, trusted=self._trusted))
