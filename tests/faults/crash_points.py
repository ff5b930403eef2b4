"""Crash points: every side effect of a process of ours, by name, and death at one of them.

Python's audit hooks see each file that is opened to be written, each rename, removal and folder, each
program that is started, and each connection to SQLite, whose statements are then traced. What they see
is named by the tables below. An audit event, a program or a subcommand that stands in no table is
reported, and fails the suites: so no new side effect can escape them.

`install` changes this process for good, so it is called in a child that was forked for the purpose.
"""

import builtins
import contextlib
import io
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import termios
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metawsm_rpc.hosts.git.ref_transactions import _Transaction
from metawsm_rpc.store.database import Database


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# --- what changes nothing ---

LOOKS = _words("""
    import compile exec marshal.loads marshal.load marshal.dumps code.__new__ function.__new__ object.__getattr__
    object.__setattr__ object.__delattr__ sys._getframe sys._current_frames sys.unraisablehook sys.excepthook
    sys.setprofile sys.settrace sys.addaudithook builtins.id os.listdir os.scandir os.walk os.fwalk os.getxattr
    os.listxattr os.chdir os.fork os.putenv os.unsetenv glob.glob glob.glob/2 pathlib.Path.glob pathlib.Path.rglob
    sqlite3.connect/handle sqlite3.enable_load_extension time.sleep fcntl.flock fcntl.fcntl fcntl.lockf gc.get_objects
    gc.get_referrers cpython.run_file cpython._PySys_ClearAuditHooks cpython.PyInterpreterState_New array.__new__
    ctypes.dlopen ctypes.dlsym ctypes.dlsym/handle ctypes.addressof ctypes.cdata ctypes.call_function resource.prlimit
    shutil.rmtree shutil.copyfile shutil.copymode shutil.copystat tempfile.mkdtemp tempfile.mkstemp
    socket.__new__ socket.gethostname signal.pthread_kill pickle.find_class winreg.OpenKey
    """)
"""Audit events that change nothing, or whose parts are events of their own."""

GIT_LOOKS = _words("""
    rev-parse for-each-ref cat-file ls-tree ls-files status diff diff-index diff-files diff-tree merge-base log
    config version check-ignore check-attr var rev-list show show-ref ls-remote name-rev count-objects version
    """)
GIT_CHANGES = _words("""
    update-ref update-index read-tree write-tree commit-tree merge-tree branch checkout-index push fetch
    add commit hash-object mktree checkout reset rebase merge
    """)
GIT_BY_SECOND_WORD = {
    ("worktree", "list"): False,
    ("worktree", "add"): True,
    ("worktree", "remove"): True,
    ("worktree", "prune"): True,
    ("worktree", "unlock"): True,
    ("submodule", "status"): False,
    ("submodule", "update"): True,
    ("submodule", "init"): True,
    ("sparse-checkout", "list"): False,
    ("symbolic-ref", "-q"): False,
    ("symbolic-ref", "--quiet"): False,
}

TMUX_LOOKS = _words("-V list-panes list-sessions capture-pane display-message show-options has-session")
TMUX_CHANGES = _words(
    "new-session kill-session if-shell kill-server pipe-pane set-option resize-window send-keys load-buffer paste-buffer"
)

PROGRAMS_THAT_LOOK = frozenset({"ps", "uname"})

# --- the tables' other half: audit events of changes, by what is changed ---

_PATHS = ("os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.link", "os.symlink")
_PATHS += ("os.chmod", "os.chown", "os.utime", "os.truncate", "os.setxattr", "os.removexattr")
_WRITES = os.O_WRONLY | os.O_RDWR
_ASKING = {termios.FIONREAD, termios.TIOCGWINSZ}
_TIMED = re.compile(r"UPDATE leases SET expires_at")
"""A lease is renewed by the clock, and not where the program has come to."""


class CrashPoints:
    """Counts the points that this process comes to, and kills it at one of them, or lets it sleep."""

    def __init__(self, machine: Path, at: str | None = None, how: int = signal.SIGKILL) -> None:
        self.machine = str(machine)
        self.at = at
        self.how = how
        self.names: list[str] = []
        self.unnamed: list[str] = []
        self.connecting = False
        self.databases: list[Database] = []
        self._counts: Counter[str] = Counter()
        self._lock = threading.RLock()

    def reach(self, name: str) -> None:
        """Come to a point; the second time that a name comes it is another point."""
        with self._lock:
            self._counts[name] += 1
            number = self._counts[name]
            full = f"{name} #{number}" if number > 1 else name
            self.names.append(full)
            if full == self.at:
                with contextlib.ExitStack() as held:
                    for database in self.databases if self.how == signal.SIGSTOP else ():
                        held.enter_context(database.lock)  # no other thread is in a transaction then
                    os.kill(os.getpid(), self.how)
                    time.sleep(0.05)  # the other threads are stopped a moment later

    def short(self, path: object) -> str:
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else str(path)
        return shortened(text.replace(f"{self.machine}/", ""))

    def is_ours(self, path: str) -> bool:
        """Whether a path belongs to what a run leaves behind, and is no stream or device."""
        return not path.startswith(("/dev/", "/proc/"))


def shortened(text: str) -> str:
    """Take everything out of a name that differs from run to run."""
    text = re.sub(r"\b[0-9a-f]{7,64}\b", "*", text)
    text = re.sub(r"metawsm-[a-z0-9_]{8}(?=/|$)", "metawsm-*", text)
    text = re.sub(r"umask\.\d+", "umask.*", text)
    text = re.sub(r"\d{4}-\d\d-\d\d", "<date>", text)
    return text if len(text) < 110 else f"{text[:100]}…"


def install(points: CrashPoints) -> None:
    """Watch this process from now on; there is no way back."""
    sys.dont_write_bytecode = True
    watching = threading.local()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in LOOKS or getattr(watching, "busy", False):
            return
        watching.busy = True
        try:
            _see(points, event, arguments)
        finally:
            watching.busy = False

    _watch_what_has_no_event(points)
    sys.addaudithook(hook)


def _see(points: CrashPoints, event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        name = _opened(points, *arguments)
        if name:
            points.reach(f"before {name}")
    elif event in _PATHS:
        if name := _path_change(points, event, arguments):
            points.reach(f"before {name}")
    elif event == "subprocess.Popen":
        if name := _program(points, arguments[1], arguments[2]):
            points.reach(f"before {name}")
    elif event in ("os.kill", "os.killpg"):
        if arguments[1] != 0:
            points.reach(f"before {event} {signal.Signals(arguments[1]).name}")
    elif event == "sqlite3.connect":
        if not points.connecting:
            points.unnamed.append(f"SQLite opens {arguments[0]!r} unseen")
    elif event != "fcntl.ioctl" or arguments[1] not in _ASKING:
        points.unnamed.append(f"audit event {event} {arguments!r}")


def _opened(points: CrashPoints, path: Any, mode: str | None, flags: int) -> str | None:
    """Return the name of the change that opening a file is: one that makes it, or empties it."""
    if isinstance(path, int):
        return None
    text = os.fsdecode(path)
    changes = flags & (os.O_CREAT | os.O_TRUNC | os.O_APPEND) and flags & _WRITES
    if flags & os.O_TMPFILE == os.O_TMPFILE or not changes or not points.is_ours(text):
        return None
    exists = os.path.lexists(text)
    if exists and (flags & os.O_EXCL or not flags & os.O_TRUNC):
        return None
    return f"write {points.short(text)}"


def _opened_as(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


def _path_change(points: CrashPoints, event: str, arguments: tuple[Any, ...]) -> str | None:
    what = event.removeprefix("os.")
    path = arguments[0]
    if isinstance(path, int):
        path = str(_opened_as(path))
    else:
        path = os.fsdecode(path)
        folder = arguments[1] if event in {"os.remove", "os.rmdir"} else -1
        if isinstance(folder, int) and folder >= 0:
            path = f"{_opened_as(folder)}/{path}"
    there = os.path.lexists(path)
    if there == (what == "mkdir"):
        return None  # it will be refused
    if what == "mkdir" and not Path(path).parent.is_dir():
        return None
    if what == "rmdir" and any(Path(path).iterdir()):
        return None
    if what == "chmod" and stat.S_IMODE(Path(path).stat().st_mode) == arguments[1]:
        return None
    target = f" to {points.short(arguments[1])}" if what in {"rename", "link", "symlink"} else ""
    return f"{what} {points.short(path)}{target}"


def _program(points: CrashPoints, argv: Any, cwd: Any) -> str | None:
    """Return the name of the change that a program makes, None for one that only looks."""
    words = [os.fsdecode(word) for word in argv]
    program = Path(words[0]).name
    if program == "git":
        return _git(points, words[1:], cwd)
    if program == "tmux":
        return _tmux(points, words[1:])
    if program == "sh" and words[1] == "-c":
        return f"{points.short(' '.join(words))} in {points.short(cwd)}"
    if program not in PROGRAMS_THAT_LOOK:
        points.unnamed.append(f"program {words}")
    return None


def _git(points: CrashPoints, words: list[str], cwd: Any) -> str | None:
    place = str(cwd)
    while words and words[0].startswith("-"):
        if words[0] == "-C":
            place = words[1]
        words = words[2:] if words[0] in {"-C", "-c"} else words[1:]
    name, second = words[0], words[1] if len(words) > 1 else ""
    if (name, second) in GIT_BY_SECOND_WORD:
        changes = GIT_BY_SECOND_WORD[name, second]
    elif name in GIT_CHANGES or name in GIT_LOOKS:
        changes = name in GIT_CHANGES
    else:
        points.unnamed.append(f"git {' '.join(words)}")
        return None
    shown = points.short(" ".join(words).replace("\0", " "))
    return f"git {shown} in {points.short(place)}" if changes else None


def _tmux(points: CrashPoints, words: list[str]) -> str | None:
    if words == ["-V"]:
        return None
    words = words[words.index("-f") + 2 :]
    commands: list[list[str]] = [[]]
    for word in words:
        if word == ";":
            commands.append([])
        else:
            commands[-1].append(word)
    verbs = {command[0] for command in commands}
    if unknown := verbs - TMUX_LOOKS - TMUX_CHANGES:
        points.unnamed.append(f"tmux {sorted(unknown)}")
    for command in commands:
        if command[0] == "if-shell":
            return f"tmux {command[-1]}"
        if command[0] in TMUX_CHANGES:
            flag = "-s" if command[0] == "new-session" else "-t"
            target = command[command.index(flag) + 1] if flag in command else ""
            return f"tmux {command[0]} {target}"
    return None


class _Statements:
    """What one connection to SQLite does: a commit is a change, named by the events and tables in it."""

    _EVENT = re.compile(
        r"INSERT INTO events .*?VALUES \(\d+, '[^']*', (?:'[^']*'|NULL), '(\w+)', '([^']*)', '(\w+)'", re.DOTALL
    )
    _WRITE = re.compile(r"(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)")

    def __init__(self, points: CrashPoints) -> None:
        self._points = points
        self._events: list[str] = []
        self._tables: list[str] = []
        self._begun = self._timed = False

    def see(self, statement: str) -> None:
        text = statement.strip()
        word = text.split(None, 1)[0].upper() if text else ""
        if word == "BEGIN":
            self._begun, self._timed, self._events, self._tables = True, False, [], []
        elif word == "ROLLBACK":
            self._begun = False
        elif word == "COMMIT":
            self._begun = False
            if not self._timed and (self._events or self._tables):
                self._points.reach(f"before commit: {self._name()}")
        elif event := self._EVENT.match(text):
            entity, entity_id, kind = event.groups()
            self._events.append(f"{entity} {shortened(entity_id)} {kind}")
        elif word in {"INSERT", "UPDATE", "DELETE"}:
            self._timed = self._timed or bool(_TIMED.match(text))
            table = self._WRITE.match(text)
            self._tables.append(table[1] if table else text)
            self._outside(text)
        elif word in {"CREATE", "ALTER", "DROP"}:
            self._tables.append("schema")
            self._outside(text)
        elif word == "PRAGMA" and "=" in text:
            if "journal_mode" in text:
                self._points.reach("before PRAGMA journal_mode")
        elif word not in {"SELECT", "PRAGMA", "--", "WITH"}:
            self._points.unnamed.append(f"SQL {text[:60]}")

    def _outside(self, text: str) -> None:
        if not self._begun and not text.startswith("--"):
            self._points.unnamed.append(f"SQL outside of a transaction: {text[:80]}")

    def _name(self) -> str:
        return "; ".join(self._events) or ", ".join(dict.fromkeys(self._tables))


def _watch_what_has_no_event(points: CrashPoints) -> None:
    """Name what the audit hooks cannot see: bytes, words to a git that waits, and the time after a start."""
    for module, name in ((os, "open"), (io, "open"), (builtins, "open")):
        _half_written(points, module, name)
    for name in ("pwrite", "copy_file_range", "sendfile", "write"):
        _bytes(points, name)
    _statements(points)
    start = subprocess.Popen.__init__

    def started(self: Any, args: Any, *more: Any, **options: Any) -> None:
        start(self, args, *more, **options)
        scratch = CrashPoints(Path(points.machine))
        words = [args] if isinstance(args, str) else args
        if name := _program(scratch, words, options.get("cwd")):
            points.reach(f"during {name}")

    subprocess.Popen.__init__ = started  # type: ignore[method-assign]
    _words_to_git(points)


def _statements(points: CrashPoints) -> None:
    connect, opened = sqlite3.connect, Database.__init__

    def kept(self: Database, *arguments: Any, **options: Any) -> None:
        opened(self, *arguments, **options)
        points.databases.append(self)

    Database.__init__ = kept  # type: ignore[method-assign]

    def connected(*arguments: Any, **options: Any) -> sqlite3.Connection:
        points.connecting = True
        try:
            connection = connect(*arguments, **options)
        finally:
            points.connecting = False
        connection.set_trace_callback(_Statements(points).see)
        return connection

    sqlite3.connect = connected


def _half_written(points: CrashPoints, module: Any, name: str) -> None:
    original: Callable[..., Any] = getattr(module, name)

    def opened(path: Any, *arguments: Any, **options: Any) -> Any:
        before = isinstance(path, str | bytes | os.PathLike) and os.path.lexists(path)
        file = original(path, *arguments, **options)
        if isinstance(path, int) or points.short(path).startswith(("/dev", "/proc")):
            return file
        given = arguments[0] if arguments else options.get("flags", options.get("mode", "r"))
        if isinstance(given, int):
            empties = given & os.O_TRUNC or (given & os.O_CREAT and not before)
            empties = empties and given & os.O_TMPFILE != os.O_TMPFILE
        else:
            empties = "w" in given or "x" in given
        if empties:
            points.reach(f"half-way in write {points.short(path)}")
        return file

    setattr(module, name, opened)


def _bytes(points: CrashPoints, name: str) -> None:
    original: Callable[..., Any] = getattr(os, name)

    def written(*arguments: Any) -> Any:
        target = arguments[1] if name == "copy_file_range" else arguments[0]
        found = os.fstat(target)
        if stat.S_ISREG(found.st_mode) and (name == "pwrite" or found.st_size == 0):
            points.reach(f"before {name} into {points.short(_opened_as(target))}")
        return original(*arguments)

    setattr(os, name, written)


def _words_to_git(points: CrashPoints) -> None:
    begin, ask, end = _Transaction.__init__, _Transaction.ask, _Transaction.end

    def begun(self: Any, git: Any, folder: str) -> None:
        self.folder = points.short(folder)
        begin(self, git, folder)

    def asked(self: Any, commands: str, *names: str, interruptible: bool) -> bool:
        points.reach(f"before telling git update-ref to {names[-1]} in {self.folder}")
        answer = ask(self, commands, *names, interruptible=interruptible)
        points.reach(f"after git update-ref said {names[-1]} in {self.folder}")
        return answer

    def ended(self: Any) -> str:
        points.reach(f"before letting go of git update-ref in {self.folder}")
        return end(self)

    _Transaction.__init__ = begun  # type: ignore[method-assign]
    _Transaction.ask = asked  # type: ignore[method-assign]
    _Transaction.end = ended  # type: ignore[method-assign]
