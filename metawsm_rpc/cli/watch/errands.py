"""Verbs that the live view has called for: each in a thread of its own, so that the screen never waits."""

import threading
from collections.abc import Callable
from typing import Any

from metawsm_rpc.errors import InternalError, MetawsmError

Done = Callable[[Any], None]
Failed = Callable[[MetawsmError], None]


class Errands:
    """Does what takes time, and tells what came of it through `post`, which brings a call to the screen's thread."""

    def __init__(self, post: Callable[[Callable[[], None]], None]) -> None:
        self._post = post
        self._underway: dict[threading.Thread, str] = {}

    def start(self, name: str, deed: Callable[[], Any], done: Done, failed: Failed) -> None:
        """Begin; `name` says what it is, such as `stop run q7m2`. Called, and calls back, in the screen's thread."""

        def work() -> None:
            call: Callable[[], None]
            try:
                answer = deed()
            except MetawsmError as error:
                refused = error
                call = lambda: failed(refused)  # noqa: E731 - it is handed over, not called here
            except Exception as error:  # noqa: BLE001 - told as a defect; the view goes on
                defect = InternalError(f"{name} failed in a way that it should not: {type(error).__name__}: {error}")
                call = lambda: failed(defect)  # noqa: E731
            else:
                call = lambda: done(answer)  # noqa: E731
            self._post(call)

        thread = threading.Thread(target=work, name=name, daemon=True)
        self._underway[thread] = name
        thread.start()

    @property
    def underway(self) -> tuple[str, ...]:
        """What has not come to its end."""
        return tuple(name for thread, name in tuple(self._underway.items()) if thread.is_alive())

    def wait(self) -> None:
        """Wait until everything has come to its end."""
        for thread in tuple(self._underway):
            thread.join()
