"""Two-phase merging over many repositories, for close; each part has its own module."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from metawsm_rpc.domain.models import Blocked
from metawsm_rpc.hosts.commands import Commands
from metawsm_rpc.hosts.git.checkouts import advance_checkouts, checkouts_of, files_in_the_way, restore_checkouts
from metawsm_rpc.hosts.git.gates import gates
from metawsm_rpc.hosts.git.git import Git, branch_ref
from metawsm_rpc.hosts.git.locks import remove_stale
from metawsm_rpc.hosts.git.ref_transactions import RefTransactions
from metawsm_rpc.hosts.git.rehearsal import rehearse, unpin
from metawsm_rpc.ports.merging import MergeRequest, RefMove, Rehearsed


class GitMerging:
    """Implements `metawsm_rpc.ports.merging.Merging` with the git of this machine.

    Prepared moves are held by child processes, and released when this process dies.
    """

    def __init__(self, commands: Commands) -> None:
        self._git = Git(commands)
        self._transactions = RefTransactions(self._git)

    def gates(self, request: MergeRequest, *, require_clean: bool, exempt: Sequence[str]) -> tuple[Blocked, ...]:
        """Return all reasons why this worktree may not be merged now."""
        return gates(self._git, request, require_clean=require_clean, exempt=exempt)

    def rehearse(
        self, requests: Sequence[MergeRequest], *, kind: Literal["merge", "fast-forward"], pin_prefix: str | None
    ) -> Rehearsed | tuple[Blocked, ...]:
        """Create the merge commits of one repository and base, chained in the given order."""
        return rehearse(self._git, requests, kind=kind, pin_prefix=pin_prefix)

    def checkouts(self, source: str, base: str) -> tuple[str, ...]:
        """Return the worktrees of a repository that have `base` checked out."""
        return checkouts_of(self._git, source, base)

    def in_the_way(self, move: RefMove, exempt: Sequence[str]) -> tuple[str, ...]:
        """Return the files, relative to their checkout, that the move would have to overwrite."""
        return files_in_the_way(self._git, move, exempt)

    def prepare(self, key: str, move: RefMove) -> None:
        """Lock the branch for the move. Raises `BaseMovedError` or `RefLockedError`."""
        self._transactions.prepare(key, move)

    def advance_checkouts(self, move: RefMove, exempt: Sequence[str] = ()) -> None:
        """Bring each checkout's files and index from `old` to `new`; repeatable.

        Files that are `exempt` and in the way keep their content. Raises `InTheWayError` for others.
        """
        advance_checkouts(self._git, move, exempt)

    def restore_checkouts(self, move: RefMove) -> None:
        """Bring each checkout back from `new` to `old`; repeatable, and no file can prevent it."""
        restore_checkouts(self._git, move)

    def commit(self, key: str) -> None:
        """Commit the prepared move. Raises `HostError` when git does not confirm it."""
        self._transactions.commit(key)

    def abort(self, key: str) -> None:
        """Abort a prepared move; harmless when there is none."""
        self._transactions.abort(key)

    def base_commit(self, source: str, base: str) -> str | None:
        """Return the commit that a branch points at, or None when there is no such branch."""
        return self._git.commit_of(source, branch_ref(base))

    def move(self, move: RefMove) -> None:
        """Move the branch in one transaction, for recovery after the decision; harmless when it has moved."""
        self._transactions.move(move)

    def unpin(self, source: str, pin_prefix: str) -> None:
        """Delete the refs below `pin_prefix`."""
        unpin(self._git, source, pin_prefix)

    def clear_stale_lock(self, source: str, base: str, new: str | None = None) -> bool:
        """Remove the locks that a killed git left on a branch and on the HEADs that point to it.

        The journal must show that they are ours; with `new`, only those of a move to that commit are removed.
        Returns whether the branch is free now.
        """
        checkouts = checkouts_of(self._git, source, base)
        folders = (source, self._git.common_dir(source), *checkouts)
        branch = Path(folders[1], f"{branch_ref(base)}.lock")
        ours = new is None or new == (_content(branch) or self.base_commit(source, base))
        # A bare repository has a HEAD, too, and git locks it together with its branch.
        shows_base = self._git.call(source, "symbolic-ref", "-q", "HEAD", accept=None).text.strip() == branch_ref(base)
        heads = {self._git.git_dir(folder) for folder in (*checkouts, *((source,) if shows_base else ()))}
        locks = (branch, *(Path(head, "HEAD.lock") for head in heads))
        freed = [remove_stale(lock, folders) if ours else not lock.exists() for lock in locks]
        return all(freed)

    def interrupt(self) -> None:
        """Kill the commands that run for this object and refuse to start more; prepared moves stay prepared."""
        self._git.commands.interrupt()


def _content(lock: Path) -> str | None:
    """Return the commit that a locked branch is about to move to; None without a lock."""
    try:
        return lock.read_text().strip() or "empty"
    except FileNotFoundError:
        return None
