"""Judging agents by what a sweep saw of them.

Most sweeps find most agents as they were, and judging all of them would take half as long as asking tmux. So a judgement
is kept until something else is seen of the agent, or until the time comes that may change it.
"""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, NamedTuple

from metawsm_rpc.domain.clock import Clock, seconds, timestamp
from metawsm_rpc.domain.health import Facts, Said, Verdict, as_health, holds_for, judge
from metawsm_rpc.domain.models import Agent, Guidance, Health
from metawsm_rpc.domain.sentences import one_line
from metawsm_rpc.engine.evidence import is_unattended, statements
from metawsm_rpc.engine.run_rules import Rules
from metawsm_rpc.ports.terminals import Exit, Pane

if TYPE_CHECKING:
    from metawsm_rpc.domain.readings.reading import Observation


class Questions(NamedTuple):
    """What an agent has asked: the oldest question that is open, and when its last answer came."""

    open: Said | None = None
    answered: float | None = None


NONE_ASKED = Questions()


class Seen(NamedTuple):
    """What a sweep saw of one agent.

    `pane` is None when it is gone, `answered` whether tmux said so, `exit` its record, `shown` what
    its program shows, None where that is not looked at.
    """

    agent: Agent
    pane: Pane | None
    answered: bool
    exit: Exit | None
    questions: Questions
    shown: "Observation | None" = None


class Judged(NamedTuple):
    """What a sweep saw of one agent, its health by that, and whether the store has yet to be told of either.

    While the same is seen, this holds from `at` until `until`.
    """

    seen: Seen
    health: Health
    is_news: bool
    at: float
    until: float


class Judge:
    """Judges the agents of one root; remembers its judgements by launch."""

    def __init__(self, rules: Rules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._judgements: dict[str, Judged] = {}

    def judged(self, seen: Seen) -> Judged:
        """Return the judgement on an agent, the earlier one while it holds."""
        launch = seen.agent.launch or ""
        kept = self._judgements.get(launch)
        if kept is None or kept.seen != seen or not kept.at <= self._clock() < kept.until:
            kept = self._judgements[launch] = self._judge(seen)
        return kept

    def verdict(self, seen: Seen) -> Verdict:
        """Return the verdict as of now, with all its evidence."""
        now = self._clock()
        return judge(self._facts(seen, now), self._rules.of(seen.agent.run_id).thresholds, now)

    def forget_all_but(self, launches: Collection[str]) -> None:
        """Forget the judgements on agents that are gone."""
        self._judgements = {launch: kept for launch, kept in self._judgements.items() if launch in launches}

    def _judge(self, seen: Seen) -> Judged:
        now = self._clock()
        facts, thresholds = self._facts(seen, now), self._rules.of(seen.agent.run_id).thresholds
        health = as_health(judge(facts, thresholds, now), seen.agent.health, now)
        return Judged(seen, health, _is_news(seen, health), now, now + holds_for(facts, thresholds, now))

    def _facts(self, seen: Seen, now: float) -> Facts:
        agent = seen.agent
        profile = self._rules.of(agent.run_id).profile(agent.name)
        said_at = _or_none(agent.said_at)
        by_hook = agent.said_by == "hook"
        said = agent.said is not None and said_at is not None and not by_hook
        return Facts(
            started=_or_none(agent.started_at) or now,
            terminal=(seen.pane is not None) if seen.answered else None,
            said=_said(agent.said or "", agent.said_what, said_at or now) if said else None,
            question=seen.questions.open,
            answered=seen.questions.answered,
            statements=() if seen.shown is None else statements(profile, seen.shown, agent, now),
            hook_at=said_at if by_hook else None,
            unattended=is_unattended(profile),
            activity=seen.pane.activity if seen.pane else _or_none(agent.last_activity_at),
            progress=_or_none(agent.last_progress_at),
            before=agent.health,
        )


def questions_of(asked: Iterable[Guidance]) -> dict[tuple[str, str], Questions]:
    """Return what each agent (ticket, name) has asked; `asked` comes oldest first."""
    found: dict[tuple[str, str], Questions] = {}
    for one in asked:
        before = found.get((one.ticket, one.agent), Questions())
        if one.status == "pending" and before.open is None:
            before = before._replace(open=_said("waiting", one.question, seconds(one.asked_at)))
        elif one.answered_at is not None:
            before = before._replace(answered=max(before.answered or 0.0, seconds(one.answered_at)))
        found[one.ticket, one.agent] = before
    return found


def _said(what: str, text: str | None, at: float) -> Said:
    return Said(what, one_line(text) if text else None, at)


def _is_news(seen: Seen, health: Health) -> bool:
    """Return whether the store does not know yet what was seen of an agent, or its health."""
    if seen.exit is not None or (seen.answered and seen.pane is None) or health != seen.agent.health:
        return True
    return seen.pane is not None and (
        seen.agent.pid is None or timestamp(seen.pane.activity) > (seen.agent.last_activity_at or "")
    )


def _or_none(text: str | None) -> float | None:
    return None if text is None else seconds(text)
