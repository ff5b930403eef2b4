"""The work in a worktree as one diff against its base: committed, uncommitted and untracked."""

from collections.abc import Collection, Mapping, Sequence

from metawsm_rpc.domain.models import Repo
from metawsm_rpc.errors import HostError
from metawsm_rpc.hosts.git.git import Git, branch_ref, shown
from metawsm_rpc.hosts.git.snapshots import private_index
from metawsm_rpc.ports.worktrees import FileChange, RepoDiff

_SAME_EVERYWHERE = (
    *("--no-ext-diff", "--no-textconv", "--no-color", "--no-relative", "--find-renames"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--submodule=short", "--ignore-submodules=none", "-O/dev/null"),
)
"""Overrides a person's diff configuration, and keeps external diff programs from running."""

_PATCH_CONFIGURATION = ("-c", "core.quotePath=false", "-c", "diff.context=3", "-c", "diff.interHunkContext=0")


def diff(git: Git, repo: Repo, *, patch: bool) -> RepoDiff:
    """Return the work in a worktree; see `Worktrees.diff`."""
    base = merge_base(git, repo)
    head = git.commit_of(repo.path, "HEAD")
    if head is None:
        raise HostError(f"The worktree at {repo.path} has no commits to compare.")
    untracked = git.fields(repo.path, "ls-files", "--others", "--exclude-standard", "-z")
    nested = [name for name in untracked if name.endswith("/")]
    with private_index(repo.path) as index:
        if len(untracked) > len(nested):
            _add_intentions(git, repo.path, index, nested)
        described = git.fields(
            repo.path, "diff", "--raw", "--numstat", "-z", *_SAME_EVERYWHERE, base, "--", environment=index
        )
        files = _file_changes(described, set(untracked))
        text = None
        if patch:
            text = git.call(
                repo.path,
                *("diff", "--patch", "--unified=3", *_SAME_EVERYWHERE, base, "--"),
                options=_PATCH_CONFIGURATION,
                environment={**index, "GIT_OPTIONAL_LOCKS": "0"},
            ).output.decode("utf-8", "replace")
    files += [FileChange(shown(name), "?", None, None) for name in nested]
    return RepoDiff(base, head, tuple(sorted(files)), text)


def merge_base(git: Git, repo: Repo) -> str:
    """Return the commit where the work in a worktree branched off its base branch.

    If the base branch is gone or has no common history, that is the recorded commit where the work began.
    """
    found = git.call(
        repo.path,
        "merge-base",
        branch_ref(repo.base),
        "HEAD",
        environment={"GIT_OPTIONAL_LOCKS": "0"},
        accept=(0, 1, 128),
    )
    base = found.text.strip() or repo.base_commit
    if base is None:
        raise HostError(f"{repo.name} has no branch {repo.base} that its work could be compared with.")
    return base


def _add_intentions(git: Git, checkout: str, index: Mapping[str, str], nested: Sequence[str]) -> None:
    """Enter new files in the private index without their content, so that git compares them too.

    Files come and go while agents work, so unreadable ones are skipped.
    """
    git.call(
        checkout,
        *("add", "--intent-to-add", "--sparse", "--ignore-errors", "--", "."),
        *(f":(top,exclude,literal){name.rstrip('/')}" for name in nested),
        options=("-c", "core.splitIndex=false"),
        environment=index,
        accept=(0, 1),
    )


def _file_changes(fields: Sequence[str], untracked: Collection[str]) -> list[FileChange]:
    """Read git's raw lines (`:modes ids status`, path) and after them its line counts, by path."""
    rest = iter(fields)
    statuses: dict[str, str] = {}
    counts: dict[str, tuple[int | None, int | None]] = {}
    for field in rest:
        if field.startswith(":"):
            status = field.rpartition(" ")[2][0]
            path = next(rest)
            path = next(rest) if status in "RC" else path
            statuses[path] = "?" if status == "A" and path in untracked else status
        else:
            additions, deletions, path = field.split("\t", 2)
            if not path:  # a rename is followed by its two names
                next(rest)
                path = next(rest)
            counts[path] = (_count(additions), _count(deletions))
    return [FileChange(shown(path), status, *counts.get(path, (None, None))) for path, status in statuses.items()]


def _count(number: str) -> int | None:
    return None if number == "-" else int(number)
