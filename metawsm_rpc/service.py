"""The façade: one method for each verb, plain data in and out.

What a method answers is what the protocol's verb of the same name answers; `domain.wire.wire` makes
the JSON. Methods raise the errors of `errors.py`. The engine is imported by the methods that need it:
a look at a run must not wait for what only driving one takes.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, get_args

from metawsm_rpc.domain.clock import timestamp
from metawsm_rpc.domain.models import SETTLED, Agent, Event, Run, RunDetail, RunStatus, Strategy
from metawsm_rpc.engine.holding import held
from metawsm_rpc.engine.sweeping import Sweeper
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import (
    AmbiguousError,
    GuidanceNotFoundError,
    InvalidParamsError,
    NotTrustedError,
    RunNotFoundError,
)
from metawsm_rpc.lazy import LazyModule
from metawsm_rpc.ports.store import ROOT_SCOPE

if TYPE_CHECKING:
    from metawsm_rpc import answers
    from metawsm_rpc.engine.closing import Closer
    from metawsm_rpc.engine.drives import Drives
    from metawsm_rpc.engine.supervision import OnChange, OnTrouble, Supervisor
    from metawsm_rpc.policy.migration import Migration
    from metawsm_rpc.policy.root_policy import RootPolicy
    from metawsm_rpc.ports.machine import Machine
else:
    answers = LazyModule("metawsm_rpc.answers")

_LOOK_SECONDS = 0.05
_SWEEP_SECONDS = 0.5


class Service:
    """Every verb on one root.

    `open_world` is called when state is first needed, and `has_state` says whether there is any:
    looking at an empty folder makes nothing there. One that is not `trusted` is only to be asked for
    what reads (`verbs.Verb.reads`), and tells what is stored: neither git nor tmux is asked.
    """

    def __init__(
        self,
        open_world: Callable[[], World],
        *,
        has_state: Callable[[], bool],
        make_state: Callable[[], None],
        machine: Machine,
        policy: RootPolicy,
        trusted: bool = True,
    ) -> None:
        self._open_world = open_world
        self._has_state = has_state
        self._make_state = make_state
        self._machine = machine
        self._root_policy = policy
        self._trusted = trusted
        self._making = threading.RLock()  # the server asks from many threads
        self._world: World | None = None
        self._sweeping: Sweeper | None = None
        self._driving: Drives | None = None
        self._supervising: Supervisor | None = None
        self._closers: dict[str, Closer] = {}

    # --- planning and starting ---

    def run(
        self,
        tickets: Sequence[str],
        *,
        repos: Sequence[str] | None = None,
        agents: Sequence[str] | None = None,
        strategy: Strategy | None = None,
        source: str | None = None,
        base_branch: str | None = None,
        run_id: str | None = None,
        dry_run: bool = False,
    ) -> answers.RunStarted:
        """Start agents on tickets; answers as soon as the plan is stored, while execution goes on."""
        from metawsm_rpc.engine import planning

        request = planning.RunRequest(
            tuple(tickets), _tuple(repos), _tuple(agents), strategy, source, base_branch, run_id, dry_run
        )
        self._check_free(run_id)
        planned = planning.Planner(self.world, self._root_policy.data()).plan(request)
        if planned.problems:
            raise planned.problems[0]
        new = planned.plan.run.run_id
        lease = self.world.store.acquire(new)
        try:
            with self.world.store.transaction(lease) as transaction:
                transaction.insert_plan(
                    planned.plan.run, planned.policy, planned.plan.steps, planned.plan.agents, planned.plan.workspaces
                )
                transaction.move_run(new, "plan")
                transaction.move_run(new, "pause" if dry_run else "start")
        except BaseException:
            self.world.store.release(lease)
            raise
        if dry_run:
            self.world.store.release(lease)
        else:
            try:
                self._drives.start(new, lease)
            except KeyboardInterrupt:
                from metawsm_rpc.engine import stopping

                stopping.stop(self.world, new)
                raise
        return answers.RunStarted(new, self.world.store.run(new).status, self.world.store.steps(new))

    def plan(
        self,
        tickets: Sequence[str],
        *,
        repos: Sequence[str] | None = None,
        agents: Sequence[str] | None = None,
        strategy: Strategy | None = None,
        source: str | None = None,
        base_branch: str | None = None,
        run_id: str | None = None,
    ) -> answers.PlanShown:
        """Show what a run would do, and what stands in its way; stores nothing."""
        from metawsm_rpc.engine import planning

        request = planning.RunRequest(
            tuple(tickets), _tuple(repos), _tuple(agents), strategy, source, base_branch, run_id
        )
        planned = planning.Planner(self.world, self._root_policy.data()).plan(request)
        return answers.PlanShown(planned.plan.steps, tuple(map(planning.as_problem, planned.problems)))

    # --- looking ---

    def runs(
        self,
        *,
        tickets: Sequence[str] = (),
        statuses: Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
    ) -> answers.RunsListed:
        """List the runs of this root, newest first."""
        if not self._has_state():
            return answers.RunsListed((), 0, 0)
        self._look()
        rows, total, seq = self.world.store.summaries(tickets=tickets, statuses=statuses, limit=limit, offset=offset)
        return answers.RunsListed(rows, total, seq)

    def status(self, run_id: str | None = None, *, ticket: str | None = None) -> RunDetail:
        """Show one run whole, reconciled with the world."""
        from metawsm_rpc.engine import workspaces

        run = self.select(run_id, ticket)
        if self._trusted:
            workspaces.refresh(self.world, run)  # first: progress that git shows counts in the look
        self._look([run.run_id])
        return self.world.store.detail(run.run_id)

    def wait(
        self,
        run_id: str | None = None,
        *,
        ticket: str | None = None,
        until: Sequence[str] = (),
        timeout: float | None = None,
    ) -> answers.Waited:
        """Wait until a run comes to one of these statuses; by default until it is settled."""
        if unknown := set(until) - set(get_args(RunStatus)):
            raise InvalidParamsError(
                f"No run ever is {' or '.join(sorted(unknown))}; there are: {', '.join(get_args(RunStatus))}."
            )
        run = self.select(run_id, ticket)
        wanted = frozenset(until) or SETTLED
        deadline = None if timeout is None else time.monotonic() + timeout
        for _ in self._looks(deadline):
            run = self.world.store.run(run.run_id)
            if run.status in wanted:
                return answers.Waited(run, reached=True)
        return answers.Waited(run, reached=False)

    def events(self, *, since: int = 0, limit: int | None = None, run_id: str | None = None) -> answers.EventsListed:
        """List what happened, in order."""
        if not self._has_state():
            return answers.EventsListed((), 0)
        found = None if run_id is None else self.world.store.find_run(run_id).run_id
        return answers.EventsListed(self.world.store.events(since, limit, found), self.world.store.seq())

    def explain(self, run_id: str | None = None, *, agent: str, ticket: str | None = None) -> answers.Explained:
        """Say why an agent is judged as it is: all that was looked at."""
        run = self.select(run_id, ticket)
        self._look([run.run_id])
        found = self.agent(run, agent, ticket)
        verdict = self._sweeper.explain(found) if self._trusted else None
        evidence = verdict.evidence if verdict else ()
        return answers.Explained(
            found.health, tuple(answers.Observation(e.source, e.observed, timestamp(e.at), e.says) for e in evidence)
        )

    def transcript(
        self,
        run_id: str | None = None,
        *,
        agent: str,
        ticket: str | None = None,
        offset: int = 0,
        limit: int = 65536,
        raw: bool = False,
    ) -> answers.TranscriptPart:
        """Return what an agent printed; a negative offset counts from the end."""
        from metawsm_rpc.engine import talking

        if limit < 0:
            raise InvalidParamsError(f"A limit counts bytes, so it cannot be {limit}.")
        run = self.select(run_id, ticket)
        found = self.agent(run, agent, ticket)
        return answers.TranscriptPart(*talking.transcript(self.world, found, offset=offset, limit=limit, raw=raw))

    def attach(self, run_id: str | None = None, *, agent: str, ticket: str | None = None) -> answers.Attachment:
        """Return the command that shows an agent's terminal.

        Raises `IllegalTransitionError` when it has ended.
        """
        from metawsm_rpc.engine import talking

        run = self.select(run_id, ticket)
        return answers.Attachment(*talking.attachment(self.world, self.agent(run, agent, ticket)))

    def diff(
        self,
        run_id: str | None = None,
        *,
        ticket: str | None = None,
        repo: str | None = None,
        patch: bool = False,
    ) -> answers.Diffs:
        """Show the committed and uncommitted work of a run against its bases."""
        from metawsm_rpc.engine import workspaces

        run = self.select(run_id, ticket)
        return answers.Diffs(workspaces.diff(self.world, run, ticket=ticket, repo=repo, patch=patch))

    # --- moving ---

    def resume(self, run_id: str | None = None, *, ticket: str | None = None) -> answers.RunAnswer:
        """Let a run go on; answers once that is recorded, while execution goes on."""
        from metawsm_rpc.engine import redoing

        run = self._at_rest(run_id, ticket)
        self._sweeper.sweep([run.run_id])
        self._drives.holding(run.run_id, lambda lease: redoing.resume(self.world, run.run_id, lease))
        return self._answer(run)

    def stop(self, run_id: str | None = None, *, ticket: str | None = None) -> answers.RunAnswer:
        """Stop a run: cut off what is under way and end its sessions; answers when that is done."""
        from metawsm_rpc.engine import stopping

        run = self.select(run_id, ticket)
        stopping.stop(self.world, run.run_id)
        return self._answer(run)

    def complete(
        self, run_id: str | None = None, *, ticket: str | None = None, agent: str | None = None
    ) -> answers.RunAnswer:
        """Declare a run, or one of its agents, completed by hand."""
        from metawsm_rpc.engine import redoing

        run = self._at_rest(run_id, ticket)
        self._sweeper.sweep([run.run_id])
        with held(self.world, run.run_id) as lease:
            redoing.complete(self.world, run.run_id, lease, name=agent, ticket=_own(run, ticket, agent))
        return self._answer(run)

    def restart(
        self, run_id: str | None = None, *, ticket: str | None = None, agent: str | None = None
    ) -> answers.AgentsAnswer:
        """Start agents again: the one named, else those that are dead or failed; answers when done."""
        from metawsm_rpc.engine import redoing

        run = self._at_rest(run_id, ticket)
        self._sweeper.sweep([run.run_id])
        wanted: list[Agent] = []
        self._drives.holding(
            run.run_id,
            lambda lease: wanted.extend(
                redoing.restart(self.world, run.run_id, lease, name=agent, ticket=_own(run, ticket, agent))
            ),
        )
        self._drives.wait(run.run_id)
        keys = {(agent.ticket, agent.name) for agent in wanted}
        now = self.world.store.agents(run.run_id)
        return answers.AgentsAnswer(tuple(agent for agent in now if (agent.ticket, agent.name) in keys))

    def iterate(
        self,
        run_id: str | None = None,
        *,
        feedback: str,
        ticket: str | None = None,
        agent: str | None = None,
    ) -> answers.RunAnswer:
        """Let agents go on with feedback: it is added to their brief; who is at work is sent it, who is not starts again.

        What was sent, or why it was not, is an event.
        """
        from metawsm_rpc.engine import redoing

        run = self._at_rest(run_id, ticket)
        self._sweeper.sweep([run.run_id])
        live: list[Agent] = []
        self._drives.holding(
            run.run_id,
            lambda lease: live.extend(
                redoing.iterate(
                    self.world, run.run_id, lease, feedback=feedback, name=agent, ticket=_own(run, ticket, agent)
                )
            ),
        )
        redoing.tell(self.world, live, feedback)
        return self._answer(run)

    def retry_step(self, run_id: str | None = None, *, ticket: str | None = None, index: int) -> answers.StepAnswer:
        """Try a failed step again; answers once that is recorded, while execution goes on."""
        from metawsm_rpc.engine import redoing

        run = self._at_rest(run_id, ticket)
        self._sweeper.sweep([run.run_id])
        self._drives.holding(run.run_id, lambda lease: redoing.retry_step(self.world, run.run_id, lease, index))
        return self._step(run, index)

    def skip_step(self, run_id: str | None = None, *, ticket: str | None = None, index: int) -> answers.StepAnswer:
        """Go on without a step; what waited for it can run now."""
        from metawsm_rpc.engine import redoing

        run = self._at_rest(run_id, ticket)
        self._sweeper.sweep([run.run_id])
        self._drives.holding(run.run_id, lambda lease: redoing.skip_step(self.world, run.run_id, lease, index))
        return self._step(run, index)

    def sync(
        self,
        run_id: str | None = None,
        *,
        ticket: str | None = None,
        strategy: Literal["merge", "rebase"] = "merge",
    ) -> answers.SyncAnswer:
        """Bring the bases into the workspaces of a run; conflicts are left for agent or person."""
        from metawsm_rpc.engine import workspaces

        run = self.select(run_id, ticket)
        with held(self.world, run.run_id) as lease:
            run = self.world.store.run(run.run_id)
            return answers.SyncAnswer(workspaces.sync(self.world, run, lease, ticket=ticket, strategy=strategy))

    def close(
        self, run_id: str | None = None, *, ticket: str | None = None, dry_run: bool = False
    ) -> answers.CloseAnswer:
        """Merge all repositories of a run, or none.

        Raises `CloseBlockedError` when something blocks and this is no rehearsal.
        """
        from metawsm_rpc.domain.charts import advance
        from metawsm_rpc.domain.lifecycles import RUN
        from metawsm_rpc.engine.closing import Closer

        run = self.select(run_id, ticket)
        if dry_run:
            outcome = Closer(self.world, run.run_id).rehearse()
            return answers.CloseAnswer(run, outcome.merges, outcome.blocked)
        self._sweeper.sweep([run.run_id])
        run = self.world.store.run(run.run_id)
        advance(RUN, run.status, "close", entity=f"run {run.run_id}")
        if run.status == "closed":
            return answers.CloseAnswer(run, (), ())
        with held(self.world, run.run_id) as lease:
            if self.world.store.run(run.run_id).status == "closed":  # by somebody else, a moment ago
                return answers.CloseAnswer(self.world.store.run(run.run_id), (), ())
            closer = self._closers[run.run_id] = Closer(self.world, run.run_id)
            try:
                outcome = closer.close(lease)
            finally:
                del self._closers[run.run_id]
        return answers.CloseAnswer(self.world.store.run(run.run_id), outcome.merges, outcome.blocked)

    def interrupt_close(self, run_id: str) -> None:
        """Let a close that is under way here give up, which it does until its decision; harmless otherwise."""
        if closer := self._closers.get(run_id):
            closer.interrupt()

    def look_at_blocked(self, run_id: str) -> None:
        """Look whether what blocked the last close of a run is still in the way, and keep what is."""
        from metawsm_rpc.engine import blocked

        blocked.look_again(self.world, run_id)

    def cleanup(
        self, run_id: str | None = None, *, ticket: str | None = None, keep_workspaces: bool = False
    ) -> answers.Cleaned:
        """Put away what a settled run left: sessions, and worktrees unless they are to be kept."""
        from metawsm_rpc.engine import stopping, tidying

        run = self._at_rest(run_id, ticket)
        with held(self.world, run.run_id) as lease:
            with self.world.store.transaction(lease) as transaction:
                transaction.move_run(run.run_id, "cleanup")
            stopping.end_sessions(self.world, self.world.store.agents(run.run_id), lease)
            stopping.end_strays(self.world, run.run_id)
            if keep_workspaces:
                return answers.Cleaned(*tidying.spare(self.world, run))
            return answers.Cleaned(*tidying.tidy(self.world, run, lease))

    # --- agents and their people ---

    def send(
        self, run_id: str | None = None, *, agent: str, ticket: str | None = None, text: str, force: bool = False
    ) -> answers.Sent:
        """Type a text into an agent's terminal and send it; not while the agent waits for a decision, unless forced.

        Raises `IllegalTransitionError` when the terminal is closed.
        """
        from metawsm_rpc.engine import sending

        run = self.select(run_id, ticket)
        self._sweeper.sweep([run.run_id])
        return answers.Sent(*sending.send(self.world, self.agent(run, agent, ticket), text, forced=force))

    def signal(
        self,
        run_id: str,
        *,
        ticket: str,
        agent: str,
        launch: str,
        type: str,  # noqa: A002 - the wire name
        message: str | None = None,
        choices: Sequence[str] = (),
        data: Mapping[str, Any] | None = None,
    ) -> answers.SignalAnswer:
        """Take what an agent says of itself: progress, waiting, working, guidance, done or failed."""
        from metawsm_rpc.engine import signals

        found = signals.Signal(run_id, ticket, agent, launch, signals.check_type(type), message, tuple(choices), data)
        if not self._has_state():
            raise RunNotFoundError(f"There is no run {run_id!r} here; a signal belongs to a run of its root.")
        return answers.SignalAnswer(*signals.receive(self.world, found))

    def answer(self, guidance_id: str, answer: str) -> answers.GuidanceAnswer:
        """Answer an agent's question.

        Raises `IllegalTransitionError` when it is not open any more.
        """
        from metawsm_rpc.engine import guidance

        if not self._has_state():
            raise GuidanceNotFoundError(f"There is no question {guidance_id!r} here: this root has no runs.")
        self._sweeper.sweep([self.world.store.guidance(guidance_id).run_id])
        return answers.GuidanceAnswer(*guidance.answer(self.world, guidance_id, answer))

    @contextmanager
    def asking(
        self,
        run_id: str,
        *,
        ticket: str,
        agent: str,
        launch: str,
        message: str | None,
        choices: Sequence[str] = (),
        data: Mapping[str, Any] | None = None,
    ) -> Iterator[answers.Asked]:
        """Ask for an agent and wait for the answer, which counts as delivered when the block has ended."""
        from metawsm_rpc.engine import guidance, signals

        if not self._has_state():
            raise RunNotFoundError(f"There is no run {run_id!r} here; a question belongs to a run of its root.")
        question = signals.Signal(run_id, ticket, agent, launch, "guidance", message, tuple(choices), data)
        with guidance.asking(self.world, question) as (event, asked):
            yield answers.Asked(event, asked.id if asked else None, asked)

    # --- tickets, policy, health of the set-up ---

    def tickets(self, *, status: str | None = None) -> answers.TicketsListed:
        """List the tickets of this root and the runs that they were in."""
        runs: dict[str, list[str]] = {}
        if self._has_state():
            for run in self.world.store.summaries()[0]:
                for ticket in run.tickets:
                    runs.setdefault(ticket, []).append(run.run_id)
        found, problems = self._machine.tickets(self._root_policy.data()).all_and_problems()
        return answers.TicketsListed(
            tuple(
                answers.TicketRow(
                    one.ticket, one.title, one.status, one.path, tuple(runs.get(one.ticket, ())), one.line, one.column
                )
                for one in found
                if status in (None, one.status)
            ),
            problems,
        )

    def create_ticket(
        self, ticket: str, *, title: str | None = None, topics: Sequence[str] = ()
    ) -> answers.TicketAnswer:
        """Make a ticket's folder."""
        made = self._machine.tickets(self._root_policy.data()).create(ticket, title=title, topics=topics)
        return answers.TicketAnswer(made.ticket, made.path)

    def close_ticket(self, ticket: str) -> answers.TicketAnswer:
        """Set a ticket's status to complete."""
        closed = self._machine.tickets(self._root_policy.data()).close(ticket, changelog="Closed by hand with metawsm.")
        return answers.TicketAnswer(closed.ticket, closed.path)

    def policy(self) -> answers.PolicyAnswer:
        """Show the policy that is in force, or all that is wrong with it."""
        return answers.PolicyAnswer(*self._root_policy.show())

    def policy_init(self, *, force: bool = False) -> answers.PathAnswer:
        """Write a policy to start from."""
        self._make_state()
        return answers.PathAnswer(self._root_policy.init(force=force))

    def policy_migrate(self) -> Migration:
        """Bring a policy of the Go metawsm up to date, with a backup beside it."""
        return self._root_policy.migrate()

    def content(self, uri: str) -> answers.Document:
        """Return the text of a document: `metawsm:/run/<runId>`, `plan`, `transcript`, `diff` and others."""
        from metawsm_rpc.pages import address, library

        found = address.parse(uri)
        if found.kind == "diff" and not self._trusted:
            raise NotTrustedError("A diff asks git, which the folder can make execute things; trust it first.")
        return library.document(found, self)

    def doctor(self) -> answers.Checks:
        """Check what metawsm needs on this machine."""
        from metawsm_rpc.engine import diagnosing

        shown = self._root_policy.show()
        return answers.Checks(diagnosing.diagnose(self._machine, shown.policy, shown.problems))

    # --- shared ---

    @property
    def world(self) -> World:
        """The engine's surroundings, opened at first use."""
        with self._making:
            if self._world is None:
                self._world = self._open_world()
            return self._world

    @property
    def _sweeper(self) -> Sweeper:
        with self._making:
            if self._sweeping is None:
                self._sweeping = Sweeper(self.world)
            return self._sweeping

    @property
    def _drives(self) -> Drives:
        with self._making:
            if self._driving is None:
                from metawsm_rpc.engine.drives import Drives

                self._driving = Drives(self.world)
            return self._driving

    @contextmanager
    def supervise(
        self,
        on_change: OnChange = lambda _: None,
        on_trouble: OnTrouble = lambda _: None,
    ) -> Iterator[Supervisor]:
        """Supervise the root while the block lasts, or follow while another process does.

        `on_change` gets all events from now on, in order, whoever wrote them; `on_trouble` what keeps
        the supervisor from its work. Both are called from a thread of its own. Nothing is made or
        executed before there is any state.
        """
        from metawsm_rpc.engine.supervision import Supervisor

        supervisor = Supervisor(
            self.world,
            self._sweeper,
            self._drives,
            has_state=self._has_state,
            on_change=on_change,
            on_trouble=on_trouble,
        )
        supervisor.start()
        self._supervising = supervisor
        try:
            yield supervisor
        finally:
            self._supervising = None
            supervisor.stop()

    def supervised_by(self) -> int | None:
        """Return the pid of the process that supervises this root, None while none does."""
        return self.world.store.holder(ROOT_SCOPE) if self._has_state() else None

    def has_state(self) -> bool:
        """Return whether there is anything at this root to look at; looking makes nothing."""
        return self._has_state()

    def _look(self, run_ids: Sequence[str] | None = None) -> None:
        """Bring some runs up to date with the machine, or all that may move; not where nothing may be executed."""
        if self._trusted and not (self._supervising is not None and self._supervising.is_fresh()):
            self._sweeper.sweep(run_ids)

    def sweep(self, run_id: str) -> None:
        """Bring one run up to date with the machine."""
        self._sweeper.sweep([run_id])

    def finish(self, run_id: str, timeout: float | None = None) -> bool:
        """Wait until this process has driven a run as far as it goes; False when the time came first."""
        return self._drives.wait(run_id, timeout)

    def follow(self, run_id: str, since: int) -> Iterator[Event]:
        """Yield the run's events after `since` as they come, until this process has driven it as far as it goes."""
        over = False
        while True:
            fresh = self.world.store.events(since, run_id=run_id)
            yield from fresh
            since = fresh[-1].seq if fresh else since
            if over and not fresh:
                return
            over = self._drives.wait(run_id, _LOOK_SECONDS)

    def shut_down(self) -> None:
        """Cut off the drives of this process and close the store; agents go on."""
        if self._driving is not None:
            self._driving.close()
        if self._world is not None:
            self._world.store.close()

    def _looks(self, deadline: float | None) -> Iterator[None]:
        """Sweep again and again: at once when somebody has written, else twice a second; until the deadline."""
        store = self.world.store
        while True:
            before = store.data_version()
            self._look()
            yield
            until = time.monotonic() + _SWEEP_SECONDS
            while store.data_version() == before and time.monotonic() < until:
                if deadline is not None and time.monotonic() >= deadline:
                    return
                time.sleep(_LOOK_SECONDS)
            if deadline is not None and time.monotonic() >= deadline:
                return

    def select(self, run_id: str | None, ticket: str | None) -> Run:
        """Return the run that was meant: by id or prefix, the newest of a ticket, or the only open one.

        A ticket beside a run id narrows what is done inside the run.
        """
        if not self._has_state():
            raise RunNotFoundError("There are no runs here yet; `metawsm run --ticket T` starts one.")
        store = self.world.store
        if run_id is not None:
            run = store.find_run(run_id)
            if ticket is not None and ticket not in run.tickets:
                raise InvalidParamsError(f"Run {run.run_id} has no ticket {ticket!r}; it has {', '.join(run.tickets)}.")
            return run
        if ticket is not None:
            newest = store.newest_run(ticket)
            if newest is None:
                raise RunNotFoundError(f"No run has the ticket {ticket!r}; `metawsm runs` lists the runs.")
            return newest
        rows, _, _ = store.summaries()
        open_runs = [row.run_id for row in rows if row.status != "closed"] or [row.run_id for row in rows[:1]]
        if not open_runs:
            raise RunNotFoundError("There are no runs here yet; `metawsm run --ticket T` starts one.")
        if len(open_runs) > 1:
            raise AmbiguousError(f"Say which run: {', '.join(open_runs[:5])}.", details=open_runs)
        return store.run(open_runs[0])

    def _check_free(self, run_id: str | None) -> None:
        """Raise `InvalidParamsError` for the id of a run that there is: its driver is not asked for its lease."""
        if run_id is not None and self._has_state():
            with contextlib.suppress(RunNotFoundError):
                self.world.store.run(run_id)
                raise InvalidParamsError(f"A run {run_id} exists already; choose another --run-id, or resume it.")

    def _at_rest(self, run_id: str | None, ticket: str | None) -> Run:
        """Return the run that was meant, after a stop of it that was cut off, or is under way, has come to its end."""
        run = self.select(run_id, ticket)
        if run.status == "stopping":
            from metawsm_rpc.engine import stopping

            stopping.stop(self.world, run.run_id)
        return run

    def agent(self, run: Run, name: str, ticket: str | None) -> Agent:
        """Return one agent of a run. Raises `AgentNotFoundError`, or `AmbiguousError` when a ticket is needed."""
        from metawsm_rpc.engine import redoing

        found = redoing.chosen(self.world.store.agents(run.run_id), name=name, ticket=ticket)
        if len(found) > 1:
            listed = ", ".join(agent.ticket for agent in found)
            raise AmbiguousError(f"{name} works on more than one ticket of run {run.run_id}: say which ({listed}).")
        return found[0]

    def _answer(self, run: Run) -> answers.RunAnswer:
        return answers.RunAnswer(self.world.store.run(run.run_id))

    def _step(self, run: Run, index: int) -> answers.StepAnswer:
        (step,) = (step for step in self.world.store.steps(run.run_id) if step.index == index)
        return answers.StepAnswer(step)


def _tuple(items: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if items is None else tuple(items)


def _own(run: Run, ticket: str | None, agent: str | None) -> str | None:
    """Return the ticket that narrows a verb: one that only selected a run of one ticket does not."""
    return None if agent is None and run.tickets == (ticket,) else ticket
