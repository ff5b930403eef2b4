"""The repositories of a root, and their names.

The policy's own names come first, then the root itself and the folders directly below it, then those of wsm's
registry, which knows the repositories of every root. A repository is identified by the real path of its git
common directory, so that it has one name however many paths lead to it, and a linked worktree is not a
repository of its own.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from metawsm_rpc.errors import CommandError, HostError
from metawsm_rpc.hosts.git.git import Git
from metawsm_rpc.hosts.git.layout import Layout, locate
from metawsm_rpc.ports.worktrees import Source

_REFS = "%(refname)%00%(symref)%00%(HEAD)"


def discover(
    git: Git, root: str, configured: Mapping[str, str], registry: Sequence[tuple[str, str]]
) -> tuple[Source, ...]:
    """Return the repositories known at `root`, in order of precedence.

    Unusable ones are left out; `problem` says why.

    Args:
        git: runs one git command in each repository.
        root: the folder whose own repositories count, an absolute path.
        configured: name to path, from the policy; relative paths begin at the root.
        registry: `(name, path)` of wsm's registry.
    """
    found: dict[str, Source] = {}
    identities: set[str] = set()
    for name, path, layout in _candidates(root, configured, registry):
        if name in found or str(layout.common_dir) in identities:
            continue
        try:
            found[name] = _describe(git, name, path, layout)
        except CommandError:
            continue
        identities.add(str(layout.common_dir))
    return tuple(found.values())


def problem(git: Git, root: str, configured: Mapping[str, str], name: str) -> HostError | None:
    """Return why the repository that the policy calls `name` cannot be used, or None when it can."""
    if name not in configured:
        return None
    path = _absolute(root, configured[name])
    if not path.is_dir():
        return HostError(
            f"The repository {name} is said to be at {path}, and there is no such folder.",
            hint="Correct its path under `repositories` in the policy.",
        )
    layout = locate(path)
    if layout is None:
        return HostError(
            f"The repository {name} is said to be at {path}, and that is not the top of a git repository.",
            hint="Correct its path under `repositories` in the policy, or run `git init` there.",
        )
    try:
        _describe(git, name, path, layout)
    except CommandError as error:
        return error
    return None


def _candidates(
    root: str, configured: Mapping[str, str], registry: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, Path, Layout]]:
    top = Path(root)
    yield from _named(root, (*configured.items(), (_own_name(top), root)))
    for folder in sorted(_folders(top)):
        layout = locate(folder)
        if layout is not None and not layout.linked:
            yield folder.name, folder, layout
    # Last: it knows the repositories of every root, and two roots may each have an `app`.
    yield from _named(root, registry)


def _named(root: str, places: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Path, Layout]]:
    for name, path in places:
        place = _absolute(root, path)
        layout = locate(place)
        if layout is not None:
            yield name, _home(place, layout), layout


def _own_name(root: Path) -> str:
    layout = locate(root)
    return _home(root, layout).name if layout else root.name


def _folders(root: Path) -> Iterator[Path]:
    try:
        yield from (entry for entry in root.iterdir() if not entry.name.startswith(".") and entry.is_dir())
    except OSError as error:
        raise HostError(f"The folder {root} cannot be read: {error.strerror}.") from error


def _absolute(root: str, path: str) -> Path:
    return Path(os.path.abspath(os.path.join(root, os.path.expanduser(path))))  # noqa: PTH100, PTH111, PTH118 - one is lexical on purpose: links keep their names


def _home(place: Path, layout: Layout) -> Path:
    """Return the main checkout of a linked worktree's repository, because a worktree may be removed."""
    if not layout.linked:
        return place
    return layout.common_dir.parent if layout.common_dir.name == ".git" else layout.common_dir


def _describe(git: Git, name: str, path: Path, layout: Layout) -> Source:
    lines = git.read(str(path), "for-each-ref", f"--format={_REFS}", "refs/heads", "refs/remotes/origin/HEAD")
    branches, default, checked_out = [], None, None
    for line in lines.splitlines():
        ref, target, mark = line.split("\0")
        if ref.startswith("refs/heads/"):
            branches.append(ref.removeprefix("refs/heads/"))
            checked_out = branches[-1] if mark == "*" else checked_out
        elif target.startswith("refs/remotes/origin/"):
            default = target.removeprefix("refs/remotes/origin/")
    return Source(
        name=name,
        path=str(path),
        common_dir=str(layout.common_dir),
        default_branch=default or checked_out,
        has_commits=bool(branches) or git.commit_of(str(path), "HEAD") is not None,
        branches=tuple(branches),
    )
