"""The options in `initializationOptions`."""

from typing import Any, NamedTuple

_MEANINGS = {
    "events": (bool, "true or false"),
    "root": (str, "a path or a file URI"),
    "trusted": (bool, "true or false"),
    "present": (bool, "true or false"),
}


class Options(NamedTuple):
    """A client's options.

    `events` asks for `metawsm/event`; `root` replaces the workspace folders; untrusted folders are only read.
    With `present: false` the client itself asks for missing parameters of commands and shows their
    results; otherwise the server does both, as far as possible.
    """

    events: bool = False
    root: str | None = None
    trusted: bool = True
    present: bool = True


def options(sent: Any) -> tuple[Options, tuple[str, ...]]:
    """Return the options, and a sentence on each invalid one.

    An invalid option gets its default, except that an invalid `trusted` is False.
    """
    if sent is None or sent == []:  # Lua's empty table
        return Options(), ()
    if not isinstance(sent, dict):
        return Options(), ("initializationOptions is an object; what was sent is not used.",)
    chosen: dict[str, Any] = {}
    problems = []
    for name, (kind, meaning) in _MEANINGS.items():
        value = sent.get(name)
        if value is None:
            continue
        if isinstance(value, kind):
            chosen[name] = value
            continue
        problems.append(f"initializationOptions.{name} is {meaning}; what was sent is not used.")
        if name == "trusted":
            chosen[name] = False
    return Options(**chosen), tuple(problems)
