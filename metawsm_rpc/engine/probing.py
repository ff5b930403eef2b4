"""Finds progress that agents do not report: commits, and changes of uncommitted work.

Asking git costs milliseconds in a small repository and seconds in a large one. So the supervisor asks about one
workspace at a time, in a thread of its own, each at a third of the policy's threshold for progress, spread
evenly over that time, and once more before an agent is called stalled. Where nobody supervises, a look asks
about the agents that it would call stalled now.
"""

import threading
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from metawsm_rpc.domain.clock import seconds, timestamp
from metawsm_rpc.domain.models import LIVE, Agent, Workspace
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import MetawsmError
from metawsm_rpc.policy.view import HealthThresholds
from metawsm_rpc.ports.store import Transaction
from metawsm_rpc.ports.worktrees import WorkState, Worktrees

PROBES_PER_THRESHOLD = 3

_LIST_SECONDS = 5.0
"""How often the supervisor asks the store which workspaces have live agents."""

_LAST_CHANCE_SECONDS = 15.0
"""How long before its agents would be called stalled a workspace is probed once more."""

_BUSY_SECONDS = 0.25
"""How soon to check again for git's answer."""

_GOLDEN_SECTION = 0.618
"""Its multiples are spread evenly over any interval, however many there are."""

_MOST_AT_A_LOOK = 24
"""How many workspaces a look probes at most."""

Key = tuple[str, str]
"""A workspace: its run and its ticket."""


class _Plan(NamedTuple):
    """When a workspace is probed next, how often, and the last answer."""

    workspace: Workspace
    interval: float
    due: float
    asked: float = 0.0
    states: Mapping[str, WorkState] = {}


class Prober:
    """Probes the workspaces of one root. `probe` is called often, by one thread; it does not wait for git."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._plans: dict[Key, _Plan] = {}
        self._counted = 0
        self._listed = float("-inf")
        self._worktrees: Worktrees | None = None
        self._asked: tuple[Key, float] | None = None
        self._answer: Mapping[str, WorkState] | None = None
        self._thread: threading.Thread | None = None

    def probe(self) -> float:
        """Do what is due; return the number of seconds until something is due again."""
        now = self._world.clock()
        if self._thread is not None:
            if self._thread.is_alive():
                return _BUSY_SECONDS
            self._thread = None
            self._take(now)
        if abs(now - self._listed) >= _LIST_SECONDS:
            self._listed = now
            self._list(now)
        key = min(self._plans, key=lambda one: self._plans[one].due, default=None)
        if key is not None and self._plans[key].due <= now:
            self._ask(key, now)
            return _BUSY_SECONDS
        next_due = self._plans[key].due if key is not None else float("inf")
        return max(0.0, min(next_due, self._listed + _LIST_SECONDS) - now)

    def close(self) -> None:
        """End, interrupting git if it is running."""
        if self._worktrees is not None:
            self._worktrees.interrupt()
        if self._thread is not None:
            self._thread.join()

    def _list(self, now: float) -> None:
        """Plan probes of the workspaces that have live agents, and forget the others."""
        before, self._plans = self._plans, {}
        for run_id in self._world.store.unsettled():
            agents = [agent for agent in self._world.store.agents(run_id) if agent.status in LIVE]
            if not agents:
                continue
            limits = HealthThresholds.of(self._world.store.policy(run_id))
            interval = limits.progress_stalled_seconds / PROBES_PER_THRESHOLD
            tickets = {agent.ticket for agent in agents}
            for workspace in self._world.store.workspaces(run_id):
                if workspace.ticket in tickets:
                    key = (run_id, workspace.ticket)
                    plan = before.get(key) or self._new_plan(workspace, interval, now)
                    mine = [agent for agent in agents if agent.ticket == workspace.ticket]
                    self._plans[key] = _before_it_is_too_late(plan, mine, limits, now)

    def _new_plan(self, workspace: Workspace, interval: float, now: float) -> _Plan:
        self._counted += 1
        return _Plan(workspace, interval, now + interval * (self._counted * _GOLDEN_SECTION % 1))

    def _ask(self, key: Key, now: float) -> None:
        plan = self._plans[key]
        # A probe that was due many times, as after sleep, is made once.
        due = plan.due + plan.interval
        self._plans[key] = plan._replace(due=due if due > now else now + plan.interval)
        self._worktrees = worktrees = self._world.machine.worktrees(self._world.store.policy(key[0]))
        self._asked, self._answer = (key, now), None

        def ask() -> None:
            self._answer = states_of(worktrees, plan.workspace)

        self._thread = threading.Thread(target=ask, name="probe", daemon=True)
        self._thread.start()

    def _take(self, now: float) -> None:
        """Keep git's answer, and record the progress that it shows."""
        if self._asked is None or not self._answer:
            return
        (key, asked), answer = self._asked, self._answer
        plan = self._plans.get(key)
        if plan is None:
            return
        self._plans[key] = plan._replace(states=answer, asked=asked)
        moved = min(now, _moved_since(plan, answer))
        agents = [agent for agent in self._world.store.agents(key[0]) if agent.ticket == key[1]]
        if any(_is_news(agent, moved) for agent in agents):
            with self._world.store.transaction() as transaction:
                note_progress(transaction, agents, moved)


def _before_it_is_too_late(plan: _Plan, agents: Iterable[Agent], limits: HealthThresholds, now: float) -> _Plan:
    """Return the plan with a probe now, if its agents would soon be called stalled without one."""
    chance = min(_LAST_CHANCE_SECONDS, plan.interval)
    for agent in agents:
        for deadline in _deadlines(agent, limits):
            if deadline - chance <= now < deadline and plan.asked < deadline - chance:
                return plan._replace(due=min(plan.due, now))
    return plan


def _deadlines(agent: Agent, limits: HealthThresholds) -> tuple[float, float]:
    """Return when an agent would be called stalled without further signs: for lack of progress, and of activity."""
    healthy = agent.health.since if agent.health is not None and agent.health.state == "healthy" else ""
    moved = max(agent.last_progress_at or "", agent.started_at or "")
    active = max(moved, agent.last_activity_at or "")
    return (
        seconds(max(moved, healthy)) + limits.progress_stalled_seconds,
        seconds(active) + limits.activity_stalled_seconds,
    )


def _moved_since(plan: _Plan, answer: Mapping[str, WorkState]) -> float:
    """Return when the work last changed, as far as the files and the previous answer show."""
    moved = max((state.moved_at for state in answer.values()), default=0.0)
    changed = any(path in plan.states and plan.states[path].digest != state.digest for path, state in answer.items())
    if changed:
        return max(moved, plan.asked)
    # A rewritten file has a new timestamp, too, but the work is the same.
    return 0.0 if plan.states else moved


def states_of(worktrees: Worktrees, workspace: Workspace) -> dict[str, WorkState]:
    """Return the state of the work in each worktree of a workspace, except those that git cannot read."""
    found = {}
    for repo in workspace.repos:
        try:
            state = worktrees.work_state(repo)
        except MetawsmError:
            continue  # a broken repository shows no progress; other verbs report what is wrong with it
        if state is not None:
            found[repo.path] = state
    return found


def note_progress(transaction: Transaction, agents: Iterable[Agent], moved: float) -> None:
    """Record when the work of agents changed, unless they have reported later progress."""
    for agent in agents:
        now = transaction.agent(agent.run_id, agent.ticket, agent.name)
        if now.launch == agent.launch and _is_news(now, moved):
            transaction.set_agent(now.run_id, now.ticket, now.name, last_progress_at=timestamp(moved))


def _is_news(agent: Agent, moved: float) -> bool:
    return agent.status in LIVE and timestamp(moved) > max(agent.last_progress_at or "", agent.started_at or "")


def catch_up(world: World, agents: Collection[Agent]) -> bool:
    """Ask git whether agents have made unseen progress; return whether one has."""
    from concurrent.futures import ThreadPoolExecutor

    asked: list[tuple[Worktrees, Workspace]] = []
    for run_id in dict.fromkeys(agent.run_id for agent in agents):
        worktrees = world.machine.worktrees(world.store.policy(run_id))
        tickets = {agent.ticket for agent in agents if agent.run_id == run_id}
        asked += [(worktrees, one) for one in world.store.workspaces(run_id) if one.ticket in tickets]
    with ThreadPoolExecutor(4, "probe") as pool:
        answers = list(pool.map(lambda one: states_of(*one), asked[:_MOST_AT_A_LOOK]))
    news = []
    for (_, workspace), answer in zip(asked, answers, strict=False):
        moved = max((state.moved_at for state in answer.values()), default=0.0)
        mine = [one for one in agents if (one.run_id, one.ticket) == (workspace.run_id, workspace.ticket)]
        news += [(agent, min(moved, world.clock())) for agent in mine if _is_news(agent, moved)]
    if news:
        with world.store.transaction() as transaction:
            for agent, moved in news:
                note_progress(transaction, [agent], moved)
    return bool(news)
