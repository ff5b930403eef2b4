"""Facts about processes: which run, which belong to a launch, and their command lines.

A pid alone does not identify a process, because pids are reused. A process of a launch is recognised by the
launch's id: on the shim's command line, and in the environment of its children. On Linux, /proc is read
directly, which takes microseconds per process; elsewhere psutil is used.
"""

import os
import sys

_MARK = "METAWSM_LAUNCH="


def bears(pid: int, launch: str) -> bool:
    """Return whether a process provably belongs to this launch; one that has just started may not do so yet."""
    return launch in command(pid) or carries(pid, launch)


def carriers(launch: str) -> tuple[tuple[int, str], ...]:
    """Return `(pid, command line)` of every process of this user that has the launch in its environment."""
    found = [pid for pid in every() if pid != os.getpid() and carries(pid, launch)]
    return tuple((pid, " ".join(command(pid))) for pid in found if runs(pid))


def members(session: int) -> list[int]:
    """Return the running processes of a process session, except this one."""
    return [pid for pid in every() if _session_of(pid) == session and pid != os.getpid() and runs(pid)]


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


if sys.platform == "linux":

    def every() -> list[int]:
        """Return the pids of all processes."""
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208 - names only

    def runs(pid: int) -> bool:
        """Return whether the process exists and is not a zombie."""
        return _stat(pid)[:1] not in ([], [b"Z"], [b"X"])

    def command(pid: int) -> list[str]:
        """Return the command line, empty for a process that is gone."""
        return [os.fsdecode(word) for word in _read(pid, "cmdline").rstrip(b"\0").split(b"\0")]

    def parent(pid: int) -> int | None:
        """Return the pid of a process's parent."""
        fields = _stat(pid)
        return int(fields[1]) if fields else None

    def carries(pid: int, launch: str) -> bool:
        """Return whether the process was started with the launch's id in its environment."""
        return f"\0{_MARK}{launch}\0".encode() in b"\0" + _read(pid, "environ") + b"\0"

    def _stat(pid: int) -> list[bytes]:
        """Return the fields of /proc/PID/stat from the state on; the name before it may contain anything."""
        return _read(pid, "stat").rpartition(b")")[2].split()

    def _read(pid: int, name: str) -> bytes:
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:  # noqa: PTH123 - opened for every process
                return file.read()
        except OSError:  # gone, or another user's
            return b""

else:

    def every() -> list[int]:
        """Return the pids of all processes."""
        import psutil

        return psutil.pids()

    def runs(pid: int) -> bool:
        """Return whether the process exists and is not a zombie."""
        import psutil

        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        except psutil.Error:
            return True

    def command(pid: int) -> list[str]:
        """Return the command line, empty for a process that is gone."""
        import psutil

        try:
            return psutil.Process(pid).cmdline()
        except psutil.Error:
            return []

    def parent(pid: int) -> int | None:
        """Return the pid of a process's parent."""
        import psutil

        try:
            return psutil.Process(pid).ppid()
        except psutil.Error:
            return None

    def carries(pid: int, launch: str) -> bool:
        """Return whether the process was started with the launch's id in its environment."""
        import psutil

        try:
            return psutil.Process(pid).environ().get(_MARK.rstrip("=")) == launch
        except (psutil.Error, OSError):
            return False
