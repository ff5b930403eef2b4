"""The lifecycles of run, step and agent, arrow by arrow; whatever is not written here is illegal."""

from collections.abc import Mapping
from typing import get_args

import pytest

from metawsm_rpc.cli.verbs import TABLE
from metawsm_rpc.domain import models
from metawsm_rpc.domain.charts import Chart, advance
from metawsm_rpc.domain.lifecycles import AGENT, RUN, SETTLING, STEP
from metawsm_rpc.errors import IllegalTransitionError

Table = Mapping[str, Mapping[str, str]]
"""For each event, where it leads from each state that accepts it."""


def each(*states: str, to: str | None = None) -> dict[str, str]:
    """Return an event's row: from each state `to` there, or to itself."""
    return {state: to or state for state in states}


RUN_TABLE: Table = {
    "plan": {"created": "planning"},
    "fail_plan": {"planning": "failed"},
    "pause": {"planning": "paused"},
    "start": {"planning": "running"},
    "stop": {
        **each("planning", "running", "awaiting_guidance", "paused", "failed", to="stopping"),
        **each("completed", "stopping", "stopped"),
    },
    "stopped": {"stopping": "stopped"},
    "resume": {**each("paused", "failed", "stopped", to="running"), **each("running", "awaiting_guidance")},
    "restart": {**each("failed", "stopped", "completed", to="running"), **each("running", "awaiting_guidance")},
    "retry_step": {**each("failed", "stopped", "completed", to="running"), **each("running", "awaiting_guidance")},
    "iterate": {**each("completed", "stopped", to="running"), **each("running", "awaiting_guidance")},
    "complete": each("failed", "stopped", "awaiting_guidance", "running", "completed", to="completed"),
    "close": {"completed": "closing", **each("closing", "closed")},
    "block_close": {"closing": "completed"},
    "closed": {"closing": "closed"},
    "cleanup": each("failed", "stopped", "completed", "closed"),
}

STEP_TABLE: Table = {
    "start": {"pending": "running"},
    "finish": {"running": "done"},
    "fail": {"running": "failed"},
    "interrupt": {"running": "failed"},
    "retry": {"failed": "running"},
    "skip": each("pending", "failed", to="skipped"),
}

LIVE = ("running", "idle", "waiting", "stalled")

AGENT_TABLE: Table = {
    "launch": {"pending": "running"},
    "skip": {"pending": "stopped"},
    "observe_running": each(*LIVE, to="running"),
    "observe_idle": each(*LIVE, to="idle"),
    "observe_waiting": each(*LIVE, to="waiting"),
    "observe_stalled": each(*LIVE, to="stalled"),
    "work": each(*LIVE, "completed", to="running"),
    "finish": each(*LIVE, to="completed"),
    "fail": each(*LIVE, to="failed"),
    "exit": each(*LIVE, to="failed"),
    "die": each(*LIVE, to="dead"),
    "stop": each(*LIVE, to="stopping"),
    "stopped": {"stopping": "stopped"},
    "relaunch": each("dead", "failed", "stopped", "completed", to="running"),
    "complete": each(*LIVE, "dead", "failed", "stopped", "completed", to="completed"),
}

TABLES = [(RUN, RUN_TABLE), (STEP, STEP_TABLE), (AGENT, AGENT_TABLE)]


def cases(chart: Chart, table: Table) -> list[tuple[Chart, str, str, str | None]]:
    events = dict.fromkeys(move.event for move in chart.moves) | dict.fromkeys(table)
    return [
        (chart, state, event, table.get(event, {}).get(state))
        for state in chart.states
        for event in events
        if (chart, event) != (RUN, "settle")
    ]


@pytest.mark.parametrize(
    ("chart", "state", "event", "target"),
    [case for chart, table in TABLES for case in cases(chart, table)],
    ids=lambda value: value.name if isinstance(value, Chart) else str(value or "illegal"),
)
def test_an_event_leads_where_the_table_says_or_is_illegal(
    chart: Chart, state: str, event: str, target: str | None
) -> None:
    if target is not None:
        assert advance(chart, state, event, entity="it").target == target
        return
    with pytest.raises(IllegalTransitionError) as caught:
        advance(chart, state, event, entity=f"{chart.name} x1")
    assert caught.value.message.startswith(f"{chart.name.capitalize()} x1 is {state}, so it cannot ")
    assert caught.value.details["legal"] == list(chart.events(state))
    possible = [chart.wishes[legal][0] for legal in chart.events(state) if legal in chart.wishes]
    hint = caught.value.hint
    assert hint == (f"What can be asked of it now: {', '.join(possible)}." if possible else None)


def test_what_a_person_can_ask_for_is_called_by_verbs_that_there_are() -> None:
    for chart in (RUN, STEP, AGENT):
        assert {verb for verb, _ in chart.wishes.values()} <= set(TABLE)


@pytest.mark.parametrize("state", RUN.states)
@pytest.mark.parametrize("outcome", SETTLING)
def test_settle_leads_between_the_states_of_a_run_that_is_under_way_and_nowhere_else(state: str, outcome: str) -> None:
    facts = {f"settles_{outcome}"}
    if state in SETTLING:
        assert advance(RUN, state, "settle", entity="run", facts=facts).target == outcome
    else:
        with pytest.raises(IllegalTransitionError):
            advance(RUN, state, "settle", entity="run", facts=facts)


@pytest.mark.parametrize("state", LIVE)
def test_an_exit_completes_an_agent_only_where_its_profile_says_so(state: str) -> None:
    assert advance(AGENT, state, "exit", entity="agent", facts={"exit_completes"}).target == "completed"
    assert advance(AGENT, state, "exit", entity="agent").target == "failed"


def test_a_stop_ends_sessions_also_where_it_does_not_change_the_run() -> None:
    for state in ("running", "paused", "failed", "completed"):
        assert advance(RUN, state, "stop", entity="run").effects == ("end_sessions",)


@pytest.mark.parametrize(
    ("chart", "statuses"),
    [(RUN, models.RunStatus), (STEP, models.StepStatus), (AGENT, models.AgentStatus)],
    ids=["run", "step", "agent"],
)
def test_the_charts_have_the_statuses_of_the_protocol(chart: Chart, statuses: object) -> None:
    assert chart.states == get_args(statuses)


def test_what_is_live_and_what_is_active_is_said_once() -> None:
    assert set(AGENT.members("live")) == models.LIVE == set(LIVE)
    assert set(RUN.members("active")) == {"planning", "running", "awaiting_guidance", "paused"}
    assert set(RUN.states) - set(RUN.members("active")) >= models.SETTLED
