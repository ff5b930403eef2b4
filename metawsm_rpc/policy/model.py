"""The policy file's model: every field with its description, default and constraints.

Descriptions are for people: they appear in the editor's hovers, the JSON Schema and the reference page.
`loading.py` reads the file itself, and reports where something is wrong.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from metawsm_rpc.policy import profiles
from metawsm_rpc.policy.values import (
    AgentName,
    Branch,
    Command,
    Environment,
    Filled,
    InsidePath,
    Items,
    Prompt,
    RegularExpression,
    RepositoryName,
    Seconds,
    SessionPattern,
    Socket,
    Timeout,
    closest,
    refusal,
)

VERSION = 3
"""The version of the format; 1 and 2 belong to the earlier metawsm in Go."""

Runner = Literal["codex", "claude", "gemini", "opencode", "aider", "shell"]


class Section(BaseModel):
    """Base of all parts of a policy: strict and immutable."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        serialize_by_alias=True,
    )


class SetupCommand(Section):
    """A command that is run in each new worktree."""

    run: Filled = Field(description="The command line; run with `sh -c` in the worktree.")
    timeout_seconds: Timeout = Field(default=600, description="How long the command may take.")
    on_failure: Literal["fail", "warn"] = Field(
        default="fail", description="Whether a failure fails the step, or is only reported."
    )


class WorkspaceSection(Section):
    """How workspaces are made: one folder per ticket, with a worktree of each repository."""

    backend: Literal["git", "wsm"] = Field(
        default="git", description="What makes workspaces: metawsm itself with git worktrees, or the program wsm."
    )
    default_strategy: Literal["create", "fork", "reuse"] = Field(
        default="create",
        description="Where a workspace comes from when a run does not say: new from the base branch, "
        "forked from another workspace's branches, or an existing workspace.",
    )
    directory: Filled = Field(
        default="~/workspaces",
        description="The folder for workspaces, laid out <date>/<name>/<repository>; "
        "absolute, below the home folder (~), or relative to the root.",
    )
    branch_prefix: Branch = Field(default="task", description="Branches are named <prefix>/<workspace>.")
    base_branch: Branch = Field(
        default="main",
        description="The branch that work begins at and is merged into; where it is absent, "
        "the repository's default branch, and the plan says so.",
    )
    fetch: bool = Field(default=False, description="Fetch the base branch from its remote before creating.")
    # `copy` is a method of every model, so the attribute has another name than the key.
    copy_globs: Items[InsidePath] = Field(
        default=(),
        alias="copy",
        description="Globs of files that are copied from the source checkout, such as .env; nothing is overwritten.",
    )
    setup: Items[SetupCommand] = Field(default=(), description="Commands that are run in each new worktree, in order.")


class TicketsSection(Section):
    """Where tickets are kept, in docmgr's layout."""

    backend: Literal["files", "docmgr"] = Field(
        default="files", description="What reads and writes tickets: metawsm itself, or the program docmgr."
    )
    directory: InsidePath = Field(default="ttmp", description="The folder of the tickets, relative to the root.")


class TmuxSection(Section):
    """The private tmux server that agents run in."""

    socket: Socket = Field(default="metawsm", description="The name of the server's socket (tmux -L).")
    directory: str = Field(
        default="",
        description="The folder that tmux keeps the socket in; when it is empty, that of TMUX_TMPDIR where the run "
        "is planned, else tmux's own. A run keeps it, so that every process finds its agents.",
    )
    session_pattern: SessionPattern = Field(
        default="{agent}-{workspace}",
        description="How sessions are named: {agent} and at least one of {workspace} and {ticket}.",
    )


class ExecutionSection(Section):
    """How a plan is carried out."""

    step_retries: int = Field(default=1, ge=0, le=100, description="How often a failed step is tried again.")
    max_parallel: int = Field(default=4, ge=1, le=256, description="How many steps may run at the same time.")
    step_timeout_seconds: Timeout = Field(default=600, description="How long a step may take.")
    on_interrupt: Literal["resume", "fail"] = Field(
        default="resume", description="What becomes of a step whose process died: done again, or failed."
    )
    stop_grace_seconds: Seconds = Field(
        default=5, description="How long an agent may take to end when it is stopped, before it is killed."
    )
    shell_env: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Whether agents start with the login shell's environment: "
        "when metawsm itself was started without one (auto), always, or never.",
    )


class HealthSection(Section):
    """When silence counts, for agents that say nothing of themselves."""

    idle_seconds: Timeout = Field(default=300, description="Without output for this long an agent is idle.")
    activity_stalled_seconds: Timeout = Field(
        default=900, description="Without output for this long an agent is stalled."
    )
    progress_stalled_seconds: Timeout = Field(
        default=1200, description="Without progress (signals, commits, changed files) for this long it is stalled."
    )
    restart_budget: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="How often a dead agent is restarted by itself; counted since the last start by hand.",
    )


class TranscriptsSection(Section):
    """What agents print, kept in files."""

    max_bytes: int = Field(
        default=64_000_000, ge=4096, le=1 << 50, description="How much of one agent's output is kept; the oldest goes."
    )


class CloseSection(Section):
    """How a run is closed: every repository is merged, or none."""

    require_clean_git: bool = Field(
        default=True, description="Whether uncommitted work blocks a close; otherwise it stays behind, unmerged."
    )
    push: bool = Field(default=False, description="Whether merged base branches are pushed, after everything else.")
    delete_branches: bool = Field(default=False, description="Whether merged branches are deleted.")
    merge: Literal["merge", "fast-forward"] = Field(
        default="merge", description="Always a merge commit, or nothing but fast-forwards."
    )


def _section(kind: type[Section]) -> Any:
    return Field(default=kind(), description=kind.__doc__)


class AgentProfile(Section):
    """How a kind of agent is launched and read.

    What a profile leaves out comes from the built-in profile of its runner, the headless one when
    `completes_on` is `exit`.
    """

    name: AgentName = Field(description="The profile's name; that of a built-in profile changes it.")
    runner: Runner = Field(
        default="shell", description="The program behind it, which says how its screen and hooks are read."
    )
    command: Command | None = Field(
        default=None,
        description="The command as a list of arguments, with placeholders such as {prompt}, {brief}, "
        "{workspace} and {session_id}; never split by a shell.",
    )
    resume_command: Command | None = Field(
        default=None, description="The command that goes on with an earlier session; without it, command is used."
    )
    completes_on: Literal["signal", "exit"] = Field(
        default="exit", description="What completes the agent: its signal done, or exiting with 0."
    )
    hooks: bool = Field(
        default=True,
        description="Whether the program's hooks tell metawsm what the agent does, besides those of the person; "
        "with a command of its own where {hook_options} stands in it.",
    )
    base_prompt: Prompt = Field(
        default=profiles.HEADLESS_PROMPT,
        description="What {prompt} says; it may hold placeholders, and {{ and }} are literal braces.",
    )
    skills: Items[Filled] = Field(default=(), description="Skills that the prompt asks the agent to use.")
    env: Environment = Field(default={}, description="Environment variables for the agent; values are taken literally.")
    waiting_patterns: Items[RegularExpression] = Field(
        default=(), description="Regular expressions for the screen of an agent that waits for a person."
    )
    done_patterns: Items[RegularExpression] = Field(
        default=(), description="Regular expressions for the screen of an agent that has ended its turn."
    )

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        return profiles.complete(data) if isinstance(data, Mapping) else data


class Agent(Section):
    """A named profile in a run."""

    name: AgentName = Field(description="The agent's name, as runs and commands use it.")
    profile: str = Field(description="The profile that it is started with: one of agent_profiles, or a built-in one.")
    command: Command | None = Field(default=None, description="A command instead of the profile's.")
    env: Environment = Field(default={}, description="Environment variables besides the profile's.")


class Policy(Section):
    """What may happen at a root, and how: `.metawsm/policy.json`."""

    schema_uri: str | None = Field(
        default=None, alias="$schema", exclude=True, description="A JSON Schema, for editors; metawsm ignores it."
    )
    version: Literal[3] = Field(default=3, description="The version of this format; without it, 3 is meant.")
    repositories: dict[RepositoryName, Filled] = Field(
        default={},
        description="Repositories by name, each with its path (absolute, below ~, or relative to the root), besides "
        "those of the wsm registry and the git repositories at the root and directly below it.",
    )
    workspace: WorkspaceSection = _section(WorkspaceSection)
    tickets: TicketsSection = _section(TicketsSection)
    tmux: TmuxSection = _section(TmuxSection)
    execution: ExecutionSection = _section(ExecutionSection)
    health: HealthSection = _section(HealthSection)
    transcripts: TranscriptsSection = _section(TranscriptsSection)
    close: CloseSection = _section(CloseSection)
    agent_profiles: Items[AgentProfile] = Field(
        default=(),
        description="Profiles besides the built-in ones: codex, claude, gemini, opencode and aider "
        "(interactive), each also headless as <name>-exec, and shell.",
    )
    agents: Items[Agent] = Field(
        default=(), description="The agents of this root; a run that names none starts all of them."
    )

    @model_validator(mode="before")
    @classmethod
    def _add_built_in_profiles(cls, data: Any) -> Any:
        written = data.get("agent_profiles", []) if isinstance(data, Mapping) else None
        if not isinstance(written, list | tuple):
            return data
        known = [profile.get("name") for profile in written if isinstance(profile, Mapping)]
        missing = [{"name": name} for name in profiles.BUILT_IN if name not in known]
        return {**data, "agent_profiles": [*written, *missing]}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        errors = list(self._contradictions())
        if errors:
            raise ValidationError.from_exception_data("Policy", errors)
        return self

    def _contradictions(self) -> Iterator[InitErrorDetails]:
        yield from _duplicates("agent_profiles", [profile.name for profile in self.agent_profiles])
        yield from _duplicates("agents", [agent.name for agent in self.agents])
        known = {profile.name: profile for profile in self.agent_profiles}
        for index, agent in enumerate(self.agents):
            profile = known.get(agent.profile)
            if profile is None:
                hint = closest(agent.profile, known) or f"Use one of {', '.join(known)}."
                yield _error(("agents", index, "profile"), f"There is no profile {agent.profile!r}.", hint)
            elif agent.command is None and profile.command is None:
                yield _error(
                    ("agents", index),
                    f"The agent {agent.name!r} has no command, and its profile {profile.name!r} has none either.",
                    'Add "command": a list of arguments, such as ["my-agent", "{prompt}"].',
                )


def _duplicates(field: str, names: list[str]) -> Iterator[InitErrorDetails]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield _error((field, index, "name"), f"The name {name!r} is given twice.", "Rename or remove one of them.")


def _error(where: tuple[int | str, ...], message: str, hint: str) -> InitErrorDetails:
    return InitErrorDetails(type=refusal(message, hint), loc=where, input=None)
