import pytest
from readings_support import assert_every_rule_is_shown, assert_reads, screen, title

from metawsm_rpc.domain.readings.aider import AIDER

RULE = "─" * 40

SCREENS = {
    "prompt": (f"Tokens: 2k sent.\n{RULE}\n>", "idle"),
    "prompt with mode and files": (f"Tokens: 2k sent.\n{RULE}\ncalc.py\ntest_calc.py\ndiff> ", "idle"),
    "prompt for several lines": (f"{RULE}\nask multi> ", "idle"),
    "a draft that is broken": (f"{RULE}\ncalc.py\n> a draft that goes on and\non", "idle"),
    "prompt without decoration": ("Tokens: 2k sent.\n\n> ", "idle"),
    "spinner": (f"{RULE}\n> go\n\n       █░  Waiting for some-model", "working"),
    "streaming": (f"{RULE}\n> go\n\nIt prints:\n\nDo you want to proceed? (y/n)\n❯ 1. Yes", "working"),
    "retrying": (f"{RULE}\n> go\n\nlitellm.InternalServerError: no\nRetrying in 0.2 seconds...", "working"),
    "failed": (f"{RULE}\n> go\n\nlitellm.AuthenticationError: no\nsuch key\n{RULE}\n> ", "error"),
    "failed without decoration": ("> go\n\nlitellm.AuthenticationError: no\nsuch key\n\n\ncalc.py\n> ", "error"),
    "failed, in a terminal that became narrower": (
        f"> go\n\nlitellm.AuthenticationError: no\n\n{RULE}\n{RULE}\ncalc.py\n\ncalc.py\n> ",
        "error",
    ),
    "interrupted while it tried again": (
        f"litellm.APIError: no\nRetrying in 8.0 seconds...\n\n^C again to exit\n\n{RULE}\n> ",
        "idle",
    ),
    "an answer after it tried again": (
        f"litellm.APIError: no\nRetrying in 0.2 seconds...\nDone.\n\nTokens: 2k sent.\n{RULE}\n> ",
        "idle",
    ),
    "went on after an error": (
        f"litellm.APIError: no\n{RULE}\n> again\n\nDone.\n\nTokens: 2k sent.\n{RULE}\n> ",
        "idle",
    ),
    "an editor": ('calc.py\ndef add():\n~\n~\n~\n"x.md" 2L, 30B                 1,1   All', None),
    "a pager": ("commit 1\n\n    Fix\n\n(END)", None),
    "question": ("make\nRun shell command? (Y)es/(N)o/(D)on't ask again [Yes]: ", "waiting"),
    "question with an answer begun": ("Create new file? (Y)es/(N)o [Yes]: n", "waiting"),
    "question that is broken": ("Add .aider* to .gitignore (recommended)? (Y)\nes/(N)o [Ye\ns]: ", "waiting"),
    "question that is answered": (f"Run shell command? (Y)es/(N)o [Yes]: n\nGoing on.\n{RULE}\n> ", "idle"),
}


@pytest.mark.parametrize(("shown", "state"), SCREENS.values(), ids=SCREENS)
def test_screens(shown, state):
    assert_reads("aider", screen(shown), state, "permission" if state == "waiting" else None)


def test_every_screen_rule_has_a_sample():
    assert_every_rule_is_shown(AIDER, [shown for shown, _ in SCREENS.values()])


def test_its_title_states_nothing():
    assert_reads("aider", title("host"), None)
