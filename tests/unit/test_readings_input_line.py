"""Where a text stands in a known program before it is sent: found on its screen, and nowhere else."""

import json
from pathlib import Path

import pytest

from metawsm_rpc.domain.readings.input_line import draft, input_line, is_known

RULE = "─" * 40

CLAUDE = f"""● Done.

❯ an earlier message

{RULE}
❯ first line
  second line
{RULE}
  ? for shortcuts
"""

CODEX = """› an earlier message

• Done.

› first line
  second line

  gpt-5 default · ~/repo
"""

GEMINI = """ > an earlier message
✦ Done.
▄▄▄▄▄▄▄▄▄▄▄▄
 > first line
   second line
▀▀▀▀▀▀▀▀▀▀▀▀
 ~/repo   main   gemini-2.5-pro
"""

OPENCODE = """  ┃  an earlier message
  ┃

     Done.

  ┃
  ┃  first line
  ┃  second line
  ┃
  ┃  Build · Model
  ╹▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀
   ~/repo
"""


@pytest.mark.parametrize(
    ("runner", "screen"), [("claude", CLAUDE), ("codex", CODEX), ("gemini", GEMINI), ("opencode", OPENCODE)]
)
def test_the_text_of_the_input_line_is_told_from_earlier_messages(runner: str, screen: str) -> None:
    line = input_line(runner, screen)
    assert line is not None
    assert "first line" in line
    assert "second line" in line
    assert "earlier" not in line


def test_a_dialog_has_no_input_line() -> None:
    dialog = f"{RULE}\n Do you want to proceed?\n ❯ 1. Yes\n   2. No\n\n Esc to cancel\n"
    assert input_line("claude", dialog) is None
    assert input_line("codex", "") is None


def test_programs_that_write_line_by_line_are_not_known() -> None:
    assert not is_known("aider")
    assert not is_known("shell")


@pytest.mark.parametrize(
    ("runner", "screen", "end"),
    [
        ("claude", CLAUDE, (13, 6)),
        ("codex", CODEX, (13, 5)),
        ("gemini", GEMINI, (14, 4)),
        ("opencode", OPENCODE, (16, 7)),
    ],
)
def test_what_stands_before_the_cursor_is_a_draft_and_what_stands_behind_it_an_example(
    runner: str, screen: str, end: tuple[int, int]
) -> None:
    column, row = end
    assert draft(runner, screen, end) == "first line second line"
    assert draft(runner, screen, (column - 7, row)) == "first line seco"
    assert draft(runner, screen, (column - 11, row - 1)) is None
    for elsewhere in ((0, 0), (0, row), (column, row + 4), (0, 49)):
        assert draft(runner, screen, elsewhere) is None


def test_below_the_prompt_of_an_earlier_message_stands_no_draft() -> None:
    screen = "› an earlier message\n\n• Shall I?\n\n  1. Yes\n  enter to submit answer | esc to interrupt\n"
    assert draft("codex", screen, (20, 5)) is None


FOLDER = Path(__file__).resolve().parents[3] / "shared" / "screens"
CAPTURES = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
OPEN = [
    name
    for name, capture in CAPTURES.items()
    if capture["label"] == "idle_at_prompt" and is_known(capture["agent"]) and capture["mode"] == "interactive"
]


@pytest.mark.skipif(not CAPTURES, reason="no labelled captures beside this repository")
def test_real_programs_show_their_input_line_when_their_turn_is_over() -> None:
    # One shows the overview of its agents instead.
    without = [name for name in OPEN if input_line(CAPTURES[name]["agent"], CAPTURES[name]["screen"]) is None]
    assert len(without) <= len(OPEN) // 20, without


UNSENT = frozenset({"draft", "menu", "unsubmitted_paste"})


@pytest.mark.parametrize("name", OPEN)
def test_real_programs_show_a_draft_where_there_is_one(name: str) -> None:
    capture = CAPTURES[name]
    column, row = capture["cursor"]
    assert bool(draft(capture["agent"], capture["screen"], (column, row))) == (capture["sub"] in UNSENT)
