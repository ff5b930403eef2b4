"""What every test stands on: a machine of its own, with nothing of the person's in it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# Machines are shared and slow at times; what takes long is no failure.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

# Whoever runs the tests in the background may have them ignore Ctrl-C, and what they start with them.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_SCRUBBED = ("TMUX", "TMUX_PANE", "SHLVL")


@pytest.fixture(autouse=True)
def private_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the test a home, temporary folder, configuration and tmux sockets of its own."""
    home = tmp_path / "home"
    home.mkdir()
    # A tmux socket's path has room for about a hundred characters, tmp_path's is longer.
    sockets = tempfile.mkdtemp(prefix="mw-", dir="/tmp")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    for name in list(os.environ):
        if name.startswith(("GIT_", "METAWSM_", "XDG_")) or name in _SCRUBBED:
            monkeypatch.delenv(name)
    for name, value in {
        "HOME": home,
        "XDG_CONFIG_HOME": home / ".config",
        "XDG_CACHE_HOME": home / ".cache",
        "TMPDIR": temporary,
        "TMUX_TMPDIR": sockets,
        "GIT_CONFIG_GLOBAL": home / ".gitconfig",
        "GIT_CONFIG_NOSYSTEM": "1",
        "METAWSM_WORKSPACE_DIRECTORY": tmp_path / "workspaces",
        "SHLVL": "1",
    }.items():
        monkeypatch.setenv(name, str(value))
    (home / ".gitconfig").write_text(
        "[user]\nname = Tester\nemail = tester@example.com\n[init]\ndefaultBranch = main\n[commit]\ngpgsign = false\n"
    )
    yield home
    for socket in Path(sockets).glob("tmux-*/*"):
        subprocess.run(["tmux", "-S", socket, "kill-server"], capture_output=True, check=False)
    shutil.rmtree(sockets, ignore_errors=True)


def git(repo: Path | str, *args: str) -> str:
    """Run git in a repository and return what it says."""
    done = subprocess.run(["git", "-C", str(repo), *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"git {args}: {done.stderr}"
    return done.stdout.strip()


def make_repository(path: Path, files: Mapping[str, str] | None = None) -> Path:
    """Make a repository with one commit on main."""
    path.mkdir(parents=True)
    git(path, "init", "-q", "-b", "main")
    for name, text in (files or {"README.md": f"# {path.name}\n"}).items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    git(path, "add", "-A")
    git(path, "commit", "-qm", "Begin")
    return path


class Ran:
    """What a command line did."""

    def __init__(self, done: "subprocess.CompletedProcess[str]") -> None:
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- out\n{self.out}\n--- err\n{self.err}"


class Root:
    """A folder with repositories, tickets and a policy, and the command line on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def repository(self, name: str, files: Mapping[str, str] | None = None) -> Path:
        """Make a repository directly below the root."""
        return make_repository(self.path / name, files)

    def policy(self, **sections: Any) -> None:
        """Write the policy."""
        (self.path / ".metawsm").mkdir(mode=0o700, exist_ok=True)
        (self.path / ".metawsm" / "policy.json").write_text(json.dumps({"version": 3, **sections}))

    def agents(self, **scripts: str) -> None:
        """Write a policy whose agents are shell scripts."""
        self.policy(agents=[self.agent(name, script) for name, script in scripts.items()])

    @staticmethod
    def agent(name: str, script: str, profile: str = "shell") -> dict[str, Any]:
        """Return an agent of the policy that runs a shell script."""
        return {
            "name": name,
            "profile": profile,
            "command": ["sh", "-c", textwrap.dedent(script).replace("{", "{{").replace("}", "}}")],
        }

    def metawsm(
        self, *args: str, code: int | None = 0, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Ran:
        """Run a command line; `code` is the exit status that is expected, None for any."""
        ran = Ran(
            subprocess.run(
                command(*args),
                cwd=cwd or self.path,
                capture_output=True,
                text=True,
                check=False,
                timeout=100,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(env or {})},
            )
        )
        assert code is None or ran.code == code, f"metawsm {args}: {ran}"
        return ran

    def ask(self, *args: str, code: int | None = 0) -> Any:
        """Run a command line with --json and return what it prints."""
        return self.metawsm("--json", *args, code=code).json

    def spawn(self, *args: str, **options: Any) -> "subprocess.Popen[str]":
        """Start a command line in the background; the caller ends it, but for a test that fails."""
        return _Spawned(
            command(*args),
            cwd=self.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            **options,
        )

    def run(self, *tickets: str, repos: Sequence[str] = (), extra: Sequence[str] = ()) -> str:
        """Create the tickets, run the policy's agents on them, and return the run's id."""
        for ticket in tickets:
            self.metawsm("ticket", "create", ticket)
        chosen = ["--repos", ",".join(repos)] if repos else []
        flags = [word for ticket in tickets for word in ("--ticket", ticket)]
        answer = self.ask("run", *flags, *chosen, *extra)
        return str(answer["runId"])


class _Spawned(subprocess.Popen[str]):
    """A process that a failing test does not wait for."""

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, *rest)


def command(*args: str) -> list[str]:
    """Return the command line of this very checkout."""
    return [sys.executable, "-m", "metawsm_rpc.cli.main", *args]


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """Return an empty root."""
    return Root(tmp_path / "root")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at how many points the process was killed, by tests that count them."""
    reports = [report for status in ("passed", "failed") for report in terminalreporter.stats.get(status, [])]
    points = sum(value for report in reports for name, value in report.user_properties if name == "crash points")
    if points:
        terminalreporter.write_line(f"{points} crash points")


DONE = '"$METAWSM_BIN" signal done "all is done"\n'
"""What an agent's script says at its end."""


@pytest.fixture
def two_repositories(root: Root) -> Root:
    """Return a root with the repositories `app` and `lib`."""
    root.repository("app")
    root.repository("lib")
    return root
