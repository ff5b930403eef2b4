"""The files below `.metawsm` besides the database: folders for each agent of a run.

    .metawsm/agents/<run>/<ticket>/<agent>/brief/brief.md what the agent is asked to do
                                          /transcript       what it printed last; older parts beside it
                                          /launches/<launch>/   environment file, exit record
    .metawsm/drop/<run>/<ticket>/<agent>/   signals that could not reach the database

Drop boxes are in a tree of their own, in which nothing else changes, so that it can be watched. Every name in
these paths has been validated by `domain/names.py`.
"""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from metawsm_rpc.errors import HostError
from metawsm_rpc.ports.folders import AgentPaths, Dropped

_STEP_NS = 2_000_000_000
"""More than the timestamp resolution of any file system."""


_MOST_BYTES = 4_000_000
"""More than any signal needs (`engine/signals.py`); nothing beyond this is read."""


class LocalFolders:
    """Implements `metawsm_rpc.ports.folders.Folders` below a state directory."""

    def __init__(self, state: Path) -> None:
        self._agents = f"{state}/agents"
        self._drop = f"{state}/drop"
        self._empty: dict[str, int] = {}

    def paths(self, run_id: str, ticket: str, agent: str) -> AgentPaths:
        """Return where an agent's files are, without creating them."""
        # Strings instead of Path for speed: a status does this for every agent.
        directory = f"{self._agents}/{run_id}/{ticket}/{agent}"
        return AgentPaths(
            brief=f"{directory}/brief/brief.md",
            transcript=f"{directory}/transcript",
            drop_box=f"{self._drop}/{run_id}/{ticket}/{agent}",
            launches=f"{directory}/launches",
        )

    def launch_directory(self, paths: AgentPaths, launch: str) -> str:
        """Return the private folder of a launch, without creating it."""
        return f"{paths.launches}/{launch}"

    def prepare(self, paths: AgentPaths, launch: str, brief: str) -> None:
        """Create the folders of a launch and write the brief atomically."""
        for directory in (
            str(Path(paths.brief).parent),
            paths.drop_box,
            paths.launches,
            self.launch_directory(paths, launch),
        ):
            _make_private(Path(directory))
        target = Path(paths.brief)
        draft = target.with_name(".brief.draft")  # a file left by a crash is overwritten
        try:
            descriptor = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(brief)
            draft.replace(target)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise HostError(f"The brief {target} cannot be written: {error.strerror}.") from error

    def discard_launch(self, paths: AgentPaths, launch: str) -> None:
        """Remove the folder of a launch that was never started, with the environment file in it."""
        import shutil

        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.launch_directory(paths, launch))

    def leave(self, paths: AgentPaths, name: str, text: str) -> None:
        """Put a file into the agent's drop box atomically, replacing one with this name."""
        draft = f"{paths.drop_box}/.{os.getpid()}-{time.monotonic_ns()}.draft"
        try:
            # The agent can write here, too: never follow a link that it may have placed.
            descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
                file.write(text)
            os.rename(draft, f"{paths.drop_box}/{name}")  # noqa: PTH104 - text, as it is
        except OSError as error:
            raise HostError(f"The drop box {paths.drop_box} cannot be written: {error.strerror}.") from error

    def left(self, paths: AgentPaths, name: str) -> str | None:
        """Return the content of a file in the agent's drop box, None when there is no such regular file."""
        try:
            return _read(f"{paths.drop_box}/{name}")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HostError(f"The drop box {paths.drop_box} cannot be read: {error.strerror}.") from error

    def dropped(self, paths: AgentPaths) -> tuple[Dropped, ...]:
        """Return the signals in the agent's drop box, oldest first.

        Names that begin with a dot are still being written. A box in whose place the agent has put something
        else holds none, and keeps nobody from looking at the others.
        """
        try:
            if self._is_empty(paths.drop_box):
                return ()
            box = Path(paths.drop_box)
            with os.scandir(box) as entries:
                files = sorted(
                    (entry.stat(follow_symlinks=False).st_mtime_ns, entry.name)
                    for entry in entries
                    if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False)
                )
            return tuple(Dropped(name, _text(box / name)) for _, name in files)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return ()
        except OSError as error:
            raise HostError(f"The drop box {paths.drop_box} cannot be read: {error.strerror}.") from error

    def _is_empty(self, box: str) -> bool:
        """Return whether a box is empty, quickly: it nearly always is, and every sweep asks for every agent.

        A folder that has not changed since it was found empty still is. Its modification time must be old
        enough that a later change would have had a different one.
        """
        # A link that the agent has put there is not followed: what is elsewhere is not its own to drop.
        found = os.lstat(box)
        written = found.st_mtime_ns
        if not stat.S_ISDIR(found.st_mode) or self._empty.get(box) == written:
            return True
        if os.listdir(box):  # noqa: PTH208 - the same
            return False
        if time.time_ns() - written > _STEP_NS:
            self._empty[box] = written
        return True

    def discard(self, paths: AgentPaths, dropped_id: str) -> None:
        """Remove a signal from the drop box; harmless when it is gone, or the agent keeps it from being removed."""
        # It has been received, and is not received twice; the other boxes must still be read.
        with contextlib.suppress(OSError):
            os.unlink(f"{paths.drop_box}/{dropped_id}")  # noqa: PTH108 - text, as it is

    @contextlib.contextmanager
    def awaiting(self, paths: AgentPaths, guidance_id: str) -> Iterator[None]:
        """Mark, within the block, that this process waits for the answer to a question; several processes may."""
        # Each has a mark of its own, which stays when another one ends its wait.
        mark = f"{_waiting_mark(paths, guidance_id)}.{os.urandom(6).hex()}"
        descriptor = _opened_mark(paths, mark)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            Path(mark).unlink(missing_ok=True)
            os.close(descriptor)

    @contextlib.contextmanager
    def claiming(self, paths: AgentPaths, what: str) -> Iterator[bool]:
        """Claim something of the agent for this process; the block is given False while a live one has it."""
        mark = _waiting_mark(paths, what)
        descriptor = _claimed(paths, mark)
        if descriptor is None:
            yield False
            return
        try:
            yield True
        finally:
            Path(mark).unlink(missing_ok=True)
            os.close(descriptor)

    def is_awaited(self, paths: AgentPaths, guidance_id: str) -> bool:
        """Return whether a live process waits for the answer: the kernel releases a dead one's lock."""
        box, mark = os.path.split(_waiting_mark(paths, guidance_id))
        try:
            names = os.listdir(box)  # noqa: PTH208 - names only
        except OSError:  # nobody has waited there
            return False
        return any(_is_locked(f"{box}/{name}") for name in names if name.startswith(f"{mark}."))

    def workspace_path(self, directory: str, name: str, now: float) -> str:
        """Return the path for a new workspace: `<directory>/<local date>/<name>`."""
        date = datetime.fromtimestamp(now).astimezone().date().isoformat()
        return str(Path(directory).expanduser().absolute() / date / name)

    def occupied(self, path: str) -> bool:
        """Return whether something exists at this path; an empty folder does not count."""
        try:
            with os.scandir(path) as entries:
                return next(entries, None) is not None
        except FileNotFoundError:
            return False
        except OSError:
            return True

    def remove_empty(self, path: str) -> None:
        """Remove a workspace's folder if nothing is left in it but empty folders, such as sandboxes leave."""
        folder = Path(path)
        with contextlib.suppress(OSError):
            inner = [place for place in folder.iterdir() if not place.is_symlink()]
            if all(place.is_dir() and not any(place.iterdir()) for place in inner):
                for place in inner:
                    place.rmdir()
        # Not empty, or gone: either is fine. The folder of the day is removed with its last workspace.
        for place in (folder, folder.parent):
            with contextlib.suppress(OSError):
                place.rmdir()


def _waiting_mark(paths: AgentPaths, guidance_id: str) -> str:
    """Return the file that waiting processes lock. Its name is safe for any id, and marks it as not a signal."""
    from hashlib import sha256

    return f"{paths.drop_box}/.wait-{sha256(guidance_id.encode()).hexdigest()[:32]}"


def _opened_mark(paths: AgentPaths, mark: str) -> int:
    try:
        Path(paths.drop_box).mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(mark, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise HostError(f"The drop box {paths.drop_box} cannot be written: {error.strerror}.") from error


def _is_locked(mark: str) -> bool:
    """Return whether a live process holds a mark."""
    try:
        # The agent can write here, too: never follow a link that it may have placed.
        descriptor = os.open(mark, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # gone, or not lockable
        return False
    try:
        # Shared, so that two processes that check at once do not take each other for one that waits.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _claimed(paths: AgentPaths, mark: str) -> int | None:
    """Return the lock of a mark, None while somebody else has it."""
    while True:
        descriptor = _opened_mark(paths, mark)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        # Who had it may have removed the mark since it was opened here.
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)


def _text(file: Path) -> str:
    """Return a file's text; empty for one of another user that cannot be read."""
    try:
        return _read(file) or ""
    except PermissionError:
        return ""


def _read(file: str | Path) -> str | None:
    """Return the beginning of a regular file, None for anything else, even if an agent swaps it meanwhile."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            return None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as opened:
        return opened.read(_MOST_BYTES).decode("utf-8", "replace")


def _make_private(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(f"The folder {directory} cannot be made: {error.strerror}.") from error
