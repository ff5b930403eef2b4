"""What agents print, inside Markdown."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metawsm_rpc.domain.markdown import code, fenced, inline, one_line, shown


@pytest.mark.parametrize(
    ("printed", "line"),
    [
        ("a\nb\t c", "a b c"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;https://x\x07link\x1b]8;;\x07", "link"),
        ("safe\u202egnp.exe", "safegnp.exe"),
        ("[x](command:evil)", "[x] (command:evil)"),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_a_line_has_no_escapes_breaks_or_reordering_and_an_end(printed: str, line: str) -> None:
    assert one_line(printed) == line


@pytest.mark.parametrize(
    "hostile",
    [
        "[x](command:evil)",
        "![x](https://x/y.png)",
        "<a href=x>",
        "<https://evil.example>",
        "https://evil.example",
        "www.evil.example",
        "me@evil.example",
        "`code`",
        "**b** _i_ ~~s~~",
        "&lt;b&gt;",
        "a | b",
        "$(zap)",
    ],
)
def test_nothing_in_a_line_means_anything(hostile: str) -> None:
    escaped = inline(hostile)
    assert re.sub(r"\\([\W_])", r"\1", escaped) == hostile
    bare = re.sub(r"\\.|(?<=\w)_(?=\w)", "", escaped)
    assert not re.search(r"[\[\]<>`*_|~&@$]|://|www\.", bare)


def test_a_block_cannot_be_left() -> None:
    assert fenced("a\n```\n[x](command:y)\n") == "````text\na\n```\n[x](command:y)\n````"
    assert code("a ` b") == "`` a ` b ``"
    assert code("plain") == "`plain`"


@given(st.text())
def test_the_fence_is_longer_than_any_in_the_text(text: str) -> None:
    lines = fenced(text).split("\n")
    fence = lines[-1]
    assert set(fence) == {"`"}
    assert all(fence not in line for line in lines[1:-1])


@given(st.text())
def test_a_line_is_one_line(text: str) -> None:
    assert len(inline(text).splitlines()) <= 1
    assert "\u202e" not in shown(text)
