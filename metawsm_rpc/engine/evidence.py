"""Gathering what agents show of themselves, beyond that their panes are there.

Titles come with the panes. Reports in the transcript, status files and screens are read only of
programs that have them, and screens only where nothing else decides. What cannot have changed
since it was last read, because the terminal has printed nothing, is not read again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from metawsm_rpc.domain.clock import seconds
from metawsm_rpc.domain.models import Agent
from metawsm_rpc.domain.sentences import one_line
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import DependencyMissingError, HostError
from metawsm_rpc.policy.view import LaunchProfile
from metawsm_rpc.ports.terminals import Pane, Terminals

if TYPE_CHECKING:
    from metawsm_rpc.domain.readings.reading import Observation
    from metawsm_rpc.domain.readings.statement import State, Statement

_RESOLUTION_SECONDS = 1.0
"""tmux tells activity in whole seconds: what was read in the same second may be older than that."""

_PIECE = 1 << 18
"""Bytes of a transcript that are read at once."""

_PIECES = 16
"""So many pieces, from the end, are looked through for the last report of a program not seen before."""

_STATED = frozenset({"working", "waiting", "idle", "error"})


class Look(NamedTuple):
    """A live agent to look at, and where: its pane is there."""

    agent: Agent
    profile: LaunchProfile
    terminals: Terminals
    pane: Pane


class _Kept(NamedTuple):
    """Something that was read of an agent when its pane had last printed at `activity`."""

    activity: float
    at: float
    value: str | None
    end: int = 0

    def holds(self, activity: float) -> bool:
        """Return whether it is as it was read."""
        return self.activity == activity and self.at > activity + _RESOLUTION_SECONDS


def speaks(profile: LaunchProfile) -> bool:
    """Return whether anything that an agent shows could say what it is doing."""
    return _has_rules(profile) or bool(profile.waiting_patterns or profile.done_patterns)


def is_unattended(profile: LaunchProfile) -> bool:
    """Return whether a program was started that does one thing, asks nobody, and exits.

    Of a shell's commands that is not known.
    """
    return profile.runner != "shell" and profile.completes_on == "exit"


def _has_rules(profile: LaunchProfile) -> bool:
    return profile.runner != "shell" and profile.completes_on != "exit"


class Gatherer:
    """Looks at the agents of one root; remembers by launch what it has read."""

    def __init__(self, world: World) -> None:
        self._machine = world.machine
        self._folders = world.machine.folders()
        self._clock = world.clock
        self._reports: dict[str, _Kept] = {}
        self._screens: dict[str, _Kept] = {}

    def gather(self, looks: Iterable[Look]) -> dict[str, "Observation"]:
        """Return what is seen of each agent that could say something, by launch."""
        speaking = [look for look in looks if speaks(look.profile)]
        if not speaking:
            return {}
        from metawsm_rpc.domain.readings.reading import wants_screen

        files = self._files(speaking)
        seen = {look.pane.launch: self._observe(look, files.get(look.pane.pid)) for look in speaking}
        wanting = [
            look
            for look in speaking
            if wants_screen(_runner(look.profile), with_hook(seen[look.pane.launch], look.agent, self._clock()))
        ]
        screens = self._captured(wanting)
        for look in wanting:
            screen = screens.get(look.pane.launch)
            if screen is not None:
                seen[look.pane.launch] = _with_screen(seen[look.pane.launch], screen, look.profile)
        return seen

    def forget_all_but(self, launches: Iterable[str]) -> None:
        """Forget what was read of agents that are gone."""
        living = frozenset(launches)
        for memory in (self._reports, self._screens):
            for launch in tuple(memory):  # other threads look meanwhile
                if launch not in living:
                    memory.pop(launch, None)

    def _observe(self, look: Look, file: Mapping[str, Any] | None) -> "Observation":
        from metawsm_rpc.domain.readings.reading import PROGRAMS, Observation

        program = PROGRAMS.get(_runner(look.profile))
        if program is None:
            return Observation()
        report = self._report(look) if program.reports else None
        return Observation(title=look.pane.title, report=report, status_file=file, command=look.pane.command)

    # --- status files ---

    def _files(self, looks: Iterable[Look]) -> dict[int, Mapping[str, Any]]:
        """Return the status files by the pid in the agent's pane; one folder is listed once."""
        asked: dict[tuple[tuple[str, str], ...], list[int]] = {}
        for look in looks:
            if look.profile.runner == "claude" and _has_rules(look.profile):
                asked.setdefault(tuple(sorted(look.profile.env.items())), []).append(look.pane.pid)
        found: dict[int, Mapping[str, Any]] = {}
        for environment, pids in asked.items():
            found.update(self._machine.status_files().claude(frozenset(pids), dict(environment)))
        return found

    # --- reports ---

    def _report(self, look: Look) -> str | None:
        """Return the latest report in the transcript of this launch, reading only what is new of it."""
        kept = self._reports.get(look.pane.launch)
        if kept is None or not kept.holds(look.pane.activity):
            now = self._clock()
            try:
                value, end = self._read_report(look, kept)
            except HostError:
                return None
            kept = self._reports[look.pane.launch] = _Kept(look.pane.activity, now, value, end)
        return kept.value

    def _read_report(self, look: Look, kept: _Kept | None) -> tuple[str | None, int]:
        """Return the latest report and where the transcript ends; looked for from the end backwards."""
        from metawsm_rpc.domain.readings.escapes import LONGEST_REPORT, last_osc7501

        if kept is None:
            paths = self._folders.paths(look.agent.run_id, look.agent.ticket, look.agent.name)
            directory = self._folders.launch_directory(paths, look.pane.launch)
            start = seen_until = look.terminals.printed_before(directory)
        else:
            # A report may have been cut in two by the end of what was read. One that was read
            # before is found again only when no later one is there.
            start, seen_until = max(0, kept.end - LONGEST_REPORT), kept.end
        before = kept.value if kept else None
        data, offset, size = look.terminals.read_transcript(look.agent.transcript, start, _PIECE)
        if offset + len(data) >= size:
            return last_osc7501(data) or before, max(size, seen_until)
        end = size
        for _ in range(_PIECES):
            first = max(start, end - _PIECE)
            data, _, _ = look.terminals.read_transcript(look.agent.transcript, first, end - first)
            report = last_osc7501(data)
            if report is not None or first <= start:
                return report or before, size
            end = first + LONGEST_REPORT
        return before, size

    # --- screens ---

    def _captured(self, looks: Sequence[Look]) -> dict[str, str]:
        """Return screens by launch, those that may have changed with one call of each tmux server."""
        found: dict[str, str] = {}
        asked: dict[int, list[Look]] = {}
        for look in looks:
            kept = self._screens.get(look.pane.launch)
            if kept is not None and kept.value is not None and kept.holds(look.pane.activity):
                found[look.pane.launch] = kept.value
            else:
                asked.setdefault(id(look.terminals), []).append(look)
        for group in asked.values():
            now = self._clock()
            try:
                captured = group[0].terminals.captures([look.pane for look in group])
            except (HostError, DependencyMissingError):
                continue  # it answered a moment ago; the next look will tell
            for look in group:
                screen = captured.get(look.pane.launch)
                if screen is not None:
                    found[look.pane.launch] = screen
                    self._screens[look.pane.launch] = _Kept(look.pane.activity, now, screen)
        return found


def statements(profile: LaunchProfile, seen: "Observation", agent: Agent, now: float) -> "tuple[Statement, ...]":
    """Return what an agent's program states, strongest first."""
    from metawsm_rpc.domain.readings.reading import read

    return read(_runner(profile), with_hook(seen, agent, now))


def with_hook(seen: "Observation", agent: Agent, now: float) -> "Observation":
    """Return an observation with what a hook of the program has told last."""
    from metawsm_rpc.domain.readings.statement import Statement

    if agent.said_by != "hook" or agent.said not in _STATED or agent.said_at is None:
        return seen
    says = one_line(agent.said_what) if agent.said_what else f"a hook says that it is {agent.said}"
    # That a turn is over is told after it has failed, too.
    covers: frozenset[State] = frozenset({"error"}) if agent.said == "idle" else frozenset()
    told = Statement(agent.said, None, "hook", says, covers)  # type: ignore[arg-type] # one of _STATED
    return seen._replace(told=told, hook_age=now - seconds(agent.said_at))


def _with_screen(seen: "Observation", screen: str, profile: LaunchProfile) -> "Observation":
    from metawsm_rpc.domain.readings.patterns import pattern_statement

    patterns = pattern_statement(screen, profile.waiting_patterns, profile.done_patterns)
    return seen._replace(screen=screen, patterns=patterns)


def _runner(profile: LaunchProfile) -> str:
    """Return the runner by whose rules the agent is read; none for one that shows nothing of its state."""
    return profile.runner if _has_rules(profile) else ""
