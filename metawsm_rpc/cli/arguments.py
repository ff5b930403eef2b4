"""Arguments: the flags that several verbs share, and a parser that raises the protocol's errors."""

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
        """Raise instead of exiting, so that all errors are printed in the same way."""
        raise InvalidParamsError(
            f"{message[:1].upper()}{message[1:].rstrip('.')}.",
            hint=f"`{self.prog} --help` shows what it takes.",
        )

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Exit after --help; a failed write is reported as everywhere else."""
        sys.stdout.flush()
        super().exit(status, message)


def _formatter(prog: str) -> argparse.HelpFormatter:
    # Each add_argument() creates a formatter, and one without a width imports shutil.
    return argparse.RawDescriptionHelpFormatter(prog, width=100)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every verb."""
    common = parser.add_argument_group("everywhere")
    common.add_argument(
        "--root",
        metavar="DIR",
        help="the folder that contains .metawsm (default: found from the current folder upwards)",
    )
    common.add_argument("--json", action="store_true", help="print the result as one JSON document")


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the flags that select a run, for verbs on whole runs."""
    _add_run(parser, "the newest run of this ticket, instead of RUN")


def add_part_of_run(parser: argparse.ArgumentParser) -> None:
    """Add the flags that select a run or one ticket of it."""
    _add_run(parser, "the newest run of this ticket; beside RUN: only this ticket of it")
    parser.set_defaults(takes_part=True)


def _add_run(parser: argparse.ArgumentParser, ticket_help: str) -> None:
    parser.add_argument(
        "run", nargs="?", metavar="RUN", help="a run's id or a unique prefix of it (default: the only open run)"
    )
    parser.add_argument("--run-id", metavar="RUN", help="the same, as a flag")
    parser.add_argument("--ticket", metavar="T", help=ticket_help)


def add_agent(parser: argparse.ArgumentParser) -> None:
    """Add the name of an agent."""
    parser.add_argument("--agent", metavar="NAME", help="an agent of the run")


def add_plan(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a plan."""
    parser.add_argument("--ticket", metavar="T", action="append", default=[], help="a ticket; may be repeated")
    parser.add_argument(
        "--repos",
        metavar="A,B",
        action="extend",
        type=listed,
        help="repositories, by name (default: the one at the root, else the only one)",
    )
    parser.add_argument(
        "--agent", metavar="NAME", action="append", help="an agent; may be repeated (default: all agents of the policy)"
    )
    parser.add_argument(
        "--strategy",
        choices=("create", "fork", "reuse"),
        help="create new workspaces (the default), branch off an existing one, or work in an existing one",
    )
    parser.add_argument("--source", metavar="WORKSPACE", help="the workspace to fork or reuse")
    parser.add_argument("--base-branch", metavar="B", help="the branch that work starts from and is merged into")
    parser.add_argument("--run-id", metavar="ID", help="an id for the run (default: random)")


def listed(text: str) -> list[str]:
    """Return the words of a comma-separated list, at least one, because an unset variable must not mean all."""
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
    """Return the selected run, as parameters of a verb.

    Raises `InvalidParamsError` when it is named twice, or by an empty text: an unset variable in a script must
    not select the only open run.
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
