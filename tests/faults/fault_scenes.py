"""The life of a run in scenes, each of which can be begun anew from a copy of all that there is.

Two tickets in two repositories, one agent for each ticket. A scene is what one command of a person does,
what the person does when that command was cut off, and the picture of all that is there afterwards.
Scenes begin without tmux; sessions that belong to them are put on stage by `revive`.
"""

import os
import pickle
import re
import shutil
import sqlite3
import subprocess
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from conftest import Root, git
from engine_support import RUN, Runs, branches, runs_on, sessions, until, worktrees

from metawsm_rpc.domain import lifecycles
from metawsm_rpc.domain.models import LIVE, Event, RunDetail
from metawsm_rpc.domain.settle import settle
from metawsm_rpc.errors import RunNotFoundError
from metawsm_rpc.policy.view import TranscriptLimits
from metawsm_rpc.ports.terminals import Launch

TICKETS = ("T-1", "T-2")
REPOS = ("app", "lib")

_AGENT = """
echo "$METAWSM_TICKET $METAWSM_LAUNCH" >> "$METAWSM_ROOT/starts"
read -r word < "$METAWSM_ROOT/gates/$METAWSM_TICKET"
for repo in app lib; do
    cd "$METAWSM_WORKSPACE/$repo" || exit 3
    echo "$word" >> "$METAWSM_TICKET.txt"
    git add "$METAWSM_TICKET.txt" && git commit -qm "$METAWSM_TICKET: $word" || exit 4
done
"""
"""It waits at a gate, one for each ticket, then works, and is done."""


class Machine:
    """All that a scene can change, in one folder: the root, the workspaces and a person's home."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = Root(path / "root")

    @property
    def environment(self) -> dict[str, str]:
        home = self.path / "home"
        return {
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_CACHE_HOME": str(home / ".cache"),
            "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
            "METAWSM_WORKSPACE_DIRECTORY": str(self.path / "workspaces"),
            "TMPDIR": str(self.path / "tmp"),
        }

    def make(self) -> None:
        """Make what is there before a run: repositories, tickets, a policy."""
        for folder in ("home", "tmp", "root/gates"):
            (self.path / folder).mkdir(parents=True)
        (self.path / "home" / ".gitconfig").write_text(
            "[user]\nname = Tester\nemail = tester@example.com\n[init]\ndefaultBranch = main\ntemplateDir =\n"
            "[commit]\ngpgsign = false\n[gc]\nauto = 0\n"
        )
        for ticket in TICKETS:
            os.mkfifo(self.path / "root" / "gates" / ticket)
        for repo in REPOS:
            self.root.repository(repo, {"README.md": f"# {repo}\n", ".gitignore": ".env\n"})
            (self.root.path / repo / ".env").write_text("KEY=1\n")
        self.root.policy(
            agents=[Root.agent("worker", _AGENT)],
            execution={"max_parallel": 1, "step_retries": 0, "stop_grace_seconds": 1, "shell_env": "never"},
            workspace={"copy": [".env"], "setup": [{"run": "true"}]},
        )
        with runs_on(self.root) as runs:
            for ticket in TICKETS:
                runs.verbs.create_ticket(ticket)

    def keep(self, place: Path) -> None:
        """Keep a copy of everything."""
        subprocess.run(["cp", "-a", self.path, place], check=True)

    def restore(self, place: Path) -> None:
        """Be as a copy is; nothing that was there since stays."""
        shutil.rmtree(self.path, ignore_errors=True)
        subprocess.run(["cp", "-a", place, self.path], check=True)

    def open_gate(self, ticket: str, word: str) -> None:
        """Let the agent of a ticket work; waits until it is there."""

        def opened() -> int | None:
            try:
                return os.open(self.root.path / "gates" / ticket, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody reads from it yet
                return None

        gate = until(opened)
        os.write(gate, f"{word}\n".encode())
        os.close(gate)


# --- processes of our own ---


class Ended(NamedTuple):
    """How a child ended: its answer, or the signal that killed it."""

    answer: Any
    signal: int | None


def in_child(act: Callable[[], Any]) -> Ended:
    """Do something in a process of its own, which shares nothing with later ones but what is on disk."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pytest's own threads do not mind
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(read)
            answer = pickle.dumps(act())
            with os.fdopen(write, "wb") as pipe:
                pipe.write(answer)
            status = 0
        except BaseException:  # noqa: BLE001 - nothing of the parent may go on in the child
            traceback.print_exc()
        os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return Ended(None, os.WTERMSIG(status))
    assert os.WEXITSTATUS(status) == 0, "the child failed; what it printed says why"
    return Ended(pickle.loads(answer), None)


def end_sessions() -> None:
    """End the tmux server and every agent, at once."""
    subprocess.run(["tmux", "-L", "metawsm", "kill-server"], capture_output=True, check=False)


# --- the stage ---


def revive(runs: Runs, *tickets: str, script: str = "") -> None:
    """Start sessions that are there when a scene begins, as the database knows them.

    They are the launches of the agents, started as the product starts them; only the numbers of their
    processes differ, which the database is told.
    """
    folders = runs.verbs.world.machine.folders()
    policy = runs.store.policy(RUN)
    for agent in runs.store.agents(RUN):
        if agent.ticket not in tickets or agent.launch is None:
            continue
        paths = folders.paths(RUN, agent.ticket, agent.name)
        directory = folders.launch_directory(paths, agent.launch)
        gate = runs.root.path / "gates" / agent.ticket
        pid = runs.verbs.world.machine.terminals(policy).start(
            Launch(
                run_id=RUN,
                ticket=agent.ticket,
                agent=agent.name,
                launch=agent.launch,
                session=agent.session,
                argv=("sh", "-c", script or f"read -r word < {gate}"),
                cwd=str(runs.root.path),
                environment={**os.environ, "METAWSM_LAUNCH": agent.launch},
                directory=directory,
                transcript=agent.transcript,
                transcript_max_bytes=TranscriptLimits.of(policy).max_bytes,
            )
        )
        with closing(sqlite3.connect(runs.root.path / ".metawsm" / "metawsm.db")) as database, database:
            database.execute("UPDATE agents SET pid = ? WHERE launch = ?", (pid, agent.launch))


def drop(runs: Runs, ticket: str, name: str, text: str) -> None:
    """Leave a signal in the drop box of a ticket's agent."""
    folders = runs.verbs.world.machine.folders()
    box = Path(folders.paths(RUN, ticket, "worker").drop_box)
    (box / name).write_text(text)


# --- what is there ---


class Picture(NamedTuple):
    """Everything that two runs must have alike when they came to the same end."""

    run: tuple[str, str | None] | None
    steps: list[tuple[Any, ...]]
    agents: list[tuple[Any, ...]]
    questions: list[tuple[Any, ...]]
    counts: dict[str, int]
    sessions: list[str]
    repositories: dict[str, Any]
    files: list[str]
    starts: list[str]


_COUNTED = ("launch", "relaunch", "feedback", "progress", "guidance", "ask", "answer", "done", "failed")
_COUNTED += ("plan", "start", "closed", "decided", "snapshot", "create")
"""Events of which an interruption makes neither more nor less."""


def picture(runs: Runs) -> Picture:
    machine = runs.root.path.parent
    try:
        detail: RunDetail | None = runs.store.detail(RUN)
    except RunNotFoundError:
        detail = None
    counts = Counter(event.type for event in runs.store.events() if event.type in _COUNTED)
    return Picture(
        run=detail and (detail.run.status, detail.run.error),
        steps=[(s.ticket, s.kind, s.repo, s.status, s.attempts) for s in (detail.steps if detail else ())],
        agents=[
            (a.ticket, a.name, a.status, a.due, a.restarts, a.exit_code, a.said)
            for a in (detail.agents if detail else ())
        ],
        questions=[(q.ticket, q.question, q.answer, q.status) for q in (detail.guidance if detail else ())],
        counts=dict(sorted(counts.items())),
        sessions=sessions(),
        repositories={repo: _repository(runs.root.path / repo) for repo in REPOS},
        files=_files(machine),
        starts=sorted(line.split()[0] for line in _lines(runs.root.path / "starts")),
    )


def _repository(repo: Path) -> dict[str, Any]:
    refs = git(repo, "for-each-ref", "--format=%(refname)", "refs/metawsm").split()
    return {
        "branches": {name: _branch(repo, name) for name in branches(repo)},
        "checkout": (git(repo, "status", "--porcelain", "--ignored"), git(repo, "write-tree")),
        "worktrees": {
            folder.rpartition("/workspaces/")[2]: (
                git(folder, "status", "--porcelain", "--ignored"),
                git(folder, "rev-parse", "--abbrev-ref", "HEAD"),
                git(folder, "write-tree"),
            )
            for folder in worktrees(repo)
        },
        "refs": sorted(
            re.sub(r"[0-9a-f]{12,}", "*", ref) + " " + git(repo, "rev-parse", f"{ref}^{{tree}}") for ref in refs
        ),
        "locks": sorted(str(lock.relative_to(repo)) for lock in (repo / ".git").rglob("*.lock")),
        "notes": [
            (repo / ".git" / name).read_text()
            for name in ("metawsm-worktree-add", "metawsm-move")
            if (repo / ".git" / name).exists()
        ],
        "registered": sorted(folder.name for folder in (repo / ".git" / "worktrees").glob("*")),
        "configuration": (repo / ".git" / "config").read_text(),
    }


def _branch(repo: Path, name: str) -> tuple[str, list[str]]:
    return git(repo, "rev-parse", f"{name}^{{tree}}"), sorted(git(repo, "log", "--format=%s", name).splitlines())


def _files(machine: Path) -> list[str]:
    """Return the files outside of repositories; the folders of launches count only by what is in them."""
    found = set()
    for folder, folders, names in os.walk(machine):
        here = Path(folder).relative_to(machine)
        # A lock of ours is let go of by the kernel; its file goes with the next holder.
        if here.name in REPOS or here.parts[:1] == ("tmp",) or here.name == "locks":
            folders.clear()
            continue
        if not names and not folders:
            found.add(f"{_name(here)}/")
        found |= {_name(here / name) for name in names}
    return sorted(name for name in found if not name.endswith((".db-wal", ".db-shm", "/typing")))


def _name(path: Path) -> str:
    text = re.sub(r"launches/[0-9a-f]+", "launches/*", str(path))
    return re.sub(r"transcript\.\d+", "transcript.*", text)


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


# --- what always holds ---

_CHARTS = {"run": lifecycles.RUN, "step": lifecycles.STEP, "agent": lifecycles.AGENT}
_ARROWS = {
    kind: {(source, move.event, target) for source, move, target in chart.edges()} for kind, chart in _CHARTS.items()
}


def check_history(events: tuple[Event, ...], details: list[RunDetail]) -> None:
    """Check that nothing of what happened is missing, doubled or out of order, and that it led to what is."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    latest: dict[tuple[Any, ...], str] = {}
    for event in events:
        if event.entity not in _CHARTS or event.to is None or event.type == "health":
            continue
        key = (event.run_id, event.entity, event.entity_id)
        if event.type == "create":
            assert key not in latest, f"{event} again"
        else:
            before = latest.get(key, _CHARTS[event.entity].initial)
            assert event.from_ == before, f"{event}: it was {before}"
            assert (event.from_, event.type, event.to) in _ARROWS[event.entity], f"{event} is no move of the chart"
        latest[key] = event.to
    for detail in details:
        check_detail(detail, latest)


def check_detail(detail: RunDetail, latest: dict[tuple[Any, ...], str]) -> None:
    run_id = detail.run.run_id
    told = [latest.get((run_id, "step", str(step.index)), "pending") for step in detail.steps]
    assert told == [step.status for step in detail.steps]
    told = [latest.get((run_id, "agent", f"{agent.ticket}/{agent.name}"), "pending") for agent in detail.agents]
    assert told == [agent.status for agent in detail.agents]
    assert latest[run_id, "run", run_id] == detail.run.status
    if detail.run.status in lifecycles.SETTLING:
        assert detail.run.status == settle(detail.steps, detail.agents, detail.guidance)


def check_truth(runs: Runs, detail: RunDetail) -> None:
    """Check that a look told what is so: who lives has a terminal, and who has none does not live."""
    policy = runs.store.policy(RUN)
    there = {pane.launch for pane in runs.verbs.world.machine.terminals(policy).panes()}
    for agent in detail.agents:
        if agent.status in LIVE:
            assert agent.launch in there, f"{agent.ticket} is {agent.status} and has no session"
        if agent.status == "dead":
            assert agent.launch not in there, f"{agent.ticket} is dead and has a session"


# --- the scenes ---


class Scene(NamedTuple):
    """One command of a person in the life of a run.

    Attributes:
        name: what it is called.
        prepare: puts on stage what a copy cannot hold.
        act: the command itself.
        again: what a person does when it was cut off, after a look.
        after: what happens when the command, or its repetition, is over.
    """

    name: str
    prepare: Callable[[Runs], None]
    act: Callable[[Runs], None]
    again: Callable[[Runs], None]
    after: Callable[[Runs], None]


def _nothing(_runs: Runs) -> None:
    pass


def _run(runs: Runs) -> None:
    runs.verbs.run(TICKETS, repos=REPOS, run_id=RUN)
    runs.verbs.finish(RUN)


def _resume(runs: Runs) -> None:
    runs.verbs.resume(RUN)
    runs.verbs.finish(RUN)


def _run_or_resume(runs: Runs) -> None:
    try:
        runs.store.run(RUN)
    except RunNotFoundError:
        _run(runs)
    else:
        _resume(runs)


def _at_work(runs: Runs) -> None:
    """Wait until every agent that was started has come to its gate."""
    launches = len(runs.events("launch", "relaunch"))
    until(lambda: len(_lines(runs.root.path / "starts")) >= launches)


def _with_signals(runs: Runs) -> None:
    revive(runs, *TICKETS)
    for ticket, name, kind, message in (
        ("T-1", "a", "progress", "half"),
        ("T-1", "b", "guidance", "Which?"),
        ("T-2", "a", "waiting", "tea"),
    ):
        (agent,) = (agent for agent in runs.store.agents(RUN) if agent.ticket == ticket)
        drop(runs, ticket, name, _signal(ticket, agent.launch or "", kind, message))


def _signal(ticket: str, launch: str, kind: str, message: str) -> str:
    from metawsm_rpc.engine import signals

    return signals.to_text(signals.Signal(RUN, ticket, "worker", launch, kind, message, ("this", "that")))  # type: ignore[arg-type]


def _look_and_answer(runs: Runs) -> None:
    detail = runs.verbs.status(RUN)
    for question in detail.guidance:
        if question.status == "pending":
            runs.verbs.answer(question.id, "this")


def _stop(runs: Runs) -> None:
    runs.verbs.stop(RUN)


def _work(runs: Runs) -> None:
    """Let both agents do their work and end."""
    for ticket in TICKETS:
        Machine(runs.root.path.parent).open_gate(ticket, "one")
    until(lambda: sessions() == [])


def _really_revive(runs: Runs) -> None:
    for ticket in TICKETS:
        (workspace,) = (w for w in runs.store.workspaces(RUN) if w.ticket == ticket)
        exports = f"METAWSM_TICKET={ticket} METAWSM_ROOT='{runs.root.path}' METAWSM_WORKSPACE='{workspace.path}'; "
        revive(runs, ticket, script=exports + "\n".join(_AGENT.splitlines()[2:]))
    _work(runs)


def _look(runs: Runs) -> None:
    runs.verbs.status(RUN)


def _iterate(runs: Runs) -> None:
    runs.verbs.iterate(RUN, feedback="Again, please.", ticket="T-1", agent="worker")
    runs.verbs.finish(RUN)


def _iterate_or_resume(runs: Runs) -> None:
    if runs.events("feedback"):
        _resume(runs)
    else:
        _iterate(runs)


def _restart(runs: Runs) -> None:
    runs.verbs.restart(RUN, ticket="T-1", agent="worker")


def _restart_or_resume(runs: Runs) -> None:
    """Repeat a restart of which nothing is on record, and go on with one that is owed."""
    if runs.agent(ticket="T-1").restarts == 0 and runs.agent(ticket="T-1").due is None:
        _restart(runs)
    else:
        _resume(runs)


def _spoil(runs: Runs) -> None:
    """Leave work that nobody has committed."""
    for ticket, repo in (("T-1", "app"), ("T-2", "lib")):
        folder = runs.folder(repo, ticket)
        (folder / "new.txt").write_text("not committed\n")
        (folder / "README.md").write_text("changed\n")


def _cleanup(runs: Runs) -> None:
    runs.verbs.cleanup(RUN)


def _linger(runs: Runs) -> None:
    revive(runs, "T-2")


def _close(runs: Runs) -> None:
    runs.verbs.close(RUN)


SCENES = (
    Scene("run", _nothing, _run, _run_or_resume, _at_work),
    Scene("hear", _with_signals, _look_and_answer, _look_and_answer, _nothing),
    Scene("restart", lambda runs: revive(runs, *TICKETS), _restart, _restart_or_resume, _at_work),
    Scene("stop", lambda runs: revive(runs, *TICKETS), _stop, _stop, _nothing),
    Scene("cleanup", _spoil, _cleanup, _cleanup, _nothing),
    Scene("resume", _nothing, _resume, _resume, _at_work),
    Scene("finish", _really_revive, _look, _look, _nothing),
    Scene("iterate", _nothing, _iterate, _iterate_or_resume, _at_work),
    Scene("close", _linger, _close, _close, _nothing),
)
FOLLOWS = {"hear": "run", "restart": "run", "stop": "run", "cleanup": "stop", "resume": "stop", "finish": "resume"}
FOLLOWS |= {"iterate": "finish", "close": "finish"}
"""Which scene has to be over when another one begins."""
