"""The verb that shows what metawsm is: a whole run, from the plan to the merge, in a scratch folder.

The verbs are called through the service, as any client calls them, and what they answer is shown
as the verbs of the command line show it.
"""

import contextlib
import io
import shlex
import signal
import sys
from argparse import ArgumentParser, Namespace
from types import FrameType

from metawsm_rpc.cli import output, progress, showing
from metawsm_rpc.cli.verbs import Verb
from metawsm_rpc.composition import open_service
from metawsm_rpc.demo import scene
from metawsm_rpc.demo.scratch import Scratch, scratch, uninterrupted
from metawsm_rpc.demo.story import AGENTS, PAST, TICKETS, WORK
from metawsm_rpc.domain.models import Event, Run
from metawsm_rpc.errors import DependencyMissingError, InvalidParamsError, MetawsmError, StepFailedError
from metawsm_rpc.service import Service

_RUN = "demo"
_PACE_SECONDS = 2.3

_TICKETS = tuple(ticket.ticket for ticket in TICKETS)
_REPOS = tuple(PAST)
_REQUEST = (
    *(word for ticket in _TICKETS for word in ("--ticket", ticket)),
    *("--repos", ",".join(_REPOS)),
    *("--run-id", _RUN),
)


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
        verbs = open_service(place.root)
        try:
            _Demonstration(verbs, place, asks=asks).show()
        except BaseException as error:
            with uninterrupted():
                if isinstance(error, KeyboardInterrupt):
                    output.say("Clearing up …")
                # Without a run there is none to stop, and tmux is ended afterwards anyway.
                with contextlib.suppress(MetawsmError):
                    verbs.stop(_RUN)
            raise
        finally:
            verbs.shut_down()
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

    def __init__(self, verbs: Service, place: Scratch, *, asks: bool) -> None:
        self._verbs = verbs
        self._place = place
        self._asks = asks
        self._part = 0

    def show(self) -> None:
        """Show all of it. Raises `MetawsmError` when something does not go as it should."""
        self._check_machine()
        scene.make_repositories(self._place.root)
        scene.make_tickets(self._verbs)
        self._introduce()
        self._show_plan()
        self._show_work(since=self._show_run())
        if self._agrees("Show the diff?"):
            self._show_diff()
        if self._agrees("Merge all of it, and close the run?"):
            self._show_close()
            self._show_history()
        else:
            output.line("Nothing was merged.")

    # --- the parts ---

    def _check_machine(self) -> None:
        for check in self._verbs.doctor().checks:
            if not check.ok:
                raise DependencyMissingError(check.detail, hint=check.hint)

    def _introduce(self) -> None:
        output.line("metawsm in twenty seconds: a small shop, two tickets, and two agents on each.", colour="bold")
        output.line(f"   repositories  {', '.join(f'{name} ({len(past)} commits)' for name, past in PAST.items())}")
        for number, ticket in enumerate(TICKETS):
            output.line(f"   {'' if number else 'tickets':12}  {ticket.ticket}: {ticket.title}")
        output.line(f"   agents        {', '.join(AGENTS)} (scripted: nothing leaves this machine)")
        output.line(f"   folder        {self._place.folder} ({'kept' if self._place.keep else 'removed at the end'})")

    def _show_plan(self) -> None:
        self._begin("The plan: every step and every command, before anything happens.", "metawsm", "plan", *_REQUEST)
        planned = self._verbs.plan(_TICKETS, repos=_REPOS, run_id=_RUN)
        showing.show_steps(planned.steps)

    def _show_run(self) -> int:
        """Start the run, and return the number of the event before it."""
        self._begin(
            "The run: for each ticket a worktree of each repository, then the agents.", "metawsm", "run", *_REQUEST
        )
        seq = self._verbs.events(limit=0).seq
        started = self._verbs.run(_TICKETS, repos=_REPOS, run_id=_RUN)
        progress.show(_RUN, started.steps, self._verbs.follow(_RUN, seq))
        for step in self._verbs.status(_RUN).steps:
            if step.status == "failed":
                raise StepFailedError(f"{step.name} failed: {step.error}")
        return seq

    def _show_work(self, since: int) -> None:
        everybody_has_spoken = _Spoken()
        for event in progress.heard(self._verbs, _RUN, since):
            _check_agent(event)
            if everybody_has_spoken(event):
                break
        self._show_status("The agents at work: the testers wait for what the coders do.")
        self._begin("What the agents say.", "metawsm", "wait", _RUN)
        since = progress.watch(self._verbs, _RUN, since, enough=_somebody_is_done)
        self._show_status("The first one is done: how are the others?")
        self._begin("What they say until all are done.", "metawsm", "wait", _RUN)
        progress.watch(self._verbs, _RUN, since, enough=_check_agent)
        run = self._verbs.status(_RUN).run
        _tell(run)
        if run.status != "completed":
            raise StepFailedError(run.error or f"The run is {run.status}.")

    def _show_status(self, what: str) -> None:
        self._begin(what, "metawsm", "status", _RUN)
        showing.show_run(self._verbs.status(_RUN))

    def _show_diff(self) -> None:
        self._begin("The work, before it is merged.", "metawsm", "diff", _RUN, "--patch")
        showing.show_diffs(self._verbs.diff(_RUN, patch=True), patch=True)

    def _show_close(self) -> None:
        self._begin("The close: both tickets in both repositories, or nothing at all.", "metawsm", "close", _RUN)
        closed = self._verbs.close(_RUN)
        showing.show_merges(closed.merges)
        _tell(closed.run)

    def _show_history(self) -> None:
        self._begin("What was merged, in both repositories.")
        for name in _REPOS:
            self._say_command("git", "-C", name, "log", "--graph", "--oneline")
            history = scene.merged_history(self._place.root / name, colour=output.has_colours(sys.stdout))
            sys.stdout.write(history + "\n" * (name != _REPOS[-1]))

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


class _Spoken:
    """Knows which agents have said something."""

    def __init__(self) -> None:
        self._silent = {f"{ticket}/{agent}" for ticket, agent in WORK}

    def __call__(self, event: Event) -> bool:
        """Return whether every agent has said something, now that this event has come."""
        if event.entity == "agent" and event.type in ("waiting", "progress"):
            self._silent.discard(event.entity_id)
        return not self._silent


def _somebody_is_done(event: Event) -> bool:
    return not _check_agent(event) and event.entity == "agent" and event.to == "completed"


def _check_agent(event: Event) -> bool:
    """Return False, or raise `StepFailedError` at once when an agent fails: the others would wait for it in vain."""
    if event.entity == "agent" and event.to in ("failed", "dead"):
        ticket, _, agent = event.entity_id.rpartition("/")
        raise StepFailedError(f"{agent} on {ticket} {'died' if event.to == 'dead' else 'failed'}: {event.message}")
    return False


def _tell(run: Run) -> None:
    output.line(f"Run {run.run_id} is {run.status}.", colour=output.COLOURS.get(run.status))


VERBS = {"demo": Verb(_arguments, _demo)}
