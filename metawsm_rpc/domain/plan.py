"""The plan compiler: tickets × repositories × agents become an explicit DAG of steps.

Pure: everything that depends on the machine (which branches exist, what the policy says, what day
it is) is passed in as plain data, so that a plan can be read, stored and tested before anything is executed.
"""

from typing import Literal, NamedTuple

from metawsm_rpc.domain.models import Agent, Repo, Run, Step, StepKind, Strategy, Workspace


class PlannedRepo(NamedTuple):
    """A repository of the run: `start` is the commit that its branch begins at.

    `note` says what a person should know, such as that a different base branch had to be used.
    """

    name: str
    source: str
    base: str
    start: str
    note: str | None = None


class PlannedAgent(NamedTuple):
    """An agent of the run and the profile that it is started with."""

    name: str
    profile: str


class PlannedWorkspace(NamedTuple):
    """The workspace of one ticket: where it is, and the repositories in it, with their folders."""

    name: str
    path: str
    branch: str
    repos: tuple[PlannedRepo, ...]
    exists: bool


class PlannedSetup(NamedTuple):
    """A setup command of the policy, for each worktree."""

    run: str
    on_failure: Literal["fail", "warn"]


class LaunchPaths(NamedTuple):
    """What the plan shows of one agent's start: its command line, session and transcript."""

    command: tuple[str, ...]
    session: str
    transcript: str
    attach: tuple[str, ...]


class PlanRequest(NamedTuple):
    """Everything that a plan is compiled from; mappings are keyed by ticket or `(ticket, agent)`."""

    run_id: str
    tickets: tuple[str, ...]
    agents: tuple[PlannedAgent, ...]
    workspaces: dict[str, PlannedWorkspace]
    launches: dict[tuple[str, str], LaunchPaths]
    setup: tuple[PlannedSetup, ...]
    copy: tuple[str, ...]
    strategy: Strategy
    source: str | None
    base_branch: str
    dry_run: bool
    attempts: int
    at: str


class Plan(NamedTuple):
    """A compiled plan, ready to be stored."""

    run: Run
    steps: tuple[Step, ...]
    agents: tuple[Agent, ...]
    workspaces: tuple[Workspace, ...]


class _Steps:
    """Collects steps and numbers them."""

    def __init__(self, request: PlanRequest) -> None:
        self._request = request
        self.all: list[Step] = []

    def add(
        self,
        kind: StepKind,
        name: str,
        *,
        ticket: str,
        after: tuple[int, ...],
        description: str,
        repo: str | None = None,
        agent: str | None = None,
        command: tuple[str, ...] | None = None,
        blocking: bool = True,
        attempts: int | None = None,
    ) -> int:
        index = len(self.all)
        self.all.append(
            Step(
                run_id=self._request.run_id,
                index=index,
                kind=kind,
                name=name,
                ticket=ticket,
                repo=repo,
                workspace=self._request.workspaces[ticket].name,
                agent=agent,
                depends_on=after,
                blocking=blocking,
                status="pending",
                attempts=0,
                attempt_limit=self._request.attempts if attempts is None else attempts,
                command=command,
                description=description,
                error=None,
                started_at=None,
                finished_at=None,
            )
        )
        return index


def compile_plan(request: PlanRequest) -> Plan:
    """Return the plan: per ticket verify, create per repository, prepare, set up, start each agent."""
    steps = _Steps(request)
    for ticket in request.tickets:
        _plan_ticket(steps, request, ticket)
    return Plan(
        run=_run(request),
        steps=tuple(steps.all),
        agents=tuple(_agent(request, ticket, agent) for ticket in request.tickets for agent in request.agents),
        workspaces=lay_out(request.run_id, request.workspaces),
    )


def _plan_ticket(steps: _Steps, request: PlanRequest, ticket: str) -> None:
    workspace = request.workspaces[ticket]
    # A ticket that is missing now will be missing at a second attempt, too.
    verified = steps.add(
        "verify_ticket",
        f"verify {ticket}",
        ticket=ticket,
        after=(),
        attempts=1,
        description=f"Check that ticket {ticket} exists and can be read",
    )
    created = tuple(
        steps.add(
            "create_workspace",
            f"create {workspace.name}/{repo.name}",
            ticket=ticket,
            repo=repo.name,
            after=(verified,),
            command=_worktree_command(workspace, repo),
            description=_creation(workspace, repo),
        )
        for repo in workspace.repos
    )
    registered = f"{'Use' if workspace.exists else 'Register'} the workspace {workspace.path}"
    copied = f", copy {', '.join(request.copy)} from each source" if request.copy else ""
    prepared = steps.add(
        "prepare_workspace",
        f"prepare {workspace.name}",
        ticket=ticket,
        after=created,
        description=f"{registered}{copied}",
    )
    ready = (prepared, *_plan_setup(steps, request, ticket, prepared))
    for agent in request.agents:
        others = ", ".join(other.name for other in request.agents if other != agent)
        shared = f"; it shares the files of the workspace with {others}" if others else ""
        launch = request.launches[ticket, agent.name]
        steps.add(
            "start_agent",
            f"start {agent.name} on {ticket}",
            ticket=ticket,
            agent=agent.name,
            after=ready,
            command=launch.command,
            description=f"Start {agent.name} ({agent.profile}) in the tmux session {launch.session}{shared}",
        )


def _plan_setup(steps: _Steps, request: PlanRequest, ticket: str, prepared: int) -> tuple[int, ...]:
    """Add the setup commands: in sequence within a worktree, in parallel across worktrees."""
    added = []
    for repo in request.workspaces[ticket].repos:
        before = prepared
        for setup in request.setup:
            before = steps.add(
                "prepare_workspace",
                f"set up {request.workspaces[ticket].name}/{repo.name}",
                ticket=ticket,
                repo=repo.name,
                after=(before,),
                command=("sh", "-c", setup.run),
                blocking=setup.on_failure == "fail",
                description=f"Run the policy's setup command in {repo.name}: {setup.run}",
            )
            added.append(before)
    return tuple(added)


def worktree_path(workspace: PlannedWorkspace, repo: PlannedRepo) -> str:
    """Return the folder of a repository's worktree, laid out as wsm does."""
    return f"{workspace.path}/{repo.name}"


def _worktree_command(workspace: PlannedWorkspace, repo: PlannedRepo) -> tuple[str, ...] | None:
    if workspace.exists:
        return None
    path = worktree_path(workspace, repo)
    return ("git", "-C", repo.source, "worktree", "add", "-b", workspace.branch, path, repo.start)


def _creation(workspace: PlannedWorkspace, repo: PlannedRepo) -> str:
    note = f" ({repo.note})" if repo.note else ""
    path = worktree_path(workspace, repo)
    if workspace.exists:
        return f"Use the worktree {path} as it is, on branch {workspace.branch}{note}"
    return f"Add a worktree of {repo.name} at {path}, branch {workspace.branch} from {repo.base}{note}"


def _run(request: PlanRequest) -> Run:
    repos = dict.fromkeys(repo.name for workspace in request.workspaces.values() for repo in workspace.repos)
    return Run(
        run_id=request.run_id,
        status="created",
        mode="run",
        tickets=request.tickets,
        repos=tuple(repos),
        agents=tuple(agent.name for agent in request.agents),
        strategy=request.strategy,
        source=request.source,
        base_branch=request.base_branch,
        dry_run=request.dry_run,
        created_at=request.at,
        updated_at=request.at,
        error=None,
    )


def _agent(request: PlanRequest, ticket: str, agent: PlannedAgent) -> Agent:
    launch = request.launches[ticket, agent.name]
    return Agent(
        run_id=request.run_id,
        ticket=ticket,
        name=agent.name,
        profile=agent.profile,
        workspace=request.workspaces[ticket].name,
        session=launch.session,
        status="pending",
        health=None,
        exit_code=None,
        restarts=0,
        launch=None,
        pid=None,
        due=None,
        said=None,
        said_at=None,
        said_by=None,
        said_what=None,
        automatic_restarts=0,
        conversation=None,
        conversation_launch=None,
        started_at=None,
        last_activity_at=None,
        last_progress_at=None,
        transcript=launch.transcript,
        attach=launch.attach,
    )


def lay_out(run_id: str, workspaces: dict[str, PlannedWorkspace]) -> tuple[Workspace, ...]:
    """Return the workspaces as they will be stored, keyed by ticket on the way in."""
    return tuple(_workspace(run_id, ticket, planned) for ticket, planned in workspaces.items())


def _workspace(run_id: str, ticket: str, planned: PlannedWorkspace) -> Workspace:
    return Workspace(
        run_id=run_id,
        ticket=ticket,
        name=planned.name,
        path=planned.path,
        branch=planned.branch,
        observed_at=None,
        repos=tuple(
            Repo(
                name=repo.name,
                path=worktree_path(planned, repo),
                source=repo.source,
                branch=planned.branch,
                base=repo.base,
                base_commit=repo.start,
                head=None,
                dirty_files=None,
                ahead=None,
                behind=None,
            )
            for repo in planned.repos
        ),
    )
