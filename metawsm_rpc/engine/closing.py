"""Close: merge all repositories of a run, or none.

Gates, rehearsal, then two phases with git's own ref transactions, with a journal in the store: before
the decision recovery undoes, after it recovery finishes. docs/architecture.md tells the whole story.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from metawsm_rpc.domain.models import Blocked, Merge, Run
from metawsm_rpc.engine import stopping
from metawsm_rpc.engine.tidying import Tidied, tidy
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import BaseMovedError, CloseBlockedError, HostError, MetawsmError, RefusedMoveError
from metawsm_rpc.policy.view import CloseRules
from metawsm_rpc.ports import MergeRequest, Merging, RefMove, Rehearsed
from metawsm_rpc.ports.store import CloseJournal, Lease

_TRIES = 3
"""How often a close is rehearsed again because a base moved meanwhile."""


class Closing(NamedTuple):
    """What a close did, or in a dry run would do."""

    merges: tuple[Merge, ...]
    blocked: tuple[Blocked, ...]


class Closer:
    """Closes one run."""

    def __init__(self, world: World, run: Run) -> None:
        self._world = world
        self._run = run
        self._policy = world.store.policy(run.run_id)
        self._rules = CloseRules.of(self._policy)
        self._merging: Merging = world.machine.merging()
        self._pins = f"refs/metawsm/close/{run.run_id}"
        self._workspaces = world.store.workspaces(run.run_id)

    def rehearse(self) -> Closing:
        """Return what a close would do now; nothing but git objects is written."""
        rehearsal = self._rehearse(pin=False)
        return Closing(rehearsal.merges, rehearsal.blocked)

    def close(self, lease: Lease) -> Closing:
        """Close the run. Raises `CloseBlockedError`, with the run as it was, when something blocks.

        A close that was cut off is first undone or finished by its journal.
        """
        self.recover(lease)
        journal = self._world.store.close_journal(self._run.run_id)
        if journal is None:
            with self._world.store.transaction(lease) as transaction:
                transaction.move_run(self._run.run_id, "close")
            try:
                journal = self._merge(lease)
            except MetawsmError as error:
                self._back_out(lease, error.message)
                raise
        self._finish(lease, journal)
        return Closing(journal.merges, ())

    def recover(self, lease: Lease) -> None:
        """Undo a close that was cut off before its decision; bring one after it to `merged`."""
        journal = self._world.store.close_journal(self._run.run_id)
        if journal is None:
            if self._world.store.run(self._run.run_id).status == "closing":
                self._back_out(lease, "cut off before anything was prepared")
            return
        if journal.phase == "preparing":
            self._undo(journal.moves)
            self._back_out(lease, "cut off before the decision; nothing was merged")
        elif journal.phase == "decided":
            for move in journal.moves:
                self._merging.clear_stale_lock(move.source, move.base, move.new)
                self._merging.advance_checkouts(move, self._exempt())
                self._merging.move(move)
            self._journal(lease, journal._replace(phase="merged"))

    # --- gates and rehearsal ---

    def _rehearse(self, *, pin: bool) -> "_Rehearsal":
        blocked = [*self._gates()]
        if blocked:
            return _Rehearsal((), (), tuple(blocked))
        merges: list[Merge] = []
        moves: list[RefMove] = []
        for name, requests in self._by_base():
            result = self._merging.rehearse(requests, kind=self._rules.merge, pin_prefix=self._pins if pin else None)
            if not isinstance(result, Rehearsed):
                blocked.extend(result)
                continue
            merges.extend(Merge(name, ticket, result.base, *step) for ticket, *step in result.steps)  # type: ignore[arg-type]
            if result.old == result.new:
                continue
            checkouts = self._merging.checkouts(result.source, result.base)
            move = RefMove(name, result.source, result.base, result.old, result.new, checkouts)
            files = self._merging.in_the_way(move, self._exempt())
            if files:
                blocked.append(_in_the_way(move, requests[0].ticket, files))
            moves.append(move)
        return _Rehearsal(tuple(merges), tuple(moves), tuple(blocked))

    def _requests(self) -> Iterable[MergeRequest]:
        return (MergeRequest(workspace.ticket, repo) for workspace in self._workspaces for repo in workspace.repos)

    def _gates(self) -> Iterable[Blocked]:
        for request in self._requests():
            yield from self._merging.gates(request, require_clean=self._rules.require_clean_git, exempt=self._exempt())

    def _by_base(self) -> Iterable[tuple[str, Sequence[MergeRequest]]]:
        """Group by repository and base, in a fixed order: locks are always taken in the same one."""
        groups: dict[tuple[str, str], list[MergeRequest]] = {}
        for request in self._requests():
            groups.setdefault((request.repo.source, request.repo.base), []).append(request)
        for key in sorted(groups):
            yield groups[key][0].repo.name, groups[key]

    def _exempt(self) -> tuple[str, ...]:
        root = self._world.machine.root
        return (f"{root}/.metawsm", self._world.machine.tickets(self._policy).directory)

    # --- two phases ---

    def _merge(self, lease: Lease) -> CloseJournal:
        for _ in range(_TRIES):
            rehearsal = self._rehearse(pin=True)
            if rehearsal.blocked:
                raise _blocked(self._run, rehearsal.blocked)
            journal = CloseJournal("preparing", rehearsal.moves, rehearsal.merges)
            self._journal(lease, journal)
            try:
                self._prepare(rehearsal.moves)
                journal = journal._replace(phase="decided")
                self._journal(lease, journal)
            except BaseMovedError:
                self._undo(rehearsal.moves)
                continue
            except BaseException:
                # Not recorded means not decided.
                self._undo(rehearsal.moves)
                raise
            for number, move in enumerate(rehearsal.moves):
                try:
                    self._merging.commit(_key(number, move))
                except HostError:
                    self._merging.move(move)
            journal = journal._replace(phase="merged")
            self._journal(lease, journal)
            return journal
        raise _blocked(self._run, tuple(self._moved(move) for move in rehearsal.moves))

    def _prepare(self, moves: Sequence[RefMove]) -> None:
        """Lock every branch, then bring the checkouts along. Raises `BaseMovedError`, `CloseBlockedError`."""
        for number, move in enumerate(moves):
            with self._told(move):
                self._merging.prepare(_key(number, move), move)
        for move in moves:
            with self._told(move):
                self._merging.advance_checkouts(move, self._exempt())

    @contextmanager
    def _told(self, move: RefMove) -> Iterator[None]:
        """Report a refused move as what blocks the close; a base that moved is rehearsed again instead."""
        try:
            yield
        except BaseMovedError:
            raise
        except RefusedMoveError as error:
            tickets = ", ".join(self._run.tickets)
            blocked = Blocked(move.name, tickets, error.reason, error.message, error.files)
            raise _blocked(self._run, (blocked,)) from error

    def _undo(self, moves: Sequence[RefMove]) -> None:
        """Take everything back; whatever fails on the way, every branch is let go of."""
        try:
            for move in moves:
                self._merging.restore_checkouts(move)
        finally:
            for number, move in enumerate(moves):
                self._merging.abort(_key(number, move))
                self._merging.clear_stale_lock(move.source, move.base, move.new)

    def _moved(self, move: RefMove) -> Blocked:
        return Blocked(
            move.name,
            ", ".join(self._run.tickets),
            "base_moved",
            f"{move.base} of {move.name} kept moving while the run was being closed; close again when it is quiet.",
        )

    def _journal(self, lease: Lease, journal: CloseJournal) -> None:
        with self._world.store.transaction(lease) as transaction:
            transaction.set_close(self._run.run_id, journal)

    def _back_out(self, lease: Lease, why: str) -> None:
        for source in {repo.source for workspace in self._workspaces for repo in workspace.repos}:
            self._merging.unpin(source, self._pins)
        with self._world.store.transaction(lease) as transaction:
            transaction.set_close(self._run.run_id, None)
            transaction.move_run(self._run.run_id, "block_close", message=why)

    # --- after the merge ---

    def _finish(self, lease: Lease, journal: CloseJournal) -> None:
        """Close tickets, end sessions, remove worktrees, push; each can be done again after a crash."""
        run_id = self._run.run_id
        tickets = self._world.machine.tickets(self._policy)
        for ticket in self._run.tickets:
            try:
                tickets.close(ticket, changelog=self._changelog(ticket, journal))
            except MetawsmError as error:
                # The work is merged; a ticket that went missing must not keep the run from being closed.
                self._note(lease, "ticket_not_closed", error.message)
        stopping.end_sessions(self._world, self._world.store.agents(run_id), lease)
        tidied = tidy(self._world, self._run, lease)
        self._after_merge(lease, journal, tidied)
        with self._world.store.transaction(lease) as transaction:
            for path, reason in tidied.kept:
                transaction.record(run_id, "workspace", path, "kept", message=reason)
            transaction.move_run(run_id, "closed")
            transaction.set_close(run_id, None)
            transaction.set_error(run_id, None)

    def _after_merge(self, lease: Lease, journal: CloseJournal, tidied: Tidied) -> None:
        worktrees = self._world.machine.worktrees(self._policy)
        gone = set(tidied.removed)
        for workspace in self._workspaces:
            for repo in workspace.repos:
                if self._rules.delete_branches and repo.path in gone:
                    worktrees.delete_branch(repo.source, repo.branch, repo.base)
        for source in sorted({move.source for move in journal.moves}):
            self._merging.unpin(source, self._pins)
        if self._rules.push:
            for move in journal.moves:
                try:
                    worktrees.push(move.source, move.base)
                except HostError as error:
                    # Last, and the merge stands without it: told, and left to the person.
                    self._note(lease, "push_failed", f"{move.name}: {error.message}")

    def _note(self, lease: Lease, what: str, message: str) -> None:
        with self._world.store.transaction(lease) as transaction:
            transaction.record(self._run.run_id, "merge", self._run.run_id, what, message=message)

    def _changelog(self, ticket: str, journal: CloseJournal) -> str:
        lines = [
            f"- {merge.repo}: {merge.kind} into {merge.base} ({merge.to[:10]})"
            for merge in journal.merges
            if merge.ticket == ticket
        ]
        return "\n".join([f"Closed by metawsm, run {self._run.run_id}.", "", *lines])


class _Rehearsal(NamedTuple):
    merges: tuple[Merge, ...]
    moves: tuple[RefMove, ...]
    blocked: tuple[Blocked, ...]


def _key(number: int, move: RefMove) -> str:
    return f"{number}:{move.source}:{move.base}"


def _in_the_way(move: RefMove, ticket: str, files: tuple[str, ...]) -> Blocked:
    return Blocked(
        move.name,
        ticket,
        "in_the_way",
        f"The checkout of {move.base} in {move.name} has files that the merge would overwrite; "
        "commit, move or remove them.",
        files,
    )


def _blocked(run: Run, blocked: tuple[Blocked, ...]) -> CloseBlockedError:
    first = blocked[0]
    more = f" (and {len(blocked) - 1} more)" if len(blocked) > 1 else ""
    return CloseBlockedError(
        f"Run {run.run_id} cannot be closed: {first.message}{more}",
        hint=f"Nothing was merged. `metawsm close {run.run_id} --dry-run` lists all of it; "
        f"`metawsm sync {run.run_id}` brings the bases into the workspaces.",
        details=blocked,
    )
