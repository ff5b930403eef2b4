"""What the demonstration makes of the protocol: shapes, and what it knows of its run."""

from pathlib import Path
from typing import Any

import pytest

from metawsm_rpc.demo.client import Diagnostic, Published, _raised
from metawsm_rpc.demo.known import Known
from metawsm_rpc.demo.reading import read
from metawsm_rpc.demo.story import WORK
from metawsm_rpc.domain.models import Event
from metawsm_rpc.domain.wire import wire
from metawsm_rpc.errors import AmbiguousError, InternalError
from metawsm_rpc.rpc.reference.examples import example
from metawsm_rpc.rpc.reference.schemas import result_type
from metawsm_rpc.verbs import VERBS

INDEX = Path("/shop/ttmp/SHOP-2--mark-books/index.md")
QUESTION = Diagnostic(3, 2, "guidance-pending", "coder asks: Which one? Answer the question.")


def agent_event(to: str | None, *, kind: str = "die", who: str = "SHOP-1/coder", before: str = "running") -> Event:
    return Event(1, "2026-01-02T03:04:05.678Z", "demo", "agent", who, kind, before, to, "killed", None)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_answer_can_be_read_back_into_its_shape(verb: Any) -> None:
    shown = example(verb.name)
    assert shown is not None
    answer = read(result_type(verb), shown.result)
    assert type(answer) is result_type(verb)
    assert wire(answer) == shown.result
    assert read(result_type(verb), {**shown.result, "more": 1}) == answer, "later versions may have more members"


def test_an_error_of_the_server_is_the_error_that_was_raised_there() -> None:
    error = _raised({"code": 4041, "message": "Say which.", "data": {"kind": "ambiguous", "hint": "h", "details": [1]}})
    assert (type(error), error.message, error.hint, error.details) == (AmbiguousError, "Say which.", "h", [1])
    assert type(_raised({"code": -32603, "message": "No.", "data": None})) is InternalError


def test_diagnostics_come_once_and_go_once() -> None:
    known = Known()
    reworded = QUESTION._replace(message="coder asks: Which one? It has waited for a while. Answer the question.")
    for diagnostics in ((QUESTION,), (QUESTION,), (reworded,), ()):
        known.take(Published(INDEX, diagnostics))
    assert [(change.ticket, change.diagnostic.code, change.gone) for change in known.changes()] == [
        ("SHOP-2", "guidance-pending", False),
        ("SHOP-2", "guidance-pending", True),
    ]
    assert list(known.changes()) == []
    assert known.has_been("guidance-pending")
    assert not known.has_been("agent-dead")


def test_only_the_death_that_the_story_has_is_expected() -> None:
    known = Known()
    known.take(agent_event("dead"))
    known.take(agent_event("dead", kind="health", before="healthy"))
    assert not known.is_unexpected(agent_event("dead"))
    known.take(agent_event("dead"))
    assert known.is_unexpected(agent_event("dead"))
    known.take(agent_event("dead", who="SHOP-1/tester"))
    assert known.is_unexpected(agent_event("dead", who="SHOP-1/tester"))


def test_everybody_has_spoken_when_the_last_one_has() -> None:
    known = Known()
    for ticket, agent in WORK:
        assert not known.everybody_has_spoken
        known.take(agent_event(None, kind="progress", who=f"{ticket}/{agent}"))
    assert known.everybody_has_spoken
