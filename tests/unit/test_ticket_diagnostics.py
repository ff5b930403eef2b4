"""What is wrong with runs, as the editor underlines it in tickets."""

from typing import Any

import pytest
from editor_support import at, detail, view
from lsprotocol.types import Diagnostic, DiagnosticSeverity, Position, Range
from pygls.workspace import PositionCodec
from run_support import question, step

from metawsm_rpc.answers import TicketRow
from metawsm_rpc.domain.models import Blocked
from metawsm_rpc.rpc.features.diagnostics import diagnostics
from metawsm_rpc.rpc.view import View

INDEX = "file:///root/ttmp/T-1/index.md"


def found(of: View, uri: str = INDEX) -> list[Diagnostic]:
    return diagnostics(of).get(uri, [])


def codes(of: View, uri: str = INDEX) -> list[Any]:
    return [one.code for one in found(of, uri)]


@pytest.mark.parametrize(
    ("agent", "code", "severity"),
    [
        (at("dead", "dead"), "agent-dead", DiagnosticSeverity.Error),
        (at("failed", exit_code=5), "agent-failed", DiagnosticSeverity.Error),
        (at("waiting", "waiting"), "agent-waiting", DiagnosticSeverity.Warning),
        (at("stalled", "stalled"), "agent-stalled", DiagnosticSeverity.Warning),
        (at("idle", "idle"), "agent-idle", DiagnosticSeverity.Information),
    ],
)
def test_an_agent_that_needs_somebody_is_underlined(agent: Any, code: str, severity: DiagnosticSeverity) -> None:
    (one,) = found(view(detail(agents=(agent,))))
    assert (one.code, one.severity, one.source) == (code, severity, "metawsm")
    assert one.range == Range(Position(2, 8), Position(2, 11))
    assert one.data == {
        "runId": "r1",
        "ticket": "T-1",
        "agent": "a",
        "root": "/root",
        "reason": "it exited with 5" if code == "agent-failed" else "it is so",
    }
    assert one.message.startswith("a ")
    assert one.message.endswith(".")


def test_what_an_agent_says_of_itself_is_told_before_the_next_verdict_on_it() -> None:
    agent = at("waiting", "healthy", "it is active", said="waiting", said_what="the key to the safe")
    (one,) = found(view(detail(agents=(agent,))))
    assert one.data["reason"] == "it says so: the key to the safe"


@pytest.mark.parametrize("agent", [at("running", "healthy"), at("running", "unknown"), at("completed"), at("stopped")])
def test_an_agent_that_needs_nobody_is_not(agent: Any) -> None:
    assert diagnostics(view(detail(agents=(agent,)))) == {}


@pytest.mark.parametrize("status", ["stopping", "stopped", "paused", "planning", "created"])
def test_a_run_that_is_not_at_work_troubles_nobody(status: str) -> None:
    steps = (step(status="failed", attempts=2),)
    assert diagnostics(view(detail(status=status, agents=(at("dead", "dead"),), steps=steps))) == {}


def test_a_failed_run_says_so_on_each_of_its_tickets() -> None:
    failed = view(detail(status="failed", tickets=("T-1", "T-2"), agents=(), error="T-1: a died: it is so"))
    for uri in (INDEX, "file:///root/ttmp/T-2/index.md"):
        (one,) = found(failed, uri)
        assert (one.code, one.severity) == ("run-failed", DiagnosticSeverity.Error)
        assert "T-1: a died: it is so;" in one.message


def test_what_an_agent_said_when_it_failed_is_told() -> None:
    failed = detail(status="failed", agents=(at("failed"),), error="T-1: a failed: no such API")
    assert [one.code for one in found(view(failed))] == ["agent-failed", "run-failed"]
    assert found(view(failed))[0].data["reason"] == "no such API"


def test_a_step_counts_once_it_is_not_tried_again() -> None:
    again = step(status="failed", attempts=1, error="no space")
    assert codes(view(detail(steps=(again,), agents=()))) == []
    (one,) = found(view(detail(steps=(again._replace(attempts=2),), agents=())))
    assert (one.code, one.severity) == ("step-failed", DiagnosticSeverity.Error)
    assert (one.data["step"], one.data["reason"]) == (0, "no space")


def test_a_question_is_told_once_with_its_choices() -> None:
    (one,) = found(view(detail(agents=(at("waiting", "waiting"),), guidance=(question(),))))
    assert (one.code, one.severity) == ("guidance-pending", DiagnosticSeverity.Warning)
    assert (one.data["guidanceId"], one.data["choices"]) == ("q1", ["this", "that"])
    assert one.message == "a asks: Which one? (this, that). Answer the question."
    (one,) = found(view(detail(guidance=(question(choices=()),))))
    assert one.message == "a asks: Which one? Answer the question."
    assert codes(view(detail(agents=(), guidance=(question(status="answered"),)))) == []


def test_what_blocked_a_close_is_told_on_the_ticket_that_it_is_about() -> None:
    blocked = {
        "r1": (
            Blocked("app", "T-1", "uncommitted", "app has uncommitted work.", ("a", "b", "c", "d")),
            Blocked("lib", "T-2", "conflict", "lib conflicts."),
            Blocked("doc", "T-1, T-2", "locked", "doc is locked."),
        )
    }
    run = detail(tickets=("T-1", "T-2"), status="completed", agents=())
    messages = [one.message for one in found(view(run, blocked=blocked))]
    assert messages == [
        "Run r1 cannot be closed: app has uncommitted work (a, b, c…).",
        "Run r1 cannot be closed: doc is locked.",
    ]
    assert codes(view(run, blocked=blocked)) == ["close-blocked"] * 2
    assert codes(view(detail(tickets=("T-1", "T-2"), agents=()), blocked=blocked)) == []


class TestSeveralRunsOfATicket:
    def test_a_newer_one_supersedes_one_at_its_end(self) -> None:
        old = detail("r1", status="failed", agents=())
        assert codes(view(detail("r2", agents=()), old)) == []
        assert codes(view(old, closed=["r2"])) == []

    def test_but_not_one_that_is_still_at_work(self) -> None:
        old = detail("r1", agents=(at("waiting", "waiting"),))
        assert codes(view(detail("r2", agents=()), old)) == ["agent-waiting"]

    def test_a_dry_run_supersedes_nothing(self) -> None:
        old = detail("r1", status="failed", agents=())
        assert codes(view(detail("r2", status="paused", dry_run=True, agents=()), old)) == ["run-failed"]


def test_what_agents_say_stays_one_harmless_line() -> None:
    loud = detail(agents=(at("waiting", "waiting", "a\n\x1b[31mb\u202ec" + "x" * 500),))
    (one,) = found(view(loud))
    assert "a bcx" in one.message
    assert not set(one.message) & set("\n\x1b\u202e")
    assert len(one.message) < 300


def test_the_line_is_that_of_the_text_in_the_editor_where_there_is_one() -> None:
    typed = "---\n# new\nTitle: x\nTicket: 'T-1'\n---\n"
    shown = diagnostics(view(detail(agents=(at("dead", "dead"),))), {"/root/ttmp/T-1/index.md": typed})
    assert shown[INDEX][0].range == Range(Position(3, 9), Position(3, 12))


@pytest.mark.parametrize(("encoding", "end"), [("utf-16", 10), ("utf-8", 12), ("utf-32", 9)])
def test_columns_are_counted_as_the_client_counts(encoding: str, end: int) -> None:
    of = view(detail(tickets=("𝔘",), agents=(at("dead", "dead", ticket="𝔘"),)))
    row: TicketRow = of.tickets[1]
    shown = diagnostics(of, None, PositionCodec(encoding))
    assert [one.range.end for one in shown[next(iter(shown))]] == [Position(row.line - 1, end)]
