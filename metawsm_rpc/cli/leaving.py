"""Signals of an agent that cannot write the database, as in a sandbox: they are left in its drop box."""

import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from metawsm_rpc.cli import output
from metawsm_rpc.domain import names
from metawsm_rpc.engine import mailbox
from metawsm_rpc.engine.signals import Signal, check_type
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import HostError, InvalidParamsError, MetawsmError


def leave(
    world: World, parsed: Namespace, sender: Mapping[str, str], data: Mapping[str, Any] | None, error: MetawsmError
) -> int:
    """Leave the signal of a command line in its agent's drop box, and with `--wait` wait there for the reply.

    If there is no drop box either, raises the `error` that prevented writing the database.
    """
    signal = Signal(
        run_id=names.check_run_id(sender["run_id"]),
        ticket=names.check_ticket(sender["ticket"]),
        agent=names.check_agent(sender["agent"]),
        launch=sender["launch"],
        type=check_type(parsed.type),
        message=parsed.message,
        choices=tuple(parsed.choice),
        data=data,
    )
    if signal.type == "guidance" and not signal.message:
        raise InvalidParamsError('A question needs a text: metawsm signal guidance "…".')
    try:
        if signal.type == "guidance" and parsed.wait:
            return _ask(world, parsed, signal, error)
        if signal.type == "guidance":
            signal = signal._replace(guidance_id=world.token())
        mailbox.leave_signal(world, signal)
    except HostError:
        raise error from None
    _tell(error)
    if parsed.json:
        output.print_json({"event": None, "guidanceId": signal.guidance_id})
    return 0


def _ask(world: World, parsed: Namespace, signal: Signal, error: MetawsmError) -> int:
    with mailbox.asking(world, signal) as wait:
        _tell(error)
        reply = wait()
        guidance = reply.guidance or {}
        if reply.reason is not None:
            output.say(f"metawsm: {reply.reason}")
        elif guidance.get("status") == "withdrawn":
            output.say("metawsm: the question was withdrawn: its agent was stopped, has ended, or was started again.")
        if parsed.json:
            output.print_json({"event": None, "guidanceId": reply.guidance_id, "guidance": reply.guidance})
        elif guidance.get("status") == "answered":
            output.line(str(guidance.get("answer") or ""))
        sys.stdout.flush()
    return 0 if guidance.get("status") == "answered" else 1


def _tell(error: MetawsmError) -> None:
    output.say(f"metawsm: The signal was left in the agent's drop box, to be found at the next look. {error.message}")
