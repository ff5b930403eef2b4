"""Processes of our own that die, or act at the same time: forked, so that none waits for imports."""

import contextlib
import importlib
import os
import pickle
import pkgutil
import traceback
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import metawsm_rpc


def warm_up() -> None:
    """Import everything that a run needs, so that no child has to."""
    for module in pkgutil.walk_packages(metawsm_rpc.__path__, "metawsm_rpc."):
        if module.name.split(".")[1] in {"engine", "hosts", "store", "policy", "domain", "ports"}:
            importlib.import_module(module.name)
    for name in ("psutil", "filecmp", "shutil", "tempfile", "concurrent.futures.thread"):
        importlib.import_module(name)


class Ended(NamedTuple):
    """How a child ended: its answer, or the signal that killed it."""

    answer: Any
    signal: int | None


class Child:
    """A process of ours that does one thing, beside others."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self._read, write = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # pytest's own threads do not mind
            self.pid = os.fork()
        if self.pid == 0:
            os.close(self._read)
            _answer(act, write)
        os.close(write)

    def stopped(self) -> bool:
        """Wait until the child has stopped itself, or ended; returns whether it stopped."""
        return os.WIFSTOPPED(os.waitpid(self.pid, os.WUNTRACED)[1])

    def wait(self) -> Ended:
        """Wait until the child has ended."""
        with os.fdopen(self._read, "rb") as pipe:
            answer = pipe.read()
        status = os.waitpid(self.pid, 0)[1]
        if os.WIFSIGNALED(status):
            return Ended(None, os.WTERMSIG(status))
        assert os.WEXITSTATUS(status) == 0, "a child failed; what it printed says why"
        return Ended(pickle.loads(answer), None)


def _answer(act: Callable[[], Any], write: int) -> None:
    status = 1
    try:
        answer = pickle.dumps(act())
        with os.fdopen(write, "wb") as pipe:
            pipe.write(answer)
        status = 0
    except BaseException:  # noqa: BLE001 - nothing of the parent may go on in the child
        with contextlib.suppress(OSError):
            traceback.print_exc()
    os._exit(status)


def in_child(act: Callable[[], Any]) -> Ended:
    """Do something in a process of its own, which shares nothing with later ones but what is on disk."""
    return Child(act).wait()
