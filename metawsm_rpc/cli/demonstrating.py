"""The verb that shows what metawsm is: a whole run, from the plan to the merge, in a scratch folder.

A server is started there and spoken to as editors do. What its verbs answer is shown as the command line
shows it, and what it tells besides, events and diagnostics, as it comes.
"""

import contextlib
import io
import shlex
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from metawsm_rpc.answers import (
    AgentsAnswer,
    Checks,
    CloseAnswer,
    Diffs,
    GuidanceAnswer,
    PlanShown,
    RunAnswer,
    RunStarted,
)
from metawsm_rpc.cli import output, progress, showing
from metawsm_rpc.cli.verbs import Verb
from metawsm_rpc.demo import scene
from metawsm_rpc.demo.client import Client, Published
from metawsm_rpc.demo.known import Change, Known
from metawsm_rpc.demo.scratch import Scratch, scratch, uninterrupted
from metawsm_rpc.demo.story import AGENTS, ANSWERS, PAST, TICKETS, WORK
from metawsm_rpc.domain.models import Event, Run, RunDetail, Step
from metawsm_rpc.errors import DependencyMissingError, InvalidParamsError, MetawsmError, StepFailedError

_RUN = "demo"
_PACE_SECONDS = 1.9

_TICKETS = tuple(ticket.ticket for ticket in TICKETS)
_REPOS = tuple(PAST)
_REQUEST = (
    *(word for ticket in _TICKETS for word in ("--ticket", ticket)),
    *("--repos", ",".join(_REPOS)),
    *("--run-id", _RUN),
)
_PARAMETERS = {"tickets": _TICKETS, "repos": _REPOS, "run_id": _RUN}


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--yes", "-y", action="store_true", help="go on without asking, as it does without a terminal")
    parser.add_argument("--keep", action="store_true", help="leave the folder, for looking around")
    parser.add_argument("--directory", metavar="DIR", help="where to do it: a folder that is empty or not there yet")
    parser.add_argument(
        "--pace",
        metavar="SECONDS",
        type=float,
        default=_PACE_SECONDS,
        help="how long an agent thinks before it acts (default: %(default)s)",
    )


def _demo(parsed: Namespace) -> int:
    _check(parsed)
    signal.signal(signal.SIGHUP, _hang_up)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Progress goes to standard error: where both end in one file, they must come in order.
        sys.stdout.reconfigure(line_buffering=True)
    asks = not parsed.yes and sys.stdin.isatty() and sys.stdout.isatty()
    with scratch(parsed.directory, keep=parsed.keep) as place:
        scene.write_policy(place.root, workspaces=place.workspaces, pace=parsed.pace)
        client = Client(place.root, log=place.root / ".metawsm" / "server.log")
        try:
            _Demonstration(client, place, asks=asks).show()
        except BaseException as error:
            with uninterrupted():
                if isinstance(error, KeyboardInterrupt):
                    output.say("Clearing up …")
                # Without a run there is none to stop, and tmux is ended afterwards anyway.
                with contextlib.suppress(MetawsmError):
                    client.ask("stop", RunAnswer, run_id=_RUN)
            raise
        finally:
            with uninterrupted():
                client.end()
        if parsed.keep:
            output.line(f"\nIt stays in {place.folder}; try: metawsm --root {shlex.quote(str(place.root))} history")
    if not parsed.keep:
        output.line("\nAll that was made for this is removed again.")
    _tell_what_next()
    return 0


def _check(parsed: Namespace) -> None:
    if parsed.json:
        raise InvalidParamsError("The demonstration is for people, so there is no --json of it; leave that out.")
    if parsed.root:
        raise InvalidParamsError("The demonstration makes a root of its own; --directory says where, not --root.")
    if not 0 <= parsed.pace <= 60:
        raise InvalidParamsError(f"A pace is between 0 and 60 seconds, so it cannot be {parsed.pace:g}.")


def _hang_up(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _tell_what_next() -> None:
    output.line("\nWith your own repositories:", colour="bold")
    for command in (
        "metawsm policy init",
        'metawsm ticket create T-1 --title "What is to be done"',
        "metawsm run --ticket T-1 --repos a,b --agent claude",
    ):
        output.line(f"   $ {command}", colour="cyan")


class _Demonstration:
    """The parts of the demonstration, in order."""

    def __init__(self, client: Client, place: Scratch, *, asks: bool) -> None:
        self._client = client
        self._place = place
        self._asks = asks
        self._part = 0
        self._news = client.news()
        self._known = Known()

    def show(self) -> None:
        """Show all of it. Raises `MetawsmError` when something does not go as it should."""
        self._check_machine()
        scene.make_repositories(self._place.root)
        scene.make_tickets(self._client)
        self._introduce()
        self._show_plan()
        self._show_run()
        self._show_work()
        self._answer()
        self._restart()
        if self._agrees("Show the diff?"):
            self._show_diff()
        if self._agrees("Merge all of it, and close the run?"):
            self._show_close()
            self._show_history()
        else:
            output.line("Nothing was merged.")

    # --- the parts ---

    def _check_machine(self) -> None:
        for check in self._client.ask("doctor", Checks).checks:
            if not check.ok:
                raise DependencyMissingError(check.detail, hint=check.hint)

    def _introduce(self) -> None:
        output.line("metawsm in twenty seconds: a small shop, two tickets, and two agents on each.", colour="bold")
        output.line(f"   repositories  {', '.join(f'{name} ({len(past)} commits)' for name, past in PAST.items())}")
        for number, ticket in enumerate(TICKETS):
            output.line(f"   {'' if number else 'tickets':12}  {ticket.ticket}: {ticket.title}")
        output.line(f"   agents        {', '.join(AGENTS)} (scripted: nothing leaves this machine)")
        output.line(f"   folder        {self._place.folder} ({'kept' if self._place.keep else 'removed at the end'})")
        output.line("   server        metawsm serve, spoken to as an editor speaks to it")

    def _show_plan(self) -> None:
        self._begin("The plan: every step and every command, before anything happens.", "metawsm", "plan", *_REQUEST)
        showing.show_steps(self._client.ask("plan", PlanShown, **_PARAMETERS).steps)

    def _show_run(self) -> None:
        self._begin(
            "The run: for each ticket a worktree of each repository, then the agents.", "metawsm", "run", *_REQUEST
        )
        started = self._client.ask("run", RunStarted, **_PARAMETERS)
        progress.show(_RUN, started.steps, self._events_of(started.steps))

    def _events_of(self, steps: Sequence[Step]) -> Iterator[Event]:
        """Yield events until all steps are done; diagnostics are told afterwards."""
        open_steps = {str(step.index) for step in steps}
        while open_steps:
            item = self._hear()
            if isinstance(item, Published):
                continue
            yield item
            if item.entity == "step" and item.to == "done":
                open_steps.discard(item.entity_id)
            elif item.entity == "step" and item.to == "failed":
                self._check_step(int(item.entity_id))

    def _check_step(self, index: int) -> None:
        step = self._client.ask("status", RunDetail, run_id=_RUN).steps[index]
        if step.status == "failed" and step.attempts >= step.attempt_limit:
            raise StepFailedError(f"{step.name} failed: {step.error}")

    def _show_work(self) -> None:
        self._begin(
            "What agents say, and what an editor shows: trouble (▲ ■), and its end (△).",
            "metawsm",
            "wait",
            _RUN,
        )
        self._listen(lambda: self._known.everybody_has_spoken and self._known.has_been("guidance-pending"))
        self._begin("How everybody is, and why.", "metawsm", "status", _RUN)
        showing.show_run(self._status())

    def _answer(self) -> None:
        question = next(question for question in self._status().guidance if question.status == "pending")
        chosen = ANSWERS[question.question]
        self._begin(
            f"{question.agent} on {question.ticket} has a question: its answer takes the warning away.",
            "metawsm",
            "answer",
            question.id,
            chosen,
        )
        self._client.ask("answer", GuidanceAnswer, guidance_id=question.id, answer=chosen)
        self._listen(lambda: self._known.has_been("agent-dead"))

    def _restart(self) -> None:
        dead = next(agent for agent in self._status().agents if agent.status == "dead")
        self._begin(
            f"{dead.name} on {dead.ticket} has died: it starts again, and finds what it had committed.",
            *("metawsm", "restart", _RUN, "--ticket", dead.ticket, "--agent", dead.name),
        )
        self._client.ask("restart", AgentsAnswer, run_id=_RUN, ticket=dead.ticket, agent=dead.name)
        self._listen(lambda: self._known.is_settled)
        run = self._status().run
        _tell(run)
        if run.status != "completed":
            raise StepFailedError(run.error or f"The run is {run.status}.")

    def _show_diff(self) -> None:
        self._begin("The work, before it is merged.", "metawsm", "diff", _RUN, "--patch")
        showing.show_diffs(self._client.ask("diff", Diffs, run_id=_RUN, patch=True), patch=True)

    def _show_close(self) -> None:
        self._begin("The close: both tickets in both repositories, or nothing at all.", "metawsm", "close", _RUN)
        closed = self._client.ask("close", CloseAnswer, run_id=_RUN)
        showing.show_merges(closed.merges)
        _tell(closed.run)

    def _show_history(self) -> None:
        self._begin("What was merged, in both repositories.")
        for name in _REPOS:
            self._say_command("git", "-C", name, "log", "--graph", "--oneline")
            history = scene.merged_history(self._place.root / name, colour=output.has_colours(sys.stdout))
            sys.stdout.write(history + "\n" * (name != _REPOS[-1]))

    # --- what the server tells ---

    def _status(self) -> RunDetail:
        return self._client.ask("status", RunDetail, run_id=_RUN)

    def _listen(self, enough: Callable[[], bool]) -> None:
        """Tell what the server tells, until that is enough."""
        with progress.live("agents done", total=len(WORK), over=len(self._known.done)) as (tell, advance):
            while True:
                for change in self._known.changes():
                    tell(_put(change))
                if enough():
                    return
                done = len(self._known.done)
                item = self._hear()
                if isinstance(item, Event) and (text := progress.said(item)):
                    tell(text)
                for _ in range(len(self._known.done) - done):
                    advance()

    def _hear(self) -> Event | Published:
        """Return the next thing that the server tells. Raises `StepFailedError` when it is a failure."""
        item = next(self._news)
        self._known.take(item)
        if isinstance(item, Event):
            _check_agent(item, self._known)
        return item

    # --- how it is told ---

    def _begin(self, what: str, *command: str) -> None:
        self._part += 1
        output.line("")
        output.line(f"{self._part}. {what}", colour="bold")
        if command:
            self._say_command(*command)

    @staticmethod
    def _say_command(*command: str) -> None:
        output.line(f"   $ {shlex.join(command)}", colour="cyan")

    def _agrees(self, question: str) -> bool:
        if not self._asks:
            return True
        try:
            answer = input(f"\n{question} [Y/n] ")
        except EOFError:
            output.line("")
            return False
        return answer.strip().lower() in ("", "y", "yes")


def _check_agent(event: Event, known: Known) -> None:
    """Raise at once when an agent fails, or dies that should not: the others would wait for it in vain."""
    if event.entity != "agent" or event.type == "health" or event.to not in ("failed", "dead"):
        return
    if event.to == "failed" or known.is_unexpected(event):
        ticket, _, agent = event.entity_id.rpartition("/")
        raise StepFailedError(f"{agent} on {ticket} {'died' if event.to == 'dead' else 'failed'}: {event.message}")


def _put(change: Change) -> str:
    """Return a diagnostic that has come or gone as a line."""
    one = change.diagnostic
    sign = "△" if change.gone else "■" if one.severity == 1 else "▲"
    said = "is over" if change.gone else one.message.partition("; ")[0].rstrip(".")
    return f"{sign} {change.ticket}, index.md:{one.line} [{one.code}] {said}"


def _tell(run: Run) -> None:
    output.line(f"Run {run.run_id} is {run.status}.", colour=output.COLOURS.get(run.status))


VERBS = {"demo": Verb(_arguments, _demo)}
