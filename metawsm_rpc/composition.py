"""The composition root: the only place where adapters are chosen and connected."""

import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import InvalidParamsError, NotTrustedError, StoreError
from metawsm_rpc.policy.view import ExecutionLimits, TicketOptions, TmuxOptions
from metawsm_rpc.ports.store import Store

if TYPE_CHECKING:
    from metawsm_rpc.hosts.wsm_registry import WsmRegistry
    from metawsm_rpc.ports.folders import Folders
    from metawsm_rpc.ports.merging import Merging
    from metawsm_rpc.ports.programs import Programs
    from metawsm_rpc.ports.registry import Registry
    from metawsm_rpc.ports.status_files import StatusFiles
    from metawsm_rpc.ports.terminals import Terminals
    from metawsm_rpc.ports.tickets import Tickets
    from metawsm_rpc.ports.watching import Watch
    from metawsm_rpc.ports.worktrees import Worktrees
    from metawsm_rpc.service import Service

STATE = ".metawsm"
_DATABASE = "metawsm.db"

_UNUSABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Characters that a root's path cannot contain: git separates paths by lines, and the database stores valid text."""


class LocalMachine:
    """This machine; implements `metawsm_rpc.ports.machine.Machine`. Adapters are imported when first asked for."""

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self.root = str(root)
        self._root = root
        self._environ = environ
        self._terminals: dict[TmuxOptions, Terminals] = {}
        self._programs: dict[str, Programs] = {}

    def worktrees(self, policy: Mapping[str, Any]) -> "Worktrees":
        """Return the adapter for the repositories of this policy."""
        from metawsm_rpc.hosts.commands import Commands
        from metawsm_rpc.hosts.git.worktrees import GitWorktrees

        return GitWorktrees(
            Commands(ExecutionLimits.of(policy).step_timeout_seconds),
            self.root,
            repositories=policy.get("repositories", {}),
            registry=tuple(self._registry().repositories().items()),
        )

    def merging(self) -> "Merging":
        """Return the adapter for two-phase merging."""
        from metawsm_rpc.hosts.commands import Commands
        from metawsm_rpc.hosts.git.merging import GitMerging

        return GitMerging(Commands())

    def registry(self) -> "Registry":
        """Return the adapter for wsm's files."""
        return self._registry()

    def _registry(self) -> "WsmRegistry":
        from metawsm_rpc.hosts.commands import Commands
        from metawsm_rpc.hosts.git.git import Git
        from metawsm_rpc.hosts.wsm_registry import WsmRegistry, config_home

        return WsmRegistry(config_home(self._environ), Git(Commands()), time.time)

    def tickets(self, policy: Mapping[str, Any]) -> "Tickets":
        """Return the tickets of this policy's directory."""
        from metawsm_rpc.hosts.tickets.docmgr_config import ticket_root
        from metawsm_rpc.hosts.tickets.tickets import FileTickets

        return FileTickets(ticket_root(self._root, TicketOptions.of(policy).directory, self._environ), time.time)

    def terminals(self, policy: Mapping[str, Any]) -> "Terminals":
        """Return the tmux server of this policy's socket."""
        from metawsm_rpc.hosts.tmux.tmux import TmuxTerminals

        options = TmuxOptions.of(policy)
        if options not in self._terminals:
            self._terminals[options] = TmuxTerminals(self.root, options.socket, options.directory)
        return self._terminals[options]

    def status_files(self) -> "StatusFiles":
        """Return the adapter for the files in which programs publish their state."""
        from metawsm_rpc.hosts.status_files import LocalStatusFiles

        return LocalStatusFiles(self._environ)

    def programs(self, policy: Mapping[str, Any]) -> "Programs":
        """Return the installed programs, as found in the environment that this policy asks for."""
        from metawsm_rpc.hosts.environment import LocalPrograms

        shell_env = ExecutionLimits.of(policy).shell_env
        if shell_env not in self._programs:
            self._programs[shell_env] = LocalPrograms(shell_env)
        return self._programs[shell_env]

    def watch(self) -> "Watch":
        """Return a new watch over agents, for a supervisor."""
        from metawsm_rpc.hosts.agent_watch import AgentWatch

        return AgentWatch(str(self._root / STATE))

    def folders(self) -> "Folders":
        """Return the files below `.metawsm`."""
        from metawsm_rpc.hosts.folders import LocalFolders

        return LocalFolders(self._root / STATE)


class _OnDemand:
    """A store that is opened at first use, so that a refused plan leaves nothing behind at a root."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open = open_store
        self._opening = threading.Lock()
        self._opened: Store | None = None

    def __getattr__(self, name: str) -> Any:
        if self._opened is None:
            with self._opening:
                self._opened = self._opened or self._open()
        return getattr(self._opened, name)

    def close(self) -> None:
        """Close the store if it was opened."""
        if self._opened is not None:
            self._opened.close()


def find_root(start: Path) -> Path:
    """Return the root that a folder belongs to.

    The nearest folder upwards that holds `.metawsm`, else the nearest git checkout, else `start`.
    """
    start = start.resolve()
    for marker in (STATE, ".git"):
        for folder in (start, *start.parents):
            if os.path.exists(folder / marker):  # noqa: PTH110 - False instead of an error where access is denied
                return folder
    return start


def resolve_root(given: str | None, environ: Mapping[str, str]) -> Path:
    """Return the root: the one given, else METAWSM_ROOT (set for agents), else found from the current folder.

    Raises `InvalidParamsError` when it is not a folder, or its path is unusable.
    """
    named = given if given is not None else environ.get("METAWSM_ROOT") or None
    try:
        root = find_root(Path.cwd()) if named is None else Path(named).expanduser().resolve()
    except FileNotFoundError as error:
        raise InvalidParamsError("The current folder is gone; change to another one, or name one (--root).") from error
    except (RuntimeError, OSError):  # `~user` of an unknown user, or a cycle of links
        root = None
    if named == "" or root is None or not root.is_dir():
        raise InvalidParamsError(f"The root {named!r} is not a folder; name one that exists.")
    if _UNUSABLE.search(str(root)):
        raise InvalidParamsError(f"The path {str(root)!r} has a line break or another control character; rename it.")
    return root


def open_service(
    root: Path,
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, Any] | None = None,
    *,
    trusted: bool = True,
) -> "Service":
    """Return the verbs on a root. Nothing is created there until one needs it, and never if the root is not trusted.

    Raises `NotTrustedError` when its `.metawsm` belongs to another user or was copied there.
    """
    from metawsm_rpc.policy.root_policy import RootPolicy
    from metawsm_rpc.service import Service

    state = root / STATE
    _check_ours(state, environ)
    machine = LocalMachine(root, environ)
    writable = not has_state(root) or _can_write(state)

    def make_state() -> None:
        _check_ours(state, environ)
        _make_state(state, environ)

    def open_store() -> Store:
        if not (trusted and writable):
            from metawsm_rpc.store.read_only import ReadOnlyStore, not_trusted, not_writable

            return ReadOnlyStore(state, partial(not_writable, state) if trusted else not_trusted)
        from metawsm_rpc.store.store import SqliteStore

        make_state()
        return SqliteStore(state, time.time)

    return Service(
        lambda: World(cast("Store", _OnDemand(open_store)), machine, time.time, os.urandom),
        has_state=lambda: has_state(root),
        make_state=make_state,
        machine=machine,
        policy=RootPolicy(root, environ, overrides),
        trusted=trusted,
        writable=writable,
    )


def _can_write(state: Path) -> bool:
    """Return whether the state directory and its database may be written; also False on a read-only file system."""
    return all(os.access(path, os.W_OK) for path in (state, state / _DATABASE))


def has_state(root: Path) -> bool:
    """Return whether a root has a database; also False where a sandbox hides it."""
    return os.path.exists(root / STATE / _DATABASE)  # noqa: PTH110 - False instead of an error where access is denied


def open_world(root: Path, environ: Mapping[str, str], *, patience: float) -> World:
    """Return a `World` for callers that must not wait longer than `patience` seconds nor create anything.

    Call it only where `has_state`. Raises `NotTrustedError` when the root's `.metawsm` is not used.
    """
    _check_ours(root / STATE, environ)

    def open_store() -> Store:
        from metawsm_rpc.store.store import SqliteStore

        return SqliteStore(root / STATE, time.time, patience)

    return World(cast("Store", _OnDemand(open_store)), LocalMachine(root, environ), time.time, os.urandom)


def adopt(root: Path, environ: Mapping[str, str]) -> Path:
    """Use the root's `.metawsm` from now on, wherever it was made; return its path.

    Raises `NotTrustedError` when it belongs to another user, `InvalidParamsError` when there is none, and
    `StoreError` when it cannot be written.
    """
    from metawsm_rpc.store import place

    state = root / STATE
    _check_owner(state)
    if not has_state(root):
        raise InvalidParamsError(f"There is no metawsm state in {root} to adopt; name another root with --root.")
    try:
        place.mark(state, environ)
    except OSError as error:
        raise StoreError(f"The folder {state} cannot be written: {error.strerror}.") from error
    return state


def _check_ours(state: Path, environ: Mapping[str, str]) -> None:
    """Refuse a `.metawsm` that somebody else has prepared: its policy and its runs could execute anything."""
    from metawsm_rpc.store.place import came_from_elsewhere

    _check_owner(state)
    if came_from_elsewhere(state, environ):
        import shlex

        raise NotTrustedError(
            f"{state} was made elsewhere and copied here, so it is not used; adopt it or move it away.",
            hint=f"If its runs are your own, `metawsm adopt --root {shlex.quote(str(state.parent))}` takes them over.",
        )


def _check_owner(state: Path) -> None:
    try:
        owner = state.stat().st_uid
    except OSError:
        return  # missing or inaccessible: then nothing in it is used either
    if owner != os.getuid():
        raise NotTrustedError(
            f"{state} belongs to another user, so it is not used; name a folder of your own with --root."
        )


def _make_state(state: Path, environ: Mapping[str, str]) -> None:
    from metawsm_rpc.store import place

    try:
        state.mkdir(mode=0o700, exist_ok=True)
        state.chmod(0o700)  # a folder that came with a clone is readable by all
        ignore = state / ".gitignore"
        if not ignore.exists():
            ignore.write_text("# Everything here is metawsm's own, but for the policy.\n*\n!policy.json\n")
        if not (state / _DATABASE).exists():
            place.mark(state, environ)
    except OSError as error:
        what = "written" if state.is_dir() else "made"
        raise StoreError(f"The folder {state} cannot be {what}: {error.strerror}.") from error
