"""What is wrong with a ticket's runs, and what a person can do about it: the reasons for diagnostics.

Statuses of stopped and closed runs trouble nobody. A run that has come to its end is superseded by a
newer one of the same ticket, one that is still at work is not.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from metawsm_rpc.answers import TicketRow
from metawsm_rpc.domain.appearance import reason_of
from metawsm_rpc.domain.markdown import one_line
from metawsm_rpc.domain.models import Agent, Blocked, Guidance, RunDetail, Step
from metawsm_rpc.domain.sentences import ended
from metawsm_rpc.rpc.view import View

Code = Literal[
    "agent-dead",
    "agent-failed",
    "run-failed",
    "step-failed",
    "agent-waiting",
    "agent-stalled",
    "guidance-pending",
    "close-blocked",
    "agent-idle",
]

_AT_WORK = frozenset({"running", "awaiting_guidance"})
_SHOWN = _AT_WORK | {"failed", "completed", "closing"}


class Trouble(NamedTuple):
    """One reason to look at a ticket; `data` is what an action on it needs, in the names of the wire."""

    code: Code
    message: str
    data: Mapping[str, Any]


def runs_of(ticket: TicketRow, view: View) -> tuple[RunDetail, ...]:
    """Return the runs that speak for a ticket, newest first: what is at work, and the newest one of all.

    Dry runs supersede nothing.
    """
    known = {detail.run.run_id: detail for detail in view.details}
    found: list[RunDetail] = []
    superseded = False
    for run_id in ticket.runs:
        detail = known.get(run_id)  # None once it is closed
        if detail is not None and detail.run.dry_run:
            continue
        if detail is not None and (not superseded or detail.run.status in _AT_WORK):
            found.append(detail)
        superseded = True
    return tuple(found)


def troubles(ticket: TicketRow, view: View) -> tuple[Trouble, ...]:
    """Return what is wrong with a ticket, the newest run first."""
    return tuple(
        trouble
        for detail in runs_of(ticket, view)
        if detail.run.status in _SHOWN
        for trouble in _of_run(detail, ticket.ticket, view)
    )


def _of_run(detail: RunDetail, ticket: str, view: View) -> Iterator[Trouble]:
    run = detail.run
    about = {"runId": run.run_id, "ticket": ticket, "agent": None, "root": view.root}
    if run.status in _AT_WORK or run.status == "failed":
        asked = [one for one in detail.guidance if one.ticket == ticket and one.status == "pending"]
        yield from _of_steps((step for step in detail.steps if step.ticket == ticket), about)
        for question in asked:
            yield _question(question, about)
        asking = {question.agent for question in asked}
        for agent in detail.agents:
            if agent.ticket == ticket:
                yield from _of_agent(agent, about, run.error, asks=agent.name in asking)
    if run.status == "failed":
        why = one_line(run.error or "not everything was done")
        yield Trouble(
            "run-failed",
            f"Run {run.run_id} failed: {_clause(why)}; resume, restart or stop it.",
            about | {"reason": why},
        )
    if run.status in ("completed", "closing"):
        # One without a ticket of this run is about all of them.
        for blocked in view.blocked.get(run.run_id, ()):
            if blocked.ticket == ticket or blocked.ticket not in run.tickets:
                yield _blocked(blocked, about)


def _of_steps(steps: Iterable[Step], about: Mapping[str, Any]) -> Iterator[Trouble]:
    for step in steps:
        # One that may be tried again is tried again.
        if step.status == "failed" and step.attempts >= step.attempt_limit:
            why = one_line(step.error or "it gave no reason")
            yield Trouble(
                "step-failed",
                f"Step {step.index} ({one_line(step.name)}) failed: {_clause(why)}; mend it and retry the step, or skip it.",
                {**about, "agent": step.agent, "step": step.index, "reason": why},
            )


class _Saying(NamedTuple):
    code: Code
    state: str
    advice: str


_SAYINGS: Mapping[str, _Saying] = {
    "failed": _Saying("agent-failed", "failed", "read what it printed, and restart it"),
    "dead": _Saying("agent-dead", "is dead", "restart it"),
    "waiting": _Saying("agent-waiting", "waits for you", "attach to its terminal and answer"),
    "stalled": _Saying("agent-stalled", "is stalled", "attach to its terminal, or restart it"),
    "idle": _Saying("agent-idle", "is idle", "review its work, or tell it to go on"),
}


def _of_agent(agent: Agent, about: Mapping[str, Any], error: str | None, *, asks: bool) -> Iterator[Trouble]:
    saying = _SAYINGS.get(agent.status)
    # Who asks waits for the answer; that is told once, as a question.
    if saying is None or (agent.status == "waiting" and asks):
        return
    why = _clause(one_line(_why(agent, error)))
    yield Trouble(
        saying.code,
        f"{agent.name} {saying.state}: {why}; {saying.advice}.",
        {**about, "agent": agent.name, "reason": why},
    )


def _why(agent: Agent, error: str | None) -> str:
    """Return why an agent is as it is; of one that failed, the run's error may be its own words."""
    own = f"{agent.ticket}: {agent.name} failed: "
    if agent.health is None and error and error.startswith(own):
        return error.removeprefix(own)
    return reason_of(agent) or "it said so"


def _question(question: Guidance, about: Mapping[str, Any]) -> Trouble:
    choices = [one_line(choice, 60) for choice in question.choices]
    asked = one_line(question.question) + (f" ({', '.join(choices)})" if choices else "")
    return Trouble(
        "guidance-pending",
        f"{question.agent} asks: {ended(asked)} Answer the question.",
        {
            **about,
            "agent": question.agent,
            "guidanceId": question.id,
            "question": question.question,
            "choices": list(question.choices),
        },
    )


def _blocked(blocked: Blocked, about: Mapping[str, Any]) -> Trouble:
    why = one_line(blocked.message)
    more = f" ({', '.join(one_line(file, 80) for file in blocked.files[:3])}{'…' if len(blocked.files) > 3 else ''})"
    return Trouble(
        "close-blocked",
        f"Run {about['runId']} cannot be closed: {_clause(why)}{more if blocked.files else ''}.",
        {**about, "repo": blocked.repo, "reason": blocked.reason, "files": list(blocked.files[:100])},
    )


def _clause(sentence: str) -> str:
    """Return a sentence so that another one can go on after it."""
    return sentence.rstrip(". ")
