import pytest
from readings_support import assert_every_rule_is_shown, assert_reads, hook, screen, state_of, title

from metawsm_rpc.domain.readings.gemini import GEMINI
from metawsm_rpc.domain.readings.reading import Observation

LABELS = " workspace (/directory)      sandbox      /model\n /srv/x        no sandbox     some-model"
OPEN = f"{'─' * 40}\n Shift+Tab to accept edits\n%s\n > %s\n%s\n{LABELS}"
BLOCKS = OPEN % ("▄" * 40, "  Type your message or @path/to/file", "▀" * 40)
COLOUR = OPEN % ("", "a draft", "")
SPINNER = "\n ⠦ Thinking... (esc to cancel, 2s)        ? for shortcuts\n"


def box(*lines: str) -> str:
    return "\n".join((f"╭{'─' * 40}╮", *(f"│ {line:38} │" for line in lines), f"╰{'─' * 40}╯"))


SCREENS = {
    "spinner": (f" > go\n\n{SPINNER}{BLOCKS}", "working", None),
    "spinner in a narrow terminal": (f" > go\n\n ⠹ Thinking...\n (esc to cancel, 2s)\n{COLOUR}", "working", None),
    "turn over": (f" > go\n\n✦ Done.\n\n{BLOCKS}", "idle", None),
    "turn over without half blocks": (f" > go\n\n✦ Done.\n\n{COLOUR}", "idle", None),
    "menu in prose": (f"✦ It prints:\n\n   1 ● 1. Yes\n   2   2. No (esc)\n\n{BLOCKS}", "idle", None),
    "failed": (f" > go\n\n✕ [API Error: no such\n  key]\n\nℹ This request failed.\n\n{BLOCKS}", "error", None),
    "went on after an error": (f"✕ [API Error: no]\n\n > again\n\n✦ Done.\n\n{BLOCKS}", "idle", None),
    "permission": (
        f" > go\n\n{box('? Shell  make', 'Allow execution of [Shell]?', '', '● 1. Allow once', '  2. No (esc)')}",
        "waiting",
        "permission",
    ),
    "permission to edit": (
        f" > go\n\n{box('Apply this change?', '', '  1. Allow once', '● 2. No (esc)')}",
        "waiting",
        "permission",
    ),
    "question": (
        f" > go\n\n{box('Answer Questions', 'Keep it?', '● 1.  Keep', 'Enter to select · Esc to cancel')}",
        "waiting",
        "question",
    ),
    "trust": (
        box("Do you trust the files in this folder?", "● 1. Trust folder (x)", "  2. Don't trust"),
        "waiting",
        "trust",
    ),
    "starts again": (
        box("Do you trust the files?", "● 1. Trust folder")
        + "\n\n Gemini CLI is restarting to apply the trust changes...",
        "starting",
        None,
    ),
    "key": (box("Enter Gemini API Key", "> ", "(Press Enter to submit, Esc to cancel)"), "waiting", "login"),
    "question that is answered by a text": (
        f" > go\n\n{box('Answer Questions', 'Name it', '', '> a name', '', 'Enter to submit · Esc to cancel')}",
        "waiting",
        "question",
    ),
    "question in a narrow terminal": (
        f" > go\n\n{box('Answer Questions', '> a name', 'Enter to submit · Tab to', 'switch questions · Esc to cancel')}",
        "waiting",
        "question",
    ),
    "failed, and scrolled": (
        f"  no such key]\n\nℹ This request failed. Press F12 for\n  more.\n\n{BLOCKS}",
        "error",
        None,
    ),
    "something else": ("npm ERR! missing", None, None),
}


@pytest.mark.parametrize(("shown", "state", "waits_for"), SCREENS.values(), ids=SCREENS)
def test_screens(shown, state, waits_for):
    assert_reads("gemini", screen(shown), state, waits_for)


def test_every_screen_rule_has_a_sample():
    assert_every_rule_is_shown(GEMINI, [shown for shown, _, _ in SCREENS.values()])


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("✋  Action Required (x)      ", "waiting"),
        ("✦  Working… (x)", "working"),
        ("✦  Reading the test (x)", "working"),
        ("⏲  Working… (x)", "working"),
        ("◇  Ready (x)", "idle"),
        ("Gemini CLI (x)", None),
    ],
)
def test_titles(text, state):
    assert_reads("gemini", title(text), state)


def test_ready_is_not_taken_at_its_word_when_the_screen_knows_better():
    for name in ("trust", "key", "failed", "starts again"):
        shown, state, _ = SCREENS[name]
        assert state_of("gemini", Observation(title="◇  Ready (x)", screen=shown)) == state
    assert state_of("gemini", Observation(title="◇  Ready (x)", screen=SCREENS["spinner"][0])) == "idle"


HOOKS = [
    ({"hook_event_name": "SessionStart", "source": "startup"}, "starting", None),
    ({"hook_event_name": "BeforeAgent"}, "working", None),
    ({"hook_event_name": "BeforeModel"}, "working", None),
    ({"hook_event_name": "AfterModel"}, "working", None),
    ({"hook_event_name": "BeforeTool"}, "working", None),
    ({"hook_event_name": "AfterTool"}, "working", None),
    ({"hook_event_name": "Notification", "notification_type": "ToolPermission"}, "waiting", "permission"),
    ({"hook_event_name": "Notification", "notification_type": "other"}, None, None),
    ({"hook_event_name": "AfterAgent"}, "idle", None),
    ({"hook_event_name": "SessionEnd", "reason": "exit"}, "finished", None),
]


@pytest.mark.parametrize(("payload", "state", "waits_for"), HOOKS)
def test_hooks(payload, state, waits_for):
    assert_reads("gemini", hook(payload), state, waits_for)


def test_every_hook_rule_has_a_sample():
    assert {rule.event for rule in GEMINI.hooks} == {payload["hook_event_name"] for payload, _, _ in HOOKS}
