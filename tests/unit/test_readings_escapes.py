import pytest

from metawsm_rpc.domain.readings.escapes import last_osc7501, report_statement, titles


def test_the_latest_report_counts_whichever_way_it_ends():
    printed = b"a\x1b]7501;state=idle:app=codex\x1b\\b\x1b]7501;state=working:app=codex\x07c"
    assert last_osc7501(printed) == "state=working:app=codex"


def test_a_report_that_is_cut_off_is_no_report():
    assert last_osc7501(b"\x1b]7501;state=idle:app=codex\x07 \x1b]7501;state=work") == "state=idle:app=codex"
    assert last_osc7501(b"\x1b]7501;state=work") is None


def test_a_report_in_a_multiplexers_passthrough_is_found():
    assert last_osc7501(b"\x1bPtmux;\x1b\x1b]7501;state=done:app=codex\x1b\x1b\\\x1b\\") == "state=done:app=codex"


def test_reports_about_a_part_and_queries_are_passed_over():
    printed = b"\x1b]7501;state=done:app=codex\x07\x1b]7501;state=error:id=upload\x07\x1b]7501;?\x07"
    assert last_osc7501(printed) == "state=done:app=codex"


def test_nothing_between_two_sequences_is_taken_for_a_report():
    assert last_osc7501(b"\x1b]7501;state=idle\n:app=codex\x07") is None


def test_titles_come_oldest_first_without_their_padding():
    printed = (
        "\x1b]0;◇  Ready (x)      \x07text\x1b]2;✦  Working… (x)\x1b\\\x1b]7501;state=idle\x07\x1b]0;\x07".encode()
    )
    assert titles(printed) == ("◇  Ready (x)", "✦  Working… (x)", "")


@pytest.mark.parametrize(
    ("report", "state", "waits_for"),
    [
        ("state=working:app=codex", "working", None),
        ("state=idle:app=codex", "idle", None),
        ("state=done:app=codex", "idle", None),
        ("state=error:app=codex", "error", None),
        ("state=clear", "finished", None),
        ("state=blocked:app=codex", "waiting", None),
        ("state=blocked:app=codex:kind=permission", "waiting", "permission"),
        ("state=blocked:app=codex:kind=question", "waiting", "question"),
        ("state=blocked:kind=something-new", "waiting", None),
    ],
)
def test_each_reported_state_is_read(report, state, waits_for):
    statement = report_statement(report)
    assert statement is not None
    assert (statement.state, statement.waits_for, statement.source) == (state, waits_for, "escape sequence")


@pytest.mark.parametrize("report", ["state=sleeping", "app=codex", "", "state=idle:id=7"])
def test_a_report_of_no_known_state_states_nothing(report):
    assert report_statement(report) is None
