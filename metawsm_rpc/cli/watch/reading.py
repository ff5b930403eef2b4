"""What the live view knows, read again when something happened: in a thread of its own, off the screen's."""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import get_args

from metawsm_rpc.cli.watch.rows import Known
from metawsm_rpc.domain.models import Event, RunDetail, RunStatus
from metawsm_rpc.errors import MetawsmError
from metawsm_rpc.service import Service

_OPEN = tuple(status for status in get_args(RunStatus) if status != "closed")
_CALM_SECONDS = 0.1
"""How long news are gathered before they are read together: a person sees no difference."""

_AGAIN_SECONDS = 5.0
"""How often is read without news: the times of activity and progress move without an event."""

_SOON_SECONDS = 0.5
"""How often is read while nobody supervises: somebody will before long."""


class Reader:
    """Reads what events tell of, and hands on all that is known."""

    def __init__(self, service: Service, show: Callable[[Known], None], fail: Callable[[MetawsmError], None]) -> None:
        self._service = service
        self._show = show
        self._fail = fail
        self._wake = threading.Event()
        self._over = threading.Event()
        self._guard = threading.Lock()
        self._stale: set[str] = set()
        self._marked: str | None = None
        self._with_closed = False
        self._details: dict[str, RunDetail] = {}
        self._thread = threading.Thread(target=self._work, name="watch reader", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def hear(self, events: Sequence[Event]) -> None:
        """Take news; called in any thread, and comes back at once."""
        with self._guard:
            self._stale.update(event.run_id for event in events if event.run_id is not None)
        self._wake.set()

    def want(self, run_id: str | None, *, with_closed: bool) -> None:
        """Say which run a person looks at, and whether closed ones are listed."""
        with self._guard:
            if (self._marked, self._with_closed) == (run_id, with_closed):
                return
            self._marked, self._with_closed = run_id, with_closed
        self._wake.set()

    def close(self) -> None:
        """Stop reading."""
        self._over.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        again = False
        while not self._over.is_set():
            self._wake.clear()
            pause = _SOON_SECONDS
            try:
                known = self._read(again=again)
            except MetawsmError as error:
                self._details = {}  # some of the news were taken and not read
                self._fail(error)
            else:
                self._show(known)
                pause = _SOON_SECONDS if known.supervisor is None else _AGAIN_SECONDS
            if self._over.wait(_CALM_SECONDS):
                return
            again = not self._wake.wait(pause)

    def _read(self, *, again: bool) -> Known:
        with self._guard:
            stale, self._stale = self._stale, set()
            marked, with_closed = self._marked, self._with_closed
        if not self._service.has_state():
            return Known(runs=(), details={}, hidden=0, supervisor=None)
        store = self._service.world.store
        runs, *_ = store.summaries(statuses=() if with_closed else _OPEN)
        hidden = 0 if with_closed else store.summaries(statuses=("closed",), limit=0)[1]
        wanted = {run.run_id for run in runs if run.status != "closed" or run.run_id == marked}
        self._forget(keep=wanted)
        for run_id in wanted:
            if again or run_id in stale or run_id not in self._details:
                self._details[run_id] = store.detail(run_id)
        return Known(
            runs=runs,
            details=dict(self._details),
            hidden=hidden,
            supervisor=self._service.supervised_by(),
            driven=tuple(run_id for run_id in wanted if self._is_driven_here(self._details[run_id])),
        )

    def _is_driven_here(self, detail: RunDetail) -> bool:
        if all(step.status in ("done", "skipped") for step in detail.steps):
            return False  # asking for the lease is dearer
        return self._service.world.store.holder(detail.run.run_id) == os.getpid()

    def _forget(self, keep: Iterable[str]) -> None:
        self._details = {run_id: self._details[run_id] for run_id in keep if run_id in self._details}
