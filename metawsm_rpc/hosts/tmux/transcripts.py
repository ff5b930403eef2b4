"""Transcripts: everything that a pane prints, in files that have a limit and outlive everybody.

`transcript.sh` writes them, one for each pane, with no metawsm process needed. A transcript is the
file of its name, which is the newest segment, and older segments beside it that are called after
the offset of their first byte, `NAME.000000001048576`. Offsets are logical: they count from the
first byte that was ever printed, and rotation does not change them.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from metawsm_rpc.errors import HostError

WRITER = str(Path(__file__).with_name("transcript.sh"))

_SEGMENTS = 8
"""Of the limit, an eighth goes at a time."""

_SMALLEST_SEGMENT = 4096
"""What the writer reads at once, so that no limit below eight of these can hold."""

_NOT_PLAIN = re.compile(rb"[^A-Za-z0-9._/-]")


def pipe_command(transcript: str, max_bytes: int) -> str:
    """Return the shell command that tmux is to pipe a pane to.

    tmux expands this text as a format and as a time (`#(…)`, `%Y`) before a shell reads it, so
    paths stand in it as octal escapes, and neither sign occurs.
    """
    segment = max(max_bytes // _SEGMENTS, _SMALLEST_SEGMENT)
    return f"exec /bin/sh {_encoded(WRITER)} {_encoded(transcript)} {segment} {_SEGMENTS}"


def prepare(transcript: str) -> None:
    """Make the folder of a transcript, private to the user. Raises `HostError`."""
    folder = Path(transcript).parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(f"The folder {folder} for transcripts cannot be made: {error.strerror}.") from error


def read(transcript: str, offset: int, limit: int) -> tuple[bytes, int, int]:
    """Return `(bytes, offset, size)`, as `Terminals.read_transcript` says; `size` is 0 before the first byte.

    Raises:
        HostError: the files cannot be read.
    """
    try:
        with contextlib.ExitStack() as stack:
            segments = list(_segments(transcript, stack))
            size = segments[-1].end if segments else 0
            oldest = segments[0].start if segments else 0
            at = min(max(size + offset if offset < 0 else offset, oldest), size)
            data = bytearray()
            for segment in segments:
                position = at + len(data)
                if segment.start <= position < segment.end:
                    segment.file.seek(position - segment.start)
                    data += segment.file.read(min(segment.end - position, limit - len(data)))
            return bytes(data), at, size
    except OSError as error:
        raise HostError(f"The transcript {transcript} cannot be read: {error.strerror}.") from error


class _Segment(NamedTuple):
    """An open file that holds the bytes from `start` to `end`."""

    file: BinaryIO
    start: int
    end: int


def _segments(transcript: str, stack: contextlib.ExitStack) -> Iterator[_Segment]:
    """Yield what is kept, oldest first, as it was at one moment.

    The newest is opened before the others are looked for, so that one that is renamed meanwhile is
    seen under its new name and not missed.
    """
    folder, name = os.path.split(transcript)
    newest = _opened(transcript, stack)
    older = re.compile(re.escape(name) + r"\.[0-9]{15}")
    end = 0
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names only
    except FileNotFoundError:
        return
    for path in sorted(filter(older.fullmatch, names)):
        file = _opened(f"{folder}/{path}", stack)
        if file is None:  # deleted meanwhile, being the oldest
            continue
        if newest and os.path.sameopenfile(file.fileno(), newest.fileno()):
            newest = None
        start = int(path[-15:])
        end = start + os.fstat(file.fileno()).st_size
        yield _Segment(file, start, end)
    if newest:
        yield _Segment(newest, end, end + os.fstat(newest.fileno()).st_size)


def _opened(path: str, stack: contextlib.ExitStack) -> BinaryIO | None:
    try:
        return stack.enter_context(open(path, "rb"))  # noqa: PTH123 - the names are text here
    except FileNotFoundError:
        return None


def _encoded(path: str) -> str:
    """Return a word of the shell that stands for the path and has neither `#` nor `%` in it."""
    octal = _NOT_PLAIN.sub(lambda match: b"\\%03o" % ord(match[0]), os.fsencode(path)).decode()
    return f"\"$(printf '{octal}')\""
