"""What the engine needs of the terminals in which agents live."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol


class Launch(NamedTuple):
    """One start of one agent.

    `directory` is a private folder for this launch (environment file, exit record, drop box),
    `environment` the complete environment of the program, `transcript` where its output goes,
    `runner` the kind of program.
    """

    run_id: str
    ticket: str
    agent: str
    launch: str
    session: str
    argv: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str]
    directory: str
    transcript: str
    transcript_max_bytes: int
    runner: str = "shell"


class Pane(NamedTuple):
    """What tmux says of one agent's pane; `activity` is in seconds since the epoch, `id` tmux's own.

    `command` is the name of the process in its foreground, empty for the runner `shell`.
    """

    session: str
    pid: int
    run_id: str
    ticket: str
    agent: str
    launch: str
    activity: float
    title: str
    command: str
    piped: bool
    id: str = ""


class Exit(NamedTuple):
    """The shim's record of an end: `code` as the shell gives it (128 + n for signal n)."""

    code: int
    at: float


class Ended(NamedTuple):
    """How a session ended: pids that had to be killed, and `(pid, command)` that are still there."""

    killed: tuple[int, ...]
    survivors: tuple[tuple[int, str], ...]


class Sent(NamedTuple):
    """Whether a text was taken by the program that it was typed into; `reason` says why not, or what is not sure."""

    delivered: bool
    reason: str | None


class Terminals(Protocol):
    """Agents in tmux sessions on a private server."""

    def version(self) -> str:
        """Return tmux's version. Raises `DependencyMissingError` when it is absent or too old."""

    def start(self, launch: Launch) -> int:
        """Start the agent's session and return the pid in its pane.

        A session of this name with the same launch is answered as it is. Raises `HostError` when
        the name is taken by something else.
        """

    def panes(self) -> tuple[Pane, ...]:
        """Return the panes of this root's agents with one tmux call; empty when no server runs.

        Raises `HostError` when there is a server that does not answer.
        """

    def unlisted(self, launches: Mapping[str, int]) -> frozenset[str]:
        """Return which of these launches run although `panes` does not list them; by launch, the pid in its pane.

        Waits a moment for those that are just ending. A server whose socket is gone makes it anew, so
        that `panes` may list them from now on.
        """

    def exit_record(self, directory: str) -> Exit | None:
        """Return how the launch in this folder ended, or None while there is no record."""

    def end(self, session: str, launch: str, pid: int | None, grace_seconds: float) -> Ended:
        """End a session and everything in its process session; harmless when it is gone."""

    def capture(self, session: str, launch: str) -> str:
        """Return the pane's visible text, without escapes."""

    def captures(self, panes: Iterable[Pane]) -> Mapping[str, str]:
        """Return the visible texts of panes by launch, with one tmux call; without those that are gone."""

    def send(self, session: str, launch: str, text: str, *, directory: str, runner: str, forced: bool) -> Sent:
        """Type a text and Enter into an agent's terminal, and look whether it was taken.

        One sender at a time; `directory` is the launch's folder. `runner` is the profile's: a
        program whose screens are known is not typed into while it waits for a decision, unless
        `forced`. The text has no control characters but newlines and tabs.
        """

    def attach_command(self, session: str) -> tuple[str, ...]:
        """Return the argv that shows a session in a person's terminal."""

    def repair_transcript(self, session: str, transcript: str, max_bytes: int) -> None:
        """Pipe the pane to its transcript again, after its pipe died."""

    def printed_before(self, directory: str) -> int:
        """Return the offset in the transcript at which the output of the launch in this folder begins."""

    def read_transcript(self, transcript: str, offset: int, limit: int) -> tuple[bytes, int, int]:
        """Return `(bytes, offset, size)`: logical offsets, which rotation does not change.

        A negative `offset` counts from the end; an offset that rotation has dropped is moved to
        the oldest byte that is kept.
        """
