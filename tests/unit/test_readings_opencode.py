import pytest
from readings_support import assert_every_rule_is_shown, assert_reads, hook, screen, state_of, title

from metawsm_rpc.domain.readings.opencode import OPENCODE
from metawsm_rpc.domain.readings.reading import Observation

BOX = "  ┃\n  ┃  %s\n  ┃\n  ┃  Build · Some Model\n  ╹" + "▀" * 40 + "\n   %s"
OPEN = BOX % ("", "/srv/x            ctrl+p commands")
BUSY = BOX % ("", "⬝⬝■■■■⬝⬝  esc interrupt      ctrl+p commands")
GO = "  ┃\n  ┃  go\n  ┃\n"
DIALOG = "  ┃\n  ┃  △ %s\n  ┃    # Shell command\n  ┃\n  ┃   Allow once   Reject      ctrl+f fullscreen  ⇆ select  enter confirm\n  ┃"

SCREENS = {
    "working": (f"{GO}\n     I look\n\n     ▣  Build · Some Model\n\n{BUSY}", "working", None),
    "retrying": (f"{GO}\n     ▣  Build\n\n{BOX % ('', '■■ Cannot connect… [retrying in 6s')}", "working", None),
    "asked once whether to interrupt": (
        f"{GO}\n     ▣  Build\n\n{BOX % ('', 'x  esc again to interrupt')}",
        "working",
        None,
    ),
    "message taken": (f"{GO}\n\n\n{OPEN}", "working", None),
    "turn over": (f"{GO}\n     Done.\n\n     ▣  Build · Some Model · 42.6s\n\n{OPEN}", "idle", None),
    "turn over with a sidebar": (
        f"{GO}\n     Done.\n\n     ▣  Build · 1m 2s          LSP\n\n{OPEN}    • OpenCode",
        "idle",
        None,
    ),
    "interrupted": (f"{GO}\n     ▣  Build · Some Model · interrupted\n\n{OPEN}", "idle", None),
    "rejected": (f"{GO}\n     ← Write notes.md\n\n     ▣  Build · Some Model\n\n{OPEN}", "idle", None),
    "rejected shell": (f"{GO}\n  ┃\n  ┃  $ make\n  ┃\n\n     ▣  Build · Some Model\n\n{OPEN}", "idle", None),
    "not begun": (f"\n   opencode\n\n{OPEN}", "idle", None),
    "failed": (f"{GO}\n  ┃\n  ┃  Incorrect API key\n  ┃\n\n     ▣  Build · Some Model\n\n{OPEN}", "error", None),
    "permission": (f"{GO}\n     ▣  Build\n\n{DIALOG % 'Permission required'}", "waiting", "permission"),
    "permission for ever": (f"{GO}\n     ▣  Build\n\n{DIALOG % 'Always allow'}", "waiting", "permission"),
    "question": (
        f"{GO}\n     ▣  Build\n\n  ┃\n  ┃  Keep it?\n  ┃\n  ┃  1. Keep\n  ┃\n  ┃  ↑↓ select  enter submit  esc dismiss\n  ┃",
        "waiting",
        "question",
    ),
    "permission whose keys are cut off": (
        (
            f"{GO}\n     ▣  Build\n\n  ┃\n  ┃  △ Permission required\n  ┃    # Shell command\n  ┃\n"
            "  ┃   Allow once   Allow always   Reject  ctrl+f fullscreen  ⇆ select  enter con\n  ┃"
        ),
        "waiting",
        "permission",
    ),
    "permission whose beginning is cut off": (
        "     ▣  Build\n  ┃\n  ┃   Allow once   Allow always   Reject\n  ┃\n  ┃  ctrl+f fullscreen  ⇆ select  enter\n  ┃",
        "waiting",
        "permission",
    ),
    "answers to be sent": (
        f"{GO}\n     ▣  Build\n\n  ┃\n  ┃   Op   Confirm\n  ┃\n  ┃  Review\n  ┃\n  ┃  ⇆ tab  enter submit  esc dismiss\n  ┃",
        "waiting",
        "question",
    ),
    "question whose keys are in columns": (
        (
            f"{GO}\n     ▣  Build\n\n  ┃\n  ┃  Which?\n  ┃\n  ┃  1. [ ] Keep\n  ┃     faster\n  ┃\n"
            "  ┃  ⇆    ↑↓      enter    esc\n  ┃  tab  select  toggle   dismiss\n  ┃"
        ),
        "waiting",
        "question",
    ),
    "question whose keys are cut off": (
        "  ┃\n  ┃  Which?\n  ┃\n  ┃  1. Keep\n  ┃     faster\n  ┃  2. Drop\n  ┃",
        "waiting",
        "question",
    ),
    "a message that is a list": (f"  ┃\n  ┃  1. Keep\n  ┃\n\n     Done.\n\n     ▣  Build · 2s\n\n{OPEN}", "idle", None),
    "a command of the person's": (
        f"{GO}\n     Done.\n\n  ┃\n  ┃  $ ls\n  ┃\n  ┃  calc.py\n  ┃\n\n     ▣  Build · Some Model\n\n{OPEN}",
        "idle",
        None,
    ),
    "a question that was dismissed": (
        f"{GO}\n  ┃\n  ┃  # Questions\n  ┃\n  ┃  Which?\n  ┃  (no answer)\n  ┃\n\n     ▣  Build · Some Model\n\n{OPEN}",
        "idle",
        None,
    ),
    "failed, in several lines": (
        f"{GO}\n  ┃\n  ┃  Incorrect API key, and\n  ┃  what to do\n  ┃\n\n     ▣  Build · Some Model\n\n{OPEN}",
        "error",
        None,
    ),
    "menu in prose": (f"{GO}\n     ❯ 1. Yes\n       2. No (esc)\n\n     ▣  Build · 2s\n\n{OPEN}", "idle", None),
    "something else": ("Error: no such session", None, None),
}


@pytest.mark.parametrize(("shown", "state", "waits_for"), SCREENS.values(), ids=SCREENS)
def test_screens(shown, state, waits_for):
    assert_reads("opencode", screen(shown), state, waits_for)


def test_every_screen_rule_has_a_sample():
    assert_every_rule_is_shown(OPENCODE, [shown for shown, _, _ in SCREENS.values()])


def test_its_title_states_nothing():
    assert_reads("opencode", title("OC | Fix the test"), None)


def event(kind: str, **properties) -> dict:
    return {"id": "evt_1", "type": kind, "properties": {"sessionID": "ses_1", **properties}}


HOOKS = [
    (event("session.created"), "starting", None),
    (event("chat.message"), "working", None),
    (event("session.status", status={"type": "busy"}), "working", None),
    (event("session.status", status={"type": "retry"}), "working", None),
    (event("session.status", status={"type": "idle"}), "idle", None),
    (event("session.idle"), "idle", None),
    (event("permission.asked", permission="bash"), "waiting", "permission"),
    (event("permission.replied", reply="once"), "working", None),
    (event("question.asked"), "waiting", "question"),
    (event("question.replied"), "working", None),
    (event("question.rejected"), "working", None),
    (event("session.error", error={"name": "MessageAbortedError"}), "idle", None),
    (event("session.error", error={"name": "APIError"}), "error", None),
    (event("message.updated"), None, None),
]


@pytest.mark.parametrize(("payload", "state", "waits_for"), HOOKS)
def test_hooks(payload, state, waits_for):
    assert_reads("opencode", hook(payload), state, waits_for)


def test_every_hook_rule_has_a_sample():
    assert {rule.event for rule in OPENCODE.hooks} == {payload["type"] for payload, _, _ in HOOKS} - {"message.updated"}


def test_of_another_session_only_a_question_counts():
    assert state_of("opencode", Observation(hook=event("session.idle"), session="ses_2")) == "unknown"
    assert state_of("opencode", Observation(hook=event("session.idle"), session="ses_1")) == "idle"
    assert state_of("opencode", Observation(hook=event("permission.asked"), session="ses_2")) == "waiting"
