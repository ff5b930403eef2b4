import pytest
from readings_support import assert_every_rule_is_shown, assert_reads, hook, screen, state_of, title

from metawsm_rpc.domain.readings.claude import CLAUDE
from metawsm_rpc.domain.readings.reading import Observation, read
from metawsm_rpc.domain.readings.statement import decide

RULE = "─" * 40
BOX = f"{RULE}\n❯ %s\n{RULE}\n  %s"
IDLE = BOX % ("", "? for shortcuts · ← for agents")

SCREENS = {
    "footer offers to interrupt": (
        "● I look at the test.\n\n" + BOX % ("a draft", "esc to interrupt · ← for agents"),
        "working",
        None,
    ),
    "spinner above a menu that hides the footer": (
        f"❯ go\n\n✢ Pondering… (2s · ↓ 9 tokens)\n  ⎿  Tip: x\n\n{BOX % ('/', '')}\n/clear    Start anew",
        "working",
        None,
    ),
    "retrying": (f"✻ API error · Retrying in 2s · attempt 3/10\n\n{IDLE}", "working", None),
    "turn over": (f"❯ go\n\n● Done.\n\n✻ Cooked for 3s\n\n{IDLE}", "idle", None),
    "a question in prose": (f"● Which one?\n\n  ❯ 1. Yes\n    2. No (esc)\n\n✻ Cooked for 3s\n\n{IDLE}", "idle", None),
    "a draft that begins with a number": (f"● Done.\n\n{BOX % ('2nd try', '')}", "idle", None),
    "an error of the API": (
        f"❯ go\n\n● API Error: 529 overloaded.\n  Try again.\n\n✻ Worked for 0s\n\n{IDLE}",
        "error",
        None,
    ),
    "a key that is refused": (f"❯ go\n  ⎿  Invalid API key · Fix external API key\n\n{IDLE}", "error", None),
    "an error, then an answer": (f"● API Error: 529\n\n❯ again\n\n● Done.\n\n✻ Cooked for 3s\n\n{IDLE}", "idle", None),
    "an answer about errors": (f"● API Errors are handled now.\n\n{IDLE}", "idle", None),
    "a hook that failed": (f"❯ go\n  ⎿  UserPromptSubmit hook error\n\n● Done.\n\n{IDLE}", "idle", None),
    "permission": (
        (
            f"● Bash(make)\n  ⎿  Waiting…\n\n{RULE}\n Bash command\n\n   make\n\n Do you want to proceed?\n ❯ 1. Yes\n"
            "   2. No\n\n Esc to cancel · Tab to amend"
        ),
        "waiting",
        "permission",
    ),
    "permission without a line of keys": (
        f"{RULE}\n Fetch\n\n Do you want to allow this?\n ❯ 1. Yes\n   2. No, and tell Claude what to do\n     differently (esc)",
        "waiting",
        "permission",
    ),
    "question with the cursor out of sight": (
        (
            f"{RULE}\n ☐ Cache\n\nKeep it?\n\n  1. Keep\n  2. Drop\n{RULE}\n❯ 3. Chat about this\n\n"
            "Enter to select · ↑/↓ to navigate · Esc to\ncancel"
        ),
        "waiting",
        "question",
    ),
    "plan": (
        f"{RULE}\n Exit plan mode?\n\n  Claude wants to exit plan mode\n\n  ❯ 1. Yes\n    2. No",
        "waiting",
        "plan",
    ),
    "trust": (
        f"{RULE}\n Accessing workspace:\n\n /srv/x\n\n ❯ 1. Yes, I trust this folder\n   2. No, exit\n\n Enter to confirm",
        "waiting",
        "trust",
    ),
    "key found": (
        f"{RULE}\n  Do you want to use this API key?\n\n    1. Yes\n  ❯ 2. No\n\n  Enter to confirm · Esc to cancel",
        "waiting",
        "login",
    ),
    "first choice": (" Choose the text style\n\n ❯ 1. Dark mode\n   2. Light mode", "waiting", "setup"),
    "leaving with work in the background": (
        f"{RULE}\n  Background work is running\n\n  ❯ 1. Exit anyway\n    2. Stay\n\n  Enter to confirm · Esc to cancel",
        "waiting",
        "exit",
    ),
    "dialog without a numbered option": (
        f"{RULE}\n Pick one\n\n ● High ←/→ to adjust\n\n Enter to confirm",
        "waiting",
        None,
    ),
    "left": (f"● Done.\n\n{IDLE}\n\nResume this session with:\nclaude --resume 1\n$", "finished", None),
    "rules for tools": (
        f"{RULE}\n  Permissions  Allow   Ask   Deny\n\n    1. Add a new rule…\n\n  ←/→ to switch · ↓ to select · Esc to cancel",
        "waiting",
        None,
    ),
    "answers to be sent": (
        f"{RULE}\n←  ☒ Cache  ✔ Submit  →\n\nReview your answers\n\nReady to submit your answers?\n\n❯ 1. Submit answers\n  2. Cancel",
        "waiting",
        "question",
    ),
    "footer that is cut off": (f"● I look.\n\n{BOX % ('', '⏵⏵ auto mode on · 1 shell · esc to …')}", "working", None),
    "retrying in a narrow terminal": (
        f"❯ go\n\n✻\nAPI erro · Retrying in 3s · attempt 4/10\n\n  ⎿  Tip: Use /memory\n     often\n\n{BOX % ('', '● high')}",
        "working",
        None,
    ),
    "no credit": (
        f"❯ go\n  ⎿  Credit balance too low · Add funds: https://x\n\n✻ Baked for 0s\n\n{IDLE}",
        "error",
        None,
    ),
    "too large": (
        f"❯ go\n\n● Request too large (max 32MB). Double\n  press esc to go back\n\n✻ Baked for 1s\n\n{IDLE}",
        "error",
        None,
    ),
    "no room": (f"❯ go\n  ⎿  Context limit reached · /compact or /clear to\n     continue\n\n{IDLE}", "error", None),
    "something else": ("make: *** no rule\n❯ 1 file changed", None, None),
}


@pytest.mark.parametrize(("shown", "state", "waits_for"), SCREENS.values(), ids=SCREENS)
def test_screens(shown, state, waits_for):
    assert_reads("claude", screen(shown), state, waits_for)


def test_every_screen_rule_has_a_sample():
    assert_every_rule_is_shown(CLAUDE, [shown for shown, _, _ in SCREENS.values()])


def test_what_a_failed_turn_said_is_told():
    shown, _, _ = SCREENS["an error of the API"]
    assert decide(read("claude", screen(shown))).says == "its turn failed: API Error: 529 overloaded. Try again."


@pytest.mark.parametrize(("text", "state"), [("⠂ Claude Code", "working"), ("✳ Claude Code", None), ("host", None)])
def test_titles(text, state):
    assert_reads("claude", title(text), state)


def test_a_title_that_stands_still_leaves_the_choice_to_the_screen():
    for name in ("turn over", "permission", "an error of the API"):
        shown, state, _ = SCREENS[name]
        assert state_of("claude", Observation(title="✳ x", screen=shown)) == state
    assert state_of("claude", Observation(title="✳ x")) == "unknown"


def test_a_title_that_stands_still_outdates_a_hook_after_which_nothing_was_told():
    given = Observation(hook={"hook_event_name": "UserPromptSubmit"}, hook_age=60)
    assert state_of("claude", given) == "working"
    assert state_of("claude", given._replace(title="✳ x")) == "unknown"  # somebody pressed Esc


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("busy", "working"),
        ("waiting", "waiting"),
        ("idle", "idle"),
        ("shell", "idle"),
        ("new word", None),
        (None, "starting"),
    ],
)
def test_status_file(status, state):
    file = {"pid": 1, "startedAt": 1_000_000, "statusUpdatedAt": 1_060_000} | ({"status": status} if status else {})
    assert_reads("claude", Observation(status_file=file), state)


def test_the_status_file_tells_what_it_waits_for_in_its_own_words():
    (statement,) = read("claude", Observation(status_file={"status": "waiting", "waitingFor": "dialog open"}))
    assert statement.says == "its status file says that it waits: dialog open"


def test_idle_on_a_blank_screen_is_a_start():
    file = {"status": "idle", "startedAt": 1_000_000, "statusUpdatedAt": 999_960}
    assert state_of("claude", Observation(status_file=file, screen="")) == "starting"
    assert state_of("claude", Observation(status_file=file, screen=IDLE)) == "idle"
    assert state_of("claude", Observation(status_file=file)) == "unknown"


def test_idle_after_a_failed_turn_is_an_error():
    shown, _, _ = SCREENS["a key that is refused"]
    assert state_of("claude", Observation(status_file={"status": "idle"}, screen=shown)) == "error"


def test_shell_while_it_asks_whether_to_leave_is_waiting():
    shown, _, _ = SCREENS["leaving with work in the background"]
    held = decide(read("claude", Observation(status_file={"status": "shell"}, screen=shown)))
    assert (held.state, held.waits_for) == ("waiting", "exit")


def test_busy_is_not_doubted_because_of_a_screen():
    assert state_of("claude", Observation(status_file={"status": "busy"}, screen=IDLE)) == "working"


HOOKS = [
    ({"hook_event_name": "SessionStart", "source": "startup"}, "starting", None),
    ({"hook_event_name": "SessionStart", "source": "clear"}, "idle", None),
    ({"hook_event_name": "SessionStart", "source": "compact"}, None, None),
    ({"hook_event_name": "UserPromptSubmit", "prompt": "go"}, "working", None),
    ({"hook_event_name": "PreToolUse", "tool_name": "Bash"}, "working", None),
    ({"hook_event_name": "PostToolUse", "tool_name": "Bash"}, "working", None),
    ({"hook_event_name": "PostToolUseFailure", "tool_name": "Bash"}, "working", None),
    ({"hook_event_name": "PreCompact"}, "working", None),
    ({"hook_event_name": "PermissionRequest", "tool_name": "Bash"}, "waiting", "permission"),
    ({"hook_event_name": "PermissionRequest", "tool_name": "AskUserQuestion"}, "waiting", "question"),
    ({"hook_event_name": "PermissionRequest", "tool_name": "ExitPlanMode"}, "waiting", "plan"),
    ({"hook_event_name": "Notification", "notification_type": "permission_prompt"}, "waiting", None),
    ({"hook_event_name": "Notification", "notification_type": "elicitation_dialog"}, "waiting", None),
    ({"hook_event_name": "Notification", "notification_type": "idle_prompt"}, "idle", None),
    ({"hook_event_name": "Notification", "notification_type": "auth_success"}, None, None),
    ({"hook_event_name": "Stop"}, "idle", None),
    ({"hook_event_name": "StopFailure", "error": "billing_error"}, "error", None),
    ({"hook_event_name": "SubagentStop"}, None, None),
    ({"hook_event_name": "SessionEnd", "reason": "other"}, "finished", None),
    ({"hook_event_name": "SessionEnd", "reason": "clear"}, None, None),
]


@pytest.mark.parametrize(("payload", "state", "waits_for"), HOOKS)
def test_hooks(payload, state, waits_for):
    assert_reads("claude", hook(payload), state, waits_for)


def test_every_hook_rule_has_a_sample():
    assert {rule.event for rule in CLAUDE.hooks} == {payload["hook_event_name"] for payload, _, _ in HOOKS} - {
        "SubagentStop"
    }


def test_a_failed_turn_is_told_with_its_error():
    (statement,) = read("claude", hook({"hook_event_name": "StopFailure", "error": "billing_error"}))
    assert statement.says == "its turn failed: billing_error"
