"""The command line called inside the test's own process, and what it may have left behind."""

import contextlib
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Ran, Root, git

from metawsm_rpc.cli.main import main


class Cli:
    """The command line without a process of its own, where one adds nothing but time."""

    def __init__(self, root: Root, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self._capture = capfd
        self._monkeypatch = monkeypatch

    def __call__(self, *args: str, code: int | None = 0, cwd: Path | None = None) -> Ran:
        self._monkeypatch.chdir(cwd or self.root.path)
        self._capture.readouterr()
        try:
            status = main(args)
        except SystemExit as end:  # --help
            status = int(end.code or 0)
        out, err = self._capture.readouterr()
        ran = Ran(subprocess.CompletedProcess(args, status, out, err))
        assert code is None or ran.code == code, f"metawsm {args}: {ran}"
        return ran

    def ask(self, *args: str, code: int | None = 0) -> Any:
        """Return what a command line prints with --json: one document, and nothing after it."""
        return self("--json", *args, code=code).json


def assert_refused(ran: Ran, code: int, *words: str) -> None:
    """Assert that an error was told in one sentence, perhaps with a hint, and nothing was printed."""
    message, *hint = ran.err.splitlines()
    assert ran.code == code, ran
    assert message.startswith("metawsm: "), ran
    assert message.endswith((".", "?")), ran
    assert len(hint) <= 1, ran
    assert all(line.startswith("  ") for line in hint), ran
    assert not ran.out, ran
    for word in words:
        assert word in ran.err, f"{word!r} in {ran}"


def footprint(root: Root) -> dict[str, Any]:
    """Return all that runs make: branches, worktrees, sessions, rows, folders, registrations."""
    repos = [folder for folder in sorted(root.path.iterdir()) if (folder / ".git").exists()]
    return {
        "branches": {repo.name: git(repo, "for-each-ref", "--format=%(refname) %(objectname)") for repo in repos},
        "worktrees": {repo.name: git(repo, "worktree", "list", "--porcelain") for repo in repos},
        "sessions": sessions(),
        "rows": _rows(root.path / ".metawsm" / "metawsm.db"),
        "workspaces": _tree(Path(os.environ["METAWSM_WORKSPACE_DIRECTORY"])),
        "agents": _tree(root.path / ".metawsm" / "agents"),
        "registry": _tree(Path(os.environ["XDG_CONFIG_HOME"]) / "workspace-manager"),
    }


@contextlib.contextmanager
def nothing_made(root: Root) -> Iterator[None]:
    """Assert that the block leaves no trace of a run."""
    before = footprint(root)
    yield
    assert footprint(root) == before


def sessions(socket: str = "metawsm") -> list[str]:
    """Return the names of the sessions of agents."""
    listed = subprocess.run(
        ["tmux", "-L", socket, "list-sessions", "-F", "#{session_name}"], capture_output=True, text=True, check=False
    )
    return sorted(listed.stdout.splitlines())


def _rows(database: Path) -> int:
    if not database.exists():
        return 0
    with contextlib.closing(sqlite3.connect(database)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM runs").fetchone()
    return int(count)


def _tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.is_dir() else []
