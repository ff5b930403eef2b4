"""Calling a verb as a client asks for it: checked, allowed, on a thread, and its answer made ready there."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from metawsm_rpc.domain.wire import wire
from metawsm_rpc.errors import NotTrustedError
from metawsm_rpc.rpc.roots import Root
from metawsm_rpc.rpc.threads import Pool
from metawsm_rpc.verbs import Verb

if TYPE_CHECKING:
    from metawsm_rpc.rpc.server import MetawsmServer

Finish = Callable[[Any], Any]
"""What is made of an answer that is plain JSON, on the thread that has it."""

Arguments = dict[str, Any]


async def call(server: "MetawsmServer", verb: Verb, sent: Any, root: Root | None, finish: Finish) -> Any:
    """Call a verb with what a client sent. Raises `MetawsmError`.

    `root` is used unless the parameters name one; without both it is the first workspace folder's.
    """
    if isinstance(sent, dict) and "workDoneToken" in sent:
        server.work.offered(sent["workDoneToken"])
        sent = {name: value for name, value in sent.items() if name != "workDoneToken"}
    special = _SPECIAL.get(verb.name)
    if special is None:
        return await server.threads.on(_pool_of(verb), _call, server, verb, sent, root, finish)
    found, arguments = await server.threads.on("looks", _prepared, server, verb, sent, root)
    return await special(server, found, arguments, finish)


def _prepared(server: "MetawsmServer", verb: Verb, sent: Any, root: Root | None) -> tuple[Root, Arguments]:
    from metawsm_rpc.rpc.parameters import checked

    named, arguments = checked(verb, sent)
    if root is None or named is not None:
        root = server.roots.named(named)
    if not (root.trusted or verb.reads):
        raise NotTrustedError(
            f"{root.path} is not trusted, so metawsm only reads there; {verb.name} would change or execute something.",
            hint="Trust the folder in the editor, or start the server without `trusted: false`.",
        )
    # What happens from now on is told by events.
    server.feeds.of(root).await_ready()
    return root, arguments


def _call(server: "MetawsmServer", verb: Verb, sent: Any, root: Root | None, finish: Finish) -> Any:
    found, arguments = _prepared(server, verb, sent, root)
    return finish(wire(getattr(found.service, verb.method)(**arguments)))


def _pool_of(verb: Verb) -> Pool:
    """Return the pool for a verb: what only reads, or only writes a line, waits for no work."""
    if verb.name == "stop":
        return "stops"
    return "looks" if verb.reads or verb.name in ("answer", "signal") else "work"


# --- verbs that a client can follow, or cancel ---


async def _run(server: "MetawsmServer", root: Root, arguments: Arguments, finish: Finish) -> Any:
    def run() -> tuple[str, bool, Any]:
        started = root.service.run(**arguments)
        return started.run_id, started.status == "paused", finish(wire(started))

    under_way = asyncio.ensure_future(server.threads.on("work", run))
    try:
        run_id, paused, answer = await asyncio.shield(under_way)
    except asyncio.CancelledError:
        # Nobody has heard of the run, so nobody could stop it.
        server.spawn(_stop_when_planned(server, root, under_way))
        raise
    if not paused:
        server.work.follow_run(root, run_id)
    return answer


async def _stop_when_planned(
    server: "MetawsmServer", root: Root, under_way: "asyncio.Future[tuple[str, bool, Any]]"
) -> None:
    run_id, _, _ = await under_way
    await server.threads.on("stops", root.service.stop, run_id)


async def _resume(server: "MetawsmServer", root: Root, arguments: Arguments, finish: Finish) -> Any:
    resumed = await server.threads.on("work", lambda: root.service.resume(**arguments))
    server.work.follow_run(root, resumed.run.run_id)
    return finish(wire(resumed))


async def _close(server: "MetawsmServer", root: Root, arguments: Arguments, finish: Finish) -> Any:
    def close() -> Any:
        return finish(wire(root.service.close(**arguments)))

    if arguments.get("dry_run"):
        return await server.threads.on("work", close)
    chosen = (arguments.get("run_id"), arguments.get("ticket"))
    run = await server.threads.on("looks", root.service.select, *chosen)
    async with server.work.of_close(root, run.run_id):
        return await server.threads.on("work", close)


async def _wait(server: "MetawsmServer", root: Root, arguments: Arguments, finish: Finish) -> Any:
    from metawsm_rpc.rpc.waiting import wait

    return finish(wire(await wait(server, root, arguments)))


_SPECIAL: Mapping[str, Callable[["MetawsmServer", Root, Arguments, Finish], Awaitable[Any]]] = {
    "run": _run,
    "resume": _resume,
    "close": _close,
    "wait": _wait,
}


def as_it_is(answer: Any) -> Any:
    """Return the answer, plain JSON."""
    return answer


def encoded(answer: Any) -> str:
    """Return the answer as it is sent."""
    return json.dumps(answer, separators=(",", ":"), allow_nan=False)
