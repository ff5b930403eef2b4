"""What may be typed into a terminal: text, and no key that nobody pressed."""

import pytest

from metawsm_rpc.domain.typed_text import LONGEST_BYTES, typed_text
from metawsm_rpc.errors import InvalidParamsError


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "two\n\n  lines\tand a tab",
        "\"quotes\" 'of' `all` $KINDS \\n #{x} %if",
        "漢字 é 🙂 👩‍👩‍👧",
        "-n",
        "  indented",
    ],
)
def test_text_stays_as_it_is(text: str) -> None:
    assert typed_text(text) == text


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("before\x1b[201~\rrm -rf /\r", "before\nrm -rf /"),
        ("a\x1bb", "a"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x03\x04\x15kept\x7f\x00", "kept"),
        ("\x9b201~x", "x"),
        ("\x1b]0;title\x07x", "x"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("ends\n\n\n", "ends"),
    ],
)
def test_keys_and_escape_sequences_are_left_out(text: str, typed: str) -> None:
    assert typed_text(text) == typed


@pytest.mark.parametrize("text", ["", " \n\t", "\x1b[0m", "\x03"])
def test_nothing_cannot_be_typed(text: str) -> None:
    with pytest.raises(InvalidParamsError, match="empty"):
        typed_text(text)


def test_what_is_no_unicode_or_too_long_cannot_either() -> None:
    with pytest.raises(InvalidParamsError, match="UTF-8"):
        typed_text("a\udcffb")
    assert len(typed_text("x" * LONGEST_BYTES)) == LONGEST_BYTES
    with pytest.raises(InvalidParamsError, match="file"):
        typed_text("é" * LONGEST_BYTES)
