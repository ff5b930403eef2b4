"""Scores the readings against labelled captures of the real programs, where those are at hand.

A capture is a JSON file with the screen, the title, the last OSC 7501 report, claude's status file
and the label that a person gave it. How a label counts:

- `working`, `starting` and errors that are still retried (or a refused connection, which every
  program retries): it is under way. The difference between the two ends by itself.
- `idle_at_prompt`: idle, also with a draft or a menu open, and also when a question stands in prose.
- `waiting_for_decision`, `trust_prompt`, `login_prompt`: waiting.
- errors that were final: error.
- `finished_exit0`, `failed_exit`: where the pane is dead the exit record tells it and nothing is
  read; where it is not, the program has left its terminal to a shell.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from metawsm_rpc.domain.health import Facts, Thresholds, judge
from metawsm_rpc.domain.readings.reading import PROGRAMS, Observation, read, wants_screen
from metawsm_rpc.domain.readings.statement import decide

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "screens"
CAPTURES = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
ALIVE = {name: capture for name, capture in CAPTURES.items() if capture["pane_dead"] != "1"}

pytestmark = pytest.mark.skipif(not CAPTURES, reason="no labelled captures beside this repository")

UNDER_WAY = frozenset({"starting", "working"})
VERDICT = {"starting": "under way", "working": "under way"}


def expected(capture: dict) -> str:
    label, sub = capture["label"], capture["sub"] or ""
    if label == "error_screen":
        return "under way" if sub.startswith("retrying") or sub.endswith("refused") else "error"
    return {
        "working": "under way",
        "starting": "under way",
        "idle_at_prompt": "idle",
        "finished_exit0": "finished",
        "failed_exit": "finished",
    }.get(label, "waiting")


def observed(capture: dict) -> Observation:
    return Observation(
        title=capture["title"],
        report=capture["osc"]["osc7501_last"],
        status_file=capture["status_file"],
        screen=capture["screen"],
        command=capture["pane_current_command"],
        interactive=capture["mode"] == "interactive",
    )


def verdict(capture: dict, seen: Observation) -> str:
    state = decide(read(capture["agent"], seen)).state or "unknown"
    return VERDICT.get(state, state)


def test_at_least_98_of_100_captures_are_read_as_they_are_labelled(capsys):
    table: dict[str, Counter[tuple[str, str]]] = {runner: Counter() for runner in PROGRAMS}
    wrong = []
    for name, capture in CAPTURES.items():
        dead = capture["pane_dead"] == "1"
        pair = (expected(capture), "finished" if dead else verdict(capture, observed(capture)))
        table[capture["agent"]][pair] += 1
        if pair[0] != pair[1]:
            wrong.append((name, *pair))
    with capsys.disabled():
        print(confusion(table))  # noqa: T201 - the matrix is what a person looks at
    assert len(wrong) <= 0.02 * len(CAPTURES), wrong


HEALTH_OF = {"under way": "healthy", "waiting": "waiting", "idle": "idle", "error": "waiting", "finished": "unknown"}
"""A label as a verdict: a turn that failed waits for somebody, and of an end the exit record tells."""


def judged(capture: dict) -> str:
    """Return the whole judge's verdict; the screen is looked at only where a sweep would take it."""
    now = 1_800_000_000.0
    seen = observed(capture)
    unattended = not seen.interactive
    first = seen._replace(screen=None)
    shown = seen if wants_screen(capture["agent"], first) else first
    facts = Facts(
        started=now - (capture["secs_since_start"] or 0),
        terminal=True,
        statements=() if unattended else read(capture["agent"], shown),
        unattended=unattended,
        activity=now - (capture["secs_since_last_pane_output"] or 0),
    )
    return judge(facts, Thresholds(300, 900, 1200), now).state


def test_at_least_98_of_100_captures_of_living_programs_are_judged_as_they_are_labelled(capsys):
    table: dict[str, Counter[tuple[str, str]]] = {runner: Counter() for runner in PROGRAMS}
    wrong = []
    for name, capture in ALIVE.items():
        pair = (HEALTH_OF[expected(capture)], judged(capture))
        table[capture["agent"]][pair] += 1
        if pair[0] != pair[1]:
            wrong.append((name, *pair))
    with capsys.disabled():
        print(confusion(table, ("healthy", "waiting", "idle", "stalled", "unknown")))  # noqa: T201 - the matrix is what a person looks at
    assert len(wrong) <= 0.02 * len(ALIVE), wrong


WORDS = ("under way", "waiting", "idle", "error", "finished", "unknown")


def confusion(table: dict[str, Counter[tuple[str, str]]], words: tuple[str, ...] = WORDS) -> str:
    lines = [""]
    for runner, pairs in table.items():
        lines.append(f"{runner:20}" + "".join(f"{word:>10}" for word in words))
        lines += [
            f"  {label:18}" + "".join(f"{pairs[label, word] or '·':>10}" for word in words)
            for label in words
            if any(pairs[label, word] for word in words)
        ]
    right = sum(count for pairs in table.values() for (label, word), count in pairs.items() if label == word)
    return "\n".join([*lines, f"{right} of {sum(map(Counter.total, table.values()))} as labelled (rows: label)"])


def wrapped(width: int) -> Callable[[str], str]:
    """Break lines as a terminal does that has become narrower."""

    def wrap(screen: str) -> str:
        return "\n".join(
            line[start : start + width]
            for line in screen.split("\n")
            for start in range(0, max(len(line.rstrip()), 1), width)
        )

    return wrap


def with_other_names(screen: str) -> str:
    for old, new in {
        r"/home/\w+/repo/\w+": "/srv/My Work/проекты/a-long-folder-name",
        "stub-1": "some-model-9-max",
        "Stub 1": "Some Model 9",
        r"Opus 4\.8( \(1M context\))?": "Sonnet 9",
        "gemini-2.5-pro": "gemini-9-flash",
    }.items():
        screen = re.sub(old, new, screen)
    return screen


def with_another_question(screen: str) -> str:
    return re.sub(
        r"Do you want to (?:proceed|allow Claude to fetch this content)\?|Would you like to \w+ the following \w+\?"
        r"|Apply this change\?|Allow execution of \[Shell\]\?|Which operator should add\(\) use\?|Fix the failing test.*",
        "Darf ich das tun?",
        screen,
    )


def with_lines_above(screen: str) -> str:
    quoted = (
        "● It prints:\n\n  Do you want to proceed? (y/n)\n  ❯ 1. Yes\n    2. No (esc)\n\n  Enter to confirm · Esc to cancel\n"
        "  (2s • esc to interrupt)\n  Thinking... (esc to cancel, 11s)\n\n● That is all.\n\n"
    )
    return quoted + screen if screen.strip() else screen


OTHER_SCREENS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "97 columns": wrapped(97),
    "60 columns": wrapped(60),
    "40 columns": wrapped(40),
    "other names": with_other_names,
    "another question": with_another_question,
    "lines above": with_lines_above,
}

OTHER_EVIDENCE = {
    "all": {},
    "no title": {"title": None},
    "no report": {"report": None},
    "no status file": {"status_file": None},
    "screen alone": {"title": None, "report": None, "status_file": None},
}


@pytest.mark.parametrize("evidence", OTHER_EVIDENCE)
@pytest.mark.parametrize("change", OTHER_SCREENS)
def test_a_changed_screen_or_missing_evidence_makes_no_verdict_wrong(change, evidence):
    wrong = []
    for name, capture in ALIVE.items():
        seen = observed(capture)._replace(screen=OTHER_SCREENS[change](capture["screen"]), **OTHER_EVIDENCE[evidence])
        said = verdict(capture, seen)
        if said not in {expected(capture), "unknown"}:
            wrong.append((name, expected(capture), said))
    assert not wrong


def test_without_its_screen_no_program_is_said_to_work_or_wait_when_it_does_not():
    # An error or a start that its other words call idle is seen on the screen alone.
    for name, capture in ALIVE.items():
        said = verdict(capture, observed(capture)._replace(screen=None))
        assert said in {expected(capture), "unknown", "idle"}, name


def test_other_names_do_not_change_a_verdict():
    for name, capture in ALIVE.items():
        seen = observed(capture)
        changed = seen._replace(screen=with_other_names(capture["screen"]))
        assert verdict(capture, changed) == verdict(capture, seen), name


def test_every_hook_that_was_recorded_is_read_without_fault():
    for line in (FOLDER / "hooks.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["payload"] is not None:
            read(record["agent"].rstrip("2"), Observation(hook=record["payload"]))
