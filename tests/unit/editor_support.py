"""Makes what the editor is shown of a root."""

from collections.abc import Mapping, Sequence
from typing import Any

from run_support import agent, plan

from metawsm_rpc.answers import TicketRow
from metawsm_rpc.domain.models import Agent, Blocked, Health, HealthState, RunDetail
from metawsm_rpc.rpc.view import View

SINCE = "2026-01-02T03:04:05.678Z"


def detail(
    run_id: str = "r1", *, tickets: Sequence[str] = ("T-1",), status: str = "running", **parts: Any
) -> RunDetail:
    """Return a run; `parts` replace its agents, guidance and so on, and fields of the run itself."""
    made = plan(tickets, run_id=run_id)
    fields = {name: parts.pop(name) for name in list(parts) if name in made.run._fields and name != "agents"}
    run = made.run._replace(status=status, **fields)
    return RunDetail(run, made.steps, made.agents, made.workspaces, (), 1)._replace(**parts)


def at(status: str, state: HealthState | None = None, reason: str = "it is so", **changes: Any) -> Agent:
    """Return an agent in a status, with a verdict where a state is given."""
    health = Health(state, reason, "signal", SINCE) if state else None
    return agent(status=status, health=health, **changes)


def view(
    *details: RunDetail, closed: Sequence[str] = (), blocked: Mapping[str, tuple[Blocked, ...]] | None = None
) -> View:
    """Return a root with these runs, newest first; `closed` are newer ones of T-1 that are closed."""
    names = dict.fromkeys(["T-1", *(ticket for one in details for ticket in one.run.tickets)])
    rows = tuple(
        TicketRow(
            name,
            f"Title of {name}",
            "active",
            f"/root/ttmp/{name}/index.md",
            (*(closed if name == "T-1" else ()), *(one.run.run_id for one in details if name in one.run.tickets)),
            3,
            9,
        )
        for name in names
    )
    return View("/root", rows, details, 1, blocked or {})
