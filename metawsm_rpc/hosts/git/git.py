"""Runs git: never with the caller's GIT_* variables, never with a prompt, never through a shell.

Arguments are external values: callers pass a branch as a full ref (`branch_ref`) or after `--end-of-options`,
and a path after `--`, so that a name that begins with `-` is never taken for an option.
"""

import os
import re
from collections.abc import Collection, Mapping, Sequence

from metawsm_rpc.errors import CommandError, DependencyMissingError
from metawsm_rpc.hosts.commands import Commands, Finished

REQUIRED_VERSION = (2, 38)
"""`git merge-tree --write-tree`, which rehearses merges, came with 2.38."""

ZERO = "0" * 40
"""What git writes for "no commit" where an object id is expected."""

_KEPT_VARIABLES = frozenset(
    {"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_SSH", "GIT_SSH_COMMAND"}
)
"""Variables for a person's configuration and access to remotes; none of them redirects git to another repository."""

_LOST = re.compile(r"^fatal: not a git repository: (.+/worktrees/[^/\n]+)$", re.MULTILINE)
"""What git says in a linked worktree whose repository is not there."""

_INSTALL_HINT = "Install git 2.38 or newer, for example with `apt install git` or `brew install git`."


def git_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for git, derived from that of this process."""
    environment = {
        name: value for name, value in inherited.items() if not name.startswith("GIT_") or name in _KEPT_VARIABLES
    }
    return environment | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def branch_ref(branch: str) -> str:
    """Return the full ref of a branch, which cannot be mistaken for an option or a tag."""
    return f"refs/heads/{branch}"


def shown(name: str) -> str:
    r"""Return a file name as displayable text; a byte that is not UTF-8 is shown as `\xff`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


class Git:
    """Runs git in repositories; `repo` is a folder inside one, or a bare repository.

    Every method raises what `Commands.run` raises.
    """

    def __init__(self, commands: Commands) -> None:
        self.commands = commands
        self._environment = git_environment(os.environ)

    def call(
        self,
        repo: str,
        *args: str,
        stdin: str | bytes = b"",
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        inherit: Sequence[int] = (),
        timeout: float | None = None,
        accept: Collection[int] | None = (0,),
    ) -> Finished:
        """Run `git ARGS` in `repo` and return what it did.

        Args:
            repo: the folder to run in.
            args: the subcommand and its arguments.
            stdin: what git reads.
            environment: variables on top of git's own.
            options: options of git itself, such as `("-c", "core.hooksPath=/dev/null")`.
            inherit: file descriptors that git gets.
            timeout: seconds; that of `Commands` by default.
            accept: the exit codes that are not errors; None accepts every one.
        """
        try:
            return self.commands.run(
                ("git", "-C", repo, "-c", "core.fsmonitor=false", *options, *args),
                environment={**self._environment, **(environment or {})},
                stdin=stdin,
                timeout=timeout,
                inherit=inherit,
                label=f"git {' '.join(_subcommand(args))} in {repo}",
                accept=accept,
            )
        except CommandError as error:
            raise _gone(repo, error) or error from None

    def run(
        self,
        repo: str,
        *args: str,
        stdin: str | bytes = b"",
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        timeout: float | None = None,
    ) -> str:
        """Run git and return its output without the last line break."""
        finished = self.call(repo, *args, stdin=stdin, environment=environment, options=options, timeout=timeout)
        return finished.text.removesuffix("\n")

    def read(
        self, repo: str, *args: str, stdin: str | bytes = b"", environment: Mapping[str, str] | None = None
    ) -> str:
        """Run a read-only git command, without optional locks that could block other programs."""
        return self.run(repo, *args, stdin=stdin, environment=_reading(environment))

    def ok(self, repo: str, *args: str, environment: Mapping[str, str] | None = None) -> bool:
        """Return whether git exits with 0; 1 means False, and any other exit code is an error."""
        return self.call(repo, *args, environment=_reading(environment), accept=(0, 1)).exit_code == 0

    def fields(
        self, repo: str, *args: str, stdin: str | bytes = b"", environment: Mapping[str, str] | None = None
    ) -> list[str]:
        """Run a read-only git command with `-z` among `args`, and return its null-separated fields."""
        output = self.call(repo, *args, stdin=stdin, environment=_reading(environment)).text
        return output.removesuffix("\0").split("\0") if output else []

    def commit_of(self, repo: str, revision: str) -> str | None:
        """Return the commit id that `revision` names, or None when there is none."""
        finished = self.call(
            repo,
            *("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"),
            environment=_reading(None),
            accept=(0, 1),
        )
        commit = finished.text.strip()
        return None if commit.startswith("^") else commit or None

    def common_dir(self, repo: str) -> str:
        """Return the real path of the git common directory: the identity of a repository."""
        return os.path.realpath(self.read(repo, "rev-parse", "--path-format=absolute", "--git-common-dir"))

    def git_dir(self, repo: str) -> str:
        """Return the real path of a checkout's own git directory, where its HEAD and index are."""
        return os.path.realpath(self.read(repo, "rev-parse", "--absolute-git-dir"))

    def version(self) -> tuple[int, ...]:
        """Return the installed version, such as `(2, 39, 5)`. Raises `DependencyMissingError` without git."""
        try:
            said = self.commands.run(("git", "version"), environment=self._environment, label="git version").text
        except DependencyMissingError as error:
            raise DependencyMissingError("git is not installed, or not on the PATH.", hint=_INSTALL_HINT) from error
        found = re.search(r"\d+(?:\.\d+)+", said)
        return tuple(int(part) for part in found[0].split(".")) if found else ()

    def require(self) -> str:
        """Return the version as text. Raises `DependencyMissingError` when git is absent or too old."""
        found = self.version()
        said = ".".join(map(str, found)) or "of an unknown version"
        if found < REQUIRED_VERSION:
            raise DependencyMissingError(f"git {said} is too old: metawsm needs git 2.38 or newer.", hint=_INSTALL_HINT)
        return said


def _gone(repo: str, error: CommandError) -> CommandError | None:
    """Return the error that says what is missing, where that is why git failed."""
    lost = _LOST.search(error.stderr)
    if lost:
        message = f"The repository of the worktree {repo} is gone ({lost[1]}); put it back where it was."
    elif not os.path.lexists(repo):
        message = f"The folder {repo} is not there; put it back where it was."
    else:
        return None
    return CommandError(message, argv=error.argv, exit_code=error.exit_code, stderr=error.stderr)


def _reading(environment: Mapping[str, str] | None) -> dict[str, str]:
    return {"GIT_OPTIONAL_LOCKS": "0", **(environment or {})}


def _subcommand(args: Sequence[str]) -> Sequence[str]:
    if len(args) > 1 and args[0] in {"worktree", "submodule", "stash", "sparse-checkout"}:
        return args[:2]
    return args[:1]
