"""Closes that are killed, fail or meet each other: the next one undoes or finishes them."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from closing_support import BOTH, assert_closed, assert_merged, blocked_by, close, commit, completed, picture, policy
from conftest import Root, command, git
from engine_support import RUN, Runs, crash, hook, process, runs_on, until

from metawsm_rpc.engine import holding
from metawsm_rpc.engine.closing import Closer, Closing
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import (
    BusyError,
    CloseBlockedError,
    HostError,
    IllegalTransitionError,
    RefLockedError,
)
from metawsm_rpc.hosts.git.merging import GitMerging
from metawsm_rpc.ports.store import CloseJournal, Lease
from metawsm_rpc.service import ending
from metawsm_rpc.store import leases
from metawsm_rpc.store.store import SqliteStore


@pytest.fixture
def root(two_repositories: Root) -> Root:
    policy(two_repositories)
    return two_repositories


@pytest.fixture
def runs(root: Root) -> Iterator[Runs]:
    with runs_on(root) as opened:
        yield opened


class TestACloseThatIsKilled:
    @pytest.fixture
    def ready(self, root: Root) -> Root:
        with runs_on(root) as runs:
            completed(runs, "T-1")
        return root

    # closing; journal: preparing, decided, merged; closed
    @pytest.mark.parametrize("before", [False, True], ids=["after", "before"])
    @pytest.mark.parametrize("write", range(1, 6))
    def test_at_any_write_is_undone_or_finished_by_the_next(self, ready: Root, write: int, before: bool) -> None:
        assert crash(ready, close, at=write, before=before)
        with runs_on(ready) as runs:
            close(runs)
            assert_merged(ready, "T-1")
            assert_closed(runs, "T-1")

    @pytest.mark.parametrize(
        ("step", "call"),
        [
            ("rehearse", 2),
            ("prepare", 1),
            ("prepare", 2),
            ("advance_checkouts", 1),
            ("advance_checkouts", 2),
            ("commit", 1),
            ("commit", 2),
            ("unpin", 1),
        ],
    )
    def test_between_two_effects_too(self, ready: Root, step: str, call: int) -> None:
        assert crash(ready, close, at=call, merging=step)
        with runs_on(ready) as runs:
            close(runs)
            assert_merged(ready, "T-1")
            assert_closed(runs, "T-1")

    def test_before_the_decision_can_be_given_up(self, ready: Root) -> None:
        before = picture(ready)
        assert crash(ready, close, at=2, merging="advance_checkouts")
        assert picture(ready) != before
        with runs_on(ready) as runs:
            assert runs.run().status == "closing"
            (runs.folder("app") / "new.txt").write_text("something keeps it from being closed now")
            assert [one.reason for one in blocked_by(runs)] == ["uncommitted"]
            assert picture(ready) == before
            assert runs.run().status == "completed"

    def test_before_the_decision_is_undone_by_a_supervisor(self, ready: Root) -> None:
        before = picture(ready)
        assert crash(ready, close, at=2, merging="advance_checkouts")
        with runs_on(ready) as runs, runs.verbs.supervise():
            until(lambda: runs.run().status == "completed")
            assert picture(ready) == before

    def test_after_the_decision_is_finished_by_a_supervisor(self, ready: Root) -> None:
        assert crash(ready, close, at=1, merging="commit")
        with runs_on(ready) as runs, runs.verbs.supervise():
            until(lambda: runs.run().status == "closed")
            assert_merged(ready, "T-1")
            assert_closed(runs, "T-1")

    def test_can_be_closed_again_while_a_supervisor_is_at_it(
        self, ready: Root, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert crash(ready, close, at=2, merging="advance_checkouts")
        recovering, go_on = threading.Event(), threading.Event()

        def recover(closer: Closer, lease: Lease) -> None:
            recovering.set()
            assert go_on.wait(60)
            return original(closer, lease)

        original = Closer.recover
        monkeypatch.setattr(Closer, "recover", recover)
        with runs_on(ready) as runs, runs.verbs.supervise():
            assert recovering.wait(60)
            closing = threading.Thread(target=close, args=(runs,))
            closing.start()
            closing.join(2 * holding._PATIENCE_SECONDS)
            assert closing.is_alive()
            go_on.set()
            closing.join(60)
            assert_merged(ready, "T-1")
            assert_closed(runs, "T-1")

    def test_that_needs_a_person_is_tried_only_once_by_a_supervisor(
        self, ready: Root, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert crash(ready, close, at=1, merging="commit")
        git(ready.path / "lib", "reset", "-q", "--hard")
        commit(ready.path / "lib", "T-1.txt", "mine\n")
        looks, look = [], SqliteStore.interrupted_closes
        monkeypatch.setattr(SqliteStore, "interrupted_closes", lambda store: looks.append(store) or look(store))
        with runs_on(ready) as runs, runs.verbs.supervise() as supervisor:
            (blocked,) = until(lambda: runs.events("close_blocked"))
            before = len(looks)
            until(lambda: supervisor.is_fresh() and len(looks) > before + 2)
            assert runs.events("close_blocked") == [blocked]
            assert runs.run().status == "closing"

    def test_after_the_decision_is_finished_over_a_base_that_moved_since(self, ready: Root) -> None:
        assert crash(ready, close, at=1, merging="commit")
        merged = [repo for repo in BOTH if "T-1.txt" in git(ready.path / repo, "ls-tree", "--name-only", "main")]
        assert merged == ["app"]
        git(ready.path / "lib", "reset", "-q", "--hard")
        commit(ready.path / "lib", "since", "x\n")
        with runs_on(ready) as runs:
            close(runs)
            assert git(ready.path / "lib", "show", "main:since") == "x"
            assert_merged(ready, "T-1")
            assert_closed(runs, "T-1")

    def test_after_the_decision_waits_for_the_person_where_it_cannot_go_on(self, ready: Root) -> None:
        assert crash(ready, close, at=1, merging="commit")
        git(ready.path / "lib", "reset", "-q", "--hard")
        commit(ready.path / "lib", "T-1.txt", "mine\n")
        with runs_on(ready) as runs:
            with pytest.raises(CloseBlockedError) as caught:
                close(runs)
            assert [(one.repo, one.reason) for one in caught.value.details] == [("lib", "conflict")]
            assert "decided" in (caught.value.hint or "")
            assert runs.run().status == "closing"
            with pytest.raises(IllegalTransitionError):
                runs.verbs.stop(RUN)
            assert [one.result for one in runs.verbs.sync(RUN).repos if one.name == "lib"] == ["conflict"]
            commit(runs.folder("lib"), "T-1.txt", "lib\n")
            close(runs)
            assert_merged(ready, "T-1", repos=["app"])
            assert git(ready.path / "lib", "show", "main:T-1.txt") == "lib"
            assert_closed(runs, "T-1")

    def test_by_a_signal_that_it_can_answer_leaves_the_run_as_it_was(self, ready: Root) -> None:
        hook(ready.path / "lib", '[ "$1" = prepared ] || exit 0; touch ../waits; sleep 1000', "reference-transaction")
        before = picture(ready)
        with process(ready, "close", RUN) as closing:
            until((ready.path / "waits").exists)
            closing.terminate()
            closing.communicate(timeout=60)
        (ready.path / "lib/.git/hooks/reference-transaction").unlink()
        with runs_on(ready) as runs:
            assert runs.run().status == "completed"
            assert picture(ready) == before


def test_a_closed_run_is_left_alone_by_whoever_still_closes_it(runs: Runs) -> None:
    completed(runs, "T-1")
    runs.verbs.close(RUN)
    before = picture(runs.root)
    with holding.held(runs.verbs.world, RUN) as lease:
        assert Closer(runs.verbs.world, RUN).close(lease) == Closing((), ())
    assert picture(runs.root) == before
    assert runs.store.close_journal(RUN) is None


class TestFailures:
    def test_after_the_decision_take_nothing_back_and_the_next_close_finishes(
        self, runs: Runs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        completed(runs, "T-1")

        def refuse(*_: Any) -> None:
            raise HostError("the disk is full")

        with monkeypatch.context() as broken:
            commit_one = GitMerging.commit
            broken.setattr(GitMerging, "commit", lambda self, key: refuse() if "lib" in key else commit_one(self, key))
            broken.setattr(GitMerging, "move", refuse)
            with pytest.raises(HostError, match="disk is full"):
                runs.verbs.close(RUN)
        journal = runs.store.close_journal(RUN)
        assert (runs.run().status, journal and journal.phase) == ("closing", "decided")
        runs.verbs.close(RUN)
        assert_merged(runs.root, "T-1")
        assert_closed(runs, "T-1")

    def test_right_after_the_decision_was_recorded_do_not_undo_it(
        self, runs: Runs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        completed(runs, "T-1")
        journal = Closer._journal

        def interrupted(self: Closer, lease: Lease, step: CloseJournal) -> None:
            journal(self, lease, step)
            if step.phase == "decided":
                raise KeyboardInterrupt

        with monkeypatch.context() as broken:
            broken.setattr(Closer, "_journal", interrupted)
            with pytest.raises(KeyboardInterrupt):
                runs.verbs.close(RUN)
        assert runs.run().status == "closing"
        runs.verbs.close(RUN)
        assert_merged(runs.root, "T-1")
        assert_closed(runs, "T-1")

    def test_of_an_undo_keep_the_journal_for_the_next(self, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
        completed(runs, "T-1")
        before = picture(runs.root)

        def locked(*_: Any, **__: Any) -> None:
            raise RefLockedError("Another git is at work.")

        with monkeypatch.context() as broken:
            advance = GitMerging.advance_checkouts
            broken.setattr(
                GitMerging,
                "advance_checkouts",
                lambda self, move, exempt=(): locked() if move.name == "lib" else advance(self, move, exempt),
            )
            broken.setattr(GitMerging, "restore_checkouts", locked)
            with pytest.raises(RefLockedError):
                runs.verbs.close(RUN)
        assert runs.run().status == "closing"
        (runs.folder("app") / "new.txt").write_text("x")
        assert [one.reason for one in blocked_by(runs)] == ["uncommitted"]
        assert picture(runs.root) == before


class TestTwoAtOnce:
    @pytest.fixture
    def held_up(self, monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
        """Let the first prepare wait; returns what says that it does, and what lets it go on."""
        waits, go, prepare = threading.Event(), threading.Event(), GitMerging.prepare

        def wait(self: GitMerging, key: str, move: Any) -> None:
            waits.set()
            assert go.wait(60)
            prepare(self, key, move)

        monkeypatch.setattr(GitMerging, "prepare", wait)
        return waits, go

    @pytest.mark.parametrize("slow", [False, True], ids=["quick", "longer than a lease lives"])
    def test_one_closes_and_the_other_is_told_that_it_is_busy(
        self, runs: Runs, held_up: tuple[threading.Event, threading.Event], slow: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waits, go = held_up
        completed(runs, "T-1")
        if slow:
            monkeypatch.setattr(leases, "LEASE_SECONDS", 1.5)
            monkeypatch.setattr(holding, "_RENEW_SECONDS", 0.1)
        closing = threading.Thread(target=runs.verbs.close, args=(RUN,))
        closing.start()
        try:
            assert waits.wait(60)
            with runs_on(runs.root) as other:
                if slow:  # so many renewals take longer than a lease lives
                    before = other.store.data_version()
                    until(lambda: other.store.data_version() >= before + 16)
                with pytest.raises(BusyError):
                    other.verbs.close(RUN)
            assert runs.root.metawsm("stop", RUN, code=4).err
        finally:
            go.set()
            closing.join()
        with runs_on(runs.root) as other:
            assert other.verbs.close(RUN).run.status == "closed"
        assert_merged(runs.root, "T-1")
        assert_closed(runs, "T-1")

    def test_one_that_comes_a_moment_too_late_finds_it_closed(
        self, runs: Runs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        completed(runs, "T-1")

        @contextmanager
        def somebody_is_quicker(world: World, scope: str) -> Iterator[Lease]:
            with runs_on(runs.root) as other:
                monkeypatch.setattr(ending, "held", holding.held)
                other.verbs.close(RUN)
            with holding.held(world, scope) as lease:
                yield lease

        monkeypatch.setattr(ending, "held", somebody_is_quicker)
        answer = runs.verbs.close(RUN)
        assert (answer.run.status, answer.merges) == ("closed", ())
        assert_merged(runs.root, "T-1")

    def test_in_processes_merge_once(self, runs: Runs) -> None:
        completed(runs, "T-1", "T-2")
        closes = [
            subprocess.Popen(
                command("close", RUN), cwd=runs.root.path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            for _ in range(3)
        ]
        codes = [(one.communicate(timeout=60), one.returncode)[1] for one in closes]
        assert 0 in codes
        assert set(codes) <= {0, 4}
        assert_merged(runs.root, "T-1", "T-2")
        assert_closed(runs, "T-1", "T-2")
