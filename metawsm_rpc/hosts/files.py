"""Files that other programs also read: replaced atomically, and changed by one process at a time."""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from metawsm_rpc.errors import HostError


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees either its old or its new content, never a part.

    The caller must hold the folder with `exclusive`. The mode of an existing file is kept. Raises `HostError`
    when it cannot be written.
    """
    draft = path.with_name(f".{path.name}.draft")
    try:
        descriptor = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            with contextlib.suppress(FileNotFoundError):
                os.fchmod(descriptor, stat.S_IMODE(path.stat().st_mode))
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise HostError(f"{path} cannot be written: {error.strerror}.") from error


@contextlib.contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Hold a folder's lock, which the kernel releases when this process ends; create the folder if necessary.

    Raises `HostError` when the folder cannot be created or opened.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise HostError(f"The folder {directory} cannot be used: {error.strerror}.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
