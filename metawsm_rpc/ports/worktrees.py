"""What the engine needs of git repositories and their worktrees."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from metawsm_rpc.domain.models import Repo
from metawsm_rpc.errors import HostError


class Source(NamedTuple):
    """A repository that a run can use.

    `common_dir` is the real path of its git common directory: its identity. `default_branch` is
    what `origin/HEAD` names, else the branch that is checked out, else None. `has_commits` is
    False for a repository that was only initialised.
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
    """A worktree that does exist. `created` says whether this call made it."""

    path: str
    branch: str
    head: str
    created: bool
    branch_created: bool


class Removal(NamedTuple):
    """What became of a worktree that should go: removed, or kept with the reason.

    `snapshots` are `(ref, commit)` pairs that keep what would have been lost.
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
    """What a worktree's work is: `digest` is another one when a commit was made or the diff has changed.

    `moved_at` is when that last happened, in seconds since the epoch, as far as files tell: a
    deletion leaves no time behind.
    """

    digest: str
    moved_at: float


class SyncResult(NamedTuple):
    """What bringing the base into a branch did; `files` are those in conflict."""

    result: Literal["up-to-date", "updated", "conflict"]
    files: tuple[str, ...]


class SetupCommand(NamedTuple):
    """A shell command that the policy asks for in each new worktree."""

    run: str
    timeout_seconds: float
    on_failure: Literal["fail", "warn"]


class Worktrees(Protocol):
    """git repositories and their worktrees on one machine."""

    def version(self) -> str:
        """Return git's version. Raises `DependencyMissingError` when it is absent or too old."""

    def identity(self, folder: str) -> str:
        """Return who commits in a folder, `Name <address>`. Raises `HostError` when git does not know."""

    def sources(self) -> tuple[Source, ...]:
        """Return every repository that has a name at this root, in the order of precedence."""

    def problem(self, name: str) -> HostError | None:
        """Return why a repository that the policy names is not among the sources, or None."""

    def commit_of(self, source: str, revision: str) -> str | None:
        """Return the commit id that `revision` names in the repository at `source`, or None."""

    def unmerged_commits(self, source: str, branch: str, base: str) -> int | None:
        """Count commits of `branch` that `base` does not have; None when there is no such branch."""

    def fetch(self, source: str, branch: str) -> str | None:
        """Bring `branch` up to date from its remote, where it has one, by fast-forward only.

        Returns the commit that new work on it begins at: the remote's, also where a checkout keeps
        the branch itself from moving, unless the branch has commits of its own. None when there is
        no such branch.
        """

    def add(self, spec: WorktreeSpec) -> Worktree:
        """Make the worktree exist, and never a second one.

        An existing worktree of the branch at the path is answered as it is. An existing branch is
        checked out as it stands: a commit is never lost. The source's initialised submodules are
        initialised, its sparse patterns kept. Raises `HostError` when the folder holds something
        else or the branch is checked out somewhere else.
        """

    def git_directories(self, repo: Repo) -> tuple[str, str]:
        """Return the worktree's own git directory and its repository's common one.

        For a worktree that is not there yet, where they are expected to be.
        """

    def roll_back(self, path: str, source: str, branch: str, start: str) -> Removal:
        """Take back an `add`: remove the worktree, and the branch if it still points at `start`.

        What holds work (changed or untracked files, commits) is kept.
        """

    def observe(self, repo: Repo) -> Repo:
        """Return `repo` with head, dirty_files, ahead and behind as they are now.

        A worktree that is gone has `head` None and counts None.
        """

    def work_state(self, repo: Repo) -> WorkState | None:
        """Return the state of the work in a worktree, with one look of git; None when it is gone."""

    def copy_files(self, source: str, path: str, patterns: Sequence[str]) -> tuple[str, ...]:
        """Copy files that match the globs from a source checkout into a worktree; never overwrite.

        Returns the relative paths of the copies, those that an earlier call has made among them. Never
        follows a link out of the checkout.
        """

    def set_up(self, path: str, command: SetupCommand, environment: Mapping[str, str]) -> str:
        """Run a setup command with `sh -c` in a worktree and return the end of what it printed."""

    def diff(self, repo: Repo, *, patch: bool) -> RepoDiff:
        """Return the work in a worktree against the merge base with its base branch."""

    def sync(self, repo: Repo, strategy: Literal["merge", "rebase"]) -> SyncResult:
        """Bring the base branch into the worktree's branch; leave conflicts for agent or person."""

    def remove(self, repo: Repo, snapshot_prefix: str, copied: Sequence[str]) -> Removal:
        """Remove a worktree; first keep under `snapshot_prefix` whatever would be lost.

        A worktree with ignored files that are not in `copied` is kept and says so.
        """

    def snapshots(self, source: str, prefix: str) -> tuple[tuple[str, str], ...]:
        """Return `(ref, commit)` of what is kept below a prefix of refs."""

    def delete_branch(self, source: str, branch: str, merged_into: str) -> bool:
        """Delete a branch that `merged_into` contains whole; False when it was kept."""

    def push(self, source: str, branch: str) -> None:
        """Push `branch` to its remote."""

    def interrupt(self) -> None:
        """Kill what is running for this object and refuse to start more. Callable from any thread."""
