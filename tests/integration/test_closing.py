"""Closing: all repositories of a run or none, whatever blocks it or moves meanwhile."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from closing_support import BOTH, assert_closed, assert_merged, blocked_by, commit, completed, picture, policy
from conftest import Root, git, make_repository
from engine_support import RUN, WAITS, Runs, branches, hook, runs_on, sessions, worktrees

from metawsm_rpc.errors import DependencyMissingError, HostError, IllegalTransitionError
from metawsm_rpc.hosts.git.git import Git
from metawsm_rpc.hosts.git.merging import GitMerging
from metawsm_rpc.hosts.git.worktrees import GitWorktrees


@pytest.fixture
def root(two_repositories: Root) -> Root:
    policy(two_repositories)
    return two_repositories


@pytest.fixture
def runs(root: Root) -> Iterator[Runs]:
    with runs_on(root) as opened:
        yield opened


class TestMerging:
    def test_merges_every_ticket_on_the_one_before_in_every_repository(self, runs: Runs) -> None:
        completed(runs, "T-1", "T-2")
        before = {repo: git(runs.root.path / repo, "rev-parse", "main") for repo in BOTH}
        merges = {(merge.repo, merge.ticket): merge for merge in runs.verbs.close(RUN).merges}
        assert {merge.kind for merge in merges.values()} == {"merge"}
        for repo in BOTH:
            assert merges[repo, "T-1"].from_ == before[repo]
            assert merges[repo, "T-2"].from_ == merges[repo, "T-1"].to
            assert merges[repo, "T-2"].to == git(runs.root.path / repo, "rev-parse", "main")
            assert branches(runs.root.path / repo) == ["main", "task/t-1-0001", "task/t-2-0001"]
        assert_merged(runs.root, "T-1", "T-2")
        assert_closed(runs, "T-1", "T-2")
        assert not Path(runs.workspace("T-1").path).exists()

    def test_a_repository_without_work_stays_as_it_is(self, runs: Runs) -> None:
        completed(runs, "T-1", work=False)
        commit(runs.folder("app"), "T-1.txt", "app\n")
        before = picture(runs.root, "lib")["lib tree"]
        kinds = {merge.repo: merge.kind for merge in runs.verbs.close(RUN).merges}
        assert kinds == {"app": "merge", "lib": "none"}
        assert picture(runs.root, "lib")["lib tree"] == before
        assert_closed(runs, "T-1")

    def test_ends_the_sessions_of_agents_that_stayed(self, runs: Runs) -> None:
        policy(runs.root, f'"$METAWSM_BIN" signal done; {WAITS}')
        completed(runs, "T-1")
        assert len(sessions()) == 1
        runs.verbs.close(RUN)
        assert_closed(runs, "T-1")

    def test_of_a_closed_run_answers_the_run(self, runs: Runs) -> None:
        completed(runs, "T-1")
        runs.verbs.close(RUN)
        seq = runs.store.seq()
        again = runs.verbs.close(RUN)
        assert (again.run.status, again.merges, again.blocked) == ("closed", (), ())
        assert runs.store.seq() == seq

    @pytest.mark.parametrize("dry_run", [False, True])
    def test_with_a_git_that_is_too_old_says_so_first(
        self, runs: Runs, monkeypatch: pytest.MonkeyPatch, dry_run: bool
    ) -> None:
        completed(runs, "T-1")
        before = picture(runs.root)
        monkeypatch.setattr(Git, "version", lambda _: (2, 37, 9))
        with pytest.raises(DependencyMissingError, match=r"git 2\.37\.9 is too old"):
            runs.verbs.close(RUN, dry_run=dry_run)
        assert (runs.run().status, picture(runs.root)) == ("completed", before)

    def test_of_a_run_at_work_is_refused(self, runs: Runs) -> None:
        policy(runs.root, WAITS)
        runs.start("T-1", repos=BOTH)
        with pytest.raises(IllegalTransitionError, match="running"):
            runs.verbs.close(RUN)

    def test_what_an_agent_says_afterwards_moves_nothing(self, runs: Runs) -> None:
        completed(runs, "T-1")
        runs.verbs.close(RUN)
        launch = runs.agent().launch or ""
        runs.verbs.signal(RUN, ticket="T-1", agent="worker", launch=launch, type="working")
        assert (runs.run().status, runs.agent().status) == ("closed", "completed")

    def test_a_ticket_that_is_gone_is_told_and_keeps_nothing_open(self, runs: Runs) -> None:
        completed(runs, "T-1")
        index = next(iter((runs.root.path / "ttmp").rglob("index.md")))
        index.unlink()
        assert runs.verbs.close(RUN).run.status == "closed"
        assert len(runs.events("ticket_not_closed")) == 1

    def test_a_worktree_that_cannot_be_removed_is_told_and_keeps_nothing_open(
        self, runs: Runs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any) -> None:
            raise HostError("permission denied")

        completed(runs, "T-1")
        monkeypatch.setattr(GitWorktrees, "remove", refuse)
        assert runs.verbs.close(RUN).run.status == "closed"
        assert {event.message for event in runs.events("kept")} == {"permission denied"}
        assert (runs.root.path / "app" / "T-1.txt").exists()


class TestPolicy:
    def test_fast_forward_moves_the_base_along_and_makes_no_commit(self, runs: Runs) -> None:
        policy(runs.root, close={"merge": "fast-forward"})
        completed(runs, "T-1", repos=["app"])
        tip = git(runs.folder("app"), "rev-parse", "HEAD")
        assert [merge.kind for merge in runs.verbs.close(RUN).merges] == ["fast-forward"]
        assert git(runs.root.path / "app", "rev-parse", "main") == tip
        assert git(runs.root.path / "app", "status", "--porcelain") == ""

    def test_fast_forward_blocks_where_there_is_none(self, runs: Runs) -> None:
        policy(runs.root, close={"merge": "fast-forward"})
        completed(runs, "T-1", "T-2", repos=["app"])
        before = picture(runs.root, "app")
        (one,) = blocked_by(runs)
        assert (one.repo, one.ticket, one.reason) == ("app", "T-2", "not_fast_forward")
        assert picture(runs.root, "app") == before

    def test_branches_are_deleted_when_it_says_so(self, runs: Runs) -> None:
        policy(runs.root, close={"delete_branches": True})
        completed(runs, "T-1")
        runs.verbs.close(RUN)
        assert branches(runs.root.path / "app") == branches(runs.root.path / "lib") == ["main"]

    def test_bases_are_pushed_when_it_says_so_and_a_failure_is_told(self, runs: Runs, tmp_path: Path) -> None:
        policy(runs.root, close={"push": True})
        for repo in BOTH:
            git(tmp_path, "init", "-q", "--bare", f"{repo}.git")
            git(runs.root.path / repo, "remote", "add", "origin", str(tmp_path / f"{repo}.git"))
        refusing = tmp_path / "lib.git" / "hooks" / "pre-receive"
        refusing.write_text("#!/bin/sh\necho not today; exit 1\n")
        refusing.chmod(0o755)
        completed(runs, "T-1")
        assert runs.verbs.close(RUN).run.status == "closed"
        assert git(tmp_path / "app.git", "show", "main:T-1.txt") == "app"
        (told,) = runs.events("push_failed")
        assert (told.message or "").startswith("lib: ")

    def test_uncommitted_work_is_kept_under_a_ref_where_it_need_not_be_clean(self, runs: Runs) -> None:
        policy(runs.root, close={"require_clean_git": False})
        completed(runs, "T-1", repos=["app"])
        (runs.folder("app") / "new.txt").write_text("not committed\n")
        runs.verbs.close(RUN)
        (told,) = runs.events("snapshot")
        assert git(runs.root.path / "app", "show", f"{told.message}:new.txt") == "not committed"
        assert worktrees(runs.root.path / "app") == []


class TestWhatBlocks:
    def test_a_conflict_in_one_repository_keeps_all_of_them_as_they_were(self, runs: Runs) -> None:
        completed(runs, "T-1", "T-2")
        for ticket in ("T-1", "T-2"):
            commit(runs.folder("lib", ticket), "README.md", f"{ticket}\n")
        before = picture(runs.root)
        (one,) = blocked_by(runs)
        assert (one.repo, one.ticket, one.reason, one.files) == ("lib", "T-2", "conflict", ("README.md",))
        assert picture(runs.root) == before
        assert runs.run().status == "completed"
        assert runs.store.close_journal(RUN) is None
        assert [event.type for event in runs.events()][-3:] == ["close", "block_close", "close_blocked"]

    def test_a_repository_that_is_gone_is_named_until_it_is_back(self, runs: Runs) -> None:
        completed(runs, "T-1")
        app, elsewhere = runs.root.path / "app", runs.root.path.parent / "elsewhere"
        app.rename(elsewhere)
        (one,) = blocked_by(runs)
        assert (one.repo, one.ticket, one.reason) == ("app", "T-1", "no_base")
        assert f"The repository app is not at {app} any more" in one.message
        assert runs.verbs.close(RUN, dry_run=True).blocked == (one,)
        assert runs.run().status == "completed"
        elsewhere.rename(app)
        runs.verbs.close(RUN)
        assert_closed(runs, "T-1")
        assert_merged(runs.root, "T-1")

    def test_all_reasons_are_told_at_once(self, runs: Runs) -> None:
        runs.root.repository("doc")
        completed(runs, "T-1", "T-2", repos=["app", "lib", "doc"])
        (runs.folder("app", "T-1") / "new.txt").write_text("x")
        git(runs.folder("app", "T-2"), "switch", "-qc", "elsewhere")
        make_repository(runs.folder("lib", "T-1") / "nested")
        commit(runs.root.path / "doc", "T-2.txt", "mine\n")
        before = picture(runs.root, "app", "lib", "doc")
        found = {(one.repo, one.ticket, one.reason) for one in blocked_by(runs)}
        assert found == {
            ("app", "T-1", "uncommitted"),
            ("app", "T-2", "wrong_branch"),
            ("lib", "T-1", "nested_repository"),
            ("doc", "T-2", "conflict"),
        }
        assert picture(runs.root, "app", "lib", "doc") == before

    @pytest.mark.parametrize("how", ["untracked", "ignored", "changed"])
    def test_a_file_in_the_way_in_the_checkout_of_the_base(self, runs: Runs, how: str) -> None:
        app = runs.root.path / "app"
        completed(runs, "T-1")
        name = "README.md" if how == "changed" else "T-1.txt"
        if how == "changed":
            commit(runs.folder("app"), "README.md", "theirs\n")
        if how == "ignored":
            (app / ".git/info/exclude").write_text("*.txt\n")
        (app / name).write_text("mine\n")
        before = picture(runs.root)
        (one,) = blocked_by(runs)
        assert (one.repo, one.reason, one.files) == ("app", "in_the_way", (name,))
        assert (app / name).read_text() == "mine\n"
        assert picture(runs.root) == before

    def test_what_the_merge_does_not_touch_stays_as_the_person_left_it(self, runs: Runs) -> None:
        completed(runs, "T-1")
        (runs.root.path / "app" / "README.md").write_text("being edited\n")
        assert runs.verbs.close(RUN).run.status == "closed"
        assert (runs.root.path / "app" / "README.md").read_text() == "being edited\n"
        assert git(runs.root.path / "app", "status", "--porcelain") == "M README.md"

    def test_a_hook_that_refuses_the_move_leaves_everything_as_it_was(self, runs: Runs) -> None:
        completed(runs, "T-1")
        hook(
            runs.root.path / "lib",
            '[ "$1" = prepared ] && grep -q refs/heads/main && exit 1; exit 0',
            "reference-transaction",
        )
        before = picture(runs.root)
        (one,) = blocked_by(runs)
        assert (one.repo, one.reason) == ("lib", "locked")
        assert picture(runs.root) == before
        (runs.root.path / "lib/.git/hooks/reference-transaction").unlink()
        assert runs.verbs.close(RUN).run.status == "closed"
        assert_merged(runs.root, "T-1")


class TestARootThatIsTheRepository:
    def test_what_metawsm_keeps_there_never_blocks(self, tmp_path: Path) -> None:
        root = Root(tmp_path / "one")
        git(root.path, "init", "-q")
        commit(root.path)
        policy(root)
        with runs_on(root) as runs:
            runs.start("T-1")
            assert runs.settled().status == "completed"
            (repo,) = runs.workspace().repos
            commit(Path(repo.path), "T-1.txt", "one\n")
            # The agent has committed its ticket, which lies uncommitted at the root.
            index = next(iter((root.path / "ttmp").rglob("index.md"))).relative_to(root.path)
            (Path(repo.path) / index.parent).mkdir(parents=True)
            commit(Path(repo.path), str(index), (root.path / index).read_text() + "\nDone.\n")
            assert runs.verbs.close(RUN, dry_run=True).blocked == ()
            assert runs.verbs.close(RUN).run.status == "closed"
            assert (root.path / "T-1.txt").read_text() == "one\n"
            assert "Status: complete" in (root.path / index).read_text()
            assert_closed(runs, "T-1")


class TestDryRuns:
    def everything(self, runs: Runs) -> Any:
        detail = runs.store.detail(RUN)
        return picture(runs.root), detail, runs.store.seq(), runs.store.close_journal(RUN)

    def test_tell_what_would_be_merged_and_change_nothing(self, runs: Runs) -> None:
        completed(runs, "T-1", "T-2")
        before = self.everything(runs)
        shown = runs.verbs.close(RUN, dry_run=True)
        assert [(m.repo, m.ticket, m.kind) for m in shown.merges] == [
            (repo, ticket, "merge") for repo in BOTH for ticket in ("T-1", "T-2")
        ]
        assert shown.blocked == ()
        assert self.everything(runs) == before

    def test_tell_what_blocks_with_an_exit_status(self, runs: Runs) -> None:
        completed(runs, "T-1", "T-2")
        (runs.folder("app", "T-1") / "new.txt").write_text("x")
        commit(runs.root.path / "lib", "T-2.txt", "mine\n")
        before = self.everything(runs)
        ran = runs.root.metawsm("--json", "close", RUN, "--dry-run", code=5)
        assert {(one["repo"], one["reason"]) for one in ran.json["blocked"]} == {
            ("app", "uncommitted"),
            ("lib", "conflict"),
        }
        assert self.everything(runs) == before

    def test_look_at_no_agent(self, runs: Runs) -> None:
        policy(runs.root, WAITS)
        runs.start("T-1", repos=BOTH)
        subprocess.run(["tmux", "-L", "metawsm", "kill-server"], check=True)
        before = self.everything(runs)
        runs.verbs.close(RUN, dry_run=True)
        assert self.everything(runs) == before


class TestABaseThatMoves:
    @pytest.fixture
    def moving(self, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Commit to the base of lib before each of the next prepares, for as many items as are in the list."""
        todo: list[str] = []
        prepare = GitMerging.prepare

        def commit_first(self: GitMerging, key: str, move: Any) -> None:
            if move.name == "lib" and todo:
                commit(runs.root.path / "lib", todo.pop(0), "moved\n")
            prepare(self, key, move)

        monkeypatch.setattr(GitMerging, "prepare", commit_first)
        return todo

    def test_is_rehearsed_again(self, runs: Runs, moving: list[str]) -> None:
        completed(runs, "T-1")
        moving += ["one", "two"]
        runs.verbs.close(RUN)
        assert_merged(runs.root, "T-1")
        assert git(runs.root.path / "lib", "show", "main:one") == git(runs.root.path / "lib", "show", "main:two")
        assert_closed(runs, "T-1")

    def test_three_times_blocks(self, runs: Runs, moving: list[str]) -> None:
        completed(runs, "T-1")
        before = picture(runs.root, "app")
        moving += ["one", "two", "three"]
        (one,) = blocked_by(runs)
        assert (one.repo, one.reason) == ("lib", "base_moved")
        assert picture(runs.root, "app") == before
        assert git(runs.root.path / "lib", "status", "--porcelain") == ""
        assert git(runs.root.path / "lib", "for-each-ref", "refs/metawsm/close") == ""
        assert runs.run().status == "completed"
        runs.verbs.close(RUN)
        assert_merged(runs.root, "T-1")

    def test_into_a_conflict_blocks(self, runs: Runs, moving: list[str]) -> None:
        completed(runs, "T-1")
        moving += ["T-1.txt"]
        (one,) = blocked_by(runs)
        assert (one.repo, one.reason) == ("lib", "conflict")
        assert git(runs.root.path / "app", "log", "--merges", "main") == ""


class TestOtherPeoplesWorkspaces:
    def test_a_fork_is_merged_into_the_branch_that_it_came_from(self, runs: Runs) -> None:
        completed(runs, "T-1")
        source = runs.workspace().name
        completed(runs, "T-2", repos=None, run_id="fork-0002", strategy="fork", source=source)
        merges = runs.verbs.close("fork-0002").merges
        assert {merge.base for merge in merges} == {"task/t-1-0001"}
        for repo in BOTH:
            assert git(runs.root.path / repo, "show", "task/t-1-0001:T-2.txt") == repo
            assert (runs.folder(repo, run_id=RUN) / "T-2.txt").read_text() == f"{repo}\n"
            assert git(runs.folder(repo, run_id=RUN), "status", "--porcelain") == ""
            assert "T-2.txt" not in git(runs.root.path / repo, "ls-tree", "--name-only", "main")
        runs.verbs.close(RUN)
        assert git(runs.root.path / "app", "show", "main:T-2.txt") == "app"

    def test_a_borrowed_workspace_stays_and_can_be_closed_by_its_owner(self, runs: Runs) -> None:
        completed(runs, "T-1")
        completed(runs, "T-2", run_id="loan-0002", strategy="reuse", source=runs.workspace().name, work=False)
        commit(runs.folder("app"), "T-2.txt", "app\n")
        assert runs.verbs.close("loan-0002").run.status == "closed"
        assert git(runs.root.path / "app", "show", "main:T-2.txt") == "app"
        assert runs.folder("app").exists()
        assert worktrees(runs.root.path / "app") == [str(runs.folder("app"))]
        assert runs.verbs.close(RUN).run.status == "closed"
        assert not runs.folder("app").exists()
