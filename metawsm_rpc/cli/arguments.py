"""What verbs take on the command line: the flags that several of them share, and errors of our own kind."""

import argparse
from typing import Any, NoReturn

from metawsm_rpc.errors import InvalidParamsError


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


def _formatter(prog: str) -> argparse.HelpFormatter:
    # Each add_argument() asks for a formatter, and one without a width imports shutil.
    return argparse.HelpFormatter(prog, width=100)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add what every verb takes."""
    common = parser.add_argument_group("everywhere")
    common.add_argument("--root", metavar="DIR", help="the folder that holds .metawsm; found upwards by default")
    common.add_argument("--json", action="store_true", help="print one JSON document, as the protocol has it")


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the ways to name a run."""
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run's id, or enough of its beginning")
    parser.add_argument("--run-id", metavar="RUN", help="the same, as a flag")
    parser.add_argument(
        "--ticket", metavar="T", help="the newest run of this ticket; beside RUN: only this ticket of it"
    )


def add_agent(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add the name of an agent."""
    parser.add_argument("--agent", metavar="NAME", required=required, help="an agent of the run")


def add_plan(parser: argparse.ArgumentParser) -> None:
    """Add what a plan is made of."""
    parser.add_argument("--ticket", metavar="T", action="append", default=[], help="a ticket; repeat it for more")
    parser.add_argument("--repos", metavar="A,B", type=listed, help="repositories, by name")
    parser.add_argument(
        "--agent", metavar="NAME", action="append", help="an agent; repeat it for more (default: all of the policy's)"
    )
    parser.add_argument("--strategy", choices=("create", "fork", "reuse"), help="how workspaces come to be")
    parser.add_argument("--source", metavar="WORKSPACE", help="the workspace to fork or reuse")
    parser.add_argument("--base-branch", metavar="B", help="where the work begins and is merged to")
    parser.add_argument("--run-id", metavar="ID", help="an id of your own choice")


def listed(text: str) -> list[str]:
    """Return the words of a comma-separated list."""
    return [word.strip() for word in text.split(",") if word.strip()]


def selector(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return the run that was named, as parameters of a verb.

    Raises `InvalidParamsError` when it was named twice, differently.
    """
    if parsed.run and parsed.run_id and parsed.run != parsed.run_id:
        raise InvalidParamsError(f"The run is named twice, as {parsed.run!r} and as {parsed.run_id!r}; leave one out.")
    return {"run_id": parsed.run or parsed.run_id, "ticket": parsed.ticket}
