"""What the tests of readings share: observations of one source, and what they read as."""

from metawsm_rpc.domain.readings.reading import Observation, read
from metawsm_rpc.domain.readings.rules import Program, screen_statement
from metawsm_rpc.domain.readings.statement import decide


def screen(text: str) -> Observation:
    return Observation(screen=text)


def title(text: str) -> Observation:
    return Observation(title=text)


def hook(payload: dict) -> Observation:
    return Observation(hook=payload)


def state_of(runner: str, seen: Observation) -> str:
    return decide(read(runner, seen)).state or "unknown"


def assert_reads(runner: str, seen: Observation, state: str | None, waits_for: str | None = None) -> None:
    held = decide(read(runner, seen))
    assert (held.state, held.waits_for) == (state or "unknown", waits_for), read(runner, seen)


def assert_every_rule_is_shown(program: Program, screens: list[str]) -> None:
    """Fail when some screen rule decides none of the screens."""
    for number, rule in enumerate(program.screens):
        without = program._replace(screens=program.screens[:number] + program.screens[number + 1 :])
        assert any(screen_statement(program, shown) != screen_statement(without, shown) for shown in screens), rule
