"""Long texts of the live view, as lines: evidence, changes, what a close would do, and the keys."""

from collections.abc import Iterable, Sequence

from metawsm_rpc.answers import CloseAnswer, Diffs, Explained
from metawsm_rpc.cli.watch.rows import lines, one_line
from metawsm_rpc.domain.models import Blocked

Keys = Sequence[tuple[str, str]]


def evidence(found: Explained) -> str:
    """Return why an agent is judged as it is."""
    if found.health is None:
        return "Nothing is expected of this agent now, so its health is not judged."
    health = found.health
    told = [f"{health.state}: {one_line(health.reason)}", f"decided by {health.source}, since {health.since}", ""]
    told += [
        f"{one.source}: {one_line(one.observed)} ({one.says or 'decides nothing'}, {one.at})" for one in found.evidence
    ]
    return "\n".join(told)


def changes(found: Diffs) -> str:
    """Return the work of a run, one repository after the other."""
    if not found.repos:
        return "There are no worktrees to look at (any more)."
    told: list[str] = []
    for repo in found.repos:
        told.append(f"{repo.ticket}: {repo.name} against {repo.base[:10]}, in {repo.path}")
        told.append(lines(repo.patch) if repo.patch else "no changes\n")
    return "\n".join(told)


def merges(answer: CloseAnswer) -> str:
    """Return what a close would merge."""
    rows = [
        f"{one.repo}: {one.ticket} into {one.base} ({one.kind}, {one.from_[:10]} to {one.to[:10]})"
        for one in answer.merges
    ]
    return "\n".join(map(one_line, rows)) or "There is nothing to merge."


def obstacles(blocked: Iterable[Blocked]) -> str:
    """Return everything that is in the way of a close."""
    told: list[str] = []
    for one in blocked:
        told.append(one_line(f"{one.ticket}, {one.repo}: {one.message} ({one.reason})"))
        told.extend(f"    {one_line(file)}" for file in one.files)
    return "\n".join(told)


def keys(named: Keys) -> str:
    """Return what each key does."""
    width = max(len(key) for key, _ in named)
    return "\n".join(f"{key.ljust(width)}  {does}" for key, does in named)
