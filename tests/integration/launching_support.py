"""Runs of one agent that notes each of its starts, and what a person asks of such a run."""

from conftest import Root
from engine_support import RUN, WAITS, Runs

STARTS = 'echo "$METAWSM_LAUNCH" >> "$METAWSM_ROOT/starts"; '


def policy(root: Root, script: str = STARTS + WAITS, *, profile: str = "shell", **sections: object) -> None:
    execution = {"step_retries": 0, "stop_grace_seconds": 1, **sections.pop("execution", {})}
    root.policy(agents=[Root.agent("worker", script, profile)], execution=execution, **sections)


def starts(root: Root) -> int:
    """Return how often an agent has been started."""
    file = root.path / "starts"
    return len(file.read_text().split()) if file.exists() else 0


def go_on(runs: Runs, verb: str = "resume", **options: object) -> None:
    getattr(runs.verbs, verb)(RUN, **options)
    runs.verbs.finish(RUN)


def begin(runs: Runs) -> None:
    runs.start("T-1", repos=["app"])
