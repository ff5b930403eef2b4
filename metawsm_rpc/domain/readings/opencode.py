"""OpenCode, observed with 1.18.33. Its title only says that it is there; its hooks are a plugin's events."""

from metawsm_rpc.domain.readings.rules import HookRule, Program, ScreenRule, Word

_STATUS = "properties.status.type"

HOOKS = (
    HookRule("session.created", Word("starting", "its session has begun")),
    HookRule("chat.message", Word("working", "it was given a prompt")),
    HookRule("session.status", Word("working", "its session is busy"), {_STATUS: r"^(?:busy|retry)$"}),
    HookRule("session.status", Word("idle", "its session is idle"), {_STATUS: r"^idle$"}),
    HookRule("session.idle", Word("idle", "its turn is over")),
    HookRule("permission.asked", Word("waiting", "it asks for a permission", "permission")),
    HookRule("permission.replied", Word("working", "its permission was answered")),
    HookRule("question.asked", Word("waiting", "it asks a question", "question")),
    HookRule("question.replied", Word("working", "its question was answered")),
    HookRule("question.rejected", Word("working", "its question was dismissed")),
    HookRule(
        "session.error", Word("idle", "its turn was interrupted"), {"properties.error.name": r"^MessageAbortedError$"}
    ),
    HookRule("session.error", Word("error", "its turn failed")),
)

TITLES = ((r"OpenCode$|OC \| ", Word(None, "its title carries no state")),)

# The lower edge of its input box.
PROMPT = r"^ *╹▀{8,}.*$"

# Its input box is still there when only the part above its lower edge is looked at.
_BOX = r"(?:\n *┃.*|\n *)*\Z"

# A dialog takes the place of the input box: nothing stands below its block.
_TO_THE_END = r".*(?:\n *┃.*)*\Z"

SCREENS = (
    ScreenRule(
        "below",
        r"\besc (?:again to )?interrupt\b|\[retrying|^ *[■⬝]{4,}",
        Word("working", "its footer shows that it works"),
    ),
    # In a small terminal their beginning, and the line that names keys, may be cut off.
    ScreenRule(
        "end",
        rf"^ *┃ +(?:△ \w|Allow once +Allow always\b){_TO_THE_END}",
        Word("waiting", "it asks for a permission", "permission"),
    ),
    ScreenRule("end", rf"^ *┃ +\d+\. \S{_TO_THE_END}", Word("waiting", "it asks a question", "question")),
    ScreenRule(
        "end",
        r"\benter +(?:submit|confirm|toggle)\b(?:.*\n?){0,2}\besc +dismiss\b",
        Word("waiting", "it asks a question", "question"),
    ),
    # A block that is neither a tool's nor followed by an answer, where nothing runs any more.
    ScreenRule(
        "above",
        rf"^(?! {{0,4}}┃).*\n(?: {{0,4}}┃\n)+ {{0,4}}┃  (?![$#] )(?P<text>\S.*)(?:\n {{0,4}}┃.*)*\n+ *▣ (?!.* · (?:\d|interrupted)).*{_BOX}",
        Word("error", "its turn failed: {text}"),
    ),
    # Nothing stands between the last message and the input box.
    ScreenRule(
        "above",
        r"^ *┃  (?![$#] )\S.*\n *┃ *.*\n(?:\n| {20,}.*\n)+(?: *┃.*(?:\n|\Z))+\Z",
        Word("working", "it has taken a message and not begun to answer"),
    ),
    ScreenRule("below", r"", Word("idle", "its input line is open and nothing runs")),
)

OPENCODE = Program(titles=TITLES, hooks=HOOKS, session="properties.sessionID", prompt=PROMPT, screens=SCREENS)
