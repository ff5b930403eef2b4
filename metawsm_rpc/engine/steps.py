"""What each kind of step does. Every effect looks first, acts, and can be done again."""

from collections.abc import Callable, Mapping
from typing import Any

from metawsm_rpc.domain.models import Repo, Run, Step, Workspace
from metawsm_rpc.engine.launching import Launcher
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import HostError, StepFailedError
from metawsm_rpc.policy.view import WorkspaceOptions
from metawsm_rpc.ports import SetupCommand, Ticket, Worktrees, WorktreeSpec
from metawsm_rpc.ports.store import Lease


class StepActions:
    """The steps of one run, carried out with the driver's lease."""

    def __init__(self, world: World, run: Run, policy: Mapping[str, Any], worktrees: Worktrees, lease: Lease) -> None:
        self._world = world
        self._run = run
        self._policy = policy
        self._options = WorkspaceOptions.of(policy)
        self._worktrees = worktrees
        self._lease = lease
        self._tickets: dict[str, Ticket] = {}
        self._launcher = Launcher(world, run, policy, lease)
        self._by_kind: dict[str, Callable[[Step, Workspace], None]] = {
            "verify_ticket": self._verify_ticket,
            "create_workspace": self._create_workspace,
            "prepare_workspace": self._prepare_workspace,
            "start_agent": self._start_agent,
        }

    def perform(self, step: Step) -> None:
        """Carry out a step. Raises `MetawsmError` when it cannot be done."""
        self._by_kind[step.kind](step, self.workspace(step.ticket))

    def relaunch(self, ticket: str, agent_name: str) -> None:
        """Start an agent again that is owed a launch; a worktree that went missing comes back first."""
        workspace = self.workspace(ticket)
        self._ensure_worktrees(workspace)
        self._launch(workspace, agent_name)

    def roll_back(self, workspace: Workspace) -> None:
        """Take back the worktrees of a workspace that could not be made whole; work is kept."""
        if self._run.strategy == "reuse":
            return
        for repo in workspace.repos:
            if repo.head is None:
                continue
            removal = self._worktrees.roll_back(repo.path, repo.source, repo.branch, repo.base_commit or "")
            self._tell(workspace, "rolled_back" if removal.removed else "kept", f"{repo.path}: {removal.reason or ''}")
            if removal.removed:
                self._keep(workspace.ticket, repo._replace(head=None))

    def workspace(self, ticket: str) -> Workspace:
        """Return the workspace of a ticket as it is known now."""
        for workspace in self._world.store.workspaces(self._run.run_id):
            if workspace.ticket == ticket:
                return workspace
        raise HostError(f"Run {self._run.run_id} has no workspace for {ticket}.")

    def _ticket(self, ticket: str) -> Ticket:
        if ticket not in self._tickets:
            self._tickets[ticket] = self._world.machine.tickets(self._policy).find(ticket)
        return self._tickets[ticket]

    def _verify_ticket(self, step: Step, _workspace: Workspace) -> None:
        self._ticket(step.ticket)

    def _create_workspace(self, step: Step, workspace: Workspace) -> None:
        (repo,) = (repo for repo in workspace.repos if repo.name == step.repo)
        if self._run.strategy == "create" and self._options.fetch and repo.head is None:
            self._worktrees.fetch(repo.source, repo.base)
            repo = repo._replace(base_commit=self._worktrees.commit_of(repo.source, repo.base))
        self._ensure_worktree(workspace.ticket, repo)

    def _ensure_worktrees(self, workspace: Workspace) -> None:
        for repo in workspace.repos:
            if not self._world.machine.folders().occupied(repo.path):
                self._ensure_worktree(workspace.ticket, repo)

    def _ensure_worktree(self, ticket: str, repo: Repo) -> None:
        if self._run.strategy == "reuse" and not self._world.machine.folders().occupied(repo.path):
            raise StepFailedError(f"The worktree {repo.path} of the reused workspace is gone.")
        made = self._worktrees.add(WorktreeSpec(repo.source, repo.path, repo.branch, repo.base_commit or repo.base))
        # A branch that was there already keeps the base that was planned.
        self._keep(ticket, repo._replace(head=made.head, dirty_files=0, ahead=0, behind=0))

    def _keep(self, ticket: str, repo: Repo) -> None:
        """Replace one repository of a workspace; its siblings may be written at the same time."""
        with self._world.store.transaction(self._lease) as transaction:
            transaction.set_repo(self._run.run_id, ticket, repo)

    def _prepare_workspace(self, step: Step, workspace: Workspace) -> None:
        if step.command is not None:
            self._set_up(step, workspace)
            return
        # A sibling's failure may have rolled back what had been created.
        self._ensure_worktrees(workspace)
        for repo in workspace.repos:
            copied = self._worktrees.copy_files(repo.source, repo.path, self._options.copy)
            if copied:
                self._keep(workspace.ticket, repo._replace(copied=tuple(sorted({*repo.copied, *copied}))))
        if self._run.strategy != "reuse":
            self._world.machine.registry().record(self.workspace(step.ticket), workspace.repos[0].base)

    def _set_up(self, step: Step, workspace: Workspace) -> None:
        (repo,) = (repo for repo in workspace.repos if repo.name == step.repo)
        command = (step.command or ())[-1]
        setup = next(setup for setup in self._options.setup if setup.run == command)
        environment = {
            **self._world.machine.programs(self._policy).environment(),
            "METAWSM_RUN_ID": self._run.run_id,
            "METAWSM_TICKET": step.ticket,
            "METAWSM_WORKSPACE": workspace.path,
        }
        self._worktrees.set_up(repo.path, SetupCommand(*setup), environment)

    def _start_agent(self, step: Step, workspace: Workspace) -> None:
        self._launch(workspace, step.agent or "")

    def _launch(self, workspace: Workspace, name: str) -> None:
        for agent in self._world.store.agents(self._run.run_id):
            if (agent.ticket, agent.name) == (workspace.ticket, name):
                self._launcher.launch(
                    agent, workspace, self._ticket(workspace.ticket), feedback=self._feedback(workspace.ticket, name)
                )

    def _feedback(self, ticket: str, name: str) -> tuple[str, ...]:
        """Return what `iterate` has told this agent, oldest first: the brief keeps all of it."""
        return tuple(
            event.message or ""
            for event in self._world.store.events(run_id=self._run.run_id)
            if event.type == "feedback" and event.entity_id == f"{ticket}/{name}"
        )

    def _tell(self, workspace: Workspace, what: str, message: str) -> None:
        with self._world.store.transaction(self._lease) as transaction:
            transaction.record(self._run.run_id, "workspace", workspace.name, what, message=message)
