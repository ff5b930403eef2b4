"""The folder of one launch: files that the shim in the pane reads, and the exit record that it writes.

`environment` and `command` are written for `shim.sh`, which removes the former once it has read it; the shim
writes `exit` atomically. `printed` is the length of the transcript before the launch. Everything is private to
the user.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from metawsm_rpc.errors import HostError
from metawsm_rpc.ports.terminals import Exit

SHIM = str(Path(__file__).with_name("shim.sh"))

_EXPORTABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_OWNED_BY_THE_SHELL = frozenset({"BASHOPTS", "BASH_VERSINFO", "EUID", "OPTIND", "PPID", "SHELLOPTS", "UID"})
"""Read-only shell variables: setting one ends the shell."""


def write(directory: str, *, argv: Sequence[str], cwd: str, environment: Mapping[str, str]) -> None:
    """Prepare a launch's folder, creating it with mode 0700 if necessary.

    Variables whose names no shell can export (`BASH_FUNC_x%%`, `ProgramFiles(x86)`) are left out.

    Raises:
        HostError: the program's name cannot be run by a shell, or the folder cannot be written.
    """
    if not argv or not argv[0] or argv[0].startswith("-"):
        raise HostError(f"The command {list(argv)!r} names no program: give one that does not begin with '-'.")
    exports = [
        f"export {name}={_quoted(value)}"
        for name, value in environment.items()
        if _EXPORTABLE.fullmatch(name) and name not in _OWNED_BY_THE_SHELL
    ]
    try:
        Path(directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        command = [
            f"umask {_umask(directory):04o}",
            f"cd -- {_quoted(cwd)} || exit 126",
            f"set -- {' '.join(map(_quoted, argv))}",
        ]
        Path(directory, "exit").unlink(missing_ok=True)
        _write(f"{directory}/environment", exports)
        _write(f"{directory}/command", command)
    except OSError as error:
        raise HostError(f"The folder {directory} of the launch cannot be written: {error.strerror}.") from error


def is_prepared(directory: str) -> bool:
    """Return whether the launch's files have been written."""
    return Path(directory, "command").exists()


def discard_environment(directory: str) -> None:
    """Remove the environment file of a launch whose shim will not read it."""
    Path(directory, "environment").unlink(missing_ok=True)


def note_printed(directory: str, size: int) -> None:
    """Record how long the transcript is before the launch prints anything. Raises `HostError`."""
    try:
        _write(f"{directory}/printed", [str(size)])
    except OSError as error:
        raise HostError(f"The folder {directory} of the launch cannot be written: {error.strerror}.") from error


def printed_before(directory: str) -> int:
    """Return how long the transcript was before the launch; 0 when that was not recorded."""
    try:
        return int(Path(directory, "printed").read_text("ascii"))
    except (OSError, ValueError):
        return 0


def exit_record(directory: str) -> Exit | None:
    """Return how the launch ended, or None while there is no record; its time is the file's.

    What an agent has put in its place is no record, and keeps nobody from looking at the others.
    """
    try:
        with open(f"{directory}/exit", "rb") as record:  # noqa: PTH123 - read for every agent in a sweep
            return Exit(int(record.read()), os.fstat(record.fileno()).st_mtime)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError, ValueError):
        return None  # also a machine that lost its power may leave an empty one behind
    except OSError as error:
        raise HostError(f"The exit record {directory}/exit cannot be read: {error}.") from error


def _quoted(text: str) -> str:
    """Return a value quoted as one shell word, whatever bytes are in it."""
    return "'" + text.replace("'", "'\\''") + "'"


def _write(path: str, lines: Sequence[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:  # noqa: PTH123 - pathlib takes no mode
        file.write(os.fsencode(text))


def _umask(directory: str) -> int:
    """Return this process's umask without changing it for a moment, as `os.umask` does."""
    probe = f"{directory}/umask.{os.getpid()}"
    os.mkdir(probe, 0o777)  # noqa: PTH102 - beside rmdir
    try:
        return 0o777 & ~os.stat(probe).st_mode  # noqa: PTH116
    finally:
        os.rmdir(probe)  # noqa: PTH106
