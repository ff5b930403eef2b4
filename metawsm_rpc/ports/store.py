"""What the engine needs from its memory: reads that are true at one moment, writes that are legal.

`Store` reads. `Transaction` is the only way to write: everything in it happens, or nothing, and
before it commits each run that it touched is settled. All methods raise `StoreError` when the
database cannot be used.
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
    """The right to drive a run (`scope` is its id) or to supervise the root (`ROOT_SCOPE`).

    Writes with an older fence than the latest fail.
    """

    scope: str
    holder: str
    fence: int


class CloseJournal(NamedTuple):
    """How far a close has come: `preparing`, then `decided`, then `merged`."""

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
        """Store a new run, its status `created`, with everything of its plan.

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
        """Move a run and return the effects. Raises `IllegalTransitionError`."""

    def move_step(
        self,
        run_id: str,
        index: int,
        event: str,
        *,
        message: str | None = None,
        attempt_limit: int | None = None,
    ) -> None:
        """Move a step; `fail` and `interrupt` keep `message` as its error."""

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
        """Move an agent, setting columns with it; False when its status was that already."""

    def set_agent(self, run_id: str, ticket: str, name: str, **columns: Any) -> None:
        """Set columns of an agent other than its status."""

    def set_health(self, run_id: str, ticket: str, name: str, health: Health) -> None:
        """Keep a verdict; a change of its state is an event, and so is a change of what is waited for."""

    def allow_attempts(self, run_id: str, index: int, more: int) -> None:
        """Let a step be tried `more` times from now on."""

    def set_error(self, run_id: str, error: str | None) -> None:
        """Set what a person is told of the run."""

    def set_workspace(self, workspace: Workspace) -> None:
        """Replace what is known of a workspace and its repositories."""

    def set_repo(self, run_id: str, ticket: str, repo: Repo) -> None:
        """Replace what is known of one repository of a workspace, as observed now."""

    def ask(self, guidance: Guidance) -> None:
        """Keep a new question."""

    def answer(self, guidance_id: str, answer: str) -> bool:
        """Answer a pending question; False when it is not pending any more."""

    def delivered(self, guidance_id: str) -> None:
        """Note that the agent has the answer."""

    def receive(self, signal_id: str) -> bool:
        """Note that a dropped signal was read; False when it was read before."""

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
        """Append an event that is no transition."""


class Store(Protocol):
    """The memory of one root."""

    def transaction(self, lease: Lease | None = None) -> AbstractContextManager[Transaction]:
        """Begin to write. With a lease: raises `LostLeaseError` unless it is still the latest."""

    def run(self, run_id: str) -> Run:
        """Return a run. Raises `RunNotFoundError`."""

    def find_run(self, prefix: str) -> Run:
        """Return the run with this id or unambiguous prefix.

        Raises `RunNotFoundError` or `AmbiguousError`.
        """

    def newest_run(self, ticket: str | None = None) -> Run | None:
        """Return the newest run, of a ticket where one is given."""

    def detail(self, run_id: str) -> RunDetail:
        """Return everything about a run, as of one `seq`."""

    def steps(self, run_id: str) -> tuple[Step, ...]:
        """Return the steps of a run in the order of its plan."""

    def has_running_steps(self, run_id: str) -> bool:
        """Return whether a step of a run is under way."""

    def agents(self, run_id: str) -> tuple[Agent, ...]:
        """Return the agents of a run."""

    def workspaces(self, run_id: str) -> tuple[Workspace, ...]:
        """Return the workspaces of a run."""

    def questions(self, run_id: str) -> tuple[Guidance, ...]:
        """Return all questions of a run, oldest first."""

    def guidance(self, guidance_id: str) -> Guidance:
        """Return a question. Raises `GuidanceNotFoundError`."""

    def policy(self, run_id: str) -> dict[str, Any]:
        """Return the resolved policy that a run was planned with."""

    def unsettled(self) -> tuple[str, ...]:
        """Return the ids of runs in which something may be alive or under way."""

    def abandoned(self) -> tuple[str, ...]:
        """Return the ids of runs that somebody should drive, and nobody does; oldest first.

        They are at work and have a step that can run or was cut off, or owe an agent a launch.
        Steps that their policy leaves to a person (`execution.on_interrupt: fail`) do not count.
        """

    def summaries(
        self, *, tickets: Sequence[str] = (), statuses: Sequence[str] = (), limit: int | None = None, offset: int = 0
    ) -> tuple[tuple[RunSummary, ...], int, int]:
        """Return `(rows, total, seq)`, newest first."""

    def events(self, since: int = 0, limit: int | None = None, run_id: str | None = None) -> tuple[Event, ...]:
        """Return the events after `since`, in order."""

    def seq(self) -> int:
        """Return the number of the latest event, 0 when there is none."""

    def blocked(self, run_id: str) -> tuple[Blocked, ...]:
        """Return what blocked the last try to close a run, as long as the run has not moved since."""

    def close_journal(self, run_id: str) -> CloseJournal | None:
        """Return the journal of a close that is under way."""

    def data_version(self) -> int:
        """Return a number that changes when anybody has written, this process included."""

    def acquire(self, scope: str, *, takeover: bool = False) -> Lease:
        """Take a lease. Raises `BusyError` while a live holder has it, unless `takeover`."""

    def renew(self, lease: Lease) -> None:
        """Prolong a lease. Raises `LostLeaseError` when somebody took it over."""

    def release(self, lease: Lease) -> None:
        """Give a lease up; harmless when it is lost."""

    def held(self, lease: Lease) -> bool:
        """Return whether nobody has taken the lease over."""

    def await_release(self, scope: str, timeout: float) -> bool:
        """Wait until nobody acts on an earlier lease of the scope; False when the time is over."""

    def driven(self, scope: str) -> bool:
        """Return whether a live process holds the scope."""

    def holder(self, scope: str) -> int | None:
        """Return the pid of the live process that holds the scope."""

    def close(self) -> None:
        """Close the database."""
