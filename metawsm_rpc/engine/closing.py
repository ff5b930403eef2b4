"""Close: merge all repositories of a run, or none.

Gates, rehearsal, then two phases with git's own ref transactions, with a journal in the store: before the
decision recovery undoes, after it recovery finishes. docs/architecture.md describes the whole procedure.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from metawsm_rpc.domain.models import Blocked, Merge, Run
from metawsm_rpc.domain.wire import wire
from metawsm_rpc.engine import stopping
from metawsm_rpc.engine.tidying import tidy
from metawsm_rpc.engine.workspaces import made_of
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import (
    BaseMovedError,
    CloseBlockedError,
    HostError,
    InterruptedStepError,
    LostLeaseError,
    MetawsmError,
    RefusedMoveError,
)
from metawsm_rpc.policy.view import CloseRules
from metawsm_rpc.ports.merging import MergeRequest, Merging, RefMove, Rehearsed
from metawsm_rpc.ports.store import CLOSE_BLOCKED, CloseJournal, Lease, Transaction

_TRIES = 3
"""How often a close is rehearsed because a base has moved meanwhile."""


class Closing(NamedTuple):
    """The result of a close, or in a dry run what it would be."""

    merges: tuple[Merge, ...]
    blocked: tuple[Blocked, ...]


class Closer:
    """Closes one run; the caller holds its lease, or only rehearses."""

    def __init__(self, world: World, run_id: str) -> None:
        self._world = world
        self._run: Run = world.store.run(run_id)
        self._policy = world.store.policy(run_id)
        self._rules = CloseRules.of(self._policy)
        self._merging: Merging = world.machine.merging()
        self._pins = f"refs/metawsm/close/{run_id}"
        self._workspaces = made_of(world, run_id)
        self._interrupted = False

    def interrupt(self) -> None:
        """Cancel the close, from any thread. It is undone and fails, unless it has been decided by then."""
        self._interrupted = True

    def _go_on(self) -> None:
        if self._interrupted:
            raise InterruptedStepError("The close was cancelled before its decision; nothing was merged.")

    def rehearse(self) -> Closing:
        """Return what a close would do now; writes only git objects."""
        rehearsal = self._rehearse(pin=False)
        return Closing(rehearsal.merges, rehearsal.blocked)

    def close(self, lease: Lease) -> Closing:
        """Close the run. Raises `CloseBlockedError` when something blocks it, leaving the run unchanged.

        An interrupted close is first undone or finished according to its journal. A closed run is left alone.
        """
        if self._run.status == "closed":  # by another process, a moment ago
            return Closing((), ())
        with self._unlocking():
            journal = self._recover(lease)
            if journal is None:
                with self._world.store.transaction(lease) as transaction:
                    transaction.move_run(self._run.run_id, "close")
                journal = self._merge(lease)
        self._finish(lease, journal)
        return Closing(journal.merges, ())

    def recover(self, lease: Lease) -> None:
        """Undo or finish a close that was cut off, by its journal; other runs are left alone.

        Raises `CloseBlockedError` when one that was decided cannot go on without a person.
        """
        if self._run.status != "closing":  # somebody has done it a moment ago
            return
        with self._unlocking():
            journal = self._recover(lease)
        if journal is not None:
            self._finish(lease, journal)

    @contextmanager
    def _unlocking(self) -> Iterator[None]:
        """Record what blocks the close within; however it ends, no branch stays locked by us."""
        try:
            yield
        except CloseBlockedError as error:
            with self._world.store.transaction() as transaction:
                keep_blocked(transaction, self._run.run_id, error.details, error.message)
            raise
        finally:
            for _, requests in self._by_base():
                self._merging.abort(_key(*_target(requests[0])))

    def _recover(self, lease: Lease) -> CloseJournal | None:
        """Undo a close that was interrupted before its decision; finish the merges of one after it, and return it."""
        journal = self._world.store.close_journal(self._run.run_id)
        if journal is not None and journal.phase == "decided":
            return self._carry_out(lease, journal)
        if journal is not None and journal.phase == "merged":
            return journal
        if self._run.status == "closing":
            self._back_out(lease, "cut off before the decision; nothing was merged")
        return None

    # --- gates and rehearsal ---

    def _rehearse(self, *, pin: bool) -> "_Rehearsal":
        self._world.machine.worktrees(self._policy).version()  # an old git fails less clearly
        blocked = [*self._gates()]
        merges: list[Merge] = []
        moves: list[RefMove] = []
        gated = {one.repo for one in blocked}
        for name, requests in self._by_base():
            self._go_on()
            if name in gated:
                continue  # a rehearsal of it would be meaningless now
            result = self._merging.rehearse(requests, kind=self._rules.merge, pin_prefix=self._pins if pin else None)
            if not isinstance(result, Rehearsed):
                blocked.extend(result)
                continue
            merges.extend(Merge(name, ticket, result.base, *step) for ticket, *step in result.steps)  # type: ignore[arg-type]
            if result.old == result.new:
                continue
            move = self._move(name, result)
            files = self._merging.in_the_way(move, self._exempt())
            if files:
                blocked.append(_in_the_way(move, requests[0].ticket, files))
            moves.append(move)
        return _Rehearsal(tuple(merges), tuple(moves), tuple(blocked))

    def _move(self, name: str, result: Rehearsed) -> RefMove:
        checkouts = self._merging.checkouts(result.source, result.base)
        return RefMove(name, result.source, result.base, result.old, result.new, checkouts)

    def _requests(self) -> Iterable[MergeRequest]:
        return (MergeRequest(workspace.ticket, repo) for workspace in self._workspaces for repo in workspace.repos)

    def _gates(self) -> Iterable[Blocked]:
        for request in self._requests():
            yield from self._merging.gates(request, require_clean=self._rules.require_clean_git, exempt=self._exempt())

    def _by_base(self) -> Iterable[tuple[str, Sequence[MergeRequest]]]:
        """Group by repository and base, sorted, so that locks are always taken in the same order."""
        groups: dict[tuple[str, str], list[MergeRequest]] = {}
        for request in self._requests():
            groups.setdefault(_target(request), []).append(request)
        for key in sorted(groups):
            yield groups[key][0].repo.name, groups[key]

    def _exempt(self) -> tuple[str, ...]:
        root = self._world.machine.root
        return (f"{root}/.metawsm", self._world.machine.tickets(self._policy).directory)

    # --- two phases ---

    def _merge(self, lease: Lease) -> CloseJournal:
        try:
            journal = self._decide(lease)
        except LostLeaseError:
            raise  # the new holder of the lease undoes it according to the journal
        except BaseException as error:
            recorded = self._world.store.close_journal(self._run.run_id)
            if recorded is None or recorded.phase == "preparing":
                self._back_out(lease, error.message if isinstance(error, MetawsmError) else type(error).__name__)
            raise
        return self._carry_out(lease, journal)

    def _decide(self, lease: Lease) -> CloseJournal:
        """Prepare every move and record the decision. Raises `CloseBlockedError`."""
        for _ in range(_TRIES):
            rehearsal = self._rehearse(pin=True)
            if rehearsal.blocked:
                raise _blocked(self._run, rehearsal.blocked)
            journal = CloseJournal("preparing", rehearsal.moves, rehearsal.merges)
            self._journal(lease, journal)
            moved = self._prepare(rehearsal.moves)
            self._go_on()
            if not moved:
                journal = journal._replace(phase="decided")
                self._journal(lease, journal)
                return journal
            self._undo(rehearsal.moves)
        raise _blocked(self._run, tuple(map(self._moved, moved)))

    def _prepare(self, moves: Sequence[RefMove]) -> tuple[RefMove, ...]:
        """Lock every branch, then update the checkouts; returns the moves whose base has moved.

        Any other refusal raises `CloseBlockedError`.
        """
        moved = []
        for move in moves:
            self._go_on()
            try:
                with self._told(move):
                    self._merging.prepare(_key(move.source, move.base), move)
            except BaseMovedError:
                moved.append(move)
        for move in () if moved else moves:
            with self._told(move):
                self._merging.advance_checkouts(move, self._exempt())
        return tuple(moved)

    def _carry_out(self, lease: Lease, journal: CloseJournal) -> CloseJournal:
        """Commit every move. After the decision nothing is undone: a failed move is repeated."""
        for number, move in enumerate(journal.moves):
            try:
                self._merging.commit(_key(move.source, move.base))
            except HostError:  # also when nothing is prepared, because another process made the decision
                journal = self._move_late(lease, journal, number)
        journal = journal._replace(phase="merged")
        self._journal(lease, journal)
        return journal

    def _move_late(self, lease: Lease, journal: CloseJournal, number: int) -> CloseJournal:
        """Make a move that was decided but is no longer prepared."""
        for _ in range(_TRIES):
            move = journal.moves[number]
            self._merging.clear_stale_lock(move.source, move.base, move.new)
            try:
                with self._told(move, decided=True):
                    self._merging.advance_checkouts(move, self._exempt())
                    self._merging.move(move)
            except BaseMovedError:
                journal = self._rehearse_again(lease, journal, number)
            else:
                return journal
        raise _blocked(self._run, (self._moved(journal.moves[number]),), decided=True)

    def _rehearse_again(self, lease: Lease, journal: CloseJournal, number: int) -> CloseJournal:
        """Complete a decided close on a base to which somebody has committed since."""
        stale = journal.moves[number]
        (requests,) = (
            requests for _, requests in self._by_base() if _target(requests[0]) == (stale.source, stale.base)
        )
        result = self._merging.rehearse(requests, kind=self._rules.merge, pin_prefix=self._pins)
        if not isinstance(result, Rehearsed):
            raise _blocked(self._run, result, decided=True)
        merges = [merge for merge in journal.merges if (merge.repo, merge.base) != (stale.name, stale.base)]
        merges += [Merge(stale.name, ticket, result.base, *step) for ticket, *step in result.steps]  # type: ignore[arg-type]
        moves = (*journal.moves[:number], self._move(stale.name, result), *journal.moves[number + 1 :])
        journal = journal._replace(moves=moves, merges=tuple(merges))
        self._journal(lease, journal)
        return journal

    @contextmanager
    def _told(self, move: RefMove, *, decided: bool = False) -> Iterator[None]:
        """Report a refused move as blocking the close; a base that has moved is rehearsed again instead."""
        try:
            yield
        except BaseMovedError:
            raise
        except RefusedMoveError as error:
            tickets = ", ".join(self._run.tickets)
            blocked = Blocked(move.name, tickets, error.reason, error.message, error.files)
            raise _blocked(self._run, (blocked,), decided=decided) from error

    def _undo(self, moves: Sequence[RefMove]) -> None:
        """Undo everything; whatever fails on the way, every branch is released."""
        failures = []
        for move in moves:
            try:
                self._merging.restore_checkouts(move)
            except MetawsmError as error:
                failures.append(error)
        for move in moves:
            self._merging.abort(_key(move.source, move.base))
            self._merging.clear_stale_lock(move.source, move.base, move.new)
        if failures:
            raise failures[0]

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
        """Undo what was prepared and return the run to completed; the journal is kept until that is done."""
        journal = self._world.store.close_journal(self._run.run_id)
        if journal is not None:
            self._undo(journal.moves)
        self._unpin(lease, {repo.source for workspace in self._workspaces for repo in workspace.repos})
        with self._world.store.transaction(lease) as transaction:
            transaction.set_close(self._run.run_id, None)
            transaction.move_run(self._run.run_id, "block_close", message=why)

    # --- after the merge ---

    def _finish(self, lease: Lease, journal: CloseJournal) -> None:
        """Close tickets, end sessions, remove worktrees, push; each is repeatable after a crash."""
        run_id = self._run.run_id
        tickets = self._world.machine.tickets(self._policy)
        for ticket in self._run.tickets:
            try:
                tickets.close(ticket, changelog=self._changelog(ticket, journal))
            except MetawsmError as error:
                # The work is merged; a missing ticket must not prevent closing the run.
                self._note(lease, "ticket_not_closed", error.message)
        stopping.end_sessions(self._world, self._world.store.agents(run_id), lease)
        stopping.end_strays(self._world, run_id)
        tidied = tidy(self._world, self._run, lease)
        self._after_merge(lease, journal)
        with self._world.store.transaction(lease) as transaction:
            for path, reason in tidied.kept:
                transaction.record(run_id, "workspace", path, "kept", message=reason)
            transaction.move_run(run_id, "closed")
            transaction.set_close(run_id, None)
            transaction.set_error(run_id, None)

    def _after_merge(self, lease: Lease, journal: CloseJournal) -> None:
        worktrees = self._world.machine.worktrees(self._policy)
        gone = [
            repo
            for workspace in self._workspaces
            for repo in workspace.repos
            if not self._world.machine.folders().occupied(repo.path)
        ]
        for repo in gone if self._rules.delete_branches else ():
            try:
                worktrees.delete_branch(repo.source, repo.branch, repo.base)
            except HostError as error:
                self._note(lease, "branch_not_deleted", f"{repo.name}: {error.message}")
        self._unpin(lease, {move.source for move in journal.moves})
        if self._rules.push:
            for move in journal.moves:
                try:
                    worktrees.push(move.source, move.base)
                except HostError as error:
                    # Last, because the merge is complete without it: a failure is reported and left to the
                    # person.
                    self._note(lease, "push_failed", f"{move.name}: {error.message}")

    def _unpin(self, lease: Lease, sources: Collection[str]) -> None:
        """Let go of the rehearsed commits; a repository that is gone must not keep the run where it is."""
        for source in sorted(sources):
            try:
                self._merging.unpin(source, self._pins)
            except HostError as error:
                self._note(lease, "pins_kept", error.message)

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


def keep_blocked(transaction: Transaction, run_id: str, blocked: Sequence[Blocked], message: str) -> None:
    """Record what blocked a close as an event, so that it is reported as long as it lasts."""
    transaction.record(run_id, "merge", run_id, CLOSE_BLOCKED, message=message, data={"blocked": wire(tuple(blocked))})


class _Rehearsal(NamedTuple):
    merges: tuple[Merge, ...]
    moves: tuple[RefMove, ...]
    blocked: tuple[Blocked, ...]


def _key(source: str, base: str) -> str:
    return f"{source}:{base}"


def _target(request: MergeRequest) -> tuple[str, str]:
    return request.repo.source, request.repo.base


def _in_the_way(move: RefMove, ticket: str, files: tuple[str, ...]) -> Blocked:
    return Blocked(
        move.name,
        ticket,
        "in_the_way",
        f"The checkout of {move.base} in {move.name} has files that the merge would overwrite; "
        "commit, move or remove them.",
        files,
    )


def _blocked(run: Run, blocked: tuple[Blocked, ...], *, decided: bool = False) -> CloseBlockedError:
    first = blocked[0]
    more = f" (and {len(blocked) - 1} more)" if len(blocked) > 1 else ""
    hint = (
        "The close was decided before it was cut off, and other repositories may be merged already: "
        f"mend this and run `metawsm close {run.run_id}` again, which finishes it."
        if decided
        else f"Nothing was merged. `metawsm close {run.run_id} --dry-run` lists all of it; "
        f"`metawsm sync {run.run_id}` brings the bases into the workspaces."
    )
    return CloseBlockedError(f"Run {run.run_id} cannot be closed: {first.message}{more}", hint=hint, details=blocked)
