"""The status of an agent whose process has ended, and whether it is restarted automatically."""

from collections.abc import Mapping
from typing import Any

from metawsm_rpc.domain.clock import timestamp
from metawsm_rpc.domain.lifecycles import SETTLING
from metawsm_rpc.domain.models import Agent, Health
from metawsm_rpc.policy.view import HealthThresholds, profile_of
from metawsm_rpc.ports.store import Transaction
from metawsm_rpc.ports.terminals import Exit

Policy = Mapping[str, Any]


def exited(transaction: Transaction, agent: Agent, policy: Policy, record: Exit, now: float) -> None:
    """Record an agent's exit: completed or failed according to its profile, dead when a signal killed it."""
    at: dict[str, Any] = {"exit_code": record.code}
    if signal := signal_of(record.code):
        died(transaction, agent, policy, f"signal {signal} killed it", now, **at)
        return
    completes = profile_of(policy, agent.name).completes_on == "exit"
    facts = {"exit_completes"} if completes and record.code == 0 else set()
    why = f"it exited with {record.code}"
    if record.code == 0 and not completes:
        why = "it exited with 0 without having said done"
    transaction.move_agent(agent.run_id, agent.ticket, agent.name, "exit", facts=facts, message=why, **at)
    if not facts:
        transaction.set_error(agent.run_id, f"{agent.ticket}: {agent.name} failed: {why}")


def died(transaction: Transaction, agent: Agent, policy: Policy, why: str, now: float, **columns: Any) -> None:
    """Record that an agent is dead, and while its restart budget lasts, that it is owed a new launch."""
    key = (agent.run_id, agent.ticket, agent.name)
    source = "exit record" if columns else "terminal"
    transaction.set_health(*key, Health("dead", why, source, timestamp(now)))
    transaction.move_agent(*key, "die", message=why, **columns)
    if agent.due is not None:
        return  # somebody has asked for a new launch of it already, which is not the budget's
    budget, used = HealthThresholds.of(policy).restart_budget, agent.automatic_restarts
    if used < budget and transaction.run(agent.run_id).status in SETTLING:
        transaction.set_agent(*key, due="budget")
        message = f"it is started again: restart {used + 1} of {budget}"
        transaction.record(agent.run_id, "agent", f"{agent.ticket}/{agent.name}", "restart_due", message=message)
        return
    spent = f"; all {budget} restarts of its budget are used" if budget else ""
    transaction.set_error(agent.run_id, f"{agent.ticket}: {agent.name} died: {why}{spent}")


def signal_of(code: int) -> int | None:
    """Return the signal in a shell's exit code (128 + n), None when there is none."""
    return code - 128 if 128 < code <= 192 else None
