"""What the live view tells of runs, agents, questions and steps, as rows of plain cells.

Nothing here knows of a screen. What agents and tickets say comes out as one line of text without
anything that could steer a terminal; a colour only repeats what the words say.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from metawsm_rpc.cli import output
from metawsm_rpc.domain.clock import seconds
from metawsm_rpc.domain.health import duration
from metawsm_rpc.domain.models import LIVE, Agent, Guidance, RunDetail, RunSummary, Step
from metawsm_rpc.domain.plain_text import plain_text

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SPACE = re.compile(r"\s+")

RUN_COLUMNS = ("run", "status", "agents", "asks", "started", "tickets", "repositories", "error")
AGENT_COLUMNS = ("agent", "ticket", "status", "health", "since", "restarts", "asks", "why")
QUESTION_COLUMNS = ("asked by", "ticket", "status", "ago", "question", "answer")
STEP_COLUMNS = ("step", "run", "status", "since", "what")

_QUESTIONS = 50
"""How many questions are listed: the open ones first, then the newest."""


class Cell(NamedTuple):
    """A piece of a row: one line of text, and the name of its colour."""

    text: str
    style: str = ""


class Row(NamedTuple):
    """A line of a table; `key` names what it is about, and is the same as long as that lives."""

    key: str
    cells: tuple[Cell, ...]


class Known(NamedTuple):
    """What has been read: the runs that are listed, newest first, with the details of those that were looked at.

    `hidden` counts the closed runs that are not listed, `supervisor` is the pid of the process that
    supervises the root, and `driven` are the runs whose steps this process carries out.
    """

    runs: tuple[RunSummary, ...]
    details: Mapping[str, RunDetail]
    hidden: int
    supervisor: int | None
    driven: tuple[str, ...] = ()


def one_line(text: str | None) -> str:
    """Return text on one line, without escape sequences and control characters."""
    if not text:
        return ""
    if _CONTROL.search(text):
        text = _SPACE.sub(" ", plain_text(text))
    return text.strip()


def lines(text: str) -> str:
    """Return text without escape sequences and control characters, with its lines."""
    return plain_text(text) if _CONTROL.search(text) else text


def named(agent: Agent) -> str:
    """Return how a person calls an agent."""
    return one_line(f"{agent.name} on {agent.ticket}")


def agent_key(agent: Agent) -> str:
    """Return what tells an agent of a root from all others."""
    return f"{agent.run_id}/{agent.ticket}/{agent.name}"


def runs(known: Known, words: str, now: float) -> list[Row]:
    """Return a row for each run in which the words of a filter are found."""
    return [
        Row(
            run.run_id,
            (
                Cell(run.run_id),
                _state(run.status),
                Cell(_counts(run.agents)),
                _asks(run.guidance_pending),
                _since(run.created_at, now),
                Cell(one_line(", ".join(run.tickets))),
                Cell(one_line(", ".join(run.repos))),
                Cell(one_line(run.error), "red"),
            ),
        )
        for run in known.runs
        if _run_fits(run, words) or any(_fits(words, agent) for agent in agents_of(known, run.run_id))
    ]


def agents_of(known: Known, run_id: str | None) -> list[Agent]:
    """Return the agents of one run, or of all runs that are listed."""
    chosen = [run.run_id for run in known.runs] if run_id is None else [run_id]
    return [agent for one in chosen if one in known.details for agent in known.details[one].agents]


def agents(known: Known, run_id: str | None, words: str, now: float) -> list[tuple[Row, Agent]]:
    """Return a row for each agent of one run, or of all, in which the words of a filter are found."""
    shown = {run.run_id for run in known.runs if _run_fits(run, words)}
    asking = {
        (question.run_id, question.ticket, question.agent)
        for detail in known.details.values()
        for question in detail.guidance
        if question.status == "pending"
    }
    return [
        (Row(agent_key(agent), _agent_cells(agent, asking, now)), agent)
        for agent in agents_of(known, run_id)
        if agent.run_id in shown or _fits(words, agent)
    ]


def _agent_cells(agent: Agent, asking: set[tuple[str, str, str]], now: float) -> tuple[Cell, ...]:
    health = agent.health if agent.status in LIVE or agent.status == "dead" else None
    return (
        Cell(one_line(agent.name)),
        Cell(one_line(agent.ticket)),
        _state(agent.status),
        _state(health.state) if health else Cell(""),
        _since(health.since if health else None, now),
        Cell(str(agent.restarts) if agent.restarts else ""),
        Cell("yes", "yellow") if (agent.run_id, agent.ticket, agent.name) in asking else Cell(""),
        Cell(why(agent)),
    )


def why(agent: Agent) -> str:
    """Return the reason for an agent's health, or how it ended."""
    if agent.health is not None and (agent.status in LIVE or agent.status == "dead"):
        return one_line(agent.health.reason)
    if agent.due is not None:
        return f"to be started ({agent.due})"
    return "" if agent.exit_code is None else f"exited with {agent.exit_code}"


def questions(known: Known, words: str, now: float) -> list[tuple[Row, Guidance]]:
    """Return a row for each question, the open ones first, newest before older."""
    found = [
        question
        for run in known.runs
        if run.run_id in known.details
        for question in known.details[run.run_id].guidance
        if question.status != "withdrawn" and _matches(words, run.run_id, question.ticket, question.agent)
    ]
    found.sort(key=lambda question: question.asked_at, reverse=True)
    found.sort(key=lambda question: question.status != "pending")
    return [(Row(question.id, _question_cells(question, now)), question) for question in found[:_QUESTIONS]]


def _question_cells(question: Guidance, now: float) -> tuple[Cell, ...]:
    answer = question.answer if question.answer is not None else " | ".join(question.choices)
    return (
        Cell(one_line(question.agent)),
        Cell(one_line(question.ticket)),
        Cell("open", "yellow") if question.status == "pending" else Cell(question.status),
        _since(question.asked_at, now),
        Cell(one_line(question.question)),
        Cell(one_line(answer), "dim" if question.answer is None else ""),
    )


def steps(known: Known, words: str, now: float) -> list[Row]:
    """Return a row for each step that is under way or has failed in a run that is not settled."""
    return [
        Row(f"{run.run_id}/{step.index}", _step_cells(step, now))
        for run in known.runs
        if run.run_id in known.details and run.status not in ("completed", "stopped", "closed")
        for step in known.details[run.run_id].steps
        if step.status in ("running", "failed") and _matches(words, run.run_id, step.ticket, step.name)
    ]


def _step_cells(step: Step, now: float) -> tuple[Cell, ...]:
    return (
        Cell(one_line(step.name)),
        Cell(step.run_id),
        _state(step.status),
        _since(step.finished_at if step.status == "failed" else step.started_at, now),
        Cell(one_line(step.error or step.description), "red" if step.error else ""),
    )


def story(agent: Agent, now: float) -> str:
    """Return all that there is to say of an agent, for where a row is too short."""
    health = agent.health if agent.status in LIVE or agent.status == "dead" else None
    parts = [f"{agent.name} ({agent.profile}) on {agent.ticket} is {agent.status}"]
    if health is not None:
        since = _since(health.since, now).text
        parts.append(f"{health.state} for {since}: {one_line(health.reason)} ({health.source})")
    elif reason := why(agent):
        parts.append(reason)
    if agent.last_progress_at:
        parts.append(f"progress {_since(agent.last_progress_at, now).text} ago")
    if agent.restarts:
        parts.append(f"restarts: {agent.restarts}")
    return one_line("; ".join(parts))


def tally(known: Known) -> tuple[Cell, ...]:
    """Return how many agents of the listed runs are in which state."""
    counts: dict[str, int] = {}
    for run in known.runs:
        for state, number in run.agents.items():
            if number and state != "total":
                counts[state] = counts.get(state, 0) + number
    return tuple(Cell(f"{number} {state}", output.COLOURS.get(state, "")) for state, number in counts.items())


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {state}" for state, number in counts.items() if number and state != "total")


def _state(state: str) -> Cell:
    return Cell(state.replace("_", " "), output.COLOURS.get(state, ""))


def _asks(number: int) -> Cell:
    return Cell(f"{number} open" if number else "", "yellow")


def _since(at: str | None, now: float) -> Cell:
    return Cell("" if at is None else duration(now - seconds(at)))


def _run_fits(run: RunSummary, words: str) -> bool:
    return _matches(words, run.run_id, run.status, *run.tickets, *run.repos)


def _fits(words: str, agent: Agent) -> bool:
    health = agent.health.state if agent.health else ""
    return _matches(words, agent.run_id, agent.ticket, agent.name, agent.profile, agent.status, health)


def _matches(words: str, *texts: str) -> bool:
    """Return whether each word of a filter is found somewhere in the texts."""
    if not words:
        return True
    found = "\n".join(texts).casefold()
    return all(word in found for word in words.casefold().split())
