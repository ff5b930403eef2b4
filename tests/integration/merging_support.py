"""Real repositories in private folders, for the tests of merging."""

import subprocess
from pathlib import Path

import pytest

from metawsm_rpc.domain.models import Repo
from metawsm_rpc.hosts.commands import Commands
from metawsm_rpc.hosts.git.merging import GitMerging
from metawsm_rpc.ports.merging import MergeRequest, RefMove


def use_private_git(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing of the person's own git reach the test."""
    home.mkdir(exist_ok=True)
    config = home / ".gitconfig"
    config.write_text("[user]\nname = Ada\nemail = ada@example.org\n[init]\ndefaultBranch = main\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def merging() -> GitMerging:
    return GitMerging(Commands(timeout=60))


class Repository:
    """A repository on `main` with one commit, and what a person does in it."""

    def __init__(self, path: Path, files: dict[str, str] | None = None) -> None:
        self.path = path
        subprocess.run(("git", "init", "-q", path), check=True)
        self.first = self.commit(
            "first", files or {"kept.txt": "kept\n", "changed.txt": "old\n", "removed.txt": "gone\n"}
        )

    def git(self, *args: str, cwd: Path | None = None, check: bool = True) -> str:
        done = subprocess.run(("git", *args), cwd=cwd or self.path, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout.strip() if check else str(done.returncode)

    def write(self, files: dict[str, str], folder: Path | None = None) -> None:
        for name, text in files.items():
            file = (folder or self.path) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def commit(self, message: str, files: dict[str, str], folder: Path | None = None) -> str:
        self.write(files, folder)
        self.git("add", "--all", "--force", *(("--", *files) if files else ()), cwd=folder)
        self.git("commit", "-q", "--allow-empty", "-m", message, cwd=folder)
        return self.git("rev-parse", "HEAD", cwd=folder)

    def worktree(self, branch: str, start: str = "main") -> Path:
        path = self.path.parent / f"{self.path.name}-{branch.replace('/', '-')}"
        self.git("worktree", "add", "-q", "-b", branch, str(path), start)
        return path

    def commit_of(self, revision: str) -> str:
        return self.git("rev-parse", revision)

    def status(self, folder: Path | None = None) -> list[str]:
        done = subprocess.run(
            ("git", "status", "--porcelain"), cwd=folder or self.path, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    def request(self, worktree: Path, branch: str, *, base: str = "main", ticket: str = "T-1") -> MergeRequest:
        repo = Repo(
            name=self.path.name,
            path=str(worktree),
            source=str(self.path),
            branch=branch,
            base=base,
            base_commit=None,
            head=None,
            dirty_files=None,
            ahead=None,
            behind=None,
        )
        return MergeRequest(ticket, repo)

    def branch_with(self, files: dict[str, str | None], branch: str = "task/t-1") -> str:
        """Make a branch on top of main that writes, or with None removes, files; main stays checked out."""
        self.git("switch", "-q", "-c", branch)
        for name, text in files.items():
            if text is None:
                self.git("rm", "-q", "-r", name)
        self.write({name: text for name, text in files.items() if text is not None})
        for name, text in files.items():
            if text is not None:
                self.git("add", "--force", "--", name)
        self.git("commit", "-q", "-m", branch)
        tip = self.commit_of("HEAD")
        self.git("switch", "-q", "main")
        return tip

    def move(self, new: str, *, base: str = "main", checkouts: tuple[str, ...] | None = None) -> RefMove:
        shown = merging().checkouts(str(self.path), base) if checkouts is None else checkouts
        return RefMove(self.path.name, str(self.path), base, self.commit_of(base), new, shown)
