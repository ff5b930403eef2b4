"""Bringing the bases in when a close is blocked, and removing runs without merging them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from closing_support import BOTH, assert_closed, assert_merged, blocked_by, commit, completed, policy
from conftest import Root, git
from engine_support import RUN, WAITS, Runs, runs_on, sessions

from metawsm_rpc.errors import HostError, IllegalTransitionError


@pytest.fixture
def root(two_repositories: Root) -> Root:
    policy(two_repositories)
    return two_repositories


@pytest.fixture
def runs(root: Root) -> Iterator[Runs]:
    with runs_on(root) as opened:
        yield opened


class TestSync:
    @pytest.mark.parametrize("strategy", ["merge", "rebase"])
    def test_is_the_way_out_of_a_conflict(self, runs: Runs, strategy: str) -> None:
        completed(runs, "T-1")
        commit(runs.root.path / "lib", "T-1.txt", "mine\n")
        assert [one.reason for one in blocked_by(runs)] == ["conflict"]
        results = {one.name: one for one in runs.verbs.sync(RUN, strategy=strategy).repos}  # type: ignore[arg-type]
        assert (results["app"].result, results["lib"].result) == ("up-to-date", "conflict")
        assert results["lib"].files == ("T-1.txt",)
        (runs.folder("lib") / "T-1.txt").write_text("lib\n")
        git(runs.folder("lib"), "add", "T-1.txt")
        assert {one.reason for one in blocked_by(runs)} >= {"operation_in_progress"}
        if strategy == "merge":
            git(runs.folder("lib"), "commit", "-qm", "resolved")
        else:
            git(runs.folder("lib"), "-c", "core.editor=true", "rebase", "--continue")
        runs.verbs.close(RUN)
        assert (runs.root.path / "lib" / "T-1.txt").read_text() == "lib\n"
        assert_closed(runs, "T-1")

    def test_of_a_closed_run_is_refused(self, runs: Runs) -> None:
        completed(runs, "T-1")
        runs.verbs.close(RUN)
        with pytest.raises(IllegalTransitionError, match="closed"):
            runs.verbs.sync(RUN)

    def test_keeps_what_it_has_done_where_it_cannot_go_on(self, runs: Runs) -> None:
        completed(runs, "T-1")
        for repo in BOTH:
            commit(runs.root.path / repo, "since", "x\n")
        (runs.folder("lib") / "new.txt").write_text("x")
        with pytest.raises(HostError, match="uncommitted"):
            runs.verbs.sync(RUN)
        assert (runs.folder("app") / "since").exists()
        assert [event.message for event in runs.events("sync")] == ["app: updated"]


class TestCleanup:
    def test_removes_worktrees_and_keeps_what_was_in_them_under_refs(self, runs: Runs) -> None:
        completed(runs, "T-1")
        (runs.folder("app") / "new.txt").write_text("not committed\n")
        cleaned = runs.verbs.cleanup(RUN)
        assert sorted(cleaned.removed) == sorted(str(runs.folder(repo)) for repo in BOTH)
        (kept,) = cleaned.snapshots
        assert git(runs.root.path / "app", "show", f"{kept.ref}:new.txt") == "not committed"
        assert git(runs.root.path / "app", "show", "task/t-1-0001:T-1.txt") == "app"
        assert not Path(runs.workspace().path).exists()
        assert runs.run().status == "completed"
        again = runs.verbs.cleanup(RUN)
        assert (again.removed, again.kept, again.snapshots) == ((), (), ())
        runs.verbs.close(RUN)
        assert_merged(runs.root, "T-1")

    def test_keeps_worktrees_whose_ignored_files_no_ref_can_keep(self, runs: Runs) -> None:
        completed(runs, "T-1")
        (runs.root.path / "app/.git/info/exclude").write_text("*.bin\n")
        (runs.folder("app") / "model.bin").write_text("hours of work")
        cleaned = runs.verbs.cleanup(RUN)
        assert [one.path for one in cleaned.kept] == [str(runs.folder("app"))]
        assert "model.bin" in cleaned.kept[0].reason
        assert cleaned.removed == (str(runs.folder("lib")),)
        assert (runs.folder("app") / "model.bin").exists()

    def test_ends_sessions_and_leaves_worktrees_when_asked_to(self, runs: Runs) -> None:
        policy(runs.root, f'"$METAWSM_BIN" signal done; {WAITS}')
        completed(runs, "T-1")
        cleaned = runs.verbs.cleanup(RUN, keep_workspaces=True)
        assert {one.path for one in cleaned.kept} == {str(runs.folder(repo)) for repo in BOTH}
        assert cleaned.removed == ()
        assert sessions() == []

    def test_of_a_run_at_work_is_refused(self, runs: Runs) -> None:
        policy(runs.root, WAITS)
        runs.start("T-1", repos=BOTH)
        with pytest.raises(IllegalTransitionError, match="running"):
            runs.verbs.cleanup(RUN)
        assert len(sessions()) == 1

    def test_what_it_took_comes_back_when_the_run_goes_on(self, runs: Runs) -> None:
        completed(runs, "T-1")
        runs.verbs.cleanup(RUN)
        runs.verbs.iterate(RUN, feedback="More.")
        runs.verbs.finish(RUN)
        assert (runs.folder("app") / "T-1.txt").read_text() == "app\n"
        assert runs.settled().status == "completed"
