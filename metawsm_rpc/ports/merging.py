"""What close needs from git: gates, a rehearsal, and two-phase merging."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from metawsm_rpc.domain.models import Blocked, Repo


class MergeRequest(NamedTuple):
    """One worktree's branch to be merged into its base."""

    ticket: str
    repo: Repo


class Rehearsed(NamedTuple):
    """The result of rehearsing the merges of one repository's tickets, in order.

    `steps` are `(ticket, from, to, kind)`, chained; the commits already exist, referenced by nothing but the
    pins. `old` and `new` are the base's commit before and after all of them.
    """

    source: str
    base: str
    old: str
    new: str
    steps: tuple[tuple[str, str, str, str], ...]


class RefMove(NamedTuple):
    """One base branch to be moved from `old` to `new`, with the checkouts that have it checked out."""

    name: str
    source: str
    base: str
    old: str
    new: str
    checkouts: tuple[str, ...]


class Merging(Protocol):
    """Merges in two phases, over as many repositories as a run has."""

    def gates(self, request: MergeRequest, *, require_clean: bool, exempt: Sequence[str]) -> tuple[Blocked, ...]:
        """Return all reasons why this worktree may not be merged now.

        `exempt` are absolute paths of metawsm's own files, which never block.
        """

    def rehearse(
        self, requests: Sequence[MergeRequest], *, kind: Literal["merge", "fast-forward"], pin_prefix: str | None
    ) -> Rehearsed | tuple[Blocked, ...]:
        """Create the merge commits of one repository and base, chained in the given order.

        Writes only objects and, with `pin_prefix`, refs that keep them alive.
        """

    def checkouts(self, source: str, base: str) -> tuple[str, ...]:
        """Return the worktrees of a repository that have `base` checked out."""

    def in_the_way(self, move: RefMove, exempt: Sequence[str]) -> tuple[str, ...]:
        """Return the files, relative to their checkout, that the move would have to overwrite."""

    def prepare(self, key: str, move: RefMove) -> None:
        """Lock the branch for the move (git's `prepare`). Raises `BaseMovedError` or `RefLockedError`."""

    def advance_checkouts(self, move: RefMove, exempt: Sequence[str] = ()) -> None:
        """Bring each checkout's files and index from `old` to `new`; repeatable.

        Files that are `exempt` and in the way keep their content. Raises `InTheWayError` for others.
        """

    def restore_checkouts(self, move: RefMove) -> None:
        """Bring each checkout back from `new` to `old`; repeatable."""

    def commit(self, key: str) -> None:
        """Commit the prepared move."""

    def abort(self, key: str) -> None:
        """Abort a prepared move; harmless when there is none."""

    def base_commit(self, source: str, base: str) -> str | None:
        """Return the commit that a branch points at, or None when there is no such branch."""

    def move(self, move: RefMove) -> None:
        """Move the branch in one transaction, for recovery after the decision; harmless when it has moved."""

    def unpin(self, source: str, pin_prefix: str) -> None:
        """Delete the refs below `pin_prefix`."""

    def clear_stale_lock(self, source: str, base: str, new: str | None = None) -> bool:
        """Remove the branch's `.lock` when no process holds it; the journal must show that it is ours.

        With `new`, remove only the lock of a move to that commit. Returns whether the branch is free now.
        """
