"""Feeds the client with the news of one root.

A thread for each root. The root's supervisor wakes it; it sends events in order, keeps the view that features
are computed from, publishes diagnostics that have changed, and asks for refreshes. A client that does not read
is sent nothing more: events wait in the store, and of everything else only the latest state matters.
"""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from metawsm_rpc.domain.models import Event
from metawsm_rpc.errors import MetawsmError
from metawsm_rpc.rpc.news.refreshing import Refreshes
from metawsm_rpc.rpc.roots import Root, path_of
from metawsm_rpc.rpc.session import Session

if TYPE_CHECKING:
    from metawsm_rpc.rpc.news.announcing import Message
    from metawsm_rpc.rpc.view import View

_PAGE = 500
_RETRY_SECONDS = 5.0
"""How long to wait before retrying a root that cannot be used."""

_IDLE_SECONDS = 1.0

_UNTRUSTED_SECONDS = 0.5
_ROOM_SECONDS = 1.0


class Feed:
    """Follows one root until it is stopped."""

    def __init__(self, session: Session, refreshes: Refreshes, root: Root) -> None:
        self._session = session
        self._refreshes = refreshes
        self._root = root
        self._over = threading.Event()
        self._ready = threading.Event()
        self._news = threading.Condition()
        self._woken = False
        self._seq = 0
        self._published: dict[str, Any] = {}
        self._told: set[str] = set()
        self._listeners: set[asyncio.Event] = set()
        self._thread = threading.Thread(target=self._run, name=f"feed of {root.path.name}", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following, and withdraw published diagnostics; runs and agents continue."""
        self._over.set()
        self.wake()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        self._publish({})

    def await_ready(self) -> None:
        """Wait until it is certain that every later event will be sent."""
        self._ready.wait()

    def wake(self) -> None:
        """Look now: something without an event may have changed."""
        with self._news:
            self._woken = True
            self._news.notify_all()

    @contextmanager
    def changes(self) -> Iterator[asyncio.Event]:
        """Lend an event that is set whenever something has happened; for the event loop."""
        event = asyncio.Event()
        self._listeners.add(event)
        try:
            yield event
        finally:
            self._listeners.discard(event)

    # --- the thread ---

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._follow()
            except MetawsmError as error:
                self._trouble(error)
            except Exception as error:  # noqa: BLE001 - the client is served without news rather than not at all
                self._session.report(error, f"following {self._root.path}")
            self._ready.set()
            self._over.wait(_RETRY_SECONDS)

    def _follow(self) -> None:
        from metawsm_rpc.rpc.news.announcing import Announcer

        self._session.roots.named(str(self._root.path))  # says what is wrong with it
        service = self._root.service
        announcer = Announcer()
        self._seq = service.world.store.seq() if service.has_state() else 0
        self._ready.set()
        with self._supervised():
            self.wake()
            while not self._over.is_set():
                woken = self._await_news(_IDLE_SECONDS) or self._root.views.files_changed()
                if not self._session.writer.await_room(_ROOM_SECONDS):
                    continue
                events: Sequence[Event] = service.world.store.events(self._seq, _PAGE) if service.has_state() else ()
                if events:
                    self._send(events)
                    announcer.take(events)
                if woken or events:
                    self._refresh()
                    self._session.loop.call_soon_threadsafe(self._tell_of_change)
                if len(events) == _PAGE:
                    self.wake()
                for message in announcer.due():
                    self._show(message)

    @contextmanager
    def _supervised(self) -> Iterator[None]:
        """Supervise the root; an untrusted one is only read."""
        if self._root.trusted:
            with self._root.service.supervise(lambda _: self.wake(), self._trouble):
                yield
            return
        over = threading.Event()
        thread = threading.Thread(target=self._look_for_changes, args=(over,), name="looking", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _look_for_changes(self, over: threading.Event) -> None:
        service, before = self._root.service, None
        while not over.wait(_UNTRUSTED_SECONDS):
            now = service.world.store.data_version() if service.has_state() else None
            if now != before:
                before = now
                self.wake()

    def _await_news(self, seconds: float) -> bool:
        with self._news:
            self._news.wait_for(lambda: self._woken or self._over.is_set(), seconds)
            woken, self._woken = self._woken, False
            return woken

    def _tell_of_change(self) -> None:
        self._refreshes.want()
        for event in self._listeners:
            event.set()

    # --- telling the client ---

    def _send(self, events: Sequence[Event]) -> None:
        from metawsm_rpc.domain.wire import wire

        if self._session.options.events:
            for event in events:
                self._session.protocol.notify("metawsm/event", {**wire(event), "root": str(self._root.path)})
        self._seq = events[-1].seq

    def _refresh(self) -> None:
        from metawsm_rpc.rpc.features.diagnostics import diagnostics

        view = self._root.views.current()
        self._publish(diagnostics(view, self._typed(view), self._session.workspace.position_codec))

    def _typed(self, view: "View") -> dict[str, str]:
        """Return what stands in open tickets, by path."""
        paths = {ticket.path for ticket in view.tickets}
        documents = list(self._session.workspace.text_documents.values())
        return {path: one.source for one in documents if (path := str(path_of(one.uri) or Path())) in paths}

    def _publish(self, found: dict[str, list[types.Diagnostic]]) -> None:
        for uri in [uri for uri in self._published if uri not in found]:
            del self._published[uri]
            self._session.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, []))
        for uri, listed in found.items():
            if self._published.get(uri) != listed:
                self._published[uri] = listed
                self._session.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, listed))

    def _show(self, message: "Message") -> None:
        level = {
            "error": types.MessageType.Error,
            "warning": types.MessageType.Warning,
            "info": types.MessageType.Info,
        }[message.level]
        self._session.client.show(message.text, level)

    def _trouble(self, error: MetawsmError) -> None:
        """Report to the person, once, why a root cannot be followed."""
        if error.message not in self._told:
            self._told.add(error.message)
            hint = f" {error.hint}" if error.hint else ""
            self._session.client.show(f"{error.message}{hint}", types.MessageType.Error)


class Feeds:
    """The feeds of a server: one for each root of its workspace folders, and for each that was worked on."""

    def __init__(self, session: Session, refreshes: Refreshes) -> None:
        self._session = session
        self._refreshes = refreshes
        self._feeds: dict[Path, Feed] = {}
        self._lock = threading.Lock()

    def of(self, root: Root) -> Feed:
        """Return the feed of a root, starting it if necessary."""
        with self._lock:
            if root.path not in self._feeds:
                self._feeds[root.path] = Feed(self._session, self._refreshes, root)
                self._feeds[root.path].start()
            return self._feeds[root.path]

    def drop(self, root: Root) -> None:
        """Follow a root no longer."""
        with self._lock:
            feed = self._feeds.pop(root.path, None)
        if feed is not None:
            feed.stop()

    def wake(self) -> None:
        """Let all look now."""
        with self._lock:
            for feed in self._feeds.values():
                feed.wake()

    def stop(self) -> None:
        """Follow nothing any longer."""
        with self._lock:
            feeds, self._feeds = list(self._feeds.values()), {}
        for feed in feeds:
            feed.stop()
