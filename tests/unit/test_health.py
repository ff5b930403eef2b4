"""The judge: the strongest evidence that says anything decides, and everything looked at is kept."""

import math
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metawsm_rpc.domain.clock import timestamp
from metawsm_rpc.domain.health import (
    TURN_SETTLING_SECONDS,
    Facts,
    Said,
    Thresholds,
    Verdict,
    as_health,
    duration,
    holds_for,
    judge,
)
from metawsm_rpc.domain.models import Health, HealthState
from metawsm_rpc.domain.readings.reading import FRESH_SECONDS
from metawsm_rpc.domain.readings.statement import HEALTH, STRENGTH, State, Statement

START = 1_800_000_000.0
LIMITS = Thresholds(idle=300, activity_stalled=900, progress_stalled=1200)
LONG = 100_000


def facts(**changes: Any) -> Facts:
    """Return the facts of an agent that has just been started and whose session is there."""
    return Facts(started=START, terminal=True)._replace(**changes)


def verdict(after: float, **changes: Any) -> tuple[str, str]:
    """Return state and source of the verdict so many seconds after the start."""
    made = judge(facts(**changes), LIMITS, START + after)
    return made.state, made.source


def waiting(at: float = START, text: str | None = None) -> dict[str, Any]:
    return {"said": Said("waiting", text, at)}


def states(state: State | None, source: str = "title", says: str = "its title says so", **more: Any) -> dict[str, Any]:
    """Return the fact that the program states this."""
    statement = Statement(state, more.get("waits_for"), source, says, more.get("covers", frozenset()))  # type: ignore[arg-type] # the test's own words
    return {"statements": (statement,)}


# --- the session ---


def test_an_agent_whose_session_is_gone_is_dead() -> None:
    assert verdict(10, terminal=False) == ("dead", "terminal")


def test_an_agent_is_unknown_while_tmux_does_not_answer() -> None:
    assert verdict(10, terminal=None) == ("unknown", "terminal")
    assert verdict(LONG, terminal=None) == ("unknown", "terminal")


@pytest.mark.parametrize("said", [waiting(), {"question": Said("waiting", "May I?", START)}, states("waiting")])
def test_nothing_that_was_said_outlives_the_session(said: dict[str, Any]) -> None:
    assert verdict(10, terminal=False, **said) == ("dead", "terminal")


# --- questions ---


def test_an_agent_with_an_open_question_waits_for_the_answer_whatever_else_is_seen() -> None:
    asked = Said("waiting", "Which database?", START + 5)
    for seen in ({}, states("working"), {"activity": START + 50}, {"terminal": None}, {"unattended": True}):
        made = judge(facts(question=asked, **seen), LIMITS, START + LONG)
        assert (made.state, made.source) == ("waiting", "signal")
        assert made.reason == "it waits for an answer: Which database?"


def test_the_time_before_an_answer_is_no_time_without_progress() -> None:
    assert verdict(5000, activity=START + 5000) == ("stalled", "progress")
    assert verdict(5000, activity=START + 5000, answered=START + 4000) == ("healthy", "activity")
    assert verdict(5000, answered=START + 4900) == ("healthy", "activity")


# --- what it says by its own signals ---


def test_an_agent_that_said_that_it_waits_is_waiting_however_long() -> None:
    for after in (1, 400, LONG):
        assert verdict(after, **waiting()) == ("waiting", "signal")


def test_the_reason_is_what_it_waits_for() -> None:
    assert judge(facts(**waiting(text="which database?")), LIMITS, START).reason == "it waits: which database?"
    assert judge(facts(**waiting()), LIMITS, START).reason == "it said that it is waiting"


def test_it_waits_no_longer_once_it_prints_again() -> None:
    assert verdict(130, **waiting(START + 100), activity=START + 120) == ("healthy", "activity")
    assert verdict(130, **waiting(START + 100), activity=START + 101) == ("waiting", "signal")
    assert verdict(130, **waiting(START + 100), activity=START + 102) == ("waiting", "signal")
    assert verdict(130, **waiting(START + 100), activity=START + 50) == ("waiting", "signal")


@pytest.mark.parametrize("state", ["idle", "waiting", "error", "starting"])
def test_a_program_that_draws_on_its_terminal_while_it_rests_has_not_gone_on(state: State) -> None:
    assert verdict(130, **waiting(START + 100), **states(state), activity=START + 129) == ("waiting", "signal")


def test_it_waits_no_longer_once_its_program_works_and_has_ended_that_turn() -> None:
    said = waiting(START + 100)
    assert verdict(101, **said, **states("working")) == ("waiting", "signal")
    assert verdict(100 + TURN_SETTLING_SECONDS, **said, **states("working")) == ("waiting", "signal")
    assert verdict(101 + TURN_SETTLING_SECONDS, **said, **states("working")) == ("healthy", "title")


def test_working_says_nothing_that_silence_could_not_outweigh() -> None:
    said = {"said": Said("working", None, START)}
    assert verdict(10, **said) == ("healthy", "activity")
    assert verdict(1000, **said) == ("stalled", "activity")


def test_what_it_said_holds_while_tmux_does_not_answer() -> None:
    assert verdict(10, terminal=None, **waiting()) == ("waiting", "signal")
    assert verdict(10, terminal=None, said=Said("working", None, START)) == ("unknown", "terminal")


# --- what its program states ---


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("working", "healthy"),
        ("starting", "healthy"),
        ("waiting", "waiting"),
        ("idle", "idle"),
        ("error", "waiting"),
        ("finished", "unknown"),
    ],
)
def test_what_a_program_states_decides_at_once(state: State, expected: str) -> None:
    for source in STRENGTH:
        assert verdict(1, **states(state, source)) == (expected, source)


def test_who_says_that_it_rests_does_so_however_long_and_thresholds_are_not_for_it() -> None:
    for after in (1, 400, 1000, LONG):
        assert verdict(after, **states("idle")) == ("idle", "title")
        assert verdict(after, **states("waiting")) == ("waiting", "title")
        assert verdict(after, **states("error")) == ("waiting", "title")


def test_who_says_that_it_works_may_be_silent_but_has_to_make_progress() -> None:
    assert verdict(1199, **states("working")) == ("healthy", "title")
    made = judge(facts(**states("working"), activity=START + 1199), LIMITS, START + 1200)
    assert (made.state, made.source) == ("stalled", "progress")
    assert made.reason == "it says that it works, but has made no progress for 20 min"
    assert verdict(1200, **states("working"), progress=START + 1) == ("healthy", "title")


def test_a_start_that_prints_nothing_is_stalled_like_everything_that_is_silent() -> None:
    assert verdict(899, **states("starting")) == ("healthy", "title")
    assert verdict(900, **states("starting")) == ("stalled", "activity")
    assert verdict(900, **states("starting"), activity=START + 500) == ("healthy", "title")


def test_time_at_rest_is_no_time_without_progress() -> None:
    for before in ("idle", "waiting"):
        rested = Health(before, "why", "title", timestamp(START + 10))
        assert verdict(5000, **states("working"), before=rested) == ("healthy", "title")
    resumed = Health("healthy", "why", "title", timestamp(START + 4000))
    assert verdict(5000, **states("working"), before=resumed) == ("healthy", "title")
    assert verdict(5200, **states("working"), before=resumed) == ("stalled", "progress")
    stalled = Health("stalled", "why", "progress", timestamp(START + 5200))
    assert verdict(5201, **states("working"), before=stalled) == ("stalled", "progress")


def test_rest_does_not_excuse_who_only_prints() -> None:
    # Silence is no statement: who prints now and then has still made no progress.
    before = Health("idle", "why", "activity", timestamp(START + 1100))
    assert verdict(1200, activity=START + 1200, before=before) == ("stalled", "progress")


def test_the_strongest_statement_decides_and_a_weaker_one_only_among_the_states_it_covers() -> None:
    covering = Statement("idle", None, "status file", "it says idle", frozenset({"error"}))
    failed = Statement("error", None, "screen", "its turn failed: 500")
    works = Statement("working", None, "screen", "its spinner is shown")
    assert verdict(1, statements=(covering, failed)) == ("waiting", "screen")
    assert verdict(1, statements=(covering, works)) == ("idle", "status file")


def test_a_program_that_shows_nothing_that_is_known_is_unknown_until_it_is_silent_too_long() -> None:
    shown = states(None, covers=frozenset({"idle", "waiting"}))
    for after in (1, 400, 899):
        assert verdict(after, **shown) == ("unknown", "none")
        assert verdict(after, **shown, activity=START + after) == ("unknown", "none")
    assert verdict(900, **shown) == ("stalled", "activity")
    assert verdict(1200, **shown, activity=START + 1200) == ("stalled", "progress")


def test_the_reason_says_what_is_waited_for_and_how_that_is_known() -> None:
    asks = states("waiting", says="its title says that action is required", waits_for="permission")
    made = judge(facts(**asks), LIMITS, START + 1)
    assert made.reason == "it asks for a permission (its title says that action is required)"
    hook = states("waiting", "hook", "it asks for a permission", waits_for="permission")
    assert judge(facts(**hook), LIMITS, START + 1).reason == "it asks for a permission"


def test_what_is_waited_for_is_said_in_the_words_of_a_hook_where_there_are_any() -> None:
    shown = Statement("waiting", "permission", "title", "its title says so")
    told = Statement("waiting", None, "hook", "it asks for a permission: rm -rf build")
    made = judge(facts(statements=(shown, told)), LIMITS, START + 1)
    assert (made.source, made.reason) == ("title", "it asks for a permission: rm -rf build (its title says so)")
    assert judge(facts(statements=(told, shown)), LIMITS, START + 1).reason == told.says
    works = told._replace(state="working", says="it uses a tool")
    assert judge(facts(statements=(shown, works)), LIMITS, START + 1).reason.startswith("it asks for a permission (")


def test_what_a_hook_told_is_as_old_as_the_hook() -> None:
    made = judge(facts(**states("idle", "hook", "its turn is over"), hook_at=START + 7), LIMITS, START + 60)
    assert made.decided is not None
    assert made.decided.at == START + 7


# --- programs that ask nobody ---


def test_a_program_that_asks_nobody_is_healthy_until_it_is_silent_too_long() -> None:
    for after in (1, 400, 899):
        assert verdict(after, unattended=True) == ("healthy", "process")
    assert verdict(900, unattended=True) == ("stalled", "activity")
    assert verdict(1200, unattended=True, activity=START + 1200) == ("stalled", "progress")
    assert verdict(1500, unattended=True, progress=START + 1400) == ("healthy", "process")


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


def test_who_makes_progress_is_active_whether_it_prints_or_not() -> None:
    assert verdict(5000, progress=START + 4900) == ("healthy", "activity")
    assert verdict(5300, progress=START + 4900) == ("idle", "activity")


def test_what_happened_before_this_start_counts_for_nothing() -> None:
    long_ago = START - 10_000
    assert verdict(10, activity=long_ago, progress=long_ago, answered=long_ago) == ("healthy", "activity")


def test_output_of_the_future_is_output_of_now() -> None:
    assert verdict(10, activity=START + 3600) == ("healthy", "activity")


# --- why ---


def test_a_verdict_names_what_decided_and_keeps_all_that_was_seen() -> None:
    made = judge(facts(**waiting(START + 5), activity=START + 100, progress=START + 60), LIMITS, START + 500)
    assert (made.state, made.source, made.reason) == ("idle", "activity", "it has printed nothing for 6 min")
    assert [(one.source, one.observed, one.at - START, one.says) for one in made.evidence] == [
        ("signal", "it said that it is waiting, but has been active since", 5, None),
        ("terminal", "its tmux session is there", 500, None),
        ("activity", "it has printed nothing for 6 min", 100, None),
        ("progress", "it has made no progress for 7 min", 60, None),
        ("activity", "it has printed nothing for 6 min", 100, "idle"),
    ]
    assert made.decided is made.evidence[-1]


def test_statements_that_decided_nothing_are_kept_with_what_they_speak_for() -> None:
    stands = Statement(None, None, "title", "its title stands still", frozenset({"idle", "waiting"}))
    asks = Statement("waiting", "plan", "screen", "a dialog is open")
    made = judge(facts(statements=(stands, asks)), LIMITS, START + 5)
    assert [(one.source, one.says) for one in made.evidence] == [
        ("terminal", None),
        ("title", None),
        ("screen", "waiting"),
        ("activity", None),
        ("progress", None),
    ]
    assert made.decided is made.evidence[2]
    assert made.reason == "it asks about its plan (a dialog is open)"


# --- properties ---

TIMES = st.none() | st.floats(START - 5000, START + 5000)
SAID = st.none() | st.builds(
    Said, st.sampled_from(("waiting", "working")), st.none() | st.just("why"), st.floats(START - 5000, START + 5000)
)
STATEMENTS = st.lists(
    st.builds(
        Statement,
        st.sampled_from((None, *HEALTH)),
        st.sampled_from((None, "permission", "question")),
        st.sampled_from(STRENGTH),
        st.just("it says so"),
        st.frozensets(st.sampled_from(tuple(HEALTH)), max_size=2),
    ),
    max_size=3,
).map(tuple)
FACTS = st.builds(
    Facts,
    started=st.floats(START - 100, START),
    terminal=st.sampled_from((True, False, None)),
    said=SAID,
    question=st.none() | st.builds(Said, st.just("waiting"), st.just("May I?"), st.floats(START - 10, START)),
    answered=TIMES,
    statements=STATEMENTS,
    hook_at=TIMES,
    unattended=st.booleans(),
    activity=TIMES,
    progress=TIMES,
    before=st.none()
    | st.builds(
        Health, st.sampled_from(get_args(HealthState)), st.just("why"), st.just("x"), st.just(timestamp(START + 9))
    ),
)
SILENT = FACTS.map(lambda seen: seen._replace(statements=(), unattended=False))
THRESHOLDS = st.lists(st.floats(1, 4000), min_size=3, max_size=3).map(lambda three: Thresholds(*sorted(three)))
SEVERITY = {"healthy": 0, "idle": 1, "stalled": 2}


@given(FACTS, THRESHOLDS, st.floats(0, 1_000_000))
def test_every_agent_gets_a_verdict_that_rests_on_its_evidence(seen: Facts, limits: Thresholds, after: float) -> None:
    made = judge(seen, limits, START + after)
    assert made.state in get_args(HealthState)
    assert made.decided is not None
    assert made.decided in made.evidence
    assert (made.decided.says, made.decided.source, made.decided.observed) == (made.state, made.source, made.reason)


@given(SILENT, THRESHOLDS, st.floats(0, 100_000), st.floats(0, 100_000))
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


@given(FACTS, THRESHOLDS, st.floats(0, 100_000))
def test_nobody_who_rests_is_called_stalled(seen: Facts, limits: Thresholds, after: float) -> None:
    for state in ("idle", "waiting", "error"):
        resting = seen._replace(terminal=True, statements=(Statement(state, None, "title", "it rests"),))
        assert judge(resting, limits, START + after).state in ("idle", "waiting")


@given(FACTS, THRESHOLDS, st.floats(0, 10_000), st.floats(0, 1))
def test_a_verdict_stays_as_it_is_for_as_long_as_is_said(
    seen: Facts, limits: Thresholds, after: float, share: float
) -> None:
    now = START + after
    later = now + min(holds_for(seen, limits, now), 100_000) * share * 0.999
    first, then = judge(seen, limits, now), judge(seen, limits, later)
    assert (then.state, then.source) == (first.state, first.source)
    if first.source not in ("activity", "progress"):  # those count the time
        assert then.reason == first.reason


def test_a_verdict_may_change_at_the_next_threshold_and_not_before() -> None:
    silent = facts(activity=START, progress=START)
    assert [holds_for(silent, LIMITS, START + after) for after in (0, 100, 300, 301, 1000)] == [300, 200, 0, 599, 200]
    assert holds_for(silent, LIMITS, START + LONG) == math.inf


def test_a_verdict_on_who_works_may_change_by_when_its_work_began() -> None:
    works = facts(**states("working"), progress=START, before=Health("healthy", "", "", timestamp(START + 500)))
    assert holds_for(works, LIMITS, START + 1450) == 250


def test_a_verdict_may_change_when_a_hook_is_not_fresh_any_more() -> None:
    assert holds_for(facts(hook_at=START), LIMITS, START + 0.5) == FRESH_SECONDS - 0.5


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
    return Verdict(state, reason, source, (), None)


@pytest.mark.parametrize("source", ["activity", "progress"])
def test_a_reason_that_only_counts_time_is_not_worth_a_write(source: str) -> None:
    before = Health("idle", "it has printed nothing for 5 min", source, timestamp(START))
    assert as_health(made("idle", source, "it has printed nothing for 7 min"), before, START + 120) is before


def test_a_verdict_that_says_the_same_is_not_worth_a_write() -> None:
    before = Health("waiting", "it waits: which database?", "signal", timestamp(START))
    assert as_health(made("waiting", "signal", "it waits: which database?"), before, START + 120) is before


def test_something_else_that_is_waited_for_is_kept_with_when_waiting_began() -> None:
    before = Health("waiting", "it waits: which database?", "signal", timestamp(START))
    after = as_health(made("waiting", "signal", "it waits: which port?"), before, START + 60)
    assert after == Health("waiting", "it waits: which port?", "signal", timestamp(START))


def test_another_source_of_the_same_state_is_kept_with_when_the_state_began() -> None:
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
