"""Verbs on tickets."""

from argparse import ArgumentParser, Namespace

from metawsm_rpc.answers import TicketAnswer, TicketsListed
from metawsm_rpc.cli import output
from metawsm_rpc.cli.arguments import listed
from metawsm_rpc.cli.opening import service
from metawsm_rpc.cli.verbs import Verb
from metawsm_rpc.errors import InvalidParamsError


def _tickets_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--status", metavar="S", help="only tickets with this status")


def _tickets(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        found = verbs.tickets(status=parsed.status)
    if parsed.json:
        output.print_json(found)
        return 0
    output.table(
        ("ticket", "status", "title", "runs", "file"),
        [(one.ticket, one.status, one.title, ", ".join(one.runs), one.path) for one in found.tickets],
        empty=_empty(found, parsed.status),
    )
    for problem in found.problems:
        place = f"{problem.path}:{problem.line}" if problem.line else problem.path
        output.say(f"{place}: {problem.message}", colour="red")
    return 0


def _empty(found: TicketsListed, status: str | None) -> str:
    if status is not None:
        return f"No ticket has the status {status!r}; `metawsm tickets` lists all."
    if found.problems:
        return "There are no tickets here that can be read."
    return "There are no tickets here yet; `metawsm ticket create ID` makes one."


def _create_arguments(parser: ArgumentParser) -> None:
    _add_ticket(parser)
    parser.add_argument("--title", metavar="T", help="what it is about (default: the id)")
    parser.add_argument("--topics", metavar="A,B", type=listed, default=[], help="topics of the ticket")


def _create(parsed: Namespace) -> int:
    ticket = _named(parsed)
    with service(parsed) as verbs:
        return _answered(parsed, verbs.create_ticket(ticket, title=parsed.title, topics=parsed.topics))


def _close(parsed: Namespace) -> int:
    ticket = _named(parsed)
    with service(parsed) as verbs:
        return _answered(parsed, verbs.close_ticket(ticket))


def _add_ticket(parser: ArgumentParser) -> None:
    parser.add_argument("ticket", metavar="ID", nargs="?", help="the ticket's id, such as FIX-12")
    parser.add_argument("--ticket", metavar="ID", dest="ticket_flag", help="the same, as a flag")


def _named(parsed: Namespace) -> str:
    named = {name for name in (parsed.ticket, parsed.ticket_flag) if name}
    if len(named) != 1:
        raise InvalidParamsError("Name one ticket by its id, such as FIX-12.")
    return str(named.pop())


def _answered(parsed: Namespace, answer: TicketAnswer) -> int:
    if parsed.json:
        output.print_json(answer)
    else:
        output.line(answer.path)
    return 0


VERBS = {
    "tickets": Verb(_tickets_arguments, _tickets),
    "ticket list": Verb(_tickets_arguments, _tickets),
    "ticket create": Verb(
        _create_arguments, _create, "Prints the path of the ticket's index.md; describe the task there."
    ),
    "ticket close": Verb(_add_ticket, _close),
}
