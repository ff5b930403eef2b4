"""What is remembered of a client: which document a person is at, and what was published and shown."""

from typing import TYPE_CHECKING

from lsprotocol import types

if TYPE_CHECKING:
    from pathlib import Path


class Memory:
    """The memory of one session.

    `published` are the diagnostics of policy files, `folder` is where documents are written for
    editors that open only files.
    """

    def __init__(self) -> None:
        self._used: dict[str, None] = {}
        self.published: dict[str, list[types.Diagnostic]] = {}
        self.folder: Path | None = None

    def used(self, uri: str) -> None:
        """Note that a person is at a document; the protocol has no better sign than what is asked about it."""
        self._used.pop(uri, None)
        self._used[uri] = None

    def closed(self, uri: str) -> None:
        """Note that a document is not open any more."""
        self._used.pop(uri, None)

    def forget(self) -> None:
        """Remove what was written for the editor."""
        if self.folder is not None:
            import shutil

            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def documents(self) -> tuple[str, ...]:
        """The open documents, the one that was used last first."""
        return tuple(reversed(self._used))
