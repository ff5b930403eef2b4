"""Steps whose executor is gone: they failed without costing a try, and go on or wait for a person."""

from collections.abc import Mapping
from typing import Any

from metawsm_rpc.domain.models import Step
from metawsm_rpc.policy.view import ExecutionLimits
from metawsm_rpc.ports.store import Transaction


def interrupt_step(transaction: Transaction, step: Step, policy: Mapping[str, Any]) -> None:
    """Move a running step to failed; with `execution.on_interrupt: fail` it is not tried again by itself."""
    if ExecutionLimits.of(policy).on_interrupt == "resume":
        transaction.move_step(step.run_id, step.index, "interrupt", message="interrupted")
        return
    tries = transaction.step(step.run_id, step.index).attempts - 1
    transaction.move_step(step.run_id, step.index, "interrupt", message="interrupted", attempt_limit=tries)
    transaction.set_error(
        step.run_id, f"{step.ticket}: {step.name} was interrupted; `metawsm resume {step.run_id}` goes on."
    )
