"""How a command line is taken apart."""

import pytest

from metawsm_rpc.cli import verbs
from metawsm_rpc.cli.agents import VERBS
from metawsm_rpc.errors import InvalidParamsError


@pytest.mark.parametrize(
    "words",
    [
        ["r1", "--agent", "worker", "-- a text"],
        ["r1", "--agent", "worker", "--", "-- a text"],
        ["--agent", "worker", "--", "r1", "-- a text"],
        ["r1", "--", "-- a text"],
        ["--", "r1", "-- a text"],
    ],
)
def test_a_text_that_looks_like_a_flag_follows_two_dashes_or_holds_a_blank(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    send = VERBS["send"]._replace(call=lambda parsed: given.append((parsed.run, parsed.text)) or 0)
    monkeypatch.setitem(VERBS, "send", send)
    assert verbs.call(["send", *words]) == 0
    assert given == [("r1", "-- a text")]


def test_what_neither_way_of_reading_it_takes_is_refused() -> None:
    with pytest.raises(InvalidParamsError, match="Unrecognized arguments"):
        verbs.call(["send", "r1", "text", "--", "more"])
