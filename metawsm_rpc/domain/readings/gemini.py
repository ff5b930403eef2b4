"""Gemini CLI, observed with 0.61.0."""

from metawsm_rpc.domain.readings.rules import Ask, HookRule, Program, ScreenRule, Word

TITLES = (
    (r"✋", Word("waiting", "its title says that action is required")),
    (r"[✦⏲]", Word("working", "its title says that it is working")),
    # Also while it asks whether to trust the folder or how to sign in, and after a turn that failed.
    (r"◇", Word("idle", "its title says that it is ready", covers=frozenset({"starting", "waiting", "error"}))),
)

HOOKS = (
    HookRule("SessionStart", Word("starting", "its session has begun"), {"source": r"startup|resume"}),
    HookRule("BeforeAgent", Word("working", "it was given a prompt")),
    HookRule("BeforeModel", Word("working", "it asks its model")),
    HookRule("AfterModel", Word("working", "its model has answered")),
    HookRule("BeforeTool", Word("working", "it uses a tool")),
    HookRule("AfterTool", Word("working", "it has used a tool")),
    HookRule(
        "Notification",
        Word("waiting", "it asks for a permission", "permission"),
        {"notification_type": r"^ToolPermission$"},
    ),
    HookRule("AfterAgent", Word("idle", "its turn is over")),
    HookRule("SessionEnd", Word("finished", "its session has ended")),
)

# Drawn in a box of half blocks, of lines or of nothing but colour, as the terminal allows; so are
# the messages above it, but below it there are only a few lines.
PROMPT = r"^[ │]{0,2}[>!*] .*$"

SCREENS = (
    ScreenRule("end", r"\bis restarting to apply\b.*\Z", Word("starting", "it starts again with the folder trusted")),
    ScreenRule("end", r"^[ │]*● (?:\d+\. )?\S.*(?:\n.*){0,20}\Z", Word("waiting", "a dialog is open")),
    ScreenRule(
        "end",
        r"(?:Press |Use |\(|^[ │]*)(?:Enter|Esc) to \w+.*(?:\n│ .*)?(?:\n[ │╰─╯█]*)*\Z",
        Word("waiting", "a dialog is open"),
    ),
    ScreenRule("above", r"^ ?[\u2800-\u28ff] \S.*(?:\n.*){0,14}\Z", Word("working", "its spinner is shown")),
    ScreenRule(
        "above",
        r"^(?:✕ |ℹ (?=This request failed\b))(?P<text>.*)(?:\n(?!✦| >).*)*\Z",
        Word("error", "its turn failed: {text}"),
    ),
    ScreenRule("below", r"\A(?:\n.*){0,6}\Z", Word("idle", "its input line is open and nothing runs")),
)

ASKS = (
    Ask(r"Answer Questions", "question"),
    Ask(r"\btrust\b", "trust"),
    Ask(r"[Aa]uthenticat|API [Kk]ey|[Ss]ign in|[Ll]ogin", "login"),
    Ask(r"^[ │]*(?:Allow execution|Apply this change|Do you want to proceed)", "permission"),
)

GEMINI = Program(titles=TITLES, hooks=HOOKS, prompt=PROMPT, screens=SCREENS, opening=r"^ ?╭─{8,}", asks=ASKS)
