"""Tickets: units of work, stored as files."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from metawsm_rpc.domain.models import Problem


class Ticket(NamedTuple):
    """A unit of work: `path` is its index.md, `directory` its folder, both absolute.

    `line` is the line of `Ticket:` in index.md, `column` where the value begins, both from 1.
    """

    ticket: str
    title: str
    status: str
    path: str
    directory: str
    line: int
    column: int


class Tickets(Protocol):
    """Tickets in docmgr's layout; `directory` is the absolute path of their root."""

    directory: str

    def all(self) -> tuple[Ticket, ...]:
        """Return every ticket whose frontmatter decodes, sorted by path."""

    def all_and_problems(self) -> tuple[tuple[Ticket, ...], tuple[Problem, ...]]:
        """Return the same, and the problem of every index.md and folder that could not be read."""

    def find(self, ticket: str) -> Ticket:
        """Return one ticket. Raises `TicketNotFoundError`, or `AmbiguousError` for two folders.

        A ticket whose frontmatter is broken is not found, and the hint names the file and line.
        """

    def text(self, ticket: Ticket) -> str:
        """Return what the ticket's index.md says below its frontmatter."""

    def create(self, ticket: str, *, title: str | None, topics: Sequence[str]) -> Ticket:
        """Create a ticket's folder. Raises `InvalidParamsError` when it exists or the name is unusable."""

    def close(self, ticket: str, *, changelog: str) -> Ticket:
        """Set the status to complete with a dated changelog entry; harmless when it is closed."""
