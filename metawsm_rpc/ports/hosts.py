"""What the engine needs from the world, as Protocols whose arguments and results are plain data.

Nothing here hands out a live object, so that a host can one day be another machine. All methods
block; they raise `HostError` (or `CommandError`, which carries what git or tmux said),
`DependencyMissingError` when a program is absent, and `InterruptedStepError` after `interrupt()`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from metawsm_rpc.domain.models import Blocked, Repo, Workspace
from metawsm_rpc.errors import HostError

# --- repositories and worktrees -----------------------------------------------------------------


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

    def sources(self) -> tuple[Source, ...]:
        """Return every repository that has a name at this root, in the order of precedence."""

    def problem(self, name: str) -> HostError | None:
        """Return why a repository that the policy names is not among the sources, or None."""

    def commit_of(self, source: str, revision: str) -> str | None:
        """Return the commit id that `revision` names in the repository at `source`, or None."""

    def unmerged_commits(self, source: str, branch: str, base: str) -> int | None:
        """Count commits of `branch` that `base` does not have; None when there is no such branch."""

    def fetch(self, source: str, branch: str) -> None:
        """Bring `branch` up to date from its remote, where it has one, by fast-forward only."""

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

    def delete_branch(self, source: str, branch: str, merged_into: str) -> bool:
        """Delete a branch that `merged_into` contains whole; False when it was kept."""

    def push(self, source: str, branch: str) -> None:
        """Push `branch` to its remote."""

    def interrupt(self) -> None:
        """Kill what is running for this object and refuse to start more. Callable from any thread."""


# --- merging -------------------------------------------------------------------------------------


class MergeRequest(NamedTuple):
    """One worktree's branch to be merged into its base."""

    ticket: str
    repo: Repo


class Rehearsed(NamedTuple):
    """What merging one repository's tickets, in order, would make of its base.

    `steps` are `(ticket, from, to, kind)`, chained; the commits exist already, unreferenced but
    for the pins. `old` and `new` are the base's commit before and after all of them.
    """

    source: str
    base: str
    old: str
    new: str
    steps: tuple[tuple[str, str, str, str], ...]


class RefMove(NamedTuple):
    """One base branch to be moved from `old` to `new`, with the checkouts that show it."""

    name: str
    source: str
    base: str
    old: str
    new: str
    checkouts: tuple[str, ...]


class Merging(Protocol):
    """Merges in two phases, over as many repositories as a run has."""

    def gates(self, request: MergeRequest, *, require_clean: bool, exempt: Sequence[str]) -> tuple[Blocked, ...]:
        """Return every reason, not only the first, why this worktree may not be merged now.

        `exempt` are absolute paths that metawsm itself keeps and that never block.
        """

    def rehearse(
        self, requests: Sequence[MergeRequest], *, kind: Literal["merge", "fast-forward"], pin_prefix: str | None
    ) -> Rehearsed | tuple[Blocked, ...]:
        """Make the merge commits of one repository and base, chained in the order given.

        Nothing but objects is written, and with `pin_prefix` refs that keep them.
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
        """Let the prepared move happen."""

    def abort(self, key: str) -> None:
        """Let go of a prepared move; harmless when there is none."""

    def base_commit(self, source: str, base: str) -> str | None:
        """Return the commit that a branch points at, or None when there is no such branch."""

    def move(self, move: RefMove) -> None:
        """Move the branch in one go, for recovery after the decision; harmless when it is done."""

    def unpin(self, source: str, pin_prefix: str) -> None:
        """Delete the refs below `pin_prefix`."""

    def clear_stale_lock(self, source: str, base: str, new: str | None = None) -> bool:
        """Remove the branch's `.lock` when no process holds it; the journal says it is ours.

        With `new` only the lock of a move to that commit is. Returns whether the branch is free now.
        """


# --- workspaces as wsm knows them ----------------------------------------------------------------


class Registry(Protocol):
    """wsm's two JSON files, so that both programs see the same workspaces and repositories."""

    def record(self, workspace: Workspace, base_branch: str) -> None:
        """Write, or rewrite, the workspace's file."""

    def forget(self, name: str) -> None:
        """Remove the workspace's file; harmless when there is none."""

    def workspace(self, name: str) -> Mapping[str, Any] | None:
        """Return the stored file of a workspace, or None."""


# --- tickets -------------------------------------------------------------------------------------


class Ticket(NamedTuple):
    """A unit of work: `path` is its index.md, `directory` its folder, both absolute.

    `line` is where its `Ticket:` stands in index.md, from 1.
    """

    ticket: str
    title: str
    status: str
    path: str
    directory: str
    line: int


class Tickets(Protocol):
    """Tickets in docmgr's layout; `directory` is the absolute path of their root."""

    directory: str

    def all(self) -> tuple[Ticket, ...]:
        """Return every ticket whose frontmatter decodes, sorted by path."""

    def find(self, ticket: str) -> Ticket:
        """Return one ticket. Raises `TicketNotFoundError`, or `AmbiguousError` for two folders.

        A ticket whose frontmatter is broken is not found, and the hint names the file and line.
        """

    def text(self, ticket: Ticket) -> str:
        """Return what the ticket's index.md says below its frontmatter."""

    def create(self, ticket: str, *, title: str | None, topics: Sequence[str]) -> Ticket:
        """Make a ticket's folder. Raises `InvalidParamsError` when it exists or the name is unusable."""

    def close(self, ticket: str, *, changelog: str) -> Ticket:
        """Set the status to complete with a dated changelog entry; harmless when it is closed."""


# --- terminals -----------------------------------------------------------------------------------


class Launch(NamedTuple):
    """One start of one agent.

    `directory` is a private folder for this launch (environment file, exit record, drop box),
    `environment` the complete environment of the program, `transcript` where its output goes.
    """

    run_id: str
    ticket: str
    agent: str
    launch: str
    session: str
    argv: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str]
    directory: str
    transcript: str
    transcript_max_bytes: int


class Pane(NamedTuple):
    """What tmux says of one agent's pane; `activity` is in seconds since the epoch."""

    session: str
    pid: int
    run_id: str
    ticket: str
    agent: str
    launch: str
    activity: float
    title: str
    command: str
    piped: bool


class Exit(NamedTuple):
    """The shim's record of an end: `code` as the shell gives it (128 + n for signal n)."""

    code: int
    at: float


class Ended(NamedTuple):
    """How a session ended: pids that had to be killed, and `(pid, command)` that are still there."""

    killed: tuple[int, ...]
    survivors: tuple[tuple[int, str], ...]


class Terminals(Protocol):
    """Agents in tmux sessions on a private server."""

    def version(self) -> str:
        """Return tmux's version. Raises `DependencyMissingError` when it is absent or too old."""

    def start(self, launch: Launch) -> int:
        """Start the agent's session and return the pid in its pane.

        A session of this name with the same launch is answered as it is. Raises `HostError` when
        the name is taken by something else.
        """

    def panes(self) -> tuple[Pane, ...]:
        """Return the panes of this root's agents with one tmux call; empty when no server runs.

        Raises `HostError` when there is a server that does not answer.
        """

    def exit_record(self, directory: str) -> Exit | None:
        """Return how the launch in this folder ended, or None while there is no record."""

    def end(self, session: str, launch: str, pid: int | None, grace_seconds: float) -> Ended:
        """End a session and everything in its process session; harmless when it is gone."""

    def alive(self, pid: int, launch: str) -> bool:
        """Return whether the process that was started for this launch is still there."""

    def capture(self, session: str, launch: str) -> str:
        """Return the pane's visible text, without escapes."""

    def attach_command(self, session: str) -> tuple[str, ...]:
        """Return the argv that shows a session in a person's terminal."""

    def repair_transcript(self, session: str, transcript: str, max_bytes: int) -> None:
        """Pipe the pane to its transcript again, after its pipe died."""

    def read_transcript(self, transcript: str, offset: int, limit: int) -> tuple[bytes, int, int]:
        """Return `(bytes, offset, size)`: logical offsets, which rotation does not change.

        A negative `offset` counts from the end; an offset that rotation has dropped is moved to
        the oldest byte that is kept.
        """


class Programs(Protocol):
    """What is installed, and with which environment agents start."""

    def environment(self) -> dict[str, str]:
        """Return the environment for agents: this process's, without TMUX*, GIT_* and shell state."""

    def find(self, program: str, environment: Mapping[str, str]) -> str | None:
        """Return the path of a program on that environment's PATH, or None."""

    def command_path(self) -> str:
        """Return the path of the metawsm command, without white space, for METAWSM_BIN."""


class Dropped(NamedTuple):
    """A signal that an agent left in its drop box because it could not write the database."""

    id: str
    text: str


class AgentPaths(NamedTuple):
    """The files that metawsm keeps for one agent, outside the worktrees; all absolute."""

    brief: str
    transcript: str
    drop_box: str
    launches: str


class Folders(Protocol):
    """The files that metawsm keeps below `.metawsm` besides the database."""

    def paths(self, run_id: str, ticket: str, agent: str) -> AgentPaths:
        """Return where an agent's files are; nothing is made."""

    def launch_directory(self, paths: AgentPaths, launch: str) -> str:
        """Return the private folder of a launch; nothing is made."""

    def prepare(self, paths: AgentPaths, launch: str, brief: str) -> None:
        """Make the folders of a launch and write the brief, whole or not at all."""

    def dropped(self, paths: AgentPaths) -> tuple[Dropped, ...]:
        """Return the signals in the agent's drop box, oldest first."""

    def discard(self, paths: AgentPaths, dropped_id: str) -> None:
        """Remove a signal from the drop box; harmless when it is gone."""

    def workspace_path(self, directory: str, name: str, now: float) -> str:
        """Return where a workspace made now belongs: `<directory>/<local date>/<name>`, as wsm lays it out."""

    def occupied(self, path: str) -> bool:
        """Return whether something stands at this path; an empty folder does not count."""

    def remove_empty(self, path: str) -> None:
        """Remove a workspace's folder if nothing is left in it."""


class Machine(Protocol):
    """One machine: hands out its adapters, set up for a policy.

    `worktrees` and `merging` are fresh at each call, so that `interrupt()` ends only the work of
    whoever asked for them.
    """

    root: str

    def worktrees(self, policy: Mapping[str, Any]) -> Worktrees:
        """Return git for the repositories of this policy."""

    def merging(self) -> Merging:
        """Return merging in two phases."""

    def registry(self) -> Registry:
        """Return wsm's files."""

    def tickets(self, policy: Mapping[str, Any]) -> Tickets:
        """Return the tickets of this policy's directory."""

    def terminals(self, policy: Mapping[str, Any]) -> Terminals:
        """Return the tmux server of this policy's socket."""

    def programs(self, policy: Mapping[str, Any]) -> Programs:
        """Return what is installed, in the environment that this policy asks for."""

    def folders(self) -> Folders:
        """Return the files below `.metawsm`."""
