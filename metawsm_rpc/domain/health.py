"""Health: decides from the evidence about one agent how it is, and records which evidence decided.

The strongest evidence that says anything decides, and all evidence is kept so that `explain` can show it. Time
thresholds apply only to agents that say nothing, with one exception: an agent that says it works has to make
progress.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from metawsm_rpc.domain.clock import seconds, timestamp
from metawsm_rpc.domain.models import Health, HealthState

if TYPE_CHECKING:
    from metawsm_rpc.domain.readings.statement import Statement

SETTLING_SECONDS = 2.0
"""Output this soon after a statement belongs to the statement: tmux reports activity in whole seconds."""

TURN_SETTLING_SECONDS = 30.0
"""How long a turn may go on after its agent has signalled `waiting`; statements of work made later mean new work."""

_COUNTING = frozenset({"activity", "progress"})
"""Sources whose reasons contain a duration, and so differ each time."""


class Thresholds(NamedTuple):
    """How long silence may last, in seconds (policy, `health`)."""

    idle: float
    activity_stalled: float
    progress_stalled: float


class Said(NamedTuple):
    """What an agent signalled, in its own words (None without), and when, in seconds since the epoch."""

    what: str
    text: str | None
    at: float


class Facts(NamedTuple):
    """What is known of one live agent; times are seconds since the epoch, None when unknown.

    `terminal` is whether its tmux pane is there, None when tmux could not be asked. `said` is the agent's last
    signal about itself, `question` its open question, `answered` when its last question was answered.
    `statements` are those of its program, strongest first; `hook_at` is when a hook last reported. `unattended`
    is whether the program was started to do one task without asking anybody, and then exit. `activity` is the
    last output, `progress` the last signal, commit, changed diff or finished step. `before` is the previous
    verdict.
    """

    started: float
    terminal: bool | None
    said: Said | None = None
    question: Said | None = None
    answered: float | None = None
    statements: "tuple[Statement, ...]" = ()
    hook_at: float | None = None
    unattended: bool = False
    activity: float | None = None
    progress: float | None = None
    before: Health | None = None


class Evidence(NamedTuple):
    """One piece of evidence: what was observed, when, and which state it indicates.

    `at` is in seconds since the epoch.
    """

    source: str
    observed: str
    at: float
    says: HealthState | None


class Verdict(NamedTuple):
    """The health of an agent with all evidence, strongest first; `decided` is the piece that decided."""

    state: HealthState
    reason: str
    source: str
    evidence: tuple[Evidence, ...]
    decided: Evidence | None


_Weighed = Iterator[tuple[Evidence, bool]]
"""Evidence, strongest first, each with whether it decides if nothing before it does."""


def judge(facts: Facts, thresholds: Thresholds, now: float) -> Verdict:
    """Return the verdict on a live agent: the first evidence that decides."""
    weighed = tuple(_weigh(facts, thresholds, now))
    evidence = tuple(item for item, _ in weighed)
    for item, decides in weighed:
        if decides and item.says is not None:
            return Verdict(item.says, item.observed, item.source, evidence, item)
    return Verdict("unknown", "nothing that was looked at says how it is", "none", evidence, None)


def holds_for(facts: Facts, thresholds: Thresholds, now: float) -> float:
    """Return for how many seconds at least the verdict on these facts stays as it is; infinite where time changes nothing.

    The verdict depends on time only by comparing how long ago one of these moments was with one of these limits.
    """
    moments = [facts.started, facts.answered, facts.activity, facts.progress]
    if facts.before is not None:
        moments.append(seconds(facts.before.since))
    left = [limit - (now - at) for at in moments if at is not None for limit in thresholds]
    if facts.said is not None:
        left.append(TURN_SETTLING_SECONDS - (now - facts.said.at))
    if facts.hook_at is not None:
        from metawsm_rpc.domain.readings.reading import FRESH_SECONDS

        left.append(FRESH_SECONDS - (now - facts.hook_at))
    return min((one for one in left if one >= 0), default=math.inf)


def _weigh(facts: Facts, thresholds: Thresholds, now: float) -> _Weighed:
    held = _held(facts)
    if facts.terminal is False:
        # Whatever was said in it, nothing waits, works or idles in a session that is gone.
        yield Evidence("terminal", "its tmux session is gone", now, "dead"), True
    yield from _own_words(facts, held, now)
    if facts.terminal is None:
        yield Evidence("terminal", "tmux does not answer", now, "unknown"), True
    if facts.terminal:
        yield Evidence("terminal", "its tmux session is there", now, None), False
        silence = tuple(_silence(facts, held, thresholds, now))
        yield from _stated(facts, held, now, stalled=any(item.says == "stalled" for item in silence))
        yield from ((item, True) for item in silence)


def _held(facts: Facts) -> "Statement | None":
    """Return the program's statement that is in effect; None when it states nothing at all."""
    if not facts.statements:
        return None
    from metawsm_rpc.domain.readings.statement import decide

    return decide(facts.statements)


# --- what the agent says by its own signals ---


def _own_words(facts: Facts, held: "Statement | None", now: float) -> _Weighed:
    if facts.question is not None:
        yield Evidence("signal", f"it waits for an answer: {facts.question.text}", facts.question.at, "waiting"), True
    said = facts.said
    if said is None:
        return
    told = f"it said that it is {said.what}" + (f": {said.text}" if said.text else "")
    if said.what == "waiting":
        if _is_active_again(facts, said.at, held, now):
            yield Evidence("signal", f"{told}, but has been active since", said.at, None), False
        else:
            yield Evidence("signal", f"it waits: {said.text}" if said.text else told, said.at, "waiting"), True
    else:
        yield Evidence("signal", told, said.at, None), False


def _is_active_again(facts: Facts, said_at: float, held: "Statement | None", now: float) -> bool:
    """Return whether an agent has resumed work since it signalled that it waits.

    A program that draws on its terminal also prints while it waits, but such a program states what it does.
    """
    if held is not None:
        return held.state == "working" and now > said_at + TURN_SETTLING_SECONDS
    return facts.activity is not None and facts.activity > said_at + SETTLING_SECONDS


# --- what the program states ---


def _stated(facts: Facts, held: "Statement | None", now: float, *, stalled: bool) -> _Weighed:
    """Weigh the statements: the one in effect decides, unless it claims work without progress."""
    if held is None:
        return
    from metawsm_rpc.domain.readings.statement import HEALTH, reason

    for one in facts.statements:
        holds = one._replace(waits_for=held.waits_for) == held
        at = facts.hook_at if one.source == "hook" and facts.hook_at is not None else now
        says = None if one.state is None else HEALTH[one.state]
        decides = holds and not (says == "healthy" and stalled)
        yield Evidence(one.source, reason(held, facts.statements) if holds else reason(one), at, says), decides


# --- silence ---


def _silence(facts: Facts, held: "Statement | None", thresholds: Thresholds, now: float) -> Iterator[Evidence]:
    # What happened before this launch, or before the agent received an answer, says nothing about it now.
    began = max(facts.started, facts.answered or 0.0)
    progressed = max(facts.progress or began, began)
    printed = max(facts.activity or began, began)
    # An agent that makes progress is active, whether it prints or not.
    quiet = now - max(printed, progressed)
    still = now - max(progressed, _resumed(facts, held, now))
    works = held is not None and held.state == "working"
    silent = f"it has printed nothing for {duration(now - printed)}"
    yield Evidence(
        "activity",
        silent,
        printed,
        # An agent that says it works may be silent, as during a long build, but it has to show progress.
        "stalled" if quiet >= thresholds.activity_stalled and not works else None,
    )
    yield Evidence(
        "progress",
        f"it says that it works, but has made no progress for {duration(still)}"
        if works
        else f"it has made no progress for {duration(now - progressed)}",
        progressed,
        "stalled" if still >= thresholds.progress_stalled else None,
    )
    if held is not None:
        if held.state == "unknown":
            yield Evidence("none", held.says, now, "unknown")
    elif facts.unattended:
        yield Evidence("process", "it runs, and asks nobody", now, "healthy")
    elif quiet >= thresholds.idle:
        yield Evidence("activity", silent, printed, "idle")
    else:
        yield Evidence("activity", "it is active", max(printed, progressed), "healthy")


def _resumed(facts: Facts, held: "Statement | None", now: float) -> float:
    """Return since when a program that states when it works has been working.

    Time in which it was idle or waited for a person does not count as time without progress.
    """
    if held is None or facts.before is None or facts.before.state == "stalled":
        return 0.0
    return now if facts.before.state in ("idle", "waiting") else min(now, seconds(facts.before.since))


def duration(of: float) -> str:
    """Return a duration for display: `8 s`, `5 min`, `2 h 10 min`."""
    whole = max(0, int(of))
    if whole < 120:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def as_health(verdict: Verdict, before: Health | None, now: float) -> Health:
    """Return the verdict as it is stored: `since` is when the state began.

    The stored record is kept while state, source and reason are the same; a reason in which only a duration has
    changed is not worth a write.
    """
    reason = before.reason if before is not None and verdict.source in _COUNTING else verdict.reason
    if before is not None and (before.state, before.source, before.reason) == (verdict.state, verdict.source, reason):
        return before
    since = before.since if before is not None and before.state == verdict.state else timestamp(now)
    return Health(verdict.state, verdict.reason, verdict.source, since)
