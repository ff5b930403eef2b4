"""Pages of the smaller verbs: health with its evidence, events, tickets, doctor."""

from collections.abc import Iterable

from metawsm_rpc.domain.markdown import inline, table
from metawsm_rpc.domain.models import Event, Health, HealthState
from metawsm_rpc.pages.run import moment

Row = tuple[str, ...]


def explain_page(
    agent: str, ticket: str, health: Health | None, evidence: Iterable[tuple[str, str, str, HealthState | None]]
) -> str:
    """Return an agent's health with its evidence as Markdown; evidence is `(source, observed, at, says)`."""
    rows = [(inline(source), inline(observed, 1000), says or "", moment(at)) for source, observed, at, says in evidence]
    verdict = (
        f"It is **{health.state}** since {moment(health.since)}: {inline(health.reason, 1000)} ({inline(health.source)})."
        if health
        else "It is not meant to live, so nobody judges it."
    )
    parts = [f"# {inline(agent)} on {inline(ticket)}", verdict]
    if rows:
        parts += ["## Evidence, strongest first", table(("source", "observed", "says", "at"), rows)]
    return "\n\n".join(parts) + "\n"


def events_page(run_id: str, events: Iterable[Event]) -> str:
    """Return what happened in a run, the latest first, as Markdown."""
    rows = [
        (
            str(event.seq),
            moment(event.at),
            event.entity,
            inline(event.entity_id),
            inline(event.type),
            f"{event.from_ or ''} → {event.to}" if event.to else "",
            inline(event.message or "", 500),
        )
        for event in events
    ]
    rows.reverse()
    return f"# Events of run {inline(run_id)}\n\n{table(('#', 'at', 'of', 'which', 'what', 'status', 'why'), rows)}\n"


def tickets_page(rows: Iterable[tuple[str, str, str, str]]) -> str:
    """Return tickets as Markdown; a row is `(ticket, title, status, newest run)`."""
    listed = [tuple(map(inline, row)) for row in rows]
    shown = table(("ticket", "title", "status", "newest run"), listed) if listed else "There are no tickets yet."
    return f"# Tickets\n\n{shown}\n"


def doctor_page(checks: Iterable[tuple[str, bool, str, str | None]]) -> str:
    """Return what was found of the machine, as Markdown; a check is `(name, ok, detail, hint)`."""
    rows = [
        (inline(name), "yes" if ok else "**no**", inline(detail, 1000), inline(hint or "", 1000))
        for name, ok, detail, hint in checks
    ]
    return f"# What metawsm needs\n\n{table(('what', 'there', 'detail', 'what to do'), rows)}\n"
