"""What can be done about a ticket, its runs and their agents: commands with all their arguments."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from lsprotocol import types

from metawsm_rpc.answers import TicketRow
from metawsm_rpc.domain.markdown import one_line
from metawsm_rpc.domain.models import LIVE, RunDetail
from metawsm_rpc.rpc.features.troubles import Trouble, runs_of
from metawsm_rpc.rpc.view import View


class Offer(NamedTuple):
    """A command and what a person calls it; `reads` when it only looks."""

    title: str
    verb: str
    arguments: dict[str, Any]
    reads: bool = False

    def command(self) -> types.Command:
        """Return it as the editor sends it back."""
        return types.Command(title=self.title, command=f"metawsm.{self.verb}", arguments=[self.arguments])


def at_work(detail: RunDetail) -> bool:
    """Return whether a run may go on by itself."""
    return detail.run.status in ("running", "awaiting_guidance", "planning")


def on_ticket(ticket: TicketRow, view: View, *, asks: bool = False) -> Iterator[Offer]:
    """Yield what can be done with a ticket: a new run, and what its runs allow.

    `asks` is whether the client asks a person for arguments that are left out.
    """
    runs = runs_of(ticket, view)
    if not any(detail.run.status not in ("stopped", "failed") for detail in runs):
        new = {"tickets": [ticket.ticket], "root": view.root}
        yield Offer(f"Run agents on {ticket.ticket}", "run", new)
        yield Offer(f"Show the plan for {ticket.ticket}", "plan", new, reads=True)
    for detail in runs:
        yield from on_run(detail, ticket.ticket, view, asks=asks)


def on_run(detail: RunDetail, ticket: str, view: View, *, asks: bool = False) -> Iterator[Offer]:
    """Yield what the status of a run allows, the most natural first."""
    run = detail.run
    this = {"runId": run.run_id, "root": view.root}
    yield Offer(f"Show run {run.run_id}", "status", this, reads=True)
    for question in detail.guidance:
        if question.ticket == ticket and question.status == "pending":
            yield from answers(question.id, view.root, question.agent, question.choices, asks=asks)
    if run.status == "completed":
        yield Offer("Close: merge all repositories", "close", this)
    if run.status == "closing":
        yield Offer("Finish closing", "close", this)
    if run.status != "paused":
        yield Offer("Review the changes", "diff", {**this, "ticket": ticket, "patch": True})
    if run.status in ("paused", "failed", "stopped"):
        yield Offer("Start the run" if run.status == "paused" else "Resume the run", "resume", this)
    if any(agent.status in ("dead", "failed") for agent in detail.agents) and run.status in ("failed", "running"):
        yield Offer("Restart dead and failed agents", "restart", this)
    if at_work(detail) or run.status in ("paused", "failed", "stopping"):
        yield Offer("Stop the run", "stop", this)
    if run.status not in ("closing", "closed", "paused"):
        yield Offer("Sync: bring the bases in", "sync", this)
    for agent in detail.agents:
        if agent.ticket == ticket and agent.started_at is not None:
            yield from on_agent({**this, "ticket": ticket, "agent": agent.name}, live=agent.status in LIVE)


def on_agent(agent: dict[str, Any], *, live: bool) -> Iterator[Offer]:
    """Yield what can be looked at of an agent: `{runId, ticket, agent, root}`."""
    name = agent["agent"]
    if live:
        yield Offer(f"Attach to {name}", "attach", agent, reads=True)
    yield Offer(f"Show the transcript of {name}", "transcript", agent, reads=True)
    yield Offer(f"Explain the health of {name}", "explain", agent, reads=True)


def answers(guidance_id: str, root: str, agent: str, choices: Iterable[str], *, asks: bool) -> Iterator[Offer]:
    """Yield an answer for each choice of a question, and one that asks for words where the client can."""
    this = {"guidanceId": guidance_id, "root": root}
    for choice in choices:
        yield Offer(f"Answer {agent}: {one_line(choice, 60)}", "answer", {**this, "answer": choice})
    if asks:
        yield Offer(f"Answer {agent}…", "answer", this)


def on_trouble(trouble: Trouble, *, asks: bool = False) -> Iterator[Offer]:
    """Yield what helps against one trouble, the most natural first."""
    data = trouble.data
    run = {"runId": data["runId"], "root": data["root"]}
    agent = {**run, "ticket": data["ticket"], "agent": data["agent"]}
    name = data["agent"]
    if trouble.code in ("agent-dead", "agent-failed"):
        yield Offer(f"Restart {name}", "restart", agent)
        yield from on_agent(agent, live=False)
        yield Offer("Stop the run", "stop", run)
    elif trouble.code in ("agent-waiting", "agent-stalled", "agent-idle"):
        yield from on_agent(agent, live=True)
        yield Offer(f"Restart {name}", "restart", agent)
        if trouble.code == "agent-idle":
            yield Offer(f"Declare {name} completed", "complete", agent)
        yield Offer("Stop the run", "stop", run)
    elif trouble.code == "guidance-pending":
        yield from answers(data["guidanceId"], data["root"], name, data["choices"], asks=asks)
        yield from on_agent(agent, live=True)
    elif trouble.code == "run-failed":
        yield Offer("Resume the run", "resume", run)
        yield Offer("Restart dead and failed agents", "restart", run)
        yield Offer("Stop the run", "stop", run)
        yield Offer(f"Show run {data['runId']}", "status", run, reads=True)
    elif trouble.code == "step-failed":
        yield Offer(f"Retry step {data['step']}", "retryStep", {**run, "index": data["step"]})
        yield Offer(f"Skip step {data['step']}", "skipStep", {**run, "index": data["step"]})
        yield Offer(f"Show run {data['runId']}", "status", run, reads=True)
    elif trouble.code == "close-blocked":
        yield Offer("Sync: bring the bases in", "sync", run)
        yield Offer("Review the changes", "diff", {**run, "ticket": data["ticket"], "patch": True})
        yield Offer("Close again", "close", run)
