"""Verbs on the policy."""

import json
import sys
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Sequence

from metawsm_rpc.cli import output
from metawsm_rpc.cli.opening import service
from metawsm_rpc.cli.verbs import Verb
from metawsm_rpc.domain.models import Problem
from metawsm_rpc.errors import InvalidPolicyError

_ACTIONS = {
    "init": "write a policy to start from",
    "check": "tell all that is wrong with the policy",
    "show": "print the policy that is in force: flags, environment, root, person and defaults",
    "schema": "print the JSON Schema of the policy",
    "migrate": "bring a policy of the Go metawsm up to date, with a backup",
}


def _policy_arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="|".join(_ACTIONS), required=True)
    for name, summary in _ACTIONS.items():
        action = actions.add_parser(name, help=summary, description=summary)
        if name == "init":
            action.add_argument("--force", action="store_true", help="replace a policy that is there")
        action.add_argument("--root", metavar="DIR", default=SUPPRESS, help="the folder that holds .metawsm")
        action.add_argument("--json", action="store_true", default=SUPPRESS, help="print one JSON document")


def _policy(parsed: Namespace) -> int:
    return _BY_ACTION[parsed.action](parsed)


def _init(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        made = verbs.policy_init(force=parsed.force)
    if parsed.json:
        output.print_json(made)
    else:
        output.line(f"Wrote {made.path}; name your agents there.")
    return 0


def _check(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        shown = verbs.policy()
    if parsed.json:
        output.print_json(shown)
    else:
        _show_problems(shown.problems)
        if not shown.problems:
            output.line(f"{shown.path} is fine.", colour="green")
    return InvalidPolicyError.exit_status if shown.problems else 0


def _show(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        shown = verbs.policy()
    if parsed.json:
        output.print_json(shown)
    elif shown.policy is not None:
        sys.stdout.write(json.dumps(shown.policy, indent=2, ensure_ascii=False) + "\n")
    else:
        _show_problems(shown.problems)
    return InvalidPolicyError.exit_status if shown.problems else 0


def _show_problems(problems: Sequence[Problem]) -> None:
    for problem in problems:
        where = ":".join(str(part) for part in (problem.path, problem.line, problem.column) if part is not None)
        output.line(f"{where}: {problem.message}" if where else problem.message, colour="red")
        if problem.hint:
            output.line(f"    {problem.hint}")


def _schema(_parsed: Namespace) -> int:
    from metawsm_rpc.policy import schema

    sys.stdout.write(schema.text())
    return 0


def _migrate(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        migrated = verbs.policy_migrate()
    if parsed.json:
        output.print_json(migrated)
        return 0
    if migrated.backup is None:
        output.line(f"{migrated.path} has the newest version already.")
        return 0
    output.line(f"Wrote {migrated.path}; the old policy is {migrated.backup}.", colour="green")
    for note in migrated.notes:
        output.line(f"  not carried over: {note.pointer}: {note.message}", colour="yellow")
    return 0


_BY_ACTION = {"init": _init, "check": _check, "show": _show, "schema": _schema, "migrate": _migrate}

VERBS = {"policy": Verb(_policy_arguments, _policy)}
