"""The verb that agents' programs call from their hooks.

It never stands in their way: it prints nothing, exits with 0 whatever happens, and gives up on input
that does not come and on a database that is busy; what it was told is then left in the agent's drop box.
"""

import contextlib
import json
import os
import select
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from metawsm_rpc.cli.verbs import Verb
from metawsm_rpc.errors import MetawsmError, StoreError

_PATIENCE_SECONDS = 1.0
_INPUT_SECONDS = 2.0
"""How long the input may take to come: some programs never close it."""

_INPUT_BYTES = 64 * 1024 * 1024
_CHUNK = 1024 * 1024
_NAMES = ("ROOT", "RUN_ID", "TICKET", "AGENT", "LAUNCH")


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("runner", metavar="RUNNER", help="the program that calls: claude, codex, gemini or opencode")


def _hook(parsed: Namespace) -> int:
    try:
        _tell(parsed.runner, time.time())
    except Exception:
        # The program would show it to its model, or stop.
        if os.environ.get("METAWSM_DEBUG"):
            raise
    return 0


def _tell(runner: str, at: float) -> None:
    root, *sender = (os.environ.get(f"METAWSM_{name}", "") for name in _NAMES)
    payload = _payload()
    if not root or not all(sender) or payload is None:
        return
    from metawsm_rpc.domain.readings.hooks import told

    found = told(runner, payload)
    if found is None:
        return
    from metawsm_rpc.composition import has_state, open_world
    from metawsm_rpc.engine import hearing, mailbox

    world = open_world(Path(root), os.environ, patience=_PATIENCE_SECONDS)
    run_id, ticket, agent, launch = sender
    heard = hearing.Heard(run_id, ticket, agent, launch, at, found)
    try:
        if has_state(Path(root)):
            hearing.receive(world, heard)
            return
    except StoreError:
        pass  # it is left for those who can write it
    finally:
        world.store.close()
    with contextlib.suppress(MetawsmError):  # no drop box: the run is not of this root any more
        mailbox.leave_heard(world, heard)


def _payload() -> dict[str, Any] | None:
    """Return the JSON object on standard input; None for anything else, and where a person might type it."""
    if sys.stdin.isatty():
        return None
    text, deadline = b"", time.monotonic() + _INPUT_SECONDS
    while len(text) < _INPUT_BYTES and _has_more(deadline):
        chunk = os.read(sys.stdin.fileno(), _CHUNK)
        text += chunk
        # The end of the object is the end of the payload, even if the program keeps the pipe open.
        if not chunk or (text.rstrip().endswith(b"}") and not _has_more(0)):
            payload = _parsed(text)
            if payload is not None or not chunk:
                return payload
    return None


def _has_more(deadline: float) -> bool:
    """Return whether there is input, or its end, before a moment."""
    ready, _, _ = select.select([sys.stdin.fileno()], [], [], max(0.0, deadline - time.monotonic()))
    return bool(ready)


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        payload = json.loads(text)
    except ValueError:
        return None
    return payload if isinstance(payload, dict) else None


VERBS = {"hook": Verb(_arguments, _hook, "Its program's hooks call it; profiles of the policy switch that on and off.")}
