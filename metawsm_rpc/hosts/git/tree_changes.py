"""The changes between two commits, and how far a checkout's index and files have followed them.

Git's own answer (`read-tree -n -m -u`) is not enough: it says yes and then overwrites ignored files,
takes a touched file for a changed one, and names only the first file in the way.
"""

import os
import tempfile
from collections.abc import Collection, Iterable, Mapping
from typing import Literal, NamedTuple

from metawsm_rpc.hosts.git.git import Git

_GITLINK = "160000"


class Entry(NamedTuple):
    """A file in a tree: git's mode in octal, and an object id."""

    mode: str
    object_id: str


class Change(NamedTuple):
    """One path that a move touches; None where the commit has nothing there."""

    start: Entry | None
    goal: Entry | None

    @property
    def only_gitlinks(self) -> bool:
        """Whether this is about a submodule's commit, so that git leaves the files alone."""
        return all(entry is None or entry.mode == _GITLINK for entry in self)


class Standing(NamedTuple):
    """The progress of one path: its index entry, its file, and what is in the way if it is neither.

    A file that is the same in both commits counts as `start`.
    """

    entry: Literal["start", "goal", "other"]
    file: Literal["start", "goal", "absent", "other"]
    obstacle: str | None

    @property
    def at_start(self) -> bool:
        """Whether git would update the path; it accepts a deleted file."""
        return self.entry == "start" and self.file in {"start", "absent"}

    @property
    def at_goal(self) -> bool:
        """Whether there is nothing left to do."""
        return self.entry == "goal" and self.file in {"goal", "absent"}


def changes_between(git: Git, repo: str, start: str, goal: str) -> dict[str, Change]:
    """Return what differs between two commits, by path."""
    raw = git.fields(repo, "diff-tree", "-r", "-z", "--raw", "--no-renames", "--ignore-submodules=none", start, goal)
    return {path: Change(old, new) for path, old, new, _ in _parse_raw(raw)}


def unmerged_files(git: Git, checkout: str) -> tuple[str, ...]:
    """Return the files with unresolved conflicts; they block every move."""
    listed = git.fields(checkout, "ls-files", "-z", "--unmerged")
    return tuple(dict.fromkeys(line.partition("\t")[2] for line in listed))


def standings(git: Git, checkout: str, start: str, changes: Mapping[str, Change]) -> dict[str, Standing]:
    """Return the progress of a checkout with each change that starts at the commit `start`."""
    if not changes:
        return {}
    raw = git.fields(
        checkout,
        *("diff-index", "--cached", "-z", "--raw", "--no-renames", "--ignore-submodules=none", start),
    )
    staged = {path: entry for path, _, entry, _ in _parse_raw(raw)}
    obstacles = {path: _obstacle(checkout, path, change, changes) for path, change in changes.items()}
    there = [path for path, obstacle in obstacles.items() if obstacle == path]
    as_start = _matching(git, checkout, {path: changes[path].start for path in there})
    as_goal = _matching(git, checkout, {path: changes[path].goal for path in there if path not in as_start})
    found = {}
    for path, change in changes.items():
        index: Literal["start", "goal", "other"] = "start"
        if path in staged:
            index = "goal" if staged[path] == change.goal else "other"
        file: Literal["start", "goal", "absent", "other"] = "other"
        if obstacles[path] is None:
            file = "absent"
        elif path in as_start:
            file = "start"
        elif path in as_goal:
            file = "goal"
        found[path] = Standing(index, file, obstacles[path] if file == "other" else None)
    return found


def index_lines(entries: Mapping[str, Entry | None]) -> str:
    """Return the input for `git update-index -z --index-info` that sets these index entries."""
    return "".join(
        f"{entry.mode} {entry.object_id}\t{path}\0" if entry else f"0 {'0' * 40}\t{path}\0"
        for path, entry in entries.items()
    )


def _parse_raw(fields: list[str]) -> Iterable[tuple[str, Entry | None, Entry | None, str]]:
    """Yield `(path, old, new, status)` of git's raw diff format."""
    for described, path in zip(fields[::2], fields[1::2], strict=True):
        old_mode, new_mode, old_id, new_id, status = described.removeprefix(":").split(" ")
        yield path, _entry(old_mode, old_id), _entry(new_mode, new_id), status


def _entry(mode: str, object_id: str) -> Entry | None:
    return None if mode == "000000" else Entry(mode, object_id)


def _obstacle(checkout: str, path: str, change: Change, changes: Mapping[str, Change]) -> str | None:
    """Return what occupies a path: itself, a file above or below it that no change explains, or None.

    A folder is not an obstacle if everything in it is a change of its own.
    """
    parts = path.split("/")
    for depth in range(1, len(parts)):
        above = "/".join(parts[:depth])
        if os.path.islink(f"{checkout}/{above}") or not os.path.isdir(f"{checkout}/{above}"):  # noqa: PTH112, PTH114 - thousands of paths
            return above if os.path.lexists(f"{checkout}/{above}") and above not in changes else None
    full = f"{checkout}/{path}"
    if not os.path.lexists(full):
        return None
    if os.path.islink(full) or not os.path.isdir(full):  # noqa: PTH112, PTH114 - as above
        return path
    return None if change.only_gitlinks else _first_stranger(checkout, path, changes)


def _first_stranger(checkout: str, folder: str, known: Collection[str]) -> str | None:
    with os.scandir(f"{checkout}/{folder}") as entries:
        for entry in entries:
            path = f"{folder}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                found = _first_stranger(checkout, path, known)
                if found:
                    return found
            elif path not in known:
                return path
    return None


def _matching(git: Git, checkout: str, entries: Mapping[str, Entry | None]) -> set[str]:
    """Return the paths whose file matches its entry, compared as git does, with filters and attributes.

    It uses a private index with only these entries, so that no timestamp can mislead.
    """
    expected = {path: entry for path, entry in entries.items() if entry and entry.mode != _GITLINK}
    if not expected:
        return set()
    with tempfile.TemporaryDirectory(prefix="metawsm-") as folder:
        private = {"GIT_INDEX_FILE": f"{folder}/index"}
        git.run(checkout, "update-index", "-z", "--index-info", stdin=index_lines(expected), environment=private)
        differing = git.call(
            checkout,
            *("diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", "--ignore-submodules=all"),
            options=("-c", "diff.autoRefreshIndex=true"),
            environment=private | {"GIT_OPTIONAL_LOCKS": "0"},
        )
    return expected.keys() - set(differing.text.split("\0"))
