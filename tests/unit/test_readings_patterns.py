"""A profile's own patterns, and what others have written as part of our sentences."""

import pytest

from metawsm_rpc.domain.readings.patterns import pattern_statement
from metawsm_rpc.domain.sentences import one_line

WAITING = (r"^Proceed with (\w+)\?", r"\[y/N\]\Z")
DONE = (r"^ready>",)


@pytest.mark.parametrize(
    ("screen", "state"),
    [
        ("at work", None),
        ("Proceed with it?\n\n\n", "waiting"),
        ("Proceed with it?   \nready>", "idle"),
        ("ready>\nProceed with it?", "waiting"),
        ("Remove it [y/N]   \n\n", "waiting"),
        ("Remove it [y/N] y\nremoved", None),
        ("", None),
    ],
)
def test_the_pattern_that_matches_furthest_down_says_what_the_screen_shows(screen: str, state: str | None) -> None:
    found = pattern_statement(screen, WAITING, DONE)
    assert (found and found.state) == state


def test_what_matched_is_told_on_one_line() -> None:
    found = pattern_statement("Do you\nwant it?", (r"Do you\s+want it\?",), ())
    assert found is not None
    assert found.says == "it shows what it does when it waits: Do you want it?"
    assert found.source == "screen"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("which database?", "which database?"),
        ("welche Datenbank – äöü 数据库?", "welche Datenbank – äöü 数据库?"),
        ("\x1b]0;title\x07\x1b[31mred\x1b[0m\r\n\n and more\t", "red and more"),
        ("x" * 400, "x" * 299 + "…"),
    ],
)
def test_text_of_others_is_one_line_without_escapes(text: str, line: str) -> None:
    assert one_line(text) == line
