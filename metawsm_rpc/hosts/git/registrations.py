"""The worktrees that a repository has registered, including those whose folders are gone."""

from pathlib import Path

from metawsm_rpc.errors import HostError
from metawsm_rpc.hosts.git.git import Git
from metawsm_rpc.hosts.git.layout import Layout, half_made, leads_back, locate, lock_reason, registered
from metawsm_rpc.hosts.git.snapshots import keep_commit


def registrations(git: Git, repo: str) -> list[dict[str, str]]:
    """Return git's listing of a repository's worktrees as attributes with values (or empty), the main one first."""
    listed: list[dict[str, str]] = []
    for field in git.fields(repo, "worktree", "list", "--porcelain", "-z"):
        name, _, value = field.partition(" ")
        if name == "worktree":
            listed.append({})
        if name:
            listed[-1][name] = value
    return listed


def own_git_dir(source: Layout, path: Path) -> Path | None:
    """Return the git directory of the worktree at `path` if it belongs to `source`, else None."""
    layout = locate(path)
    if layout is None or not layout.linked or layout.common_dir != source.common_dir:
        return None
    return layout.git_dir if leads_back(layout.git_dir, path) else None


def forget(
    git: Git, repo: str, source: Layout, registration: dict[str, str], keep_under: str
) -> tuple[tuple[str, str], ...]:
    """Make git forget a worktree whose folder is gone.

    A commit that only its detached HEAD had is kept below the ref `keep_under`; returns each `(ref, commit)`
    that was created. Raises `HostError` when a person has locked the worktree.
    """
    import shutil

    kept: list[tuple[str, str]] = []
    place = Path(registration["worktree"])
    for git_dir in list(registered(source.common_dir, place)):
        if lock_reason(git_dir) is not None and not half_made(git_dir):
            raise HostError(
                f"The worktree at {place} is gone but locked: bring it back, or run `git worktree unlock {place}`."
            )
        head = registration["HEAD"]
        if "detached" in registration and head.strip("0"):
            ref = f"{keep_under}/{head[:12]}"
            kept += [(ref, head)] if keep_commit(git, repo, head, ref) else []
        shutil.rmtree(git_dir)
    return tuple(kept)
