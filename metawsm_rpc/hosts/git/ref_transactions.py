"""Two-phase moves of branches with git's own ref transactions (`git update-ref --stdin`).

A prepared move is a git process that holds the branch's lock while it waits for the next command, so that
nobody else can commit to the branch. When this process dies, git reaches the end of its input and releases the
lock; only a git that is itself killed leaves its lock behind.
"""

import contextlib
import os
import selectors
import subprocess
import tempfile
import time
from typing import Final

from metawsm_rpc.errors import BaseMovedError, CommandError, HostError, RefLockedError, RefusedMoveError
from metawsm_rpc.hosts.commands import last_words
from metawsm_rpc.hosts.git.checkouts import checkouts_of
from metawsm_rpc.hosts.git.git import Git, branch_ref, git_environment
from metawsm_rpc.ports.merging import RefMove

_ANSWER_SECONDS: Final = 60.0
"""Git answers at once, but a person's reference-transaction hook may take time."""

_END_SECONDS: Final = 5.0


class RefTransactions:
    """The moves that this process has prepared, by key."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._prepared: dict[str, _Transaction] = {}

    def prepare(self, key: str, move: RefMove) -> None:
        """Lock the branch for the move, after aborting what was prepared under the key before.

        Raises:
            BaseMovedError: the branch is not at `old` any more.
            RefLockedError: another process has locked it, or a hook refuses; then nothing is locked by us.
        """
        self.abort(key)
        transaction = _Transaction(self._git, _home(self._git, move))
        ref = branch_ref(move.base)
        try:
            answered = transaction.ask(
                f"start\0update {ref}\0{move.new}\0{move.old}\0prepare\0", "start", "prepare", interruptible=True
            )
        except BaseException:
            transaction.end()
            raise
        if not answered:
            raise self._refusal(move, transaction.end())
        self._prepared[key] = transaction

    def commit(self, key: str) -> None:
        """Commit the prepared move. Raises `HostError` when git does not confirm it."""
        transaction = self._prepared.pop(key, None)
        if transaction is None:
            raise HostError(f"Nothing is prepared for {key}, so there is nothing to commit.")
        confirmed = False
        try:
            confirmed = transaction.ask("commit\0", "commit", interruptible=False)
        finally:
            said = transaction.end()
        if not confirmed:
            raise HostError(f"git did not confirm the prepared move for {key}: {last_words(said) or 'it was ended'}")

    def abort(self, key: str) -> None:
        """Abort a prepared move; harmless when there is none."""
        transaction = self._prepared.pop(key, None)
        if transaction is not None:
            transaction.end()

    def move(self, move: RefMove) -> None:
        """Move the branch in one transaction; harmless when it already contains `new`.

        Raises:
            BaseMovedError: the branch is neither at `old` nor contains `new`.
            RefLockedError: somebody else has locked it, or a hook refuses.
        """
        if _contains(self._git, move):
            return
        arguments = ("update-ref", "-m", "metawsm: close (recovered)", branch_ref(move.base), move.new, move.old)
        try:
            self._git.run(_home(self._git, move), *arguments)
        except CommandError as error:
            raise self._refusal(move, error.stderr) from error

    def _refusal(self, move: RefMove, said: str) -> RefusedMoveError:
        now = self._git.commit_of(move.source, branch_ref(move.base))
        where = f"{move.base} in {move.source}"
        if now is None:
            return BaseMovedError(f"The branch {where} is gone: create it again.")
        if now != move.old:
            return BaseMovedError(
                f"The branch {where} has moved from {move.old[:10]} to {now[:10]} meanwhile: close again."
            )
        if "by hook" in said:
            return RefLockedError(f"A reference-transaction hook refuses the move of {where}: {_hook_words(said)}")
        return RefLockedError(f"The branch {where} cannot be locked: {last_words(said) or 'git ended without a word'}")


class _Transaction:
    """One `git update-ref --stdin` process that waits for commands."""

    def __init__(self, git: Git, folder: str) -> None:
        self._commands = git.commands
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end(); a pipe could fill up with a hook's words
        try:
            # A session of its own: a Ctrl-C in the terminal must not end it between two repositories. Python
            # closes all other descriptors in every child, so no other child of ours keeps this one's input open
            # when we die.
            self._process = subprocess.Popen(
                ("git", "update-ref", "--stdin", "-z", "-m", "metawsm: close"),
                cwd=folder,
                env=git_environment(os.environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            self._errors.close()
            raise HostError(f"git update-ref could not start in {folder}: {error.strerror or error}.") from error

    def ask(self, commands: str, *names: str, interruptible: bool) -> bool:
        """Send commands and return whether git answered `NAME: ok` for each name, in order."""
        assert self._process.stdin is not None  # noqa: S101 - tells the type checker what Popen was asked for
        try:
            self._process.stdin.write(os.fsencode(commands))
        except BrokenPipeError:
            return False
        return self._read_lines(len(names), interruptible=interruptible) == [f"{name}: ok".encode() for name in names]

    def end(self) -> str:
        """Close git's input, so that it releases its locks, and return its standard error."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        for stop in (None, self._process.terminate, self._process.kill):
            if stop is not None:
                stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
                break
        with self._errors:
            self._errors.seek(0)
            return self._errors.read().decode("utf-8", "replace")

    def _read_lines(self, count: int, *, interruptible: bool) -> list[bytes]:
        assert self._process.stdout is not None  # noqa: S101 - as above
        received = b""
        deadline = time.monotonic() + _ANSWER_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while received.count(b"\n") < count and time.monotonic() < deadline:
                if interruptible:
                    self._commands.check_interrupted("git update-ref")
                if selector.select(0.1):
                    data = os.read(self._process.stdout.fileno(), 4096)
                    if not data:
                        break
                    received += data
        return received.splitlines()


def _home(git: Git, move: RefMove) -> str:
    """Return where to run git, so that the move is recorded in the reflog of the HEAD that points to the branch."""
    return next(iter(checkouts_of(git, move.source, move.base)), move.source)


def _contains(git: Git, move: RefMove) -> bool:
    now = git.commit_of(move.source, branch_ref(move.base))
    if now is None or now == move.new:
        return now is not None
    return now != move.old and git.ok(move.source, "merge-base", "--is-ancestor", move.new, now)


def _hook_words(said: str) -> str:
    own = [line.strip() for line in said.splitlines() if line.strip() and "aborted by hook" not in line]
    return own[-1] if own else "it did not say why"
