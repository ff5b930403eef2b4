"""Documents as files, for editors that open no virtual ones: written once, and again when they have changed."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from metawsm_rpc.errors import MetawsmError
from metawsm_rpc.rpc.threads import Threads

_PAUSE_SECONDS = 2.0
"""How long at least from one look to the next: a document may cost a git in every worktree."""

_KEPT = 8
"""So many documents are kept as they are, those that were asked for last."""


class Files:
    """The files of one server, in a folder of its own. For the event loop.

    `content` returns `{text, languageId}` of the document with a URI, or raises `MetawsmError`.
    """

    def __init__(self, threads: Threads, content: Callable[[str], Awaitable[Any]]) -> None:
        self._threads = threads
        self._content = content
        self._folder: Path | None = None
        self._documents: dict[Path, tuple[str, str]] = {}
        self._wanted = False
        self._task: asyncio.Task[None] | None = None

    async def write(self, name: str, text: str, uri: str | None = None) -> Path:
        """Write a text and return the path; one that has the URI of a document is written again when that changes."""
        path = await self._threads.on("looks", self._written, name, text)
        self._documents.pop(path, None)
        if uri is not None:
            self._documents[path] = (uri, text)
        for oldest in list(self._documents)[:-_KEPT]:
            del self._documents[oldest]
        return path

    def want(self) -> None:
        """Have the files looked at soon: something may have changed."""
        self._wanted = True
        if self._documents and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._rewrite())

    async def _rewrite(self) -> None:
        while self._wanted:
            self._wanted = False
            for path, (uri, before) in list(self._documents.items()):
                try:
                    text = (await self._content(uri))["text"]
                    if text != before:
                        await self._threads.on("looks", _replace, path, text)
                        self._documents[path] = (uri, text)
                except (MetawsmError, OSError):
                    self._documents.pop(path, None)  # it is gone, or what it showed is
            await asyncio.sleep(_PAUSE_SECONDS)

    def remove(self) -> None:
        """Remove what was written."""
        if self._folder is not None:
            import shutil

            shutil.rmtree(self._folder, ignore_errors=True)

    def _written(self, name: str, text: str) -> Path:
        import tempfile

        if self._folder is None or not self._folder.is_dir():
            # Private to the person, and gone with the server: what agents print belongs to nobody else.
            self._folder = Path(tempfile.mkdtemp(prefix="metawsm-"))
        path = self._folder / name
        _write(path, text)
        return path


def _replace(path: Path, text: str) -> None:
    """Write a file anew, never half. Raises `OSError` when nobody has it any more."""
    path.stat()
    draft = path.with_name(f".{path.name}")
    _write(draft, text)
    draft.replace(path)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="replace")
