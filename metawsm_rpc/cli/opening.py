"""The service of one command line, opened for its verb and shut down afterwards."""

import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from metawsm_rpc.composition import open_service, resolve_root
from metawsm_rpc.service import Service


@contextmanager
def service(parsed: Namespace) -> Iterator[Service]:
    """Open the service on the root that the command line names."""
    opened = open_service(resolve_root(parsed.root, os.environ))
    try:
        yield opened
    finally:
        opened.shut_down()
