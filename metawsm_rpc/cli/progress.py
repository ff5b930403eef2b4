"""Live progress of a run: a line that lives on a terminal, plain lines elsewhere, always on standard error."""

import sys
from collections.abc import Iterable

from metawsm_rpc.cli import output
from metawsm_rpc.domain.models import Event, Step
from metawsm_rpc.service import Service

_MARKS = {"done": "✓", "failed": "✗", "skipped": "–"}


def follow(verbs: Service, run_id: str, since: int, *, quiet: bool) -> None:
    """Show what happens in a run until this process has driven it as far as it goes."""
    steps = {step.index: step for step in verbs.world.store.steps(run_id)}
    events = verbs.follow(run_id, since)
    if quiet:
        for _ in events:
            pass
    elif output.is_terminal(sys.stderr):
        _with_bar(run_id, steps, events)
    else:
        for event in events:
            if text := _told(event, steps):
                output.say(text)


def _with_bar(run_id: str, steps: dict[int, Step], events: Iterable[Event]) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, highlight=False)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        over = sum(step.status in ("done", "skipped") for step in steps.values())
        bar = progress.add_task(f"run {run_id}", total=len(steps), completed=over)
        for event in events:
            if text := _told(event, steps):
                style = {"✓": "green", "✗": "red"}.get(text[0], "")
                progress.console.print(output.clean(text), style=style, markup=False)
            if event.entity == "step" and event.to in ("done", "skipped"):
                progress.advance(bar)


def _told(event: Event, steps: dict[int, Step]) -> str | None:
    """Return how an event is told, or None when it is not worth a line."""
    if event.entity == "step" and event.to in _MARKS:
        step = steps[int(event.entity_id)]
        why = f": {event.message}" if event.message and event.to == "failed" else ""
        return f"{_MARKS[event.to]} {step.name}{why}"
    if event.entity == "agent" and event.type in ("relaunch", "fail", "die", "exit", "survivors", "relaunch_failed"):
        return f"· {event.entity_id}: {event.to or event.type}{f' ({event.message})' if event.message else ''}"
    if event.entity == "workspace" and event.type in ("rolled_back", "kept"):
        return f"· {event.type.replace('_', ' ')}: {event.message}"
    return None
