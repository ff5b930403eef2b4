"""What a command means that an editor sends without arguments."""

from typing import Any

import pytest
from editor_support import at, detail, view
from run_support import question, step

from metawsm_rpc.errors import (
    AmbiguousError,
    GuidanceNotFoundError,
    InvalidParamsError,
    RunNotFoundError,
    StepNotFoundError,
)
from metawsm_rpc.rpc.handlers.defaults import Here, filled, place_of
from metawsm_rpc.rpc.view import View

TWO = view(detail("r2", tickets=("T-2",)), detail("r1"))
ONE = view(detail())
T1, T2 = "file:///root/ttmp/T-1/index.md", "file:///root/ttmp/T-2/index.md"


@pytest.mark.parametrize(
    ("uri", "here"),
    [
        (T1, Here(ticket="T-1")),
        ("file:///root/ttmp/T-1/design/notes.md", Here(ticket="T-1")),
        ("metawsm:/run/r2", Here("r2")),
        ("metawsm:/transcript/r1/T-1/a", Here("r1", "T-1", "a")),
        ("metawsm:/diff/r1/T-1/app", Here("r1", "T-1", repo="app")),
        ("metawsm:/doctor", Here()),
        ("metawsm:/nonsense", Here()),
        ("file:///elsewhere/x", Here()),
        ("untitled:1", Here()),
    ],
)
def test_a_document_says_where_a_person_is(uri: str, here: Here) -> None:
    assert place_of(uri, TWO) == here


def test_a_file_in_a_workspace_says_it_too() -> None:
    repo = ONE.details[0].workspaces[0].repos[0]
    assert place_of(f"file://{repo.path}/src/x.py", ONE) == Here("r1", "T-1", repo="app")


@pytest.mark.parametrize(
    ("verb", "root", "documents", "expected"),
    [
        ("stop", TWO, (T1,), {"ticket": "T-1"}),
        ("stop", TWO, ("file:///x", T2, T1), {"ticket": "T-2"}),
        ("stop", ONE, (), {"runId": "r1"}),
        ("status", TWO, (), {"runId": "r2"}),
        ("status", TWO, ("metawsm:/run/r1",), {"runId": "r1"}),
        ("run", TWO, (T2,), {"tickets": ["T-2"]}),
        ("run", ONE, (), {"tickets": ["T-1"]}),
        ("transcript", TWO, (T1,), {"runId": "r1", "ticket": "T-1", "agent": "a"}),
        ("diff", ONE, (), {"runId": "r1", "patch": True}),
        ("events", ONE, (T1,), {"runId": "r1"}),
        ("content", ONE, (T1, "metawsm:/run/r1"), {"uri": "metawsm:/run/r1"}),
        ("closeTicket", ONE, (T1,), {"ticket": "T-1"}),
        ("stop", view(closed=["r0"]), (T1,), {}),
    ],
)
def test_what_is_missing_is_filled_in(verb: str, root: View, documents: tuple[str, ...], expected: Any) -> None:
    assert filled(verb, {}, root, documents) == expected


@pytest.mark.parametrize("given", [{"runId": "r2"}, {"ticket": "T-2"}])
def test_what_is_given_stays(given: Any) -> None:
    assert filled("stop", given, TWO, (T1,)) == given


@pytest.mark.parametrize(
    ("verb", "root"),
    [
        ("stop", TWO),
        ("close", TWO),
        ("run", TWO),
        ("send", view(detail(agents=(at("running", "healthy"), at("running", "healthy", name="b"))))),
        ("skipStep", view(detail(steps=(step(0, status="failed"), step(1, status="failed"))))),
        ("answer", view(detail(guidance=(question(), question(id="q2"))))),
    ],
)
def test_what_changes_something_is_never_guessed(verb: str, root: View) -> None:
    with pytest.raises(AmbiguousError):
        filled(verb, {}, root, ())


def test_for_a_look_the_agent_that_needs_somebody_is_meant() -> None:
    agents = (at("running", "healthy"), at("waiting", "waiting", name="b"))
    assert filled("explain", {}, view(detail(agents=agents)), ())["agent"] == "b"


@pytest.mark.parametrize(("verb", "error"), [("retryStep", StepNotFoundError), ("answer", GuidanceNotFoundError)])
def test_what_is_not_there_is_said(verb: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        filled(verb, {}, ONE, ())


def test_without_a_ticket_there_is_nothing_to_run() -> None:
    nothing = View("/root", (), (), 0)
    with pytest.raises(InvalidParamsError):
        filled("run", {}, nothing, ())


def test_a_word_is_a_ticket_or_a_run() -> None:
    assert filled("stop", {"": "T-2"}, TWO, ()) == {"ticket": "T-2"}
    assert filled("stop", {"": "r1"}, TWO, ()) == {"runId": "r1"}


@pytest.mark.parametrize("verb", ["transcript", "attach", "send", "retryStep"])
def test_without_an_open_run_that_is_what_is_told(verb: str) -> None:
    with pytest.raises(RunNotFoundError, match="No run is open"):
        filled(verb, {}, view(), ())
    with pytest.raises(RunNotFoundError, match="No run of 'T-1' is open"):
        filled(verb, {"ticket": "T-1"}, view(), ())
    whole = {"runId": "closed", "agent": "a", "index": 0}
    assert filled(verb, dict(whole), view(), ()) == whole, "a run that is closed may still be meant by its id"
