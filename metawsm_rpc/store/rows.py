"""Converts between rows and the domain's plain data."""

import json
import sqlite3
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from metawsm_rpc.domain.models import Agent, Event, Guidance, Health, Repo, Run, Step
from metawsm_rpc.errors import InvalidParamsError

RUN_COLUMNS = ", ".join(Run._fields)
STEP_COLUMNS = ", ".join(f'"{field}"' for field in Step._fields)
AGENT_COLUMNS = ", ".join(
    "health_state, health_reason, health_source, health_since" if field == "health" else field
    for field in Agent._fields
)
REPO_COLUMNS = ", ".join(Repo._fields)
GUIDANCE_COLUMNS = ", ".join(Guidance._fields)
EVENT_COLUMNS = "seq, at, run_id, entity, entity_id, type, from_status, to_status, message, data"

_HEALTH_AT = Agent._fields.index("health")


def dump(value: Any) -> str:
    """Return compact JSON for a column. Raises `InvalidParamsError` for values that JSON cannot express."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise InvalidParamsError("JSON has neither NaN nor infinite numbers; leave them out.") from error


@lru_cache(maxsize=2048)  # each transition reads all steps of its run, and most lists are the same
def _array(text: str) -> tuple[Any, ...]:
    return tuple(json.loads(text))


def of_run(run: Run, policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a run, including the policy that it was planned with."""
    lists = {"tickets": dump(run.tickets), "repos": dump(run.repos), "agents": dump(run.agents)}
    return {**run._asdict(), **lists, "dry_run": int(run.dry_run), "policy": dump(policy)}


def of_step(step: Step) -> dict[str, Any]:
    """Return the columns of a step."""
    command = None if step.command is None else dump(step.command)
    return {
        **step._asdict(),
        "depends_on": dump(step.depends_on),
        "blocking": int(step.blocking),
        "command": command,
    }


def of_agent(agent: Agent) -> dict[str, Any]:
    """Return the columns of an agent whose health has not been determined yet."""
    values = {**agent._asdict(), "attach": dump(agent.attach)}
    del values["health"]
    return values


def of_repo(repo: Repo) -> dict[str, Any]:
    """Return the columns of a repository, without its run, ticket and position."""
    return {**repo._asdict(), "copied": dump(repo.copied)}


def of_guidance(guidance: Guidance) -> dict[str, Any]:
    """Return the columns of a question."""
    return {**guidance._asdict(), "choices": dump(guidance.choices)}


def run(row: sqlite3.Row) -> Run:
    """Return the run in a row of `RUN_COLUMNS`."""
    made = Run._make(row)
    return made._replace(
        tickets=_array(row["tickets"]),
        repos=_array(row["repos"]),
        agents=_array(row["agents"]),
        dry_run=bool(row["dry_run"]),
    )


def step(row: sqlite3.Row) -> Step:
    """Return the step in a row of `STEP_COLUMNS`."""
    made = Step._make(row)
    return made._replace(
        depends_on=_array(row["depends_on"]),
        blocking=bool(row["blocking"]),
        command=None if row["command"] is None else _array(row["command"]),
    )


def agent(row: sqlite3.Row) -> Agent:
    """Return the agent in a row of `AGENT_COLUMNS`."""
    values = list(row)
    verdict = values[_HEALTH_AT : _HEALTH_AT + 4]
    values[_HEALTH_AT : _HEALTH_AT + 4] = [Health(*verdict) if verdict[0] else None]
    values[-1] = _array(values[-1])
    return Agent._make(values)


def repo(row: sqlite3.Row) -> Repo:
    """Return the repository in a row of `REPO_COLUMNS`."""
    *values, copied = tuple(row)[: len(Repo._fields)]
    return Repo._make((*values, _array(copied)))


def guidance(row: sqlite3.Row) -> Guidance:
    """Return the question in a row of `GUIDANCE_COLUMNS`."""
    return Guidance._make(row)._replace(choices=_array(row["choices"]))


def event(row: sqlite3.Row) -> Event:
    """Return the event in a row of `EVENT_COLUMNS`."""
    return Event._make(row)._replace(data=None if row["data"] is None else json.loads(row["data"]))
