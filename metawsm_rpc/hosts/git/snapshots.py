"""Snapshots: the contents of a worktree as a commit under a ref, so that removing the worktree loses nothing."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from metawsm_rpc.errors import CommandError
from metawsm_rpc.hosts.git.git import Git
from metawsm_rpc.hosts.git.layout import locate

_NOBODY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "metawsm"), ("EMAIL", "metawsm@localhost"))
}
"""The committer of a snapshot when git has no identity configured."""


@contextmanager
def private_index(checkout: str) -> Iterator[dict[str, str]]:
    """Copy a checkout's index for the block; yields the environment that makes git use the copy.

    The checkout's own index stays unchanged, even when git refreshes or fills the copy.
    """
    import shutil
    import tempfile

    layout = locate(Path(checkout))
    with tempfile.TemporaryDirectory(prefix="metawsm-") as folder:
        copy = Path(folder) / "index"
        if layout is not None and (layout.git_dir / "index").is_file():
            # Keep its timestamp: git uses it to find files that may have changed in the second of their
            # checkout.
            shutil.copy2(layout.git_dir / "index", copy)
        yield {"GIT_INDEX_FILE": str(copy)}


def snapshot(git: Git, checkout: str, message: str, leave_out: Iterable[str] = ()) -> str:
    """Make a commit, on top of HEAD, of everything in a checkout that git does not ignore.

    Untracked files in `leave_out` are excluded.

    Staged content that differs from the files becomes a second parent, as in `git stash`. Returns the commit;
    no ref, no index and no file is changed.
    """
    identity = {} if _has_identity(git, checkout) else _NOBODY
    head, head_tree = git.read(checkout, "rev-parse", "HEAD", "HEAD^{tree}").split("\n")
    with private_index(checkout) as index:
        try:
            staged = git.run(checkout, "write-tree", environment=index)
        except CommandError:  # an index with conflicts has no tree, and both sides are commits already
            staged = head_tree
        git.run(
            checkout,
            *("add", "--all", "--sparse", "--", ".", *(f":(top,exclude,literal){name}" for name in leave_out)),
            options=("-c", "core.safecrlf=false", "-c", "core.splitIndex=false"),
            environment=index,
        )
        tree = git.run(checkout, "write-tree", environment=index)

    def commit(tree: str, *parents: str) -> str:
        lineage = [word for parent in parents for word in ("-p", parent)]
        return git.run(checkout, "commit-tree", tree, *lineage, stdin=message, environment=identity)

    if staged in {tree, head_tree}:
        return commit(tree, head)
    return commit(tree, head, commit(staged, head))


def keep_commit(git: Git, repo: str, commit: str, ref: str) -> bool:
    """Point `ref` at a commit unless a branch or tag contains it; returns whether that was necessary."""
    holders = ("refs/heads", "refs/tags", "refs/remotes")
    if git.read(repo, "for-each-ref", "--count=1", f"--contains={commit}", *holders):
        return False
    git.run(repo, "update-ref", ref, commit)
    return True


def kept_below(git: Git, repo: str, prefix: str) -> tuple[tuple[str, str], ...]:
    """Return `(ref, commit)` of each ref below a prefix."""
    listed = git.read(repo, "for-each-ref", "--format=%(refname) %(objectname)", prefix)
    return tuple((ref, commit) for ref, _, commit in (line.rpartition(" ") for line in listed.splitlines()))


def same_snapshot(git: Git, repo: str, prefix: str, commit: str) -> tuple[str, str] | None:
    """Return `(ref, commit)` of an earlier snapshot below the prefix with the same content, if there is one.

    An interrupted removal has left it; only the timestamps of the two differ.
    """
    content = _content(git, repo, commit)
    for ref, kept in kept_below(git, repo, prefix):
        if _content(git, repo, kept) == content:
            return ref, kept
    return None


def _content(git: Git, repo: str, commit: str) -> tuple[str, ...]:
    """Return the content of a snapshot: its tree, its parent commit, and the trees of what was staged."""
    tree, *parents = git.read(repo, "log", "-1", "--format=%T %P", commit).split()
    return (tree, *parents[:1], *(git.read(repo, "log", "-1", "--format=%T", staged) for staged in parents[1:]))


def _has_identity(git: Git, checkout: str) -> bool:
    return git.call(checkout, "var", "GIT_COMMITTER_IDENT", accept=None).exit_code == 0
