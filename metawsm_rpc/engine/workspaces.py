"""The workspaces of a run: git facts, diffs, and bringing the bases in."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from metawsm_rpc.domain.clock import seconds
from metawsm_rpc.domain.models import Repo, Run, Workspace
from metawsm_rpc.engine.probing import note_progress, states_of
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import (
    HostError,
    IllegalTransitionError,
    InvalidParamsError,
    RepoNotFoundError,
    TicketNotFoundError,
)
from metawsm_rpc.ports.store import Lease
from metawsm_rpc.ports.worktrees import FileChange, RepoDiff, Worktrees

FRESH_SECONDS = 5.0
"""Git facts of this age are fresh enough for a look at many worktrees; unchanged facts are not rewritten."""

EXACT_LIMIT = 4
"""Up to this many worktrees are observed at every look, which takes about 20 ms."""

LOOK_LIMIT = 12
"""Beyond this many worktrees, a look shows what was last observed."""


Aside = Callable[[str, Callable[[], None]], None]
"""Runs something in the background, only once at a time for each name."""


class Diffed(NamedTuple):
    """The work in one worktree."""

    name: str
    ticket: str
    workspace: str
    path: str
    base: str
    head: str
    files: tuple[FileChange, ...]
    patch: str | None


class Synced(NamedTuple):
    """The result of bringing the base into one worktree."""

    name: str
    ticket: str
    result: Literal["up-to-date", "updated", "conflict"]
    files: tuple[str, ...]


def made_of(world: World, run_id: str) -> tuple[Workspace, ...]:
    """Return the workspaces of a run, without the repositories whose creation was skipped."""
    skipped = {
        (step.ticket, step.repo)
        for step in world.store.steps(run_id)
        if step.kind == "create_workspace" and step.status == "skipped"
    }
    return tuple(
        workspace._replace(
            repos=tuple(repo for repo in workspace.repos if (workspace.ticket, repo.name) not in skipped)
        )
        for workspace in world.store.workspaces(run_id)
    )


def refresh(world: World, run: Run, aside: Aside | None = None) -> None:
    """Observe the run's worktrees for a look, within the time that a look may take.

    With `aside`, which runs it in the background, a look at more than a few worktrees does not wait.
    """
    if run.status in ("paused", "closed"):
        return
    made = [workspace for workspace in world.store.workspaces(run.run_id) if workspace.observed_at]
    number = sum(len(workspace.repos) for workspace in made)
    if number > EXACT_LIMIT:
        made = [workspace for workspace in made if _age(world, workspace) > FRESH_SECONDS]
    if not made or number > LOOK_LIMIT:
        return
    if aside is not None and number > EXACT_LIMIT:
        aside(run.run_id, lambda: observe(world, run, made))
    else:
        observe(world, run, made)


def _age(world: World, workspace: Workspace) -> float:
    return world.clock() - seconds(workspace.observed_at) if workspace.observed_at else FRESH_SECONDS


def observe(world: World, run: Run, workspaces: Iterable[Workspace]) -> None:
    """Ask git about worktrees, in parallel, and store what has changed."""
    from concurrent.futures import ThreadPoolExecutor

    worktrees = world.machine.worktrees(world.store.policy(run.run_id))
    asked = [(workspace, repo) for workspace in workspaces for repo in workspace.repos]
    with ThreadPoolExecutor(4, "observe") as pool:
        seen = list(pool.map(lambda one: worktrees.observe(one[1]), asked))
    changed = [
        (workspace.ticket, now)
        for (workspace, before), now in zip(asked, seen, strict=True)
        if now != before or _age(world, workspace) > FRESH_SECONDS
    ]
    moved = _moved(worktrees, asked, seen)
    agents = world.store.agents(run.run_id) if moved else ()
    if changed:
        with world.store.transaction() as transaction:
            # The run's driver may have written to the same rows since they were read.
            stored = {(w.ticket, repo.name): repo for w in world.store.workspaces(run.run_id) for repo in w.repos}
            for ticket, repo in changed:
                facts = {field: getattr(repo, field) for field in ("head", "dirty_files", "ahead", "behind")}
                transaction.set_repo(run.run_id, ticket, stored[ticket, repo.name]._replace(**facts))
            for ticket, at in moved:
                note_progress(transaction, [agent for agent in agents if agent.ticket == ticket], at)


def _moved(
    worktrees: Worktrees, asked: Sequence[tuple[Workspace, Repo]], seen: Sequence[Repo]
) -> list[tuple[str, float]]:
    """Return the tickets whose work has changed since it was last observed, and when."""
    moved = []
    for (workspace, before), now in zip(asked, seen, strict=True):
        if before.head and now.head and (before.head, before.dirty_files) != (now.head, now.dirty_files):
            states = states_of(worktrees, workspace._replace(repos=(now,)))
            moved += [(workspace.ticket, state.moved_at) for state in states.values()]
    return moved


def selected(world: World, run: Run, *, ticket: str | None, repo: str | None) -> list[tuple[Workspace, Repo]]:
    """Return the worktrees of this ticket and repository; None matches all.

    Raises `TicketNotFoundError` or `RepoNotFoundError` for names that the run does not have.
    """
    if ticket is not None and ticket not in run.tickets:
        raise TicketNotFoundError(f"Run {run.run_id} has no ticket {ticket!r}; it has: {', '.join(run.tickets)}.")
    if repo is not None and repo not in run.repos:
        raise RepoNotFoundError(f"Run {run.run_id} has no repository {repo!r}; it has: {', '.join(run.repos)}.")
    return [
        (workspace, one)
        for workspace in made_of(world, run.run_id)
        for one in workspace.repos
        if ticket in (None, workspace.ticket) and repo in (None, one.name)
    ]


def diff(world: World, run: Run, *, ticket: str | None, repo: str | None, patch: bool) -> tuple[Diffed, ...]:
    """Return the committed and uncommitted work of a run's worktrees, except those that are gone."""
    from concurrent.futures import ThreadPoolExecutor

    worktrees = world.machine.worktrees(world.store.policy(run.run_id))
    folders = world.machine.folders()

    def one(of: tuple[Workspace, Repo]) -> Diffed:
        workspace, at = of
        found: RepoDiff = worktrees.diff(at, patch=patch)
        return Diffed(
            at.name, workspace.ticket, workspace.name, at.path, found.base, found.head, found.files, found.patch
        )

    there = [pair for pair in selected(world, run, ticket=ticket, repo=repo) if folders.occupied(pair[1].path)]
    with ThreadPoolExecutor(4, "diff") as pool:
        return tuple(pool.map(one, there))


def sync(
    world: World, run: Run, lease: Lease, *, ticket: str | None, strategy: Literal["merge", "rebase"]
) -> tuple[Synced, ...]:
    """Bring each base into the workspace's branch; conflicts are left in the worktree.

    Raises `InvalidParamsError` for an unknown strategy, `IllegalTransitionError` when the run is
    closed, `HostError` when a worktree is not clean.
    """
    if strategy not in ("merge", "rebase"):
        raise InvalidParamsError(f"A workspace is brought up to date by merge or rebase, not by {strategy!r}.")
    if run.status == "closed":
        raise IllegalTransitionError(f"Run {run.run_id} is closed, so there is nothing to bring up to date.")
    worktrees = world.machine.worktrees(world.store.policy(run.run_id))
    results = []
    for workspace, repo in selected(world, run, ticket=ticket, repo=None):
        if not world.machine.folders().occupied(repo.path):
            raise HostError(f"The worktree {repo.path} is gone; `metawsm resume {run.run_id}` brings it back.")
        outcome = worktrees.sync(repo, strategy)
        results.append(Synced(repo.name, workspace.ticket, outcome.result, outcome.files))
        with world.store.transaction(lease) as transaction:
            transaction.set_repo(run.run_id, workspace.ticket, worktrees.observe(repo))
            transaction.record(
                run.run_id,
                "workspace",
                workspace.name,
                "sync",
                message=f"{repo.name}: {outcome.result}",
                data={"files": list(outcome.files)},
            )
    return tuple(results)
