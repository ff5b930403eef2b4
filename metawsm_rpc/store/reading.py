"""Queries, as functions of a connection, so that reads and transactions share them."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from metawsm_rpc.domain.models import (
    Agent,
    Blocked,
    Event,
    Guidance,
    Merge,
    Run,
    RunDetail,
    RunSummary,
    Step,
    Workspace,
)
from metawsm_rpc.domain.settle import runnable
from metawsm_rpc.errors import (
    AgentNotFoundError,
    AmbiguousError,
    GuidanceNotFoundError,
    RunNotFoundError,
    StepNotFoundError,
)
from metawsm_rpc.ports.store import CLOSE_BLOCKED, CloseJournal
from metawsm_rpc.store import rows

_COUNTED = ("dead", "completed", "failed", "stopped", "pending")
_HEALTH_STATES = ("healthy", "idle", "waiting", "stalled", "dead", "unknown")


def seq(connection: sqlite3.Connection) -> int:
    """Return the number of the latest event, 0 when there is none."""
    latest: int | None = connection.execute("SELECT max(seq) FROM events").fetchone()[0]
    return latest or 0


def run(connection: sqlite3.Connection, run_id: str) -> Run:
    """Return a run. Raises `RunNotFoundError`."""
    row = connection.execute(f"SELECT {rows.RUN_COLUMNS} FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    if row is None:
        raise RunNotFoundError(f"There is no run {run_id!r} here; `metawsm runs` lists them.")
    return rows.run(row)


def find_run(connection: sqlite3.Connection, prefix: str) -> Run:
    """Return the run with this id, or the only one whose id begins with it."""
    found = connection.execute(
        "SELECT run_id FROM runs WHERE run_id = ?1 "
        "UNION ALL SELECT run_id FROM runs WHERE substr(run_id, 1, length(?1)) = ?1 AND run_id <> ?1 LIMIT 6",
        (prefix,),
    ).fetchall()
    ids = [row["run_id"] for row in found]
    if not prefix or not ids:
        is_ticket = prefix and newest_run(connection, prefix) is not None
        raise RunNotFoundError(
            f"There is no run {prefix!r} here; `metawsm runs` lists them.",
            hint=f"{prefix} is a ticket; `--ticket {prefix}` means its newest run." if is_ticket else None,
        )
    if ids[0] != prefix and len(ids) > 1:
        listed = ", ".join(ids[:5])
        raise AmbiguousError(
            f"{prefix!r} is the beginning of more than one run ({listed}); give more of the id.", details=ids[:5]
        )
    return run(connection, ids[0])


def newest_run(connection: sqlite3.Connection, ticket: str | None) -> Run | None:
    """Return the newest run, of a ticket where one is given."""
    where, parameters = _run_filter((ticket,) if ticket else (), ())
    row = connection.execute(
        f"SELECT {rows.RUN_COLUMNS} FROM runs{where} ORDER BY rowid DESC LIMIT 1",
        parameters,
    ).fetchone()
    return None if row is None else rows.run(row)


def steps(connection: sqlite3.Connection, run_id: str) -> tuple[Step, ...]:
    """Return the steps of a run in the order of its plan."""
    found = connection.execute(f'SELECT {rows.STEP_COLUMNS} FROM steps WHERE run_id = ? ORDER BY "index"', (run_id,))
    return tuple(map(rows.step, found))


def has_running_steps(connection: sqlite3.Connection, run_id: str) -> bool:
    """Return whether a step of a run is under way."""
    found = connection.execute("SELECT 1 FROM steps WHERE run_id = ? AND status = 'running' LIMIT 1", (run_id,))
    return found.fetchone() is not None


def step(connection: sqlite3.Connection, run_id: str, index: int) -> Step:
    """Return one step. Raises `StepNotFoundError`."""
    row = connection.execute(
        f'SELECT {rows.STEP_COLUMNS} FROM steps WHERE run_id = ? AND "index" = ?', (run_id, index)
    ).fetchone()
    if row is None:
        raise StepNotFoundError(f"Run {run_id} has no step {index}; `metawsm status {run_id}` lists them.")
    return rows.step(row)


def agents(connection: sqlite3.Connection, run_id: str) -> tuple[Agent, ...]:
    """Return the agents of a run, in the order of its tickets and of its policy."""
    found = connection.execute(f"SELECT {rows.AGENT_COLUMNS} FROM agents WHERE run_id = ? ORDER BY rowid", (run_id,))
    return tuple(map(rows.agent, found))


def agent(connection: sqlite3.Connection, run_id: str, ticket: str, name: str) -> Agent:
    """Return one agent. Raises `AgentNotFoundError`."""
    row = connection.execute(
        f"SELECT {rows.AGENT_COLUMNS} FROM agents WHERE run_id = ? AND ticket = ? AND name = ?", (run_id, ticket, name)
    ).fetchone()
    if row is None:
        raise AgentNotFoundError(
            f"Run {run_id} has no agent {name!r} on {ticket}; `metawsm status {run_id}` lists them."
        )
    return rows.agent(row)


def workspaces(connection: sqlite3.Connection, run_id: str) -> tuple[Workspace, ...]:
    """Return the workspaces of a run with their repositories."""
    repos: dict[str, list[Any]] = {}
    for row in connection.execute(
        f"SELECT {rows.REPO_COLUMNS}, ticket FROM workspace_repos WHERE run_id = ? ORDER BY ticket, position", (run_id,)
    ):
        repos.setdefault(row["ticket"], []).append(rows.repo(row))
    found = connection.execute(
        "SELECT run_id, ticket, name, path, branch, observed_at FROM workspaces WHERE run_id = ? ORDER BY rowid",
        (run_id,),
    )
    return tuple(Workspace._make((*row, tuple(repos.get(row["ticket"], ())))) for row in found)


def questions(connection: sqlite3.Connection, run_id: str) -> tuple[Guidance, ...]:
    """Return the questions of a run, oldest first."""
    found = connection.execute(
        f"SELECT {rows.GUIDANCE_COLUMNS} FROM guidance WHERE run_id = ? ORDER BY asked_at, rowid", (run_id,)
    )
    return tuple(map(rows.guidance, found))


def undelivered(connection: sqlite3.Connection) -> tuple[Guidance, ...]:
    """Return the answered questions of agents at work of which nothing says whether the answer arrived.

    An agent that was started again since has forgotten that it asked.
    """
    found = connection.execute(
        f"SELECT {rows.GUIDANCE_COLUMNS} FROM guidance WHERE status = 'answered' AND delivered_at IS NULL "
        "AND EXISTS (SELECT 1 FROM agents WHERE run_id = guidance.run_id AND ticket = guidance.ticket "
        "AND name = guidance.agent AND status IN ('running', 'idle', 'waiting', 'stalled') "
        "AND started_at <= guidance.asked_at) ORDER BY asked_at, rowid"
    )
    asked = map(rows.guidance, found.fetchall())
    return tuple(one for one in asked if last_of_guidance(connection, one) in ("answer", "ask_again", "type"))


def last_of_guidance(connection: sqlite3.Connection, of: Guidance) -> str:
    """Return the type of the last event of a question."""
    row = connection.execute(
        "SELECT type FROM events WHERE run_id = ? AND entity = 'guidance' AND entity_id = ? ORDER BY seq DESC LIMIT 1",
        (of.run_id, of.id),
    ).fetchone()
    return str(row["type"])


def guidance(connection: sqlite3.Connection, guidance_id: str) -> Guidance:
    """Return a question. Raises `GuidanceNotFoundError`."""
    row = connection.execute(f"SELECT {rows.GUIDANCE_COLUMNS} FROM guidance WHERE id = ?", (guidance_id,)).fetchone()
    if row is None:
        raise GuidanceNotFoundError(
            f"There is no question {guidance_id!r}; `metawsm status` lists those that are open."
        )
    return rows.guidance(row)


def policy(connection: sqlite3.Connection, run_id: str) -> dict[str, Any]:
    """Return the resolved policy that a run was planned with."""
    row = connection.execute("SELECT policy FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    if row is None:
        raise RunNotFoundError(f"There is no run {run_id!r} here; `metawsm runs` lists them.")
    resolved: dict[str, Any] = json.loads(row["policy"])
    return resolved


def detail(connection: sqlite3.Connection, run_id: str) -> RunDetail:
    """Return everything about a run; the caller holds a snapshot."""
    return RunDetail(
        run=run(connection, run_id),
        steps=steps(connection, run_id),
        agents=agents(connection, run_id),
        workspaces=workspaces(connection, run_id),
        guidance=questions(connection, run_id),
        seq=seq(connection),
    )


def unsettled(connection: sqlite3.Connection) -> tuple[str, ...]:
    """Return the runs in which an agent may be alive or a step under way, oldest first."""
    found = connection.execute(
        "SELECT run_id FROM runs WHERE status NOT IN ('closed', 'stopped', 'failed', 'completed', 'paused') "
        "OR run_id IN (SELECT run_id FROM agents WHERE status IN ('running', 'idle', 'waiting', 'stalled', 'stopping')) "
        "ORDER BY rowid"
    )
    return tuple(row["run_id"] for row in found)


def owing(connection: sqlite3.Connection) -> tuple[str, ...]:
    """Return the active runs that have something left to execute, oldest first.

    That is a step that can run or was running, or an agent that is owed a launch. Interrupted steps that the
    policy leaves to a person (`execution.on_interrupt: fail`) do not count.
    """
    found = connection.execute(
        "SELECT run_id, EXISTS (SELECT 1 FROM agents WHERE run_id = runs.run_id AND due IS NOT NULL) AS launches, "
        "EXISTS (SELECT 1 FROM steps WHERE run_id = runs.run_id AND status = 'running') AS cut_off FROM runs "
        "WHERE status IN ('running', 'awaiting_guidance') "
        "AND (launches OR json_extract(policy, '$.execution.on_interrupt') IS NOT 'fail' "
        "AND (cut_off OR EXISTS (SELECT 1 FROM steps WHERE run_id = runs.run_id "
        "AND status IN ('pending', 'failed') AND attempts < attempt_limit))) "
        "ORDER BY rowid"
    ).fetchall()
    # Dependencies are a rule of the domain, not of SQL; few runs get this far.
    return tuple(
        row["run_id"]
        for row in found
        if row["launches"] or row["cut_off"] or runnable(steps(connection, row["run_id"]))
    )


def closing(connection: sqlite3.Connection) -> tuple[str, ...]:
    """Return the runs that are being closed, oldest first."""
    found = connection.execute("SELECT run_id FROM runs WHERE status = 'closing' ORDER BY rowid")
    return tuple(row["run_id"] for row in found)


def _run_filter(tickets: Sequence[str], statuses: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    clauses = []
    if tickets:
        marks = ", ".join("?" * len(tickets))
        clauses.append(f"run_id IN (SELECT run_id FROM run_tickets WHERE ticket IN ({marks}))")
    if statuses:
        clauses.append(f"status IN ({', '.join('?' * len(statuses))})")
    return (f" WHERE {' AND '.join(clauses)}" if clauses else ""), (*tickets, *statuses)


def summaries(
    connection: sqlite3.Connection, tickets: Sequence[str], statuses: Sequence[str], limit: int | None, offset: int
) -> tuple[tuple[RunSummary, ...], int, int]:
    """Return `(rows, total, seq)`, newest first; the caller holds a snapshot."""
    where, parameters = _run_filter(tickets, statuses)
    total: int = connection.execute(f"SELECT count(*) FROM runs{where}", parameters).fetchone()[0]
    found = connection.execute(
        f"SELECT {rows.RUN_COLUMNS} FROM runs{where} ORDER BY rowid DESC LIMIT ? OFFSET ?",
        (*parameters, -1 if limit is None else limit, offset),
    )
    listed = tuple(_summary(connection, rows.run(row)) for row in found)
    return listed, total, seq(connection)


def _summary(connection: sqlite3.Connection, of: Run) -> RunSummary:
    counts = dict.fromkeys(("total", *_HEALTH_STATES, *_COUNTED), 0)
    for status, health, number in connection.execute(
        "SELECT status, health_state, count(*) FROM agents WHERE run_id = ? GROUP BY status, health_state",
        (of.run_id,),
    ):
        counts["total"] += number
        counted = status if status in _COUNTED else health or "unknown"
        counts[counted] += number
    pending: int = connection.execute(
        "SELECT count(*) FROM guidance WHERE run_id = ? AND status = 'pending'", (of.run_id,)
    ).fetchone()[0]
    return RunSummary(
        of.run_id, of.status, of.tickets, of.repos, counts, pending, of.created_at, of.updated_at, of.error
    )


def events(connection: sqlite3.Connection, since: int, limit: int | None, run_id: str | None) -> tuple[Event, ...]:
    """Return the events after `since`, in order."""
    mine = "" if run_id is None else " AND run_id = ?"
    found = connection.execute(
        f"SELECT {rows.EVENT_COLUMNS} FROM events WHERE seq > ?{mine} ORDER BY seq LIMIT ?",
        (since, *(() if run_id is None else (run_id,)), -1 if limit is None else limit),
    )
    return tuple(map(rows.event, found))


def blocked(connection: sqlite3.Connection, run_id: str) -> tuple[Blocked, ...]:
    """Return what blocked the last try to close a run, as long as the run has not moved since."""
    row = connection.execute(
        "SELECT type, data FROM events WHERE run_id = ? AND (entity = 'run' OR (entity = 'merge' AND type = ?)) "
        "ORDER BY seq DESC LIMIT 1",
        (run_id, CLOSE_BLOCKED),
    ).fetchone()
    if row is None or row["type"] != CLOSE_BLOCKED:
        return ()
    return tuple(Blocked(**{**one, "files": tuple(one["files"])}) for one in json.loads(row["data"])["blocked"])


def close_journal(connection: sqlite3.Connection, run_id: str) -> CloseJournal | None:
    """Return the journal of a close that is under way."""
    row = connection.execute("SELECT phase, moves, merges FROM closes WHERE run_id = ?", (run_id,)).fetchone()
    if row is None:
        return None
    from metawsm_rpc.ports.merging import RefMove

    moves = tuple(RefMove._make((*move[:-1], tuple(move[-1]))) for move in json.loads(row["moves"]))
    return CloseJournal(row["phase"], moves, tuple(Merge(*merge) for merge in json.loads(row["merges"])))
