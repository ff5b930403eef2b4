import pytest
from hypothesis import given
from hypothesis import strategies as st

from metawsm_rpc.domain.plain_text import plain_text, whole_length


@pytest.mark.parametrize(
    ("printed", "text"),
    [
        ("", ""),
        ("two\r\nlines\r\n", "two\nlines\n"),
        ("a\tb", "a\tb"),
        ("ä 漢字 ✓ 👍", "ä 漢字 ✓ 👍"),
        ("\x1b[1;31mred\x1b[0m and \x1b[38;5;4mblue\x1b[m", "red and blue"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;https://x.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]7501;state=working\x1b\\text", "text"),
        ("\x1bP1$r0m\x1b\\text", "text"),
        ("\x1b_application\x1b\\text", "text"),
        ("\x1b(B\x1b=\x1b>\x1b7\x1b8\x1bMtext", "text"),
        ("\x1b[?25l\x1b[?2004h\x1b[>4;2mtext\x1b[?1049h", "text"),
        ("\x9b31mred\x9d0;title\x9c", "red"),
        ("bell\x07 null\x00 delete\x7f c1\x85\x8d", "bell null delete c1"),
    ],
)
def test_escapes_and_control_characters_are_gone(printed, text):
    assert plain_text(printed) == text


@pytest.mark.parametrize(
    ("printed", "text"),
    [
        ("10%\r50%\r100%\r\n", "100%\n"),
        ("a longer line\rshort\x1b[K\r\n", "short\n"),
        ("a longer line\rshort\r\n", "shortger line\n"),
        ("\x1b[2K\rnew", "new"),
        ("old\x1b[2K\x1b[Gnew", "new"),
        ("abc\b\bX", "aXc"),
        ("typo\b \b", "typ "),
        ("one\x1b[5Ctwo", "one     two"),
        ("abc\x1b[2DX", "aXc"),
        ("abc\x1b[3GX", "abX"),
        ("abcdef\x1b[3G\x1b[1K", "   def"),
        ("first\r\nspin |\x1b[2K\x1b[1A\x1b[2K\x1b[Gdone\r\n", "done\n"),
        ("a\r\nb\r\nc\x1b[2A\x1b[JX", "aX"),
        ("a\r\nb\x1b[FX\x1b[EY", "X\nY"),
        ("a\x1b[99B\x1b[99Ab", "ab"),
    ],
)
def test_what_was_overwritten_is_not_shown(printed, text):
    assert plain_text(printed) == text


@pytest.mark.parametrize("jump", ["\x1b[H", "\x1b[2J", "\x1b[12;40H", "\x1b[5d", "\x1b[3J"])
def test_what_was_printed_before_a_full_screen_stays(jump):
    assert plain_text(f"before{jump}after") == "before\nafter"


@pytest.mark.parametrize(
    "cut", ["text\x1b", "text\x1b[", "text\x1b[38;5", "text\x1b]0;tit", "text\x1b]0;tit\x1b", "text\x1bPq"]
)
def test_a_sequence_that_is_cut_off_is_not_shown(cut):
    assert plain_text(cut) == "text"
    assert whole_length(cut.encode()) == 4


def test_a_title_that_is_never_closed_hides_no_more_than_its_line():
    assert plain_text("\x1b]0;title\nnext line") == "\nnext line"


@pytest.mark.parametrize("character", ["ä", "漢", "👍"])
def test_a_character_that_is_cut_off_is_left_out(character):
    data = character.encode()
    for cut in range(1, len(data)):
        assert plain_text(data[cut:] + b" x " + data[:cut]) == " x "
        assert whole_length(b"x" + data[:cut]) == 1
    assert plain_text(data) == character
    assert whole_length(data) == len(data)


def test_bytes_that_are_no_text_are_marked_as_such():
    assert plain_text(b"a\xffb") == "a\ufffdb"


def test_a_sequence_that_is_never_finished_is_not_waited_for_for_ever():
    data = b"\x1b]0;" + b"x" * 10_000
    assert whole_length(data) == len(data)


def test_absurd_numbers_cost_nothing():
    assert len(plain_text("\x1b[999999999C" * 100 + "x" + "\x1b[" + "9" * 10_000 + "Ay")) < 1100


@given(st.text())
def test_nothing_but_text_is_left(printed):
    for character in plain_text(printed):
        assert character in "\n\t" or not (character < " " or "\x7f" <= character <= "\x9f")


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\n\t")))
def test_plain_text_is_its_own_plain_text(text):
    assert plain_text(text) == text
    assert plain_text(text.encode()) == text


@given(st.binary())
def test_following_in_pieces_never_goes_past_the_end(data):
    assert 0 <= whole_length(data) <= len(data)
    plain_text(data)


@given(
    st.lists(st.sampled_from(["ä", "漢", "x", "\x1b[31m", "\x1b]0;t\x07", "\x1b]0;t\x1b\\", "\x1b(B"])),
    st.integers(0, 40),
)
def test_two_pieces_cut_where_it_says_are_the_whole(parts, cut):
    data = "".join(parts).encode()
    cut = whole_length(data[:cut])
    assert plain_text(data[:cut]) + plain_text(data[cut:]) == plain_text(data)
