"""How runs, steps and agents look to a person."""

import shlex
import time
from collections.abc import Iterable

from metawsm_rpc.cli import output
from metawsm_rpc.domain.clock import seconds
from metawsm_rpc.domain.health import duration
from metawsm_rpc.domain.models import Agent, Guidance, Run, RunDetail, RunSummary, Step, Workspace


def show_runs(rows: Iterable[RunSummary], total: int) -> None:
    """Print an overview of runs."""
    listed = tuple(rows)
    output.table(
        ("run", "status", "tickets", "repositories", "agents", "started"),
        [
            (row.run_id, row.status, ", ".join(row.tickets), ", ".join(row.repos), _counts(row), ago(row.created_at))
            for row in listed
        ],
        empty="There are no runs here yet; `metawsm run --ticket T` starts one.",
    )
    for row in listed:
        if row.error:
            output.line(f"{row.run_id}: {row.error}", colour="red")
        if row.guidance_pending:
            output.line(
                f"{row.run_id}: {row.guidance_pending} open question(s); metawsm status {row.run_id}", colour="yellow"
            )
    if total > len(listed):
        output.say(f"{len(listed)} of {total} runs; --limit shows more.")


def _counts(row: RunSummary) -> str:
    return ", ".join(f"{number} {state}" for state, number in row.agents.items() if number and state != "total")


def show_run(detail: RunDetail) -> None:
    """Print one run whole."""
    _headline(detail.run)
    show_agents(detail.agents)
    _show_workspaces(detail.workspaces)
    unfinished = [step for step in detail.steps if step.status not in ("done", "skipped")]
    if unfinished:
        show_steps(unfinished)
    _show_questions(detail.guidance)


def _headline(run: Run) -> None:
    output.line(f"Run {run.run_id} is {run.status}", colour=output.COLOURS.get(run.status))
    output.line(f"  {', '.join(run.tickets)} over {', '.join(run.repos)}, started {ago(run.created_at)}")
    if run.error:
        output.line(f"  {run.error}", colour="red")


def show_agents(agents: Iterable[Agent]) -> None:
    """Print agents with their health, and why they are judged so."""
    output.heading("Agents")
    output.table(
        ("agent", "ticket", "status", "health", "why", "progress"),
        [
            (
                agent.name,
                agent.ticket,
                agent.status,
                agent.health.state if agent.health else "",
                _why(agent),
                ago(agent.last_progress_at),
            )
            for agent in agents
        ],
        empty="The run has no agents.",
    )


def _why(agent: Agent) -> str:
    if agent.health is not None:
        return agent.health.reason
    if agent.exit_code is not None:
        return f"exited with {agent.exit_code}"
    return ""


def _show_workspaces(workspaces: Iterable[Workspace]) -> None:
    rows = [
        (
            workspace.ticket,
            repo.name,
            repo.branch,
            _number(repo.dirty_files),
            f"+{_number(repo.ahead)} -{_number(repo.behind)} {repo.base}",
            repo.path,
        )
        for workspace in workspaces
        for repo in workspace.repos
        if repo.head is not None
    ]
    if rows:
        output.heading("Workspaces")
        output.table(("ticket", "repository", "branch", "changed", "against base", "folder"), rows, empty="")


def show_steps(steps: Iterable[Step]) -> None:
    """Print steps with their commands, so that nothing happens that could not be read before."""
    listed = tuple(steps)
    output.heading("Steps")
    output.table(
        ("#", "step", "status", "after", "what"),
        [
            (step.index, step.name, step.status, ", ".join(map(str, step.depends_on)), step.error or step.description)
            for step in listed
        ],
        empty="Nothing is left to do.",
    )
    commands = [(step.index, step.command) for step in listed if step.command]
    if commands and any(step.status == "pending" for step in listed):
        output.heading("Commands")
        for index, command in commands:
            output.line(f"  {index}: {' '.join(map(shlex.quote, command))}")


def _show_questions(guidance: Iterable[Guidance]) -> None:
    pending = [question for question in guidance if question.status == "pending"]
    if pending:
        output.heading("Questions")
    for question in pending:
        output.line(f"  {question.agent} on {question.ticket} asks: {question.question}", colour="yellow")
        for choice in question.choices:
            output.line(f"    - {choice}")
        output.line(f"    metawsm answer {question.id} …")


def ago(at: str | None) -> str:
    """Return how long ago a timestamp was."""
    return "" if at is None else f"{duration(time.time() - seconds(at))} ago"


def _number(value: int | None) -> str:
    return "?" if value is None else str(value)
