"""What verbs take on the command line: the flags that several of them share, and errors of our own kind."""

import argparse
import math
import sys
from typing import Any, NoReturn

from metawsm_rpc.errors import InvalidParamsError

_LARGEST = 2**53
"""What JSON's numbers hold exactly; larger ones are typing errors."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are the protocol's, and whose help is readable on any terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": _formatter, **options})

    def error(self, message: str) -> NoReturn:
        """Raise instead of exiting, so that there is one way in which errors are told."""
        raise InvalidParamsError(
            f"{message[:1].upper()}{message[1:].rstrip('.')}.",
            hint=f"`{self.prog} --help` shows what it takes.",
        )

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End after --help; what cannot be written is told as everywhere."""
        sys.stdout.flush()
        super().exit(status, message)


def _formatter(prog: str) -> argparse.HelpFormatter:
    # Each add_argument() asks for a formatter, and one without a width imports shutil.
    return argparse.RawDescriptionHelpFormatter(prog, width=100)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add what every verb takes."""
    common = parser.add_argument_group("everywhere")
    common.add_argument("--root", metavar="DIR", help="the folder that holds .metawsm; found upwards by default")
    common.add_argument("--json", action="store_true", help="print one JSON document, as the protocol has it")


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the ways to name a run, for verbs that are about all of it."""
    _add_run(parser, "the newest run of this ticket, instead of RUN")


def add_part_of_run(parser: argparse.ArgumentParser) -> None:
    """Add the ways to name a run, or one ticket of it."""
    _add_run(parser, "the newest run of this ticket; beside RUN: only this ticket of it")
    parser.set_defaults(takes_part=True)


def _add_run(parser: argparse.ArgumentParser, ticket_help: str) -> None:
    parser.add_argument(
        "run", nargs="?", metavar="RUN", help="a run's id, or enough of its beginning (default: the only open run)"
    )
    parser.add_argument("--run-id", metavar="RUN", help="the same, as a flag")
    parser.add_argument("--ticket", metavar="T", help=ticket_help)


def add_agent(parser: argparse.ArgumentParser) -> None:
    """Add the name of an agent."""
    parser.add_argument("--agent", metavar="NAME", help="an agent of the run")


def add_plan(parser: argparse.ArgumentParser) -> None:
    """Add what a plan is made of."""
    parser.add_argument("--ticket", metavar="T", action="append", default=[], help="a ticket; repeat it for more")
    parser.add_argument(
        "--repos",
        metavar="A,B",
        action="extend",
        type=listed,
        help="repositories, by name (default: the one at the root, else the only one there is)",
    )
    parser.add_argument(
        "--agent", metavar="NAME", action="append", help="an agent; repeat it for more (default: all of the policy's)"
    )
    parser.add_argument(
        "--strategy",
        choices=("create", "fork", "reuse"),
        help="make new workspaces (the default), fork another one's branches, or work in another one",
    )
    parser.add_argument("--source", metavar="WORKSPACE", help="the workspace to fork or reuse")
    parser.add_argument("--base-branch", metavar="B", help="where the work begins and is merged to")
    parser.add_argument("--run-id", metavar="ID", help="an id of your own choice")


def listed(text: str) -> list[str]:
    """Return the words of a comma-separated list, at least one: an unset variable of a script must not mean all."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise argparse.ArgumentTypeError(f"{text!r} names nothing")
    return words


def count(text: str) -> int:
    """Return a number from 0 up."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number <= _LARGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 up")
    return number


def duration(text: str) -> float:
    """Return a number of seconds."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return number


def selector(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return the run that was named, as parameters of a verb.

    Raises `InvalidParamsError` when it was named twice, or by nothing, as an unset variable of a
    script does: that must not mean the only open run.
    """
    if "" in (parsed.run, parsed.run_id, parsed.ticket):
        raise InvalidParamsError("A run or a ticket is named by an empty text; `metawsm runs` lists the runs.")
    if parsed.run and parsed.run_id and parsed.run != parsed.run_id:
        raise InvalidParamsError(f"The run is named twice, as {parsed.run!r} and as {parsed.run_id!r}; leave one out.")
    run_id = parsed.run or parsed.run_id
    if run_id and parsed.ticket and not getattr(parsed, "takes_part", False):
        raise InvalidParamsError(
            f"This is about a whole run, and it is named twice: as {run_id!r} and by its ticket; leave one out."
        )
    return {"run_id": run_id, "ticket": parsed.ticket}
