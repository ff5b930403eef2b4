"""Runs programs: with a timeout, interruptible, and with errors that say what went wrong.

A program gets its own session, so that Ctrl-C in the terminal reaches metawsm alone, which then ends the
program cleanly. A program has ended when it exits, not when its pipes close, so a hook that leaves something
running in the background delays nothing.
"""

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from metawsm_rpc.errors import CommandError, DependencyMissingError, HostError, InterruptedStepError

_GRACE_SECONDS = 0.3
"""From SIGTERM, on which git removes its lock files, to SIGKILL."""

_PIPE_BYTES = 1 << 20
"""No pipe holds more than this, so one read takes what a program wrote before it exited."""


class Finished(NamedTuple):
    """What a program did: `exit_code` is negative when a signal ended it."""

    argv: tuple[str, ...]
    exit_code: int
    output: bytes
    errors: str

    @property
    def text(self) -> str:
        """The output as text; bytes that are not UTF-8 become surrogates, as in file names."""
        return self.output.decode("utf-8", "surrogateescape")


class Commands:
    """Runs programs for one owner, which can interrupt all of them at once, from any thread.

    Attributes:
        timeout: seconds that a program may take unless a call says otherwise; None for no limit.
    """

    def __init__(self, timeout: float | None = None) -> None:
        self.timeout = timeout
        self._lock = threading.RLock()  # reentrant: a signal handler may call `interrupt` during a start
        self._running: set[_Child] = set()
        self._interrupted = False

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: float | None = None,
        stdin: str | bytes = b"",
        tail_bytes: int | None = None,
        inherit: Sequence[int] = (),
        label: str | None = None,
        accept: Collection[int] | None = (0,),
    ) -> Finished:
        """Run a program to its end and return what it wrote.

        Args:
            argv: the program and its arguments; no shell is involved.
            cwd: the folder to run in; this process's own by default.
            environment: the complete environment; this process's own by default.
            timeout: seconds after which the program and its process group are ended.
            stdin: what the program reads; nothing by default.
            tail_bytes: keep about this much of the end of what it writes, to standard output and
                standard error together in the order in which it comes; all of it by default.
            inherit: file descriptors that the program gets, such as that of a lock which it should
                keep when this process is killed.
            label: how an error names the command; the command line by default.
            accept: the exit codes that are not errors; None accepts every one.

        Raises:
            CommandError: it exited with another code, or did not finish in time.
            DependencyMissingError: the program is not installed.
            InterruptedStepError: `interrupt` was called, before or meanwhile.
            HostError: it could not be started for another reason.
        """
        timeout = self.timeout if timeout is None else timeout
        label = label or _shortened(shlex.join(argv))
        given = stdin.encode("utf-8", "surrogateescape") if isinstance(stdin, str) else stdin
        child: _Child | None = None
        ended_by_itself = False
        try:
            with self._lock:  # started under the lock, so that no interrupt can miss a program
                self.check_interrupted(label)
                merged = tail_bytes is not None
                child = _Child(_start(argv, cwd, environment, inherit, label, given=bool(given), merged=merged))
                self._running.add(child)
                self.check_interrupted(label)
            output, errors, in_time = child.converse(given, timeout, tail_bytes)
            ended_by_itself = in_time and not self._interrupted and child.exit_code >= 0
        finally:
            if child is not None:
                if not ended_by_itself:
                    child.end()
                with self._lock:
                    self._running.discard(child)
                child.close()
        self.check_interrupted(label)
        finished = Finished(tuple(argv), child.exit_code, output, errors.decode("utf-8", "replace"))
        if not in_time:
            raise _failure(finished, f"{label} did not finish within {timeout:g} seconds and was ended")
        if accept is not None and finished.exit_code not in accept:
            raise _failure(finished, f"{label} failed")
        return finished

    def interrupt(self) -> None:
        """End all programs that run for this object, and refuse to start more.

        Git gets the moment that it needs to remove its lock files; after that, everything left is killed.
        """
        with self._lock:
            self._interrupted = True
            for child in self._running:
                child.interrupt()

    def check_interrupted(self, label: str) -> None:
        """Raise `InterruptedStepError` if `interrupt` was called; for use between two programs."""
        if self._interrupted:
            raise InterruptedStepError(f"{label} was interrupted because the work was stopped.")


class _Child:
    """A running program: its pipes, and a thread that waits for its exit."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._outputs = [pipe for pipe in (process.stdout, process.stderr) if pipe is not None]
        self._exited = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        self._waiter = threading.Thread(target=self._wait, daemon=True)
        try:
            self._waiter.start()
        except BaseException:
            self._signal(signal.SIGKILL)
            raise

    @property
    def exit_code(self) -> int:
        """The exit code; that of SIGKILL for a program that the kernel has not reaped yet."""
        code = self._process.returncode
        return -signal.SIGKILL if code is None else code

    def converse(self, given: bytes, timeout: float | None, tail_bytes: int | None) -> tuple[bytes, bytes, bool]:
        """Write `given` and read until the program exits, is interrupted, or exceeds `timeout` seconds.

        Returns `(output, errors, whether it finished in time)`.
        """
        stdin = self._process.stdin
        read = {pipe.fileno(): _Received(tail_bytes) for pipe in self._outputs}
        rest = memoryview(given)
        deadline = None if timeout is None else time.monotonic() + timeout
        in_time = woken = False
        with selectors.PollSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ)
            for descriptor in read:
                os.set_blocking(descriptor, False)
                selector.register(descriptor, selectors.EVENT_READ)
            if stdin is not None:
                os.set_blocking(stdin.fileno(), False)
                selector.register(stdin, selectors.EVENT_WRITE)
            while not woken:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                for key, _ in selector.select(left):
                    if key.fd == self._wake_read:
                        woken = in_time = True
                    elif key.fd in read:
                        if not read[key.fd].take(key.fd):
                            selector.unregister(key.fd)
                    elif stdin is not None:
                        rest = _write(key.fd, rest)
                        if not rest:
                            selector.unregister(stdin)
                            stdin.close()
        for descriptor, received in read.items():
            received.take(descriptor)
        output, errors = [*(received.joined() for received in read.values()), b""][:2]
        return output, errors, in_time

    def interrupt(self) -> None:
        """Ask the process group to terminate, and wake the thread that reads from it."""
        if not self._exited.is_set():
            self._signal(signal.SIGTERM)
        os.write(self._wake_write, b"i")

    def end(self) -> None:
        """End the whole process group; returns when it is gone, or when even SIGKILL has failed."""
        self._signal(signal.SIGTERM)
        self._exited.wait(_GRACE_SECONDS)
        self._signal(signal.SIGKILL)
        self._exited.wait(_GRACE_SECONDS)

    def close(self) -> None:
        """Close the descriptors."""
        for pipe in (self._process.stdin, *self._outputs):
            if pipe is not None:
                pipe.close()
        if self._exited.is_set():
            self._waiter.join()
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _wait(self) -> None:
        self._process.wait()
        self._exited.set()
        os.write(self._wake_write, b"x")

    def _signal(self, number: signal.Signals) -> None:
        # macOS answers EPERM for a group of zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


class _Received:
    """The output received from one pipe, or its tail."""

    def __init__(self, tail_bytes: int | None) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._tail_bytes = tail_bytes

    def take(self, descriptor: int) -> bool:
        """Read what is available; return False when nothing is, which after a poll means end of file."""
        try:
            data = os.read(descriptor, _PIPE_BYTES)
        except BlockingIOError:
            return False
        self._parts.append(data)
        self._size += len(data)
        if self._tail_bytes is not None and self._size > self._tail_bytes + _PIPE_BYTES:
            self._parts = [self.joined()]
            self._size = len(self._parts[0])
        return bool(data)

    def joined(self) -> bytes:
        """Return the whole output, or the requested tail."""
        data = b"".join(self._parts)
        return data if self._tail_bytes is None else data[-self._tail_bytes :]


def _start(
    argv: Sequence[str],
    cwd: str | None,
    environment: Mapping[str, str] | None,
    inherit: Sequence[int],
    label: str,
    *,
    given: bool,
    merged: bool,
) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env=environment,
            stdin=subprocess.PIPE if given else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            start_new_session=True,
            pass_fds=inherit,
            bufsize=0,
        )
    except OSError as error:
        if cwd is not None and not os.path.isdir(cwd):  # noqa: PTH112 - pathlib would be imported for this alone
            raise HostError(f"{label} could not start: the folder {cwd} does not exist.") from error
        if isinstance(error, FileNotFoundError):
            program = argv[0]
            raise DependencyMissingError(
                f"{program} is not installed, or not on the PATH.",
                hint=f"Install {program}, for example with `apt install {program}` or `brew install {program}`.",
            ) from error
        raise HostError(f"{label} could not start: {error.strerror or error}.") from error
    except ValueError as error:  # a null character in an argument
        raise HostError(f"{label} could not start: {error}.") from error


def _write(descriptor: int, rest: memoryview) -> memoryview:
    try:
        return rest[os.write(descriptor, rest) :]
    except BlockingIOError:
        return rest
    except BrokenPipeError:  # it has closed its input, which is its right
        return rest[:0]


def last_words(errors: str) -> str:
    """Return the cause of a failure from a program's standard error, on one line.

    That is its first and last `fatal:` or `error:` line without these words, because git begins with the cause
    and ends with the consequence; else the last line that is not a hint. Control characters are removed.
    """
    lines = ["".join(letter for letter in line if letter.isprintable()).strip() for line in errors.splitlines()]
    telling = [line.partition(":")[2].strip() for line in lines if line.startswith(("fatal:", "error:"))]
    if telling:
        return "; ".join(dict.fromkeys((telling[0], telling[-1])))
    return next((line for line in reversed(lines) if line and not line.startswith("hint:")), "")


def _failure(finished: Finished, message: str) -> CommandError:
    written = finished.errors.strip() or finished.output.decode("utf-8", "replace")
    said = last_words(written)
    if not said:
        said = f"signal {-finished.exit_code}" if finished.exit_code < 0 else f"exit code {finished.exit_code}"
    return CommandError(f"{message}: {said}", argv=finished.argv, exit_code=finished.exit_code, stderr=written)


def _shortened(text: str, limit: int = 120) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
