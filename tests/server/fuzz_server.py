"""Feeds a server in this process bytes that the fuzzer makes up: `python fuzz_server.py -max_total_time=5`.

The server must never raise, and everything that it says must be a message.
"""

import io
import json
import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent))

with atheris.instrument_imports(include=["metawsm_rpc.rpc"]):
    from in_process import Session

SEEDS = (
    b'Content-Length: 58\r\n\r\n{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}',
    b'Content-Length: 48\r\n\r\n{"jsonrpc":"2.0","id":2,"method":"metawsm/fly"}  ',
    b'Content-Length: 62\r\n\r\n{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}',
    b'Content-Length: 44\r\n\r\n{"jsonrpc":"2.0","id":1073741824,"error":{}}',
)


def one(data: bytes) -> None:
    """Check one input."""
    for message in Session().feed(io.BytesIO(data)):
        json.dumps(message)


def main() -> None:
    """Fuzz until the time is over."""
    corpus = Path(sys.argv[1])
    for number, seed in enumerate(SEEDS):
        (corpus / str(number)).write_bytes(seed)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
