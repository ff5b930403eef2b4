"""Verbs that merge or discard work: close, sync, cleanup."""

from argparse import ArgumentParser, Namespace

from metawsm_rpc.cli import output
from metawsm_rpc.cli.arguments import add_part_of_run, add_run, selector
from metawsm_rpc.cli.opening import service
from metawsm_rpc.cli.verbs import Verb
from metawsm_rpc.domain.models import Blocked, Run
from metawsm_rpc.errors import CloseBlockedError


def _close_arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be merged and what blocks it; change nothing"
    )


def _close(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        try:
            closed = verbs.close(**selector(parsed), dry_run=parsed.dry_run)
        except CloseBlockedError as error:
            if not parsed.json:
                _show_blocked(error.details)
            raise
    if parsed.json:
        output.print_json(closed)
    else:
        _show_blocked(closed.blocked)
        if closed.merges or not closed.blocked:
            output.table(
                ("repository", "ticket", "into", "from", "to", "how"),
                [(m.repo, m.ticket, m.base, m.from_[:10], m.to[:10], m.kind) for m in closed.merges],
                empty="There is nothing to merge.",
            )
        if not closed.blocked:
            _show_outcome(closed.run, dry_run=parsed.dry_run)
    return CloseBlockedError.exit_status if closed.blocked else 0


def _show_outcome(run: Run, *, dry_run: bool) -> None:
    if not dry_run or run.status == "closed":
        output.line(f"Run {run.run_id} is closed.", colour="green")
    elif run.status in ("completed", "closing"):
        output.line(f"Run {run.run_id} would be closed.", colour="green")
    else:
        output.line(
            f"Nothing is in the way, but run {run.run_id} is {output.said(run.status)}: it can be closed when completed."
        )


def _show_blocked(blocked: tuple[Blocked, ...]) -> None:
    for one in blocked:
        output.line(f"✗ {one.ticket}, {one.repo}: {one.message} ({one.reason})", colour="red")
        for file in one.files:
            output.line(f"    {file}")


def _sync_arguments(parser: ArgumentParser) -> None:
    add_part_of_run(parser)
    parser.add_argument("--strategy", choices=("merge", "rebase"), default="merge", help="how (default: merge)")


def _sync(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        synced = verbs.sync(**selector(parsed), strategy=parsed.strategy)
    if parsed.json:
        output.print_json(synced)
    else:
        output.table(
            ("repository", "ticket", "result", "files"),
            [(one.name, one.ticket, one.result, ", ".join(one.files)) for one in synced.repos],
            empty="There is nothing to bring up to date.",
        )
        if any(one.result == "conflict" for one in synced.repos):
            output.say("Resolve the conflicts in the worktrees and commit; `metawsm status` says where they are.")
    return 0


def _cleanup_arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--keep-workspaces", action="store_true", help="end sessions, but keep the worktrees")


def _cleanup(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        cleaned = verbs.cleanup(**selector(parsed), keep_workspaces=parsed.keep_workspaces)
    if parsed.json:
        output.print_json(cleaned)
        return 0
    if not any(cleaned):
        output.say("There is nothing to put away.")
    for path in cleaned.removed:
        output.line(f"removed {path}")
    for kept in cleaned.kept:
        output.line(f"kept {kept.path}: {kept.reason}", colour="yellow")
    for snapshot in cleaned.snapshots:
        output.line(f"{snapshot.repo}: what was not committed is kept as {snapshot.ref} ({snapshot.commit[:10]})")
    return 0


_CLOSE_MORE = """Merges every repository of the run into its base, or none: what blocks is listed whole, and
nothing is changed then (exit status 5). Tickets are closed, sessions ended, worktrees removed.
`metawsm sync RUN` is the way out of conflicts."""

_SYNC_MORE = """Conflicts are left in the worktrees, to be resolved by the agent or by you."""

_CLEANUP_MORE = """Ends sessions and removes worktrees without merging. What was not committed is kept as a commit
under refs/metawsm, and what cannot be kept so stays where it is, and is listed."""

VERBS = {
    "close": Verb(_close_arguments, _close, _CLOSE_MORE),
    "sync": Verb(_sync_arguments, _sync, _SYNC_MORE),
    "cleanup": Verb(_cleanup_arguments, _cleanup, _CLEANUP_MORE),
}
