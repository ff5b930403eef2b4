"""Copies files that git does not track, such as `.env`, from a source checkout into a new worktree.

Patterns are globs relative to the checkout: `*` and `?` match within a name (also a leading dot), `**` any
number of folders; a pattern that matches a folder takes all files in it. Existing files are never overwritten,
no link into or out of the checkout is followed, and nested repositories are skipped.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from metawsm_rpc.errors import HostError
from metawsm_rpc.hosts.git.git import shown
from metawsm_rpc.hosts.git.layout import locate

_NEVER = frozenset({".git", ".metawsm"})

_PART = ".metawsm-part"
"""A copy has this name until it is complete; an interrupted one is replaced by the next attempt."""


def copy_files(
    source: str, worktree: str, patterns: Sequence[str], go_on: Callable[[], None] = lambda: None
) -> tuple[str, ...]:
    """Copy files that match; see `Worktrees.copy_files`. Raises `HostError` for a pattern that leads out.

    `go_on` is called between files, and raises when the work was interrupted.
    """
    copying = _Copying(Path(source), Path(worktree), go_on)
    layout = locate(copying.source)
    if layout is None or layout.git_dir == copying.source.resolve():  # a bare repository has no files
        return ()
    wanted: dict[str, None] = {}
    for pattern in patterns:
        wanted |= dict.fromkeys(copying.matches("", _segments(pattern)))
    # A copy of an earlier attempt that was killed before it returned counts, too.
    return tuple(shown(name) for name in wanted if copying.copy(name) or copying.is_copy(name))


class _Copying(NamedTuple):
    source: Path
    worktree: Path
    go_on: Callable[[], None]

    def matches(self, folder: str, segments: Sequence[str]) -> Iterator[str]:
        """Yield the files in `folder` and below that match, relative to the checkout; a link is a file."""
        first, rest = segments[0], segments[1:]
        deep = first == "**"
        if deep and rest:
            yield from self.matches(folder, rest)
        name_pattern = _name_pattern(first)
        self.go_on()
        for entry in _entries(self.source / folder):
            path = f"{folder}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if (deep or name_pattern.fullmatch(entry.name)) and self._is_shared(path):
                    yield from self.matches(f"{path}/", segments if deep else rest or ["**"])
            elif not rest and (deep or name_pattern.fullmatch(entry.name)):
                yield path

    def copy(self, name: str) -> bool:
        """Copy one file or link; returns whether it was copied."""
        self.go_on()
        original, copy = self.source / name, self.worktree / name
        part = copy.with_name(_PART)
        try:
            if os.path.lexists(copy) or not self._is_copyable(name) or not self._make_parents(name):
                return False
            part.unlink(missing_ok=True)
            _duplicate(original, part)
            part.rename(copy)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise HostError(f"{original} could not be copied to {copy}: {error.strerror or error}.") from error
        return True

    def is_copy(self, name: str) -> bool:
        """Return whether the existing file is what the copy would be."""
        return self._is_copyable(name) and is_same(self.source / name, self.worktree / name)

    def _is_shared(self, folder: str) -> bool:
        """Whether a folder belongs to the checkout; a nested repository does if the worktree has it, too."""
        return not os.path.lexists(self.source / folder / ".git") or os.path.lexists(self.worktree / folder / ".git")

    def _is_copyable(self, name: str) -> bool:
        """Whether this is a file, or a link whose target does not depend on where the checkout is."""
        original = self.source / name
        mode = original.lstat().st_mode
        if not stat.S_ISLNK(mode):
            return stat.S_ISREG(mode)
        target = original.readlink()
        depth = name.count("/")
        for part in target.parts:
            depth += -1 if part == ".." else 1
            if depth < 0:
                return False
        real = os.path.relpath(os.path.realpath(original), os.path.realpath(self.source))
        return not target.is_absolute() and {"..", *_NEVER}.isdisjoint(Path(real).parts)

    def _make_parents(self, name: str) -> bool:
        """Create the folders for a copy; return False when a file or a link is in the way."""
        for folder in reversed(Path(name).parents):
            place = self.worktree / folder
            if folder.name and (place.is_symlink() or (place.exists() and not place.is_dir())):
                return False
        (self.worktree / name).parent.mkdir(parents=True, exist_ok=True)
        return True


def _segments(pattern: str) -> list[str]:
    segments = [segment for segment in pattern.split("/") if segment not in {"", "."}]
    if pattern.startswith("/") or ".." in segments or not segments:
        raise HostError(
            f"The pattern {pattern!r} leads out of the repository.",
            hint="Patterns in `workspace.copy` are relative to each repository.",
        )
    return segments


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if entry.name.lower() not in _NEVER]
    except PermissionError:  # such as a database's own folder: files that cannot be listed cannot match
        return []
    except OSError as error:
        raise HostError(f"The folder {folder} cannot be read: {error.strerror}.") from error
    return sorted(found, key=lambda entry: entry.name)


def _name_pattern(segment: str) -> re.Pattern[str]:
    import fnmatch

    return re.compile(fnmatch.translate(segment))


def is_same(original: Path, copy: Path) -> bool:
    """Return whether two files have the same content, or two links the same target."""
    if copy.is_symlink() or original.is_symlink():
        return copy.is_symlink() and original.is_symlink() and copy.readlink() == original.readlink()
    import filecmp

    return original.is_file() and copy.is_file() and filecmp.cmp(original, copy, shallow=False)


def _duplicate(original: Path, part: Path) -> None:
    import shutil

    shutil.copy2(original, part, follow_symlinks=False)
