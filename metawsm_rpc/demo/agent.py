"""The scripted agent of the demonstration: it follows the story the way a real agent would work.

It reads its brief, finds the worktrees there, edits files, runs tests, commits, and tells how it
goes. It shares its workspace with another agent, so it commits its own files and nothing else.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from metawsm_rpc.demo.story import WORK, Change, Edit, Question

PACE = "DEMO_PACE"
"""The environment variable that says how many seconds a thought takes."""

_LOOK_SECONDS = 0.2
_PATIENCE_SECONDS = 60.0

_IN_THE_WAY = ("index.lock", "cannot lock ref")
"""What git says when another one is at work in the same worktree: just now, or since it has looked at the branch."""


class Brief(NamedTuple):
    """What a brief says: who this is, on which ticket, and where each repository's worktree is."""

    agent: str
    ticket: str
    title: str
    worktrees: Mapping[str, Path]


def read_brief(text: str) -> Brief:
    """Read a brief. Raises `ValueError` when it is none."""
    heading = re.search(r"^# (?P<ticket>\S+): (?P<title>.+)$", text, re.MULTILINE)
    name = re.search(r"^You are the agent `(.+?)`", text, re.MULTILINE)
    if not heading or not name:
        raise ValueError("this is no brief: it does not say which agent is to work on which ticket")
    places = re.findall(r"^- `(.+?)` at `(.+)` \(branch ", text, re.MULTILINE)
    return Brief(name[1], heading["ticket"], heading["title"], {repo: Path(path) for repo, path in places})


class Worker:
    """One agent at work."""

    def __init__(self, brief: Brief, pace: float) -> None:
        self._brief = brief
        self._pace = pace

    def work(self) -> None:
        """Do every change of the story that is not committed yet, and say done."""
        _print(f"{self._brief.ticket}: {self._brief.title}")
        changes = WORK[self._brief.ticket, self._brief.agent]
        left = [change for change in changes if not self._is_committed(change)]
        if len(left) < len(changes):
            _signal("progress", "what was committed is still there; on with the rest")
        elif changes[0].waits_for is None:
            _signal("progress", "the ticket is read")
        for change in left:
            self._change(change)
        _signal("done", f"{len(changes)} commits in {len(self._brief.worktrees)} repositories")

    def _is_committed(self, change: Change) -> bool:
        return _has_commit(self._brief.worktrees[change.repo], f"{self._brief.ticket}: {change.message}")

    def _change(self, change: Change) -> None:
        worktree = self._brief.worktrees[change.repo]
        if change.asks is not None:
            _ask(change.asks)
        if change.waits_for is not None:
            self._wait_for(change.waits_for, worktree)
        _print(f"\n{change.repo}: {change.thought}")
        time.sleep(self._pace)
        for edit in change.edits:
            apply(edit, worktree)
            _print(f"  {edit.path}")
        time.sleep(self._pace)
        if change.check:
            subprocess.run([sys.executable, *change.check], cwd=worktree, check=True)
        own = [edit.path for edit in change.edits]
        commit(worktree, own, f"{self._brief.ticket}: {change.message}", author=self._brief.agent)
        _signal("progress", change.tells)
        if change.dies:
            os.kill(os.getpid(), signal.SIGKILL)

    def _wait_for(self, change: str, worktree: Path) -> None:
        """Wait until the other agent has committed this change."""
        subject = f"{self._brief.ticket}: {change}"
        if _has_commit(worktree, subject):
            return
        _signal("waiting", f"'{change}' in {worktree.name}")
        until = time.monotonic() + _PATIENCE_SECONDS
        while not _has_commit(worktree, subject):
            if time.monotonic() > until:
                raise TimeoutError(f"nobody has committed '{change}' in {worktree.name}")
            time.sleep(_LOOK_SECONDS)
        _signal("working")


def apply(edit: Edit, worktree: Path) -> None:
    """Make one edit. Raises `ValueError` when the file is not as the story has it."""
    file = worktree / edit.path
    if edit.old is None:
        file.parent.mkdir(exist_ok=True)
        file.write_text(edit.new, "utf-8")
        return
    text = file.read_text("utf-8")
    if text.count(edit.old) != 1:
        raise ValueError(f"{file} does not have the lines to change exactly once")
    file.write_text(text.replace(edit.old, edit.new), "utf-8")


def commit(worktree: Path, own: Sequence[str], message: str, *, author: str) -> None:
    """Commit these files and none that the other agent is just writing or has added.

    Waits while the other one holds the lock of the worktree. Raises `RuntimeError` when git refuses.
    """
    identity = ("-c", f"user.name={author}", "-c", f"user.email={author}@example.com")
    _git(worktree, "add", "--", *own)
    _git(worktree, "commit", "-q", "-m", message, "--only", "--", *own, options=identity)


def _has_commit(worktree: Path, subject: str) -> bool:
    return subject in _git(worktree, "log", "--format=%s").splitlines()


def _git(worktree: Path, *arguments: str, options: Sequence[str] = ()) -> str:
    """Run git, again while the other agent holds a lock of the shared worktree, or has moved its branch meanwhile."""
    until = time.monotonic() + _PATIENCE_SECONDS
    argv = ["git", *options, *arguments]
    plain = {**os.environ, "LC_ALL": "C"}
    while True:
        done = subprocess.run(argv, cwd=worktree, env=plain, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout
        if time.monotonic() > until or not any(sign in done.stderr for sign in _IN_THE_WAY):
            raise RuntimeError(f"git {arguments[0]} failed: {done.stderr.strip()}")
        time.sleep(_LOOK_SECONDS)


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _signal(kind: str, *message: str) -> None:
    subprocess.run([os.environ["METAWSM_BIN"], "signal", kind, *message], check=True)
    _print(f"  [{' '.join((kind, *message))}]")


def _ask(question: Question) -> None:
    """Ask, and wait for the answer."""
    choices = [word for choice in question.choices for word in ("--choice", choice)]
    _signal("guidance", question.text, *choices, "--wait")


def main() -> int:
    """Work as the brief in METAWSM_BRIEF says, and return the exit status."""
    try:
        brief = read_brief(Path(os.environ["METAWSM_BRIEF"]).read_text("utf-8"))
        Worker(brief, float(os.environ.get(PACE, "0"))).work()
    except (OSError, ValueError, RuntimeError, KeyError, subprocess.CalledProcessError) as error:
        _signal("failed", str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
