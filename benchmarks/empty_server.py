"""The least that a server with pygls does: it says hello, and answers a command with a file's JSON."""

import json
import sys
from pathlib import Path
from typing import Any

from pygls.lsp.server import LanguageServer

server = LanguageServer("empty", "1")
ANSWERS = [json.loads(Path(name).read_text()) for name in sys.argv[1:]]


@server.command("same")
def same(*_: Any) -> Any:
    """Answer what was given."""
    return ANSWERS[0]


@server.command("nothing")
def nothing(*_: Any) -> None:
    """Answer nothing."""


server.start_io()
