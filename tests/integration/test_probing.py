"""Progress that agents do not tell of is found in their work, by a look at git now and then."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import Root, git
from engine_support import RUN, WAITS, Runs, runs_on, until

from metawsm_rpc.domain.clock import seconds
from metawsm_rpc.domain.models import Workspace
from metawsm_rpc.engine import probing
from metawsm_rpc.engine.probing import Prober
from metawsm_rpc.engine.sweeping import Sweeper
from metawsm_rpc.ports.worktrees import WorkState, Worktrees

THRESHOLD = 1200


@pytest.fixture
def runs(root: Root) -> Iterator[Runs]:
    root.repository("app", {"a.txt": "one\n"})
    with runs_on(root) as opened:
        yield opened


class Hands:
    """A prober, and a clock that is moved by hand."""

    def __init__(self, runs: Runs) -> None:
        self.now = time.time()
        self.prober = Prober(runs.verbs.world._replace(clock=lambda: self.now))

    def probe(self) -> float:
        """Let the prober do what is due, whatever git takes; return how long there is nothing to do."""
        while (pause := self.prober.probe()) == probing._BUSY_SECONDS:
            time.sleep(0.001)
        return pause

    def probe_for(self, duration: float, at_each: Callable[[], None] = lambda: None) -> None:
        """Let so many seconds pass, probing whenever the prober says."""
        end = self.now + duration
        while self.now < end:
            pause = self.probe()
            at_each()
            self.now += max(pause, 0.01)


@pytest.fixture
def hands(runs: Runs) -> Iterator[Hands]:
    made = Hands(runs)
    yield made
    made.prober.close()


def begin(runs: Runs, *tickets: str, script: str = WAITS, threshold: float = THRESHOLD) -> None:
    runs.root.policy(agents=[Root.agent("worker", script)], health={"progress_stalled_seconds": threshold})
    runs.start(*(tickets or ("T-1",)), repos=["app"])


def progress(runs: Runs, ticket: str = "") -> float:
    return seconds(runs.agent(ticket=ticket).last_progress_at or "")


def put(file: Path, text: str, at: float) -> None:
    file.write_text(text)
    os.utime(file, (at, at))


class TestProgress:
    def test_is_every_commit_and_every_changed_diff_and_nothing_else(self, runs: Runs, hands: Hands) -> None:
        begin(runs)
        folder = runs.folder("app")
        before = progress(runs)
        hands.probe_for(THRESHOLD)
        assert progress(runs) == before

        def moved() -> bool:
            nonlocal before
            last, before = before, (hands.probe_for(THRESHOLD / 3), progress(runs))[1]
            return before > last

        put(folder / "a.txt", "two\n", hands.now)
        assert moved()
        put(folder / "a.txt", "2\n\n\n", hands.now)  # another change of the same file
        assert moved()
        put(folder / "a.txt", "2\n\n\n", hands.now)
        assert not moved()
        (folder / "a.txt").unlink()
        assert moved()
        git(folder, "commit", "-qam", "Work")
        assert moved()
        assert not moved()

    def test_that_was_made_before_the_prober_began_is_seen_with_its_own_time(self, runs: Runs, hands: Hands) -> None:
        begin(runs)
        made = time.time() + 50
        put(runs.folder("app") / "new.txt", "new\n", made)
        hands.probe_for(THRESHOLD / 3)
        assert progress(runs) == pytest.approx(made, abs=0.001)

    def test_is_kept_in_the_future_of_no_clock(self, runs: Runs, hands: Hands) -> None:
        begin(runs)
        put(runs.folder("app") / "new.txt", "new\n", hands.now + 10_000_000)
        hands.probe_for(THRESHOLD / 3)
        assert progress(runs) <= hands.now

    def test_belongs_to_the_agents_of_that_workspace(self, runs: Runs, hands: Hands) -> None:
        begin(runs, "T-1", "T-2")
        before = progress(runs, "T-1")
        put(runs.folder("app", "T-2") / "new.txt", "new\n", hands.now + 50)
        hands.probe_for(THRESHOLD / 3)
        assert progress(runs, "T-1") == before
        assert progress(runs, "T-2") > before

    def test_of_a_workspace_that_is_gone_is_none(self, runs: Runs, hands: Hands) -> None:
        begin(runs)
        before = progress(runs)
        git(runs.root.path / "app", "worktree", "remove", "--force", str(runs.folder("app")))
        hands.probe_for(THRESHOLD)
        assert progress(runs) == before


class TestPace:
    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch, hands: Hands) -> list[tuple[str, float]]:
        """Return a list that gets ticket and time of each probe."""
        asked: list[tuple[str, float]] = []

        def states_of(_: Worktrees, workspace: Workspace) -> dict[str, WorkState]:
            asked.append((workspace.ticket, hands.now))
            return {"path": WorkState("the same", 0.0)}

        monkeypatch.setattr(probing, "states_of", states_of)
        return asked

    def test_is_a_third_of_the_threshold_and_shared_out(
        self, runs: Runs, hands: Hands, asked: list[tuple[str, float]]
    ) -> None:
        tickets = [f"T-{number}" for number in range(8)]
        begin(runs, *tickets)
        began, interval = hands.now, THRESHOLD / probing.PROBES_PER_THRESHOLD
        hands.probe_for(2 * interval)
        assert Counter(ticket for ticket, _ in asked) == dict.fromkeys(tickets, 2)
        times = sorted(at - began for _, at in asked)
        assert max(later - sooner for sooner, later in pairwise(times)) < interval / 3
        assert len([at for at in times if at < interval / 4]) <= 3

    def test_has_one_probe_more_before_anybody_is_called_stalled(
        self, runs: Runs, hands: Hands, asked: list[tuple[str, float]]
    ) -> None:
        begin(runs)
        began = progress(runs)
        hands.probe_for(THRESHOLD)
        times = [at - began for _, at in asked]
        assert [at for at in times if 885 <= at < 900]  # for want of activity
        assert [at for at in times if 1185 <= at < 1200]  # for want of progress

    def test_is_kept_after_a_sleep_without_catching_up(
        self, runs: Runs, hands: Hands, asked: list[tuple[str, float]]
    ) -> None:
        begin(runs)
        hands.probe_for(THRESHOLD / 3)
        hands.now += 100 * THRESHOLD
        hands.probe()
        assert len(asked) == 2

    def test_leaves_alone_where_nobody_is_at_work(
        self, runs: Runs, hands: Hands, asked: list[tuple[str, float]]
    ) -> None:
        begin(runs)
        runs.let_go()
        runs.settled()
        hands.probe_for(THRESHOLD)
        assert not asked


class TestLooks:
    """With nobody supervising, a look finds progress by itself before it calls anybody stalled."""

    def look(self, runs: Runs, after: float) -> str:
        world = runs.verbs.world
        Sweeper(world._replace(clock=lambda: time.time() + after)).sweep([RUN])
        return runs.agent().status

    def test_find_what_was_done_while_nobody_looked(self, runs: Runs) -> None:
        begin(runs)
        put(runs.folder("app") / "new.txt", "new\n", time.time() + THRESHOLD - 100)
        assert self.look(runs, THRESHOLD + 10) == "running"
        assert self.look(runs, THRESHOLD + 700) == "idle"
        assert self.look(runs, THRESHOLD + 900) == "stalled"

    def test_claim_nothing_that_was_not_done(self, runs: Runs) -> None:
        begin(runs)
        before = progress(runs)
        assert self.look(runs, THRESHOLD + 10) == "stalled"
        assert progress(runs) == before

    def test_at_a_run_see_commits_and_count_them(self, runs: Runs) -> None:
        begin(runs)
        runs.verbs.status(RUN)
        before = progress(runs)
        folder = runs.folder("app")
        time.sleep(0.01)
        git(folder, "commit", "-q", "--allow-empty", "-m", "Work")
        runs.verbs.status(RUN)
        assert progress(runs) > before
        before = progress(runs)
        for _ in range(2):
            runs.verbs.status(RUN)
        assert progress(runs) == before


def test_a_git_that_hangs_holds_nobody_up(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(runs, threshold=0.3)
    hangs = runs.root.path / "hangs"
    os.mkfifo(hangs)
    git(runs.folder("app"), "config", "core.excludesFile", str(hangs))  # git waits for somebody to write
    prober = Prober(runs.verbs.world)
    until(lambda: prober.probe() == probing._BUSY_SECONDS)
    began = time.monotonic()
    assert prober.probe() == probing._BUSY_SECONDS
    prober.close()
    assert time.monotonic() - began < 20
