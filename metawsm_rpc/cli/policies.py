"""Verbs on the policy."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from metawsm_rpc.cli import output
from metawsm_rpc.cli.opening import service
from metawsm_rpc.cli.verbs import Verb
from metawsm_rpc.domain.models import Problem
from metawsm_rpc.errors import InvalidPolicyError

_INIT_MORE = """Its agent is the first of codex, claude, gemini, opencode and aider that is installed.
Settings that the file omits have their defaults; `metawsm policy show` prints all of it."""

_SHOW_MORE = """Highest precedence first: flags, environment (METAWSM_<SECTION>_<FIELD>), the root's policy.json,
the person's ($XDG_CONFIG_HOME/metawsm/policy.json), defaults."""


def _no_arguments(_parser: ArgumentParser) -> None:
    """Nothing to choose."""


def _init_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="overwrite an existing policy")


def _init(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        made = verbs.policy_init(force=parsed.force)
        shown = verbs.policy()
    if parsed.json:
        output.print_json(made)
    else:
        agents = ", ".join(agent["name"] for agent in (shown.policy or {}).get("agents", ())) or "none"
        output.line(f"Wrote {made.path}.")
        output.say(f"Its agents: {agents}; change them there, and see with `metawsm doctor` whether all is well.")
    return 0


def _check(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        shown = verbs.policy()
    if parsed.json:
        output.print_json(shown)
    else:
        _show_problems(shown.problems)
        if not shown.problems and Path(shown.path).exists():
            output.line(f"{shown.path} is fine.", colour="green")
        elif not shown.problems:
            output.line(f"There is no {shown.path}, so the defaults are in force; `metawsm policy init` writes one.")
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


VERBS = {
    "policy init": Verb(_init_arguments, _init, _INIT_MORE),
    "policy check": Verb(_no_arguments, _check, "Exits with 2 when something is wrong."),
    "policy show": Verb(_no_arguments, _show, _SHOW_MORE),
    "policy schema": Verb(_no_arguments, _schema, "Editors use it to complete and check policy.json."),
    "policy migrate": Verb(_no_arguments, _migrate, "Settings that cannot be carried over are listed."),
}
