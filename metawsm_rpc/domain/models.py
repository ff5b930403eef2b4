"""Runs, steps, agents and the other types of the protocol, as immutable plain data.

A field `depends_on` is `dependsOn` on the wire; `wire()` makes the JSON. Timestamps are RFC 3339
text in UTC with milliseconds, durations are seconds, absent values are None.

These are NamedTuples and not dataclasses because importing `dataclasses` takes longer than
everything else that `metawsm status` does.
"""

from typing import Any, Literal, NamedTuple

RunStatus = Literal[
    "created",
    "planning",
    "running",
    "awaiting_guidance",
    "paused",
    "failed",
    "stopping",
    "stopped",
    "completed",
    "closing",
    "closed",
]
StepStatus = Literal["pending", "running", "done", "failed", "skipped"]
AgentStatus = Literal[
    "pending", "running", "idle", "waiting", "stalled", "dead", "stopping", "stopped", "completed", "failed"
]
GuidanceStatus = Literal["pending", "answered", "withdrawn"]
HealthState = Literal["healthy", "idle", "waiting", "stalled", "dead", "unknown"]
StepKind = Literal["verify_ticket", "create_workspace", "prepare_workspace", "start_agent"]
Strategy = Literal["create", "fork", "reuse"]
EntityKind = Literal["run", "step", "agent", "guidance", "workspace", "merge"]
BlockedReason = Literal[
    "uncommitted",
    "wrong_branch",
    "operation_in_progress",
    "nested_repository",
    "submodule",
    "no_base",
    "no_identity",
    "unrelated",
    "in_the_way",
    "conflict",
    "base_moved",
    "not_fast_forward",
    "locked",
]
MergeKind = Literal["merge", "fast-forward", "none"]

SETTLED: frozenset[str] = frozenset({"completed", "failed", "stopped", "closed"})
LIVE: frozenset[str] = frozenset({"running", "idle", "waiting", "stalled"})


class Run(NamedTuple):
    """Tickets × repositories × agents, compiled to a plan."""

    run_id: str
    status: RunStatus
    mode: Literal["run"]
    tickets: tuple[str, ...]
    repos: tuple[str, ...]
    agents: tuple[str, ...]
    strategy: Strategy
    source: str | None
    base_branch: str
    dry_run: bool
    created_at: str
    updated_at: str
    error: str | None


class Step(NamedTuple):
    """The smallest unit that is executed, retried or skipped.

    `attempts` counts attempts, except interrupted ones; `attempt_limit` is how many there may be before a
    person has to decide (retry and resume raise it).
    """

    run_id: str
    index: int  # type: ignore[assignment] # shadows tuple.index, which nobody calls
    kind: StepKind
    name: str
    ticket: str
    repo: str | None
    workspace: str
    agent: str | None
    depends_on: tuple[int, ...]
    blocking: bool
    status: StepStatus
    attempts: int
    attempt_limit: int
    command: tuple[str, ...] | None
    description: str
    error: str | None
    started_at: str | None
    finished_at: str | None


class Health(NamedTuple):
    """How one agent is: `source` names the evidence that decided, `since` when the state began."""

    state: HealthState
    reason: str
    source: str
    since: str


class Agent(NamedTuple):
    """A named profile at work on one ticket of a run.

    `launch` is the random id of its latest start, `pid` the process that tmux started for it. `due` says why a
    new launch is owed (`resume`, `restart`, `iterate`, `budget`), or None. `said` is what it last reported
    about itself (`working`, `waiting`, `idle` or `error`) at `said_at`, in the words of `said_what`, by its own
    `signal` or by a `hook` of its program (`said_by`). `automatic_restarts` counts restarts since the last
    start by a person. `conversation` is the program's own id of the conversation that it can continue, and
    `conversation_launch` the launch that began or last continued it.
    """

    run_id: str
    ticket: str
    name: str
    profile: str
    workspace: str
    session: str
    status: AgentStatus
    health: Health | None
    exit_code: int | None
    restarts: int
    launch: str | None
    pid: int | None
    due: str | None
    said: str | None
    said_at: str | None
    said_by: Literal["signal", "hook"] | None
    said_what: str | None
    automatic_restarts: int
    conversation: str | None
    conversation_launch: str | None
    started_at: str | None
    last_activity_at: str | None
    last_progress_at: str | None
    transcript: str
    attach: tuple[str, ...]


class Repo(NamedTuple):
    """One repository's worktree in a workspace, as last observed.

    `base` is the branch that close merges into, `base_commit` where the work began.
    `dirty_files` counts changed and untracked files, `ahead` and `behind` commits against the
    base; all three are None until observed. `copied` are the files that the policy put there.
    """

    name: str
    path: str
    source: str
    branch: str
    base: str
    base_commit: str | None
    head: str | None
    dirty_files: int | None
    ahead: int | None
    behind: int | None
    copied: tuple[str, ...] = ()


class Workspace(NamedTuple):
    """A folder with a worktree of each repository, all on one branch."""

    run_id: str
    ticket: str
    name: str
    path: str
    branch: str
    observed_at: str | None
    repos: tuple[Repo, ...]


class Guidance(NamedTuple):
    """A question that an agent asked, and its answer."""

    id: str
    run_id: str
    ticket: str
    agent: str
    question: str
    context: str | None
    choices: tuple[str, ...]
    answer: str | None
    status: GuidanceStatus
    asked_at: str
    answered_at: str | None
    delivered_at: str | None


class Event(NamedTuple):
    """An append-only record; `seq` has no gaps within a root."""

    seq: int
    at: str
    run_id: str | None
    entity: EntityKind
    entity_id: str
    type: str
    from_: str | None
    to: str | None
    message: str | None
    data: dict[str, Any] | None


class RunSummary(NamedTuple):
    """One row of a list of runs; `agents` counts them by `total`, health and final status."""

    run_id: str
    status: RunStatus
    tickets: tuple[str, ...]
    repos: tuple[str, ...]
    agents: dict[str, int]
    guidance_pending: int
    created_at: str
    updated_at: str
    error: str | None


class RunDetail(NamedTuple):
    """Everything about one run, true as of event `seq`."""

    run: Run
    steps: tuple[Step, ...]
    agents: tuple[Agent, ...]
    workspaces: tuple[Workspace, ...]
    guidance: tuple[Guidance, ...]
    seq: int


class Problem(NamedTuple):
    """Something wrong in a file or a request; `line` and `column` count from 1.

    `pointer` is a JSON pointer (RFC 6901) into the file.
    """

    code: str
    message: str
    hint: str | None = None
    path: str | None = None
    line: int | None = None
    column: int | None = None
    pointer: str | None = None


class Blocked(NamedTuple):
    """One reason why close may not merge."""

    repo: str
    ticket: str
    reason: BlockedReason
    message: str
    files: tuple[str, ...] = ()


class Merge(NamedTuple):
    """What close does, or did, to one base branch for one ticket.

    `from_` is the base's commit before and `to` after; with kind `none` they are equal.
    """

    repo: str
    ticket: str
    base: str
    from_: str
    to: str
    kind: MergeKind
