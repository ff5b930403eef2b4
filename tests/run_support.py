"""Makes runs, steps, agents and questions for tests of the domain and the store."""

from collections.abc import Mapping, Sequence
from typing import Any

from metawsm_rpc.domain.models import Agent, Guidance, Step
from metawsm_rpc.domain.plan import (
    LaunchPaths,
    Plan,
    PlannedAgent,
    PlannedRepo,
    PlannedSetup,
    PlannedWorkspace,
    PlanRequest,
    compile_plan,
)
from metawsm_rpc.domain.settle import runnable
from metawsm_rpc.ports.store import Store

AT = "2026-01-02T03:04:05.678Z"


def request(
    tickets: Sequence[str] = ("T-1",),
    *,
    repos: Sequence[str] = ("app",),
    agents: Sequence[str] = ("a",),
    setup: Sequence[PlannedSetup] = (),
    run_id: str = "r1",
    exists: bool = False,
    **changes: Any,
) -> PlanRequest:
    """Return what a plan is compiled from."""
    planned = tuple(PlannedRepo(name, f"/src/{name}", "main", f"{number:040x}") for number, name in enumerate(repos))
    workspaces = {
        ticket: PlannedWorkspace(
            f"{ticket.lower()}-{run_id}",
            f"/ws/{ticket.lower()}-{run_id}",
            f"task/{ticket.lower()}-{run_id}",
            planned,
            exists,
        )
        for ticket in tickets
    }
    launches = {
        (ticket, agent): LaunchPaths(
            ("run", agent), f"{agent}-{ticket}", f"/t/{ticket}/{agent}", ("tmux", "attach", f"{agent}-{ticket}")
        )
        for ticket in tickets
        for agent in agents
    }
    return PlanRequest(
        run_id=run_id,
        tickets=tuple(tickets),
        agents=tuple(PlannedAgent(agent, "shell") for agent in agents),
        workspaces=workspaces,
        launches=launches,
        setup=tuple(setup),
        copy=(),
        strategy="reuse" if exists else "create",
        source=None,
        base_branch="main",
        dry_run=False,
        attempts=2,
        at=AT,
    )._replace(**changes)


def plan(tickets: Sequence[str] = ("T-1",), **options: Any) -> Plan:
    """Return a compiled plan."""
    return compile_plan(request(tickets, **options))


def step(index: int = 0, kind: Any = "create_workspace", *, after: Sequence[int] = (), **changes: Any) -> Step:
    """Return a step of ticket T-1, pending and with two tries."""
    return Step(
        run_id="r1",
        index=index,
        kind=kind,
        name=f"{kind} {index}",
        ticket="T-1",
        repo=None,
        workspace="t-1-r1",
        agent="a" if kind == "start_agent" else None,
        depends_on=tuple(after),
        blocking=True,
        status="pending",
        attempts=0,
        attempt_limit=2,
        command=None,
        description="",
        error=None,
        started_at=None,
        finished_at=None,
    )._replace(**changes)


def agent(name: str = "a", **changes: Any) -> Agent:
    """Return an agent on ticket T-1, pending."""
    return plan(agents=(name,)).agents[0]._replace(**changes)


def question(asker: str = "a", *, id: str = "q1", run_id: str = "r1", ticket: str = "T-1", **changes: Any) -> Guidance:  # noqa: A002 - the field's name
    """Return an open question."""
    return Guidance(
        id=id,
        run_id=run_id,
        ticket=ticket,
        agent=asker,
        question="Which one?",
        context=None,
        choices=("this", "that"),
        answer=None,
        status="pending",
        asked_at=AT,
        answered_at=None,
        delivered_at=None,
    )._replace(**changes)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def begin(store: Store, made: Plan, *, policy: Mapping[str, Any] | None = None, dry_run: bool = False) -> str:
    """Store a plan and start its run, as one transaction."""
    with store.transaction() as transaction:
        transaction.insert_plan(made.run, policy or {}, made.steps, made.agents, made.workspaces)
        transaction.move_run(made.run.run_id, "plan")
        transaction.move_run(made.run.run_id, "pause" if dry_run else "start")
    return made.run.run_id


def carry_out(store: Store, run_id: str) -> None:
    """Do every step of a run that can be done, so that its agents are running."""
    while ready := runnable(store.steps(run_id)):
        for one in ready:
            with store.transaction() as transaction:
                transaction.move_step(run_id, one.index, "start" if one.status == "pending" else "retry")
                if one.kind == "start_agent" and one.agent:
                    transaction.move_agent(run_id, one.ticket, one.agent, "launch", launch=f"l-{one.index}", pid=1)
                transaction.move_step(run_id, one.index, "finish")


def move_agent(store: Store, event: str, name: str = "a", **options: Any) -> bool:
    """Move an agent of run r1 and ticket T-1; return whether that changed anything."""
    with store.transaction() as transaction:
        return transaction.move_agent("r1", "T-1", name, event, **options)


def move_run(store: Store, *events: str) -> None:
    """Move run r1."""
    for event in events:
        with store.transaction() as transaction:
            transaction.move_run("r1", event)


def told(store: Store, since: int) -> list[tuple[str, str, str, str | None, str | None]]:
    """Return the events after `since`, each as entity, id, type, from and to."""
    return [(event.entity, event.entity_id, event.type, event.from_, event.to) for event in store.events(since)]
