"""The entry point of the command line: finds the verb, calls it, prints errors, and returns the exit status.

Only the modules that the verb needs are imported, and only its parser is built: `metawsm status` runs often.
"""

import atexit
import errno
import gc
import io
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from metawsm_rpc.cli import output
from metawsm_rpc.errors import HostError, InternalError, MetawsmError

_INTERRUPTED = 130
_BROKEN_PIPE = 141
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status."""
    # Most commands end before there is garbage worth collecting; long ones still collect, less often.
    gc.set_threshold(50_000)
    # On its way out, Python would look through everything for garbage once more, for 20 ms.
    atexit.register(gc.freeze)
    arguments = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in (arguments[: arguments.index("--")] if "--" in arguments else arguments)
    signal.signal(signal.SIGTERM, _terminate)
    _prepare_streams()
    try:
        from metawsm_rpc.cli.verbs import call

        status = call(arguments)
        sys.stdout.flush()
    except MetawsmError as error:
        return _fail(error, as_json=as_json)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader has gone, such as `head`: nothing is left to print.
        output.silence(sys.stdout)
        return _BROKEN_PIPE
    except Exception as error:
        if os.environ.get("METAWSM_DEBUG"):
            raise
        return _fail(_explained(error), as_json=as_json)
    return status


def _explained(error: Exception) -> MetawsmError:
    if isinstance(error, OSError) and error.errno in _UNWRITABLE:
        return HostError(f"Something could not be written: {error.strerror}.")
    return InternalError(
        f"metawsm failed in a way that it should not: {type(error).__name__}: {error}",
        hint="Set METAWSM_DEBUG=1 to see where, and please report it.",
    )


def _fail(error: MetawsmError, *, as_json: bool) -> int:
    try:
        sys.stdout.flush()
        status = output.fail(error, as_json=as_json)
        sys.stdout.flush()
    except OSError:
        # Standard output cannot be written, but a person may still read standard error.
        output.silence(sys.stdout)
        status = output.fail(error, as_json=False)
    return status


def _prepare_streams() -> None:
    """Make sure that anything can be printed to any stream.

    A closed stream is replaced, which also keeps the database from getting its descriptor. All output is UTF-8,
    like paths and JSON; anything that is not valid Unicode is escaped.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - open as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _terminate(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
