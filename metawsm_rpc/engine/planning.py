"""Turns a request into a plan: reads tickets, repositories, branches and programs, changes nothing.

An invalid request raises at once. Problems that would make the run fail are collected, so that `plan` can show
all of them and `run` refuses before anything is created.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from metawsm_rpc.domain import names
from metawsm_rpc.domain.clock import timestamp
from metawsm_rpc.domain.models import Problem, Strategy, Workspace
from metawsm_rpc.domain.plan import (
    LaunchPaths,
    Plan,
    PlannedAgent,
    PlannedRepo,
    PlannedSetup,
    PlannedWorkspace,
    PlanRequest,
    compile_plan,
    lay_out,
    worktree_path,
)
from metawsm_rpc.engine.launching import LaunchContext
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import (
    AgentNotFoundError,
    AmbiguousError,
    DependencyMissingError,
    HostError,
    InvalidParamsError,
    MetawsmError,
    RepoNotFoundError,
    TicketNotFoundError,
)
from metawsm_rpc.policy.view import ExecutionLimits, TmuxOptions, WorkspaceOptions, agent_names, profile_of
from metawsm_rpc.ports.worktrees import Source, Worktrees


class RunRequest(NamedTuple):
    """A person's request; None leaves the choice to the policy or the machine."""

    tickets: tuple[str, ...]
    repos: tuple[str, ...] | None = None
    agents: tuple[str, ...] | None = None
    strategy: Strategy | None = None
    source: str | None = None
    base_branch: str | None = None
    run_id: str | None = None
    dry_run: bool = False


class Planned(NamedTuple):
    """A plan, None where none can be made, the policy to store with it, and what stands in its way."""

    plan: Plan | None
    policy: Mapping[str, Any]
    problems: tuple[MetawsmError, ...]


def as_problem(error: MetawsmError) -> Problem:
    """Return an error as a problem."""
    return Problem(code=error.kind, message=error.message, hint=error.hint)


class Planner:
    """Compiles requests with one policy."""

    def __init__(self, world: World, policy: Mapping[str, Any]) -> None:
        self._world = world
        self._policy = policy
        self._workspace = WorkspaceOptions.of(policy)
        self._worktrees: Worktrees = world.machine.worktrees(policy)
        self._folders = world.machine.folders()
        self._problems: list[MetawsmError] = []

    def plan(self, request: RunRequest) -> Planned:
        """Return the plan and every problem with it; where no plan can be made there is at least one.

        Raises `InvalidParamsError` for a request that makes no sense, whatever is there.
        """
        given = request.run_id
        run_id = names.run_id(self._world.random_bytes(8)) if given is None else names.check_run_id(given)
        strategy: Strategy = request.strategy or self._workspace.default_strategy
        self._check_form(request, strategy)
        try:
            plan = self._compile(request, strategy, run_id)
        except MetawsmError as error:
            self._problems.append(error)
            plan = None
        return Planned(plan, self._policy, tuple(self._problems))

    def _compile(self, request: RunRequest, strategy: Strategy, run_id: str) -> Plan | None:
        """Return the plan of what is there; raises for what nothing can be planned without."""
        now = self._world.clock()
        tickets = self._tickets(request)
        agents = self._agents(request)
        self._worktrees.version()
        self._check_terminals()
        workspaces = self._workspaces(request, strategy, tickets, run_id, now) if tickets else {}
        if not agents or not workspaces:
            return None
        laid_out = lay_out(run_id, workspaces)
        return compile_plan(
            PlanRequest(
                run_id=run_id,
                tickets=tickets,
                agents=agents,
                workspaces=workspaces,
                launches=self._launches(run_id, agents, laid_out),
                setup=tuple(PlannedSetup(command.run, command.on_failure) for command in self._workspace.setup),
                copy=self._workspace.copy,
                strategy=strategy,
                source=request.source,
                base_branch=request.base_branch or self._workspace.base_branch,
                dry_run=request.dry_run,
                attempts=1 + ExecutionLimits.of(self._policy).step_retries,
                at=timestamp(now),
            )
        )

    def _check_terminals(self) -> None:
        terminals = self._world.machine.terminals(self._policy)
        try:
            terminals.version()
            terminals.panes()  # its socket can be out of reach
        except (DependencyMissingError, HostError) as error:
            self._problems.append(error)

    def _launches(
        self, run_id: str, agents: tuple[PlannedAgent, ...], workspaces: tuple[Workspace, ...]
    ) -> dict[tuple[str, str], LaunchPaths]:
        pattern = TmuxOptions.of(self._policy).session_pattern
        wanted = {
            (workspace.ticket, agent.name): names.session_name(
                pattern, agent=agent.name, workspace=workspace.name, ticket=workspace.ticket, run=run_id
            )
            for workspace in workspaces
            for agent in agents
        }
        sessions = names.distinct({f"{ticket}/{agent}": name for (ticket, agent), name in wanted.items()})
        launches = {}
        for workspace in workspaces:
            for agent in agents:
                context = LaunchContext(self._world, self._policy, run_id=run_id, agent=agent.name, workspace=workspace)
                self._check_program(context)
                session = sessions[f"{workspace.ticket}/{agent.name}"]
                launches[workspace.ticket, agent.name] = LaunchPaths(
                    command=context.command("<launch>", session_id="<session>"),
                    session=session,
                    transcript=context.paths.transcript,
                    attach=self._world.machine.terminals(self._policy).attach_command(session),
                )
        return launches

    def _check_program(self, context: LaunchContext) -> None:
        try:
            context.check_program()
        except DependencyMissingError as error:
            if error.message not in {known.message for known in self._problems}:
                self._problems.append(error)

    # --- what was asked for ---

    def _check_form(self, request: RunRequest, strategy: str) -> None:
        if not request.tickets:
            raise InvalidParamsError("Name at least one ticket; `metawsm tickets` lists them.")
        for ticket in request.tickets:
            names.check_ticket(ticket)
        for agent in set(request.agents or ()).difference(agent_names(self._policy)):
            names.check_agent(agent)
        if strategy == "create" and request.source:
            raise InvalidParamsError("A source workspace goes with the strategies fork and reuse, not with create.")
        if strategy != "create" and not request.source:
            raise InvalidParamsError(f"The strategy {strategy} needs the name of a source workspace (--source).")
        if strategy == "reuse" and len(set(request.tickets)) > 1:
            raise InvalidParamsError("A workspace can be reused for one ticket at a time; run the tickets one by one.")
        if strategy != "create" and request.base_branch:
            raise InvalidParamsError(f"With {strategy} the base is the source workspace's; leave out the base branch.")

    def _tickets(self, request: RunRequest) -> tuple[str, ...]:
        tickets = self._world.machine.tickets(self._policy)
        found = []
        for ticket in dict.fromkeys(map(names.check_ticket, request.tickets)):
            try:
                found.append(tickets.find(ticket).ticket)
            except (TicketNotFoundError, AmbiguousError) as error:
                self._problems.append(error)
        return tuple(found)

    def _agents(self, request: RunRequest) -> tuple[PlannedAgent, ...]:
        profiles = [profile["name"] for profile in self._policy["agent_profiles"] if profile["command"]]
        wanted = request.agents or agent_names(self._policy)
        if not wanted:
            error = InvalidParamsError(
                "The policy names no agents; name one, or one of the profiles "
                f"({', '.join(profiles)}), or add agents to .metawsm/policy.json.",
                hint="`metawsm policy init` writes a policy to start from.",
            )
            self._problems.append(error)
        found = [name for name in dict.fromkeys(wanted) if self._knows(name, profiles)]
        return tuple(PlannedAgent(name, profile_of(self._policy, name).profile) for name in found)

    def _knows(self, name: str, profiles: list[str]) -> bool:
        """Let a profile's name stand for an agent of that profile, unless the agent has to bring a command."""
        if name in agent_names(self._policy):
            return True
        if name not in profiles:
            known = ", ".join(agent_names(self._policy)) or "none"
            error = AgentNotFoundError(
                f"There is no agent {name!r}; the policy has: {known}.",
                hint=f"The name of a profile with a command will also do: {', '.join(profiles)}.",
            )
            self._problems.append(error)
            return False
        added: dict[str, Any] = {"name": name, "profile": name, "command": None, "env": {}}
        self._policy = {**self._policy, "agents": [*self._policy["agents"], added]}
        return True

    # --- workspaces ---

    def _workspaces(
        self, request: RunRequest, strategy: Strategy, tickets: tuple[str, ...], run_id: str, now: float
    ) -> dict[str, PlannedWorkspace]:
        if strategy == "reuse":
            return {tickets[0]: self._reused(request)}
        repos = self._forked_repos(request) if strategy == "fork" else self._base_repos(request)
        planned: dict[str, PlannedWorkspace] = {}
        if not repos:
            return planned
        for ticket, name in names.workspace_names(tickets, run_id).items():
            path = self._folders.workspace_path(self._workspace.directory, name, now)
            branch = f"{self._workspace.branch_prefix}/{name}"
            self._check_place(path, name)
            free = tuple(self._with_branch(repo, branch) for repo in repos)
            planned[ticket] = PlannedWorkspace(name=name, path=path, branch=branch, repos=free, exists=False)
        return planned

    def _base_repos(self, request: RunRequest) -> tuple[PlannedRepo, ...]:
        found = []
        for source in self._sources(request.repos):
            try:
                found.append(self._based(source, request.base_branch))
            except (InvalidParamsError, HostError) as error:
                self._problems.append(error)
        return tuple(found)

    def _sources(self, wanted: tuple[str, ...] | None) -> tuple[Source, ...]:
        found = {source.name: source for source in self._worktrees.sources()}
        listed = ", ".join(found) or "none"
        if not wanted:
            return (self._only(tuple(found.values()), listed),)
        for name in wanted:
            if name not in found:
                why = self._worktrees.problem(name)
                error = why or RepoNotFoundError(f"There is no repository {name!r}; there are: {listed}.")
                self._problems.append(error)
        return tuple(found[name] for name in dict.fromkeys(wanted) if name in found)

    def _only(self, found: tuple[Source, ...], listed: str) -> Source:
        """Return the default repository when none is named.

        That is the root's own, else the only one; those of the wsm registry, which covers the whole machine,
        count only if the root has none.
        """
        root = self._world.machine.root
        own = [source for source in found if source.path == root]
        here = [
            source
            for source in found
            if source.name in self._policy["repositories"] or source.path.rpartition("/")[0] == root
        ]
        for candidates in (own, here, found):
            if len(candidates) == 1:
                return candidates[0]
        if not found:
            raise RepoNotFoundError(
                f"There is no git repository at {root} or directly below it; "
                "make one, or name repositories in .metawsm/policy.json."
            )
        raise InvalidParamsError(f"Say which repositories (--repos a,b); there are: {listed}.")

    def _based(self, source: Source, asked: str | None) -> PlannedRepo:
        if not source.has_commits:
            raise InvalidParamsError(f"The repository {source.name} has no commits yet; make a first commit in it.")
        wanted = self._workspace.base_branch if asked is None else asked
        if wanted in source.branches:
            base, note = wanted, None
        elif asked is None and source.default_branch in source.branches:
            base, note = source.default_branch, f"{source.name} has no branch {wanted}"
        else:
            raise InvalidParamsError(
                f"The repository {source.name} has no branch {wanted!r} to start from; "
                f"it has: {', '.join(source.branches[:10]) or 'none'}."
            )
        if self._workspace.fetch:
            note = f"{note}; fetched first" if note else "fetched first"
        return PlannedRepo(source.name, source.path, base, self._commit(source.path, base), note)

    def _commit(self, source: str, revision: str) -> str:
        commit = self._worktrees.commit_of(source, revision)
        if commit is None:
            raise HostError(f"{revision} of {source} does not name a commit; `git -C {source} fsck` may tell why.")
        return commit

    def _check_place(self, path: str, name: str) -> None:
        stored = self._world.machine.registry().workspace(name)
        if stored is not None and stored["path"] != path:
            self._problems.append(
                InvalidParamsError(f"Another workspace is called {name}, at {stored['path']}; choose another run id.")
            )
        if self._folders.occupied(path):
            self._problems.append(
                InvalidParamsError(
                    f"The folder {path} exists already; move it away, choose another run id, or take the "
                    f"strategy reuse with --source {name}."
                )
            )

    def _with_branch(self, repo: PlannedRepo, branch: str) -> PlannedRepo:
        """Return the repository with a note on a branch that already exists."""
        commits = self._worktrees.unmerged_commits(repo.source, branch, repo.base)
        if commits is None:
            return repo
        if commits:
            which = "a commit" if commits == 1 else f"{commits} commits"
            self._problems.append(
                InvalidParamsError(
                    f"The branch {branch} exists already in {repo.name}, with {which} that "
                    f"{repo.base} does not have; merge or rename it, or choose another run id."
                )
            )
        elif checkouts := self._world.machine.merging().checkouts(repo.source, branch):
            self._problems.append(
                InvalidParamsError(
                    f"The branch {branch} of {repo.name} is checked out at {checkouts[0]}; check another one out "
                    "there, or choose another run id."
                )
            )
        return repo._replace(note="; ".join(note for note in (repo.note, "the branch exists already") if note))

    # --- existing workspaces ---

    def _stored(self, request: RunRequest) -> Mapping[str, Any]:
        name = names.check_workspace(request.source or "")
        stored = self._world.machine.registry().workspace(name)
        if stored is None:
            raise InvalidParamsError(f"There is no workspace {name!r}; `metawsm status RUN` names those of a run.")
        return stored

    def _chosen(self, request: RunRequest, stored: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        repos = {repo["name"]: repo for repo in stored["repositories"]}
        for name in request.repos or ():
            if name not in repos:
                raise RepoNotFoundError(
                    f"The workspace {stored['name']} has no repository {name!r}; it has: {', '.join(repos)}."
                )
        return [repos[name] for name in request.repos or repos]

    def _forked_repos(self, request: RunRequest) -> tuple[PlannedRepo, ...]:
        """Return the source workspace's repositories, each based on the source's branch (as wsm does)."""
        stored = self._stored(request)
        branch = stored["branch"]
        return tuple(
            PlannedRepo(
                repo["name"],
                repo["path"],
                branch,
                self._commit(repo["path"], branch),
                f"the branch of workspace {stored['name']}",
            )
            for repo in self._chosen(request, stored)
        )

    def _reused(self, request: RunRequest) -> PlannedWorkspace:
        stored = self._stored(request)
        base = stored.get("base_branch") or self._workspace.base_branch
        repos = tuple(
            PlannedRepo(
                repo["name"],
                repo["path"],
                base,
                self._commit(repo["path"], stored["branch"]),
                f"reused from workspace {stored['name']}",
            )
            for repo in self._chosen(request, stored)
        )
        workspace = PlannedWorkspace(stored["name"], stored["path"], stored["branch"], repos, exists=True)
        for repo in repos:
            path = worktree_path(workspace, repo)
            if not self._folders.occupied(path):
                raise InvalidParamsError(f"The workspace {workspace.name} has no worktree at {path} any more.")
        return workspace
