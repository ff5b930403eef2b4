from metawsm_rpc.domain.readings import reading
from metawsm_rpc.domain.readings.reading import FRESH_SECONDS, Observation, read
from metawsm_rpc.domain.readings.statement import HEALTH, STRENGTH, UNKNOWN, State, Statement, decide

IDLE_BOX = "✻ Baked for 2s\n\n──────────\n❯ \n──────────\n  ? for shortcuts"


def says(state: State | None, source="title", covers=(), waits_for=None) -> Statement:
    return Statement(state, waits_for, source, "says so", frozenset(covers))


def test_nothing_said_is_unknown():
    assert decide(()) == UNKNOWN


def test_the_strongest_that_names_a_state_decides():
    assert decide((says("working", "status file"), says("idle", "screen"))).source == "status file"


def test_words_without_a_state_leave_the_choice_to_weaker_ones_among_what_they_cover():
    stands_still = says(None, covers={"idle", "waiting"})
    assert decide((stands_still, says("waiting", "screen"))).state == "waiting"
    assert decide((stands_still, says("working", "screen"))) == UNKNOWN
    assert decide((stands_still,)) == UNKNOWN


def test_a_weaker_source_may_choose_what_a_word_also_covers_and_nothing_else():
    idle = says("idle", "status file", covers={"error"})
    assert decide((idle, says("error", "screen"))).state == "error"
    assert decide((idle, says("waiting", "screen"))).state == "idle"
    assert decide((idle,)).state == "idle"


def test_words_that_cover_states_narrow_each_other():
    first, second = says(None, covers={"idle", "error"}), says(None, "screen", covers={"idle", "working"})
    assert decide((first, second, says("working", "hook"))) == UNKNOWN
    assert decide((first, second, says("idle", "hook"))).state == "idle"


def test_what_is_waited_for_comes_from_the_strongest_source_that_agrees_and_knows_it():
    held = decide((says("waiting", "status file"), says("waiting", "screen", waits_for="plan")))
    assert (held.source, held.waits_for) == ("status file", "plan")
    assert decide((says("idle", "status file"), says("waiting", "screen", waits_for="plan"))).waits_for is None


def test_every_state_has_a_health():
    assert set(HEALTH) == set(State.__args__)  # type: ignore[attr-defined]
    assert [HEALTH[state] for state in ("starting", "working", "waiting", "idle", "error", "finished")] == [
        "healthy",
        "healthy",
        "waiting",
        "idle",
        "waiting",
        "unknown",
    ]


def test_statements_come_strongest_first():
    seen = Observation(
        title="⠋ x",
        report="state=working:app=codex",
        status_file={"status": "busy"},
        hook={"hook_event_name": "PreToolUse"},
        hook_age=0.1,
        screen=IDLE_BOX,
    )
    assert [one.source for one in read("claude", seen)] == list(STRENGTH[1:])


def test_a_hook_that_is_not_fresh_is_weaker_than_what_is_shown():
    asked = {"hook_event_name": "Notification", "notification_type": "ToolPermission"}
    shown = Observation(title="✦  Working… (x)", hook=asked)
    assert decide(read("gemini", shown._replace(hook_age=FRESH_SECONDS))).state == "waiting"
    assert decide(read("gemini", shown._replace(hook_age=FRESH_SECONDS + 1))).state == "working"
    assert decide(read("gemini", shown)).state == "working"
    assert decide(read("gemini", Observation(hook=asked, hook_age=600))).state == "waiting"


def test_a_shell_in_the_foreground_makes_all_that_is_left_on_the_terminal_void():
    left = Observation(title="⠂ Claude Code", status_file={"status": "busy"}, screen=IDLE_BOX)
    assert decide(read("claude", left._replace(command="-bash"))).state == "finished"
    assert decide(read("claude", left._replace(command="sh"))).state == "working"


def test_a_program_that_asks_nobody_works_until_it_exits_whatever_it_prints():
    printed = Observation(screen=IDLE_BOX, interactive=False)
    held = decide(read("claude", printed))
    assert (held.state, held.source) == ("working", "terminal")


def test_a_blank_screen_is_a_start():
    for runner in reading.PROGRAMS:
        assert decide(read(runner, Observation(screen="\n  \n\n"))).state == "starting"


def test_a_runner_without_rules_states_nothing():
    assert read("shell", Observation(title="✋", screen="(Y)es/(N)o [Yes]: ")) == ()
