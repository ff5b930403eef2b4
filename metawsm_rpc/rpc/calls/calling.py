"""Calls a verb for a client: parameters checked, permission checked, executed and encoded on a thread."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from metawsm_rpc.domain.wire import wire
from metawsm_rpc.errors import NotTrustedError
from metawsm_rpc.rpc.calls.progress import Progress
from metawsm_rpc.rpc.news.feed import Feeds
from metawsm_rpc.rpc.roots import Root
from metawsm_rpc.rpc.session import Session
from metawsm_rpc.rpc.threads import Pool
from metawsm_rpc.verbs import Verb

Finish = Callable[[Any], Any]
"""Turns a result, as plain JSON, into what is returned; runs on the verb's thread."""

Arguments = dict[str, Any]


class Calls:
    """Calls verbs. For the event loop."""

    def __init__(self, session: Session, feeds: Feeds, progress: Progress) -> None:
        self._session = session
        self._threads = session.threads
        self._feeds = feeds
        self._progress = progress
        self._special: dict[str, Callable[[Root, Arguments, Finish], Awaitable[Any]]] = {
            "run": self._run,
            "resume": self._resume,
            "close": self._close,
            "wait": self._wait,
        }

    async def call(self, verb: Verb, sent: Any, root: Root | None, finish: Finish) -> Any:
        """Call a verb with a client's parameters. Raises `MetawsmError`.

        `root` is used unless the parameters name one; without either it is that of the first workspace folder.
        """
        if isinstance(sent, dict) and "workDoneToken" in sent:
            self._progress.offered(sent["workDoneToken"])
            sent = {name: value for name, value in sent.items() if name != "workDoneToken"}
        special = self._special.get(verb.name)
        if special is None:
            return await self._threads.on(_pool_of(verb), self._call, verb, sent, root, finish)
        found, arguments = await self._threads.on("looks", self._prepared, verb, sent, root)
        return await special(found, arguments, finish)

    def _prepared(self, verb: Verb, sent: Any, root: Root | None) -> tuple[Root, Arguments]:
        from metawsm_rpc.rpc.calls.parameters import checked

        named, arguments = checked(verb, sent)
        if root is None or named is not None:
            root = self._session.roots.named(named)
        check_allowed(root, verb)
        # From here on, events report what happens.
        self._feeds.of(root).await_ready()
        return root, arguments

    def _call(self, verb: Verb, sent: Any, root: Root | None, finish: Finish) -> Any:
        found, arguments = self._prepared(verb, sent, root)
        answer = finish(wire(getattr(found.service, verb.method)(**arguments)))
        if verb.name in ("createTicket", "closeTicket"):
            # Changes of tickets have no event.
            found.views.tickets_changed()
            self._feeds.of(found).wake()
        return answer

    # --- verbs that a client can follow, or cancel ---

    async def _run(self, root: Root, arguments: Arguments, finish: Finish) -> Any:
        def run() -> tuple[str, bool, Any]:
            started = root.service.run(**arguments)
            return started.run_id, started.status == "paused", finish(wire(started))

        under_way = asyncio.ensure_future(self._threads.on("work", run))
        try:
            run_id, paused, answer = await asyncio.shield(under_way)
        except asyncio.CancelledError:
            # The client does not know the run yet, so it could not stop it.
            self._session.spawn(self._stop_when_planned(root, under_way))
            raise
        if not paused:
            self._progress.follow_run(root, run_id)
        return answer

    async def _stop_when_planned(self, root: Root, under_way: asyncio.Future[tuple[str, bool, Any]]) -> None:
        run_id, _, _ = await under_way
        await self._threads.on("stops", root.service.stop, run_id)

    async def _resume(self, root: Root, arguments: Arguments, finish: Finish) -> Any:
        resumed = await self._threads.on("work", lambda: root.service.resume(**arguments))
        self._progress.follow_run(root, resumed.run.run_id)
        return finish(wire(resumed))

    async def _close(self, root: Root, arguments: Arguments, finish: Finish) -> Any:
        def close() -> Any:
            return finish(wire(root.service.close(**arguments)))

        if arguments.get("dry_run"):
            return await self._threads.on("work", close)
        chosen = (arguments.get("run_id"), arguments.get("ticket"))
        run = await self._threads.on("looks", root.service.select, *chosen)
        async with self._progress.of_close(root, run.run_id):
            return await self._threads.on("work", close)

    async def _wait(self, root: Root, arguments: Arguments, finish: Finish) -> Any:
        from metawsm_rpc.rpc.calls.waiting import wait

        return finish(wire(await wait(self._threads, self._feeds.of(root), root, arguments)))


def check_allowed(root: Root, verb: Verb) -> None:
    """Raise `NotTrustedError` when a verb may not be used on a root."""
    if not (root.trusted or verb.reads):
        raise NotTrustedError(
            f"{root.path} is not trusted, so metawsm only reads there; {verb.name} would change or execute something.",
            hint="Trust the folder in the editor, or start the server without `trusted: false`.",
        )


def _pool_of(verb: Verb) -> Pool:
    """Return the pool for a verb: verbs that only read or write a row do not wait for work."""
    if verb.name == "stop":
        return "stops"
    return "looks" if verb.reads or verb.name in ("answer", "signal") else "work"


def as_it_is(answer: Any) -> Any:
    """Return the result unchanged, as plain JSON."""
    return answer


def encoded(answer: Any) -> str:
    """Return the result encoded for sending."""
    return json.dumps(answer, separators=(",", ":"), allow_nan=False)
