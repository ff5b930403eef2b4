"""The roots of a server: one for each workspace folder, and those that requests name."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from metawsm_rpc.errors import InvalidParamsError
from metawsm_rpc.rpc.connection.faults import shortened

if TYPE_CHECKING:
    from metawsm_rpc.rpc.view import Views
    from metawsm_rpc.service import Service


class Root:
    """A root and the verbs on it; untrusted ones are only read.

    `path` is its real path, `shown_at` the client's name for it: its folder may be reached by a link.
    """

    def __init__(self, path: Path, shown_at: Path | None = None, *, trusted: bool) -> None:
        self.path = path
        self.shown_at = shown_at or path
        self.trusted = trusted
        self._service: Service | None = None
        self._views: Views | None = None
        self._lock = threading.Lock()

    @property
    def service(self) -> "Service":
        """The verbs; for threads, not for the event loop. Raises `NotTrustedError` for another user's root."""
        from metawsm_rpc.composition import open_service

        with self._lock:
            if self._service is None:
                self._service = open_service(self.path, trusted=self.trusted)
            return self._service

    @property
    def views(self) -> "Views":
        """The view of this root, which rereads only what has changed; for threads."""
        from metawsm_rpc.rpc.view import Views

        service = self.service
        with self._lock:
            if self._views is None:
                self._views = Views(str(self.path), service, self.as_shown)
            return self._views

    def as_shown(self, path: str) -> str:
        """Return the path of a file of this root as the client names it."""
        real = Path(path)
        return str(self.shown_at / real.relative_to(self.path)) if real.is_relative_to(self.path) else path

    @property
    def is_open(self) -> bool:
        """Whether the verbs have been used."""
        return self._service is not None

    def close(self) -> None:
        """Release everything; agents keep running."""
        with self._lock:
            if self._service is not None:
                self._service.shut_down()


class Roots:
    """Finds the root of a request. Paths are resolved only when needed: `initialize` touches no disk."""

    def __init__(self) -> None:
        self.trusted = True
        self._fixed: Path | None = None
        self._folders: dict[Path, None] = {}
        self._roots: dict[Path, Root] = {}

    def fix(self, root: str) -> None:
        """Serve only this root, whatever the workspace folders are."""
        self._fixed = path_of(root)

    def add(self, folder: str) -> None:
        """Add a workspace folder: a file URI or a path."""
        if (path := path_of(folder)) is not None:
            self._folders[path] = None

    def remove(self, folder: str) -> None:
        """Remove a workspace folder; runs of its root continue."""
        if (path := path_of(folder)) is not None:
            self._folders.pop(path, None)

    @property
    def folders(self) -> tuple[Path, ...]:
        """The workspace folders, in their order."""
        return tuple(self._folders)

    @property
    def of_folders(self) -> tuple[Root, ...]:
        """The roots of the workspace folders, in their order; that of the current folder when there are none."""
        return self.of(self.folders)

    def of(self, folders: tuple[Path, ...]) -> tuple[Root, ...]:
        """Return the roots of some folders as of all."""
        if self._fixed is not None:
            return (self._root(self._fixed.expanduser().resolve(), self._fixed.expanduser()),)
        found: dict[Path, Path] = {}
        for folder in folders or (Path.cwd(),):
            found.setdefault(_root_of(folder), folder)
        return tuple(self._root(path, folder) for path, folder in found.items())

    @property
    def opened(self) -> tuple[Root, ...]:
        """All roots whose verbs have been used."""
        return tuple(root for root in list(self._roots.values()) if root.is_open)

    def named(self, name: str | None) -> Root:
        """Return the root that a request names: a path or file URI, None for the first workspace folder's.

        Raises `InvalidParamsError` when it is no folder.
        """
        from metawsm_rpc.composition import resolve_root

        try:
            path = self.of_folders[0].path if name is None else path_of(name)
            if path is not None and name != "":
                return self._root(resolve_root(str(path), {}))
        except (OSError, ValueError) as error:  # such as a name that is too long
            raise InvalidParamsError(f"The root {shortened(name)} cannot be used: {shortened(error)}.") from error
        raise InvalidParamsError(f"The root {shortened(name)} is neither a path nor a file URI.")

    def holding(self, uri: str | None) -> Root:
        """Return the root that a document belongs to; the first workspace folder's when it is in none."""
        roots = self.of_folders
        path = path_of(uri) if uri else None
        if path is not None:
            path = path.resolve()
            inside = [root for root in roots if root.path == path or root.path in path.parents]
            if inside:
                return max(inside, key=lambda root: len(root.path.parts))
        return roots[0]

    def close(self) -> None:
        """Release every root."""
        for root in self.opened:
            root.close()

    def _root(self, path: Path, folder: Path | None = None) -> Root:
        known = self._roots.get(path)
        if known is None:
            shown_at = None if folder is None else _as_named(path, folder)
            known = self._roots.setdefault(path, Root(path, shown_at, trusted=self.trusted))
        return known


def _as_named(root: Path, folder: Path) -> Path:
    """Return the root of a workspace folder by the name that the folder's own path gives it."""
    return next((one for one in (folder, *folder.parents) if one.is_absolute() and one.resolve() == root), root)


def _root_of(folder: Path) -> Path:
    """Return the root that a workspace folder belongs to; a missing folder is its own, so that it is reported."""
    from metawsm_rpc.composition import find_root

    try:
        return find_root(folder) if folder.is_dir() else folder
    except OSError:  # such as one that may not be looked at
        return folder


def path_of(named: str) -> Path | None:
    """Return the path that a path or a file URI names; None when it is another kind of URI, or no path can be so."""
    if "\0" in unquote(named):
        return None
    try:
        parts = urlsplit(named)
    except ValueError:
        return Path(named)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    # A drive letter or a colon in a name is not a scheme; `metawsm:/run/x` and `untitled:1` have one.
    return None if parts.scheme and not named.startswith(("/", "~", ".")) else Path(named)
