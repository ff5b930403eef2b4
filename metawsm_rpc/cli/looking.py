"""Verbs that only read."""

import os
import shlex
import sys
import time
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, get_args

from metawsm_rpc.cli import output
from metawsm_rpc.cli.arguments import add_agent, add_part_of_run, add_run, count, selector
from metawsm_rpc.cli.opening import service
from metawsm_rpc.cli.verbs import Verb
from metawsm_rpc.domain.models import Agent, Health, RunStatus
from metawsm_rpc.errors import IllegalTransitionError, InvalidParamsError
from metawsm_rpc.service import Service

if TYPE_CHECKING:
    from metawsm_rpc.answers import Observation

_FOLLOW_SECONDS = 0.1
_PART_BYTES = 65536

_LOGS_MORE = """Examples:
  metawsm logs                                 all that the only agent of the only open run printed
  metawsm logs RUN --agent codex -f            what it printed, and then what it prints
  metawsm logs RUN --agent codex --offset -500 the last 500 bytes"""

_ATTACH_MORE = """Detach with Ctrl-b d; the agent keeps running. With --json it prints the command that opens the
terminal, for another program to run."""


# --- status and runs ---


def _tell_if_stored(verbs: Service) -> None:
    """Say when what is shown may be old: nothing that is seen now can be kept."""
    if not verbs.writable:
        output.say("metawsm: .metawsm cannot be written, so this is what was recorded last.")


def _status(parsed: Namespace) -> int:
    chosen = selector(parsed)
    if not any(chosen.values()):
        return _runs(Namespace(**vars(parsed), status=None, limit=None, offset=0))
    with service(parsed) as verbs:
        _tell_if_stored(verbs)
        detail = verbs.status(**chosen)
    if parsed.json:
        output.print_json(detail)
    else:
        from metawsm_rpc.cli.showing import show_run

        show_run(detail)
    return 0


def _runs_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--ticket", metavar="T", action="append", help="only runs of this ticket; may be repeated")
    parser.add_argument(
        "--status",
        metavar="S",
        action="append",
        choices=get_args(RunStatus),
        help=f"only runs with this status ({', '.join(get_args(RunStatus))}); may be repeated",
    )
    parser.add_argument("--limit", metavar="N", type=count, help="at most so many")
    parser.add_argument("--offset", metavar="N", type=count, default=0, help="leave out the newest N")


def _runs(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        _tell_if_stored(verbs)
        listed = verbs.runs(
            tickets=parsed.ticket or (), statuses=parsed.status or (), limit=parsed.limit, offset=parsed.offset
        )
    if parsed.json:
        output.print_json(listed)
    else:
        from metawsm_rpc.cli.showing import show_runs

        chosen = bool(parsed.ticket or parsed.status or parsed.limit is not None or parsed.offset)
        show_runs(listed.runs, listed.total, chosen=chosen)
    return 0


# --- one agent ---


def _agent_arguments(parser: ArgumentParser) -> None:
    add_part_of_run(parser)
    add_agent(parser)


def _chosen_agent(verbs: Service, parsed: Namespace) -> tuple[str, Agent]:
    """Return the selected run and agent, by default the only one."""
    chosen = selector(parsed)
    run = verbs.select(chosen["run_id"], chosen["ticket"])
    agents = [
        agent
        for agent in verbs.world.store.agents(run.run_id)
        if parsed.agent in (None, agent.name) and parsed.ticket in (None, agent.ticket)
    ]
    if parsed.agent is None and len(agents) != 1:
        listed = ", ".join(f"{agent.name} on {agent.ticket}" for agent in agents)
        raise InvalidParamsError(f"Say which agent of run {run.run_id} (--agent, --ticket): {listed}.")
    return run.run_id, verbs.agent(run, agents[0].name if parsed.agent is None else parsed.agent, parsed.ticket)


def _attach(parsed: Namespace) -> int:  # noqa: RET503 - execvp does not return
    with service(parsed) as verbs:
        run_id, agent = _chosen_agent(verbs, parsed)
        attachment = verbs.attach(run_id, agent=agent.name, ticket=agent.ticket)
    if parsed.json:
        output.print_json(attachment)
        return 0
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidParamsError(
            "An agent's terminal opens in a terminal; here is none.", hint=f"Run: {shlex.join(attachment.argv)}"
        )
    os.execvp(attachment.argv[0], attachment.argv)  # noqa: S606 - our own argv replaces this process


def _content_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("uri", metavar="URI", help="its address, such as metawsm:/run/RUN or metawsm:/diff/RUN/T-1/app")


def _content(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        found = verbs.content(parsed.uri)
    if parsed.json:
        output.print_json(found)
    else:
        output.line(found.text.rstrip("\n"))
    return 0


def _logs_arguments(parser: ArgumentParser) -> None:
    _agent_arguments(parser)
    parser.add_argument(
        "-f", "--follow", action="store_true", help="keep printing new output until the agent has ended"
    )
    parser.add_argument("--raw", action="store_true", help="include terminal escape sequences")
    parser.add_argument("--offset", type=int, metavar="BYTES", help="where to start; negative: from the end")
    parser.add_argument("--limit", type=count, metavar="BYTES", help="the largest amount to print")


def _logs(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        run_id, agent = _chosen_agent(verbs, parsed)
        if parsed.json:
            part = verbs.transcript(
                run_id,
                agent=agent.name,
                ticket=agent.ticket,
                offset=parsed.offset or 0,
                limit=_PART_BYTES if parsed.limit is None else parsed.limit,
                raw=parsed.raw,
            )
            output.print_json(part)
            return 0
        _print_transcript(verbs, parsed, agent)
    return 0


def _print_transcript(verbs: Service, parsed: Namespace, agent: Agent) -> None:
    offset, left, ended = parsed.offset or 0, parsed.limit, not parsed.follow
    while True:
        limit = _PART_BYTES if left is None else min(_PART_BYTES, left)
        part = verbs.transcript(
            agent.run_id, agent=agent.name, ticket=agent.ticket, offset=offset, limit=limit, raw=parsed.raw
        )
        sys.stdout.write(part.text)
        sys.stdout.flush()
        is_stuck = part.next_offset == part.offset
        offset = part.next_offset
        if left is not None:
            left -= limit
            if left <= 0:
                return
        if offset >= part.size or is_stuck:
            if ended:
                return
            # Read once more after its end, because the pipe lags a little behind.
            ended = _has_ended(verbs, agent)
            time.sleep(_FOLLOW_SECONDS)


def _has_ended(verbs: Service, agent: Agent) -> bool:
    now = verbs.agent(verbs.world.store.run(agent.run_id), agent.name, agent.ticket)
    if now.status == "pending":
        return False
    try:
        verbs.attach(agent.run_id, agent=agent.name, ticket=agent.ticket)
    except IllegalTransitionError:
        return True
    return False


def _explain(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        run_id, agent = _chosen_agent(verbs, parsed)
        explained = verbs.explain(run_id, agent=agent.name, ticket=agent.ticket)
    if parsed.json:
        output.print_json(explained)
        return 0
    health = explained.health
    if health is None:
        output.line(f"{agent.name} on {agent.ticket} is {agent.status}, so nothing is expected of it.")
    else:
        since = _when(health.since)
        output.line(
            f"{agent.name} on {agent.ticket} is {health.state}: {health.reason} ({health.source}, since {since})"
        )
    decided = next((item for item in explained.evidence if health and _decides(item, health)), None)
    output.table(
        ("", "evidence", "observed", "at", "speaks for"),
        [
            ("=>" if item is decided else "", item.source, item.observed, _when(item.at), item.says or "-")
            for item in explained.evidence
        ],
        empty="Nothing was looked at.",
    )
    return 0


def _when(at: str) -> str:
    """Return when something was observed: for a person as an age, which is shorter."""
    from metawsm_rpc.cli.showing import ago

    return ago(at) if output.is_terminal(sys.stdout) else at


def _decides(item: "Observation", health: Health) -> bool:
    # The stored reason may contain a duration as of the time when the state began.
    counts = item.source in ("activity", "progress")
    return (item.source, item.says) == (health.source, health.state) and (counts or item.observed == health.reason)


# --- diff and history ---


def _diff_arguments(parser: ArgumentParser) -> None:
    add_part_of_run(parser)
    parser.add_argument("--repo", metavar="NAME", help="only this repository")
    parser.add_argument("--patch", "-p", action="store_true", help="include the changes themselves")


def _diff(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        found = verbs.diff(**selector(parsed), repo=parsed.repo, patch=parsed.patch)
    if parsed.json:
        output.print_json(found)
        return 0
    from metawsm_rpc.cli.showing import show_diffs

    show_diffs(found, patch=parsed.patch)
    if not found.repos:
        output.say("There are no worktrees to look at (any more).")
    return 0


def _history_arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--since", type=count, default=0, metavar="SEQ", help="only events after this number")
    parser.add_argument("--limit", type=count, metavar="N", help="at most so many")


def _history(parsed: Namespace) -> int:
    chosen = selector(parsed)
    with service(parsed) as verbs:
        run_id = verbs.select(**chosen).run_id if any(chosen.values()) else None
        listed = verbs.events(since=parsed.since, limit=parsed.limit, run_id=run_id)
    if parsed.json:
        output.print_json(listed)
        return 0
    from metawsm_rpc.cli.showing import show_events

    show_events(
        listed.events,
        of_one_run=run_id is not None,
        empty="Nothing has happened since." if parsed.since else "Nothing has happened yet.",
    )
    return 0


VERBS = {
    "status": Verb(add_run, _status, "Without a run, it lists all runs, like `metawsm runs`."),
    "runs": Verb(_runs_arguments, _runs),
    "attach": Verb(_agent_arguments, _attach, _ATTACH_MORE),
    "logs": Verb(_logs_arguments, _logs, _LOGS_MORE),
    "content": Verb(_content_arguments, _content),
    "explain": Verb(_agent_arguments, _explain),
    "diff": Verb(_diff_arguments, _diff),
    "history": Verb(_history_arguments, _history, "Without a run, it lists the events of all runs."),
}
