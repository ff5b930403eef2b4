"""Claude Code, observed with 2.1.197."""

from metawsm_rpc.domain.readings.rules import Ask, HookRule, Program, ScreenRule, Word

_WORKING = "its turn is under way"

STATUSES = {
    "busy": Word("working", "its status file says busy"),
    "waiting": Word("waiting", "its status file says that it waits: {text}"),
    # Also while its start screen is blank and after a turn that failed for good.
    "idle": Word("idle", "its status file says idle", covers=frozenset({"starting", "error"})),
    # It starts with this word, with a blank screen.
    "idle since it began": Word(
        None, "its status file has said idle since it began", covers=frozenset({"starting", "idle", "error"})
    ),
    # A shell of its own runs on in the background; also while it asks whether to leave.
    "shell": Word("idle", "its status file says that only a shell runs", covers=frozenset({"error", "waiting"})),
    "": Word("starting", "its status file says nothing yet"),
}

TITLES = (
    (r"[\u2800-\u28ff] ", Word("working", "its title spins")),
    (r"✳ ", Word(None, "its title stands still", covers=frozenset({"starting", "idle", "waiting", "error"}))),
)

HOOKS = (
    HookRule("SessionStart", Word("starting", "its session has begun"), {"source": r"startup|resume"}),
    HookRule("SessionStart", Word("idle", "its conversation was cleared"), {"source": r"clear"}),
    HookRule("UserPromptSubmit", Word("working", "it was given a prompt")),
    HookRule("PreToolUse", Word("working", "it uses a tool")),
    HookRule("PostToolUse", Word("working", "it has used a tool")),
    HookRule("PostToolUseFailure", Word("working", "a tool has failed it")),
    HookRule("PreCompact", Word("working", "it shortens its conversation")),
    HookRule(
        "PermissionRequest", Word("waiting", "it asks a question", "question"), {"tool_name": r"^AskUserQuestion$"}
    ),
    HookRule("PermissionRequest", Word("waiting", "it asks about its plan", "plan"), {"tool_name": r"^ExitPlanMode$"}),
    HookRule("PermissionRequest", Word("waiting", "it asks for a permission", "permission")),
    HookRule(
        "Notification", Word("waiting", "it asks for a permission"), {"notification_type": r"^permission_prompt$"}
    ),
    HookRule("Notification", Word("waiting", "it asks a question"), {"notification_type": r"^elicitation_dialog$"}),
    HookRule("Notification", Word("idle", "it waits for a prompt"), {"notification_type": r"^idle_prompt$"}),
    HookRule("Stop", Word("idle", "its turn is over")),
    HookRule("StopFailure", Word("error", "its turn failed: {text}")),
    HookRule("SessionEnd", Word("finished", "its session has ended"), {"reason": r"^(?!clear$|resume$)"}),
)

# Between two rules; a dialog's options may follow a rule as well.
PROMPT = r"^─{8,}.*\n❯(?!\s*\d+\. )(?:.*\n)(?:(?!─{8}).*\n){0,200}?─{8,}.*$"

OPENING = r"^─{8,}.*\n(?!\s*❯? ?\d+\. )"

# How the messages begin that it shows in the place of an answer. A hook's errors are none of them.
_ERRORS = (
    r"API Error(?:: | \()",
    r"(?:Please run /login|Not logged in|Invalid API key|OAuth token revoked|Authentication error) · ",
    r"Failed to authenticate\b",
    r"Your (?:organization|ANTHROPIC_API_KEY) ",
    r"Credit balance (?:is )?too low",
    r"Context limit reached · ",
    r"We are experiencing high demand for\b",
    r"You're out of usage credits\b",
    r"Repeated \d+ Overloaded errors",
    r"There's an issue with the selected\b",
    r"You've (?:hit|reached) your ",
    r"(?:Opus|Sonnet|Haiku|Fable) is experiencing high load",
    r"Prompt is too long",
    r"Request timed out",
    r"Request too large \(",
    r"(?:Image|PDF) (?:was|is) too large\.",
)

# The chosen option of a list at the end of the screen, and the line that names keys.
_OPTIONS = r"^\s*❯ \d+\. .*(?:(?:\n.*){0,30}\n\s*\d+\. .*)?(?:\n {4,}\S.*)?\Z"
_KEYS = r"^\s*(?:.* · )?(?:Press )?(?:Enter|Esc|Tab|Space) to \w+.*(?:\n\s*\S.*)?\Z"

SCREENS = (
    ScreenRule("end", r"^Resume this session with:$", Word("finished", "it has said how to resume it")),
    # A narrow terminal cuts the footer off, and may part the spinner from what it says.
    ScreenRule("below", r"\besc to (?:interrupt\b|i?n?t?e?…)", Word("working", "its footer offers to interrupt it")),
    ScreenRule(
        "above",
        r"^(?:[·✢✳✶✻✽*] .*…|.* · Retrying in \d).*(?:\n(?:  .*|─*))*\Z",
        Word("working", "its spinner is shown"),
    ),
    ScreenRule(
        "above",
        rf"^(?:●|  ⎿)\s+(?P<text>(?:{'|'.join(_ERRORS)}).*(?:\n +\S.*)*)(?:\n(?![●❯]).*)*\Z",
        Word("error", "its turn failed: {text}"),
    ),
    ScreenRule("below", r"", Word("idle", "its input line is open and nothing runs")),
    ScreenRule("end", _OPTIONS, Word("waiting", "a dialog is open")),
    ScreenRule("end", _KEYS, Word("waiting", "a dialog is open")),
)

ASKS = (
    Ask(r"Accessing workspace:|\btrust\b|Bypass Permissions mode", "trust"),
    Ask(r"API key|[Ll]og ?in\b|[Ss]ign in|OAuth|Paste code", "login"),
    Ask(r"text style|theme", "setup"),
    Ask(r"Background work is running|Exit anyway", "exit"),
    Ask(r"^ *☐ |Chat about this|submit your answers\?", "question"),
    Ask(r"[Ee]xit plan mode|[Pp]lan.* proceed\?|Would you like to proceed\?", "plan"),
    Ask(r"^ Do you want to |^ Would you like to ", "permission"),
)

CLAUDE = Program(
    titles=TITLES, statuses=STATUSES, hooks=HOOKS, prompt=PROMPT, screens=SCREENS, opening=OPENING, asks=ASKS
)
