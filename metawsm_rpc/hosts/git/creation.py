"""Creates a worktree: check, act, check again, and leave nothing half-made.

What a killed git has left half-made is distinguished from a person's files by two signs: the worktree is still
locked as "initializing" or has no index, or the note of an earlier turn (`turns.py`) names its folder.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from metawsm_rpc.errors import CommandError, HostError, MetawsmError
from metawsm_rpc.hosts.git.git import Git, branch_ref, shown
from metawsm_rpc.hosts.git.layout import Layout, half_made, registered, source_layout, unnamed
from metawsm_rpc.hosts.git.locks import remove_stale
from metawsm_rpc.hosts.git.registrations import forget, own_git_dir, registrations
from metawsm_rpc.hosts.git.submodules import initialise
from metawsm_rpc.hosts.git.turns import Turn, turn
from metawsm_rpc.ports.worktrees import Worktree, WorktreeSpec

_KEPT = "refs/metawsm/kept"

_COMMIT_ID = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


def add(git: Git, spec: WorktreeSpec) -> Worktree:
    """Ensure that the worktree exists; see `Worktrees.add`."""
    if spec.branch.startswith("-"):
        raise HostError(f"{spec.branch!r} cannot be a branch, because git would take it for an option.")
    source = source_layout(spec.source)
    spec = spec._replace(path=os.path.abspath(spec.path), start=_commit(git, spec))  # noqa: PTH100 - lexical on purpose
    with turn(git.commands, source.common_dir) as held:
        worktree = _existing(git, held, source, spec) or _make(git, held, source, spec)
        held.end(spec.path)
    return worktree


def _commit(git: Git, spec: WorktreeSpec) -> str:
    if _COMMIT_ID.fullmatch(spec.start):
        return spec.start
    commit = git.commit_of(spec.source, spec.start)
    if commit is None:
        raise HostError(f"{spec.source} has no commit {spec.start!r} where {spec.branch} could begin.")
    return commit


def branch_of(git: Git, checkout: Path, git_dir: Path) -> tuple[str | None, str]:
    """Return `(branch, commit)` of a checkout's HEAD; a branch that is being rebased counts as checked out."""
    commit, ref = git.read(str(checkout), "rev-parse", "HEAD", "--symbolic-full-name", "HEAD").split("\n")
    if ref == "HEAD":
        with contextlib.suppress(FileNotFoundError):
            ref = os.fsdecode((git_dir / "rebase-merge" / "head-name").read_bytes()).strip()
    return (ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None), commit


def _existing(git: Git, held: Turn, source: Layout, spec: WorktreeSpec) -> Worktree | None:
    """Return the worktree if it exists, and remove what an earlier attempt left half-made."""
    path = Path(spec.path)
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise HostError(f"{path} is in the way of a worktree: move it elsewhere, or choose another name.")
    if is_empty(path):
        return None
    git_dir = own_git_dir(source, path)
    if git_dir is None or half_made(git_dir):
        if git_dir is None and not held.began(spec.path):
            raise HostError(
                f"The folder {path} is not empty and no worktree of {spec.source}: "
                "move it elsewhere, or choose another name."
            )
        discard(git, held, source, spec)
        return None
    branch, head = branch_of(git, path, git_dir)
    if branch != spec.branch:
        raise HostError(
            f"The worktree at {path} is on {branch or 'no branch'} and not on {spec.branch}: "
            f"check {spec.branch} out there, or remove it with `git worktree remove`."
        )
    initialise(git, Path(spec.source), path, anew=held.began(spec.path))
    return Worktree(spec.path, spec.branch, head, created=False, branch_created=False)


def is_empty(path: Path) -> bool:
    """Return whether there is nothing at a path, or only an empty folder."""
    return not os.path.lexists(path) or (path.is_dir() and not any(path.iterdir()))


def _make(git: Git, held: Turn, source: Layout, spec: WorktreeSpec) -> Worktree:
    path = Path(spec.path)
    parents = [parent for parent in path.parents if not parent.exists()]
    cut_off = held.began(spec.path)
    held.begin(spec.path)
    branch_created = False
    if cut_off:
        _remove_folders(unnamed(source.common_dir, path))

    def give_up() -> None:
        for parent in parents:
            with contextlib.suppress(OSError):
                parent.rmdir()
        if is_empty(path):
            held.end(spec.path)
        if branch_created:
            git.run(spec.source, "update-ref", "-d", branch_ref(spec.branch), spec.start)

    with _on_failure(give_up):
        branch_created = _create_branch(git, held, source, spec, cut_off=cut_off)
        try:
            _git_worktree_add(git, held, source, spec)
        except CommandError:
            if not _clear_the_way(git, source, spec):
                raise
            _git_worktree_add(git, held, source, spec)
        with _on_failure(lambda: _remove_files(source, path)):
            git_dir = _made(source, path)
            initialise(git, Path(spec.source), path)
            head = spec.start if branch_created else branch_of(git, path, git_dir)[1]
    return Worktree(spec.path, spec.branch, head, created=True, branch_created=branch_created)


@contextlib.contextmanager
def _on_failure(undo: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError, MetawsmError):  # the caller needs the original error
            undo()
        raise


def _made(source: Layout, path: Path) -> Path:
    """Check the result, and return the new worktree's git directory."""
    git_dir = own_git_dir(source, path)
    if git_dir is None or half_made(git_dir):
        raise HostError(f"git said that it had made a worktree at {path}, and there is none.")
    return git_dir


def _create_branch(git: Git, held: Turn, source: Layout, spec: WorktreeSpec, *, cut_off: bool) -> bool:
    """Create the branch at its start if it does not exist; returns whether it did not.

    `cut_off` says that an earlier attempt was killed, so that a lock without a holder is left over from it.
    """
    ref = branch_ref(spec.branch)
    create = ("update-ref", "-m", f"branch: Created from {spec.start}", ref, spec.start, "")
    try:
        git.call(spec.source, *create, inherit=(held.descriptor,))
    except CommandError:
        if git.commit_of(spec.source, ref) is not None:
            return False
        lock = source.common_dir / f"{ref}.lock"
        if not (cut_off and lock.exists() and remove_stale(lock, (spec.source, str(source.common_dir)))):
            raise
        git.call(spec.source, *create, inherit=(held.descriptor,))
    return True


def _git_worktree_add(git: Git, held: Turn, source: Layout, spec: WorktreeSpec) -> None:
    path = Path(spec.path)
    try:
        git.call(spec.source, "worktree", "add", "--quiet", "--", spec.path, spec.branch, inherit=(held.descriptor,))
    except BaseException as error:
        # A git that refuses has cleaned up, so anything here is not its work. One that was killed, or whose
        # hook failed, has not.
        refused = isinstance(error, CommandError) and error.exit_code == 128
        if not refused or own_git_dir(source, path) is not None:
            with contextlib.suppress(OSError):
                _remove_files(source, path)
        if isinstance(error, CommandError) and "unable to write" in error.stderr:
            error.hint = f"The disk that holds {path} may be full: make room there, then try again."
        raise


def _clear_the_way(git: Git, source: Layout, spec: WorktreeSpec) -> bool:
    """Make git forget worktrees whose folders are gone and that still occupy the path or the branch.

    Returns whether there were any. Raises `HostError` for one that still exists, or that a person has locked.
    """
    cleared = False
    wanted = os.path.realpath(spec.path)
    for number, entry in enumerate(registrations(git, spec.source)):
        place = Path(entry["worktree"])
        if entry.get("branch") != branch_ref(spec.branch) and os.path.realpath(place) != wanted:
            continue
        if number == 0 or (place / ".git").exists():
            raise HostError(
                f"The branch {spec.branch} is checked out at {place} already.",
                hint="Remove that worktree, or check another branch out there.",
            )
        forget(git, spec.source, source, entry, _KEPT)
        cleared = True
    return cleared


def discard(git: Git, held: Turn, source: Layout, spec: WorktreeSpec) -> None:
    """Remove a half-made worktree, unless it contains files that git did not put there."""
    path = Path(spec.path)
    commit = git.commit_of(spec.source, branch_ref(spec.branch)) or spec.start
    tracked = set(git.fields(spec.source, "ls-tree", "-r", "-z", "--name-only", "--full-tree", commit))
    present = (str((Path(folder) / name).relative_to(path)) for folder, _, names in os.walk(path) for name in names)
    strangers = [name for name in present if name != ".git" and name not in tracked]
    if strangers:
        raise HostError(
            f"{path} is a half-made worktree with other files in it, such as {shown(strangers[0])}: "
            "move the folder elsewhere."
        )
    held.begin(spec.path)
    _remove_files(source, path)


def _remove_files(source: Layout, path: Path) -> None:
    _remove_folders((*registered(source.common_dir, path), *unnamed(source.common_dir, path), path))


def _remove_folders(folders: Iterable[Path]) -> None:
    import shutil

    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)
