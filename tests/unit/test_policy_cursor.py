"""What is being typed at a place of a policy that is mostly broken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol.types import Position, TextEdit

from metawsm_rpc.policy.cursor import cursor
from metawsm_rpc.rpc.features.policy_completion import completion


@pytest.mark.parametrize(
    ("text", "role", "pointer", "typed", "taken"),
    [
        ("{|}", "key", "", "", set()),
        ('{"wo|', "key", "", '"wo', set()),
        ('{"wo| , 3', "key", "", '"wo', set()),
        ("{wo|}", "key", "", "wo", set()),
        ('{"a": 1,\n "wo|\n "b": []}', "key", "", '"wo', {"a", "b"}),
        ('{"a": {"b": |}}', "value", "/a/b", "", {"b"}),
        ('{"a": {"b": "g|"}}', "value", "/a/b", '"g"', {"b"}),
        ('{"a": {"b": g|', "value", "/a/b", "g", {"b"}),
        ('{"a": [1, |]}', "value", "/a/1", "", set()),
        ('{"a": [{"b": 1}, {"c|"}]}', "key", "/a/1", '"c"', set()),
        ('{"a/b": {"|"}}', "key", "/a~1b", '""', set()),
        ('{"a": {} "b|": 1}', "key", "", '"b"', {"a"}),
    ],
)
def test_the_cursor_knows_what_is_typed(text: str, role: str, pointer: str, typed: str, taken: set[str]) -> None:
    offset = text.index("|")
    whole = text.replace("|", "", 1)
    found = cursor(whole, offset)
    assert found is not None
    assert (found.role, found.pointer, whole[found.start : found.end], found.taken) == (role, pointer, typed, taken)


@pytest.mark.parametrize("text", ["|", '{"a": 1} |', "3|"])
def test_outside_of_the_policy_nothing_is_typed(text: str) -> None:
    assert cursor(text.replace("|", "", 1), text.index("|")) is None


def test_keys_that_are_there_are_not_offered_and_columns_are_the_clients() -> None:
    text = '{"repositories": {"𝔘": "x"}, "ve"}'
    offered = completion(text, Position(0, text.index('"ve"') + 1 + 4), snippets=True)
    assert "version" in [item.label for item in offered]
    assert "repositories" not in [item.label for item in offered]
    edit = next(item.text_edit for item in offered if item.label == "version")
    assert isinstance(edit, TextEdit)
    assert (edit.range.start.character, edit.range.end.character) == (30, 34)


@given(st.text(alphabet='{}[]:,"ab \n\\1𝔘', max_size=40), st.integers(0, 41), st.integers(0, 3))
def test_no_text_is_too_broken(text: str, character: int, line: int) -> None:
    cursor(text, min(character, len(text)))
    completion(text, Position(line, character), snippets=True)
