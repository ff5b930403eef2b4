"""Submodules of a worktree: initialised from the source's local repositories, and never lost.

Git keeps the repositories of submodules in `modules/` of each worktree's own git directory, so a worktree's
submodules can have commits of their own, which are removed with the worktree.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from metawsm_rpc.hosts.git.git import Git, shown
from metawsm_rpc.hosts.git.layout import locate
from metawsm_rpc.hosts.git.status import status

_GITLINK = "160000"


def initialise(git: Git, source: Path, worktree: Path, *, anew: bool = False) -> None:
    """Initialise in a worktree the submodules that its source has initialised, recursively.

    A submodule whose commit the source has is cloned from there, without a network; others from their
    configured remote. `anew` says that an earlier attempt was interrupted, so that an existing one may be half
    a clone, and contains no work.
    """
    if not (worktree / ".gitmodules").is_file():
        return
    names = _names(git, worktree)
    for path, commit in _recorded(git, worktree).items():
        origin, place = source / path, worktree / path
        if path not in names or not (origin / ".git").exists():
            continue
        if anew:
            _clear(worktree, place, names[path])
        if (place / ".git").exists():
            continue
        if _has(git, origin, commit):
            _clone(git, names[path], path, origin, worktree)
        else:
            git.run(str(worktree), "submodule", "update", "--quiet", "--init", "--checkout", "--", path)
        initialise(git, origin, place)


def update(git: Git, source: Path, worktree: Path) -> None:
    """Check out, in each submodule of a clean worktree, the commit that the worktree records now."""
    if not (worktree / ".gitmodules").is_file():
        return
    for path, commit in _recorded(git, worktree).items():
        place = worktree / path
        if not (place / ".git").exists() or git.commit_of(str(place), "HEAD") == commit:
            continue
        origin = source / path
        if not _has(git, place, commit) and (origin / ".git").exists() and _has(git, origin, commit):
            git.run(str(place), "fetch", "--quiet", "--no-write-fetch-head", "--", str(origin), commit)
        # Git would ask the remote for a commit that no ref of the submodule leads to.
        fetching = ("--no-fetch",) if _has(git, place, commit) else ()
        git.run(str(worktree), "submodule", "update", "--quiet", "--checkout", *fetching, "--", path)
        update(git, source / path, place)
    initialise(git, source, worktree)


def reason_to_keep(
    git: Git, common_dir: Path, git_dir: Path, worktree: Path, copied: Collection[str] | None
) -> str | None:
    """Return what would be lost in a worktree's submodules if it were removed, or None.

    Args:
        git: runs git in them.
        common_dir: the git common directory of the source, which has the source's submodules.
        git_dir: the worktree's own git directory.
        worktree: the worktree's folder.
        copied: ignored files, relative to the worktree, that may go; None lets all of them go.
    """
    for path in _populated(git, worktree):
        place = worktree / path
        layout = locate(place)
        if layout is None or git_dir not in layout.git_dir.parents:
            return f"{path} is a nested repository that has its commits inside the worktree"
        now = status(git, str(place), ignored=True)
        if now.dirty:
            return f"the submodule {path} has uncommitted files, such as {shown(now.dirty[0])}"
        ignored = next(
            (name for name in now.ignored if copied is not None and shown(f"{path}/{name}") not in copied), None
        )
        if ignored is not None:
            return f"the submodule {path} has ignored files, such as {shown(ignored)}"
    for store in _stores(git_dir / "modules"):
        name = store.relative_to(git_dir / "modules")
        if _has_own_commits(git, store, common_dir / "modules" / name):
            return f"the submodule {name} has commits that the source repository does not have"
    return None


def _names(git: Git, worktree: Path) -> dict[str, str]:
    """Return the names of the submodules that `.gitmodules` declares, by path."""
    found = git.call(
        str(worktree),
        *("config", "--file", ".gitmodules", "-z", "--get-regexp", r"^submodule\..*\.path$"),
        accept=(0, 1),
    )
    pairs = (entry.partition("\n") for entry in found.text.split("\0") if entry)
    return {path: key.removeprefix("submodule.").removesuffix(".path") for key, _, path in pairs}


def _recorded(git: Git, worktree: Path) -> dict[str, str]:
    """Return the commits of submodules that the index records, by path."""
    entries = (entry.partition("\t") for entry in git.fields(str(worktree), "ls-files", "--stage", "-z"))
    return {path: said.split(" ")[1] for said, _, path in entries if said.startswith(_GITLINK)}


def _clone(git: Git, name: str, path: str, origin: Path, worktree: Path) -> None:
    # As variables, because a name may contain `=`, which `-c name=value` would misread. Git allows a clone from
    # a local path only on demand since 2.38.1; this one is from the person's own source.
    given = {
        f"submodule.{name}.url": str(origin),
        "protocol.file.allow": "always",
        "clone.defaultRemoteName": "origin",
    }
    environment = {"GIT_CONFIG_COUNT": str(len(given))}
    for number, (key, value) in enumerate(given.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    arguments = ("submodule", "update", "--quiet", "--checkout", "--", f":(top,literal){path}")
    git.run(str(worktree), *arguments, environment=environment)
    url = git.call(str(origin), "config", "--get", "remote.origin.url", accept=(0, 1)).text.strip()
    if url:
        git.run(str(worktree / path), "config", "remote.origin.url", url)


def _clear(worktree: Path, place: Path, name: str) -> None:
    import shutil

    layout = locate(worktree)
    for folder in (place, *([layout.git_dir / "modules" / name] if layout else [])):
        if folder.exists():
            shutil.rmtree(folder)


def _has(git: Git, repo: Path, commit: str) -> bool:
    return git.commit_of(str(repo), commit) is not None


def _populated(git: Git, worktree: Path) -> Iterator[str]:
    """Yield the checked-out submodules, each followed by its own, by path relative to the worktree."""
    for path in _recorded(git, worktree):
        if (worktree / path / ".git").exists():
            yield path
            yield from (f"{path}/{inner}" for inner in _populated(git, worktree / path))


def _stores(modules: Path) -> Iterator[Path]:
    """Yield the submodule repositories below a `modules` folder; a name may contain slashes."""
    if not modules.is_dir():
        return
    for folder in modules.iterdir():
        if (folder / "HEAD").is_file():
            yield folder
            yield from _stores(folder / "modules")
        elif folder.is_dir():
            yield from _stores(folder)


def _has_own_commits(git: Git, store: Path, origin: Path) -> bool:
    options = ("--git-dir", str(store), "--work-tree", str(store))
    tips = git.call(str(store), "for-each-ref", "--format=%(objectname)", "refs/heads", "refs/stash", options=options)
    head = git.call(str(store), "rev-parse", "--verify", "--quiet", "HEAD", options=options, accept=(0, 1))
    commits = {*tips.text.split(), *head.text.split()}
    if (origin / "HEAD").is_file():
        there = ("--git-dir", str(origin), "--work-tree", str(origin))
        answers = git.call(str(origin), "cat-file", "--batch-check", stdin="\n".join(commits), options=there)
        return "missing" in answers.text
    own = git.call(str(store), "rev-list", "--max-count=1", *commits, "--not", "--remotes", options=options)
    return bool(commits) and bool(own.text.strip())
