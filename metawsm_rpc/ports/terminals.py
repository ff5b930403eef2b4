"""The terminals that agents run in."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol


class Launch(NamedTuple):
    """One start of one agent.

    `directory` is a private folder for this launch (environment file, exit record), `environment` the complete
    environment of the program, `transcript` the file for its output, `runner` the kind of program.
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
    """tmux's view of one agent's pane; `activity` is in seconds since the epoch, `id` is tmux's own.

    `command` is the name of its foreground process, empty for the runner `shell`.
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
    """The exit record that the shim writes: `code` as a shell reports it (128 + n for signal n)."""

    code: int
    at: float


class Ended(NamedTuple):
    """The result of ending a session: pids that had to be killed, and `(pid, command)` of survivors."""

    killed: tuple[int, ...]
    survivors: tuple[tuple[int, str], ...]


class Sent(NamedTuple):
    """Whether the program took a text that was typed; `reason` says why not, or what is uncertain."""

    delivered: bool
    reason: str | None


class Terminals(Protocol):
    """Agents in tmux sessions on a private server."""

    def version(self) -> str:
        """Return tmux's version. Raises `DependencyMissingError` when it is absent or too old."""

    def start(self, launch: Launch) -> int:
        """Start the agent's session and return the pid in its pane.

        Returns an existing session of this name if it belongs to the same launch. Raises `HostError` when the
        name is taken otherwise.
        """

    def panes(self) -> tuple[Pane, ...]:
        """Return the panes of this root's agents with one tmux call; empty when no server runs.

        Raises `HostError` when a server runs but does not answer.
        """

    def unlisted(self, launches: Mapping[str, int]) -> frozenset[str]:
        """Return which launches run although `panes` does not list them; `launches` maps each to its pane's pid.

        Waits a moment for those that are just ending. A server whose socket was removed is told to recreate it,
        so that `panes` may list its launches from now on.
        """

    def exit_record(self, directory: str) -> Exit | None:
        """Return how the launch in this folder ended, or None while there is no record."""

    def end(self, session: str, launch: str, pid: int | None, grace_seconds: float) -> Ended:
        """End a session and everything in its process session; harmless when it is gone."""

    def capture(self, session: str, launch: str) -> str:
        """Return the pane's visible text, without escapes."""

    def captures(self, panes: Iterable[Pane]) -> Mapping[str, str]:
        """Return the visible texts of panes by launch, with one tmux call; panes that are gone are left out."""

    def send(self, session: str, launch: str, text: str, *, directory: str, runner: str, forced: bool) -> Sent:
        """Type a text and Enter into an agent's terminal, and check whether the program took it.

        Only one sender types at a time; `directory` is the launch's folder. `runner` is the profile's: nothing
        is typed into a program with known screens while it waits for a decision, unless `forced`. The text must
        contain no control characters except newlines and tabs.
        """

    def attach_command(self, session: str) -> tuple[str, ...]:
        """Return the argv that attaches a person's terminal to a session."""

    def repair_transcript(self, session: str, transcript: str, max_bytes: int) -> None:
        """Resume writing the pane to its transcript after the pipe has died."""

    def printed_before(self, directory: str) -> int:
        """Return the offset in the transcript at which the output of the launch in this folder begins."""

    def read_transcript(self, transcript: str, offset: int, limit: int) -> tuple[bytes, int, int]:
        """Return `(bytes, offset, size)`; offsets are logical and do not change when the transcript rotates.

        A negative `offset` counts from the end; an offset that has been rotated away becomes that of the oldest
        byte kept.
        """
