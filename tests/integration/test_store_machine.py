"""Whatever is asked, seen and said, in any order, with failures and deaths in between: the rules hold.

A real store and the real engine on a machine of dictionaries. After every step the invariants of the
lifecycles and of the store are checked, and at the end that everything still comes to its end.
"""

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

from fake_machine import FakeMachine, Faults, Killed, MortalStore
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from run_support import Clock, plan

from metawsm_rpc.domain import lifecycles
from metawsm_rpc.domain.charts import Chart
from metawsm_rpc.domain.models import LIVE, Run, RunDetail
from metawsm_rpc.domain.plan import PlannedSetup
from metawsm_rpc.domain.settle import settle
from metawsm_rpc.engine import guidance, redoing, signals, stopping
from metawsm_rpc.engine.closing import Closer
from metawsm_rpc.engine.driving import Drive
from metawsm_rpc.engine.sweeping import Sweeper
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import InternalError, MetawsmError
from metawsm_rpc.policy.model import Policy
from metawsm_rpc.ports.store import Lease

POLICY = Policy(
    agent_profiles=({"name": "interactive", "runner": "shell", "command": ["talk"], "completes_on": "signal"},),  # type: ignore[arg-type] # as written in the file
    agents=(  # type: ignore[arg-type]
        {"name": "a", "profile": "shell", "command": ["work"]},
        {"name": "b", "profile": "interactive"},
    ),
    workspace={"setup": [{"run": "make", "on_failure": "warn"}]},  # type: ignore[arg-type]
    execution={"stop_grace_seconds": 0},  # type: ignore[arg-type]
).model_dump(mode="json")

CHARTS: dict[str, Chart] = {"run": lifecycles.RUN, "step": lifecycles.STEP, "agent": lifecycles.AGENT}
ARROWS = {
    kind: {(source, move.event, target) for source, move, target in chart.edges()} for kind, chart in CHARTS.items()
}


class RunOnAFragileMachine(RuleBasedStateMachine):
    """One run, from its plan to wherever the verbs lead."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = Clock()
        self.faults = Faults()
        self.machine = FakeMachine(self.clock, self.faults)
        self.counter = itertools.count(1)
        self.checked = 0
        self.shown: dict[tuple[str, str], str] = {}
        self.fence = 0
        self.open()

    def open(self) -> None:
        """Begin as a new process does."""
        self.faults.clear()
        self.store = MortalStore(self.folder, self.clock, self.faults)
        self.world = World(self.store, self.machine, self.clock, lambda size: next(self.counter).to_bytes(size, "big"))  # type: ignore[arg-type] # the fake has what is used
        self.sweeper = Sweeper(self.world)

    @initialize(chance=st.randoms(use_true_random=True))
    def plan(self, chance: Random) -> None:
        dry = chance.random() < 0.1
        made = plan(
            ["T-1", "T-2"][: chance.randint(1, 2)],
            repos=["app", "lib"][: chance.randint(1, 2)],
            agents=("a", "b"),
            setup=(PlannedSetup("make", "warn"),) * chance.randint(0, 1),
            dry_run=dry,
        )
        with self.store.transaction() as transaction:
            transaction.insert_plan(made.run, POLICY, made.steps, made.agents, made.workspaces)
            transaction.move_run("r1", "plan")
            transaction.move_run("r1", "pause" if dry else "start")
        self.bases = dict.fromkeys(
            ((repo.source, repo.base) for workspace in made.workspaces for repo in workspace.repos), "0"
        )
        self.deaths = (chance.randint(1, 60), chance.randint(1, 30))
        tasks = chance.choice([0, 3, 30, 30, 30])
        self.held(lambda lease: self.drive_on(lease, tasks, chance))()

    # --- helpers ---

    def attempt(self, act: Callable[[], object]) -> bool:
        """Do something that may be refused, or die on the way; a new process follows a dead one."""
        try:
            act()
        except InternalError:
            raise
        except (MetawsmError, Killed):
            done = False
        else:
            done = True
        if self.faults.killed:
            self.store.close()
            self.open()
        return done

    def held(self, act: Callable[[Lease], object]) -> Callable[[], None]:
        """Return an act that takes the run's lease for as long as it lasts."""

        def holding() -> None:
            lease = self.store.acquire("r1")
            assert lease.fence > self.fence
            self.fence = lease.fence
            try:
                act(lease)
            finally:
                if not self.faults.killed:
                    self.store.release(lease)

        return holding

    @property
    def run_now(self) -> Run:
        return self.store.run("r1")

    # --- what can happen ---

    @rule(chance=st.randoms(use_true_random=True))
    def go_on(self, chance: Random) -> None:
        """Let one thing happen. Chance alone chooses: it comes further into a run than a search would."""
        act = chance.choices([self.drive, self.sweep, self.ask, self.speak, self.happen], [3, 3, 5, 5, 2])[0]
        note(f"--- {act.__name__}")
        note(f"    {act(chance)}")

    def drive(self, chance: Random) -> object:
        """Let a process drive the run for a while."""
        fault, tasks = self.arm(chance), chance.choice([1, 3, 30])
        self.attempt(self.held(lambda lease: self.drive_on(lease, tasks, chance)))
        return fault, tasks

    def drive_on(self, lease: Lease, tasks: int, chance: Random) -> bool:
        """Carry out so many tasks; answers whether none is left."""
        drive = Drive(self.world, "r1", lease)
        for _ in range(tasks):
            ready = drive._ready(())
            if not ready:
                drive._roll_back_failed()
                return True
            drive._perform(chance.choice(ready))
        return False

    def sweep(self, chance: Random) -> object:
        """Look at the agents."""
        fault = self.arm(chance)
        self.attempt(self.sweeper.sweep)
        return fault

    def ask(self, chance: Random) -> object:
        """Let a person ask for something."""
        world, fault = self.world, self.arm(chance)
        name, index = chance.choice([None, "a", "b"]), chance.randrange(12)
        acts: dict[str, Callable[[Lease], object]] = {
            "resume": lambda lease: redoing.resume(world, "r1", lease),
            "restart": lambda lease: redoing.restart(world, "r1", lease, name=name, ticket=None),
            "iterate": lambda lease: redoing.iterate(world, "r1", lease, feedback="more", name=name, ticket=None),
            "retry_step": lambda lease: redoing.retry_step(world, "r1", lease, index),
            "skip_step": lambda lease: redoing.skip_step(world, "r1", lease, index),
            "complete": lambda lease: redoing.complete(world, "r1", lease, name=name, ticket=None),
            "close": lambda lease: Closer(world, "r1").close(lease),
        }
        verb = chance.choice([*acts, "stop", "answer", "close"])
        if verb == "stop":
            if self.attempt(lambda: stopping.stop(self.world, self.sweeper, "r1")) and self.run_now.status == "stopped":
                assert not self.machine.fake_terminals.sessions
        elif verb == "answer":
            question = _one_of(chance, self.store.detail("r1").guidance)
            self.attempt(lambda: question and guidance.answer(self.world, question.id, "this"))
        else:
            self.attempt(self.held(acts[verb]))
        return fault, verb, name, index

    def speak(self, chance: Random) -> object:
        """Let an agent say something, by command or by drop box."""
        agents = self.store.agents("r1")
        agent = chance.choice([agent for agent in agents if agent.status in LIVE] or agents)
        launch = chance.choices([agent.launch, "an earlier one"], [9, 1])[0]
        what = chance.choice(["progress", "waiting", "working", "guidance", "done", "done", "failed"])
        if launch is None:
            return "nobody"
        said = signals.Signal("r1", agent.ticket, agent.name, launch, what, message="text", choices=("this",))  # type: ignore[arg-type] # one of them
        if chance.random() < 0.7:
            self.attempt(lambda: signals.receive(self.world, said))
            if said.launch != agent.launch:
                assert self.store.agents("r1") == agents
            return said
        text = chance.choice([signals.to_text(said)] * 4 + ["", "[1]", "null", '{"type": 1}', '"\\ud800"'])
        paths = self.machine.fake_folders.paths("r1", agent.ticket, agent.name)
        self.machine.fake_folders.boxes.setdefault(paths.drop_box, {})[f"{next(self.counter):05}"] = text
        return "dropped", text

    def happen(self, chance: Random) -> object:
        """Let something happen to the machine."""
        terminals, folders = self.machine.fake_terminals, self.machine.fake_folders
        session, worktree = _one_of(chance, terminals.sessions), _one_of(chance, folders.worktrees)
        what = chance.choice(["time", "exit", "exit", "vanish", "print", "hang", "lose a worktree", "move a base"])
        if what == "time":
            self.clock.now += chance.choice([0.5, 5, 301, 1000])
        elif what == "hang":
            terminals.answers = not terminals.answers
        elif what == "lose a worktree" and worktree:
            folders.worktrees.discard(worktree)
        elif what == "move a base" and self.run_now.status != "closing":
            self.machine.bases.commit_by_hand(*chance.choice(sorted(self.bases)))
        elif what == "exit" and session:
            terminals.end_by_itself(session, chance.choice([0, 1, 137]))
        elif what == "vanish" and session:
            terminals.vanish(session)
        elif what == "print" and session:
            terminals.print(session)
        return what, session, worktree

    def arm(self, chance: Random) -> object:
        """Choose what will go wrong, and when, in what is done next."""
        kind: Any = chance.choice([None, None, "kill", "kill", "refuse", "interrupt"])
        countdown = chance.randint(1, 15)
        self.faults.arm(kind, countdown)
        return kind and (kind, countdown)

    # --- what always holds ---

    @invariant()
    def the_rules_hold(self) -> None:
        detail = self.store.detail("r1")
        assert detail.seq == self.store.seq()
        if detail.run.status in lifecycles.SETTLING:
            assert detail.run.status == settle(detail.steps, detail.agents, detail.guidance)
        self.check_events()
        self.check_that_events_add_up_to(detail)
        self.check_agents(detail)
        self.check_that_every_base_is_merged_or_none(detail)

    def check_events(self) -> None:
        """Events have no gap, and tell of legal moves only."""
        new = self.store.events(self.checked)
        assert [event.seq for event in new] == list(range(self.checked + 1, self.store.seq() + 1))
        for event in new:
            key = (event.entity, event.entity_id)
            chart = CHARTS.get(event.entity)
            if chart is None or event.to is None or event.type == "health":
                continue
            if event.type != "create":
                assert event.from_ == self.shown.get(key, chart.initial)
                assert (event.from_, event.type, event.to) in ARROWS[event.entity]
            self.shown[key] = event.to
        self.checked += len(new)

    def check_that_events_add_up_to(self, detail: RunDetail) -> None:
        assert self.shown["run", "r1"] == detail.run.status
        for step in detail.steps:
            assert self.shown.get(("step", str(step.index)), "pending") == step.status
        for agent in detail.agents:
            assert self.shown.get(("agent", f"{agent.ticket}/{agent.name}"), "pending") == agent.status

    def check_agents(self, detail: RunDetail) -> None:
        """Nobody lives, moves or is waited for in a run that is over; who lives is judged."""
        live = {(agent.ticket, agent.name) for agent in detail.agents if agent.status in LIVE}
        assert all((one.ticket, one.agent) in live for one in detail.guidance if one.status == "pending")
        if detail.run.status in ("completed", "failed", "stopped", "closed", "paused"):
            assert not live
            assert not [agent for agent in detail.agents if agent.due]
            assert not [step for step in detail.steps if step.status == "running"]
        for agent in detail.agents:
            assert (agent.health is not None) == (agent.status in LIVE or agent.status == "dead")

    def check_that_every_base_is_merged_or_none(self, detail: RunDetail) -> None:
        merged = {target for target in self.bases if "T-" in self.machine.bases.head(*target)}
        if detail.run.status == "closed":
            sources = {repo.name: (repo.source, repo.base) for one in detail.workspaces for repo in one.repos}
            made = [step for step in detail.steps if step.kind == "create_workspace" and step.status == "done"]
            assert merged == {sources[step.repo or ""] for step in made}
        elif detail.run.status != "closing":
            assert not merged
        if detail.run.status != "closing":
            for target in self.bases:
                assert self.machine.bases.checkout(*target) == self.machine.bases.head(*target)

    # --- the end ---

    def teardown(self) -> None:
        try:
            if self.store.seq():
                self.bring_to_an_end()
        finally:
            self.store.close()
            shutil.rmtree(self.folder)

    def bring_to_an_end(self) -> None:
        """Let new processes on a sound machine finish whatever was begun, the first of them dying at it."""
        self.machine.fake_terminals.answers = True
        for countdown in self.deaths:
            self.store.close()
            self.open()
            self.faults.arm("kill", countdown)
            self.attempt(self.finish)
            self.the_rules_hold()
        self.faults.clear()
        self.finish()
        assert self.run_now.status == "closed"
        assert not self.machine.fake_terminals.sessions
        self.the_rules_hold()

    def finish(self) -> None:
        if self.run_now.status == "stopping":
            stopping.stop(self.world, self.sweeper, "r1")
        self.sweeper.sweep()
        if self.run_now.status in ("paused", "failed", "stopped", "running", "awaiting_guidance"):
            self.held(self.resume_and_drive)()
        for agent in self.store.agents("r1"):
            if agent.status in LIVE:
                signals.receive(self.world, signals.Signal("r1", agent.ticket, agent.name, agent.launch or "", "done"))
        if self.run_now.status == "failed":
            self.held(lambda lease: redoing.complete(self.world, "r1", lease, name=None, ticket=None))()
        if self.run_now.status in ("completed", "closing"):
            self.held(lambda lease: Closer(self.world, "r1").close(lease))()

    def resume_and_drive(self, lease: Lease) -> None:
        redoing.resume(self.world, "r1", lease)
        assert self.drive_on(lease, 60, Random(0)), "the drive does not come to an end"


def _one_of(chance: Random, items: Iterable[Any]) -> Any:
    ordered = sorted(items)
    return chance.choice(ordered) if ordered else None


RunOnAFragileMachine.TestCase.settings = settings(
    max_examples=50,
    stateful_step_count=40,
    deadline=None,
    # What was noted tells the story; to make it shorter could take minutes.
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestRunOnAFragileMachine = RunOnAFragileMachine.TestCase
