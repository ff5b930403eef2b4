"""Runs driven in the test's own process, and what the machine shows of them."""

import os
import signal
import subprocess
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conftest import Root, git

from metawsm_rpc.composition import open_service
from metawsm_rpc.domain.models import Agent, Event, Run, Step, Workspace
from metawsm_rpc.hosts.death_watch import DeathWatch
from metawsm_rpc.hosts.git.merging import GitMerging
from metawsm_rpc.ports.store import Lease
from metawsm_rpc.service import Service
from metawsm_rpc.store.store import SqliteStore

RUN = "run-0001"

WAITS = 'while [ ! -e "$METAWSM_ROOT/go" ]; do sleep 0.02; done; '
"""An agent that is at work until `let_go`."""


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Return the condition's first true value; for what the system announces to nobody."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return value


def wait_for_death(pid: int) -> None:
    with DeathWatch[int]() as watch:
        watch.add(pid, pid)
        assert watch.wait(60) == (pid,)


def hook(repository: Path, script: str, name: str = "post-checkout") -> Path:
    """Give a repository a hook; `$PWD` is the new worktree."""
    file = repository / ".git" / "hooks" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


class Runs:
    """The verbs on a root, in this process, and shorter ways to ask what became of a run."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.verbs: Service = open_service(root.path)
        self.store = self.verbs.world.store

    def start(self, *tickets: str, repos: Sequence[str] | None = None, wait: bool = True, **options: Any) -> str:
        """Create the tickets, start a run on them, and wait until its steps have ended."""
        for ticket in tickets:
            self.verbs.create_ticket(ticket)
        options.setdefault("run_id", RUN)
        run_id = self.verbs.run(tickets, repos=repos, **options).run_id
        if wait:
            self.verbs.finish(run_id)
        return run_id

    def run(self, run_id: str = RUN) -> Run:
        return self.store.run(run_id)

    def steps(self, kind: str = "", run_id: str = RUN) -> list[Step]:
        return [step for step in self.store.steps(run_id) if kind in ("", step.kind)]

    def agent(self, name: str = "", ticket: str = "", run_id: str = RUN) -> Agent:
        (found,) = (a for a in self.store.agents(run_id) if name in ("", a.name) and ticket in ("", a.ticket))
        return found

    def workspace(self, ticket: str = "", run_id: str = RUN) -> Workspace:
        (found,) = (w for w in self.store.workspaces(run_id) if ticket in ("", w.ticket))
        return found

    def folder(self, repo: str, ticket: str = "", run_id: str = RUN) -> Path:
        return Path(next(r.path for r in self.workspace(ticket, run_id).repos if r.name == repo))

    def events(self, *types: str, run_id: str = RUN) -> list[Event]:
        return [event for event in self.store.events(run_id=run_id) if event.type in types or not types]

    def settled(self, run_id: str = RUN) -> Run:
        waited = self.verbs.wait(run_id, timeout=60)
        assert waited.reached, waited.run
        return waited.run

    def let_go(self) -> None:
        """Let the agents end that wait."""
        (self.root.path / "go").touch()


@contextmanager
def runs_on(root: Root) -> Iterator[Runs]:
    runs = Runs(root)
    try:
        yield runs
    finally:
        runs.verbs.shut_down()


@contextmanager
def process(root: Root, *args: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a command line in the background; it is gone at the end of the block, also one that is frozen."""
    with root.spawn(*args) as started:
        try:
            yield started
        finally:
            if started.poll() is None:
                started.kill()


def crash(
    root: Root, act: Callable[[Runs], object], *, at: int, before: bool = False, merging: str | None = None
) -> bool:
    """Do something in another process that is killed at its write number `at`; returns whether it came so far.

    Writes are those with a lease; what a look writes does not count. The kill comes when the write
    has been committed, or with `before` when everything else has been done. With `merging` it comes
    after, or before, call number `at` of that method of `GitMerging`. No run may be open here: what
    another process holds must not be inherited.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pytest's own threads do not mind
        pid = os.fork()
    if pid == 0:
        try:
            if merging is None:
                _kill_at(at, before=before)
            else:
                _kill_in(merging, at, before=before)
            runs = Runs(root)
            act(runs)
        except BaseException:  # noqa: BLE001 - nothing of the parent may go on in the child
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def _kill_in(name: str, at: int, *, before: bool) -> None:
    method, calls = getattr(GitMerging, name), 0

    def counted(self: GitMerging, *args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if before and calls == at:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = method(self, *args, **options)
        if calls == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(GitMerging, name, counted)


def _kill_at(at: int, *, before: bool) -> None:
    transaction, writes = SqliteStore.transaction, 0

    @contextmanager
    def counted(self: SqliteStore, lease: Lease | None = None) -> Iterator[Any]:
        nonlocal writes
        with transaction(self, lease) as under_way:
            yield under_way
            writes += lease is not None
            number = writes if lease is not None else 0
            if before and number == at:
                os.kill(os.getpid(), signal.SIGKILL)
        if number == at:
            os.kill(os.getpid(), signal.SIGKILL)

    SqliteStore.transaction = counted  # type: ignore[method-assign]


def sessions(socket: str = "metawsm") -> list[str]:
    """Return the names of the tmux sessions there are."""
    listed = subprocess.run(
        ["tmux", "-L", socket, "list-sessions", "-F", "#{session_name}"], capture_output=True, text=True, check=False
    )
    return sorted(listed.stdout.split())


def branches(repository: Path) -> list[str]:
    return git(repository, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()


def worktrees(repository: Path) -> list[str]:
    """Return the folders of a repository's linked worktrees."""
    listed = git(repository, "worktree", "list", "--porcelain").split("\n\n")
    return [entry.splitlines()[0].removeprefix("worktree ") for entry in listed[1:]]


def alive(pid: int) -> bool:
    """Return whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def pid_in(file: Path) -> int:
    """Wait for a file in which a process has written its number."""
    return int(until(lambda: file.exists() and file.read_text().strip()))
