"""Reads a stored policy without the model.

A run keeps the resolved policy that it was planned with as plain data (`Policy.model_dump`). Reading a few of
its fields must not require importing pydantic. Fields that an older program did not store have their defaults;
a test keeps these equal to the model's.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

from metawsm_rpc.errors import AgentNotFoundError

PolicyData = Mapping[str, Any]
"""A policy as returned by `Policy.model_dump(mode="json")`."""


def _fields(kind: Any, section: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in section.items()
        if name in kind._fields
    }


class Setup(NamedTuple):
    """A command for each new worktree, run with `sh -c`."""

    run: str
    timeout_seconds: float = 600
    on_failure: Literal["fail", "warn"] = "fail"


class WorkspaceOptions(NamedTuple):
    """How workspaces are made. `copy` are globs."""

    backend: Literal["git", "wsm"] = "git"
    default_strategy: Literal["create", "fork", "reuse"] = "create"
    directory: str = "~/workspaces"
    branch_prefix: str = "task"
    base_branch: str = "main"
    fetch: bool = False
    copy: tuple[str, ...] = ()
    setup: tuple[Setup, ...] = ()

    @classmethod
    def of(cls, policy: PolicyData) -> Self:
        """Read the section `workspace`."""
        section = policy.get("workspace", {})
        setup = tuple(Setup(**_fields(Setup, command)) for command in section.get("setup", ()))
        return cls(**{**_fields(cls, section), "setup": setup})


class TicketOptions(NamedTuple):
    """Where tickets are kept."""

    backend: Literal["files", "docmgr"] = "files"
    directory: str = "ttmp"

    @classmethod
    def of(cls, policy: PolicyData) -> Self:
        """Read the section `tickets`."""
        return cls(**_fields(cls, policy.get("tickets", {})))


class TmuxOptions(NamedTuple):
    """The private tmux server; `directory` contains its socket, empty stands for the current TMUX_TMPDIR."""

    socket: str = "metawsm"
    directory: str = ""
    session_pattern: str = "{agent}-{workspace}"

    @classmethod
    def of(cls, policy: PolicyData) -> Self:
        """Read the section `tmux`."""
        return cls(**_fields(cls, policy.get("tmux", {})))


class ExecutionLimits(NamedTuple):
    """How a plan is carried out; durations are seconds."""

    step_retries: int = 1
    max_parallel: int = 4
    step_timeout_seconds: float = 600
    on_interrupt: Literal["resume", "fail"] = "resume"
    stop_grace_seconds: float = 5
    shell_env: Literal["auto", "always", "never"] = "auto"

    @classmethod
    def of(cls, policy: PolicyData) -> Self:
        """Read the section `execution`."""
        return cls(**_fields(cls, policy.get("execution", {})))


class HealthThresholds(NamedTuple):
    """How long silence may last, in seconds, and how often a dead agent is restarted automatically."""

    idle_seconds: float = 300
    activity_stalled_seconds: float = 900
    progress_stalled_seconds: float = 1200
    restart_budget: int = 0

    @classmethod
    def of(cls, policy: PolicyData) -> Self:
        """Read the section `health`."""
        return cls(**_fields(cls, policy.get("health", {})))


class TranscriptLimits(NamedTuple):
    """How much of one agent's output is kept."""

    max_bytes: int = 64_000_000

    @classmethod
    def of(cls, policy: PolicyData) -> Self:
        """Read the section `transcripts`."""
        return cls(**_fields(cls, policy.get("transcripts", {})))


class CloseRules(NamedTuple):
    """How a run is closed."""

    require_clean_git: bool = True
    push: bool = False
    delete_branches: bool = False
    merge: Literal["merge", "fast-forward"] = "merge"

    @classmethod
    def of(cls, policy: PolicyData) -> Self:
        """Read the section `close`."""
        return cls(**_fields(cls, policy.get("close", {})))


class LaunchProfile(NamedTuple):
    """How one agent is launched and observed: its profile, with the agent's own settings on top.

    `command` and `resume_command` are templates for `expansion.expand`. Without a `resume_command`, an agent is
    always started with `command`.
    """

    agent: str
    profile: str
    runner: str
    command: tuple[str, ...]
    resume_command: tuple[str, ...] | None
    completes_on: Literal["signal", "exit"]
    hooks: bool
    base_prompt: str
    skills: tuple[str, ...]
    env: Mapping[str, str]
    waiting_patterns: tuple[str, ...]
    done_patterns: tuple[str, ...]

    def prompt(self, values: Mapping[str, str | Sequence[str]], feedback: str | None = None) -> str:
        """Return the text of `{prompt}` for one launch.

        With `feedback`, a person's comment on earlier work, the agent is told to continue. It never begins with
        `-`, so that no program takes it for an option.
        """
        from metawsm_rpc.policy.expansion import expand_text

        parts = [expand_text(self.base_prompt, values)]
        if self.skills:
            parts.append("Use these skills: " + ", ".join(self.skills) + ".")
        if feedback is not None:
            parts.append(f"You have worked on this before; look at what is there and go on. Feedback:\n{feedback}")
        prompt = "\n\n".join(part for part in parts if part)
        return f"\n{prompt}" if prompt.startswith("-") else prompt


def agent_names(policy: PolicyData) -> tuple[str, ...]:
    """Return the names of the policy's agents, in order."""
    return tuple(agent["name"] for agent in policy.get("agents", ()))


def profile_of(policy: PolicyData, agent_name: str) -> LaunchProfile:
    """Return how an agent of a checked policy is launched.

    An agent's own command replaces its profile's, also for resuming; its environment is added.
    Raises `AgentNotFoundError`.
    """
    agent = _named(policy.get("agents", ()), agent_name)
    if agent is None:
        names = ", ".join(agent_names(policy)) or "none"
        raise AgentNotFoundError(f"The policy has no agent {agent_name!r}.", hint=f"Its agents: {names}.")
    profile = _named(policy["agent_profiles"], agent["profile"])
    if profile is None:
        raise AgentNotFoundError(f"The policy has no profile {agent['profile']!r} for the agent {agent_name!r}.")
    own = agent.get("command")
    resume = None if own else profile["resume_command"]
    return LaunchProfile(
        agent=agent_name,
        profile=profile["name"],
        runner=profile["runner"],
        command=tuple(own or profile["command"]),
        resume_command=tuple(resume) if resume else None,
        completes_on=profile["completes_on"],
        hooks=profile.get("hooks", True),
        base_prompt=profile["base_prompt"],
        skills=tuple(profile["skills"]),
        env={**profile["env"], **agent.get("env", {})},
        waiting_patterns=tuple(profile["waiting_patterns"]),
        done_patterns=tuple(profile["done_patterns"]),
    )


def _named(entries: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    return next((entry for entry in entries if entry["name"] == name), None)
