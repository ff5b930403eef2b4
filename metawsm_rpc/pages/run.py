"""A run as a page: its agents and their health, open questions, steps and workspaces.

Times are absolute, so that a page changes only when the run does.
"""

from collections.abc import Iterable, Iterator

from metawsm_rpc.domain.appearance import reason_of, state_of
from metawsm_rpc.domain.markdown import code, inline, table
from metawsm_rpc.domain.models import Agent, Guidance, Repo, Run, RunDetail, RunSummary, Step, Workspace


def run_page(detail: RunDetail) -> str:
    """Return a run as Markdown."""
    return "\n\n".join(_run(detail)) + "\n"


def runs_page(rows: Iterable[RunSummary]) -> str:
    """Return an overview of runs as Markdown."""
    listed = [
        (
            row.run_id,
            _words(row.status),
            inline(", ".join(row.tickets)),
            inline(", ".join(row.repos)),
            ", ".join(f"{number} {state}" for state, number in row.agents.items() if number and state != "total"),
            str(row.guidance_pending or ""),
            moment(row.created_at),
        )
        for row in rows
    ]
    header = ("run", "status", "tickets", "repositories", "agents", "questions", "started")
    return f"# Runs\n\n{table(header, listed) if listed else 'There are no runs here yet.'}\n"


def moment(at: str | None) -> str:
    """Return a timestamp as a person reads it, in UTC and whole seconds."""
    return "" if at is None else f"{at[:10]} {at[11:19]} UTC"


def _run(detail: RunDetail) -> Iterator[str]:
    run = detail.run
    yield f"# Run {run.run_id}"
    yield _headline(run)
    if run.error:
        yield f"> {inline(run.error, 1000)}"
    if detail.agents:
        yield "## Agents"
        yield table(
            ("agent", "ticket", "status", "health", "why", "progress", "restarts"), list(map(_agent, detail.agents))
        )
    asked = [question for question in detail.guidance if question.status == "pending"]
    if asked:
        yield "## Questions"
        yield from map(_question, asked)
    yield "## Steps"
    yield table(("#", "step", "status", "tries", "what"), list(map(_step, detail.steps)))
    rows = [_repo(workspace, repo) for workspace in detail.workspaces for repo in workspace.repos if repo.head]
    if rows:
        yield "## Workspaces"
        yield table(("ticket", "repository", "branch", "uncommitted files", "against the base", "folder"), rows)


def _headline(run: Run) -> str:
    return (
        f"**{_words(run.status)}**: {inline(', '.join(run.tickets))} over {inline(', '.join(run.repos))}, "
        f"started {moment(run.created_at)}, last changed {moment(run.updated_at)}."
    )


def _agent(agent: Agent) -> tuple[str, ...]:
    return (
        inline(agent.name),
        inline(agent.ticket),
        agent.status,
        state_of(agent) if agent.health else "",
        inline(reason_of(agent)),
        moment(agent.last_progress_at),
        str(agent.restarts),
    )


def _question(question: Guidance) -> str:
    lines = [f"{inline(question.agent)} on {inline(question.ticket)} asks: {inline(question.question, 1000)}", ""]
    lines += [f"- {inline(choice)}" for choice in question.choices]
    return "\n".join([*lines, "", f"Answer with {code(f'metawsm answer {question.id} …')}."])


def _step(step: Step) -> tuple[str, ...]:
    what = inline(step.error or step.description, 1000)
    return (str(step.index), inline(step.name), step.status, str(step.attempts), what)


def _repo(workspace: Workspace, repo: Repo) -> tuple[str, ...]:
    number = [("?" if count is None else str(count)) for count in (repo.dirty_files, repo.ahead, repo.behind)]
    return (
        inline(workspace.ticket),
        inline(repo.name),
        inline(repo.branch),
        number[0],
        f"{number[1]} ahead, {number[2]} behind {inline(repo.base)}",
        inline(repo.path, 1000),
    )


def _words(status: str) -> str:
    return status.replace("_", " ")
