"""Prints runs, steps and agents for people."""

import os
import shlex
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from metawsm_rpc.cli import output
from metawsm_rpc.domain.clock import seconds
from metawsm_rpc.domain.health import duration
from metawsm_rpc.domain.models import (
    LIVE,
    Agent,
    Event,
    Guidance,
    Merge,
    Repo,
    Run,
    RunDetail,
    RunSummary,
    Step,
    Workspace,
)

if TYPE_CHECKING:
    from metawsm_rpc.answers import Diffs


def show_runs(rows: Iterable[RunSummary], total: int, *, chosen: bool) -> None:
    """Print a list of runs; `chosen` says that a filter was given."""
    listed = tuple(rows)
    output.table(
        ("run", "status", "tickets", "repositories", "agents", "started"),
        [
            (row.run_id, row.status, ", ".join(row.tickets), ", ".join(row.repos), _counts(row), ago(row.created_at))
            for row in listed
        ],
        empty="No run is like that; `metawsm runs` lists all."
        if chosen
        else "There are no runs here yet; `metawsm run --ticket T` starts one.",
    )
    for row in listed:
        if row.error:
            output.line(f"{row.run_id}: {row.error}", colour="red")
        if row.guidance_pending:
            asked = "a question is open" if row.guidance_pending == 1 else f"{row.guidance_pending} questions are open"
            output.line(f"{row.run_id}: {asked}; `metawsm status {row.run_id}` shows more.", colour="yellow")
    if total > len(listed):
        output.say(f"{len(listed)} of {total} runs; --limit shows more.")


def _counts(row: RunSummary) -> str:
    return ", ".join(f"{number} {state}" for state, number in row.agents.items() if number and state != "total")


def show_run(detail: RunDetail) -> None:
    """Print one run in full."""
    _headline(detail.run)
    show_agents(detail.agents)
    _show_workspaces(detail.workspaces)
    unfinished = [step for step in detail.steps if step.status not in ("done", "skipped")]
    if unfinished:
        show_steps(unfinished)
    _show_questions(detail.guidance)
    _show_undelivered(detail)


def _headline(run: Run) -> None:
    output.line(f"Run {run.run_id} is {output.said(run.status)}", colour=output.COLOURS.get(run.status))
    output.line(f"  {', '.join(run.tickets)} over {', '.join(run.repos)}, started {ago(run.created_at)}")
    if run.error:
        output.line(f"  {run.error}", colour="red")


def show_agents(agents: Iterable[Agent]) -> None:
    """Print agents with their health and its reason."""
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
    made = [workspace for workspace in workspaces if any(repo.head is not None for repo in workspace.repos)]
    if not made:
        return
    output.heading("Workspaces")
    if output.is_terminal(sys.stdout):
        output.table(
            ("ticket", "repository", "branch", "commits", "uncommitted"),
            [
                (workspace.ticket, repo.name, repo.branch, _against_base(repo), _files(repo.dirty_files))
                for workspace in made
                for repo in workspace.repos
            ],
            empty="",
        )
        for workspace in made:
            output.line(f"{workspace.ticket} is in {_short(workspace.path)}", colour="dim")
        return
    output.table(
        ("ticket", "repository", "branch", "changed", "against base", "folder"),
        [
            (
                workspace.ticket,
                repo.name,
                repo.branch,
                _number(repo.dirty_files),
                f"+{_number(repo.ahead)} -{_number(repo.behind)} {repo.base}",
                repo.path,
            )
            for workspace in made
            for repo in workspace.repos
        ],
        empty="",
    )


def _short(path: str) -> str:
    """Return a path with the home folder shortened to `~`."""
    home = os.environ.get("HOME", "").rstrip("/")
    return f"~{path[len(home) :]}" if home and path.startswith(f"{home}/") else path


def _against_base(repo: Repo) -> str:
    counts = [f"{number} {word}" for number, word in ((repo.ahead, "ahead of"), (repo.behind, "behind")) if number]
    return f"{', '.join(counts)} {repo.base}" if counts else f"even with {repo.base}"


def _files(number: int | None) -> str:
    return f"{number} file{'' if number == 1 else 's'}" if number else ""


def show_steps(steps: Iterable[Step]) -> None:
    """Print steps with their commands, so that everything can be read before it happens."""
    listed = tuple(steps)
    output.heading("Steps")
    if listed and output.is_terminal(sys.stdout):
        _outline(listed)
        return
    output.table(
        ("#", "step", "status", "after", "what"),
        [(step.index, step.name, step.status, _after(step), step.error or step.description) for step in listed],
        empty="Nothing is left to do.",
    )
    commands = [(step.index, step.command) for step in listed if step.command]
    if commands and any(step.status == "pending" for step in listed):
        output.heading("Commands")
        for index, command in commands:
            output.line(f"  {index}: {shlex.join(command)}")


def _outline(steps: tuple[Step, ...]) -> None:
    """Print each step with its description and command below it, because long paths need the whole width."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False)
    for before, step in zip((None, *steps[:-1]), steps, strict=True):
        if before is not None and before.ticket != step.ticket:
            console.print()
        name = Text(f"{step.index:>2}  ").append(output.clean(step.name), "bold")
        if step.status != "pending":
            name.append(f"  {step.status}", output.COLOURS.get(step.status, ""))
        if step.depends_on:
            name.append(f"  after {_after(step)}", "dim")
        console.print(name)
        what = Text(output.clean(step.error or step.description), "red" if step.error else "")
        console.print(Padding(what, (0, 0, 0, 4)))
        if step.command and step.status == "pending":
            console.print(Padding(Text(output.clean(f"$ {shlex.join(step.command)}"), "dim"), (0, 0, 0, 4)))


def _after(step: Step) -> str:
    return ", ".join(map(str, step.depends_on))


def show_diffs(found: "Diffs", *, patch: bool) -> None:
    """Print the work of a run: files with line counts, or the changes themselves."""
    for repo in found.repos:
        output.heading(f"{repo.ticket}: {repo.name} against {repo.base[:10]}")
        if patch:
            _show_patch(repo.patch or "")
            continue
        output.table(
            ("file", "status", "+", "-"),
            [(file.path, file.status, file.additions, file.deletions) for file in repo.files],
            empty=f"{repo.name}: no changes.",
        )


def _show_patch(patch: str) -> None:
    """Print a patch: unchanged for programs; for people coloured, and without terminal control characters."""
    if not output.is_terminal(sys.stdout):
        sys.stdout.write(patch)
    elif not output.has_colours(sys.stdout):
        output.line(patch.rstrip("\n"))
    else:
        from rich.console import Console
        from rich.syntax import Syntax

        text = output.clean(patch).rstrip("\n")
        Console().print(Syntax(text, "diff", theme="ansi_dark", background_color="default", word_wrap=True))


def show_merges(merges: Iterable[Merge]) -> None:
    """Print the merges of a close, or those that it would make."""
    output.table(
        ("repository", "ticket", "into", "from", "to", "how"),
        [(one.repo, one.ticket, one.base, one.from_[:10], one.to[:10], one.kind) for one in merges],
        empty="There is nothing to merge.",
    )


def _show_questions(guidance: Iterable[Guidance]) -> None:
    pending = [question for question in guidance if question.status == "pending"]
    if pending:
        output.heading("Questions")
    for question in pending:
        who = f"  {question.agent} on {question.ticket} asks: "
        output.paragraph(who, question.question, by=6, colour="yellow")
        for choice in question.choices:
            output.paragraph("    - ", choice, by=6)
        output.line(f'    metawsm answer {question.id} "…"')


def _show_undelivered(detail: RunDetail) -> None:
    """Print the answers of which nobody knows that they have arrived, of agents that could still use them."""
    started = {(agent.ticket, agent.name): agent.started_at for agent in detail.agents if agent.status in LIVE}
    for question in detail.guidance:
        is_owed = question.status == "answered" and question.delivered_at is None
        since = started.get((question.ticket, question.agent))
        if is_owed and since is not None and since <= question.asked_at:
            who = f"  {question.agent} on {question.ticket} may not have the answer to: "
            output.paragraph(who, question.question, by=6, colour="yellow")
            output.line(f"    again: metawsm answer {question.id} {shlex.quote(question.answer or '')}")


def show_events(events: Iterable[Event], *, of_one_run: bool, empty: str) -> None:
    """Print events: every field in a column for pipes, as much as fits on a line for people."""
    listed = tuple(events)
    if not output.is_terminal(sys.stdout):
        output.table(
            ("seq", "at", "run", "what", "event", "from", "to", "message"),
            [(e.seq, e.at, e.run_id, f"{e.entity} {e.entity_id}", e.type, e.from_, e.to, e.message) for e in listed],
            empty=empty,
        )
        return
    of_which = () if of_one_run else ("run",)
    output.table(
        ("seq", "at", *of_which, "what", "event"),
        [(e.seq, _local(e.at), *((e.run_id,) if of_which else ()), _what(e), happened(e)) for e in listed],
        empty=empty,
    )


def happened(event: Event) -> str:
    """Return an event's description, without time and entity."""
    moved = f": {event.from_ or 'new'} to {event.to}" if event.to not in (None, event.from_) else ""
    message = f" ({event.message})" if event.message else ""
    return f"{event.type}{moved}{message}"


def _what(event: Event) -> str:
    return event.entity if event.entity_id == event.run_id else f"{event.entity} {event.entity_id}"


def _local(at: str) -> str:
    """Return the local time of day, with the date unless it is today."""
    then, now = time.localtime(seconds(at)), time.localtime()
    return time.strftime("%H:%M:%S" if then[:3] == now[:3] else "%Y-%m-%d %H:%M:%S", then)


def ago(at: str | None) -> str:
    """Return how long ago a timestamp was."""
    return "" if at is None else f"{duration(time.time() - seconds(at))} ago"


def _number(value: int | None) -> str:
    return "?" if value is None else str(value)
