"""Which conversation an agent goes on with, by what is known of its last start."""

import pytest

from metawsm_rpc.domain.models import Agent
from metawsm_rpc.engine.conversations import Conversation, chosen_id, to_go_on_with

STARTED, LATER = "2026-01-02T03:04:05.000Z", "2026-01-02T03:14:05.000Z"


def agent(**columns) -> Agent:
    """Return an agent that was started as `launch-2` and is dead."""
    known = {
        "run_id": "r1",
        "ticket": "T-1",
        "name": "worker",
        "status": "dead",
        "launch": "launch-2",
        "started_at": STARTED,
        "last_progress_at": STARTED,
    }
    return Agent(**{**dict.fromkeys(Agent._fields), **known, **columns})


@pytest.mark.parametrize("chosen", [True, False])
def test_a_conversation_that_is_known_is_gone_on_with(chosen):
    known = agent(conversation="c-1", conversation_launch="launch-2")
    assert to_go_on_with(known, chosen=chosen) == Conversation("c-1", "launch-2")


@pytest.mark.parametrize("chosen", [True, False])
def test_a_start_that_told_of_none_and_did_nothing_is_not(chosen):
    assert to_go_on_with(agent(), chosen=chosen) is None
    assert to_go_on_with(agent(status="failed", exit_code=1), chosen=chosen) is None


@pytest.mark.parametrize(
    "did", [{"last_progress_at": LATER}, {"said_by": "signal", "said": "waiting"}, {"status": "completed"}]
)
def test_an_agent_that_has_worked_has_begun_the_conversation_that_was_chosen_for_it(did):
    begun = Conversation(chosen_id("r1", "T-1", "worker", "launch-2"), "launch-2")
    assert to_go_on_with(agent(**did), chosen=True) == begun
    assert to_go_on_with(agent(**did), chosen=False) is None, "nobody knows which one that is"


def test_one_that_could_not_be_gone_on_with_is_not_tried_again():
    tried = agent(conversation="c-1", conversation_launch="launch-1", status="failed", exit_code=1)
    assert to_go_on_with(tried, chosen=True) is None


@pytest.mark.parametrize(
    "end",
    [
        {"status": "stopped"},
        {"status": "dead"},
        {"status": "completed"},
        {"status": "failed"},  # by its own word
        {"status": "failed", "exit_code": 1, "conversation_launch": "launch-2"},  # after it had gone on
    ],
)
def test_whatever_else_ended_it_is_no_reason_to_begin_anew(end):
    assert to_go_on_with(agent(**{"conversation": "c-1", "conversation_launch": "launch-1", **end}), chosen=True)


def test_one_that_was_only_about_to_begin_has_not_begun():
    begun = agent(conversation="c-2", conversation_launch="launch-2", started_at=None)
    assert to_go_on_with(begun, chosen=True) is None
    earlier = agent(conversation="c-1", conversation_launch="launch-1", started_at=None)
    assert to_go_on_with(earlier, chosen=True) == Conversation("c-1", "launch-1")


def test_each_start_has_an_id_of_its_own_and_always_the_same():
    ids = {chosen_id("r1", "T-1", "worker", launch) for launch in ("launch-1", "launch-2", "launch-1")}
    assert len(ids) == 2
