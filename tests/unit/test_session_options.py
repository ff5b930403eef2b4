"""What a client may choose at the beginning of a session, and what becomes of what is no choice."""

from typing import Any

import pytest

from metawsm_rpc.rpc.connection.options import Options, options


@pytest.mark.parametrize("sent", [None, {}, [], {"events": None}, {"unknown": 1}])
def test_nothing_chosen_is_the_default(sent: Any) -> None:
    assert options(sent) == (Options(), ())


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"events": "yes"}, "events is true or false"),
        ({"root": 3}, "root is a path"),
        ([1], "is an object"),
        ("text", "is an object"),
    ],
)
def test_what_is_of_a_wrong_type_is_told_of_and_left_out(sent: Any, said: str) -> None:
    chosen, (problem,) = options(sent)
    assert chosen == Options()
    assert said in problem


def test_a_trust_that_is_not_understood_is_none() -> None:
    chosen, (problem,) = options({"trusted": "no"})
    assert not chosen.trusted
    assert "trusted is true or false" in problem
