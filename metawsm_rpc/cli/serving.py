"""The verb that serves editors and scripts: JSON-RPC on standard input and output."""

import sys
from argparse import ArgumentParser, Namespace

from metawsm_rpc.cli import output
from metawsm_rpc.cli.verbs import Verb
from metawsm_rpc.errors import InvalidParamsError


def _arguments(_: ArgumentParser) -> None:
    """Take none of its own."""


def _serve(parsed: Namespace) -> int:
    if parsed.json:
        raise InvalidParamsError("The server speaks JSON-RPC anyway; leave --json out.")
    if sys.stdin.isatty():
        output.say("This speaks JSON-RPC on standard input; editors and scripts start it. Ctrl-C ends it.")
    from metawsm_rpc.rpc.lifecycle import serve

    serve(parsed.root)
    return 0


VERBS = {
    "serve": Verb(
        _arguments,
        _serve,
        "The same as `metawsm-rpc` and `python -m metawsm_rpc`.\n"
        "With --root it serves that folder, whatever the client opens.",
    )
}
