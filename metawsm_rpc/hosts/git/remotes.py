"""Remotes: fetching a branch from one, and pushing a branch to one."""

from metawsm_rpc.errors import CommandError, HostError
from metawsm_rpc.hosts.git.git import Git, branch_ref
from metawsm_rpc.hosts.git.registrations import registrations

_CONFIGURED = "%(upstream:remotename)%00%(upstream:remoteref)%00%(push:remotename)%00%(push:remoteref)"


def fetch(git: Git, source: str, branch: str) -> str | None:
    """Bring a branch up to date from its remote, and return where new work on it begins; see `Worktrees.fetch`.

    The remote-tracking ref always moves. The branch itself moves only by fast-forward, and only while no
    worktree has it checked out, so that no files change under a person's hands.
    """
    remote, theirs, _, _ = _configured(git, source, branch)
    remote = remote or _usual_remote(git, source)
    ours = git.commit_of(source, branch_ref(branch))
    if remote in {"", "."}:
        return ours
    theirs = theirs or branch_ref(branch)
    tracking = f"refs/remotes/{remote}/{theirs.removeprefix('refs/heads/')}"
    options = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
    try:
        git.run(source, "fetch", *options, "--", remote, f"+{theirs}:{tracking}")
    except CommandError as error:
        if "couldn't find remote ref" in error.stderr:
            return ours
        raise
    return _fast_forward(git, source, branch_ref(branch), tracking)


def push(git: Git, source: str, branch: str) -> None:
    """Push a branch to its remote, by fast-forward only. Raises `HostError` when there is none."""
    upstream, followed, remote, theirs = _configured(git, source, branch)
    remote = remote or upstream or _usual_remote(git, source)
    if remote in {"", "."}:
        raise HostError(
            f"The branch {branch} of {source} has no remote to push to: add one with `git remote add origin URL`."
        )
    theirs = theirs or (followed if remote == upstream else "") or branch_ref(branch)
    git.run(source, "push", "--quiet", "--", remote, f"{branch_ref(branch)}:{theirs}")


def _configured(git: Git, source: str, branch: str) -> list[str]:
    """Return a branch's upstream and push target, each as remote and ref, or empty."""
    said = git.read(source, "for-each-ref", f"--format={_CONFIGURED}", branch_ref(branch))
    return said.split("\0") if said else ["", "", "", ""]


def _usual_remote(git: Git, source: str) -> str:
    """Return `origin`, or the only remote there is, or nothing."""
    remotes = git.read(source, "remote").split()
    if "origin" in remotes:
        return "origin"
    return remotes[0] if len(remotes) == 1 else ""


def _fast_forward(git: Git, source: str, ref: str, target: str) -> str | None:
    """Move a branch that is not checked out; returns the newest commit that contains the whole branch."""
    old, new = git.commit_of(source, ref), git.commit_of(source, target)
    if old is None or new is None or old == new or not git.ok(source, "merge-base", "--is-ancestor", old, new):
        return old
    if all(entry.get("branch") != ref for entry in registrations(git, source)):
        git.run(source, "update-ref", "-m", "fetch: fast-forward", ref, new, old)
    return new
