"""Merges made ahead of time, as commits that no branch contains yet.

`git merge-tree` merges without a checkout, but reads `.gitattributes` from the folder that it runs in. That
folder must have the attributes of the base, or else `-merge`, `merge=union` and merge drivers would depend on
unrelated files.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from metawsm_rpc.domain.models import Blocked, MergeKind
from metawsm_rpc.errors import CommandError
from metawsm_rpc.hosts.commands import last_words
from metawsm_rpc.hosts.git.checkouts import checkouts_of
from metawsm_rpc.hosts.git.git import Git, branch_ref, shown
from metawsm_rpc.ports.merging import MergeRequest, Rehearsed

_ATTRIBUTES = ":(glob)**/.gitattributes"


def rehearse(
    git: Git, requests: Sequence[MergeRequest], *, kind: Literal["merge", "fast-forward"], pin_prefix: str | None
) -> Rehearsed | tuple[Blocked, ...]:
    """Merge the requests' branches, in order, each on the result of the one before.

    All requests have one source and base. `kind` "merge" makes a merge commit even where a
    fast-forward is possible, signed where the repository signs and the result is to be kept. With
    `pin_prefix` the ref `<pin_prefix>/<base>` keeps the result.
    """
    source, base = requests[0].repo.source, requests[0].repo.base
    old = git.commit_of(source, branch_ref(base))
    if old is None:
        return tuple(
            _blocked(request, "no_base", f"{source} has no branch {base}: create it, or choose another base.")
            for request in requests
        )
    new = old
    steps: list[tuple[str, str, str, str]] = []
    blocked: list[Blocked] = []
    for request in requests:
        made = _advance(git, request, new, kind, signed=pin_prefix is not None)
        if isinstance(made, Blocked):
            blocked.append(made)
        else:
            steps.append((request.ticket, new, *made))
            new = made[0]
    if blocked:
        return tuple(blocked)
    if pin_prefix is not None and new != old:
        git.run(source, "update-ref", f"{pin_prefix.rstrip('/')}/{base}", new)
    return Rehearsed(source, base, old, new, tuple(steps))


def unpin(git: Git, source: str, pin_prefix: str) -> None:
    """Delete the refs below `pin_prefix`; harmless when there are none."""
    refs = git.read(source, "for-each-ref", "--format=delete %(refname)", f"{pin_prefix.rstrip('/')}/")
    if refs:
        git.run(source, "update-ref", "--no-deref", "--stdin", stdin=f"{refs}\n")


def _advance(
    git: Git, request: MergeRequest, onto: str, kind: Literal["merge", "fast-forward"], *, signed: bool
) -> tuple[str, MergeKind] | Blocked:
    source, branch, base = request.repo.source, request.repo.branch, request.repo.base
    tip = git.commit_of(source, branch_ref(branch))
    if tip is None:
        return _blocked(
            request, "wrong_branch", f"{source} has no branch {branch} any more: there is nothing to merge."
        )
    if git.ok(source, "merge-base", "--is-ancestor", tip, onto):
        return onto, "none"
    if kind == "fast-forward":
        if git.ok(source, "merge-base", "--is-ancestor", onto, tip):
            return tip, "fast-forward"
        message = (
            f"{base} cannot be fast-forwarded to {branch}: sync the workspace with strategy rebase, then close again."
        )
        return _blocked(request, "not_fast_forward", message)
    with _where_attributes_hold(git, source, base, onto) as (folder, environment):
        merged = git.call(
            folder,
            *("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", onto, tip),
            environment=environment,
            accept=None,
        )
    if merged.exit_code not in {0, 1}:
        if "unrelated histories" in merged.errors:
            return _blocked(request, "unrelated", f"{branch} and {base} have no common history in {source}.")
        raise CommandError(
            f"git merge-tree failed in {source}: {last_words(merged.errors)}",
            argv=merged.argv,
            exit_code=merged.exit_code,
            stderr=merged.errors,
        )
    tree, *files = merged.text.rstrip("\0").split("\0")
    if merged.exit_code == 1:
        message = (
            f"{branch} conflicts with {base}: sync the workspace, resolve the conflicts and commit, then close again."
        )
        return _blocked(request, "conflict", message, files)
    return _commit(git, request, tree, (onto, tip), signed=signed), "merge"


def _commit(git: Git, request: MergeRequest, tree: str, parents: Sequence[str], *, signed: bool) -> str:
    source = request.repo.source
    sign = (
        signed
        and git.call(source, "config", "--type=bool", "--get", "commit.gpgSign", accept=(0, 1)).text.strip() == "true"
    )  # which commit-tree ignores
    return git.run(
        source,
        *("commit-tree", *(("-S",) if sign else ()), *(word for parent in parents for word in ("-p", parent)), tree),
        options=("-c", "i18n.commitEncoding=UTF-8"),
        stdin=f"Merge branch '{request.repo.branch}' into {request.repo.base}\n\nTicket: {request.ticket}\n",
    )


@contextlib.contextmanager
def _where_attributes_hold(git: Git, source: str, base: str, commit: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield a folder whose `.gitattributes` are those of a commit, and the environment for git there.

    Preferably a checkout of the base with the same attributes, because merge drivers may have relative paths
    and submodules can be inspected there; else a temporary folder.
    """
    for checkout in checkouts_of(git, source, base):
        if git.ok(checkout, "diff", "--quiet", "--no-ext-diff", "--ignore-submodules=all", commit, "--", _ATTRIBUTES):
            yield checkout, {}
            return
    with tempfile.TemporaryDirectory(prefix="metawsm-") as folder:
        for line in git.fields(source, "ls-tree", "-r", "-z", "--full-tree", commit):
            described, _, path = line.partition("\t")
            mode, _, blob = described.split(" ")
            if os.path.basename(path) == ".gitattributes" and mode.startswith("100"):  # noqa: PTH119 - every file of a tree
                copy = Path(folder, path)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(git.call(source, "cat-file", "blob", blob).output)
        yield folder, {"GIT_DIR": git.common_dir(source), "GIT_WORK_TREE": folder}


def _blocked(
    request: MergeRequest,
    reason: Literal["no_base", "wrong_branch", "not_fast_forward", "unrelated", "conflict"],
    message: str,
    files: Sequence[str] = (),
) -> Blocked:
    return Blocked(request.repo.name, request.ticket, reason, message, tuple(shown(file) for file in files))
