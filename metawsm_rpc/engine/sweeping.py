"""Looking at the agents: one sweep tells the store what is true now.

A sweep asks tmux once for all panes, reads exit records and drop boxes, judges who is alive, and
writes only what changed, in one transaction. Looking never executes a step and moves no progress.
"""

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from metawsm_rpc.domain.clock import seconds, timestamp
from metawsm_rpc.domain.health import Evidence, Verdict
from metawsm_rpc.domain.lifecycles import SETTLING
from metawsm_rpc.domain.models import LIVE, Agent
from metawsm_rpc.domain.settle import runnable
from metawsm_rpc.engine import ends, mailbox, starts
from metawsm_rpc.engine.evidence import Gatherer, Look
from metawsm_rpc.engine.interrupting import interrupt_run, waits_for_a_person
from metawsm_rpc.engine.judging import NONE_ASKED, Judge, Judged, Questions, Seen, questions_of
from metawsm_rpc.engine.run_rules import Rules
from metawsm_rpc.engine.transcript_gaps import TranscriptMender
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import BusyError, DependencyMissingError, HostError, LostLeaseError
from metawsm_rpc.policy.view import TmuxOptions
from metawsm_rpc.ports.folders import Dropped
from metawsm_rpc.ports.store import ROOT_SCOPE, Transaction
from metawsm_rpc.ports.terminals import Exit, Pane, Terminals

_OBSERVED_STATUS: Mapping[str, str] = {
    "healthy": "observe_running",
    "idle": "observe_idle",
    "waiting": "observe_waiting",
    "stalled": "observe_stalled",
}


class Living(NamedTuple):
    """A live agent, the pid in its pane, and the folder where it leaves signals."""

    agent: Agent
    pid: int
    drop_box: str


class Swept(NamedTuple):
    """What a sweep found: the live agents by launch."""

    living: Mapping[str, Living]


class _Stored(NamedTuple):
    """What the store says of a run, and its version at that time."""

    version: int
    agents: tuple[Agent, ...]
    questions: Mapping[tuple[str, str], Questions]


class Sweeper:
    """Sweeps the runs of one root; of several threads, one at a time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._folders = world.machine.folders()
        self._gatherer = Gatherer(world)
        self._rules = Rules(world)
        self._stored: dict[str, _Stored] = {}
        self._judge = Judge(self._rules, world.clock)
        self._mender = TranscriptMender(world)
        self._turn = threading.RLock()

    def sweep(self, run_ids: Iterable[str] | None = None, *, wait_for_git: bool = True) -> Swept:
        """Bring the store up to date with the machine, for all runs that may move or for some.

        Without `wait_for_git` agents count as stalled of which git might know better.
        """
        with self._turn:
            return self._sweep(run_ids, wait_for_git=wait_for_git)

    def note_ends(self, agents: Collection[Agent]) -> None:
        """Note the ends of agents whose processes are known to have died.

        tmux, which may list them for a moment yet, is not asked.
        """
        with self._turn:
            # What an agent said before its end is heard before the end.
            records = [(agent, self._exit_record(agent)) for agent in agents]
            dropped = [(agent, item) for agent in agents for item in self._dropped(agent)]
            with self._world.store.transaction() as transaction:
                self._receive(transaction, dropped)
                for agent, record in records:
                    now = transaction.agent(agent.run_id, agent.ticket, agent.name)
                    if _is_still(now, agent):
                        self._ended(transaction, now, record)
            self._discard(dropped)
            self._hand_over(agent.run_id for agent in agents)

    def _sweep(self, run_ids: Iterable[str] | None, *, wait_for_git: bool) -> Swept:
        runs = tuple(self._world.store.unsettled() if run_ids is None else run_ids)
        for run_id in runs:
            if self._is_abandoned(run_id):
                self._interrupt_steps(run_id)
        agents = [agent for run_id in runs for agent in self._as_stored(run_id).agents]
        judged = [self._judge.judged(one) for one in self._look([agent for agent in agents if agent.status in LIVE])]
        # Read after the look, so that what an agent said before its end is heard before the end is seen.
        dropped = [(agent, item) for agent in agents if _may_speak(agent) for item in self._dropped(agent)]
        if wait_for_git:
            self._give_a_last_chance(judged)
        spoke = {agent.launch for agent, _ in dropped}
        changed = [each for each in judged if each.is_news or each.seen.agent.launch in spoke]
        if dropped or changed:
            with self._world.store.transaction() as transaction:
                self._receive(transaction, dropped)
                for each in changed:
                    self._apply(transaction, each)
        self._discard(dropped)
        self._hand_over(runs)
        seen = [each.seen for each in judged]
        for one in seen:
            if one.pane is not None and not one.pane.piped:
                rules = self._rules.of(one.agent.run_id)
                self._mender.mend(one.agent, rules.terminals, rules.policy)
        living = {one.pane.launch: self._living(one.agent, one.pane) for one in seen if one.pane is not None}
        if run_ids is None:
            self._gatherer.forget_all_but(living)
            self._judge.forget_all_but(living)
            self._stored = {run_id: one for run_id, one in self._stored.items() if run_id in runs}
        return Swept(living)

    def _hand_over(self, run_ids: Iterable[str]) -> None:
        for run_id in dict.fromkeys(run_ids):
            mailbox.hand_over(self._world, self._world.store.questions(run_id))

    def _living(self, agent: Agent, pane: Pane) -> Living:
        return Living(agent, pane.pid, self._folders.paths(agent.run_id, agent.ticket, agent.name).drop_box)

    def explain(self, agent: Agent) -> Verdict | None:
        """Return the verdict on an agent with all that was looked at; None when it was never started.

        Of one that is not meant to live, the verdict's evidence is how it ended.
        """
        if agent.launch is None:
            return None
        if agent.status in LIVE:
            with self._turn:
                (seen,) = self._look([agent])
                verdict = self._judge.verdict(seen)
            return verdict._replace(evidence=(self._as_evidence(seen.exit), *verdict.evidence))
        told = self._as_evidence(self._exit_record(agent))
        dead = agent.health
        if dead is None:
            why = f"it is {agent.status}, so nothing is expected of it"
            return Verdict("unknown", why, "none", (told,), None)
        decided = Evidence(dead.source, dead.reason, seconds(dead.since), dead.state)
        evidence = (told,) if told.says == "dead" else (told, decided)
        return Verdict(dead.state, dead.reason, dead.source, evidence, evidence[-1])

    def _as_evidence(self, record: Exit | None) -> Evidence:
        """Return what the exit record says."""
        if record is None:
            return Evidence("exit record", "there is none", self._world.clock(), None)
        signal = ends.signal_of(record.code)
        told = f"signal {signal} killed it" if signal else f"it exited with {record.code}"
        return Evidence("exit record", told, record.at, "dead" if signal else None)

    def _as_stored(self, run_id: str) -> _Stored:
        """Return what the store says of a run, read again only if somebody has written since."""
        version = self._world.store.data_version()  # read first: the rows are at least as new
        kept = self._stored.get(run_id)
        if kept is None or kept.version != version:
            questions = questions_of(self._world.store.questions(run_id))
            kept = self._stored[run_id] = _Stored(version, self._world.store.agents(run_id), questions)
        return kept

    # --- looking ---

    def _look(self, agents: list[Agent]) -> list[Seen]:
        by_server: dict[TmuxOptions, list[Agent]] = {}
        for agent in agents:
            by_server.setdefault(self._rules.of(agent.run_id).server, []).append(agent)
        listed = {server: self._listed(mine) for server, mine in by_server.items()}
        stored = {run_id: self._as_stored(run_id) for run_id in {agent.run_id for agent in agents}}
        seen, looks = [], []
        for agent in agents:
            rules = self._rules.of(agent.run_id)
            panes, unlisted = listed[rules.server]
            pane = None if panes is None else panes.get(agent.launch or "")
            record = None if pane else self._exit_record(agent)
            asked = stored[agent.run_id].questions.get((agent.ticket, agent.name), NONE_ASKED)
            answered = panes is not None and agent.launch not in unlisted
            seen.append(Seen(agent, pane, answered, record, asked))
            if pane is not None:
                looks.append(Look(agent, rules.profile(agent.name), rules.terminals, pane))
        shown = self._gatherer.gather(looks)
        return [
            one._replace(shown=shown[one.pane.launch]) if one.pane and one.pane.launch in shown else one for one in seen
        ]

    def _listed(self, agents: Sequence[Agent]) -> tuple[dict[str, Pane] | None, Collection[str]]:
        """Return the panes of one server by launch, and the launches of agents that run without one.

        The panes are None when tmux does not answer. Agents outlive the loss of tmux's socket.
        """
        terminals = self._rules.of(agents[0].run_id).terminals
        panes = _panes(terminals)
        if panes is None:
            return None, ()
        missing = {
            one.launch: one.pid
            for one in agents
            if one.launch and one.pid and one.launch not in panes and self._exit_record(one) is None
        }
        unlisted = terminals.unlisted(missing) if missing else frozenset()
        if unlisted:
            panes = _panes(terminals) or panes
        return panes, unlisted - panes.keys()

    def _exit_record(self, agent: Agent) -> Exit | None:
        paths = self._folders.paths(agent.run_id, agent.ticket, agent.name)
        directory = self._folders.launch_directory(paths, agent.launch or "")
        return self._rules.of(agent.run_id).terminals.exit_record(directory)

    def _dropped(self, agent: Agent) -> tuple[Dropped, ...]:
        return self._folders.dropped(self._folders.paths(agent.run_id, agent.ticket, agent.name))

    def _is_abandoned(self, run_id: str) -> bool:
        """Return whether there are steps that are under way in the store, or wait for a driver, and there is none."""
        if not self._world.store.has_running_steps(run_id):
            # Steps that can be done are done by the next driver, unless that is left to a person.
            if not waits_for_a_person(self._rules.of(run_id).policy):
                return False
            if self._world.store.run(run_id).status not in SETTLING or not runnable(self._world.store.steps(run_id)):
                return False
        return not self._world.store.driven(run_id)

    def _give_a_last_chance(self, judged: Iterable[Judged]) -> None:
        """Ask git about those who would be called stalled now, where no supervisor does that all the time."""
        suspects = [
            one.seen.agent
            for one in judged
            if one.health.state == "stalled"
            and one.seen.pane is not None
            and not (one.seen.agent.health is not None and one.seen.agent.health.state == "stalled")
        ]
        if suspects and not self._world.store.driven(ROOT_SCOPE):
            from metawsm_rpc.engine import probing

            # What it finds is in the store; the transaction judges by that.
            probing.catch_up(self._world, suspects)

    # --- writing ---

    def _apply(self, transaction: Transaction, judged: Judged) -> None:
        seen = judged.seen
        # Between the look and this transaction somebody else may have moved or restarted it.
        now = transaction.agent(seen.agent.run_id, seen.agent.ticket, seen.agent.name)
        if not _is_still(now, seen.agent):
            return
        if seen.exit is not None or (seen.answered and seen.pane is None):
            self._ended(transaction, now, seen.exit)
        else:
            self._observed(transaction, judged if now == seen.agent else self._judge.judged(seen._replace(agent=now)))

    def _ended(self, transaction: Transaction, agent: Agent, record: Exit | None) -> None:
        policy = self._rules.of(agent.run_id).policy
        if record is not None:
            ends.exited(transaction, agent, policy, record, self._world.clock())
        else:
            why = "its tmux session is gone and left no exit record"
            ends.died(transaction, agent, policy, why, self._world.clock())

    def _receive(self, transaction: Transaction, dropped: Iterable[tuple[Agent, Dropped]]) -> None:
        for agent, item in dropped:
            mailbox.receive(self._world, transaction, agent, item)

    def _discard(self, dropped: Iterable[tuple[Agent, Dropped]]) -> None:
        for agent, item in dropped:
            self._folders.discard(self._folders.paths(agent.run_id, agent.ticket, agent.name), item.id)

    def _observed(self, transaction: Transaction, judged: Judged) -> None:
        seen = judged.seen
        key = (seen.agent.run_id, seen.agent.ticket, seen.agent.name)
        if seen.pane is not None:
            activity = timestamp(seen.pane.activity)
            if activity > (seen.agent.last_activity_at or ""):
                transaction.set_agent(*key, last_activity_at=activity)
            if seen.agent.pid is None:  # who started it could not say so any more
                transaction.set_agent(*key, pid=seen.pane.pid)
        transaction.set_health(*key, judged.health)
        event = _OBSERVED_STATUS.get(judged.health.state)
        if event is not None:  # `unknown` moves nothing
            transaction.move_agent(*key, event, message=judged.health.reason)

    def _interrupt_steps(self, run_id: str) -> None:
        """Say that steps were cut off whose driver is gone."""
        try:
            # With the lease: a driver that was only asleep finds that it has lost the run.
            lease = self._world.store.acquire(run_id)
        except BusyError:
            return  # somebody has taken it up since the look
        try:
            with self._world.store.transaction(lease) as transaction:
                interrupt_run(transaction, run_id, self._world.store.steps(run_id), self._rules.of(run_id).policy)
        except LostLeaseError:
            return  # to a stop, which says the same of them
        finally:
            self._world.store.release(lease)


def _is_still(now: Agent, seen: Agent) -> bool:
    """Return whether an agent is live, in the launch that was looked at."""
    return now.status in LIVE and now.launch == seen.launch


def _may_speak(agent: Agent) -> bool:
    return agent.status in LIVE or agent.status == "completed" or starts.is_begun(agent)


def _panes(terminals: Terminals) -> dict[str, Pane] | None:
    try:
        return {pane.launch: pane for pane in terminals.panes()}
    except (HostError, DependencyMissingError):
        # tmux is there but does not answer: nothing can be claimed, least of all a death.
        return None
