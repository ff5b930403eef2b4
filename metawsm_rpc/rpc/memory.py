"""What is remembered of a client: which document a person is at, and what was published."""

from lsprotocol import types


class Memory:
    """The memory of one session; `published` are the diagnostics of policy files."""

    def __init__(self) -> None:
        self._used: dict[str, None] = {}
        self.published: dict[str, list[types.Diagnostic]] = {}

    def used(self, uri: str) -> None:
        """Note that a person is at a document; the protocol has no better sign than what is asked about it."""
        self._used.pop(uri, None)
        self._used[uri] = None

    def closed(self, uri: str) -> None:
        """Note that a document is not open any more."""
        self._used.pop(uri, None)

    @property
    def documents(self) -> tuple[str, ...]:
        """The open documents, the one that was used last first."""
        return tuple(reversed(self._used))
