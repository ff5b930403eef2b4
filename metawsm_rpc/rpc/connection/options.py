"""What a client may choose in `initializationOptions`."""

from typing import Any, NamedTuple

_MEANINGS = {
    "events": (bool, "true or false"),
    "root": (str, "a path or a file URI"),
    "trusted": (bool, "true or false"),
    "present": (bool, "true or false"),
}


class Options(NamedTuple):
    """What a client may choose.

    `events` asks for `metawsm/event`; `root` replaces the workspace folders; untrusted folders are only
    read. A client that says `present: false` asks a person for what a command lacks and shows what
    commands answer; for any other the server does both, as far as it can.
    """

    events: bool = False
    root: str | None = None
    trusted: bool = True
    present: bool = True


def options(sent: Any) -> tuple[Options, tuple[str, ...]]:
    """Return what was chosen, and a sentence on each thing that was not understood.

    What is wrong is left at its default; a `trusted` that is wrong is False.
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
