"""Persistence: consistent reads, and writes that respect the lifecycles.

`Store` reads. `Transaction` is the only way to write: it is atomic, and before it commits it settles each run
that it touched. All methods raise `StoreError` when the database cannot be used.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from metawsm_rpc.domain.models import (
    Agent,
    Blocked,
    EntityKind,
    Event,
    Guidance,
    Health,
    Merge,
    Repo,
    Run,
    RunDetail,
    RunSummary,
    Step,
    Workspace,
)

if TYPE_CHECKING:
    from metawsm_rpc.ports.merging import RefMove

ROOT_SCOPE = "_root"
"""The scope of the lease to supervise the root; no run can have this id."""


CLOSE_BLOCKED = "close_blocked"
"""The type of the event (entity `merge`) of a close that was blocked; its data is `{blocked: Blocked[]}`."""


class Lease(NamedTuple):
    """The exclusive right to drive a run (`scope` is its id) or to supervise the root (`ROOT_SCOPE`).

    Writes with an outdated fence fail.
    """

    scope: str
    holder: str
    fence: int


class CloseJournal(NamedTuple):
    """The progress of a close: `preparing`, then `decided`, then `merged`."""

    phase: str
    moves: "tuple[RefMove, ...]"
    merges: tuple[Merge, ...]


class Transaction(Protocol):
    """Writes that commit together."""

    def insert_plan(
        self,
        run: Run,
        policy: Mapping[str, Any],
        steps: Sequence[Step],
        agents: Sequence[Agent],
        workspaces: Sequence[Workspace],
    ) -> None:
        """Store a new run with status `created`, and its whole plan.

        Raises `InvalidParamsError` when the run id is taken.
        """

    def run(self, run_id: str) -> Run:
        """Return a run as it is in this transaction. Raises `RunNotFoundError`."""

    def step(self, run_id: str, index: int) -> Step:
        """Return a step as it is in this transaction. Raises `StepNotFoundError`."""

    def agent(self, run_id: str, ticket: str, name: str) -> Agent:
        """Return an agent as it is in this transaction. Raises `AgentNotFoundError`."""

    def move_run(
        self, run_id: str, event: str, *, facts: Collection[str] = (), message: str | None = None
    ) -> tuple[str, ...]:
        """Move a run and return the effects of the move. Raises `IllegalTransitionError`."""

    def move_step(
        self,
        run_id: str,
        index: int,
        event: str,
        *,
        message: str | None = None,
        attempt_limit: int | None = None,
    ) -> None:
        """Move a step; `fail` and `interrupt` store `message` as its error."""

    def move_agent(
        self,
        run_id: str,
        ticket: str,
        name: str,
        event: str,
        *,
        facts: Collection[str] = (),
        message: str | None = None,
        data: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> bool:
        """Move an agent and set columns with it; return False when its status stays the same."""

    def set_agent(self, run_id: str, ticket: str, name: str, **columns: Any) -> None:
        """Set columns of an agent other than its status."""

    def set_health(self, run_id: str, ticket: str, name: str, health: Health) -> None:
        """Store an agent's health; a change of its state, or of what the agent waits for, is an event."""

    def allow_attempts(self, run_id: str, index: int, more: int) -> None:
        """Allow a step `more` attempts from now on."""

    def set_error(self, run_id: str, error: str | None) -> None:
        """Set the run's error, a sentence for people."""

    def set_workspace(self, workspace: Workspace) -> None:
        """Replace the stored facts about a workspace and its repositories."""

    def set_repo(self, run_id: str, ticket: str, repo: Repo) -> None:
        """Replace the stored facts about one repository of a workspace, as observed now."""

    def ask(self, guidance: Guidance) -> None:
        """Store a new question."""

    def answer(self, guidance_id: str, answer: str) -> bool:
        """Answer a pending question; return False when it is no longer pending."""

    def begin_typing(self, guidance_id: str) -> bool:
        """Record that an answer is about to be typed; return False when it was delivered, or may have been.

        It may have been when somebody began to type it and nothing says how that ended.
        """

    def delivered(self, guidance_id: str) -> None:
        """Record that the agent has received the answer."""

    def receive(self, signal_id: str) -> bool:
        """Record that a signal from a drop box was read; return False when it was read before."""

    def set_close(self, run_id: str, journal: CloseJournal | None) -> None:
        """Write the journal of a close, or remove it."""

    def record(
        self,
        run_id: str | None,
        entity: EntityKind,
        entity_id: str,
        event_type: str,
        *,
        message: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Event:
        """Append an event that is not a transition."""


class Store(Protocol):
    """The persistent state of one root."""

    def transaction(self, lease: Lease | None = None) -> AbstractContextManager[Transaction]:
        """Begin a transaction. With a lease, raises `LostLeaseError` unless it is still the latest."""

    def run(self, run_id: str) -> Run:
        """Return a run. Raises `RunNotFoundError`."""

    def find_run(self, prefix: str) -> Run:
        """Return the run with this id or unambiguous prefix.

        Raises `RunNotFoundError` or `AmbiguousError`.
        """

    def newest_run(self, ticket: str | None = None) -> Run | None:
        """Return the newest run, or with `ticket` its newest."""

    def detail(self, run_id: str) -> RunDetail:
        """Return everything about a run, consistent as of one `seq`."""

    def steps(self, run_id: str) -> tuple[Step, ...]:
        """Return the steps of a run in the order of its plan."""

    def has_running_steps(self, run_id: str) -> bool:
        """Return whether a step of a run is running."""

    def agents(self, run_id: str) -> tuple[Agent, ...]:
        """Return the agents of a run."""

    def workspaces(self, run_id: str) -> tuple[Workspace, ...]:
        """Return the workspaces of a run."""

    def questions(self, run_id: str) -> tuple[Guidance, ...]:
        """Return all questions of a run, oldest first."""

    def undelivered(self) -> tuple[Guidance, ...]:
        """Return the answered questions of agents at work of which nothing says whether the answer arrived."""

    def guidance(self, guidance_id: str) -> Guidance:
        """Return a question. Raises `GuidanceNotFoundError`."""

    def policy(self, run_id: str) -> dict[str, Any]:
        """Return the resolved policy that a run was planned with."""

    def unsettled(self) -> tuple[str, ...]:
        """Return the ids of runs in which something may be alive or under way."""

    def abandoned(self) -> tuple[str, ...]:
        """Return the ids of runs that need a driver and have none, oldest first.

        These have work left: a step that can run or was interrupted, or an owed launch. Interrupted steps that
        the policy leaves to a person (`execution.on_interrupt: fail`) do not count.
        """

    def interrupted_closes(self) -> tuple[str, ...]:
        """Return the ids of runs whose close was cut off, oldest first: nobody undoes or finishes it."""

    def summaries(
        self, *, tickets: Sequence[str] = (), statuses: Sequence[str] = (), limit: int | None = None, offset: int = 0
    ) -> tuple[tuple[RunSummary, ...], int, int]:
        """Return `(rows, total, seq)`, newest first."""

    def events(self, since: int = 0, limit: int | None = None, run_id: str | None = None) -> tuple[Event, ...]:
        """Return the events after `since`, in order."""

    def seq(self) -> int:
        """Return the number of the latest event, 0 when there is none."""

    def blocked(self, run_id: str) -> tuple[Blocked, ...]:
        """Return what blocked the last attempt to close a run, unless the run has moved since."""

    def close_journal(self, run_id: str) -> CloseJournal | None:
        """Return the journal of a close that is under way."""

    def data_version(self) -> int:
        """Return a number that changes with every write, by this process or another."""

    def acquire(self, scope: str, *, takeover: bool = False) -> Lease:
        """Take a lease. Raises `BusyError` while a live holder has it, unless `takeover`."""

    def renew(self, lease: Lease) -> None:
        """Renew a lease. Raises `LostLeaseError` when it was taken over."""

    def release(self, lease: Lease) -> None:
        """Release a lease; harmless when it is lost."""

    def held(self, lease: Lease) -> bool:
        """Return whether the lease has not been taken over."""

    def await_release(self, scope: str, timeout: float) -> bool:
        """Wait until no process acts on an earlier lease of the scope; return False on timeout."""

    def driven(self, scope: str) -> bool:
        """Return whether a live process holds the scope."""

    def holder(self, scope: str) -> int | None:
        """Return the pid of the live process that holds the scope."""

    def close(self) -> None:
        """Close the database."""
