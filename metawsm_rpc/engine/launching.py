"""Launches agents: the command line, the brief, the environment, and a start that happens exactly once.

A launch is recorded before tmux is asked, and searched for before tmux is asked again, so that a crash in
between neither loses an agent nor starts it twice.
"""

from collections.abc import Mapping
from typing import Any

from metawsm_rpc.domain.clock import timestamp
from metawsm_rpc.domain.models import LIVE, Agent, Run, Workspace
from metawsm_rpc.engine import starts, stopping
from metawsm_rpc.engine.conversations import Conversation, chosen_id, to_go_on_with
from metawsm_rpc.engine.workspaces import made_of
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import DependencyMissingError, LostLeaseError
from metawsm_rpc.policy.expansion import expand, mentions
from metawsm_rpc.policy.hooks import Hooks, hooks_for
from metawsm_rpc.policy.view import TranscriptLimits, profile_of
from metawsm_rpc.ports.store import Lease
from metawsm_rpc.ports.terminals import Launch
from metawsm_rpc.ports.tickets import Ticket


class LaunchContext:
    """All facts for launching one agent on one ticket, known before it starts."""

    def __init__(
        self, world: World, policy: Mapping[str, Any], *, run_id: str, agent: str, workspace: Workspace
    ) -> None:
        self.world = world
        self.policy = policy
        self.run_id = run_id
        self.agent = agent
        self.workspace = workspace
        self.ticket = workspace.ticket
        self.profile = profile_of(policy, agent)
        self.paths = world.machine.folders().paths(run_id, workspace.ticket, agent)
        self._programs = world.machine.programs(policy)
        found = hooks_for(self.profile.runner, self._programs.plugin_directory()) if self.profile.hooks else None
        self._hooks = found or Hooks()

    def environment(self, launch: str) -> dict[str, str]:
        """Return the agent's whole environment."""
        return {
            **self._hooks.environment,  # variables that the person has set take precedence
            **self._programs.environment(),
            **self.profile.env,
            "METAWSM_ROOT": self.world.machine.root,
            "METAWSM_RUN_ID": self.run_id,
            "METAWSM_TICKET": self.ticket,
            "METAWSM_AGENT": self.agent,
            "METAWSM_LAUNCH": launch,
            "METAWSM_WORKSPACE": self.workspace.path,
            "METAWSM_BRIEF": self.paths.brief,
            "METAWSM_BIN": self._programs.command_path(),
        }

    def command(
        self, launch: str, *, resume: bool = False, session_id: str | None = None, feedback: str | None = None
    ) -> tuple[str, ...]:
        """Return the agent's command line; with `resume`, the one that continues an earlier conversation."""
        values = self._values(launch, session_id or chosen_id(self.run_id, self.ticket, self.agent, launch))
        prompt = self.profile.prompt(values, feedback)
        template = self.profile.resume_command if resume and self.profile.resume_command else self.profile.command
        return expand(template, {**values, "prompt": prompt})

    def begun_by(self, launch: str) -> Conversation | None:
        """Return the conversation that a new start is assumed to begin, None when only a hook could report it."""
        hooked = bool(self._hooks.environment) or (
            bool(self._hooks.options) and mentions(self.profile.command, "hook_options")
        )
        if hooked or not mentions(self.profile.command, "session_id"):
            return None
        return Conversation(chosen_id(self.run_id, self.ticket, self.agent, launch), launch)

    def _values(self, launch: str, session_id: str) -> dict[str, str | tuple[str, ...]]:
        directories = tuple(map(self.world.machine.worktrees(self.policy).git_directories, self.workspace.repos))
        return {
            "brief": self.paths.brief,
            "brief_directory": self.paths.brief.rpartition("/")[0],
            "workspace": self.workspace.path,
            "ticket": self.ticket,
            "agent": self.agent,
            "run": self.run_id,
            "launch": launch,
            "root": self.world.machine.root,
            "bin": self._programs.command_path(),
            "session_id": session_id,
            "hook_options": self._hooks.options,
            "drop_box": self.paths.drop_box,
            "git_dirs": tuple(own for own, _ in directories),
            "git_common_dirs": tuple(dict.fromkeys(common for _, common in directories)),
        }

    def check_program(self) -> None:
        """Raise `DependencyMissingError` when the agent's program is not on its PATH."""
        program = self.command("")[0]
        if self._programs.find(program, self.environment("")) is None:
            raise DependencyMissingError(
                f"The program {program!r} of agent {self.agent} is not on PATH; install it, "
                "or give the agent another command in .metawsm/policy.json.",
                details={"agent": self.agent, "program": program},
            )

    def working_directory(self) -> str:
        """Return the workspace, or the worktree itself when there is only one."""
        repos = self.workspace.repos
        return repos[0].path if len(repos) == 1 else self.workspace.path


class Launcher:
    """Starts the agents of one run."""

    def __init__(self, world: World, run: Run, policy: Mapping[str, Any], lease: Lease) -> None:
        self._world = world
        self._run = run
        self._policy = policy
        self._lease = lease

    def launch(self, agent: Agent, workspace: Workspace, ticket: Ticket) -> None:
        """Start an agent that is owed a launch; if its launch was begun and runs, only record that.

        Raises `HostError` when tmux refuses, `DependencyMissingError` without its program.
        """
        context = LaunchContext(
            self._world, self._policy, run_id=self._run.run_id, agent=agent.name, workspace=workspace
        )
        context.check_program()
        if starts.is_begun(agent) and self._runs_already(agent, context):
            return
        # The old process must be gone before a new one starts.
        stopping.end_sessions(self._world, (agent,), self._lease)
        folders = self._world.machine.folders()
        if starts.is_begun(agent):
            folders.discard_launch(context.paths, agent.launch or "")
        launch = self._world.token()
        resume, conversation = _to_go_on_with(agent, context)
        if not resume:
            conversation = context.begun_by(launch)
        with self._world.store.transaction(self._lease) as transaction:
            starts.begin(transaction, agent, launch, conversation)
        write_brief(context, launch, ticket)
        pid = self._world.machine.terminals(self._policy).start(
            Launch(
                run_id=self._run.run_id,
                ticket=agent.ticket,
                agent=agent.name,
                launch=launch,
                session=agent.session,
                argv=context.command(
                    launch,
                    resume=resume,
                    session_id=conversation.id if conversation else None,
                    feedback=self._fresh_feedback(agent),
                ),
                cwd=context.working_directory(),
                environment=context.environment(launch),
                directory=folders.launch_directory(context.paths, launch),
                transcript=agent.transcript,
                transcript_max_bytes=TranscriptLimits.of(self._policy).max_bytes,
                runner=context.profile.runner,
            )
        )
        try:
            self._note(agent, launch, pid)
        except LostLeaseError:
            self._take_back(agent, launch, pid)
            raise

    def _fresh_feedback(self, agent: Agent) -> str | None:
        if agent.due != "iterate":
            return None
        return feedback_for(self._world, agent.run_id, agent.ticket, agent.name)[-1]

    def _runs_already(self, agent: Agent, context: LaunchContext) -> bool:
        """Record the start of a launch whose driver died before it could record it."""
        launch = agent.launch or ""
        terminals = self._world.machine.terminals(self._policy)
        for pane in terminals.panes():
            if pane.launch == launch:
                self._note(agent, launch, pane.pid)
                return True
        directory = self._world.machine.folders().launch_directory(context.paths, launch)
        if terminals.exit_record(directory) is None:
            return False
        # It has already ended; the next sweep records how.
        self._note(agent, launch, None)
        return True

    def _note(self, agent: Agent, launch: str, pid: int | None) -> None:
        with self._world.store.transaction(self._lease) as transaction:
            now = transaction.agent(agent.run_id, agent.ticket, agent.name)
            if starts.is_begun(now):
                starts.start(transaction, now, pid, timestamp(self._world.clock()))
            elif now.launch == launch:  # it has already signalled, which records the start as well
                transaction.set_agent(agent.run_id, agent.ticket, agent.name, pid=pid)

    def _take_back(self, agent: Agent, launch: str, pid: int) -> None:
        """End a session that was started after the run had been taken over, unless the new driver has adopted it."""
        for now in self._world.store.agents(agent.run_id):
            if (now.ticket, now.name) == (agent.ticket, agent.name) and (
                now.launch != launch or starts.is_begun(now) or now.status not in LIVE
            ):
                self._world.machine.terminals(self._policy).end(agent.session, launch, pid, 0)


def _to_go_on_with(agent: Agent, context: LaunchContext) -> tuple[bool, Conversation | None]:
    """Return whether an agent continues its earlier work, and the conversation if it has to be named."""
    template = context.profile.resume_command
    if agent.status == "pending" or template is None:
        return False, None
    if not mentions(template, "session_id"):
        return True, None
    conversation = to_go_on_with(agent, chosen=mentions(context.profile.command, "session_id"))
    return conversation is not None, conversation


def rewrite_brief(world: World, agent: Agent) -> None:
    """Rewrite the brief of a live agent, so that it can read it again."""
    policy = world.store.policy(agent.run_id)
    (workspace,) = (one for one in made_of(world, agent.run_id) if one.ticket == agent.ticket)
    context = LaunchContext(world, policy, run_id=agent.run_id, agent=agent.name, workspace=workspace)
    write_brief(context, agent.launch or "", world.machine.tickets(policy).find(agent.ticket))


def feedback_for(world: World, run_id: str, ticket: str, name: str) -> tuple[str, ...]:
    """Return all feedback that an agent was given by `iterate`, oldest first: the brief contains all of it."""
    return tuple(
        event.message or ""
        for event in world.store.events(run_id=run_id)
        if event.type == "feedback" and event.entity_id == f"{ticket}/{name}"
    )


def write_brief(context: LaunchContext, launch: str, ticket: Ticket) -> None:
    """Write an agent's brief, and create the folders of its launch."""
    text = context.world.machine.tickets(context.policy).text(ticket)
    feedback = feedback_for(context.world, context.run_id, context.ticket, context.agent)
    context.world.machine.folders().prepare(context.paths, launch, brief(context, ticket, text, feedback))


def brief(context: LaunchContext, ticket: Ticket, text: str, feedback: tuple[str, ...] = ()) -> str:
    """Return the brief as Markdown: what to do, and how to report progress."""
    signal = "$METAWSM_BIN signal"
    repos = "\n".join(
        f"- `{repo.name}` at `{repo.path}` (branch `{repo.branch}`, from `{repo.base}`)"
        for repo in context.workspace.repos
    )
    told = "".join(f"\n## Feedback {number}\n\n{text.strip()}\n" for number, text in enumerate(feedback, start=1))
    skills = "".join(f"\n- {skill}" for skill in context.profile.skills)
    return f"""# {ticket.ticket}: {ticket.title}

You are the agent `{context.agent}` of run `{context.run_id}`.

## The ticket

{text.strip() or "Its title says all."}

Its folder, with what else there is to read: `{ticket.directory}`

## Repositories

Work only in these worktrees, and commit there. Do not merge, push or change branches: that happens
when the run is closed.

{repos}
{told}
## Done when

The ticket is fulfilled, the repositories' own tests pass, and everything is committed in every
repository.{chr(10) + chr(10) + "Skills to use:" + skills if skills else ""}

## How to say how it goes

    {signal} progress "what has been achieved"
    {signal} waiting "what for"
    {signal} working
    {signal} guidance "a question" --choice "one answer" --choice "another" --wait
    {signal} done "what was done"
    {signal} failed "why it cannot be done"

Say `progress` at every step worth telling, and end with `done` or `failed`.
"""
