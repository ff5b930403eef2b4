"""What each kind of step does. Every effect checks first, acts, and is repeatable."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from metawsm_rpc.domain.models import LIVE, Agent, Repo, Run, Step, Workspace
from metawsm_rpc.engine import stopping
from metawsm_rpc.engine.launching import Launcher
from metawsm_rpc.engine.workspaces import made_of
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import HostError, InterruptedStepError, LostLeaseError, MetawsmError, StepFailedError
from metawsm_rpc.policy.view import WorkspaceOptions
from metawsm_rpc.ports.store import Lease
from metawsm_rpc.ports.tickets import Ticket
from metawsm_rpc.ports.worktrees import SetupCommand, Worktrees, WorktreeSpec


class StepActions:
    """Executes the steps of one run, with the driver's lease."""

    def __init__(self, world: World, run: Run, policy: Mapping[str, Any], worktrees: Worktrees, lease: Lease) -> None:
        self._world = world
        self._run = run
        self._policy = policy
        self._options = WorkspaceOptions.of(policy)
        self._worktrees = worktrees
        self._lease = lease
        self._tickets: dict[str, Ticket] = {}
        self._restoring: dict[str, threading.Lock] = {}
        self._launcher = Launcher(world, run, policy, lease)
        self._by_kind: dict[str, Callable[[Step, Workspace], None]] = {
            "verify_ticket": self._verify_ticket,
            "create_workspace": self._create_workspace,
            "prepare_workspace": self._prepare_workspace,
            "start_agent": self._start_agent,
        }

    def perform(self, step: Step) -> None:
        """Execute a step. Raises `MetawsmError` when it fails."""
        self._by_kind[step.kind](step, self.workspace(step.ticket))

    def relaunch(self, ticket: str, agent_name: str) -> None:
        """Start an agent that is owed a launch; if it is live, stop it first."""
        agent = self._agent(ticket, agent_name)
        if agent.status in LIVE or agent.status == "stopping":
            stopping.stop_agents(self._world, (agent,), self._lease)
        self._launch(self._agent(ticket, agent_name))

    def restore(self, workspace: Workspace, only: str | None = None) -> None:
        """Recreate worktrees that have gone missing, with all work that was committed in them.

        With `only`, just that of this repository.
        """
        steps = [step for step in self._world.store.steps(self._run.run_id) if step.ticket == workspace.ticket]
        done = [step for step in steps if step.status == "done"]
        for repo in workspace.repos:
            made = any(step.kind == "create_workspace" and step.repo == repo.name for step in done)
            if not made or only not in (None, repo.name):
                continue
            # A retried step and an agent's launch may find it missing at the same time.
            with self._restoring.setdefault(repo.path, threading.Lock()):
                if not self._world.machine.folders().occupied(repo.path):
                    self._restore(workspace, repo, [step for step in done if step.kind == "prepare_workspace"])

    def _restore(self, workspace: Workspace, repo: Repo, prepared: Sequence[Step]) -> None:
        self._ensure_worktree(workspace.ticket, repo)
        self.tell(workspace, "restored", repo.path)
        if any(step.command is None for step in prepared):
            self._copy(workspace.ticket, repo.name)
        for step in prepared:
            if step.command is not None and step.repo == repo.name:
                self._set_up_again(step, workspace)

    def roll_back(self, workspace: Workspace) -> None:
        """Roll back a workspace that could not be completed; worktrees with work in them are kept and reported."""
        if self._run.strategy == "reuse":
            return
        for repo in workspace.repos:
            try:
                removal = self._worktrees.roll_back(repo.path, repo.source, repo.branch, repo.base_commit or "")
            except InterruptedStepError:
                return
            except MetawsmError as error:
                self.tell(workspace, "kept", f"{repo.path}: {error.message}")
                continue
            if not removal.removed:
                self.tell(workspace, "kept", f"{repo.path}: {removal.reason}")
            elif repo.head is not None:
                self.tell(workspace, "rolled_back", repo.path)
                self._keep(workspace.ticket, repo._replace(head=None))
        self._world.machine.folders().remove_empty(workspace.path)

    def workspace(self, ticket: str) -> Workspace:
        """Return the stored workspace of a ticket, without repositories that were skipped."""
        for workspace in made_of(self._world, self._run.run_id):
            if workspace.ticket == ticket:
                return workspace
        raise HostError(f"Run {self._run.run_id} has no workspace for {ticket}.")

    def tell(self, workspace: Workspace, what: str, message: str) -> None:
        """Record an event about a workspace."""
        with self._world.store.transaction(self._lease) as transaction:
            transaction.record(self._run.run_id, "workspace", workspace.name, what, message=message)

    def _agent(self, ticket: str, name: str) -> Agent:
        (found,) = (a for a in self._world.store.agents(self._run.run_id) if (a.ticket, a.name) == (ticket, name))
        return found

    def _ticket(self, ticket: str) -> Ticket:
        if ticket not in self._tickets:
            self._tickets[ticket] = self._world.machine.tickets(self._policy).find(ticket)
        return self._tickets[ticket]

    def _verify_ticket(self, step: Step, _workspace: Workspace) -> None:
        self._ticket(step.ticket)

    # --- worktrees ---

    def _create_workspace(self, step: Step, workspace: Workspace) -> None:
        (repo,) = (repo for repo in workspace.repos if repo.name == step.repo)
        if self._run.strategy == "create" and self._options.fetch and repo.head is None:
            start = self._worktrees.fetch(repo.source, repo.base)
            repo = repo._replace(base_commit=start or repo.base_commit)
        self._ensure_worktree(workspace.ticket, repo)

    def _ensure_worktree(self, ticket: str, repo: Repo) -> None:
        if self._run.strategy == "reuse" and not self._world.machine.folders().occupied(repo.path):
            raise StepFailedError(f"The worktree {repo.path} of the reused workspace is gone.")
        made = self._worktrees.add(WorktreeSpec(repo.source, repo.path, repo.branch, repo.base_commit or repo.base))
        if made.branch_created:
            now = repo._replace(head=made.head, dirty_files=0, ahead=0, behind=0)
        else:
            # A branch that already existed keeps the planned base.
            now = self._worktrees.observe(repo)
        self._keep(ticket, now)

    def _keep(self, ticket: str, repo: Repo) -> None:
        """Replace one repository of a workspace, while others may be written at the same time."""
        with self._world.store.transaction(self._lease) as transaction:
            transaction.set_repo(self._run.run_id, ticket, repo)

    def _prepare_workspace(self, step: Step, workspace: Workspace) -> None:
        if step.command is not None:
            # Only for its own repository: the others are set up at the same time.
            self.restore(workspace, step.repo)
            self._set_up(step, workspace)
            return
        # A sibling's failure may have rolled back what had been created.
        self.restore(workspace)
        for repo in workspace.repos:
            self._copy(workspace.ticket, repo.name)
        if self._run.strategy != "reuse" and workspace.repos:
            self._world.machine.registry().record(self.workspace(step.ticket), workspace.repos[0].base)

    def _copy(self, ticket: str, name: str) -> None:
        (repo,) = (repo for repo in self.workspace(ticket).repos if repo.name == name)
        copied = self._worktrees.copy_files(repo.source, repo.path, self._options.copy)
        if copied:
            self._keep(ticket, repo._replace(copied=tuple(sorted({*repo.copied, *copied}))))

    def _set_up(self, step: Step, workspace: Workspace) -> None:
        path = next((repo.path for repo in workspace.repos if repo.name == step.repo), None)
        if path is None:
            return  # its worktree was skipped
        command = (step.command or ())[-1]
        setup = next(setup for setup in self._options.setup if setup.run == command)
        environment = {
            **self._world.machine.programs(self._policy).environment(),
            "METAWSM_RUN_ID": self._run.run_id,
            "METAWSM_TICKET": step.ticket,
            "METAWSM_WORKSPACE": workspace.path,
        }
        self._worktrees.set_up(path, SetupCommand(*setup), environment)

    def _set_up_again(self, step: Step, workspace: Workspace) -> None:
        try:
            self._set_up(step, workspace)
        except (InterruptedStepError, LostLeaseError):
            raise
        except MetawsmError as error:
            if step.blocking:
                raise
            self.tell(workspace, "set_up_failed", error.message)

    # --- agents ---

    def _start_agent(self, step: Step, _workspace: Workspace) -> None:
        agent = self._agent(step.ticket, step.agent or "")
        # The driver that recorded the start may have died before it finished the step.
        if agent.status == "pending":
            self._launch(agent)

    def _launch(self, agent: Agent) -> None:
        workspace = self.workspace(agent.ticket)
        self.restore(workspace)
        self._launcher.launch(agent, workspace, self._ticket(agent.ticket))
