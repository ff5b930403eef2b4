"""The verb that takes over a state folder which was made elsewhere."""

import os
from argparse import ArgumentParser, Namespace

from metawsm_rpc.cli import output
from metawsm_rpc.cli.verbs import Verb
from metawsm_rpc.composition import adopt, resolve_root


def _arguments(_parser: ArgumentParser) -> None:
    """Nothing to choose."""


def _adopt(parsed: Namespace) -> int:
    path = adopt(resolve_root(parsed.root, os.environ), os.environ)
    if parsed.json:
        output.print_json({"path": str(path)})
    else:
        output.line(f"{path} is used from now on; `metawsm status` shows its runs.")
    return 0


_MORE = """metawsm refuses to use a .metawsm with runs that was copied to where it is, or that came with
a clone or an archive: unfinished runs would go on by themselves, with whatever commands are stored
there. Adopt it only if the runs are your own, for example because you have moved the folder to
another disk, and not while the original is in use."""

VERBS = {"adopt": Verb(_arguments, _adopt, _MORE)}
