"""All writes: guarded moves along the lifecycle charts, each with its event.

No other module changes a status. A move is an UPDATE guarded by the chart's legal source states; its event gets
the next `seq`; at the end each touched run is settled. All of it is one SQLite transaction.
"""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from metawsm_rpc.domain import lifecycles
from metawsm_rpc.domain.charts import Chart, advance
from metawsm_rpc.domain.clock import timestamp
from metawsm_rpc.domain.models import LIVE, Agent, EntityKind, Event, Guidance, Health, Repo, Run, Step, Workspace
from metawsm_rpc.domain.settle import settle
from metawsm_rpc.domain.wire import wire
from metawsm_rpc.errors import IllegalTransitionError, InvalidParamsError
from metawsm_rpc.ports.store import CloseJournal
from metawsm_rpc.store import reading, rows
from metawsm_rpc.store.rows import dump

_AGENT_COLUMNS = frozenset(Agent._fields) - {"run_id", "ticket", "name", "status", "health"}
_HEALTH_COLUMNS = tuple(f"health_{field}" for field in Health._fields)


class StoreTransaction:
    """One open transaction; implements `metawsm_rpc.ports.store.Transaction`."""

    def __init__(self, connection: sqlite3.Connection, now: float) -> None:
        self._connection = connection
        self._at = timestamp(now)
        self._touched: dict[str, None] = {}

    # --- the plan ---

    def insert_plan(
        self,
        run: Run,
        policy: Mapping[str, Any],
        steps: Sequence[Step],
        agents: Sequence[Agent],
        workspaces: Sequence[Workspace],
    ) -> None:
        """Store a new run with its plan. Raises `InvalidParamsError` when the id is taken."""
        if self._connection.execute("SELECT 1 FROM runs WHERE run_id = ?", (run.run_id,)).fetchone():
            raise InvalidParamsError(f"A run {run.run_id} exists already; choose another --run-id, or resume it.")
        begun = {
            status
            for chart, status in (
                (lifecycles.RUN, run.status),
                *((lifecycles.STEP, step.status) for step in steps),
                *((lifecycles.AGENT, agent.status) for agent in agents),
            )
            if status != chart.initial
        }
        if begun:
            raise AssertionError(f"a plan cannot begin with {sorted(begun)}: a status moves along its chart only")
        self._insert("runs", rows.of_run(run, policy))
        for ticket in run.tickets:
            self._insert("run_tickets", {"run_id": run.run_id, "ticket": ticket})
        for step in steps:
            self._insert("steps", rows.of_step(step))
        for agent in agents:
            self._insert("agents", rows.of_agent(agent))
        for workspace in workspaces:
            self.set_workspace(workspace)
        self._event(run.run_id, "run", run.run_id, "create", move=(None, run.status))

    def _insert(self, table: str, values: Mapping[str, Any]) -> None:
        columns = ", ".join(f'"{column}"' for column in values)
        marks = ", ".join("?" * len(values))
        self._connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(values.values()))

    # --- reads within the transaction ---

    def run(self, run_id: str) -> Run:
        """Return a run as it is in this transaction. Raises `RunNotFoundError`."""
        return reading.run(self._connection, run_id)

    def step(self, run_id: str, index: int) -> Step:
        """Return a step as it is in this transaction. Raises `StepNotFoundError`."""
        return reading.step(self._connection, run_id, index)

    def agent(self, run_id: str, ticket: str, name: str) -> Agent:
        """Return an agent as it is in this transaction. Raises `AgentNotFoundError`."""
        return reading.agent(self._connection, run_id, ticket, name)

    # --- moves ---

    def move_run(
        self, run_id: str, event: str, *, facts: Collection[str] = (), message: str | None = None
    ) -> tuple[str, ...]:
        """Move a run and return the effects of the move. Raises `IllegalTransitionError`."""
        status = self.run(run_id).status
        moved = advance(lifecycles.RUN, status, event, entity=f"run {run_id}", facts=facts)
        if moved.target != status:
            self._update(lifecycles.RUN, "runs", {"run_id": run_id}, event, moved.target, {"updated_at": self._at})
            self._event(run_id, "run", run_id, event, move=(status, moved.target), message=message)
        self._touched[run_id] = None
        return moved.effects

    def move_step(
        self,
        run_id: str,
        index: int,
        event: str,
        *,
        message: str | None = None,
        attempt_limit: int | None = None,
    ) -> None:
        """Move a step; `fail` and `interrupt` store `message` as its error, and only `fail` costs an attempt."""
        step = self.step(run_id, index)
        moved = advance(lifecycles.STEP, step.status, event, entity=f"step {index} of run {run_id}")
        columns: dict[str, Any] = {}
        if moved.target == "running":
            columns = {"started_at": self._at, "finished_at": None, "error": None, "attempts": step.attempts + 1}
        else:
            columns = {"finished_at": self._at, "error": message if moved.target == "failed" else None}
        if event == "interrupt":
            columns["attempts"] = step.attempts - 1
        if attempt_limit is not None:
            columns["attempt_limit"] = attempt_limit
        self._update(lifecycles.STEP, "steps", {"run_id": run_id, "index": index}, event, moved.target, columns)
        self._event(run_id, "step", str(index), event, move=(step.status, moved.target), message=message)
        if event == "skip" and step.kind == "start_agent" and step.agent:
            self._take_out(run_id, step.ticket, step.agent)
        self._touched[run_id] = None

    def _take_out(self, run_id: str, ticket: str, name: str) -> None:
        agent = self.agent(run_id, ticket, name)
        if agent.status == "pending":
            self.move_agent(run_id, ticket, name, "skip", message="its start was skipped")

    def move_agent(
        self,
        run_id: str,
        ticket: str,
        name: str,
        event: str,
        *,
        facts: Collection[str] = (),
        message: str | None = None,
        data: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> bool:
        """Move an agent and set columns with it; return False when its status stays the same."""
        agent = self.agent(run_id, ticket, name)
        entity = f"agent {name} on {ticket}"
        moved = advance(lifecycles.AGENT, agent.status, event, entity=entity, facts=facts)
        self._touched[run_id] = None
        if moved.target == agent.status:
            if columns:
                self.set_agent(run_id, ticket, name, **columns)
            return False
        if agent.status not in LIVE and moved.target in LIVE:
            self._check_under_way(run_id, entity, event)
            columns |= dict(
                zip(_HEALTH_COLUMNS, ("unknown", "it has not been looked at yet", "none", self._at), strict=True)
            )
        elif moved.target not in LIVE and moved.target != "dead":
            columns |= dict.fromkeys(_HEALTH_COLUMNS)
        key = {"run_id": run_id, "ticket": ticket, "name": name}
        self._update(lifecycles.AGENT, "agents", key, event, moved.target, _columns(columns))
        self._event(
            run_id, "agent", f"{ticket}/{name}", event, move=(agent.status, moved.target), message=message, data=data
        )
        if moved.target not in LIVE:
            self._withdraw(run_id, ticket, name)
        return True

    def _check_under_way(self, run_id: str, entity: str, event: str) -> None:
        """Refuse to bring an agent to life in a run that was stopped or closed, however late its signal arrives."""
        status = self.run(run_id).status
        if status not in lifecycles.SETTLING:
            raise IllegalTransitionError(
                f"Run {run_id} is {status}, so {entity} cannot {event}.",
                details={"entity": f"run {run_id}", "state": status, "event": event},
            )

    def _update(
        self, chart: Chart, table: str, key: Mapping[str, Any], event: str, target: str, columns: Mapping[str, Any]
    ) -> None:
        """Set a status, guarded by the states in which the event is legal."""
        self._set(table, {"status": target, **columns}, key, chart.sources(event, target))

    def _set(
        self, table: str, values: Mapping[str, Any], key: Mapping[str, Any], statuses: Sequence[str] | None = None
    ) -> None:
        """Set columns of one row. It was read in this transaction, so it must exist and have one of the statuses."""
        assignments = ", ".join(f'"{column}" = ?' for column in values)
        where = " AND ".join(f'"{column}" = ?' for column in key)
        guard = "" if statuses is None else f" AND status IN ({', '.join('?' * len(statuses))})"
        changed = self._connection.execute(
            f"UPDATE {table} SET {assignments} WHERE {where}{guard}",
            (*values.values(), *key.values(), *(statuses or ())),
        ).rowcount
        if changed != 1:
            raise AssertionError(f"update of {table} {dict(key)} with {dict(values)} changed {changed} rows")

    # --- everything but statuses ---

    def set_agent(self, run_id: str, ticket: str, name: str, **columns: Any) -> None:
        """Set columns of an agent other than its status."""
        if "status" in columns:
            raise AssertionError("a status moves along its chart only")
        self._set_agent(run_id, ticket, name, columns)
        self._touched[run_id] = None

    def _set_agent(self, run_id: str, ticket: str, name: str, columns: Mapping[str, Any]) -> None:
        self._set("agents", _columns(columns), {"run_id": run_id, "ticket": ticket, "name": name})

    def set_health(self, run_id: str, ticket: str, name: str, health: Health) -> None:
        """Store an agent's health; a change of its state, or of what the agent waits for, is an event."""
        before = self.agent(run_id, ticket, name).health
        if before == health:
            return
        self._set_agent(run_id, ticket, name, {f"health_{field}": value for field, value in health._asdict().items()})
        waits_for_more = health.state == "waiting" and before is not None and before.reason != health.reason
        if before is None or before.state != health.state or waits_for_more:
            self._event(
                run_id,
                "agent",
                f"{ticket}/{name}",
                "health",
                move=(before.state if before else None, health.state),
                message=health.reason,
                data={"source": health.source},
            )

    def allow_attempts(self, run_id: str, index: int, more: int) -> None:
        """Allow a step `more` attempts from now on."""
        limit = self.step(run_id, index).attempts + more
        self._set("steps", {"attempt_limit": limit}, {"run_id": run_id, "index": index})
        self._touched[run_id] = None

    def set_error(self, run_id: str, error: str | None) -> None:
        """Set the run's error, a sentence for people."""
        self._set("runs", {"error": error, "updated_at": self._at}, {"run_id": run_id})

    def set_workspace(self, workspace: Workspace) -> None:
        """Replace the stored facts about a workspace and its repositories."""
        values = workspace._asdict()
        del values["repos"]
        self._connection.execute(
            "INSERT INTO workspaces (run_id, ticket, name, path, branch, observed_at) "
            "VALUES (:run_id, :ticket, :name, :path, :branch, :observed_at) "
            "ON CONFLICT (run_id, ticket) DO UPDATE SET name = excluded.name, path = excluded.path, "
            "branch = excluded.branch, observed_at = excluded.observed_at",
            values,
        )
        key = (workspace.run_id, workspace.ticket)
        self._connection.execute("DELETE FROM workspace_repos WHERE run_id = ? AND ticket = ?", key)
        for position, repo in enumerate(workspace.repos):
            place = {"run_id": workspace.run_id, "ticket": workspace.ticket, "position": position}
            self._insert("workspace_repos", {**place, **rows.of_repo(repo)})

    def set_repo(self, run_id: str, ticket: str, repo: Repo) -> None:
        """Replace the stored facts about one repository of a workspace, as observed now."""
        key = {"run_id": run_id, "ticket": ticket}
        self._set("workspace_repos", rows.of_repo(repo), {**key, "name": repo.name})
        self._set("workspaces", {"observed_at": self._at}, key)

    # --- questions and signals ---

    def ask(self, guidance: Guidance) -> None:
        """Store a new question. Raises `IllegalTransitionError` when the agent is not live."""
        status = self.agent(guidance.run_id, guidance.ticket, guidance.agent).status
        if status not in LIVE:
            raise IllegalTransitionError(
                f"Agent {guidance.agent} on {guidance.ticket} is {status}, so it cannot ask.",
                details={"entity": f"agent {guidance.agent} on {guidance.ticket}", "state": status, "event": "ask"},
            )
        self._insert("guidance", rows.of_guidance(guidance))
        self._event(guidance.run_id, "guidance", guidance.id, "ask", move=(None, "pending"), message=guidance.question)
        self._touched[guidance.run_id] = None

    def answer(self, guidance_id: str, answer: str) -> bool:
        """Answer a pending question; return False when it is no longer pending."""
        changed = self._connection.execute(
            "UPDATE guidance SET status = 'answered', answer = ?, answered_at = ? WHERE id = ? AND status = 'pending'",
            (answer, self._at, guidance_id),
        ).rowcount
        if changed:
            run_id = reading.guidance(self._connection, guidance_id).run_id
            self._event(run_id, "guidance", guidance_id, "answer", move=("pending", "answered"), message=answer)
            self._touched[run_id] = None
        return bool(changed)

    def begin_typing(self, guidance_id: str) -> bool:
        """Note that an answer is about to be typed; False when it was delivered, or may have been.

        The caller is the only one who brings it: who began to type it before was cut off.
        """
        question = reading.guidance(self._connection, guidance_id)
        last = reading.last_of_guidance(self._connection, question)
        if last == "type":
            message = "whoever typed the answer was cut off, so it may have arrived"
            self._event(question.run_id, "guidance", guidance_id, "doubt", message=message)
        if question.delivered_at is not None or last in ("type", "doubt"):
            return False
        self._event(question.run_id, "guidance", guidance_id, "type")
        return True

    def delivered(self, guidance_id: str) -> None:
        """Record that the agent has received the answer."""
        changed = self._connection.execute(
            "UPDATE guidance SET delivered_at = ? WHERE id = ? AND delivered_at IS NULL", (self._at, guidance_id)
        ).rowcount
        if changed:
            run_id = reading.guidance(self._connection, guidance_id).run_id
            self._event(run_id, "guidance", guidance_id, "deliver")

    def _withdraw(self, run_id: str, ticket: str, agent: str) -> None:
        open_questions = self._connection.execute(
            "SELECT id FROM guidance WHERE run_id = ? AND ticket = ? AND agent = ? AND status = 'pending'",
            (run_id, ticket, agent),
        ).fetchall()
        for (guidance_id,) in open_questions:
            self._connection.execute(
                "UPDATE guidance SET status = 'withdrawn' WHERE id = ? AND status = 'pending'", (guidance_id,)
            )
            self._event(run_id, "guidance", guidance_id, "withdraw", move=("pending", "withdrawn"))

    def receive(self, signal_id: str) -> bool:
        """Record that a signal from a drop box was read; return False when it was read before."""
        done = self._connection.execute("INSERT INTO received (id) VALUES (?) ON CONFLICT DO NOTHING", (signal_id,))
        return bool(done.rowcount)

    # --- close ---

    def set_close(self, run_id: str, journal: CloseJournal | None) -> None:
        """Write the journal of a close, or remove it."""
        if journal is None:
            self._connection.execute("DELETE FROM closes WHERE run_id = ?", (run_id,))
            return
        self._connection.execute(
            "INSERT INTO closes (run_id, phase, started_at, moves, merges) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (run_id) DO UPDATE SET phase = excluded.phase, moves = excluded.moves, "
            "merges = excluded.merges",
            (run_id, journal.phase, self._at, dump(journal.moves), dump(journal.merges)),
        )
        self._event(run_id, "merge", run_id, journal.phase, data={"merges": wire(journal.merges)})

    # --- events ---

    def record(
        self,
        run_id: str | None,
        entity: EntityKind,
        entity_id: str,
        event_type: str,
        *,
        message: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Event:
        """Append an event that is not a transition."""
        return self._event(run_id, entity, entity_id, event_type, message=message, data=data)

    def _event(
        self,
        run_id: str | None,
        entity: EntityKind,
        entity_id: str,
        event_type: str,
        *,
        move: tuple[str | None, str | None] = (None, None),
        message: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Event:
        """Append an event; `move` are the statuses before and after."""
        seq = reading.seq(self._connection) + 1
        details = None if data is None else dict(data)
        event = Event(seq, self._at, run_id, entity, entity_id, event_type, *move, message, details)
        self._connection.execute(
            f"INSERT INTO events ({rows.EVENT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            event._replace(data=None if data is None else dump(data)),  # type: ignore[arg-type] # JSON in a column
        )
        return event

    # --- the end ---

    def finish(self) -> None:
        """Settle each run that was touched; called once, before the commit."""
        for run_id in self._touched:
            status = reading.run(self._connection, run_id).status
            if status not in lifecycles.SETTLING:
                continue
            steps = reading.steps(self._connection, run_id)
            agents = reading.agents(self._connection, run_id)
            questions = reading.questions(self._connection, run_id)
            outcome = settle(steps, agents, questions)
            if outcome != status:
                self.move_run(run_id, "settle", facts=(f"settles_{outcome}",))
                if outcome == "completed":
                    self.set_error(run_id, None)


def _columns(values: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := set(values) - _AGENT_COLUMNS - set(_HEALTH_COLUMNS):
        raise AssertionError(f"agents have no column {sorted(unknown)}")
    return {column: dump(value) if isinstance(value, tuple) else value for column, value in values.items()}
