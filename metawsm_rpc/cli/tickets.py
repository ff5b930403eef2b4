"""Verbs on tickets."""

from argparse import SUPPRESS, ArgumentParser, Namespace

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
        empty="There are no tickets here yet; `metawsm ticket create ID` makes one.",
    )
    return 0


def _ticket_arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="create|list|close", required=True)
    create = actions.add_parser("create", help="make a ticket")
    create.add_argument("ticket", metavar="ID", nargs="?")
    create.add_argument("--ticket", metavar="ID", dest="ticket_flag", help="the same, as a flag")
    create.add_argument("--title", metavar="T", help="what it is about (default: the id)")
    create.add_argument("--topics", metavar="A,B", type=listed, default=[], help="topics, for finding it again")
    close = actions.add_parser("close", help="set a ticket's status to complete")
    close.add_argument("ticket", metavar="ID", nargs="?")
    close.add_argument("--ticket", metavar="ID", dest="ticket_flag", help="the same, as a flag")
    rows = actions.add_parser("list", help="list tickets")
    rows.add_argument("--status", metavar="S", help="only tickets with this status")
    for action in (create, close, rows):
        # After the action too; SUPPRESS keeps what was given before it.
        action.add_argument("--root", metavar="DIR", default=SUPPRESS, help="the folder that holds .metawsm")
        action.add_argument("--json", action="store_true", default=SUPPRESS, help="print one JSON document")


def _ticket(parsed: Namespace) -> int:
    if parsed.action == "list":
        return _tickets(parsed)
    ticket = parsed.ticket_flag or parsed.ticket
    if not ticket:
        raise InvalidParamsError(f"Say which ticket: metawsm ticket {parsed.action} ID.")
    with service(parsed) as verbs:
        if parsed.action == "create":
            answer = verbs.create_ticket(ticket, title=parsed.title, topics=parsed.topics)
        else:
            answer = verbs.close_ticket(ticket)
    if parsed.json:
        output.print_json(answer)
    else:
        output.line(answer.path)
    return 0


VERBS = {"tickets": Verb(_tickets_arguments, _tickets), "ticket": Verb(_ticket_arguments, _ticket)}
