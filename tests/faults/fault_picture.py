"""What is there after a run, and what always holds of how it came to be."""

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from conftest import git
from engine_support import RUN, Runs, sessions, worktrees
from fault_machine import REPOS, lines

from metawsm_rpc.domain import lifecycles
from metawsm_rpc.domain.models import LIVE, Event, RunDetail
from metawsm_rpc.domain.settle import settle
from metawsm_rpc.errors import RunNotFoundError


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
        starts=sorted(line.split()[0] for line in lines(runs.root.path / "starts")),
    )


def _repository(repo: Path) -> dict[str, Any]:
    listed = git(repo, "for-each-ref", "--format=%(refname) %(tree)", "refs/heads", "refs/metawsm").splitlines()
    trees = dict(line.split(" ") for line in listed)
    return {
        "branches": {ref: (tree, _subjects(repo, ref)) for ref, tree in trees.items() if ref.startswith("refs/heads/")},
        "checkout": (git(repo, "status", "--porcelain", "--ignored"), git(repo, "write-tree")),
        "worktrees": {
            folder.rpartition("/workspaces/")[2]: (
                git(folder, "status", "--porcelain", "--ignored", "--branch"),
                git(folder, "write-tree"),
            )
            for folder in worktrees(repo)
        },
        "refs": sorted(
            f"{re.sub(r'[0-9a-f]{12,}', '*', ref)} {tree}"
            for ref, tree in trees.items()
            if ref.startswith("refs/metawsm/")
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


def _subjects(repo: Path, ref: str) -> list[str]:
    return sorted(git(repo, "log", "--format=%s", ref).splitlines())


def _files(machine: Path) -> list[str]:
    """Return the files outside of repositories; the folders of launches count only by what is in them."""
    found = set()
    for folder, folders, names in os.walk(machine):
        here = Path(folder).relative_to(machine)
        # A lock of ours is let go of by the kernel; its file goes with the next holder.
        if here.name in REPOS or here.parts[:1] == ("tmp",) or here.name == "locks":
            folders.clear()
            continue
        # The mark of a process that was killed means nothing any more, and goes with its box.
        kept = [name for name in names if not name.startswith(".wait-")]
        if not kept and not folders:
            found.add(f"{_name(here)}/")
        found |= {_name(here / name) for name in kept}
    return sorted(name for name in found if not name.endswith((".db-wal", ".db-shm", "/typing")))


def _name(path: Path) -> str:
    text = re.sub(r"launches/[0-9a-f]+", "launches/*", str(path))
    return re.sub(r"transcript\.\d+", "transcript.*", text)


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
