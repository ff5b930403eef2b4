"""The entry of the command line: find the verb, call it, print what it answers, exit as the protocol says.

Only what the verb needs is imported, and only its parser is built: `metawsm status` is asked often.
"""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from metawsm_rpc.cli import output
from metawsm_rpc.errors import InternalError, MetawsmError

_INTERRUPTED = 130
_BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    signal.signal(signal.SIGTERM, _terminate)
    as_json = "--json" in arguments[: arguments.index("--")] if "--" in arguments else "--json" in arguments
    try:
        from metawsm_rpc.cli.verbs import call

        status = call(arguments)
        sys.stdout.flush()
    except MetawsmError as error:
        return output.fail(error, as_json=as_json)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read has gone, such as `head`: nothing is left to say, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except Exception as error:
        if os.environ.get("METAWSM_DEBUG"):
            raise
        return output.fail(
            InternalError(
                f"metawsm failed in a way that it should not: {type(error).__name__}: {error}",
                hint="Set METAWSM_DEBUG=1 to see where, and please report it.",
            ),
            as_json=as_json,
        )
    return status


def _terminate(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
