"""An isolated environment for the demonstration: home, configuration and tmux server in a temporary folder.

This process's environment is changed for as long as the demonstration lasts, because everything
that it starts, and metawsm itself, takes home and configuration from there.
"""

import contextlib
import os
import re
import shutil
import signal
import site
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from metawsm_rpc.demo.scene import SOCKET
from metawsm_rpc.errors import HostError, InvalidParamsError

_GIT_CONFIGURATION = """\
[user]
	name = You
	email = you@example.com
[init]
	defaultBranch = main
[commit]
	gpgSign = false
[core]
	hooksPath = /dev/null
"""

_NOT_OURS = re.compile(r"GIT_|METAWSM_|TMUX|DOCMGR_")
"""The beginnings of variables by which the person steers their own git, tmux, tickets and metawsm."""

_SOCKET_PATH_LIMIT = 100
"""A little less than what fits into a socket's address: 104 bytes on macOS, 108 on Linux."""

_REMOVAL_SECONDS = 5.0


class Scratch(NamedTuple):
    """The folders of a demonstration: the whole, metawsm's root in it, and where workspaces go."""

    folder: Path
    root: Path
    workspaces: Path
    keep: bool


@contextlib.contextmanager
def scratch(directory: str | None, *, keep: bool) -> Iterator[Scratch]:
    """Make the folders and the private environment; afterwards end tmux and remove it all, unless it is kept.

    Args:
        directory: the folder to use, which must be empty or not there; a temporary one by default.
        keep: leave the folders, for looking around.

    Raises:
        InvalidParamsError: the directory holds something.
        HostError: it cannot be made.
    """
    folder, made = _make_folder(directory)
    try:
        with _private_tmux(folder) as sockets, _private_environment(folder, sockets):
            found = Scratch(folder, folder / "shop", folder / "workspaces", keep)
            found.root.mkdir()
            yield found
    finally:
        if not keep:
            with uninterrupted():
                _remove(folder, itself=made)


def _make_folder(directory: str | None) -> tuple[Path, bool]:
    """Return the folder, and whether it was made just now."""
    try:
        if directory is None:
            return Path(tempfile.mkdtemp(prefix="metawsm-demo-")).resolve(), True
        folder = Path(directory).expanduser()
        made = not folder.exists()
        folder.mkdir(exist_ok=True)
        folder = folder.resolve()
        holds_something = any(folder.iterdir())
    except FileExistsError as error:
        raise InvalidParamsError(f"{directory} is a file; name a folder that is empty or not there yet.") from error
    except OSError as error:
        place = directory or tempfile.gettempdir()
        raise HostError(
            f"The demonstration cannot be set up in {place}: {error.strerror}; choose another with --directory."
        ) from error
    if holds_something:
        raise InvalidParamsError(f"{directory} is not empty; name a folder that is empty or not there yet.")
    return folder, made


@contextlib.contextmanager
def _private_tmux(folder: Path) -> Iterator[Path]:
    """Make the folder of the tmux socket; afterwards end the server that is there."""
    sockets = folder / "tmux"
    if len(os.fsencode(sockets / f"tmux-{os.getuid()}" / SOCKET)) > _SOCKET_PATH_LIMIT:
        sockets = Path(tempfile.mkdtemp(prefix="metawsm-", dir="/tmp"))
    else:
        sockets.mkdir(mode=0o700)
    try:
        yield sockets
    finally:
        with uninterrupted():
            for socket in sockets.glob(f"tmux-*/{SOCKET}"):
                subprocess.run(["tmux", "-S", socket, "kill-server"], capture_output=True, check=False)
            shutil.rmtree(sockets, ignore_errors=True)


@contextlib.contextmanager
def _private_environment(folder: Path, sockets: Path) -> Iterator[None]:
    home, temporary = folder / "home", folder / "tmp"
    home.mkdir()
    temporary.mkdir()
    (home / ".gitconfig").write_text(_GIT_CONFIGURATION, "utf-8")
    before = dict(os.environ)
    # A metawsm that was installed with `pip install --user` would be looked for below HOME.
    os.environ.setdefault("PYTHONUSERBASE", site.getuserbase())
    for name in [name for name in os.environ if _NOT_OURS.match(name)]:
        del os.environ[name]
    os.environ.update(
        HOME=str(home),
        XDG_CONFIG_HOME=str(home / ".config"),
        XDG_CACHE_HOME=str(home / ".cache"),
        XDG_DATA_HOME=str(home / ".local/share"),
        XDG_STATE_HOME=str(home / ".local/state"),
        GIT_CONFIG_GLOBAL=str(home / ".gitconfig"),
        TMPDIR=str(temporary),
        TMUX_TMPDIR=str(sockets),
    )
    tempfile.tempdir = None  # so that it is looked up again
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        tempfile.tempdir = None


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let no second, impatient Ctrl-C cut off the clearing up."""
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _remove(folder: Path, *, itself: bool) -> None:
    """Remove the folder, or what is in it; again for a moment, as an agent's last words may still come."""
    until = time.monotonic() + _REMOVAL_SECONDS
    while True:
        if itself:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            for entry in folder.iterdir():
                shutil.rmtree(entry, ignore_errors=True)
        left = folder.exists() if itself else any(folder.iterdir())
        if not left:
            return
        if time.monotonic() > until:
            raise HostError(f"{folder} could not be removed whole; remove it by hand.")
        time.sleep(0.1)
