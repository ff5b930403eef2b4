"""Placeholders: expands a command of the policy to the argv that is run.

A template is ordinary text with `{name}` in it; `{{` and `}}` stand for literal braces. Values are inserted
once and unchanged: placeholders in a value are not expanded, and no shell is involved.
"""

import string
from collections.abc import Container, Iterator, Mapping, Sequence

from metawsm_rpc.errors import InvalidPolicyError

PLACEHOLDERS: Mapping[str, str] = {
    "prompt": "what the agent is asked, made from the profile's base_prompt and skills",
    "brief": "the path of the agent's brief, a Markdown file outside the worktrees",
    "brief_directory": "the folder of the brief",
    "workspace": "the workspace's folder",
    "ticket": "the ticket's id",
    "agent": "the agent's name",
    "run": "the run's id",
    "launch": "the id of this launch",
    "root": "the folder that holds .metawsm",
    "bin": "the path of the metawsm command, one word",
    "session_id": "the program's own session: a new UUID in command, in resume_command the one to go on with",
    "hook_options": "the arguments that switch the program's hooks on (a list; empty where it needs none)",
    "drop_box": "the folder where `metawsm signal` leaves signals when it cannot write the database",
    "git_dirs": "each worktree's own git directory (a list)",
    "git_common_dirs": "the git common directory of each repository (a list)",
}
"""Every placeholder of a command, with what it stands for."""

LISTS: frozenset[str] = frozenset({"hook_options", "git_dirs", "git_common_dirs"})
"""Placeholders with any number of values; their argv element is repeated for each."""

PROMPT_PLACEHOLDERS: frozenset[str] = frozenset(PLACEHOLDERS) - LISTS - {"prompt"}
"""The placeholders of a prompt."""

Values = Mapping[str, str | Sequence[str]]


def placeholders(template: str, known: Container[str] = PLACEHOLDERS) -> tuple[str, ...]:
    """Return the names in a template, in order.

    Raises `InvalidPolicyError` for a name that is not `known`, for an unmatched brace, and for two different
    lists in one template.
    """
    names = tuple(name for _, name in _parts(template) if name is not None)
    for name in names:
        if name not in known:
            raise InvalidPolicyError(
                f"There is no placeholder {{{name}}} here.",
                hint=f"Use {_listing(known)}; write {{{{ and }}}} for literal braces.",
            )
    if len(LISTS.intersection(names)) > 1:
        raise InvalidPolicyError(
            "Two lists cannot stand in one argument.", hint="Give each list an argument of its own."
        )
    return names


def expand(argv: Sequence[str], values: Values) -> tuple[str, ...]:
    """Return `argv` with every placeholder replaced by its value.

    An element with a list in it, such as `--add-dir={git_common_dirs}`, is repeated for each value of the list,
    and omitted when the list is empty. Every other element stays one element, whatever its value contains.
    Raises `InvalidPolicyError` for a placeholder without a value.
    """
    return tuple(expanded for element in argv for expanded in _expand_element(element, values))


def expand_text(template: str, values: Values) -> str:
    """Return a text with every placeholder replaced; list placeholders are refused."""
    placeholders(template, PROMPT_PLACEHOLDERS)
    return next(_expand_element(template, values))


def mentions(argv: Sequence[str], name: str) -> bool:
    """Return whether a template contains a placeholder."""
    return any(name in placeholders(element) for element in argv)


def escape(text: str) -> str:
    """Return a template that stands for exactly this text."""
    return text.replace("{", "{{").replace("}", "}}")


def _parts(template: str) -> Iterator[tuple[str, str | None]]:
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError:
        parsed = [("", "", None, None)]
    for literal, name, conversion_spec, conversion in parsed:
        # `{name!r:>8}` is Python's formatting, which templates do not have.
        if name is not None and (not name.isidentifier() or conversion_spec or conversion):
            raise InvalidPolicyError(
                f"A brace in {template!r} belongs to no placeholder.", hint="Write {{ and }} for literal braces."
            )
        yield literal, name


def _expand_element(template: str, values: Values) -> Iterator[str]:
    names = placeholders(template, values)
    repeated = next((name for name in names if name in LISTS), None)
    choices = values[repeated] if repeated else ("",)
    for choice in choices:
        yield "".join(
            literal + ("" if name is None else choice if name == repeated else _single(name, values))
            for literal, name in _parts(template)
        )


def _single(name: str, values: Values) -> str:
    value = values[name]
    if not isinstance(value, str):
        raise InvalidPolicyError(f"The placeholder {{{name}}} needs one value, not several.")
    return value


def _listing(known: Container[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in PLACEHOLDERS if name in known)
