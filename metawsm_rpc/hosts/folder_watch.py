"""Waits for files to be moved into any of many folders, and for writes to the files in some.

The kernel reports changes: inotify on Linux, kqueue elsewhere, which does not report writes. Where it cannot
(no watches left, a network file system) nothing is reported; occasional sweeps find the changes all the same.
"""

import contextlib
import os
import select
import sys

if sys.platform == "linux":
    from inotify_simple import INotify, flags

    class FolderWatch:
        """The folders to watch. It can be waited for with `select`, being readable when there is news."""

        def __init__(self) -> None:
            self._inotify = INotify(nonblocking=True)
            self._watches: dict[str, int] = {}

        def fileno(self) -> int:
            """Return the descriptor to wait for."""
            return int(self._inotify.fileno())

        def add(self, folder: str) -> None:
            """Watch a folder; one that is not there is not watched."""
            with contextlib.suppress(OSError):
                self._watches[folder] = self._inotify.add_watch(folder, flags.MOVED_TO | flags.ONLYDIR)

        def add_writes(self, folder: str) -> bool:
            """Also wake, but without news, when a file in the folder is written; return whether that is possible."""
            try:
                self._inotify.add_watch(folder, flags.MODIFY | flags.CREATE | flags.ONLYDIR)
            except OSError:
                return False
            return True

        def discard(self, folder: str) -> None:
            """Watch it no longer; harmless when it is not watched."""
            watch = self._watches.pop(folder, None)
            if watch is not None:
                with contextlib.suppress(OSError):  # the folder is gone, and so is its watch
                    self._inotify.rm_watch(watch)

        def has_news(self) -> bool:
            """Return whether something was moved in since this was last asked."""
            return any(event.mask & (flags.MOVED_TO | flags.Q_OVERFLOW) for event in self._inotify.read(0))

        def close(self) -> None:
            """Give the descriptors back."""
            self._inotify.close()

else:

    class FolderWatch:
        """The folders to watch. It can be waited for with `select`, being readable when there is news."""

        def __init__(self) -> None:
            self._kqueue = select.kqueue()
            self._folders: dict[str, int] = {}

        def add_writes(self, folder: str) -> bool:  # noqa: ARG002 - the other kernel's
            """Return False: writes are not reported."""
            return False

        def fileno(self) -> int:
            """Return the descriptor to wait for."""
            return self._kqueue.fileno()

        def add(self, folder: str) -> None:
            """Watch a folder; one that is not there is not watched."""
            self.discard(folder)
            with contextlib.suppress(OSError):
                self._folders[folder] = descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
                event = select.kevent(
                    descriptor, select.KQ_FILTER_VNODE, select.KQ_EV_ADD | select.KQ_EV_CLEAR, select.KQ_NOTE_WRITE
                )
                self._kqueue.control([event], 0, 0)

        def discard(self, folder: str) -> None:
            """Watch it no longer; harmless when it is not watched."""
            descriptor = self._folders.pop(folder, None)
            if descriptor is not None:
                os.close(descriptor)

        def has_news(self) -> bool:
            """Return whether something was moved in since this was last asked."""
            return bool(self._kqueue.control(None, len(self._folders) + 1, 0))

        def close(self) -> None:
            """Give the descriptors back."""
            for folder in list(self._folders):
                self.discard(folder)
            self._kqueue.close()
