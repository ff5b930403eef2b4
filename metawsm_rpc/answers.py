"""What the verbs answer; together with `domain.models` the shapes of the protocol."""

from typing import Any, NamedTuple

from metawsm_rpc.domain.models import (
    Agent,
    Blocked,
    Event,
    Guidance,
    Health,
    HealthState,
    Merge,
    Problem,
    Run,
    RunStatus,
    RunSummary,
    Step,
)
from metawsm_rpc.engine.diagnosing import Check
from metawsm_rpc.engine.tidying import Kept, Snapshot
from metawsm_rpc.engine.workspaces import Diffed, Synced


class RunStarted(NamedTuple):
    """A run whose plan is stored; execution goes on."""

    run_id: str
    status: RunStatus
    steps: tuple[Step, ...]


class PlanShown(NamedTuple):
    """A plan that is not stored, and what stands in its way."""

    steps: tuple[Step, ...]
    problems: tuple[Problem, ...]


class RunsListed(NamedTuple):
    """An overview of runs, newest first."""

    runs: tuple[RunSummary, ...]
    total: int
    seq: int


class RunAnswer(NamedTuple):
    """A run as it is now."""

    run: Run


class Waited(NamedTuple):
    """A run, and whether it came to one of the statuses that were waited for."""

    run: Run
    reached: bool


class AgentsAnswer(NamedTuple):
    """The agents that were acted on, as they are now."""

    agents: tuple[Agent, ...]


class StepAnswer(NamedTuple):
    """A step as it is now."""

    step: Step


class GuidanceAnswer(NamedTuple):
    """A question as it is now; `reason` says why the agent does not have the answer yet."""

    guidance: Guidance
    reason: str | None = None


class Asked(NamedTuple):
    """The event that tells of a question, its id, and what became of it; None for a stale launch."""

    event: Event
    guidance_id: str | None
    guidance: Guidance | None


class Sent(NamedTuple):
    """Whether a text was taken by the program; `reason` says why not, or what is not sure."""

    delivered: bool
    reason: str | None


class SignalAnswer(NamedTuple):
    """The event that tells of a signal, and the id of the question that it asked."""

    event: Event
    guidance_id: str | None


class TranscriptPart(NamedTuple):
    """A piece of a transcript, in bytes: it begins at `offset`, the next piece at `next_offset`.

    `size` is where the transcript ends now.
    """

    text: str
    offset: int
    next_offset: int
    size: int


class Attachment(NamedTuple):
    """The command that shows an agent's terminal."""

    argv: tuple[str, ...]
    session: str


class CloseAnswer(NamedTuple):
    """What a close did, or would do."""

    run: Run
    merges: tuple[Merge, ...]
    blocked: tuple[Blocked, ...]


class Observation(NamedTuple):
    """One thing that was looked at; `says` is the state that it speaks for, None when it decides nothing."""

    source: str
    observed: str
    at: str
    says: HealthState | None


class Explained(NamedTuple):
    """A verdict, and everything that was looked at, strongest evidence first."""

    health: Health | None
    evidence: tuple[Observation, ...]


class EventsListed(NamedTuple):
    """Events in order, and the number of the latest one of the root."""

    events: tuple[Event, ...]
    seq: int


class TicketRow(NamedTuple):
    """A ticket and the runs that it was in, newest first.

    `line` and `column` are where its index.md, `path`, says its id; they count from 1.
    """

    ticket: str
    title: str
    status: str
    path: str
    runs: tuple[str, ...]
    line: int
    column: int


class TicketsListed(NamedTuple):
    """The tickets of this root, and what is wrong with those that cannot be read."""

    tickets: tuple[TicketRow, ...]
    problems: tuple[Problem, ...] = ()


class TicketAnswer(NamedTuple):
    """A ticket and the path of its index.md."""

    ticket: str
    path: str


class Diffs(NamedTuple):
    """The work of a run, one row for each worktree."""

    repos: tuple[Diffed, ...]


class SyncAnswer(NamedTuple):
    """What bringing the bases in did, one row for each worktree."""

    repos: tuple[Synced, ...]


class Cleaned(NamedTuple):
    """What went, what stayed and why, and the refs that keep what a removed worktree still held."""

    removed: tuple[str, ...]
    kept: tuple[Kept, ...]
    snapshots: tuple[Snapshot, ...]


class PolicyAnswer(NamedTuple):
    """The resolved policy of a root, None while its file cannot be used."""

    path: str
    policy: dict[str, Any] | None
    problems: tuple[Problem, ...]


class PathAnswer(NamedTuple):
    """A file that was written."""

    path: str


class Document(NamedTuple):
    """A text to read, and the name that editors have for its language."""

    text: str
    language_id: str


class Checks(NamedTuple):
    """What `doctor` found."""

    checks: tuple[Check, ...]
