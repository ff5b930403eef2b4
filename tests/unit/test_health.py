"""The judge: the strongest evidence that says anything decides, and everything looked at is kept."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metawsm_rpc.domain.clock import timestamp
from metawsm_rpc.domain.health import Facts, Thresholds, Verdict, as_health, duration, judge
from metawsm_rpc.domain.models import Health, HealthState

START = 1_800_000_000.0
LIMITS = Thresholds(idle=300, activity_stalled=900, progress_stalled=1200)


def facts(**changes: Any) -> Facts:
    """Return the facts of an agent that has just been started and whose session is there."""
    return Facts(started=START, terminal=True, said=None, said_at=None, activity=None, progress=None)._replace(
        **changes
    )


def verdict(after: float, **changes: Any) -> tuple[str, str]:
    """Return state and source of the verdict so many seconds after the start."""
    made = judge(facts(**changes), LIMITS, START + after)
    return made.state, made.source


# --- the session ---


def test_an_agent_whose_session_is_gone_is_dead() -> None:
    assert verdict(10, terminal=False) == ("dead", "terminal")


def test_an_agent_is_unknown_while_tmux_does_not_answer() -> None:
    assert verdict(10, terminal=None) == ("unknown", "terminal")
    assert verdict(100_000, terminal=None) == ("unknown", "terminal")


# --- what it says ---


def test_an_agent_that_said_that_it_waits_is_waiting_however_long() -> None:
    for after in (1, 400, 100_000):
        assert verdict(after, said="waiting", said_at=START) == ("waiting", "signal")


def test_it_waits_no_longer_once_it_prints_again() -> None:
    said = {"said": "waiting", "said_at": START + 100}
    assert verdict(130, **said, activity=START + 120) == ("healthy", "activity")
    assert verdict(130, **said, activity=START + 101) == ("waiting", "signal")
    assert verdict(130, **said, activity=START + 102) == ("waiting", "signal")
    assert verdict(130, **said, activity=START + 50) == ("waiting", "signal")


def test_working_says_nothing_that_silence_could_not_outweigh() -> None:
    said = {"said": "working", "said_at": START}
    assert verdict(10, **said) == ("healthy", "activity")
    assert verdict(1000, **said) == ("stalled", "activity")


def test_what_it_said_does_not_outlive_its_session() -> None:
    assert verdict(10, terminal=False, said="waiting", said_at=START) == ("dead", "terminal")


def test_what_it_said_holds_while_tmux_does_not_answer() -> None:
    assert verdict(10, terminal=None, said="waiting", said_at=START) == ("waiting", "signal")
    assert verdict(10, terminal=None, said="working", said_at=START) == ("unknown", "terminal")


# --- silence ---


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (0, ("healthy", "activity")),
        (299.9, ("healthy", "activity")),
        (300, ("idle", "activity")),
        (899.9, ("idle", "activity")),
        (900, ("stalled", "activity")),
    ],
)
def test_silence_makes_an_agent_idle_and_then_stalled(after: float, expected: tuple[str, str]) -> None:
    assert verdict(after) == expected
    assert verdict(after + 50, activity=START + 50) == expected


def test_output_without_progress_is_activity_and_not_progress() -> None:
    assert verdict(1199, activity=START + 1198) == ("healthy", "activity")
    assert verdict(1200, activity=START + 1199) == ("stalled", "progress")
    assert verdict(1200, activity=START + 1199, progress=START + 1) == ("healthy", "activity")


def test_progress_without_output_does_not_hide_that_nothing_is_printed() -> None:
    assert verdict(900, progress=START + 899) == ("stalled", "activity")


def test_what_happened_before_this_start_counts_for_nothing() -> None:
    long_ago = START - 10_000
    assert verdict(10, activity=long_ago, progress=long_ago) == ("healthy", "activity")


def test_output_of_the_future_is_output_of_now() -> None:
    assert verdict(10, activity=START + 3600) == ("healthy", "activity")


# --- why ---


def test_a_verdict_names_what_decided_and_keeps_all_that_was_seen() -> None:
    made = judge(
        facts(said="waiting", said_at=START + 5, activity=START + 100, progress=START + 60), LIMITS, START + 500
    )
    assert (made.state, made.source, made.reason) == ("idle", "activity", "it has printed nothing for 6 min")
    assert [(one.source, one.observed, one.at - START, one.says) for one in made.evidence] == [
        ("signal", "it said that it is waiting, but has been active since", 5, None),
        ("terminal", "its tmux session is there", 500, None),
        ("activity", "it has printed nothing for 6 min", 100, None),
        ("progress", "it has made no progress for 7 min", 60, None),
        ("activity", "it has printed nothing for 6 min", 100, "idle"),
    ]


# --- properties ---

TIMES = st.none() | st.floats(START - 5000, START + 5000)
FACTS = st.builds(
    Facts,
    started=st.floats(START - 100, START),
    terminal=st.sampled_from((True, False, None)),
    said=st.sampled_from((None, "waiting", "working")),
    said_at=TIMES,
    activity=TIMES,
    progress=TIMES,
)
THRESHOLDS = st.lists(st.floats(1, 4000), min_size=3, max_size=3).map(lambda three: Thresholds(*sorted(three)))
SEVERITY = {"healthy": 0, "idle": 1, "stalled": 2}


@given(FACTS, THRESHOLDS, st.floats(0, 1_000_000))
def test_every_agent_gets_a_verdict_that_rests_on_its_evidence(seen: Facts, limits: Thresholds, after: float) -> None:
    made = judge(seen, limits, START + after)
    assert made.state in get_args(HealthState)
    decided = next(one for one in made.evidence if one.says is not None)
    assert (decided.says, decided.source, decided.observed) == (made.state, made.source, made.reason)


@given(FACTS, THRESHOLDS, st.floats(0, 100_000), st.floats(0, 100_000))
def test_more_silence_never_makes_an_agent_look_better(
    seen: Facts, limits: Thresholds, after: float, longer: float
) -> None:
    sooner, later = judge(seen, limits, START + after), judge(seen, limits, START + after + longer)
    if sooner.state in SEVERITY:
        assert SEVERITY[later.state] >= SEVERITY[sooner.state]
    else:
        assert later.state == sooner.state


@given(FACTS, THRESHOLDS, st.floats(0, 100_000))
def test_nobody_without_a_session_looks_alive(seen: Facts, limits: Thresholds, after: float) -> None:
    assert judge(seen._replace(terminal=False), limits, START + after).state == "dead"
    assert judge(seen._replace(terminal=None), limits, START + after).state in ("unknown", "waiting")


@given(THRESHOLDS, st.lists(st.tuples(st.floats(0, 2000), st.booleans()), max_size=8))
def test_since_is_when_the_state_began(limits: Thresholds, looks: list[tuple[float, bool]]) -> None:
    now, activity, kept, began = START, START, None, ""
    for pause, prints in looks:
        now += pause
        activity = now if prints else activity
        health = as_health(judge(facts(activity=activity, progress=activity), limits, now), kept, now)
        if kept is None or kept.state != health.state:
            began = timestamp(now)
        assert health.since == began
        kept = health


# --- how it is kept ---


def made(state: HealthState, source: str = "activity", reason: str = "why") -> Verdict:
    return Verdict(state, reason, source, ())


def test_a_verdict_that_says_the_same_is_not_worth_a_write() -> None:
    before = Health("idle", "it has printed nothing for 5 min", "activity", timestamp(START))
    assert as_health(made("idle", reason="it has printed nothing for 7 min"), before, START + 120) is before


def test_another_reason_for_the_same_state_is_kept_with_when_the_state_began() -> None:
    before = Health("stalled", "quiet", "activity", timestamp(START))
    after = as_health(made("stalled", "progress", "no progress"), before, START + 60)
    assert after == Health("stalled", "no progress", "progress", timestamp(START))


def test_another_state_begins_now() -> None:
    before = Health("idle", "quiet", "activity", timestamp(START))
    assert as_health(made("healthy"), before, START + 60).since == timestamp(START + 60)
    assert as_health(made("healthy"), None, START + 60).since == timestamp(START + 60)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0 s"),
        (0.9, "0 s"),
        (8, "8 s"),
        (119.9, "119 s"),
        (120, "2 min"),
        (3599, "59 min"),
        (3600, "1 h 0 min"),
        (7805, "2 h 10 min"),
    ],
)
def test_a_duration_reads_as_a_person_says_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said
