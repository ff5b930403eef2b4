"""A machine of the benchmark's own: folders, configuration and tmux sockets that nobody else uses."""

import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOCKET = "bench"


@contextmanager
def machine() -> Iterator[Path]:
    """Make a private folder and point this process's environment at it; remove all of it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="mwb-"))
    before = dict(os.environ)
    for name in list(os.environ):
        if name.startswith(("GIT_", "METAWSM_", "XDG_", "TMUX")):
            del os.environ[name]
    os.environ.update(
        HOME=str(folder),
        XDG_CONFIG_HOME=str(folder / "config"),
        TMUX_TMPDIR=str(folder),
        GIT_CONFIG_GLOBAL=str(folder / "gitconfig"),
        GIT_CONFIG_NOSYSTEM="1",
        METAWSM_TMUX_SOCKET=SOCKET,
        METAWSM_WORKSPACE_DIRECTORY=str(folder / "workspaces"),
        SHLVL="1",
    )
    # Compiled modules are what people run; an inherited setting would measure the compiler.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    (folder / "gitconfig").write_text("[user]\nname = Bench\nemail = bench@example.com\n[gc]\nauto = 0\n")
    try:
        yield folder
    finally:
        subprocess.run(["tmux", "-L", SOCKET, "kill-server"], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.clear()
        os.environ.update(before)


def git(repo: Path, *args: str) -> None:
    """Run git in a repository."""
    subprocess.run(["git", "-C", str(repo), *args], check=True, capture_output=True)


def repository(path: Path, files: int) -> Path:
    """Make a repository with so many small files in folders of a hundred, and one commit."""
    path.mkdir(parents=True)
    git(path, "init", "-q", "-b", "main")
    for number in range(files):
        file = path / f"d{number // 100}" / f"f{number}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{path.name} {number}\n" * 20)
    git(path, "add", "-A")
    git(path, "commit", "-qm", "Begin")
    return path


def row(name: str, value: list[float], floor: list[float], goal: float, unit: str = "ms") -> str:
    """Return a line of the table: medians, the ratio pair by pair, and the goal for it."""
    ratio = statistics.median(a / b for a, b in zip(value, floor, strict=True))
    scale = {"s": 1.0, "ms": 1e3, "µs": 1e6}[unit]
    mine, theirs = statistics.median(value) * scale, statistics.median(floor) * scale
    kept = "yes" if ratio <= goal else "NO"
    return f"{name:<52} {mine:>9.1f} {unit:<2}  {theirs:>9.1f} {unit:<2}  {ratio:>6.2f}  {goal:>5.2f}  {kept}"


HEADER = f"{'':<52} {'metawsm':>12}  {'floor':>12}  {'ratio':>6}  {'goal':>5}  kept"
