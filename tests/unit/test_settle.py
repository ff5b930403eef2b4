"""What a run's status is between start and stop, from its steps, agents and questions alone."""

from collections.abc import Sequence
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_support import agent, question, step

from metawsm_rpc.domain.models import (
    LIVE,
    Agent,
    AgentStatus,
    Guidance,
    GuidanceStatus,
    Step,
    StepKind,
    StepStatus,
)
from metawsm_rpc.domain.settle import Settled, can_run, runnable, settle, taken_out

DONE = (step(0, status="done"), step(1, "start_agent", after=(0,), status="done"))
USED_UP: dict[str, Any] = {"status": "failed", "attempts": 2}


# --- rule 1: something moves, or can ---


@pytest.mark.parametrize("status", sorted(LIVE))
def test_a_run_with_a_live_agent_is_running(status: Any) -> None:
    assert settle(DONE, [agent(status=status)], []) == "running"


@pytest.mark.parametrize(
    "moving",
    [
        (step(0, status="running", attempts=1),),
        (step(0),),
        (step(0, status="done"), step(1, after=(0,))),
        (step(0, status="failed", attempts=1),),
        (step(0, status="skipped"), step(1, after=(0,))),
        (step(0, **USED_UP), step(1)),
    ],
    ids=["under way", "can run", "can run next", "has a try left", "waited for a skipped one", "another ticket"],
)
def test_a_run_with_a_step_that_is_running_or_can_run_is_running(moving: tuple[Step, ...]) -> None:
    assert settle(moving, [agent()], []) == "running"


@pytest.mark.parametrize("status", ["dead", "failed", "stopped", "completed"])
@pytest.mark.parametrize("why", ["restart", "resume", "iterate", "budget"])
def test_a_run_with_a_launch_that_is_owed_is_running(status: Any, why: str) -> None:
    assert settle(DONE, [agent(status=status, due=why)], []) == "running"


def test_a_run_whose_agent_is_being_stopped_is_not_over_yet() -> None:
    assert settle(DONE, [agent(status="stopping")], []) == "running"


def test_an_open_question_of_a_live_agent_awaits_guidance() -> None:
    assert settle(DONE, [agent(status="waiting")], [question()]) == "awaiting_guidance"


@pytest.mark.parametrize("status", ["answered", "withdrawn"])
def test_a_question_that_is_not_open_awaits_nothing(status: Any) -> None:
    assert settle(DONE, [agent(status="waiting")], [question(status=status)]) == "running"


def test_a_question_awaits_guidance_only_while_its_own_agent_lives() -> None:
    agents = [agent("a", status="dead"), agent("b", status="running")]
    assert settle(DONE, agents, [question("a")]) == "running"
    assert settle(DONE, agents, [question("b")]) == "awaiting_guidance"
    assert settle(DONE, agents, [question("b", ticket="T-2")]) == "running"


# --- rule 2: every agent that counts is completed ---


def test_a_run_is_completed_when_all_its_agents_are_and_not_when_they_were_started() -> None:
    agents = [agent("a", status="completed"), agent("b", status="completed")]
    assert settle(DONE, agents, []) == "completed"
    assert settle(DONE, [agents[0], agent("b", status="running")], []) == "running"


def test_an_agent_whose_start_was_skipped_does_not_count() -> None:
    steps = (*DONE, step(2, "start_agent", after=(0,), agent="b", status="skipped"))
    agents = [agent("a", status="completed"), agent("b", status="stopped")]
    assert taken_out(steps) == {("T-1", "b")}
    assert settle(steps, agents, []) == "completed"


def test_a_step_other_than_a_start_takes_nobody_out_by_being_skipped() -> None:
    steps = (step(0, status="skipped", agent="a"), step(1, "start_agent", after=(0,), status="done"))
    assert taken_out(steps) == frozenset()
    assert settle(steps, [agent(status="stopped")], []) == "failed"


# --- rule 3: else it failed ---


@pytest.mark.parametrize("status", ["pending", "dead", "failed", "stopped"])
def test_a_run_that_cannot_move_with_an_agent_that_is_not_completed_has_failed(status: Any) -> None:
    steps = (step(0, **USED_UP), step(1, "start_agent", after=(0,)))
    assert settle(steps, [agent(status=status)], []) == "failed"


def test_what_waits_for_a_failed_step_cannot_run() -> None:
    steps = (step(0, **USED_UP), step(1, after=(0,)), step(2, after=(1,)))
    assert runnable(steps) == ()


def test_a_failure_that_does_not_block_holds_nothing_up() -> None:
    steps = (step(0, **USED_UP, blocking=False), step(1, "start_agent", after=(0,)))
    assert [one.index for one in runnable(steps)] == [1]
    done = (steps[0], steps[1]._replace(status="done"))
    assert settle(done, [agent(status="completed")], []) == "completed"


def test_what_waits_for_a_step_that_does_not_block_waits_until_its_tries_are_used_up() -> None:
    steps = (step(0, status="failed", attempts=1, blocking=False), step(1, after=(0,)))
    assert [one.index for one in runnable(steps)] == [0]


def test_a_step_that_depends_on_several_waits_for_all() -> None:
    steps = (step(0, status="done"), step(1, status="running"), step(2, after=(0, 1)))
    assert runnable(steps) == ()


# --- properties ---


@st.composite
def children(draw: st.DrawFn) -> tuple[tuple[Step, ...], tuple[Agent, ...], tuple[Guidance, ...]]:
    """Return any steps, agents and questions, also ones that no run would come to."""
    names = ("a", "b", "c")
    steps = tuple(
        step(
            index,
            draw(st.sampled_from(get_args(StepKind))),
            after=draw(st.sets(st.integers(0, index - 1))) if index else (),
            agent=draw(st.sampled_from(names)),
            blocking=draw(st.booleans()),
            status=draw(st.sampled_from(get_args(StepStatus))),
            attempts=draw(st.integers(0, 3)),
            attempt_limit=draw(st.integers(0, 3)),
        )
        for index in range(draw(st.integers(0, 6)))
    )
    agents = tuple(
        agent(
            name,
            status=draw(st.sampled_from(get_args(AgentStatus))),
            due=draw(st.sampled_from((None, None, "restart"))),
        )
        for name in names[: draw(st.integers(0, 3))]
    )
    guidance = tuple(
        question(draw(st.sampled_from(names)), id=str(number), status=draw(st.sampled_from(get_args(GuidanceStatus))))
        for number in range(draw(st.integers(0, 3)))
    )
    return steps, agents, guidance


ANY = children()


@given(ANY)
def test_settle_answers_for_any_children(run: Any) -> None:
    assert settle(*run) in get_args(Settled)


@given(ANY)
def test_a_completed_run_has_no_agent_that_counts_and_is_not_completed_and_nothing_that_moves(run: Any) -> None:
    steps, agents, _ = run
    if settle(*run) != "completed":
        return
    out = taken_out(steps)
    assert all(one.status == "completed" or (one.ticket, one.name) in out for one in agents)
    assert not any(one.status in LIVE or one.due for one in agents)
    assert not any(one.status == "running" for one in steps)
    assert runnable(steps) == ()


@given(ANY)
def test_a_failed_run_has_an_agent_that_counts_and_is_not_completed_and_nothing_that_moves(run: Any) -> None:
    steps, agents, _ = run
    if settle(*run) != "failed":
        return
    out = taken_out(steps)
    assert any(one.status != "completed" and (one.ticket, one.name) not in out for one in agents)
    assert not any(one.status in LIVE or one.due for one in agents)
    assert runnable(steps) == ()


@given(ANY)
def test_guidance_is_awaited_exactly_while_a_live_agent_has_asked(run: Any) -> None:
    _, agents, guidance = run
    live = {one.name for one in agents if one.status in LIVE}
    asked = any(one.status == "pending" and one.agent in live for one in guidance)
    assert (settle(*run) == "awaiting_guidance") == asked


@given(ANY, st.randoms(use_true_random=False))
def test_the_order_of_agents_and_questions_does_not_matter(run: Any, chance: Any) -> None:
    def shuffled(items: Sequence[Any]) -> list[Any]:
        return chance.sample(items, len(items))

    steps, agents, guidance = run
    assert settle(steps, shuffled(agents), shuffled(guidance)) == settle(*run)


@given(ANY)
def test_a_failure_for_good_that_does_not_block_counts_like_a_step_that_is_done(run: Any) -> None:
    steps, agents, guidance = run
    mended = tuple(
        one._replace(status="done")
        if one.status == "failed" and not one.blocking and one.attempts >= one.attempt_limit
        else one
        for one in steps
    )
    assert settle(mended, agents, guidance) == settle(*run)


@given(ANY)
def test_only_a_pending_or_failed_step_with_a_try_left_can_run(run: Any) -> None:
    steps, _, _ = run
    by_index = {one.index: one for one in steps}
    for one in steps:
        if can_run(one, by_index):
            assert one.status in ("pending", "failed")
            assert one.attempts < one.attempt_limit
            assert all(by_index[index].status in ("done", "skipped", "failed") for index in one.depends_on)


@given(ANY)
def test_a_run_with_something_to_do_is_never_over(run: Any) -> None:
    steps, _, _ = run
    if runnable(steps):
        assert settle(*run) in ("running", "awaiting_guidance")
