"""Live progress of a run: an updating line on a terminal, plain lines elsewhere, always on standard error."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from metawsm_rpc.cli import output
from metawsm_rpc.domain.models import Event, Step
from metawsm_rpc.service import Service

_MARKS = {"done": "✓", "failed": "✗", "skipped": "–"}
_STYLES = {"✓": "green", "✗": "red", "…": "yellow", "?": "yellow", "■": "red", "▲": "yellow", "△": "green"}
"""The colour of a line, by its first character."""

_LOOK_SECONDS = 0.25


def follow(verbs: Service, run_id: str, since: int, *, quiet: bool) -> int:
    """Show what happens in a run until its drive in this process has ended.

    Returns the number of the last event seen.
    """
    events = _Counted(verbs.follow(run_id, since), since)
    if quiet:
        for _ in events:
            pass
    else:
        show(run_id, verbs.world.store.steps(run_id), events)
    return events.seq


class _Counted:
    """Passes events through, and remembers the number of the last one."""

    def __init__(self, events: Iterable[Event], since: int) -> None:
        self._events = events
        self.seq = since

    def __iter__(self) -> Iterator[Event]:
        for event in self._events:
            self.seq = event.seq
            yield event


def show(run_id: str, steps: Sequence[Step], events: Iterable[Event]) -> None:
    """Show the events of a run as they come, and how many of its steps have ended."""
    by_index = {step.index: step for step in steps}
    over = sum(step.status in ("done", "skipped") for step in steps)
    with live(f"run {run_id}", total=len(steps), over=over) as (tell, advance):
        for event in events:
            if text := _told(event, by_index) or said(event):
                tell(text)
            if event.entity == "step" and event.to in ("done", "skipped"):
                advance()


def watch(
    verbs: Service,
    run_id: str,
    since: int,
    *,
    until: Sequence[str] = (),
    timeout: float | None = None,
) -> int:
    """Print the signals of a run's agents after event `since`.

    Ends when the run reaches one of the statuses `until` (by default: settles), or after `timeout` seconds.
    Returns the number of the last event printed.
    """
    agents = verbs.world.store.agents(run_id)
    done = {f"{agent.ticket}/{agent.name}" for agent in agents if agent.status == "completed"}
    with live("agents done", total=len(agents), over=len(done)) as (tell, advance):
        for event in heard(verbs, run_id, since, until=until, timeout=timeout):
            since = event.seq
            if text := said(event):
                tell(text)
            if event.entity == "agent" and event.to == "completed" and event.entity_id not in done:
                advance()
    return since


def heard(
    verbs: Service, run_id: str, since: int, *, until: Sequence[str] = (), timeout: float | None = None
) -> Iterator[Event]:
    """Yield the events of a run after `since` as they occur, until it reaches a status of `until`, or settles."""
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    over = False
    while not over:
        left = deadline - time.monotonic()
        over = verbs.wait(run_id, until=until, timeout=max(0.0, min(_LOOK_SECONDS, left))).reached
        over = over or time.monotonic() >= deadline
        for event in verbs.events(since=since, run_id=run_id).events:
            since = event.seq
            yield event


_Live = tuple[Callable[[str], None], Callable[[], None]]


@contextlib.contextmanager
def live(what: str, *, total: int, over: int) -> Iterator[_Live]:
    """Yield a function that prints a line, and one that counts one more of `total` as done."""
    if not output.is_terminal(sys.stderr):
        yield output.say, lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, highlight=False)
    if console.is_dumb_terminal:
        yield output.say, lambda: None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(what, total=total, completed=over)

        def tell(text: str) -> None:
            style = _STYLES.get(text[0], "")
            progress.console.print(output.clean(text), style=style, markup=False)

        yield tell, lambda: progress.advance(bar)


def _told(event: Event, steps: dict[int, Step]) -> str | None:
    """Return the line for an event, or None when it is not worth one."""
    if event.entity == "step" and event.to in _MARKS:
        step = steps[int(event.entity_id)]
        why = f": {event.message}" if event.message and event.to == "failed" else ""
        return f"{_MARKS[event.to]} {step.name}{why}"
    if event.entity == "agent" and event.type in ("relaunch", "fail", "die", "exit", "survivors", "relaunch_failed"):
        return f"· {event.entity_id}: {event.to or event.type}{f' ({event.message})' if event.message else ''}"
    if event.entity == "workspace" and event.type in ("rolled_back", "kept"):
        return f"· {event.type.replace('_', ' ')}: {event.message}"
    return None


def said(event: Event) -> str | None:
    """Return the line for an agent's signal, or None for every other event."""
    if event.entity != "agent":
        return None
    put = _SAYINGS.get(event.type)
    if put is None:
        return None
    ticket, _, agent = event.entity_id.rpartition("/")
    return put.format(who=f"{agent} on {ticket}", what=event.message or "it does not say more")


_SAYINGS = {
    "progress": "· {who}: {what}",
    "waiting": "… {who} waits for {what}",
    "working": "· {who} goes on",
    "guidance": "? {who} asks: {what}",
    "done": "✓ {who} is done: {what}",
    "failed": "✗ {who} gives up: {what}",
    "die": "✗ {who} died: {what}",
    "exit": "· {who} has ended: {what}",
}
"""The words for each signal of an agent, and each event that happens to it."""
