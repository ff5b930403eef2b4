"""Reads the files in which agents' programs publish their state.

Claude Code (observed with 2.1.197) keeps `sessions/<pid>.json` in its configuration folder while it
runs interactively, replaces it at each change, and removes it on exit; kill -9 leaves it behind.
"""

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any


class LocalStatusFiles:
    """Implements `metawsm_rpc.ports.status_files.StatusFiles`; `environ` is this process's environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def claude(
        self, process_sessions: Collection[int], environment: Mapping[str, str]
    ) -> Mapping[int, Mapping[str, Any]]:
        """Return Claude Code's status file for each of these process sessions that has one.

        Of several in one session, the oldest program's counts, because it has started the others.
        """
        found: dict[int, list[Mapping[str, Any]]] = {}
        folder = _configuration({**self._environ, **environment}) / "sessions"
        for pid in _pids(folder):
            leader = _process_session(pid)
            if leader is not None and leader in process_sessions and (status := _read(folder / f"{pid}.json")):
                found.setdefault(leader, []).append(status)
        return {leader: min(statuses, key=_began) for leader, statuses in found.items()}


def _configuration(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("CLAUDE_CONFIG_DIR") or Path(environment.get("HOME") or "/nonexistent", ".claude"))


def _pids(folder: Path) -> list[int]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names only
    except OSError:  # it has never run, or access is denied
        return []
    return sorted(int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdecimal())


def _process_session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (OSError, OverflowError):  # the program was killed and has left its file behind
        return None


def _read(file: Path) -> Mapping[str, Any] | None:
    try:
        status = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):  # removed meanwhile, or incomplete
        return None
    return status if isinstance(status, dict) else None


def _began(status: Mapping[str, Any]) -> float:
    began = status.get("startedAt")
    return began if isinstance(began, int) else float("inf")
