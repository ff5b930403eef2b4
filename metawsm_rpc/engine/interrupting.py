"""Marks steps whose driver is gone as interrupted; they continue by themselves or wait for a person."""

from collections.abc import Mapping, Sequence
from typing import Any

from metawsm_rpc.domain.models import Step
from metawsm_rpc.domain.settle import runnable
from metawsm_rpc.policy.view import ExecutionLimits
from metawsm_rpc.ports.store import Transaction


def waits_for_a_person(policy: Mapping[str, Any]) -> bool:
    """Return whether a run whose driver died continues only on a person's request."""
    return ExecutionLimits.of(policy).on_interrupt == "fail"


def interrupt_run(transaction: Transaction, run_id: str, steps: Sequence[Step], policy: Mapping[str, Any]) -> None:
    """Mark the running steps of a run without a driver as interrupted; pending ones wait like the others."""
    held_up = runnable(steps) if waits_for_a_person(policy) else ()
    for step in held_up:
        transaction.allow_attempts(run_id, step.index, 0)
    if held_up:
        transaction.set_error(run_id, f"Its execution was interrupted; `metawsm resume {run_id}` goes on.")
    for step in steps:
        if step.status == "running":
            interrupt_step(transaction, step, policy)


def interrupt_step(transaction: Transaction, step: Step, policy: Mapping[str, Any]) -> None:
    """Move a running step to failed; with `execution.on_interrupt: fail` it is not retried automatically."""
    if not waits_for_a_person(policy):
        transaction.move_step(step.run_id, step.index, "interrupt", message="interrupted")
        return
    tries = transaction.step(step.run_id, step.index).attempts - 1
    transaction.move_step(step.run_id, step.index, "interrupt", message="interrupted", attempt_limit=tries)
    transaction.set_error(
        step.run_id, f"{step.ticket}: {step.name} was interrupted; `metawsm resume {step.run_id}` goes on."
    )
