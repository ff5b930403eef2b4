"""The verb that checks the machine."""

from argparse import ArgumentParser, Namespace

from metawsm_rpc.cli import output
from metawsm_rpc.cli.opening import service
from metawsm_rpc.cli.verbs import Verb
from metawsm_rpc.errors import DependencyMissingError


def _doctor_arguments(_parser: ArgumentParser) -> None:
    """Nothing to choose."""


def _doctor(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        found = verbs.doctor()
    if parsed.json:
        output.print_json(found)
    else:
        for check in found.checks:
            output.line(
                f"{'✓' if check.ok else '✗'} {check.name}: {check.detail}", colour="green" if check.ok else "red"
            )
            if check.hint and not check.ok:
                output.line(f"    {check.hint}")
    return 0 if all(check.ok for check in found.checks) else DependencyMissingError.exit_status


VERBS = {"doctor": Verb(_doctor_arguments, _doctor)}
