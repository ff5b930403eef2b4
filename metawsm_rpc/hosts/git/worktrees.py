"""Git repositories and their worktrees on this machine: the adapter behind the port `Worktrees`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from metawsm_rpc.domain.models import Repo
from metawsm_rpc.errors import HostError
from metawsm_rpc.hosts.commands import Commands
from metawsm_rpc.hosts.git.copying import copy_files
from metawsm_rpc.hosts.git.creation import add
from metawsm_rpc.hosts.git.diffs import diff
from metawsm_rpc.hosts.git.git import Git, branch_ref
from metawsm_rpc.hosts.git.layout import Layout, locate, source_layout
from metawsm_rpc.hosts.git.remotes import fetch, push
from metawsm_rpc.hosts.git.removal import delete_branch, remove, roll_back
from metawsm_rpc.hosts.git.snapshots import kept_below
from metawsm_rpc.hosts.git.sources import discover, problem
from metawsm_rpc.hosts.git.status import observe
from metawsm_rpc.hosts.git.sync import sync
from metawsm_rpc.hosts.git.work_states import work_state
from metawsm_rpc.ports.worktrees import (
    Removal,
    RepoDiff,
    SetupCommand,
    Source,
    SyncResult,
    WorkState,
    Worktree,
    WorktreeSpec,
)

_TAIL_BYTES = 8192
"""How much of a setup command's output is kept: the end, where errors usually are."""


@contextmanager
def _host_errors() -> Iterator[None]:
    """Turn file system errors into `HostError`."""
    try:
        yield
    except OSError as error:
        raise HostError(f"{error.filename or 'A file'} cannot be used: {error.strerror or error}.") from error


class GitWorktrees:
    """Implements `metawsm_rpc.ports.worktrees.Worktrees` with git.

    Args:
        commands: runs git and setup commands; `interrupt` ends them.
        root: the folder whose repositories have names, an absolute path.
        repositories: name to path, from the policy; relative paths begin at the root.
        registry: `(name, path)` of wsm's registry.
    """

    def __init__(
        self,
        commands: Commands,
        root: str,
        *,
        repositories: Mapping[str, str] | None = None,
        registry: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._commands = commands
        self._git = Git(commands)
        self._root = root
        self._repositories = repositories or {}
        self._registry = registry

    def version(self) -> str:
        """Return git's version. Raises `DependencyMissingError` when it is absent or too old."""
        return self._git.require()

    def identity(self, folder: str) -> str:
        """Return git's committer identity in a folder, `Name <address>`. Raises `HostError` when none is configured."""
        asked = self._git.call(folder, "var", "GIT_COMMITTER_IDENT", accept=None)
        if asked.exit_code != 0:
            raise HostError(
                f"git does not know who commits in {folder}, so nothing can be merged there.",
                hint="Set `git config --global user.name` and `user.email`.",
            )
        return asked.text.rpartition(">")[0] + ">"  # a timestamp follows it

    @_host_errors()
    def sources(self) -> tuple[Source, ...]:
        """Return every repository known at this root, in order of precedence."""
        return discover(self._git, self._root, self._repositories, self._registry)

    @_host_errors()
    def problem(self, name: str) -> HostError | None:
        """Return why a repository that the policy names is missing from the sources, or None."""
        return problem(self._git, self._root, self._repositories, name)

    def commit_of(self, source: str, revision: str) -> str | None:
        """Return the commit id that `revision` names, a branch before a tag, or None."""
        return self._git.commit_of(source, branch_ref(revision)) or self._git.commit_of(source, revision)

    def unmerged_commits(self, source: str, branch: str, base: str) -> int | None:
        """Count commits of `branch` that `base` does not have; None when there is no such branch."""
        commit = self._git.commit_of(source, branch_ref(branch))
        if commit is None:
            return None
        known = self.commit_of(source, base)
        if known is None:
            raise HostError(f"{source} has no branch {base}: name another base branch.")
        return int(self._git.read(source, "rev-list", "--count", commit, f"^{known}"))

    def fetch(self, source: str, branch: str) -> str | None:
        """Bring `branch` up to date from its remote, and return the commit where new work on it begins."""
        return fetch(self._git, source, branch)

    @_host_errors()
    def add(self, spec: WorktreeSpec) -> Worktree:
        """Ensure that the worktree exists, exactly once; see the port."""
        return add(self._git, spec)

    @_host_errors()
    def git_directories(self, repo: Repo) -> tuple[str, str]:
        """Return the worktree's own git directory and its repository's common one.

        For a worktree that does not exist yet, these are where git puts the first one of its name.
        """
        path = Path(repo.path)
        layout = locate(path)
        if layout is None:
            common_dir = source_layout(repo.source).common_dir
            layout = Layout(common_dir / "worktrees" / path.name, common_dir)
        return str(layout.git_dir), str(layout.common_dir)

    @_host_errors()
    def roll_back(self, path: str, source: str, branch: str, start: str) -> Removal:
        """Undo an `add`: remove the worktree, and the branch if it still points at `start`."""
        return roll_back(self._git, path, source, branch, start)

    @_host_errors()
    def observe(self, repo: Repo) -> Repo:
        """Return `repo` with head, dirty_files, ahead and behind as they are now."""
        return observe(self._git, repo)

    @_host_errors()
    def work_state(self, repo: Repo) -> WorkState | None:
        """Return the state of the work in a worktree, with one git command; None when the worktree is gone."""
        return work_state(self._git, repo)

    @_host_errors()
    def copy_files(self, source: str, path: str, patterns: Sequence[str]) -> tuple[str, ...]:
        """Copy files that match the globs from a source checkout into a worktree, without overwriting."""
        return copy_files(source, path, patterns, lambda: self._commands.check_interrupted("Copying files"))

    def set_up(self, path: str, command: SetupCommand, environment: Mapping[str, str]) -> str:
        """Run a setup command with `sh -c` in a worktree and return the end of what it printed.

        `environment` is the whole of it. Also raises `CommandError` for a command whose failure is only a
        warning; the caller decides what follows.
        """
        finished = self._commands.run(
            ("sh", "-c", command.run),
            cwd=path,
            environment=environment,
            timeout=command.timeout_seconds,
            tail_bytes=_TAIL_BYTES,
            label=f"The setup command `{command.run}`",
        )
        return finished.output.decode("utf-8", "replace")

    @_host_errors()
    def diff(self, repo: Repo, *, patch: bool) -> RepoDiff:
        """Return the work in a worktree against the merge base with its base branch."""
        return diff(self._git, repo, patch=patch)

    @_host_errors()
    def sync(self, repo: Repo, strategy: Literal["merge", "rebase"]) -> SyncResult:
        """Bring the base branch into the worktree's branch; conflicts are left to the agent or a person."""
        return sync(self._git, repo, strategy)

    @_host_errors()
    def remove(self, repo: Repo, snapshot_prefix: str, copied: Sequence[str]) -> Removal:
        """Remove a worktree, after saving under `snapshot_prefix` whatever would be lost."""
        return remove(self._git, repo, snapshot_prefix, copied)

    def snapshots(self, source: str, prefix: str) -> tuple[tuple[str, str], ...]:
        """Return `(ref, commit)` of each ref below a prefix."""
        return kept_below(self._git, source, prefix)

    def delete_branch(self, source: str, branch: str, merged_into: str) -> bool:
        """Delete a branch that is fully merged into `merged_into`; return False when it was kept."""
        commit, target = self._git.commit_of(source, branch_ref(branch)), self.commit_of(source, merged_into)
        if commit is None:
            return True
        if (
            target is None
            or branch == merged_into
            or not self._git.ok(source, "merge-base", "--is-ancestor", commit, target)
        ):
            return False
        return delete_branch(self._git, source, branch)

    def push(self, source: str, branch: str) -> None:
        """Push `branch` to its remote."""
        push(self._git, source, branch)

    def interrupt(self) -> None:
        """Kill the commands that run for this object and refuse to start more. Callable from any thread."""
        self._commands.interrupt()
