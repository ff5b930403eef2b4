"""The gates of close: every reason is found, and nothing that is none."""

import os
import shutil
import subprocess

import pytest
from merging_support import Repository, merging, use_private_git

BRANCH = "task/t-1"


@pytest.fixture(autouse=True)
def _private_git(tmp_path, monkeypatch):
    use_private_git(tmp_path / "home", monkeypatch)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "app")


@pytest.fixture
def worktree(repository):
    path = repository.worktree(BRANCH)
    repository.commit("work", {"work.txt": "work\n"}, path)
    return path


def gates(repository, worktree, *, branch=BRANCH, base="main", require_clean=True, exempt=()):
    request = repository.request(worktree, branch, base=base)
    found = merging().gates(request, require_clean=require_clean, exempt=exempt)
    for blocked in found:
        assert (blocked.repo, blocked.ticket) == ("app", "T-1")
        assert blocked.message.count("\n") == 0
        assert blocked.message.endswith(".")
    return [(blocked.reason, blocked.files) for blocked in found]


# --- the worktree -----------------------------------------------------------------------------------


def test_committed_work_passes(repository, worktree):
    assert gates(repository, worktree) == []


def test_untracked_and_changed_files_block_and_ignored_ones_do_not(repository, worktree):
    (repository.path / ".git/info/exclude").write_text("*.log\n")
    repository.write({"debug.log": "x\n", "new folder/größe.txt": "x\n", "changed.txt": "mine\n"}, worktree)
    repository.git("mv", "kept.txt", "moved.txt", cwd=worktree)

    assert gates(repository, worktree) == [
        ("uncommitted", ("changed.txt", "kept.txt", "moved.txt", "new folder/größe.txt"))
    ]


def test_uncommitted_work_does_not_block_when_the_policy_lets_it_be(repository, worktree):
    repository.write({"untracked.txt": "x\n", "changed.txt": "mine\n"}, worktree)

    assert gates(repository, worktree, require_clean=False) == []


def test_what_metawsm_keeps_never_blocks(repository, worktree):
    repository.write({".metawsm/policy.json": "{}", "ttmp/T-1/index.md": "x\n", "ttmp/T-10/index.md": "x\n"}, worktree)
    exempt = (str(worktree / ".metawsm"), f"{worktree}/ttmp/T-1/index.md")

    assert gates(repository, worktree, exempt=exempt) == [("uncommitted", ("ttmp/T-10/index.md",))]


def test_a_persons_settings_of_status_hide_nothing(repository, worktree):
    repository.git("config", "status.showUntrackedFiles", "no")
    repository.write({"untracked.txt": "x\n"}, worktree)

    assert gates(repository, worktree) == [("uncommitted", ("untracked.txt",))]


def test_another_branch_and_a_detached_head_block(repository, worktree):
    repository.git("switch", "-q", "-c", "elsewhere", cwd=worktree)
    assert gates(repository, worktree) == [("wrong_branch", ())]

    repository.git("switch", "-q", "--detach", cwd=worktree)
    assert gates(repository, worktree) == [("wrong_branch", ())]


def start_merge(repository, worktree):
    repository.commit("mine", {"work.txt": "mine\n"})
    repository.git("merge", "main", cwd=worktree, check=False)


def start_rebase(repository, worktree):
    repository.commit("mine", {"work.txt": "mine\n"})
    repository.git("rebase", "main", cwd=worktree, check=False)


def start_am(repository, worktree):
    repository.commit("mine", {"work.txt": "mine\n"})
    patch = subprocess.run(
        ("git", "format-patch", "-1", "--stdout", "main"), cwd=repository.path, check=True, capture_output=True
    )
    subprocess.run(("git", "am"), cwd=worktree, input=patch.stdout, check=False, capture_output=True)


def start_cherry_pick(repository, worktree):
    repository.commit("mine", {"work.txt": "mine\n"})
    repository.git("cherry-pick", "main", cwd=worktree, check=False)


def start_revert(repository, worktree):
    repository.commit("more", {"work.txt": "more\n"}, worktree)
    repository.git("revert", "--no-edit", "HEAD~1", cwd=worktree, check=False)


def start_bisect(repository, worktree):
    repository.git("bisect", "start", cwd=worktree)


@pytest.mark.parametrize("start", [start_merge, start_rebase, start_am, start_cherry_pick, start_revert, start_bisect])
def test_an_operation_in_progress_blocks(repository, worktree, start):
    start(repository, worktree)

    found = [reason for reason, _ in gates(repository, worktree, require_clean=False)]

    assert found == ["operation_in_progress"], "and what follows from it is not told twice"


def test_paths_with_line_breaks_are_no_others(tmp_path):
    repository = Repository(tmp_path / "a\nb")
    worktree = repository.worktree(BRANCH)
    repository.commit("work", {"work.txt": "work\n"}, worktree)

    assert gates(repository, worktree) == []


def test_an_operation_in_another_worktree_does_not_block(repository, worktree):
    other = repository.worktree("other")
    start_bisect(repository, other)

    assert gates(repository, worktree) == []


def test_a_worktree_that_is_gone_leaves_what_was_committed(repository, worktree):
    shutil.rmtree(worktree)

    assert gates(repository, worktree) == []


def test_a_worktree_and_branch_that_are_gone_block(repository, worktree):
    repository.git("worktree", "remove", str(worktree))
    repository.git("branch", "-D", BRANCH)

    assert gates(repository, worktree) == [("wrong_branch", ())]


def test_a_folder_that_is_no_worktree_any_more_blocks(repository, worktree, tmp_path):
    (worktree / ".git").unlink()
    assert gates(repository, worktree) == [("wrong_branch", ())]

    subprocess.run(("git", "init", "-q", tmp_path), check=True)
    assert gates(repository, worktree) == [("wrong_branch", ())], "also below a stranger's repository"


def test_a_clone_in_place_of_the_worktree_blocks(repository, worktree):
    shutil.rmtree(worktree)
    repository.git("clone", "-q", "-b", BRANCH, str(repository.path), str(worktree))

    assert gates(repository, worktree) == [("wrong_branch", ())]


def test_a_plain_folder_inside_the_source_blocks(repository):
    worktree = repository.path / "workspaces/app"
    repository.git("worktree", "add", "-q", "-b", BRANCH, str(worktree))
    assert gates(repository, worktree) == []

    (worktree / ".git").unlink()
    assert gates(repository, worktree) == [("wrong_branch", ())]


# --- nested repositories ----------------------------------------------------------------------------


def test_repositories_in_the_worktree_block_and_ignored_ones_do_not(repository, worktree):
    (repository.path / ".git/info/exclude").write_text("vendor/\n")
    repository.commit("folder", {"lib/deep/a.txt": "a\n"}, worktree)
    for folder in ("fresh", "new/deep", "lib/deep", "vendor/ignored"):
        subprocess.run(("git", "init", "-q", worktree / folder), check=True)
    repository.commit("inside", {"a.txt": "a\n"}, worktree / "new/deep")

    assert gates(repository, worktree) == [("nested_repository", ("fresh", "lib/deep", "new/deep"))]
    assert gates(repository, worktree, require_clean=False) == [
        ("nested_repository", ("fresh", "lib/deep", "new/deep"))
    ]


def test_a_repository_that_was_added_without_being_a_submodule_blocks(repository, worktree):
    subprocess.run(("git", "init", "-q", worktree / "inner"), check=True)
    repository.commit("inside", {"a.txt": "a\n"}, worktree / "inner")
    repository.git("add", "inner", cwd=worktree)
    assert gates(repository, worktree) == [("nested_repository", ("inner",))]

    repository.git("commit", "-q", "-m", "embedded", cwd=worktree)
    assert gates(repository, worktree) == [("nested_repository", ("inner",))]


# --- submodules -------------------------------------------------------------------------------------


@pytest.fixture
def with_submodule(repository, tmp_path):
    """The app with an initialised submodule `libs/lib`, in the source and in a worktree."""
    Repository(tmp_path / "lib")
    repository.git("config", "--global", "protocol.file.allow", "always")
    repository.git("submodule", "--quiet", "add", "--name", "lib", str(tmp_path / "lib"), "libs/lib")
    repository.git("commit", "-q", "-m", "submodule")
    worktree = repository.worktree(BRANCH)
    repository.git("submodule", "--quiet", "update", "--init", cwd=worktree)
    return worktree


def test_a_submodule_as_it_was_passes(repository, with_submodule):
    repository.commit("work", {"work.txt": "work\n"}, with_submodule)

    assert gates(repository, with_submodule) == []


@pytest.mark.parametrize("change", ["changed.txt", "untracked.txt"])
def test_a_dirty_submodule_blocks_as_uncommitted_work_does(repository, with_submodule, change):
    repository.write({change: "mine\n"}, with_submodule / "libs/lib")

    assert gates(repository, with_submodule) == [("submodule", ("libs/lib",))]
    assert gates(repository, with_submodule, require_clean=False) == []


def test_a_submodule_commit_that_is_not_recorded_blocks(repository, with_submodule):
    repository.commit("inside", {"a.txt": "a\n"}, with_submodule / "libs/lib")

    assert gates(repository, with_submodule) == [("submodule", ("libs/lib",))]


def test_a_recorded_submodule_commit_blocks_until_the_source_has_it(repository, with_submodule):
    commit = repository.commit("inside", {"a.txt": "a\n"}, with_submodule / "libs/lib")
    repository.git("add", "libs/lib", cwd=with_submodule)
    assert gates(repository, with_submodule) == [("uncommitted", ("libs/lib",))]

    repository.git("commit", "-q", "-m", "record", cwd=with_submodule)
    assert gates(repository, with_submodule) == [("submodule", ("libs/lib",))]
    assert gates(repository, with_submodule, require_clean=False) == [("submodule", ("libs/lib",))]

    repository.git("fetch", "-q", str(with_submodule / "libs/lib"), commit, cwd=repository.path / "libs/lib")
    assert gates(repository, with_submodule) == []


def test_a_new_submodule_blocks_until_the_source_has_it(repository, worktree, tmp_path):
    Repository(tmp_path / "lib")
    repository.git("config", "--global", "protocol.file.allow", "always")
    repository.git("submodule", "--quiet", "add", str(tmp_path / "lib"), "lib", cwd=worktree)
    repository.git("commit", "-q", "-m", "submodule", cwd=worktree)
    assert gates(repository, worktree) == [("submodule", ("lib",))]

    repository.git("clone", "-q", str(tmp_path / "lib"), "lib")
    assert gates(repository, worktree) == []


# --- base, history, identity ------------------------------------------------------------------------


def test_a_base_that_is_not_there_or_is_the_branch_itself_blocks(repository, worktree):
    assert gates(repository, worktree, base="nobody") == [("no_base", ())]
    assert gates(repository, worktree, base=BRANCH) == [("no_base", ())]


def test_a_tag_or_remote_branch_is_no_base(repository, worktree):
    repository.git("tag", "release")
    repository.git("update-ref", "refs/remotes/origin/next", "main")

    assert gates(repository, worktree, base="release") == [("no_base", ())]
    assert gates(repository, worktree, base="next") == [("no_base", ())]


def test_unrelated_histories_block(repository, worktree):
    repository.git("switch", "-q", "--orphan", "task/orphan", cwd=worktree)
    repository.commit("orphan", {"a.txt": "a\n"}, worktree)

    assert gates(repository, worktree, branch="task/orphan") == [("unrelated", ())]


def test_a_shallow_history_says_how_to_get_the_rest(repository, tmp_path):
    repository.commit("second", {"a.txt": "a\n"})
    repository.commit("third", {"b.txt": "b\n"})
    shallow = Repository.__new__(Repository)
    shallow.path = tmp_path / "shallow" / "app"
    repository.git("clone", "-q", "--depth=1", f"file://{repository.path}", str(shallow.path))
    shallow.git("fetch", "-q", "--depth=1", "origin", repository.first)
    shallow.git("branch", BRANCH, repository.first)

    (blocked,) = merging().gates(shallow.request(tmp_path / "none", BRANCH), require_clean=True, exempt=())

    assert blocked.reason == "unrelated"
    assert "--unshallow" in blocked.message


def test_a_git_that_does_not_know_who_commits_blocks(repository, worktree, tmp_path):
    (tmp_path / "home/.gitconfig").write_text("[user]\nuseConfigOnly = true\n")
    assert gates(repository, worktree) == [("no_identity", ())]

    repository.git("config", "user.email", "ada@example.org")
    repository.git("config", "user.name", "Ada")
    assert gates(repository, worktree) == []


def test_an_identity_of_the_environment_is_the_callers_and_does_not_count(repository, worktree, tmp_path, monkeypatch):
    (tmp_path / "home/.gitconfig").write_text("[user]\nuseConfigOnly = true\n")
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Somebody")
    monkeypatch.setenv("GIT_COMMITTER_EMAIL", "somebody@example.org")

    assert gates(repository, worktree) == [("no_identity", ())]


def test_an_operation_on_the_base_blocks(repository, worktree):
    repository.branch_with({"changed.txt": "theirs\n"}, "other")
    repository.commit("mine", {"changed.txt": "mine\n"})
    repository.git("merge", "other", check=False)
    assert [reason for reason, _ in gates(repository, worktree)] == ["operation_in_progress"]
    repository.git("merge", "--abort")

    repository.git("rebase", "other", check=False)
    assert [reason for reason, _ in gates(repository, worktree)] == ["operation_in_progress"]
    repository.git("rebase", "--abort")
    assert gates(repository, worktree) == []

    start_bisect(repository, repository.path)
    assert gates(repository, worktree) == [], "a bisect goes back to wherever the base is then"


def test_all_reasons_are_told_at_once(repository, worktree, tmp_path):
    (tmp_path / "home/.gitconfig").write_text("[user]\nuseConfigOnly = true\n")
    repository.git("switch", "-q", "--detach", cwd=worktree)
    start_merge_like = repository.path / ".git/worktrees" / worktree.name / "MERGE_HEAD"
    start_merge_like.write_text(f"{repository.first}\n")
    repository.write({"untracked.txt": "x\n"}, worktree)
    subprocess.run(("git", "init", "-q", worktree / "inner"), check=True)

    assert gates(repository, worktree, base="nobody") == [
        ("operation_in_progress", ()),
        ("wrong_branch", ()),
        ("nested_repository", ("inner",)),
        ("uncommitted", ("untracked.txt",)),
        ("no_base", ()),
        ("no_identity", ()),
    ]


def test_looking_changes_nothing_and_runs_no_monitor(repository, worktree, tmp_path):
    monitor = tmp_path / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch '{tmp_path}/monitored'\n")
    monitor.chmod(0o755)
    repository.git("config", "core.fsmonitor", str(monitor))
    index = repository.path / ".git/worktrees" / worktree.name / "index"
    os.utime(worktree / "work.txt", (1, 1))
    before = index.read_bytes()

    assert gates(repository, worktree) == []
    assert index.read_bytes() == before
    assert not (tmp_path / "monitored").exists()
