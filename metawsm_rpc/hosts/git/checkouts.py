"""The checkouts of a base branch: found, checked for files in the way, and updated along with the branch.

`git update-ref` moves a branch and leaves the files of its checkouts behind. So while the branch is locked for
the move, `read-tree -m -u OLD NEW` updates index and files; a person's changes to files that the move does not
touch stay as they are.

A note in the checkout's git directory says, from before the first file is written until after the last, which
move is under way. With it, a later process distinguishes the work of a killed one (files written, a file half
written, an index.lock left) from a person's changes.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from metawsm_rpc.errors import InTheWayError
from metawsm_rpc.hosts.git.git import Git, branch_ref, shown
from metawsm_rpc.hosts.git.locks import wait_until_free
from metawsm_rpc.hosts.git.tree_changes import (
    Change,
    Entry,
    Standing,
    changes_between,
    index_lines,
    standings,
    unmerged_files,
)
from metawsm_rpc.ports.merging import RefMove

_NOTE = "metawsm-move"


def checkouts_of(git: Git, source: str, base: str) -> tuple[str, ...]:
    """Return the folders of all worktrees of a repository that have the branch `base` checked out."""
    found = []
    for number, worktree in enumerate(_worktrees(git, source)):
        if worktree.get("branch") == branch_ref(base):
            folder: str | None = worktree["worktree"]
            if not Path(worktree["worktree"], ".git").exists():
                # Git lists the git directory itself where it is separate (submodules, --separate-git-dir).
                folder = _main_checkout(git, source) if number == 0 else None
            if folder:
                found.append(folder)
    return tuple(found)


def files_in_the_way(git: Git, move: RefMove, exempt: Sequence[str]) -> tuple[str, ...]:
    """Return the files, relative to their checkout, that prevent updating a checkout for the move.

    These are changes in files that the move touches, untracked and ignored files where it puts one,
    and conflicts that are not resolved. Nothing is written, not even a refreshed index.
    """
    changes = changes_between(git, move.source, move.old, move.new)
    found: dict[str, None] = {}
    for checkout in checkouts_of(git, move.source, move.base) if changes else ():
        exempted = exemption(checkout, exempt)
        found |= dict.fromkeys(unmerged_files(git, checkout))
        for path, standing in standings(git, checkout, move.old, changes).items():
            if not (standing.at_start or standing.at_goal or exempted(path)):
                found[standing.obstacle or path] = None
    return tuple(shown(path) for path in found)


def advance_checkouts(git: Git, move: RefMove, exempt: Sequence[str]) -> None:
    """Bring every checkout of the base from `old` to `new`; repeatable, also after being killed.

    A checkout whose branch is at a third commit is left alone: another program has moved both. Exempt files in
    the way keep their content, and differ from the new commit afterwards.

    Raises:
        InTheWayError: a file is in the way; this checkout is untouched.
        RefLockedError: another git has locked the index; this checkout is untouched.
    """
    if git.commit_of(move.source, branch_ref(move.base)) in {move.old, move.new}:
        for checkout in checkouts_of(git, move.source, move.base):
            _bring(git, checkout, move.old, move.new, exemption(checkout, exempt))


def restore_checkouts(git: Git, move: RefMove) -> None:
    """Bring every checkout of the base back to `old`; repeatable, and no file can prevent it.

    Files that a person has changed meanwhile keep their content. Nothing happens when the branch is not at
    `old`: then there is nothing to undo.

    Raises:
        RefLockedError: another git has locked the index.
    """
    if git.commit_of(move.source, branch_ref(move.base)) == move.old:
        for checkout in checkouts_of(git, move.source, move.base):
            _bring(git, checkout, move.new, move.old, lambda _: True)


def exemption(checkout: str, exempt: Sequence[str]) -> Callable[[str], bool]:
    """Return a predicate: whether a path of a checkout is, or is below, one of these absolute paths."""
    top = os.path.realpath(checkout)
    spared = {os.path.realpath(path) for path in exempt}

    def exempted(path: str) -> bool:
        full = Path(top, path)
        return not spared.isdisjoint(map(str, (full, *full.parents)))

    return exempted


class _Work(NamedTuple):
    """The remaining work in one checkout.

    `entries` go into the index as they are; `kept` are paths that read-tree must leave alone; `torn` are files
    that were only partly written.
    """

    entries: dict[str, Entry | None]
    kept: set[str]
    torn: list[str]


def _bring(git: Git, checkout: str, start: str, goal: str, may_keep: Callable[[str], bool]) -> None:
    changes = changes_between(git, checkout, start, goal)
    git_dir = git.git_dir(checkout)
    folders = (checkout, git_dir, git.common_dir(checkout))
    note = Path(git_dir, _NOTE)
    interrupted = _is_under_way(note, start, goal)
    if interrupted:  # wait for a read-tree that outlived its metawsm
        wait_until_free(Path(git_dir, "index.lock"), folders, ours=True)
    found = standings(git, checkout, start, changes)
    if not all(_is_done(standing, changes[path], interrupted=interrupted) for path, standing in found.items()):
        work = _repair(git, checkout, changes, found) if interrupted else _plan(checkout, changes, found, may_keep)
        wait_until_free(Path(git_dir, "index.lock"), folders, ours=False)
        if not interrupted:  # rewriting it would leave a moment without a note
            note.write_text(f"{start} {goal}\n")
        for path in work.torn:
            Path(checkout, path).unlink()
        if work.entries:
            git.run(checkout, "update-index", "-z", "--index-info", stdin=index_lines(work.entries))
        # Without this, a touched timestamp counts as a change; exit code 1 means that there are other changes.
        git.call(checkout, "update-index", "-q", "--refresh", accept=(0, 1))
        kept = {path: changes[path].goal for path in work.kept}
        tree = _tree_with(git, checkout, start, kept) if kept else start
        git.run(checkout, "read-tree", "-m", "-u", "--no-recurse-submodules", tree, goal)
    note.unlink(missing_ok=True)


def _is_done(standing: Standing, change: Change, *, interrupted: bool) -> bool:
    """Return whether nothing is left to do; a killed read-tree may have removed a file before rewriting it."""
    return standing.at_goal and not (interrupted and standing.file == "absent" and change.goal is not None)


def _plan(
    checkout: str,
    changes: Mapping[str, Change],
    found: Mapping[str, Standing],
    may_keep: Callable[[str], bool],
) -> _Work:
    """Return the work in a checkout where no move was interrupted; read-tree does nearly all of it."""
    work = _Work({}, set(), [])
    obstacles = []
    for path, standing in found.items():
        if standing.at_start:
            continue
        if not (standing.at_goal or may_keep(path)):
            obstacles.append(standing.obstacle or path)
            continue
        work.kept.add(path)
        if standing.entry == "start":
            work.entries[path] = changes[path].goal
    if obstacles:
        files = tuple(shown(path) for path in obstacles)
        raise InTheWayError(
            f"{', '.join(files[:3])}{' and more' if len(files) > 3 else ''} in {checkout} would be overwritten:"
            " move or commit what is there, then close again.",
            files=files,
        )
    return work


def _repair(git: Git, checkout: str, changes: Mapping[str, Change], found: Mapping[str, Standing]) -> _Work:
    """Return the work after a read-tree was killed midway, in either direction.

    Each path is brought either fully to the start, from where read-tree continues, or fully to the goal. A path
    in neither state has been changed by a person since, and keeps its content.
    """
    work = _Work({}, set(), [])
    for path, standing in found.items():
        change = changes[path]
        gone = standing.file == "absent" and change.goal is None
        torn = standing.obstacle == path and _is_torn(git, checkout, path, change)
        if standing.entry == "other":
            work.kept.add(path)
        elif torn or (standing.file in {"start", "absent"} and not gone):
            work.entries[path] = change.start
            work.torn.extend([path] if torn else [])
        else:
            work.kept.add(path)
            work.entries[path] = change.goal
    return work


def _is_under_way(note: Path, start: str, goal: str) -> bool:
    try:
        return set(note.read_text().split()) == {start, goal}
    except FileNotFoundError:
        return False


def _is_torn(git: Git, checkout: str, path: str, change: Change) -> bool:
    """Return whether a file is the beginning of what git was writing when it was killed."""
    file = Path(checkout, path)
    if file.is_symlink() or not file.is_file():
        return False
    content = file.read_bytes()
    wholes = (
        git.call(checkout, "cat-file", "--filters", f"--path={path}", entry.object_id).output
        for entry in change
        if entry and entry.mode.startswith("100")
    )
    return any(whole.startswith(content) for whole in wholes)


def _tree_with(git: Git, checkout: str, commit: str, entries: Mapping[str, Entry | None]) -> str:
    """Return a tree like the commit's, with these entries replaced."""
    with tempfile.TemporaryDirectory(prefix="metawsm-") as folder:
        private = {"GIT_INDEX_FILE": f"{folder}/index"}
        git.run(checkout, "read-tree", commit, environment=private)
        git.run(checkout, "update-index", "-z", "--index-info", stdin=index_lines(entries), environment=private)
        return git.run(checkout, "write-tree", environment=private)


def _worktrees(git: Git, source: str) -> Iterable[dict[str, str]]:
    """Yield git's listing of each worktree, the main one first."""
    worktree: dict[str, str] = {}
    for line in (*git.fields(source, "worktree", "list", "--porcelain", "-z"), ""):
        if line:
            name, _, value = line.partition(" ")
            worktree[name] = value
        elif worktree:
            yield worktree
            worktree = {}


def _main_checkout(git: Git, source: str) -> str | None:
    if git.git_dir(source) != git.common_dir(source):
        return None
    top = git.call(source, "rev-parse", "--show-toplevel", accept=None)
    return top.text.removesuffix("\n") if top.exit_code == 0 else None
