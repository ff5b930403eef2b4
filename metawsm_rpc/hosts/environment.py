"""The environment that agents start with, and the programs found in it.

Agents get the person's environment: that of this process, without the variables of the terminal, the shell or
the git command that metawsm was started from. An editor started from a desktop has not inherited the
environment of the person's shell, so there the login shell is asked, once.
"""

import functools
import os
import re
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from metawsm_rpc.errors import HostError
from metawsm_rpc.hosts.commands import Commands

ShellEnvironment = Literal["auto", "always", "never"]

_NOT_FOR_AGENTS = re.compile(
    r"""
      TMUX.* | GIT_.* | METAWSM_.*
    | _ | SHLVL | PWD | OLDPWD | BASH_FUNC_.*
    | TERM | TERMCAP | COLUMNS | LINES | WINDOWID | WINDOW | STY | TERM_PROGRAM.* | TERM_SESSION_ID | LC_TERMINAL.*
    | VTE_VERSION | KITTY_.* | WEZTERM_.* | ITERM_.* | KONSOLE_.* | ALACRITTY_.* | GHOSTTY_.* | WT_SESSION
    """,
    re.VERBOSE,
)

_PLUGINS = str(Path(__file__).with_name("plugins"))

_SHELL_TIMEOUT_SECONDS = 10.0

_ONE_WORD = re.compile(r"[A-Za-z0-9/._+@%:,=-]+")


class LocalPrograms:
    """Implements `metawsm_rpc.ports.programs.Programs` for this machine.

    `shell_env` is the policy's `execution.shell_env`: `always` takes the login shell's environment; `auto` does
    so if no shell can have started this process and the login shell answers; `never` takes this process's own.
    """

    def __init__(self, shell_env: ShellEnvironment = "auto") -> None:
        self._shell_env = shell_env

    def environment(self) -> dict[str, str]:
        """Return the environment for agents: the person's, without TMUX*, GIT_* and shell state.

        Raises:
            HostError: the policy says `always` and the login shell does not answer.
        """
        return {name: value for name, value in self._person().items() if not _NOT_FOR_AGENTS.fullmatch(name)}

    def find(self, program: str, environment: Mapping[str, str]) -> str | None:
        """Return the path of a program on that environment's PATH, or None."""
        import shutil

        return shutil.which(program, path=environment.get("PATH", os.defpath))

    def command_path(self) -> str:
        """Return the path of the metawsm command for METAWSM_BIN, which every shell reads as one word.

        It is the command beside this Python, or the one that was called. If there is none, as with `python -m`,
        or its path is not one word, a small wrapper is written for this user.

        Raises:
            HostError: it cannot be written.
        """
        beside = os.path.join(os.path.dirname(sys.executable), "metawsm")  # noqa: PTH118, PTH120 - text, as it is
        called = os.path.abspath(sys.argv[0]) if os.path.basename(sys.argv[0]) == "metawsm" else beside  # noqa: PTH100, PTH119
        for path in (beside, called):
            if os.access(path, os.X_OK):
                return path if _ONE_WORD.fullmatch(path) else _wrapper(_quoted(path))
        code = "import sys; from metawsm_rpc.cli.main import main; sys.exit(main())"
        return _wrapper(f"{_quoted(sys.executable)} -c {_quoted(code)}")

    def plugin_directory(self) -> str:
        """Return the folder of the hook files and plugins that metawsm ships for agents' programs."""
        return _PLUGINS

    def _person(self) -> Mapping[str, str]:
        if self._shell_env == "always":
            return login_shell_environment()
        if self._shell_env == "auto" and "SHLVL" not in os.environ:
            try:
                return login_shell_environment()
            except HostError:
                return os.environ
        return os.environ


@functools.cache
def login_shell_environment() -> Mapping[str, str]:
    """Return the environment that the person's login shell sets up; it is asked once per process.

    Raises:
        HostError: the shell does not start, does not answer within ten seconds, or prints no
            environment.
    """
    shell = os.environ.get("SHELL") or _shell_of_user()
    options = ("-ic",) if os.path.basename(shell) in {"csh", "tcsh"} else ("-i", "-l", "-c")  # noqa: PTH119
    mark = os.urandom(8).hex()  # separates it from anything that the shell's start-up files print
    code = (
        f'import os,sys;m=b"{mark}";e=os.environb.items();'
        'sys.stdout.buffer.write(m+bytes(1).join(k+b"="+v for k,v in e)+m)'
    )
    printed = (
        Commands(_SHELL_TIMEOUT_SECONDS)
        .run(
            [shell, *options, f"{_quoted(sys.executable)} -I -S -c {_quoted(code)}"],
            label=f"the login shell {shell}",
            accept=None,
        )
        .output.split(mark.encode())
    )
    if len(printed) != 3:
        raise HostError(
            f"The login shell {shell} did not print its environment.",
            hint='Set `execution.shell_env` to "never" in the policy to take the environment as it is.',
        )
    pairs = (os.fsdecode(pair).partition("=") for pair in printed[1].split(b"\0"))
    return {name: value for name, _, value in pairs}


def _shell_of_user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_shell or "/bin/sh"
    except KeyError:
        return "/bin/sh"


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)


def _wrapper(command: str) -> str:
    """Write a wrapper that runs the shell words of `command`, and return its path, which is one word."""
    import hashlib
    import tempfile

    script = f'#!/bin/sh\nexec {command} "$@"\n'.encode("utf-8", "surrogateescape")
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - there may be no home
    own = f"metawsm-{os.getuid()}"
    places = (f"{caches}/metawsm", f"{tempfile.gettempdir()}/{own}", f"/tmp/{own}")  # noqa: S108 - ownership is checked
    base = Path(next(filter(_ONE_WORD.fullmatch, places)))
    folder = base / hashlib.sha256(script).hexdigest()[:12]
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        for place in (base, folder):
            _check_private(place)
        path = folder / "metawsm"
        if not path.exists():
            new = folder / f"metawsm.{os.getpid()}"
            new.write_bytes(script)
            new.chmod(0o700)
            new.rename(path)
    except OSError as error:
        raise HostError(f"The command for agents cannot be written to {folder}: {error.strerror}.") from error
    return str(path)


def _check_private(folder: Path) -> None:
    """Raise `HostError` when another user could replace the program there."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise HostError(f"{folder} is not a folder that only you can write to; remove it, and it will be made again.")
