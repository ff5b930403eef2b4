"""Removes what a run has made; no work is removed without a snapshot."""

from collections.abc import Iterable
from typing import NamedTuple

from metawsm_rpc.domain.models import Repo, Run
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import HostError
from metawsm_rpc.ports.store import Lease
from metawsm_rpc.ports.worktrees import Removal, Worktrees


class Snapshot(NamedTuple):
    """A ref that preserves the contents of a removed worktree."""

    repo: str
    ref: str
    commit: str


class Kept(NamedTuple):
    """A folder that was left where it is."""

    path: str
    reason: str


class Tidied(NamedTuple):
    """What was removed, what was kept, and the snapshots."""

    removed: tuple[str, ...]
    kept: tuple[Kept, ...]
    snapshots: tuple[Snapshot, ...]


def tidy(world: World, run: Run, lease: Lease) -> Tidied:
    """Remove the worktrees of a run and forget its workspaces; repeatable."""
    worktrees = world.machine.worktrees(world.store.policy(run.run_id))
    folders = world.machine.folders()
    removed: list[str] = []
    kept: list[Kept] = []
    snapshots: list[Snapshot] = []
    for workspace in world.store.workspaces(run.run_id):
        if run.strategy == "reuse":
            kept.append(Kept(workspace.path, "the run only borrowed this workspace"))
            continue
        whole = True
        for repo in workspace.repos:
            prefix = f"refs/metawsm/snapshots/{run.run_id}/{workspace.name}/{repo.name}"
            if folders.occupied(repo.path):
                removal = _remove(worktrees, repo, prefix)
                if removal.removed:
                    removed.append(repo.path)
                else:
                    whole = False
                    kept.append(Kept(repo.path, removal.reason or "it could not be removed"))
            snapshots += _record(world, run, lease, repo, _kept_below(worktrees, repo, prefix))
        if whole:
            world.machine.registry().forget(workspace.name)  # and the files that it has written there
            folders.remove_empty(workspace.path)
    return Tidied(tuple(removed), tuple(kept), tuple(snapshots))


def spare(world: World, run: Run) -> Tidied:
    """Keep the worktrees of a run, and report that."""
    folders = world.machine.folders()
    kept = tuple(
        Kept(repo.path, "it was to be kept")
        for workspace in world.store.workspaces(run.run_id)
        for repo in workspace.repos
        if folders.occupied(repo.path)
    )
    return Tidied((), kept, ())


def _remove(worktrees: Worktrees, repo: Repo, prefix: str) -> Removal:
    try:
        return worktrees.remove(repo, prefix, repo.copied)
    except HostError as error:
        return Removal(repo.path, removed=False, reason=error.message, snapshots=())


def _kept_below(worktrees: Worktrees, repo: Repo, prefix: str) -> tuple[tuple[str, str], ...]:
    try:
        return worktrees.snapshots(repo.source, prefix)
    except HostError:  # its repository is gone, and so are the snapshots
        return ()


def _record(world: World, run: Run, lease: Lease, repo: Repo, kept: Iterable[tuple[str, str]]) -> tuple[Snapshot, ...]:
    """Record snapshots that no event names: they may come from an interrupted removal."""
    told = {event.message for event in world.store.events(run_id=run.run_id) if event.type == "snapshot"}
    fresh = tuple(Snapshot(repo.name, ref, commit) for ref, commit in kept if ref not in told)
    if fresh:
        with world.store.transaction(lease) as transaction:
            for snapshot in fresh:
                transaction.record(
                    run.run_id, "workspace", snapshot.repo, "snapshot", message=snapshot.ref, data=snapshot._asdict()
                )
    return fresh
