import pytest
from readings_support import assert_every_rule_is_shown, assert_reads, hook, screen, state_of, title

from metawsm_rpc.domain.readings.codex import CODEX
from metawsm_rpc.domain.readings.reading import Observation

COMPOSER = "\n\n› %s\n\n  some-model high · /srv/x\n  ← for agents · ? for shortcuts"
OPEN = COMPOSER % "Ask Codex to do anything"

SCREENS = {
    "status line": (f"› go\n\n• Working (1m 2s • esc to interrupt){OPEN}", "working", None),
    "status line above queued messages": (
        f"• Thinking (3s • esc to interrupt)\n  └ later: and mul{OPEN}",
        "working",
        None,
    ),
    "streaming looks idle": (f"› go\n\n• I look at the te{OPEN}", None, None),
    "turn over": (f"• Done.\n\n  Worked for 37s • 07:22{OPEN}", "idle", None),
    "turn over with a draft": (f"• Done.\n\n  Worked for 37s • 07:22{COMPOSER % 'and mul'}", "idle", None),
    "interrupted": (f"• I loo\n\n■ Conversation interrupted - use /feedback if\nit went wrong{OPEN}", "idle", None),
    "failed": (f"› go\n\n■ unexpected status 401: no\nsuch key{OPEN}", "error", None),
    "went on after an error": (f"■ unexpected status 500\n\n\n› again\n\n• I look{OPEN}", None, None),
    "session not there yet": (
        "  >_ OpenAI Codex\n     /srv/x\n\n› Ask Codex to do anything\n\n  ? for shortcuts",
        "starting",
        None,
    ),
    "permission": (
        (
            "› tell me of the API key\n\n• Running make\n\n  Would you like to run the following command?\n\n  $ make\n\n"
            "› 1. Yes, proceed (y)\n  2. No (esc)\n\n  Press enter to confirm or esc to cancel"
        ),
        "waiting",
        "permission",
    ),
    "question": (
        (
            "› ask\n\n  Question 1/2 (2 unanswered)\n  Keep it?\n\n  › 1. Keep  faster\n    2. Drop\n\n"
            "  tab to add notes | enter to submit answer\n  ctrl + n next | esc to interrupt"
        ),
        "waiting",
        "question",
    ),
    "trust": (
        "  Folder access\n  /srv/x\n\n  Trust this folder?\n\n  1. Trust and continue\n› 2. Back\n\n  enter continue · esc back",
        "waiting",
        "trust",
    ),
    "sign in": (
        "  Sign in another way\n\n> 1. Use a key\n     Pay for use\n\n  Press enter to continue\n  Press esc to go back",
        "waiting",
        "login",
    ),
    "key": (
        "> Use your own API key\n\n╭API key───╮\n│Paste it  │\n╰──────────╯\n  Press enter to save\n  Press esc to go back",
        "waiting",
        "login",
    ),
    "permission for a tool of a server": (
        (
            '• Calling menu.list\n\n  Field 1/1\n  Allow the menu server to run tool "list"?\n\n  › 1. Allow\n    2. Cancel\n\n'
            "  enter to submit | esc to cancel"
        ),
        "waiting",
        "permission",
    ),
    "choice of a model": (
        "  There is a new model\n\n› 1. Try it\n  2. Keep the old\n\n  Use ↑/↓ to move, press enter to confirm",
        "waiting",
        None,
    ),
    "menu in prose": (f"• It prints:\n\n  ❯ 1. Yes\n    2. No (esc)\n\n  Worked for 1s • 07:22{OPEN}", "idle", None),
    "overview of agents": ("  Agent command center  Group: Project\n  No tasks yet\n\n  ? help  n new", "idle", None),
    "left": ("To continue this session, run:\n  codex resume 1\n", "finished", None),
    "something else": ("error: no such file", None, None),
}


@pytest.mark.parametrize(("shown", "state", "waits_for"), SCREENS.values(), ids=SCREENS)
def test_screens(shown, state, waits_for):
    assert_reads("codex", screen(shown), state, waits_for)


def test_every_screen_rule_has_a_sample():
    assert_every_rule_is_shown(CODEX, [shown for shown, _, _ in SCREENS.values()])


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("⠹ some-folder", "working"),
        ("[ ! ] Action Required | some-folder", "waiting"),
        ("[ . ] Action Required | some-folder", "waiting"),
        ("some-folder", None),  # idle, failed, or the host's name before it has begun
    ],
)
def test_titles(text, state):
    assert_reads("codex", title(text), state)


def test_a_report_outranks_title_and_screen():
    seen = Observation(report="state=blocked:app=codex:kind=permission", title="⠹ x", screen=SCREENS["turn over"][0])
    assert state_of("codex", seen) == "waiting"


def test_a_streaming_screen_that_looks_idle_changes_no_report():
    shown = SCREENS["streaming looks idle"][0]
    assert state_of("codex", Observation(report="state=working:app=codex", screen=shown)) == "working"
    assert state_of("codex", Observation(title="⠹ x", screen=shown)) == "working"


def test_idle_is_a_start_while_the_session_is_not_there():
    shown = SCREENS["session not there yet"][0]
    assert state_of("codex", Observation(report="state=idle:app=codex", screen=shown)) == "starting"
    assert state_of("codex", Observation(report="state=done:app=codex", screen=shown)) == "idle"


HOOKS = [
    ({"hook_event_name": "SessionStart", "source": "startup"}, "starting", None),
    ({"hook_event_name": "UserPromptSubmit"}, "working", None),
    ({"hook_event_name": "PreToolUse"}, "working", None),
    ({"hook_event_name": "PermissionRequest", "tool_name": "Bash"}, "waiting", "permission"),
    ({"hook_event_name": "PostToolUse"}, "working", None),
    ({"hook_event_name": "Stop"}, "idle", None),
    ({"hook_event_name": "Interrupt"}, "idle", None),
    ({"hook_event_name": "SessionEnd", "reason": "other"}, "finished", None),
]


@pytest.mark.parametrize(("payload", "state", "waits_for"), HOOKS)
def test_hooks(payload, state, waits_for):
    assert_reads("codex", hook(payload), state, waits_for)


def test_every_hook_rule_has_a_sample():
    assert {rule.event for rule in CODEX.hooks} == {payload["hook_event_name"] for payload, _, _ in HOOKS}


def test_notify_states_nothing_because_it_also_fires_for_the_thread_that_makes_titles():
    assert_reads(
        "codex", hook({"type": "agent-turn-complete", "thread-id": "1", "last-assistant-message": "Fix"}), None
    )
