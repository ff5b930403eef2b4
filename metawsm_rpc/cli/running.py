"""Verbs that start, stop and steer runs."""

import contextlib
import signal
from argparse import ArgumentParser, Namespace
from typing import Any

from metawsm_rpc.cli import output
from metawsm_rpc.cli.arguments import add_agent, add_plan, add_run, selector
from metawsm_rpc.cli.opening import service
from metawsm_rpc.cli.progress import follow
from metawsm_rpc.cli.verbs import Verb
from metawsm_rpc.domain.models import SETTLED, Run
from metawsm_rpc.errors import StepFailedError
from metawsm_rpc.service import Service

_GOOD = frozenset({"completed", "closed"})


# --- run and plan ---


def _run_arguments(parser: ArgumentParser) -> None:
    add_plan(parser)
    parser.add_argument("--dry-run", action="store_true", help="store the plan and run nothing; `resume` runs it")
    parser.add_argument("--wait", action="store_true", help="stay until the run has settled")


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
        if not parsed.dry_run:
            _see_through(verbs, parsed, started.run_id, seq)
        run = verbs.world.store.run(started.run_id)
        steps = verbs.world.store.steps(started.run_id)
        if parsed.json:
            output.print_json(started._replace(status=run.status, steps=steps))
        elif parsed.dry_run:
            from metawsm_rpc.cli.showing import show_steps

            show_steps(steps)
            output.say(f"Stored as run {run.run_id}; `metawsm resume {run.run_id}` runs it.")
        return _after_steps(verbs, parsed, run)


def _plan(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        shown = verbs.plan(**_request(parsed))
        if parsed.json:
            output.print_json(shown)
            return 0
        from metawsm_rpc.cli.showing import show_steps

        show_steps(shown.steps)
        for problem in shown.problems:
            output.say(problem.message, colour="red")
        return 0


def _see_through(verbs: Service, parsed: Namespace, run_id: str, since: int) -> None:
    """Show the run's progress until its steps have ended; Ctrl-C stops the run in order."""
    try:
        follow(verbs, run_id, since, quiet=parsed.json)
    except KeyboardInterrupt:
        # The stop itself must not be cut off by a second, impatient Ctrl-C.
        with _without_interrupt():
            output.say(f"Stopping run {run_id} …")
            verbs.stop(run_id)
        raise


@contextlib.contextmanager
def _without_interrupt() -> Any:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _after_steps(verbs: Service, parsed: Namespace, run: Run) -> int:
    """Return the exit status of a verb whose steps have ended; with `--wait` once the run has settled."""
    failed = [
        step
        for step in verbs.world.store.steps(run.run_id)
        if step.status == "failed" and (step.blocking or step.kind == "start_agent")
    ]
    if getattr(parsed, "wait", False) and run.status not in SETTLED and not getattr(parsed, "dry_run", False):
        run = _wait_until_settled(verbs, run)
        if not parsed.json:
            _tell(run)
        return 0 if run.status in _GOOD else 1
    if failed:
        raise StepFailedError(
            f"Run {run.run_id}: {failed[0].name} failed: {failed[0].error}",
            hint=f"`metawsm resume {run.run_id}` tries again, `metawsm status {run.run_id}` shows all steps.",
        )
    if not parsed.json and not getattr(parsed, "dry_run", False):
        _tell(run)
    return 0


def _wait_until_settled(verbs: Service, run: Run) -> Run:
    try:
        return verbs.wait(run.run_id).run
    except KeyboardInterrupt:
        with _without_interrupt():
            output.say(f"Stopping run {run.run_id} …")
            verbs.stop(run.run_id)
        raise


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
        default=[],
        help="a status to wait for; repeat it for more (default: any settled one)",
    )
    parser.add_argument("--timeout", metavar="SECONDS", type=float, help="how long to wait")


def _wait(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        waited = verbs.wait(**selector(parsed), until=parsed.until, timeout=parsed.timeout)
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
    add_run(parser)
    add_agent(parser, required=False)


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
    parser.add_argument("--wait", action="store_true", help="stay until the run has settled")


def _resume(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        seq = verbs.events(limit=0).seq
        answer = verbs.resume(**selector(parsed))
        return _driven(verbs, parsed, answer, seq)


def _driven(verbs: Service, parsed: Namespace, answer: Any, seq: int) -> int:
    """See a run through that a verb has set going, then print what the verb answers, as it is now."""
    run_id = answer.run.run_id
    _see_through(verbs, parsed, run_id, seq)
    run = verbs.world.store.run(run_id)
    if parsed.json:
        output.print_json(answer._replace(run=run))
    return _after_steps(verbs, parsed, run)


def _restart_arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    add_agent(parser, required=False)
    parser.add_argument("--wait", action="store_true", help="stay until the run has settled")


def _restart(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        answer = verbs.restart(**selector(parsed), agent=parsed.agent)
        run = verbs.world.store.run(answer.agents[0].run_id)
        if parsed.json:
            output.print_json(answer)
        else:
            for agent in answer.agents:
                output.line(f"{agent.name} on {agent.ticket} is {agent.status}.")
        if any(agent.status not in ("running", "completed") for agent in answer.agents) and run.error:
            raise StepFailedError(run.error, hint=f"`metawsm logs {run.run_id} --agent NAME` shows what it printed.")
        return _after_steps(verbs, parsed, run)


def _iterate_arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    add_agent(parser, required=False)
    parser.add_argument("text", nargs="?", metavar="FEEDBACK", help="what should be done differently, or further")
    parser.add_argument("--feedback", metavar="TEXT", help="the same, as a flag")
    parser.add_argument("--wait", action="store_true", help="stay until the run has settled")


def _iterate(parsed: Namespace) -> int:
    if parsed.feedback is None and parsed.text is None and (parsed.run_id or parsed.ticket):
        # With the run given as a flag, the only free word is the feedback.
        parsed.run, parsed.text = None, parsed.run
    with service(parsed) as verbs:
        seq = verbs.events(limit=0).seq
        answer = verbs.iterate(**selector(parsed), feedback=parsed.feedback or parsed.text or "", agent=parsed.agent)
        return _driven(verbs, parsed, answer, seq)


def _step_arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("index", type=int, nargs="?", metavar="INDEX", help="the step's index, as status shows it")
    parser.add_argument("--index", type=int, dest="index_flag", metavar="INDEX", help="the same, as a flag")


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
        _see_through(verbs, parsed, answer.step.run_id, seq)
        if parsed.json:
            (step,) = (s for s in verbs.world.store.steps(answer.step.run_id) if s.index == index)
            output.print_json(answer._replace(step=step))
        return _after_steps(verbs, parsed, verbs.world.store.run(answer.step.run_id))


VERBS = {
    "run": Verb(_run_arguments, _run),
    "plan": Verb(add_plan, _plan),
    "wait": Verb(_wait_arguments, _wait),
    "stop": Verb(add_run, _stop),
    "complete": Verb(_complete_arguments, _complete),
    "resume": Verb(_resume_arguments, _resume),
    "restart": Verb(_restart_arguments, _restart),
    "iterate": Verb(_iterate_arguments, _iterate),
    "retry-step": Verb(_step_arguments, lambda parsed: _step(parsed, "retry_step")),
    "skip-step": Verb(_step_arguments, lambda parsed: _step(parsed, "skip_step")),
}
