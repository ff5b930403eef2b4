"""The table of the command line's verbs, and how one of them is found and called.

Each verb is an entry of `VERBS` in the module that the table names; the module is imported when
its verb is called. A verb of two words, such as `ticket create`, is one entry as well.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import NamedTuple

from metawsm_rpc import __version__
from metawsm_rpc.cli.arguments import Parser, add_common
from metawsm_rpc.errors import InvalidParamsError


class Verb(NamedTuple):
    """A verb of the command line.

    `arguments` adds its flags to a parser; `call` executes it and returns the exit status; `more` is the end of
    its help: examples, and what the flags do not say.
    """

    arguments: Callable[[ArgumentParser], None]
    call: Callable[[Namespace], int]
    more: str = ""


# name: (module, one line of help), in the order of `metawsm --help`
TABLE: dict[str, tuple[str, str]] = {
    "run": ("running", "start agents on tickets, across repositories"),
    "plan": ("running", "show what a run would do, without doing it"),
    "status": ("looking", "show one run, or all of them"),
    "runs": ("looking", "list the runs of this root"),
    "watch": ("watching", "supervise this root, with a live view of all runs"),
    "wait": ("running", "wait until a run has settled"),
    "attach": ("looking", "open an agent's terminal"),
    "logs": ("looking", "print an agent's output"),
    "diff": ("looking", "show the work of a run against its bases"),
    "explain": ("looking", "show the evidence behind an agent's health"),
    "history": ("looking", "list what happened"),
    "stop": ("running", "stop a run and its agents"),
    "resume": ("running", "continue a stopped, failed or paused run"),
    "restart": ("running", "start agents again"),
    "iterate": ("running", "give agents feedback and start them again"),
    "retry-step": ("running", "try a failed step again"),
    "skip-step": ("running", "continue without a step"),
    "complete": ("running", "declare a run or an agent completed"),
    "sync": ("closing", "bring the base branches into the workspaces"),
    "close": ("closing", "merge all repositories of a run, or none"),
    "cleanup": ("closing", "remove a run's sessions and worktrees"),
    "signal": ("agents", "for agents: report progress, questions and the end of work"),
    "answer": ("agents", "answer an agent's question"),
    "send": ("agents", "type a text into an agent's terminal"),
    "tickets": ("tickets", "list tickets"),
    "ticket create": ("tickets", "create a ticket"),
    "ticket list": ("tickets", "list tickets"),
    "ticket close": ("tickets", "set a ticket's status to complete"),
    "policy init": ("policies", "write a policy to start from"),
    "policy check": ("policies", "report every mistake in the policy"),
    "policy show": ("policies", "print the policy in effect, merged from all its layers"),
    "policy schema": ("policies", "print the JSON Schema of the policy"),
    "policy migrate": ("policies", "convert a policy of the earlier metawsm in Go, with a backup"),
    "content": ("looking", "print a document that editors open, such as metawsm:/run/RUN"),
    "adopt": ("adopting", "use a .metawsm that was copied here"),
    "doctor": ("doctoring", "check that everything metawsm needs is installed"),
    "serve": ("serving", "serve editors and scripts over JSON-RPC, on standard input and output"),
    "demo": ("demonstrating", "show a whole run in a scratch folder"),
}

# Verbs for programs, which no list shows.
_HIDDEN = {"hook": ("hooking", "record what an agent's program reports to its hooks")}

# Names of the protocol's verbs that differ on the command line.
ALIASES = {
    "transcript": "logs",
    "events": "history",
    "create-ticket": "ticket create",
    "close-ticket": "ticket close",
    "policy-init": "policy init",
}

_GROUPS = tuple(dict.fromkeys(name.partition(" ")[0] for name in TABLE if " " in name))
_HELP = frozenset({"-h", "--help"})
_TAKES_VALUE = "--root"
_LIKENESS = 0.7
"""How similar, from 0 to 1, a verb must be to a typing error to be suggested."""


def call(argv: Sequence[str]) -> int:
    """Find the verb in a command line and call it. Raises `MetawsmError`."""
    words = list(argv)
    name = _take_word(words)
    if name == "help":
        name, words = _take_word(words), [*words, "--help"]
    if name in _GROUPS:
        action = _take_word(words)
        if action is None:
            return _without_verb(words, group=name)
        name = f"{name} {action}"
    if name is None:
        return _without_verb(words)
    name = ALIASES.get(name, name)
    if name not in TABLE and name not in _HIDDEN:
        raise _unknown(name)
    module, summary = TABLE.get(name) or _HIDDEN[name]
    verb: Verb = import_module(f"metawsm_rpc.cli.{module}").VERBS[name]
    parser = Parser(
        prog=f"metawsm {name}", description=f"{summary[:1].upper()}{summary[1:]}.", epilog=verb.more or None
    )
    verb.arguments(parser)
    add_common(parser)
    return verb.call(_parsed(parser, words))


def _parsed(parser: Parser, words: list[str]) -> Namespace:
    """Return the arguments. A text may follow a flag (`send RUN --agent NAME TEXT`); nothing after `--` is a flag."""
    if "--" in words:
        # Each of argparse's two ways refuses some command lines with `--` that the other takes.
        with suppress(InvalidParamsError):
            return parser.parse_args(words)
    return parser.parse_intermixed_args(words)


def _take_word(words: list[str]) -> str | None:
    """Remove and return the first word that is neither a flag nor a flag's value."""
    skip = False
    for position, word in enumerate(words):
        if skip:
            skip = False
        elif word == _TAKES_VALUE:
            skip = True
        elif not word.startswith("-"):
            return words.pop(position)
    return None


def _without_verb(words: list[str], *, group: str | None = None) -> int:
    from metawsm_rpc.cli import output

    verbs = [name for name in TABLE if group is None or name.partition(" ")[0] == group]
    called = f"metawsm {group}" if group else "metawsm"
    choice = "|".join(name.partition(" ")[2] for name in verbs) if group else "VERB"
    if "--version" in words:
        output.line(f"metawsm {__version__}")
        return 0
    if (words or group) and not _HELP & set(words):
        hint = f"`{called} --help` shows more."
        if words[-1:] == [_TAKES_VALUE]:
            raise InvalidParamsError("Name the folder after --root.", hint=hint)
        raise InvalidParamsError(f"Say what to do: {' '.join([called, *words])} {choice}.", hint=hint)
    output.line(f"usage: {called} [--root DIR] [--json] {choice} …\n")
    if group is None:
        output.line("The control plane for coding agents.\n")
    _list(verbs)
    if group is None:
        output.line("\n`metawsm VERB --help` describes a verb; --version shows the version.")
        output.line("A first run: metawsm policy init; metawsm ticket create T-1; metawsm run --ticket T-1")
    return 0


def _list(verbs: Iterable[str]) -> None:
    from metawsm_rpc.cli import output

    width = max(map(len, TABLE))
    for name in verbs:
        output.line(f"  {name.ljust(width)}  {TABLE[name][1]}")


def _unknown(name: str) -> InvalidParamsError:
    from difflib import get_close_matches

    close = get_close_matches(name, [*TABLE, *ALIASES], 1, _LIKENESS)
    meant = f"did you mean {close[0]}?" if close else "metawsm --help lists the verbs."
    return InvalidParamsError(f"There is no verb {name!r}; {meant}")
