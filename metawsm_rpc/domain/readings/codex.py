"""Codex, observed with 0.169.0; what it reports by OSC 7501 is in `escapes`."""

from metawsm_rpc.domain.readings.rules import Ask, HookRule, Program, ScreenRule, Word

TITLES = (
    (r"\[ [!.] \] Action Required\b", Word("waiting", "its title says that action is required")),
    (r"[\u2800-\u28ff] ", Word("working", "its title spins")),
)

HOOKS = (
    HookRule("SessionStart", Word("starting", "its session has begun"), {"source": r"startup|resume"}),
    HookRule("UserPromptSubmit", Word("working", "it was given a prompt")),
    HookRule("PreToolUse", Word("working", "it uses a tool")),
    HookRule("PermissionRequest", Word("waiting", "it asks for a permission", "permission")),
    HookRule("PostToolUse", Word("working", "it has used a tool")),
    HookRule("Stop", Word("idle", "its turn is over")),
    HookRule("Interrupt", Word("idle", "its turn was interrupted")),
    HookRule("SessionEnd", Word("finished", "its session has ended")),
)

PROMPT = r"^›(?! \d+\. )(?: .*)?$"

_OPTION_AND_KEYS = r"^ {0,2}[›>] \d+\. .*(?:\n.*){0,20}\n.*\benter(?: to)? \w+.*(?:\n.*){0,2}\Z"

SCREENS = (
    ScreenRule("end", r"^To continue this session, run:$", Word("finished", "it has said how to continue it")),
    ScreenRule(
        "end",
        r"\benter to submit\b(?:.*\n?){0,2}\besc to interrupt\b.*\Z",
        Word("waiting", "a question is open", "question"),
    ),
    ScreenRule("end", _OPTION_AND_KEYS, Word("waiting", "a dialog is open")),
    ScreenRule("end", r"^  Press (?:enter|esc) to .*\Z", Word("waiting", "a dialog is open")),
    ScreenRule(
        "above",
        r"^[•◦] .*\((?:\d+[hms] ?)+• esc\b.*(?:\n.*){0,14}\Z",
        Word("working", "its status line offers to interrupt it"),
    ),
    ScreenRule("above", r"^  Worked for .*\Z", Word("idle", "its turn is over")),
    ScreenRule("above", r"^■ Conversation interrupted.*(?:\n.+)*\Z", Word("idle", "its turn was interrupted")),
    ScreenRule("above", r"^■ (?P<text>.+(?:\n.+)*)\Z", Word("error", "its turn failed: {text}")),
    # Before its session is there the line below names no model and no folder.
    ScreenRule("below", r"\A\s*\? for shortcuts\Z", Word("starting", "its session is not there yet")),
    # While an answer streams the input line is open just as when nothing runs.
    ScreenRule("below", r"", Word(None, "its input line is open", covers=frozenset({"idle", "working", "error"}))),
    ScreenRule("end", r"^  Agent command center\b", Word("idle", "its overview of agents is open")),
)

ASKS = (
    Ask(r"^  (?:Would you like to |Allow .*\?$)", "permission"),
    Ask(r"^  Question \d+/\d+", "question"),
    Ask(r"Trust this folder|[Hh]ooks need review", "trust"),
    Ask(r"Sign in|log in|API key", "login"),
)

CODEX = Program(titles=TITLES, hooks=HOOKS, reports=True, prompt=PROMPT, screens=SCREENS, asks=ASKS)
