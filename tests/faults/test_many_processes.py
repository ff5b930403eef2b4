"""Several processes issue random verbs on one root; afterwards everything that always holds still does.

Some are like the command line: each verb is a process's first and last. Some are like a server: drives go on
behind the verbs. Some are killed. The seed of a failure is in its name, and the steps of each process follow
from it; how they interleave does not.
"""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Root, git
from engine_support import Runs, runs_on, until, worktrees
from fault_picture import check_history
from fault_processes import Child, in_child, warm_up

from metawsm_rpc.domain.models import LIVE
from metawsm_rpc.errors import CloseBlockedError, MetawsmError

TICKETS = ("T-1", "T-2", "T-3")
REPOS = ("app", "lib")
PROCESSES = 5
STEPS = 14

EXPECTED = {
    "busy",
    "illegal_transition",
    "lost_lease",
    "close_blocked",
    "run_not_found",
    "agent_not_found",
    "step_not_found",
    "guidance_not_found",
    "invalid_params",
    "ambiguous",
}
"""What a process may be told when others are at work; nothing of it is a failure of the machine, or ours."""

# What an agent does follows from its launch: it works and ends well, badly, or by a signal, or stays.
AGENT = """
cd "$METAWSM_WORKSPACE/app" || exit 3
echo "$METAWSM_LAUNCH" >> "$METAWSM_TICKET.txt" && git add . && git commit -qm work
case "$METAWSM_LAUNCH" in
    [0-7]*) exit 0 ;;
    [8-9]*) exit 3 ;;
    a*) kill -9 $$ ;;
    *) exec sleep 1000 ;;
esac
"""


class Player:
    """One process that issues verbs at random."""

    def __init__(self, root: Root, seed: int, steps: int, *, keeps: bool) -> None:
        self.root = root
        self.random = random.Random(seed)
        self.steps = steps
        self.keeps = keeps
        self.told: Counter[str] = Counter()
        self.wrong: list[str] = []

    def play(self) -> tuple[Counter[str], list[str]]:
        """Issue the verbs; returns how often each was answered, and what nobody should be told."""
        kept = Runs(self.root) if self.keeps else None
        for _ in range(self.steps):
            runs = kept or Runs(self.root)
            verb = self.random.choice(VERBS)
            try:
                verb(self, runs)
                self.told[f"{verb.__name__} ok"] += 1
            except MetawsmError as error:
                self.told[f"{verb.__name__} {error.kind}"] += 1
                if error.kind not in EXPECTED:
                    self.wrong.append(f"{verb.__name__}: {error.kind}: {error.message}")
            finally:
                if kept is None:
                    self.leave(runs)
        if kept is not None:
            self.leave(kept)
        return self.told, self.wrong

    def leave(self, runs: Runs) -> None:
        """End as a command line does, which waits for its drives, or as a server does, which cuts them off."""
        try:
            if self.random.random() < 0.7:
                for run_id in list(runs.verbs._drives._underway):
                    runs.verbs.finish(run_id)
        except MetawsmError as error:
            self.wrong.append(f"a drive: {error.kind}: {error.message}")
        runs.verbs.shut_down()

    def some_run(self, runs: Runs) -> str:
        rows = runs.verbs.runs().runs
        return self.random.choice(rows).run_id if rows else "none"

    def some_agent(self, runs: Runs) -> Any:
        agents = [agent for row in runs.store.summaries()[0] for agent in runs.store.agents(row.run_id)]
        return self.random.choice(agents) if agents else None


def run(player: Player, runs: Runs) -> None:
    tickets = player.random.sample(TICKETS, player.random.choice((1, 1, 2)))
    run_id = player.random.choice((None, None, "mine"))
    runs.verbs.run(tickets, repos=REPOS, run_id=run_id, dry_run=player.random.random() < 0.1)


def status(player: Player, runs: Runs) -> None:
    runs.verbs.status(player.some_run(runs))


def wait(player: Player, runs: Runs) -> None:
    runs.verbs.wait(player.some_run(runs), timeout=0.3)


def stop(player: Player, runs: Runs) -> None:
    runs.verbs.stop(player.some_run(runs))


def resume(player: Player, runs: Runs) -> None:
    runs.verbs.resume(player.some_run(runs))


def restart(player: Player, runs: Runs) -> None:
    runs.verbs.restart(player.some_run(runs), agent=player.random.choice((None, "worker")))


def iterate(player: Player, runs: Runs) -> None:
    runs.verbs.iterate(player.some_run(runs), feedback="again")


def complete(player: Player, runs: Runs) -> None:
    runs.verbs.complete(player.some_run(runs), agent=player.random.choice((None, "worker")))


def step(player: Player, runs: Runs) -> None:
    verb = player.random.choice((runs.verbs.retry_step, runs.verbs.skip_step))
    verb(player.some_run(runs), index=player.random.randrange(8))


def close(player: Player, runs: Runs) -> None:
    runs.verbs.close(player.some_run(runs), dry_run=player.random.random() < 0.2)


def cleanup(player: Player, runs: Runs) -> None:
    runs.verbs.cleanup(player.some_run(runs))


def history(player: Player, runs: Runs) -> None:
    listed = runs.verbs.events(since=player.random.randrange(50))
    seqs = [event.seq for event in listed.events]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))) if seqs else True


def say(player: Player, runs: Runs) -> None:
    agent = player.some_agent(runs)
    if agent is not None:
        launch = player.random.choice((agent.launch, agent.launch, "stale")) or "none"
        kind = player.random.choice(("progress", "waiting", "working", "guidance", "done", "failed"))
        runs.verbs.signal(agent.run_id, ticket=agent.ticket, agent=agent.name, launch=launch, type=kind, message="word")


def answer(player: Player, runs: Runs) -> None:
    asked = [question for row in runs.store.summaries()[0] for question in runs.store.detail(row.run_id).guidance]
    if asked:
        runs.verbs.answer(player.random.choice(asked).id, "so")


VERBS: tuple[Callable[[Player, Runs], None], ...] = (
    *(run,) * 3,
    *(status, wait, stop, resume, resume, restart, iterate, complete, step, close, close, cleanup, history, say, say),
    answer,
)


@pytest.fixture
def busy_root(two_repositories: Root) -> Root:
    warm_up()
    two_repositories.policy(
        agents=[Root.agent("worker", AGENT)],
        execution={"step_retries": 0, "stop_grace_seconds": 0.2, "shell_env": "never"},
    )
    with runs_on(two_repositories) as runs:
        for ticket in TICKETS:
            runs.verbs.create_ticket(ticket)
        runs.verbs.run(["T-1"], repos=REPOS)
    return two_repositories


SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else [1, 2]


@pytest.mark.parametrize("seed", SEEDS)
def test_random_verbs_of_many_processes_break_no_rule(busy_root: Root, seed: int) -> None:
    chance = random.Random(seed)
    players = [
        Player(busy_root, chance.randrange(1 << 30), STEPS, keeps=number % 2 == 0) for number in range(PROCESSES - 1)
    ]
    players.append(Player(busy_root, chance.randrange(1 << 30), 100 * STEPS, keeps=True))
    children = [Child(player.play) for player in players]
    # The last does not come to its end; another one is there in its place.
    victim = children.pop()
    time.sleep(chance.uniform(0.5, 2.5))
    os.kill(victim.pid, signal.SIGKILL)
    assert victim.wait().signal == signal.SIGKILL
    children.append(Child(Player(busy_root, chance.randrange(1 << 30), STEPS, keeps=False).play))
    answers = [child.wait().answer for child in children]
    told = sum((told for told, _ in answers), Counter[str]())
    assert [what for _, wrong in answers for what in wrong] == [], told
    in_child(lambda: check_rules(busy_root))


def check_rules(root: Root) -> None:
    with runs_on(root) as runs:
        until(lambda: is_known(runs))
        ids = [row.run_id for row in runs.verbs.runs().runs]
        details = [runs.store.detail(run_id) for run_id in ids]
        check_history(runs.store.events(), details)
        for run_id in ids:
            assert not runs.store.driven(run_id), f"{run_id} is driven by the dead"
        check_sessions(root, details)
        for run_id in ids:
            come_to_rest(runs, run_id)
        details = [runs.store.detail(run_id) for run_id in ids]
        check_history(runs.store.events(), details)
        for repo in REPOS:
            check_repository(root.path / repo, details)
        check_sessions(root, details)


def is_known(runs: Runs) -> bool:
    """Look; returns whether all agents that go by themselves have gone, and that is known."""
    agents = [agent for row in runs.verbs.runs().runs for agent in runs.store.agents(row.run_id)]
    return all(agent.status not in LIVE or (agent.launch or "")[0] >= "b" for agent in agents)


def come_to_rest(runs: Runs, run_id: str) -> None:
    """Finish what somebody who died was at."""
    if runs.store.run(run_id).status == "closing":
        try:
            runs.verbs.close(run_id)
        except CloseBlockedError:
            assert runs.store.run(run_id).status == "completed"
    if runs.store.run(run_id).status not in ("completed", "closed"):
        runs.verbs.stop(run_id)
        assert runs.store.run(run_id).status == "stopped"


def check_sessions(root: Root, details: list[Any]) -> None:
    """Check that each agent has one session at most, which is that of its latest launch."""
    fields = "#{session_name} #{@metawsm_launch}"
    listed = subprocess.run(
        ["tmux", "-L", "metawsm", "list-sessions", "-F", fields], capture_output=True, text=True, check=False
    )
    there = dict(reversed(line.split(" ")) for line in listed.stdout.splitlines())
    assert len(there) == len(listed.stdout.splitlines())
    agents = [agent for detail in details for agent in detail.agents]
    for agent in agents:
        assert agent.status not in LIVE or agent.launch in there, f"{agent} has no session"
    known = {agent.launch for agent in agents}
    assert set(there) <= known, f"nobody knows of {set(there) - known}"


def check_repository(repo: Path, details: list[Any]) -> None:
    """Check that nothing lies about in a repository, and that what is closed was merged once."""
    assert sorted((repo / ".git").rglob("*.lock")) == []
    assert git(repo, "for-each-ref", "refs/metawsm/close") == ""
    assert git(repo, "status", "--porcelain") == ""
    assert not (repo / ".git" / "metawsm-move").exists()
    folders = worktrees(repo)
    assert len(folders) == len(set(folders))
    merges = Counter(git(repo, "log", "--merges", "--format=%s", "main").splitlines())
    assert all(number == 1 for number in merges.values()), merges
    for detail in details:
        for workspace in detail.workspaces:
            if detail.run.status == "closed" and git(repo, "branch", "--list", workspace.branch):
                git(repo, "merge-base", "--is-ancestor", workspace.branch, "main")
