"""Git repositories and their worktrees."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from metawsm_rpc.domain.models import Repo
from metawsm_rpc.errors import HostError


class Source(NamedTuple):
    """A repository that a run can use.

    `common_dir` is the real path of its git common directory: its identity. `default_branch` is what
    `origin/HEAD` names, else the branch that is checked out, else None. `has_commits` is False for a repository
    that has only been initialised.
    """

    name: str
    path: str
    common_dir: str
    default_branch: str | None
    has_commits: bool
    branches: tuple[str, ...]


class WorktreeSpec(NamedTuple):
    """A worktree that should exist: `branch` of the repository at `source`, in the folder `path`.

    When the branch does not exist it begins at `start` (a commit id).
    """

    source: str
    path: str
    branch: str
    start: str


class Worktree(NamedTuple):
    """A worktree that exists. `created` says whether this call created it."""

    path: str
    branch: str
    head: str
    created: bool
    branch_created: bool


class Removal(NamedTuple):
    """The result of removing a worktree: removed, or kept with the reason.

    `snapshots` are `(ref, commit)` pairs that preserve what would have been lost.
    """

    path: str
    removed: bool
    reason: str | None
    snapshots: tuple[tuple[str, str], ...]


class FileChange(NamedTuple):
    """One changed file: `status` is git's letter (A, M, D, R, T), or `?` for untracked.

    `additions` and `deletions` are None for binary files.
    """

    path: str
    status: str
    additions: int | None
    deletions: int | None


class RepoDiff(NamedTuple):
    """Committed and uncommitted work of one worktree against the merge base with its base."""

    base: str
    head: str
    files: tuple[FileChange, ...]
    patch: str | None


class WorkState(NamedTuple):
    """The state of a worktree's work: `digest` changes with every commit and every change of the diff.

    `moved_at` is the time of the last change, in seconds since the epoch, as far as files show it: a deletion
    leaves no timestamp.
    """

    digest: str
    moved_at: float


class SyncResult(NamedTuple):
    """The result of bringing the base into a branch; `files` are those with conflicts."""

    result: Literal["up-to-date", "updated", "conflict"]
    files: tuple[str, ...]


class SetupCommand(NamedTuple):
    """A shell command that the policy runs in each new worktree."""

    run: str
    timeout_seconds: float
    on_failure: Literal["fail", "warn"]


class Worktrees(Protocol):
    """git repositories and their worktrees on one machine."""

    def version(self) -> str:
        """Return git's version. Raises `DependencyMissingError` when it is absent or too old."""

    def identity(self, folder: str) -> str:
        """Return git's committer identity in a folder, `Name <address>`. Raises `HostError` when none is configured."""

    def sources(self) -> tuple[Source, ...]:
        """Return every repository known at this root, in order of precedence."""

    def problem(self, name: str) -> HostError | None:
        """Return why a repository that the policy names is missing from the sources, or None."""

    def commit_of(self, source: str, revision: str) -> str | None:
        """Return the commit id that `revision` names in the repository at `source`, or None."""

    def unmerged_commits(self, source: str, branch: str, base: str) -> int | None:
        """Count commits of `branch` that `base` does not have; None when there is no such branch."""

    def fetch(self, source: str, branch: str) -> str | None:
        """Bring `branch` up to date from its remote, where it has one, by fast-forward only.

        Returns the commit where new work on it begins: the remote's (even where the branch itself cannot move
        because it is checked out), unless the branch has commits of its own. None when there is no such branch.
        """

    def add(self, spec: WorktreeSpec) -> Worktree:
        """Ensure that the worktree exists, exactly once.

        Returns an existing worktree of the branch at the path as it is. An existing branch is checked out as it
        is, so that no commit is lost. Submodules that the source has initialised are initialised, and its
        sparse patterns kept. Raises `HostError` when the folder holds something else or the branch is checked
        out somewhere else.
        """

    def git_directories(self, repo: Repo) -> tuple[str, str]:
        """Return the worktree's own git directory and its repository's common one.

        For a worktree that does not exist yet, these are the expected paths.
        """

    def roll_back(self, path: str, source: str, branch: str, start: str) -> Removal:
        """Undo an `add`: remove the worktree, and the branch if it still points at `start`.

        Anything with work in it (changed or untracked files, commits) is kept.
        """

    def observe(self, repo: Repo) -> Repo:
        """Return `repo` with head, dirty_files, ahead and behind as they are now.

        A worktree that is gone has `head` None and counts None.
        """

    def work_state(self, repo: Repo) -> WorkState | None:
        """Return the state of the work in a worktree, with one git command; None when the worktree is gone."""

    def copy_files(self, source: str, path: str, patterns: Sequence[str]) -> tuple[str, ...]:
        """Copy files that match the globs from a source checkout into a worktree, without overwriting.

        Returns the relative paths of the copies, including those of earlier calls. Never follows a link out of
        the checkout.
        """

    def set_up(self, path: str, command: SetupCommand, environment: Mapping[str, str]) -> str:
        """Run a setup command with `sh -c` in a worktree and return the end of what it printed."""

    def diff(self, repo: Repo, *, patch: bool) -> RepoDiff:
        """Return the work in a worktree against the merge base with its base branch."""

    def sync(self, repo: Repo, strategy: Literal["merge", "rebase"]) -> SyncResult:
        """Bring the base branch into the worktree's branch; conflicts are left to the agent or a person."""

    def remove(self, repo: Repo, snapshot_prefix: str, copied: Sequence[str]) -> Removal:
        """Remove a worktree, after saving under `snapshot_prefix` whatever would be lost.

        A worktree that contains ignored files other than `copied` is kept, with that reason.
        """

    def snapshots(self, source: str, prefix: str) -> tuple[tuple[str, str], ...]:
        """Return `(ref, commit)` of each ref below a prefix."""

    def delete_branch(self, source: str, branch: str, merged_into: str) -> bool:
        """Delete a branch that is fully merged into `merged_into`; return False when it was kept."""

    def push(self, source: str, branch: str) -> None:
        """Push `branch` to its remote."""

    def interrupt(self) -> None:
        """Kill the commands that run for this object and refuse to start more. Callable from any thread."""
