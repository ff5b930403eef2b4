"""Verbs that start, stop and steer runs."""

import contextlib
import signal
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any, get_args

from metawsm_rpc.answers import RunAnswer, RunStarted, Waited
from metawsm_rpc.cli import output
from metawsm_rpc.cli.arguments import add_agent, add_part_of_run, add_plan, add_run, count, duration, selector
from metawsm_rpc.cli.opening import service
from metawsm_rpc.cli.progress import follow, watch
from metawsm_rpc.cli.verbs import Verb
from metawsm_rpc.domain.models import Run, RunStatus
from metawsm_rpc.errors import StepFailedError, exit_status_of
from metawsm_rpc.service import Service

_GOOD = frozenset({"completed", "closed"})


# --- run and plan ---


def _run_arguments(parser: ArgumentParser) -> None:
    add_plan(parser)
    parser.add_argument("--dry-run", action="store_true", help="store the plan without running it; `resume` runs it")
    _add_wait(parser)


def _add_wait(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--wait", action="store_true", help="wait until the run has settled; exit with 1 unless it completed"
    )


def _request(parsed: Namespace) -> dict[str, Any]:
    return {
        "tickets": parsed.ticket,
        "repos": parsed.repos,
        "agents": parsed.agent,
        "strategy": parsed.strategy,
        "source": parsed.source,
        "base_branch": parsed.base_branch,
        "run_id": parsed.run_id,
    }


def _run(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        seq = verbs.events(limit=0).seq
        started = verbs.run(**_request(parsed), dry_run=parsed.dry_run)
        if parsed.dry_run:
            _show_stored(parsed, started)
            return 0
        run = _see_through(verbs, parsed, started.run_id, seq)
        if parsed.json:
            output.print_json(started._replace(status=run.status, steps=verbs.world.store.steps(run.run_id)))
        return _conclude(verbs, parsed, run)


def _show_stored(parsed: Namespace, stored: RunStarted) -> None:
    if parsed.json:
        output.print_json(stored)
        return
    from metawsm_rpc.cli.showing import show_steps

    show_steps(stored.steps)
    output.say(f"Stored as run {stored.run_id}; `metawsm resume {stored.run_id}` runs it.")


def _plan(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        shown = verbs.plan(**_request(parsed))
    if parsed.json:
        output.print_json(shown)
    elif shown.steps:
        from metawsm_rpc.cli.showing import show_steps

        show_steps(shown.steps)
    for problem in () if parsed.json else shown.problems:
        output.say(f"metawsm: {problem.message}", colour="red")
        if problem.hint:
            output.say(f"  {problem.hint}")
    return exit_status_of(shown.problems[0].code) if shown.problems else 0


def _see_through(verbs: Service, parsed: Namespace, run_id: str, since: int) -> Run:
    """Show the run's progress until its steps have ended, or with `--wait` until it has settled.

    Ctrl-C stops the run cleanly. Returns the run as it is then.
    """
    try:
        seen = follow(verbs, run_id, since, quiet=parsed.json)
        if getattr(parsed, "wait", False):
            return _await(verbs, parsed, run_id, seen).run
        return verbs.world.store.run(run_id)
    except KeyboardInterrupt:
        # A second, impatient Ctrl-C must not interrupt the stop itself.
        with _without_interrupt():
            output.say(f"Stopping run {run_id} …")
            verbs.stop(run_id)
        raise


def _await(
    verbs: Service, parsed: Namespace, run_id: str, since: int, until: Sequence[str] = (), timeout: float | None = None
) -> Waited:
    """Wait, and print agents' signals meanwhile, unless only JSON may be printed."""
    if not parsed.json:
        watch(verbs, run_id, since, until=until, timeout=timeout)
        timeout = 0
    return verbs.wait(run_id, until=until, timeout=timeout)


@contextlib.contextmanager
def _without_interrupt() -> Any:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _conclude(verbs: Service, parsed: Namespace, run: Run) -> int:
    """Print the outcome, and return the exit status: with `--wait` that of the run, else that of its steps.

    With `--json` the result is already on standard output, so an error is only printed for a person.
    """
    failed = [
        step
        for step in verbs.world.store.steps(run.run_id)
        if step.status == "failed" and (step.blocking or step.kind == "start_agent")
    ]
    if failed:
        error = StepFailedError(
            f"Run {run.run_id}: {failed[0].name} failed: {failed[0].error}",
            hint=f"`metawsm resume {run.run_id}` tries again, `metawsm status {run.run_id}` shows all steps.",
        )
        return output.fail(error, as_json=False)
    if not parsed.json:
        _tell(run)
    return 1 if getattr(parsed, "wait", False) and run.status not in _GOOD else 0


def _tell(run: Run) -> None:
    output.line(f"Run {run.run_id} is {run.status}.", colour=output.COLOURS.get(run.status))
    if run.error:
        output.say(f"  {run.error}", colour="red")


# --- wait, stop, complete ---


def _wait_arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "--until",
        metavar="STATUS",
        action="append",
        choices=get_args(RunStatus),
        help=f"a status to wait for ({', '.join(get_args(RunStatus))}); may be repeated (default: any settled one)",
    )
    parser.add_argument("--timeout", metavar="SECONDS", type=duration, help="the longest time to wait")


def _wait(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        run = verbs.select(**selector(parsed))
        seq = verbs.events(limit=0).seq
        waited = _await(verbs, parsed, run.run_id, seq, parsed.until or (), parsed.timeout)
        if parsed.json:
            output.print_json(waited)
        else:
            _tell(waited.run)
        good = waited.run.status in (parsed.until or _GOOD)
        return 0 if waited.reached and good else 1


def _stop(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        return _answered(parsed, verbs.stop(**selector(parsed)))


def _complete_arguments(parser: ArgumentParser) -> None:
    add_part_of_run(parser)
    add_agent(parser)


def _complete(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        return _answered(parsed, verbs.complete(**selector(parsed), agent=parsed.agent))


def _answered(parsed: Namespace, answer: Any) -> int:
    if parsed.json:
        output.print_json(answer)
    else:
        _tell(answer.run)
    return 0


# --- resume, restart, iterate, steps ---


def _resume_arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    _add_wait(parser)


def _resume(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        seq = verbs.events(limit=0).seq
        answer = verbs.resume(**selector(parsed))
        return _driven(verbs, parsed, answer, seq)


def _driven(verbs: Service, parsed: Namespace, answer: RunAnswer, seq: int) -> int:
    """Follow a run that a verb has started, then print the verb's result, brought up to date."""
    run = _see_through(verbs, parsed, answer.run.run_id, seq)
    if parsed.json:
        output.print_json(answer._replace(run=run))
    return _conclude(verbs, parsed, run)


def _restart_arguments(parser: ArgumentParser) -> None:
    add_part_of_run(parser)
    add_agent(parser)
    _add_wait(parser)


def _restart(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        seq = verbs.events(limit=0).seq
        answer = verbs.restart(**selector(parsed), agent=parsed.agent)
        if not parsed.json:
            for agent in answer.agents:
                output.line(f"{agent.name} on {agent.ticket} is {agent.status}.")
        run = _see_through(verbs, parsed, answer.agents[0].run_id, seq)
        if parsed.json:
            output.print_json(answer)
        if any(agent.status not in ("running", "completed") for agent in answer.agents) and run.error:
            error = StepFailedError(run.error, hint=f"`metawsm logs {run.run_id} --agent NAME` shows what it printed.")
            return output.fail(error, as_json=False)
        return _conclude(verbs, parsed, run)


def _iterate_arguments(parser: ArgumentParser) -> None:
    add_part_of_run(parser)
    add_agent(parser)
    parser.add_argument("text", nargs="?", metavar="FEEDBACK", help="what the agents should change or add")
    parser.add_argument("--feedback", metavar="TEXT", help="the same, as a flag")
    _add_wait(parser)


def _iterate(parsed: Namespace) -> int:
    if parsed.feedback is None and parsed.text is None and (parsed.run_id or parsed.ticket):
        # With the run given as a flag, the only free word is the feedback.
        parsed.run, parsed.text = None, parsed.run
    with service(parsed) as verbs:
        seq = verbs.events(limit=0).seq
        answer = verbs.iterate(**selector(parsed), feedback=parsed.feedback or parsed.text or "", agent=parsed.agent)
        if not parsed.json:
            _tell_sent(verbs, answer.run.run_id, seq)
        return _driven(verbs, parsed, answer, seq)


def _tell_sent(verbs: Service, run_id: str, since: int) -> None:
    """Print which working agents received the feedback, and why others did not."""
    for event in verbs.events(since=since, run_id=run_id).events:
        ticket, _, name = event.entity_id.rpartition("/")
        if event.type == "sent":
            output.line(f"{name} on {ticket} has it.")
        elif event.type == "not_sent":
            reason = (event.data or {}).get("reason")
            output.say(f"{name} on {ticket} finds it in its brief; it was not told: {reason}.")


def _step_arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("index", type=count, nargs="?", metavar="INDEX", help="the step's index, as status shows it")
    parser.add_argument("--index", type=count, dest="index_flag", metavar="INDEX", help="the same, as a flag")
    _add_wait(parser)


def _step(parsed: Namespace, name: str) -> int:
    from metawsm_rpc.errors import InvalidParamsError

    index = parsed.index if parsed.index_flag is None else parsed.index_flag
    if index is None and parsed.run is not None and parsed.run.isdigit() and (parsed.run_id or parsed.ticket):
        index, parsed.run = int(parsed.run), None
    if index is None:
        raise InvalidParamsError("Say which step by its index; `metawsm status RUN` shows them.")
    with service(parsed) as verbs:
        seq = verbs.events(limit=0).seq
        answer = getattr(verbs, name)(**selector(parsed), index=index)
        run = _see_through(verbs, parsed, answer.step.run_id, seq)
        if parsed.json:
            (step,) = (step for step in verbs.world.store.steps(run.run_id) if step.index == index)
            output.print_json(answer._replace(step=step))
        return _conclude(verbs, parsed, run)


_RUN_MORE = """Returns when the agents have been started; they keep running in tmux. Ctrl-C stops the run cleanly.
Examples:
  metawsm run --ticket FIX-12                          all agents of the policy
  metawsm run --ticket FIX-12 --repos app,lib --agent codex
  metawsm run --ticket A --ticket B --dry-run          store the plan only; resume runs it"""

_PLAN_MORE = """Prints every command that would be run, and on standard error any problems. With problems it exits
as `run` would, which refuses on the first of them."""

_WAIT_MORE = """Exits with 0 if the run completed or closed, with 1 if it settled otherwise or timed out."""

_RESUME_MORE = """Repeats failed steps and restarts agents that are gone; nothing that is done is repeated."""

_RESTART_MORE = """Without --agent, restarts all dead and failed agents. A named agent that is live is
stopped first."""

_ITERATE_MORE = """The feedback is added to the briefs. Working agents receive it at once; completed or stopped agents
start again.
Example:
  metawsm iterate RUN "The tests of lib fail; mend them." --agent codex"""

_STEP_MORE = """`metawsm status RUN` shows the steps that are not done, with their indexes."""

VERBS = {
    "run": Verb(_run_arguments, _run, _RUN_MORE),
    "plan": Verb(add_plan, _plan, _PLAN_MORE),
    "wait": Verb(_wait_arguments, _wait, _WAIT_MORE),
    "stop": Verb(add_run, _stop, "All work is kept; `metawsm resume` continues it."),
    "complete": Verb(_complete_arguments, _complete, "With --agent or RUN --ticket, only these agents."),
    "resume": Verb(_resume_arguments, _resume, _RESUME_MORE),
    "restart": Verb(_restart_arguments, _restart, _RESTART_MORE),
    "iterate": Verb(_iterate_arguments, _iterate, _ITERATE_MORE),
    "retry-step": Verb(_step_arguments, lambda parsed: _step(parsed, "retry_step"), _STEP_MORE),
    "skip-step": Verb(_step_arguments, lambda parsed: _step(parsed, "skip_step"), _STEP_MORE),
}
