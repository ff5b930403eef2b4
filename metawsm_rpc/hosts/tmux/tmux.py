"""Agents in tmux: one session each, on a private server with its own configuration.

All requests go through the `tmux` command, in as few calls as possible: a call takes 3 ms whatever it does.
Importing libtmux takes 70 ms, and building its objects many calls. (The tests use it as an independent
witness.)

tmux expands `#(command)` in some arguments, session names and folders among them. So external values are passed
in files or encoded; only allow-listed names are used as arguments.
"""

import os
import re
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from metawsm_rpc.errors import CommandError, DependencyMissingError, HostError
from metawsm_rpc.hosts import processes
from metawsm_rpc.hosts.commands import Commands
from metawsm_rpc.hosts.tmux import captures, launches, process_sessions, transcripts
from metawsm_rpc.ports.terminals import Ended, Exit, Launch, Pane, Sent

CONFIGURATION = str(Path(__file__).with_name("tmux.conf"))

OLDEST_VERSION = (3, 1)
"""The first version in which a window takes the size of the latest client; pane options are older (3.0)."""

_TIMEOUT_SECONDS = 10.0

_ENDING_SECONDS = 0.25
"""How long a process may take to exit after tmux has stopped listing it."""

_LOOK_SECONDS = 0.005

_STARTS = 3
"""How often to request a session from a server that is just exiting with its last one."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_SOCKET = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")

_TMUX_NEEDS = re.compile(r"HOME|LANG|LC_.*|LOGNAME|PATH|SHELL|TERMINFO.*|TMPDIR|USER")
"""The only variables that the server is started with: sessions inherit its environment."""

_NO_SERVER = ("no server running", "(No such file or directory)", "no current target")
_NO_SESSION = ("can't find session", *_NO_SERVER)
_SERVER_ENDED = ("lost server", "server exited")
_STRANGE_SERVER = "invalid option: @metawsm_server"

_PANE_FIELDS = (
    "#{session_name}",
    "#{pane_pid}",
    "#{window_activity}",
    "#{pane_pipe}",
    "#{@metawsm_root}",
    "#{@metawsm_run}",
    "#{@metawsm_ticket}",
    "#{@metawsm_agent}",
    "#{@metawsm_launch}",
    "#{@metawsm_pane}",
    "#{pane_id}",
    # tmux asks the system for each; it is only useful for programs with a terminal interface.
    "#{?#{@metawsm_program},#{pane_current_command},}",
    "#{pane_title}",
)


class _Row(NamedTuple):
    """One pane of a session of this root; `is_agent` is False for a pane that a person split off."""

    pane: str
    pid: int
    launch: str
    is_agent: bool


class TmuxTerminals:
    """Implements `metawsm_rpc.ports.terminals.Terminals` for the agents of one root.

    A session carries `@metawsm_root`, `_run`, `_ticket`, `_agent` and `_launch`, and the agent's
    pane `@metawsm_pane`, which a pane that a person splits off does not inherit.
    """

    def __init__(self, root: str, socket: str = "metawsm", directory: str = "") -> None:
        """Use the server socket of this name, in this folder; an empty folder stands for the current TMUX_TMPDIR."""
        if not _SOCKET.fullmatch(socket):
            raise HostError(f"{socket!r} cannot be the name of a tmux socket: use letters, digits, '.', '_' and '-'.")
        self._root = _encoded(os.path.realpath(root))
        self._socket = socket
        self._directory = directory or os.environ.get("TMUX_TMPDIR", "")
        self._commands = Commands(_TIMEOUT_SECONDS)
        self._is_new_enough = False
        self._known: dict[str, Pane | None] = {}

    def version(self) -> str:
        """Return tmux's version. Raises `DependencyMissingError` when it is absent or too old."""
        needed = ".".join(map(str, OLDEST_VERSION))
        said = self._commands.run(["tmux", "-V"]).text.strip()
        number = re.search(r"(\d+)\.(\d+)", said)
        # Versions built from source call themselves "master" and are recent.
        if number and said.startswith("tmux ") and (int(number[1]), int(number[2])) < OLDEST_VERSION:
            raise DependencyMissingError(
                f"{said} is too old: metawsm needs tmux {needed} or newer.",
                hint="Install a newer tmux; `tmux -V` shows which one is found on the PATH.",
            )
        self._is_new_enough = True
        return said.removeprefix("tmux ")

    def start(self, launch: Launch) -> int:
        """Start the agent's session and return the pid in its pane.

        Returns an existing session of this name if it belongs to the same launch.

        Raises:
            HostError: the name is taken by something else, or cannot be a name; the launch's files
                cannot be written; the server on this socket is not metawsm's.
            DependencyMissingError: tmux is not installed, or too old.
        """
        if not self._is_new_enough:
            self.version()
        session, launch_id = _checked(launch.session), _checked(launch.launch)
        if launches.is_prepared(launch.directory):
            for row in self._rows(session):
                if row.is_agent and row.launch == launch_id:
                    return row.pid
        launches.write(launch.directory, argv=launch.argv, cwd=launch.cwd, environment=launch.environment)
        try:
            transcripts.prepare(launch.transcript)
            launches.note_printed(launch.directory, transcripts.read(launch.transcript, 0, 0)[2])
            return self._new_session(launch)
        except BaseException:
            launches.discard_environment(launch.directory)
            raise

    def panes(self) -> tuple[Pane, ...]:
        """Return the panes of this root's agents with one tmux call; empty when no server runs.

        Raises:
            HostError: a server runs but does not answer.
        """
        # An agent controls its title and its program's name, but cannot guess the separators.
        row, field = os.urandom(6).hex(), os.urandom(6).hex()
        output = self._ask(_NO_SERVER, "list-panes", "-a", "-F", row + field.join(_PANE_FIELDS))
        # tmux's text contains no null characters, so with these as separators, rows of different calls compare equal.
        rows = output.replace(field, "\0").split(row)[1:]
        # Most panes stay as they are from one call to the next.
        known = self._known
        self._known = found = {text: known[text] if text in known else self._pane(text) for text in rows}
        return tuple(pane for pane in found.values() if pane is not None)

    def _pane(self, row: str) -> Pane | None:
        """Return the pane that a row describes, None when it is not an agent's of this root."""
        name, pid, activity, piped, root, run, ticket, agent, launch, is_agent, pane, command, title = row.split("\0")
        if root != self._root or not is_agent:
            return None
        return Pane(
            session=name,
            pid=int(pid),
            run_id=_decoded(run),
            ticket=_decoded(ticket),
            agent=_decoded(agent),
            launch=launch,
            activity=float(activity),
            title=title.removesuffix("\n"),
            command=command,
            piped=piped == "1",
            id=pane,
        )

    def unlisted(self, launches: Mapping[str, int]) -> frozenset[str]:
        """Return which launches run although `panes` does not list them; `launches` maps each to its pane's pid.

        Waits a moment for those that are just ending. A server whose socket was removed is told to recreate it,
        so that `panes` may list its launches from now on.
        """
        deadline = time.monotonic() + _ENDING_SECONDS
        while running := {launch: pid for launch, pid in launches.items() if _is_there(pid, launch)}:
            if time.monotonic() >= deadline:
                self._make_socket_anew(running.values())
                break
            time.sleep(_LOOK_SECONDS)
        return frozenset(running)

    def _make_socket_anew(self, pids: Iterable[int]) -> None:
        """Make the server of these panes recreate its socket if no server listens there (tmux(1), SIGUSR1)."""
        servers = {parent for pid in pids if (parent := processes.parent(pid)) is not None}
        for server in servers:
            named = os.path.basename(processes.command(server)[0])  # noqa: PTH119 - text
            if named.startswith("tmux") and not self._has_server():
                os.kill(server, signal.SIGUSR1)
                deadline = time.monotonic() + _ENDING_SECONDS
                while not self._has_server() and time.monotonic() < deadline:
                    time.sleep(_LOOK_SECONDS)

    def _has_server(self) -> bool:
        code, _, errors = self._run(("list-sessions",))
        return code == 0 or not any(sign in errors for sign in _NO_SERVER)

    def exit_record(self, directory: str) -> Exit | None:
        """Return how the launch in this folder ended, or None while there is no record."""
        return launches.exit_record(directory)

    def end(self, session: str, launch: str, pid: int | None, grace_seconds: float) -> Ended:
        """End a session and everything in its process session; harmless when it is gone.

        Hangs up, waits, kills what is left, and reports what had to be killed and what escaped: a daemon with a
        process session of its own is not touched. A session of another launch, and a process that merely has
        the same pid, are left alone.

        Raises:
            HostError: tmux does not answer; the processes are ended all the same.
        """
        leader = pid if pid is not None and process_sessions.belongs(pid, launch) else None
        killed: tuple[int, ...] = ()
        try:
            rows = [row for row in self._rows(session) if row.launch == launch]
            leader = next((row.pid for row in rows if row.is_agent), leader)
            if rows:
                # tmux checks the launch once more: another one may have the same session name by now.
                same = f"#{{==:#{{@metawsm_launch}},{_checked(launch)}}}"
                target = f"={session}:"
                self._ask(_NO_SESSION, "if-shell", "-F", "-t", target, same, f"kill-session -t {target}")
        finally:
            if leader is not None:
                killed = process_sessions.end(leader, grace_seconds)
        return Ended(killed, process_sessions.survivors(launch, leader))

    def capture(self, session: str, launch: str) -> str:
        """Return the pane's visible text, without escapes. Raises `HostError` when there is no such pane."""
        for row in self._rows(session):
            if row.is_agent and row.launch == launch:
                return self._ask((), "capture-pane", "-p", "-t", row.pane)
        raise HostError(f"The tmux session {session} is gone, so there is nothing to see in it.")

    def captures(self, panes: Iterable[Pane]) -> dict[str, str]:
        """Return the visible texts of panes by launch, with one tmux call; panes that are gone are left out."""
        launches_by_pane = {pane.id: pane.launch for pane in panes}
        found = captures.capture(lambda commands: self._run(*commands, label="capture-pane"), tuple(launches_by_pane))
        return {launches_by_pane[pane]: text for pane, text in found.items()}

    def send(self, session: str, launch: str, text: str, *, directory: str, runner: str, forced: bool) -> Sent:
        """Type a text and Enter into an agent's pane, and check whether the program took it."""
        from metawsm_rpc.hosts.tmux.typing import PaneGoneError, Typist, one_at_a_time

        def run(commands: Sequence[Sequence[str]], stdin: bytes) -> str:
            code, output, errors = self._run(*commands, stdin=stdin)
            if any(sign in errors for sign in ("can't find pane", *_NO_SESSION, *_SERVER_ENDED)):
                raise PaneGoneError
            if code != 0:
                raise self._failure(f"tmux {commands[-1][0]} failed", code, errors)
            return output

        with one_at_a_time(directory):
            for row in self._rows(session):
                if row.is_agent and row.launch == launch:
                    return Typist(run, row.pane, runner).send(text, forced=forced)
        return Sent(delivered=False, reason="its terminal is closed")

    def attach_command(self, session: str) -> tuple[str, ...]:
        """Return the argv that attaches a person's terminal to a session, also inside another tmux."""
        # That terminal may have a different TMUX_TMPDIR.
        place = (f"TMUX_TMPDIR={self._directory}",) if self._directory else ("-u", "TMUX_TMPDIR")
        attach = ("attach-session", "-t", f"={_checked(session)}")
        return ("env", "-u", "TMUX", *place, "tmux", "-L", self._socket, *attach)

    def repair_transcript(self, session: str, transcript: str, max_bytes: int) -> None:
        """Resume writing the pane to its transcript after the pipe has died; harmless when the pane is gone."""
        transcripts.prepare(transcript)
        for row in self._rows(session):
            if row.is_agent:
                self._ask((), "pipe-pane", "-t", row.pane, transcripts.pipe_command(transcript, max_bytes))

    def printed_before(self, directory: str) -> int:
        """Return the offset in the transcript at which the output of the launch in this folder begins."""
        return launches.printed_before(directory)

    def read_transcript(self, transcript: str, offset: int, limit: int) -> tuple[bytes, int, int]:
        """Return `(bytes, offset, size)`; offsets are logical and do not change when the transcript rotates.

        A negative `offset` counts from the end; an offset that has been rotated away becomes that of the oldest
        byte kept.
        """
        return transcripts.read(transcript, offset, limit)

    def _new_session(self, launch: Launch) -> int:
        """Create the session, its options and its pipe in one call, so that the transcript has the first line."""
        name = launch.session
        target = f"={name}:"
        options = {
            "@metawsm_root": self._root,
            "@metawsm_run": _encoded(launch.run_id),
            "@metawsm_ticket": _encoded(launch.ticket),
            "@metawsm_agent": _encoded(launch.agent),
            "@metawsm_launch": launch.launch,
            "@metawsm_program": "" if launch.runner == "shell" else _encoded(launch.runner),
        }
        shim = ("/bin/sh", launches.SHIM, launch.directory, launch.launch)
        pipe = transcripts.pipe_command(launch.transcript, launch.transcript_max_bytes)
        commands = (
            # Detects a server that was started with another configuration; from 3.3 on the call stops here.
            ("show-options", "-sv", "@metawsm_server"),
            ("new-session", "-d", "-P", "-F", "#{pane_pid}", "-s", name, *shim),
            *(("set-option", "-t", target, option, value) for option, value in options.items()),
            ("set-option", "-p", "-t", target, "@metawsm_pane", "1"),
            # A new window may have been given the size of a client that is attached to another one, or (3.2a)
            # of a client without a terminal; its own option is what `resize-window` leaves behind.
            ("resize-window", "-t", target, "-x", "200", "-y", "50"),
            ("set-option", "-wu", "-t", target, "window-size"),
            ("pipe-pane", "-t", target, pipe),
        )
        for attempt in range(1, _STARTS + 1):
            code, output, errors = self._run(*commands, label="new-session")
            if not any(sign in errors for sign in _SERVER_ENDED) or attempt == _STARTS:
                break
        said = output.split()
        if code == 0 and len(said) == 2:
            return int(said[1])
        if said[1:] or code == 0:  # the session exists, but was created by another program, or incompletely
            self._run(("kill-session", "-t", target))
        if _STRANGE_SERVER in errors or code == 0:
            raise HostError(
                f"The tmux server on the socket {self._socket} was not started by metawsm.",
                hint="Give `tmux.socket` in the policy another name, or end that server.",
            )
        if "duplicate session" in errors:
            raise HostError(
                f"There is already a tmux session {name}, which is not this launch of the agent.",
                hint=f"Look at it with `{' '.join(self.attach_command(name))}`, and end it.",
            )
        raise self._failure(f"tmux could not start the session {name}", code, errors)

    def _rows(self, session: str) -> list[_Row]:
        """Return the panes of a session of this root; none when there is no such session."""
        fields = "#{pane_id} #{pane_pid} #{@metawsm_root} #{@metawsm_launch} #{@metawsm_pane}"
        output = self._ask(_NO_SESSION, "list-panes", "-s", "-t", f"={_checked(session)}:", "-F", fields)
        rows = [line.split(" ") for line in output.splitlines()]
        return [
            _Row(pane, int(pid), launch, is_agent == "1")
            for pane, pid, root, launch, is_agent in rows
            if root == self._root
        ]

    def _ask(self, harmless: Sequence[str], *command: str) -> str:
        """Run one tmux command; its output is empty when it fails for a harmless reason."""
        code, output, errors = self._run(command)
        if code == 0:
            return output
        if any(sign in errors for sign in (*harmless, *(_SERVER_ENDED if harmless else ()))):
            return ""
        raise self._failure(f"tmux {command[0]} failed", code, errors)

    def _run(self, *commands: Sequence[str], label: str | None = None, stdin: bytes = b"") -> tuple[int, str, str]:
        """Run tmux commands in one call, each only if those before it succeeded; return code, output, errors."""
        argv = ["tmux", "-u", "-L", self._socket, "-f", CONFIGURATION]
        for command in commands:
            # A semicolon at the end of an argument would end the command.
            argv += [f"{word[:-1]}\\;" if word.endswith(";") else word for word in command]
            argv.append(";")
        finished = self._commands.run(
            argv[:-1],
            cwd="/",
            environment=self._environment(),
            stdin=stdin,
            label=f"tmux {label or commands[0][0]}",
            accept=None,
        )
        return finished.exit_code, finished.output.decode("utf-8", "replace"), finished.errors.strip()

    def _environment(self) -> dict[str, str]:
        place = {"TMUX_TMPDIR": self._directory} if self._directory else {}
        return {name: value for name, value in os.environ.items() if _TMUX_NEEDS.fullmatch(name)} | place

    def _failure(self, message: str, code: int, errors: str) -> CommandError:
        reason = errors or f"exit code {code}"
        argv = ("tmux", "-L", self._socket)
        return CommandError(f"{message}: {reason}.", argv=argv, exit_code=code, stderr=errors)


def _is_there(pid: int, launch: str) -> bool:
    return processes.runs(pid) and processes.bears(pid, launch)


def _checked(name: str) -> str:
    """Return the name if tmux neither expands nor parses it. Raises `HostError` otherwise."""
    if not _NAME.fullmatch(name):
        raise HostError(f"{name!r} cannot be the name of a tmux session: use letters, digits, '_' and '-'.")
    return name


def _encoded(text: str) -> str:
    """Return percent-encoded, printable ASCII without white space or characters special to tmux."""
    return re.sub(rb"[^A-Za-z0-9._:/-]", lambda match: b"%%%02X" % ord(match[0]), os.fsencode(text)).decode()


def _decoded(text: str) -> str:
    if "%" not in text:  # fast path, taken for nearly every agent in every sweep
        return text
    return os.fsdecode(re.sub(rb"%([0-9A-F]{2})", lambda match: bytes.fromhex(match[1].decode()), text.encode()))
