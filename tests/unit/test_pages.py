"""Runs as documents to read, and the addresses of these."""

import pytest
from editor_support import at, detail
from run_support import AT, question, step

from metawsm_rpc.domain.models import Event, Health, Problem
from metawsm_rpc.errors import InvalidParamsError
from metawsm_rpc.pages.address import Address, parse
from metawsm_rpc.pages.looks import doctor_page, events_page, explain_page, tickets_page
from metawsm_rpc.pages.plan import plan_page
from metawsm_rpc.pages.run import run_page, runs_page

HOSTILE = "[x](command:evil) <b> `code` | cell\n\x1b[31m# heading"


class TestAddresses:
    @pytest.mark.parametrize(
        "address",
        [
            Address("run", ("k7q2x9ra",)),
            Address("transcript", ("r1", "MEN-1:2", "claude")),
            Address("diff", ("r1", "Über 𝔘", "app")),
            Address("diff", ("r1", "a/b", "100%41 ?#")),
            Address("doctor", ()),
        ],
    )
    def test_an_address_is_what_it_was_written_from(self, address: Address) -> None:
        assert parse(address.uri) == address

    @pytest.mark.parametrize(
        "uri", ["metawsm:/diff/r1/MEN%2D1/app", "metawsm:///diff/r1/MEN-1/app", "metawsm:diff/r1/MEN-1/app"]
    )
    def test_what_editors_make_of_one_means_the_same(self, uri: str) -> None:
        assert parse(uri) == Address("diff", ("r1", "MEN-1", "app"))

    @pytest.mark.parametrize(
        "uri",
        [
            "",
            "metawsm:/",
            "metawsm:/nothing/r1",
            "file:///run/r1",
            "metawsm:/run",
            "metawsm:/run/a/b",
            "metawsm:/diff//a/b",
            "http://[",
            "metawsm:/doctor/x",
        ],
    )
    def test_anything_else_is_told_what_there_is(self, uri: str) -> None:
        with pytest.raises(InvalidParamsError) as caught:
            parse(uri)
        assert "metawsm:/" in f"{caught.value.message} {caught.value.hint}"


def test_a_run_is_told_whole() -> None:
    page = run_page(
        detail(
            agents=(at("waiting", "waiting", "it asks something"),),
            guidance=(question(), question(id="q2", status="answered", question="Old?")),
            steps=(step(status="failed", error="no space left"),),
            error="T-1: a failed",
        )
    )
    for part in (
        "# Run r1",
        "**running**: T-1 over app, started 2026-01-02 03:04:05 UTC",
        "> T-1: a failed",
        "| a | T-1 | waiting | waiting | it asks something |",
        "a on T-1 asks: Which one?\n\n- this\n- that",
        "`metawsm answer q1 …`",
        "| 0 | create_workspace 0 | failed | 0 | no space left |",
    ):
        assert part in page
    assert "Old?" not in page


def test_a_page_is_the_same_as_long_as_the_run_is() -> None:
    assert run_page(detail()) == run_page(detail())


def test_a_command_hides_nothing_in_control_characters() -> None:
    hiding = "echo ok \x1b]0;; rm -rf ~ \x07\u202e"
    page = plan_page("run r1", (step(command=("sh", "-c", hiding), description=f"Run {hiding}"),))
    assert page.count(r"\x1b]0;; rm -rf ~ \x07\u202e") == 1
    assert page.count("rm -rf") == 2
    assert all(one.isprintable() or one == "\n" for one in page)


def test_a_plan_shows_every_command() -> None:
    steps = (
        step(0, command=("git", "worktree", "add", "a b"), description="makes it"),
        step(1, after=(0,), blocking=False),
    )
    page = plan_page("run r1", steps, (Problem("ticket_not_found", "There is none.", "Make it."),))
    assert "**There is none.** Make it." in page
    assert "   ```sh\n   git worktree add 'a b'\n   ```" in page
    assert "1. **create_workspace 1** (pending, after 0, may fail)" in page


@pytest.mark.parametrize(
    "page",
    [
        run_page(
            detail(
                agents=(at("idle", "idle", HOSTILE),),
                guidance=(question(question=HOSTILE, choices=(HOSTILE,)),),
                error=HOSTILE,
            )
        ),
        explain_page("a", "T-1", Health("idle", HOSTILE, HOSTILE, AT), [(HOSTILE, HOSTILE, AT, "idle")]),
        events_page("r1", [Event(1, AT, "r1", "agent", HOSTILE, HOSTILE, None, None, HOSTILE, None)]),
        tickets_page([("T-1", HOSTILE, HOSTILE, "")]),
        doctor_page([(HOSTILE, False, HOSTILE, HOSTILE)]),
        plan_page(HOSTILE, (step(description=HOSTILE, name=HOSTILE),)),
    ],
)
def test_what_others_wrote_stays_text(page: str) -> None:
    assert "\x1b" not in page
    assert "[x](" not in page
    assert "<b>" not in page
    assert "\n# heading" not in page
    widths = {line.replace("\\|", "").count("|") for line in page.splitlines() if line.startswith("|")}
    assert len(widths) <= 2  # one for each kind of table on the page


def test_an_overview_counts_agents() -> None:
    assert "There are no runs here yet." in runs_page([])
