"""Work done progress of runs and closes, with Cancel.

A run or a resume is followed after its request was answered, until its drive in this process has ended; Cancel
stops the run. A close is followed while its request lasts; Cancel works until the close is decided.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

from lsprotocol import types

from metawsm_rpc.errors import MetawsmError
from metawsm_rpc.rpc.news.feed import Feeds
from metawsm_rpc.rpc.roots import Root
from metawsm_rpc.rpc.session import Session

if TYPE_CHECKING:
    from metawsm_rpc.domain.models import RunStatus, Step

Token = str | int
Cancel = Callable[[], Awaitable[object]]

_LOOK_SECONDS = 0.2
_NAMED = 3
"""How many running steps are named."""

_SETTLED = ("done", "failed", "skipped")
_OFFERED: ContextVar[Token | None] = ContextVar("work_done_token", default=None)


class Progress:
    """Reports the progress of runs and closes to the client. For the event loop."""

    def __init__(self, session: Session, feeds: Feeds) -> None:
        self._session = session
        self._feeds = feeds
        self._cancels: dict[Token, Cancel] = {}
        self._number = 0

    @staticmethod
    def offered(token: object) -> None:
        """Keep the progress token of this task's request."""
        _OFFERED.set(token if isinstance(token, str | int) else None)

    async def cancel(self, token: Token) -> None:
        """Stop what a token stands for; an unknown token belongs to something that is over."""
        cancel = self._cancels.pop(token, None)
        if cancel is None:
            return
        try:
            await cancel()
        except MetawsmError as error:
            self._session.client.show(error.message, types.MessageType.Warning)

    def follow_run(self, root: Root, run_id: str) -> None:
        """Report the progress of a run from now on, in the background."""
        # By the specification an offered token ends with its request, so it is only a fallback.
        offered, _ = _OFFERED.get(), _OFFERED.set(None)
        self._session.spawn(self._follow(root, run_id, offered))

    async def _follow(self, root: Root, run_id: str, offered: Token | None) -> None:
        token = await self._created() or offered
        if token is None:
            return

        async def stop() -> None:
            await self._session.threads.on("stops", root.service.stop, run_id)

        bar = self._begin(token, f"Run {run_id}", stop)
        shown = _Shown("", 0)
        try:
            with self._feeds.of(root).changes() as changed:
                over = False
                while not over:
                    changed.clear()
                    over, now = await self._session.threads.on("looks", _look, root, run_id)
                    if now != shown:
                        shown = now
                        bar.report(now)
                    if not over:
                        await _first(changed, _LOOK_SECONDS)
        except Exception as error:  # noqa: BLE001 - a progress bar must not stay forever
            self._session.report(error, f"following run {run_id}")
            shown = _Shown(str(error), 0)
        finally:
            self._cancels.pop(token, None)
            bar.end(shown.message)

    @asynccontextmanager
    async def of_close(self, root: Root, run_id: str) -> AsyncIterator[None]:
        """Report a close within the block; cancelling it, or the block, cancels the close."""
        token = _OFFERED.get()
        if token is None:
            token = await self._created()

        async def interrupt() -> None:
            await self._session.threads.on("stops", root.service.interrupt_close, run_id)

        bar = None if token is None else self._begin(token, f"Close {run_id}", interrupt)
        try:
            yield
        except asyncio.CancelledError:
            await interrupt()
            raise
        finally:
            if bar is not None and token is not None:
                self._cancels.pop(token, None)
                bar.end(None)

    async def _created(self) -> Token | None:
        """Return a token that the client has agreed to, None when it shows no progress."""
        if not self._session.client.can("window.workDoneProgress"):
            return None
        self._number += 1
        token = f"metawsm-{self._number}"
        params = types.WorkDoneProgressCreateParams(token)
        agreed, _ = await self._session.client.attempt(types.WINDOW_WORK_DONE_PROGRESS_CREATE, params)
        return token if agreed else None

    def _begin(self, token: Token, title: str, cancel: Cancel) -> "_Bar":
        self._cancels[token] = cancel
        bar = _Bar(self._session, token)
        bar.send(types.WorkDoneProgressBegin(title, cancellable=True, percentage=0))
        return bar


class _Shown(NamedTuple):
    message: str
    percentage: int


class _Bar:
    """One progress bar at the client."""

    def __init__(self, session: Session, token: Token) -> None:
        self._session = session
        self._token = token
        self._highest = 0

    def report(self, shown: _Shown) -> None:
        """Report progress; the percentage never decreases, as the specification requires."""
        self._highest = max(self._highest, shown.percentage)
        self.send(types.WorkDoneProgressReport(message=shown.message, percentage=self._highest, cancellable=True))

    def end(self, message: str | None) -> None:
        """Remove the bar."""
        self.send(types.WorkDoneProgressEnd(message=message))

    def send(
        self, value: types.WorkDoneProgressBegin | types.WorkDoneProgressReport | types.WorkDoneProgressEnd
    ) -> None:
        """Send one notification about it."""
        self._session.protocol.notify(types.PROGRESS, types.ProgressParams(self._token, value))


def _look(root: Root, run_id: str) -> tuple[bool, _Shown]:
    """Return whether the run's drive in this process has ended, and what to show."""
    # In this order, so that the result of the last step is seen.
    driven = root.service.finish(run_id, 0)
    store = root.service.world.store
    status = store.run(run_id).status
    over = driven and status != "stopping"
    return over, _shown(store.steps(run_id), status, over=over)


def _shown(steps: "Sequence[Step]", status: "RunStatus", *, over: bool) -> _Shown:
    settled = sum(step.status in _SETTLED for step in steps)
    failed = sum(step.status == "failed" for step in steps)
    percentage = 100 * settled // len(steps) if steps else 100
    said = f"{settled} of {len(steps)} steps"
    if failed:
        said += f", {failed} failed"
    if over:
        return _Shown(f"{said}; the run is {status.replace('_', ' ')}", percentage)
    running = [step.name for step in steps if step.status == "running"]
    more = f" and {len(running) - _NAMED} more" if len(running) > _NAMED else ""
    return _Shown(f"{said}: {', '.join(running[:_NAMED])}{more}" if running else said, percentage)


async def _first(changed: asyncio.Event, seconds: float) -> None:
    """Wait until something has changed, or for this long."""
    try:
        await asyncio.wait_for(changed.wait(), seconds)
    except TimeoutError:
        return
