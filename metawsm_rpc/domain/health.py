"""The judge: from evidence about one agent to a verdict, with what decided it.

Pure and ordered: the strongest evidence that says anything decides, and everything that was looked
at is kept, so that a person can be told why. Thresholds are only for agents that say nothing.
"""

from collections.abc import Iterator
from typing import NamedTuple

from metawsm_rpc.domain.clock import timestamp
from metawsm_rpc.domain.models import Health, HealthState


class Thresholds(NamedTuple):
    """How long silence may last, in seconds (policy, `health`)."""

    idle: float
    activity_stalled: float
    progress_stalled: float


class Facts(NamedTuple):
    """What is known of one live agent; times are seconds since the epoch, None when unknown.

    `terminal` is whether its tmux pane is there, None when tmux could not be asked. `said` is what
    the agent last stated of itself. `activity` is the last output, `progress` the last signal,
    commit, changed diff or finished step.
    """

    started: float
    terminal: bool | None
    said: str | None
    said_at: float | None
    activity: float | None
    progress: float | None


class Evidence(NamedTuple):
    """One thing that was looked at: what was seen, when it was so, and which state it speaks for.

    `at` is in seconds since the epoch.
    """

    source: str
    observed: str
    at: float
    says: HealthState | None


class Verdict(NamedTuple):
    """The judgement, and all evidence, strongest first."""

    state: HealthState
    reason: str
    source: str
    evidence: tuple[Evidence, ...]


def judge(facts: Facts, thresholds: Thresholds, now: float) -> Verdict:
    """Return the verdict on a live agent: the first evidence that says anything decides."""
    evidence = tuple(_evidence(facts, thresholds, now))
    for item in evidence:
        if item.says is not None:
            return Verdict(item.says, item.observed, item.source, evidence)
    return Verdict("unknown", "nothing that was looked at says how it is", "none", evidence)


def _evidence(facts: Facts, thresholds: Thresholds, now: float) -> Iterator[Evidence]:
    if facts.terminal is False:
        # Nobody waits, works or idles in a session that is gone, whatever was said in it.
        yield Evidence("terminal", "its tmux session is gone", now, "dead")
    # A statement holds until the agent is active again: who prints is no longer waiting.
    if facts.said is not None and facts.said_at is not None:
        outdated = facts.activity is not None and facts.activity > facts.said_at + SETTLING_SECONDS
        holds = facts.said == "waiting" and not outdated
        told = f"it said that it is {facts.said}" + (", but has been active since" if outdated else "")
        yield Evidence("signal", told, facts.said_at, "waiting" if holds else None)
    if facts.terminal is None:
        yield Evidence("terminal", "tmux does not answer", now, "unknown")
    if not facts.terminal:
        return
    yield Evidence("terminal", "its tmux session is there", now, None)
    yield from _silence(facts, thresholds, now)


def _silence(facts: Facts, thresholds: Thresholds, now: float) -> Iterator[Evidence]:
    # What happened before this start tells nothing of it.
    active = max(facts.activity or facts.started, facts.started)
    progressed = max(facts.progress or facts.started, facts.started)
    quiet, still = now - active, now - progressed
    yield Evidence(
        "activity",
        f"it has printed nothing for {duration(quiet)}",
        active,
        "stalled" if quiet >= thresholds.activity_stalled else None,
    )
    yield Evidence(
        "progress",
        f"it has made no progress for {duration(still)}",
        progressed,
        "stalled" if still >= thresholds.progress_stalled else None,
    )
    if quiet >= thresholds.idle:
        yield Evidence("activity", f"it has printed nothing for {duration(quiet)}", active, "idle")
    else:
        yield Evidence("activity", "it is active", active, "healthy")


SETTLING_SECONDS = 2.0
"""Output this soon after a statement belongs to it: tmux tells activity in whole seconds."""


def duration(of: float) -> str:
    """Return seconds as a person says them: `8 s`, `5 min`, `2 h 10 min`."""
    whole = max(0, int(of))
    if whole < 120:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def as_health(verdict: Verdict, before: Health | None, now: float) -> Health:
    """Return the verdict as it is kept: `since` is when the state began.

    While the state and what decided it stay, so does the whole record: a reason that only counts
    seconds is not worth a write.
    """
    if before is not None and (before.state, before.source) == (verdict.state, verdict.source):
        return before
    since = before.since if before is not None and before.state == verdict.state else timestamp(now)
    return Health(verdict.state, verdict.reason, verdict.source, since)
