"""A machine made of dictionaries, on which anything can fail, and any process die, at any call.

It keeps what the real adapters promise (`metawsm_rpc.ports`), as far as a run that is made, driven,
stopped and closed asks for it, and objects to what must never be: a second session of an agent, say.
"""

# ruff: noqa: ARG002 - the signatures are those of the ports

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from metawsm_rpc.domain.clock import Clock
from metawsm_rpc.domain.models import Blocked, Repo, Workspace
from metawsm_rpc.errors import BaseMovedError, HostError, InterruptedStepError
from metawsm_rpc.ports.folders import AgentPaths, Dropped
from metawsm_rpc.ports.merging import MergeRequest, RefMove, Rehearsed
from metawsm_rpc.ports.store import Lease
from metawsm_rpc.ports.terminals import Ended, Exit, Launch, Pane, Sent
from metawsm_rpc.ports.tickets import Ticket
from metawsm_rpc.ports.worktrees import Removal, Worktree, WorktreeSpec
from metawsm_rpc.store.store import SqliteStore
from metawsm_rpc.store.transaction import StoreTransaction

Fault = Literal["refuse", "interrupt", "kill"]


class Killed(BaseException):
    """The process is gone: nothing that it would still do happens."""


class Faults:
    """What goes wrong, and after how many calls."""

    def __init__(self) -> None:
        self.kind: Fault | None = None
        self.countdown = 0
        self.killed = False

    def arm(self, kind: Fault | None, countdown: int) -> None:
        self.kind, self.countdown = kind, countdown

    def clear(self) -> None:
        self.kind, self.killed = None, False

    def call(self, possible: Sequence[Fault]) -> None:
        """Let the fault happen when its time has come, where such a fault can."""
        if self.killed:
            raise Killed
        if self.kind is None or self.kind not in possible:
            return
        self.countdown -= 1
        if self.countdown > 0:
            return
        kind, self.kind = self.kind, None
        if kind == "refuse":
            raise HostError("The machine refuses.")
        if kind == "interrupt":
            raise InterruptedStepError("Cut off.")
        self.killed = True
        raise Killed


class MortalStore(SqliteStore):
    """A store whose process may die before or after any of its transactions."""

    def __init__(self, directory: Path, clock: Clock, faults: Faults) -> None:
        super().__init__(directory, clock)
        self._faults = faults
        self._database.connection.execute("PRAGMA synchronous = OFF")  # the machine itself stays up

    @contextmanager
    def transaction(self, lease: Lease | None = None) -> Iterator[StoreTransaction]:
        self._faults.call(["kill"])
        with super().transaction(lease) as transaction:
            yield transaction
        self._faults.call(["kill"])


class FakeTerminals:
    """tmux, as far as the engine knows it. Sessions are kept by launch."""

    def __init__(self, clock: Clock, faults: Faults) -> None:
        self._clock = clock
        self._faults = faults
        self.sessions: dict[str, Pane] = {}
        self.exits: dict[str, Exit] = {}
        self.directories: dict[str, str] = {}
        self.answers = True
        self._pid = 100

    def start(self, launch: Launch) -> int:
        self._faults.call(["refuse", "kill"])
        self._check_answers()
        mine = (launch.run_id, launch.ticket, launch.agent)
        others = [pane for pane in self.sessions.values() if (pane.run_id, pane.ticket, pane.agent) == mine]
        assert not others, f"{mine} is started while {others} is still there"
        self._pid += 1
        self.directories[launch.launch] = launch.directory
        self.sessions[launch.launch] = Pane(
            session=launch.session,
            pid=self._pid,
            run_id=launch.run_id,
            ticket=launch.ticket,
            agent=launch.agent,
            launch=launch.launch,
            activity=self._clock(),
            title="",
            command="agent",
            piped=True,
        )
        self._faults.call(["kill"])
        return self._pid

    def panes(self) -> tuple[Pane, ...]:
        self._check_answers()
        return tuple(self.sessions.values())

    def unlisted(self, launches: Mapping[str, int]) -> frozenset[str]:
        return frozenset()

    def exit_record(self, directory: str) -> Exit | None:
        return self.exits.get(directory)

    def end(self, session: str, launch: str, pid: int | None, grace_seconds: float) -> Ended:
        self._faults.call(["refuse", "kill"])
        self._check_answers()
        self.sessions.pop(launch, None)
        return Ended((), ())

    def send(self, session: str, launch: str, text: str, *, directory: str, runner: str, forced: bool) -> Sent:
        self._faults.call(["refuse", "kill"])
        self._check_answers()
        self._faults.call(["kill"])
        return Sent(launch in self.sessions, None if launch in self.sessions else "its terminal is closed")

    def attach_command(self, session: str) -> tuple[str, ...]:
        return ("tmux", "attach", "-t", session)

    # --- what happens to agents ---

    def end_by_itself(self, launch: str, code: int) -> None:
        """Let the agent exit; the shim leaves a record."""
        del self.sessions[launch]
        self.exits[self.directories[launch]] = Exit(code, self._clock())

    def vanish(self, launch: str) -> None:
        """Let the session be killed, without a record."""
        del self.sessions[launch]

    def print(self, launch: str) -> None:
        self.sessions[launch] = self.sessions[launch]._replace(activity=self._clock())

    def _check_answers(self) -> None:
        if not self.answers:
            raise HostError("tmux does not answer.")


class FakeFolders:
    """Files below `.metawsm`, and which worktrees are there."""

    def __init__(self) -> None:
        self.boxes: dict[str, dict[str, str]] = {}
        self.worktrees: set[str] = set()

    def paths(self, run_id: str, ticket: str, agent: str) -> AgentPaths:
        folder = f"/state/agents/{run_id}/{ticket}/{agent}"
        return AgentPaths(f"{folder}/brief.md", f"{folder}/transcript", f"{folder}/drop", f"{folder}/launches")

    def launch_directory(self, paths: AgentPaths, launch: str) -> str:
        return f"{paths.launches}/{launch}"

    def prepare(self, paths: AgentPaths, launch: str, brief: str) -> None:
        pass

    def discard_launch(self, paths: AgentPaths, launch: str) -> None:
        pass

    def left(self, paths: AgentPaths, name: str) -> str | None:
        return None

    def dropped(self, paths: AgentPaths) -> tuple[Dropped, ...]:
        return tuple(Dropped(*item) for item in sorted(self.boxes.get(paths.drop_box, {}).items()))

    def is_awaited(self, paths: AgentPaths, guidance_id: str) -> bool:
        return False

    @contextmanager
    def claiming(self, paths: AgentPaths, what: str) -> Iterator[bool]:
        yield True

    def discard(self, paths: AgentPaths, dropped_id: str) -> None:
        self.boxes.get(paths.drop_box, {}).pop(dropped_id, None)

    def occupied(self, path: str) -> bool:
        return path in self.worktrees

    def remove_empty(self, path: str) -> None:
        pass


class FakeWorktrees:
    """git, as far as worktrees go: a worktree is there or not."""

    def __init__(self, folders: FakeFolders, faults: Faults) -> None:
        self._folders = folders
        self._faults = faults

    def version(self) -> str:
        return "2.38.0"

    def add(self, spec: WorktreeSpec) -> Worktree:
        self._faults.call(["refuse", "interrupt", "kill"])
        created = spec.path not in self._folders.worktrees
        self._folders.worktrees.add(spec.path)
        self._faults.call(["interrupt", "kill"])
        return Worktree(spec.path, spec.branch, spec.start, created, created)

    def git_directories(self, repo: Repo) -> tuple[str, str]:
        return f"{repo.source}/.git/worktrees/{repo.name}", f"{repo.source}/.git"

    def roll_back(self, path: str, source: str, branch: str, start: str) -> Removal:
        self._faults.call(["refuse", "interrupt", "kill"])
        self._folders.worktrees.discard(path)
        return Removal(path, removed=True, reason=None, snapshots=())

    def observe(self, repo: Repo) -> Repo:
        return repo

    def work_state(self, repo: Repo) -> None:
        return None

    def copy_files(self, source: str, path: str, patterns: Sequence[str]) -> tuple[str, ...]:
        self._faults.call(["refuse", "interrupt", "kill"])
        return ()

    def set_up(self, path: str, command: Any, environment: Mapping[str, str]) -> str:
        self._faults.call(["refuse", "interrupt", "kill"])
        if path not in self._folders.worktrees:
            raise HostError(f"{path} is not there.")
        return ""

    def remove(self, repo: Repo, snapshot_prefix: str, copied: Sequence[str]) -> Removal:
        self._faults.call(["refuse", "kill"])
        self._folders.worktrees.discard(repo.path)
        return Removal(repo.path, removed=True, reason=None, snapshots=())

    def snapshots(self, source: str, prefix: str) -> tuple[tuple[str, str], ...]:
        return ()

    def interrupt(self) -> None:
        pass


class Bases:
    """Where the branches stand that runs are merged into, and which commit their checkouts show."""

    def __init__(self) -> None:
        self.heads: dict[tuple[str, str], str] = {}
        self.shown: dict[tuple[str, str], str] = {}

    def head(self, source: str, base: str) -> str:
        return self.heads.setdefault((source, base), "0")

    def checkout(self, source: str, base: str) -> str:
        return self.shown.setdefault((source, base), "0")

    def commit_by_hand(self, source: str, base: str) -> None:
        """Let somebody commit in the checkout."""
        now = f"{self.head(source, base)}+somebody"
        self.heads[source, base] = self.shown[source, base] = now


class FakeMerging:
    """git's ref transactions: what one process has prepared is let go of when it dies."""

    def __init__(self, bases: Bases, faults: Faults) -> None:
        self._bases = bases
        self._faults = faults
        self._prepared: dict[str, RefMove] = {}

    def gates(self, request: MergeRequest, *, require_clean: bool, exempt: Sequence[str]) -> tuple[Blocked, ...]:
        return ()

    def rehearse(
        self, requests: Sequence[MergeRequest], *, kind: str, pin_prefix: str | None
    ) -> Rehearsed | tuple[Blocked, ...]:
        self._faults.call(["refuse", "kill"])
        source, base = requests[0].repo.source, requests[0].repo.base
        old = now = self._bases.head(source, base)
        steps = []
        for request in requests:
            steps.append((request.ticket, now, f"{now}+{request.ticket}", kind))
            now = f"{now}+{request.ticket}"
        return Rehearsed(source, base, old, now, tuple(steps))

    def checkouts(self, source: str, base: str) -> tuple[str, ...]:
        return (source,)

    def in_the_way(self, move: RefMove, exempt: Sequence[str]) -> tuple[str, ...]:
        return ()

    def prepare(self, key: str, move: RefMove) -> None:
        self._faults.call(["refuse", "kill"])
        if self._bases.head(move.source, move.base) != move.old:
            raise BaseMovedError("It moved.", reason="base_moved")
        self._prepared[key] = move

    def advance_checkouts(self, move: RefMove, exempt: Sequence[str] = ()) -> None:
        self._faults.call(["refuse", "kill"])
        assert self._bases.checkout(move.source, move.base) in (move.old, move.new)
        self._bases.shown[move.source, move.base] = move.new

    def restore_checkouts(self, move: RefMove) -> None:
        self._faults.call(["refuse", "kill"])
        if self._bases.checkout(move.source, move.base) == move.new:
            self._bases.shown[move.source, move.base] = move.old

    def commit(self, key: str) -> None:
        self._faults.call(["refuse", "kill"])
        if key not in self._prepared:
            raise HostError("Nothing is prepared.")
        move = self._prepared.pop(key)
        self._bases.heads[move.source, move.base] = move.new

    def abort(self, key: str) -> None:
        self._prepared.pop(key, None)

    def move(self, move: RefMove) -> None:
        self._faults.call(["refuse", "kill"])
        assert self._bases.head(move.source, move.base) in (move.old, move.new)
        self._bases.heads[move.source, move.base] = move.new

    def unpin(self, source: str, pin_prefix: str) -> None:
        pass

    def clear_stale_lock(self, source: str, base: str, new: str) -> bool:
        return False


class FakeTickets:
    """Tickets that are all there."""

    directory = "/tickets"

    def __init__(self) -> None:
        self.closed: set[str] = set()

    def find(self, ticket: str) -> Ticket:
        return Ticket(ticket, ticket, "active", f"/tickets/{ticket}/index.md", f"/tickets/{ticket}", 3, 9)

    def text(self, ticket: Ticket) -> str:
        return f"Do {ticket.ticket}."

    def close(self, ticket: str, *, changelog: str) -> Ticket:
        self.closed.add(ticket)
        return self.find(ticket)


class FakeRegistry:
    """wsm's files, which nobody reads here."""

    def record(self, workspace: Workspace, base_branch: str) -> None:
        pass

    def forget(self, name: str) -> None:
        pass


class FakePrograms:
    """Every program is installed."""

    def environment(self) -> dict[str, str]:
        return {"PATH": "/bin"}

    def find(self, program: str, environment: Mapping[str, str]) -> str | None:
        return f"/bin/{program}"

    def plugin_directory(self) -> str:
        return "/plugins"

    def command_path(self) -> str:
        return "/bin/metawsm"


class FakeMachine:
    """Hands out the fakes; implements `metawsm_rpc.ports.machine.Machine`."""

    root = "/root"

    def __init__(self, clock: Clock, faults: Faults) -> None:
        self._faults = faults
        self.fake_terminals = FakeTerminals(clock, faults)
        self.fake_folders = FakeFolders()
        self.fake_tickets = FakeTickets()
        self.bases = Bases()

    def worktrees(self, policy: Mapping[str, Any]) -> FakeWorktrees:
        return FakeWorktrees(self.fake_folders, self._faults)

    def merging(self) -> FakeMerging:
        return FakeMerging(self.bases, self._faults)

    def registry(self) -> FakeRegistry:
        return FakeRegistry()

    def tickets(self, policy: Mapping[str, Any]) -> FakeTickets:
        return self.fake_tickets

    def terminals(self, policy: Mapping[str, Any]) -> FakeTerminals:
        return self.fake_terminals

    def programs(self, policy: Mapping[str, Any]) -> FakePrograms:
        return FakePrograms()

    def folders(self) -> FakeFolders:
        return self.fake_folders
