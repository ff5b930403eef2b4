"""Commands of editors without a metawsm plugin: fills in missing parameters and shows the results.

With `present: false` the client does both itself, and its commands are exactly the verbs.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from metawsm_rpc.errors import MetawsmError
from metawsm_rpc.rpc.handlers.defaults import fill
from metawsm_rpc.rpc.handlers.showing import show

if TYPE_CHECKING:
    from metawsm_rpc.rpc.server import MetawsmServer

_PATIENCE_SECONDS = 8.0
"""Emacs' eglot gives up on a command after 10 s."""

_WITH_RUN: dict[str, dict[str, Any]] = {
    "stop": {},
    "complete": {},
    "resume": {},
    "iterate": {},
    "wait": {"reached": False},
    "close": {"merges": [], "blocked": []},
}
"""Verbs that can answer early with the run as it is, and what stands beside it."""


async def execute(server: "MetawsmServer", verb: str, sent: Any) -> Any:
    """Carry out a command. Raises `MetawsmError`, which a person is told as well."""
    if not server.options.present:
        return await server.run_command(verb, sent)
    try:
        params = await fill(server, verb, sent)
        work = asyncio.ensure_future(server.run_command(verb, params))
        if not _impatient(server):
            answer = await work
        elif not await _done_in_time(work):
            server.spawn(_go_on(server, verb, params, work))
            server.client.show(f"metawsm.{verb} takes longer; you are told when it is done.")
            return await _so_far(server, verb, params)
        else:
            answer = work.result()
    except MetawsmError as error:
        _tell(server, error)
        raise
    server.spawn(_shown(server, verb, params, answer))
    return answer


def _impatient(server: "MetawsmServer") -> bool:
    """Return whether the client may give up waiting: eglot, whose older versions do not say who they are."""
    return server.client.name is None or server.client.name.casefold() == "eglot"


async def _done_in_time(work: "asyncio.Future[Any]") -> bool:
    try:
        done, _ = await asyncio.wait({work}, timeout=_PATIENCE_SECONDS)
    except asyncio.CancelledError:
        work.cancel()
        raise
    return bool(done)


async def _go_on(server: "MetawsmServer", verb: str, params: dict[str, Any], work: "asyncio.Future[Any]") -> None:
    try:
        answer = await work
    except MetawsmError as error:
        _tell(server, error)
        return
    await _shown(server, verb, params, answer)


async def _so_far(server: "MetawsmServer", verb: str, params: dict[str, Any]) -> Any:
    """Return an early answer, in the verb's own shape where that is about a run; else nothing."""
    if verb not in _WITH_RUN:
        return None
    asked = {name: value for name, value in params.items() if name in ("runId", "ticket", "root")}
    detail = await server.run_command("status", asked)
    return {"run": detail["run"], **_WITH_RUN[verb]}


async def _shown(server: "MetawsmServer", verb: str, params: dict[str, Any], answer: Any) -> None:
    try:
        await show(server, verb, params, answer)
    except MetawsmError as error:
        _tell(server, error)


def _tell(server: "MetawsmServer", error: MetawsmError) -> None:
    hint = f" {error.hint}" if error.hint else ""
    server.client.show(f"{error.message}{hint}", types.MessageType.Error)
