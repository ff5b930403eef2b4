"""The result types of the verbs; together with `domain.models` they are the types of the protocol."""

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
    """A run whose plan is stored; execution continues."""

    run_id: str
    status: RunStatus
    steps: tuple[Step, ...]


class PlanShown(NamedTuple):
    """A plan that is not stored, and the problems that prevent it."""

    steps: tuple[Step, ...]
    problems: tuple[Problem, ...]


class RunsListed(NamedTuple):
    """A list of runs, newest first."""

    runs: tuple[RunSummary, ...]
    total: int
    seq: int


class RunAnswer(NamedTuple):
    """A run as it is now."""

    run: Run


class Waited(NamedTuple):
    """A run, and whether it reached one of the awaited statuses."""

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
    """The event of a question, the question and its id; None for an earlier launch."""

    event: Event
    guidance_id: str | None
    guidance: Guidance | None


class Sent(NamedTuple):
    """Whether the program took a text; `reason` says why not, or what is uncertain."""

    delivered: bool
    reason: str | None


class SignalAnswer(NamedTuple):
    """The event of a signal, and the id of the question if it asked one."""

    event: Event
    guidance_id: str | None


class TranscriptPart(NamedTuple):
    """A piece of a transcript: it begins at the byte `offset`, the next piece at `next_offset`.

    `size` is the current length of the transcript.
    """

    text: str
    offset: int
    next_offset: int
    size: int


class Attachment(NamedTuple):
    """The command that opens an agent's terminal."""

    argv: tuple[str, ...]
    session: str


class CloseAnswer(NamedTuple):
    """The result of a close, or of its dry run."""

    run: Run
    merges: tuple[Merge, ...]
    blocked: tuple[Blocked, ...]


class Observation(NamedTuple):
    """One piece of evidence; `says` is the state that it indicates, None when it indicates none."""

    source: str
    observed: str
    at: str
    says: HealthState | None


class Explained(NamedTuple):
    """An agent's health, and all evidence, strongest first."""

    health: Health | None
    evidence: tuple[Observation, ...]


class EventsListed(NamedTuple):
    """Events in order, and the number of the root's latest event."""

    events: tuple[Event, ...]
    seq: int


class TicketRow(NamedTuple):
    """A ticket and its runs, newest first.

    `line` and `column` are the position of its id in its index.md, `path`; they count from 1.
    """

    ticket: str
    title: str
    status: str
    path: str
    runs: tuple[str, ...]
    line: int
    column: int


class TicketsListed(NamedTuple):
    """The tickets of this root, and the problems of those that cannot be read."""

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
    """The result of a sync, one row for each worktree."""

    repos: tuple[Synced, ...]


class Cleaned(NamedTuple):
    """What was removed, what was kept and why, and the refs that preserve the contents of removed worktrees."""

    removed: tuple[str, ...]
    kept: tuple[Kept, ...]
    snapshots: tuple[Snapshot, ...]


class PolicyAnswer(NamedTuple):
    """The resolved policy of a root, None while its file is unusable."""

    path: str
    policy: dict[str, Any] | None
    problems: tuple[Problem, ...]


class PathAnswer(NamedTuple):
    """A file that was written."""

    path: str


class Document(NamedTuple):
    """A text to read, and its language as editors name it."""

    text: str
    language_id: str


class Checks(NamedTuple):
    """The results of `doctor`."""

    checks: tuple[Check, ...]
