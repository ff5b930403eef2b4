"""Transcripts: everything that a pane prints, in files of limited size that outlive all processes.

`transcript.sh` writes them, one process per pane, without any metawsm process. A transcript is a file that
holds the newest segment, and beside it older segments named after the offset of their first byte,
`NAME.000000001048576`. Offsets are logical: they count from the first byte that was ever printed, and rotation
does not change them.
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
"""The number of segments: rotation drops an eighth of the limit at a time."""

_SMALLEST_SEGMENT = 4096
"""The writer's block size; a limit below eight blocks cannot be kept."""

_NOT_PLAIN = re.compile(rb"[^A-Za-z0-9._/-]")


def pipe_command(transcript: str, max_bytes: int) -> str:
    """Return the shell command for tmux to pipe a pane to.

    tmux expands this text as a format and as a time (`#(…)`, `%Y`) before a shell reads it, so paths are
    written as octal escapes, without either character.
    """
    segment = max(max_bytes // _SEGMENTS, _SMALLEST_SEGMENT)
    return f"exec /bin/sh {_encoded(WRITER)} {_encoded(transcript)} {segment} {_SEGMENTS}"


def prepare(transcript: str) -> None:
    """Create the folder of a transcript, private to the user. Raises `HostError`."""
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
    """Yield the existing segments, oldest first, as a consistent snapshot.

    The newest is opened before the others are listed, so that a segment renamed meanwhile is found under its
    new name.
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
        if file is None:  # the oldest was deleted meanwhile
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
    """Return a shell word that stands for the path and contains neither `#` nor `%`."""
    octal = _NOT_PLAIN.sub(lambda match: b"\\%03o" % ord(match[0]), os.fsencode(path)).decode()
    return f"\"$(printf '{octal}')\""
