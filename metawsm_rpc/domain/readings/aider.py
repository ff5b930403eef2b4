"""Aider, observed with 0.86.2. It prints line by line, has no hooks, and states nothing in its title."""

import re

from metawsm_rpc.domain.readings.rules import Program, ScreenRule, Word

# A line that it asks in is broken wherever the terminal ends.
_YES_OR_NO = r"\n?".join(map(re.escape, "(Y)es/(N)o"))
_ANSWER = r"\[[\w\n]+\]\n?:[^\S\n]*\S*\Z"

# Its edit format, and whether it takes several lines; what is typed there may be broken as well.
_MARK = r"(?:[a-z][\w-]*)?(?: ?multi)?>"
_PROMPT = rf"^{_MARK}(?: .*)?$"
_TYPED = r"(?:\n.+)*\Z"

# Above its prompt stand a rule and the files of the chat.
_OPEN = rf"^─{{8,}}\n(?:.+\n){{0,20}}?{_PROMPT}{_TYPED}"

# What an editor or a pager shows at the lower edge, which may be open within it.
_ANOTHER_PROGRAM = r"^~$(?:\n.*){0,2}\Z|^(?:\(END\)|:|--More--.*|-- INSERT --.*)\Z"

SCREENS = (
    ScreenRule("end", _ANOTHER_PROGRAM, Word(None, "an editor or a pager is open")),
    ScreenRule("end", rf"{_YES_OR_NO}(?:.*\n?){{0,3}}{_ANSWER}", Word("waiting", "it asks a question", "permission")),
    ScreenRule(
        "end",
        # What it was told since, an answer or Ctrl-C would come after it.
        rf"^litellm\.(?P<text>\w+Error\b.*)(?:\n(?!{_MARK} .|Tokens: |\^C).*)*\n{_PROMPT}{_TYPED}",
        Word("error", "its turn failed: {text}"),
    ),
    ScreenRule("end", rf"{_OPEN}|{_PROMPT}\Z", Word("idle", "its prompt is open")),
    ScreenRule("end", r"(?s:.)", Word("working", "neither its prompt nor a question is open")),
)

AIDER = Program(screens=SCREENS)
