"""The verb that supervises a root while somebody looks: a live view on a terminal, lines elsewhere."""

import json
import os
import queue
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from metawsm_rpc.cli import output
from metawsm_rpc.cli.opening import service
from metawsm_rpc.cli.verbs import Verb
from metawsm_rpc.composition import resolve_root
from metawsm_rpc.domain.models import LIVE, Event
from metawsm_rpc.domain.wire import wire
from metawsm_rpc.errors import MetawsmError
from metawsm_rpc.service import Service


def _arguments(_parser: ArgumentParser) -> None:
    """Nothing to choose."""


def _watch(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        if parsed.json or not _has_screen():
            return _print_events(verbs, as_json=parsed.json)
        return _view(verbs, str(resolve_root(parsed.root, os.environ)))


def _has_screen() -> bool:
    # The view writes to standard error, as it is the one that is seldom redirected.
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return all(map(output.is_terminal, streams)) and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def _view(verbs: Service, root: str) -> int:
    from metawsm_rpc.cli.watch.app import WatchApp

    app = WatchApp(verbs, root)
    with verbs.supervise(app.hear, app.trouble):
        status = app.run()
        for name in app.errands.underway:
            output.say(f"Waiting for the end of: {name}")
        app.errands.wait()
    if live := _live(verbs):
        output.say(f"{live} agent{'s go' if live > 1 else ' goes'} on; `metawsm watch` shows them again.")
    return app.return_code or 0 if status is None else status


def _live(verbs: Service) -> int:
    """Return how many agents are alive, by what is known."""
    if not verbs.has_state():
        return 0
    store = verbs.world.store
    return sum(agent.status in LIVE for run_id in store.unsettled() for agent in store.agents(run_id))


def _print_events(verbs: Service, *, as_json: bool) -> int:
    """Print each event as it comes, until somebody ends this."""
    news: queue.SimpleQueue[Sequence[Event] | MetawsmError] = queue.SimpleQueue()
    with verbs.supervise(news.put, news.put):
        output.say("Watching; Ctrl-C ends it, and agents go on.")
        while True:
            found = news.get()
            if isinstance(found, MetawsmError):
                output.say(f"metawsm: {found.message}", colour="red")
                continue
            for event in found:
                if as_json:
                    sys.stdout.write(json.dumps(wire(event), ensure_ascii=False) + "\n")
                else:
                    output.line(_told(event).replace("\n", " "))
            sys.stdout.flush()


def _told(event: Event) -> str:
    from metawsm_rpc.cli.showing import happened

    return f"{event.at}  {event.run_id or '-'}  {event.entity} {event.entity_id}  {happened(event)}"


_MORE = """While it is open it supervises the root, unless another process does: deaths and signals of
agents are noticed at once, and runs that nobody drives are taken up. Agents go on when it ends.
Where standard output is no terminal it prints a line for each event; with --json each line is an
event as JSON (this verb alone prints more than one document). It ends with Ctrl-C."""

VERBS = {"watch": Verb(_arguments, _watch, _MORE)}
