"""The table of the command line's verbs, and how one of them is found and called.

Each verb is a module-level object `VERB` or an entry of `VERBS` in the module that the table names;
the module is imported when its verb is called.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NamedTuple

from metawsm_rpc import __version__
from metawsm_rpc.cli.arguments import Parser, add_common
from metawsm_rpc.errors import InvalidParamsError


class Verb(NamedTuple):
    """A verb of the command line.

    `arguments` adds what it takes to a parser; `call` does it and returns the exit status.
    """

    arguments: Callable[[ArgumentParser], None]
    call: Callable[[Namespace], int]


# name: (module, one line of help), in the order of `metawsm --help`
TABLE: dict[str, tuple[str, str]] = {
    "run": ("running", "start agents on tickets, over repositories"),
    "plan": ("running", "show what a run would do, and do nothing"),
    "status": ("looking", "show one run, or all of them"),
    "runs": ("looking", "list the runs of this root"),
    "wait": ("running", "wait until a run has settled"),
    "attach": ("looking", "open an agent's terminal"),
    "logs": ("looking", "print what an agent has printed"),
    "diff": ("looking", "show the work of a run against its bases"),
    "explain": ("looking", "say why an agent is judged as it is"),
    "history": ("looking", "list what happened"),
    "stop": ("running", "stop a run and its agents"),
    "resume": ("running", "let a run go on"),
    "restart": ("running", "start agents again"),
    "iterate": ("running", "let agents go on with feedback"),
    "retry-step": ("running", "try a failed step again"),
    "skip-step": ("running", "go on without a step"),
    "complete": ("running", "declare a run, or an agent, completed"),
    "sync": ("closing", "bring the bases into the workspaces"),
    "close": ("closing", "merge all repositories of a run, or none"),
    "cleanup": ("closing", "put away what a run has left"),
    "signal": ("agents", "for agents: say how it goes"),
    "answer": ("agents", "answer an agent's question"),
    "tickets": ("tickets", "list tickets"),
    "ticket": ("tickets", "create, list or close tickets"),
    "policy": ("policies", "init, check, show, migrate the policy, or print its schema"),
    "doctor": ("doctoring", "check what metawsm needs on this machine"),
    "demo": ("demonstrating", "watch a whole run in a scratch folder"),
}

# Verbs of the protocol whose own names the command line knows too.
ALIASES = {
    "transcript": "logs",
    "events": "history",
    "create-ticket": "ticket create",
    "close-ticket": "ticket close",
    "policy-init": "policy init",
}

_TAKES_VALUE = ("--root",)


def call(argv: Sequence[str]) -> int:
    """Find the verb in a command line and call it. Raises `MetawsmError`."""
    words = list(argv)
    position = _verb_position(words)
    if position is None:
        return _without_verb(words)
    name = words.pop(position)
    if name in ALIASES:
        name, *more = ALIASES[name].split()
        words[position:position] = more
    if name not in TABLE:
        raise _unknown(name)
    module, summary = TABLE[name]
    verb: Verb = import_module(f"metawsm_rpc.cli.{module}").VERBS[name]
    parser = Parser(prog=f"metawsm {name}", description=f"{summary[:1].upper()}{summary[1:]}.")
    verb.arguments(parser)
    add_common(parser)
    return verb.call(parser.parse_args(words))


def _verb_position(words: list[str]) -> int | None:
    skip = False
    for position, word in enumerate(words):
        if skip:
            skip = False
        elif word in _TAKES_VALUE:
            skip = True
        elif not word.startswith("-"):
            return position
    return None


def _without_verb(words: list[str]) -> int:
    from metawsm_rpc.cli import output

    if "--version" in words:
        output.line(f"metawsm {__version__}")
        return 0
    if words and not {"-h", "--help"} & set(words):
        raise InvalidParamsError(
            f"Say what to do: metawsm {' '.join(words)} VERB.", hint="metawsm --help lists the verbs."
        )
    output.line("usage: metawsm [--root DIR] [--json] VERB …\n\nThe control plane for coding agents.\n")
    width = max(map(len, TABLE))
    for name, (_, summary) in TABLE.items():
        output.line(f"  {name.ljust(width)}  {summary}")
    output.line("\n`metawsm VERB --help` tells more of one; --version tells which metawsm this is.")
    return 0


def _unknown(name: str) -> InvalidParamsError:
    from difflib import get_close_matches

    close = get_close_matches(name, [*TABLE, *ALIASES], 1)
    meant = f"did you mean {close[0]}?" if close else "metawsm --help lists the verbs."
    return InvalidParamsError(f"There is no verb {name!r}; {meant}")
