"""The checks of `doctor`: is everything available that runs will need?"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from metawsm_rpc.domain.models import Problem
from metawsm_rpc.errors import MetawsmError
from metawsm_rpc.policy.view import agent_names, profile_of
from metawsm_rpc.ports.machine import Machine
from metawsm_rpc.ports.worktrees import Worktrees


class Check(NamedTuple):
    """The result of one check; `hint` says what to do when it is not `ok`."""

    name: str
    ok: bool
    detail: str
    hint: str | None


def diagnose(
    machine: Machine, policy: Mapping[str, Any] | None, problems: Sequence[Problem], *, trusted: bool = True
) -> tuple[Check, ...]:
    """Check the policy, and with it git, tmux, repositories, tickets and the agents' programs.

    In an untrusted folder nothing is executed, so only files are checked.
    """
    if policy is None:
        first = problems[0]
        where = ":".join(str(part) for part in (first.path, first.line, first.column) if part is not None)
        detail = f"{where}: {first.message}" if where else first.message
        return (Check("policy", ok=False, detail=detail, hint=first.hint),)
    return (Check("policy", ok=True, detail="can be used", hint=None), *_checks(machine, policy, trusted=trusted))


def _checks(machine: Machine, policy: Mapping[str, Any], *, trusted: bool) -> Iterator[Check]:
    tickets = _tried("tickets", lambda: f"{len(machine.tickets(policy).all())} in {machine.tickets(policy).directory}")
    if not trusted:
        yield tickets
        yield Check("trust", ok=False, detail="only what can be read was looked at", hint="Trust the folder.")
        return
    worktrees = machine.worktrees(policy)
    yield _tried("git", worktrees.version)
    yield _tried("tmux", machine.terminals(policy).version)
    yield _tried("identity", lambda: _identities(machine, worktrees))
    yield _tried("repositories", lambda: ", ".join(source.name for source in worktrees.sources()) or "none")
    for name in policy["repositories"]:
        if error := worktrees.problem(name):
            yield Check(f"repository {name}", ok=False, detail=error.message, hint=error.hint)
    yield tickets
    programs = machine.programs(policy)
    environment = programs.environment()
    for agent in agent_names(policy):
        program = profile_of(policy, agent).command[0]
        path = programs.find(program, environment)
        hint = None if path else f"Install {program}, or give {agent} another command in the policy."
        yield Check(f"agent {agent}", ok=path is not None, detail=path or f"{program} is not on PATH", hint=hint)


def _identities(machine: Machine, worktrees: Worktrees) -> str:
    """Return the committer identities of the repositories; without any, that of the root."""
    folders = [source.path for source in worktrees.sources()] or [machine.root]
    return ", ".join(dict.fromkeys(worktrees.identity(folder) for folder in folders))


def _tried(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, ok=True, detail=look(), hint=None)
    except MetawsmError as error:
        return Check(name, ok=False, detail=error.message, hint=error.hint)
