"""The hover on a ticket: its runs, their agents with the reason for their health, and what they printed last.

What agents say and print is escaped, or stands in a block of code: no hover has a link or a command.
"""

from collections.abc import Iterator, Mapping

from metawsm_rpc.answers import TicketRow
from metawsm_rpc.domain.appearance import reason_of, state_of
from metawsm_rpc.domain.markdown import code, fenced, inline, shown, table
from metawsm_rpc.domain.models import LIVE, Agent, RunDetail
from metawsm_rpc.rpc.features.troubles import runs_of
from metawsm_rpc.rpc.view import View

OUTPUT_BYTES = 4096
"""How much of the end of a transcript is read for a hover."""

_LINES = 8
_AGENTS = 3
"""So many agents are quoted; a hover is small."""

AgentKey = tuple[str, str, str]
"""Run, ticket and name of an agent."""


def quoted(ticket: TicketRow, view: View) -> tuple[AgentKey, ...]:
    """Return the agents whose last lines belong into the hover: those that live or have just ended badly."""
    found = [
        (agent.run_id, agent.ticket, agent.name)
        for detail in runs_of(ticket, view)
        for agent in detail.agents
        if agent.ticket == ticket.ticket and (agent.status in LIVE or agent.status in ("dead", "failed"))
    ]
    return tuple(found[:_AGENTS])


def hover(ticket: TicketRow, view: View, printed: Mapping[AgentKey, str]) -> str:
    """Return the hover as Markdown; `printed` is the end of what the agents printed."""
    parts = [
        f"**{inline(ticket.ticket)}** {inline(ticket.title)}" + (f" ({inline(ticket.status)})" if ticket.status else "")
    ]
    runs = runs_of(ticket, view)
    if not runs:
        parts.append("No run is open; `metawsm.run` starts one.")
    for detail in runs:
        parts.extend(_run(detail, ticket.ticket))
    for key, text in printed.items():
        lines = [line.rstrip() for line in shown(text).split("\n") if line.strip()][-_LINES:]
        if lines:
            parts.append(f"Last lines of {inline(key[2])}:\n\n{fenced(chr(10).join(line[:200] for line in lines))}")
    return "\n\n".join(parts)


def _run(detail: RunDetail, ticket: str) -> Iterator[str]:
    run = detail.run
    yield f"Run {code(run.run_id)} is **{inline(run.status.replace('_', ' '))}** over {inline(', '.join(run.repos))}."
    if run.error:
        yield inline(run.error)
    agents = [agent for agent in detail.agents if agent.ticket == ticket]
    if agents:
        yield table(("agent", "status", "health", "why"), list(map(_row, agents)))
    for question in detail.guidance:
        if question.ticket == ticket and question.status == "pending":
            choices = f" ({', '.join(inline(choice, 60) for choice in question.choices)})" if question.choices else ""
            yield f"{inline(question.agent)} asks: {inline(question.question, 500)}{choices}"


def _row(agent: Agent) -> tuple[str, ...]:
    return (
        inline(agent.name),
        agent.status,
        state_of(agent) if agent.health else "",
        inline(reason_of(agent)),
    )
