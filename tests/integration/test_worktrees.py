"""Worktrees are made once, whatever was there before and whoever is killed meanwhile."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from merging_support import Repository, use_private_git
from worktree_support import BRANCH, files, listed, refs, repo, spec, worktrees

from metawsm_rpc.errors import CommandError, HostError, InterruptedStepError

CONTENT = {"kept.txt": "kept\n", "changed.txt": "old\n", "removed.txt": "gone\n"}


@pytest.fixture(autouse=True)
def _private_git(tmp_path, monkeypatch):
    use_private_git(tmp_path / "home", monkeypatch)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "app", CONTENT)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "workspaces" / "2026-01-02" / "t-1" / "app"


@pytest.fixture
def git(tmp_path):
    return worktrees(tmp_path)


# --- making -----------------------------------------------------------------------------------------


def test_a_worktree_is_made_on_a_new_branch(repository, path, git):
    made = git.add(spec(repository, path))
    assert made == (str(path), BRANCH, repository.first, True, True)
    assert files(path) == CONTENT
    assert repository.git("status", "--porcelain", "--branch", cwd=path) == f"## {BRANCH}"


def test_a_worktree_that_is_there_is_answered_and_not_touched(repository, path, git):
    git.add(spec(repository, path))
    head = repository.commit("work", {"new.txt": "new"}, path)
    repository.write({"dirty.txt": "dirty"}, path)
    assert git.add(spec(repository, path)) == (str(path), BRANCH, head, False, False)
    assert (path / "dirty.txt").read_text() == "dirty"
    assert listed(repository) == [str(path)]


def test_a_worktree_in_the_middle_of_a_rebase_is_still_on_its_branch(repository, path, git):
    git.add(spec(repository, path))
    repository.commit("ours", {"changed.txt": "ours\n"}, path)
    repository.commit("theirs", {"changed.txt": "theirs\n"})
    assert repository.git("rebase", "main", cwd=path, check=False) == "1"
    assert not git.add(spec(repository, path)).created


@pytest.mark.parametrize(
    ("name", "branch"),
    [
        ("a b", "task/größe"),
        ("q'u\"o", "task/q'uo"),
        ("$(touch x)", "task/$(touch-x)"),
        ("n\nl", "task/#x;y%z"),
        ("-dash", "task/-dash"),
        ("ünï", "t"),
    ],
)
def test_any_name_is_only_a_name(tmp_path, git, name, branch):
    repository = Repository(tmp_path / name, {name: name})
    path = tmp_path / "workspaces" / name
    made = git.add(spec(repository, path, branch))
    assert (made.path, made.branch) == (str(path), branch)
    assert files(path) == {name: name}
    assert not git.add(spec(repository, path, branch)).created
    assert git.roll_back(str(path), str(repository.path), branch, repository.first).removed
    assert not path.exists()
    assert git.commit_of(str(repository.path), branch) is None
    assert not (tmp_path / "x").exists()


def test_a_branch_that_looks_like_an_option_is_refused(repository, path, git):
    with pytest.raises(HostError, match="'-f' cannot be a branch"):
        git.add(spec(repository, path, "-f"))
    assert not path.exists()


def test_a_branch_can_begin_at_anything_that_names_a_commit(repository, path, git):
    repository.git("tag", "v1")
    assert git.add(spec(repository, path, start="v1")).head == repository.first
    with pytest.raises(HostError, match="has no commit 'nope' where"):
        git.add(spec(repository, path.with_name("other"), "other", start="nope"))


def test_a_bare_repository_and_a_linked_worktree_are_sources_too(repository, path, git, tmp_path):
    repository.git("clone", "-q", "--bare", ".", str(tmp_path / "bare"))
    linked = repository.worktree("linked")
    for number, source in enumerate((tmp_path / "bare", linked)):
        made = git.add(spec(repository, path.with_name(str(number)))._replace(source=str(source)))
        assert files(Path(made.path)) == CONTENT


def test_what_is_no_repository_is_refused(repository, path, git, tmp_path):
    with pytest.raises(HostError, match="is not the top of a git repository"):
        git.add(spec(repository, path)._replace(source=str(tmp_path)))


# --- what was there before --------------------------------------------------------------------------


def test_a_branch_with_work_is_checked_out_as_it_stands(repository, path, git):
    tip = repository.branch_with({"new.txt": "new"}, BRANCH)
    assert git.add(spec(repository, path)) == (str(path), BRANCH, tip, True, False)
    assert (path / "new.txt").exists()


def test_a_tag_of_the_same_name_does_not_confuse(repository, path, git):
    tip = repository.branch_with({"new.txt": "new"}, BRANCH)
    repository.git("tag", BRANCH, repository.first)
    assert git.add(spec(repository, path)).head == tip
    assert repository.git("symbolic-ref", "HEAD", cwd=path) == f"refs/heads/{BRANCH}"
    assert repository.git("rev-parse", "HEAD", cwd=path) == tip


def test_an_empty_folder_is_used(repository, path, git):
    path.mkdir(parents=True)
    assert git.add(spec(repository, path)).created


@pytest.mark.parametrize("content", ["file", "folder", "link", "repository", "copy"])
def test_what_holds_something_else_is_refused_and_left_alone(repository, path, git, tmp_path, content):
    path.parent.mkdir(parents=True)
    if content == "file":
        path.write_text("mine")
    elif content == "folder":
        repository.write(CONTENT, path)
    elif content == "link":
        (tmp_path / "elsewhere").mkdir()
        path.symlink_to(tmp_path / "elsewhere")
    elif content == "repository":
        Repository(path, {"mine": "mine"})
    else:
        shutil.copytree(repository.worktree("other"), path)
    before = files(path.parent)
    with pytest.raises(HostError, match=f"{path} is (in the way|not empty)|{path} is not empty"):
        git.add(spec(repository, path))
    assert files(path.parent) == before
    assert git.commit_of(str(repository.path), BRANCH) is None


def test_a_worktree_of_another_branch_is_refused(repository, path, git):
    git.add(spec(repository, path, "other"))
    with pytest.raises(HostError, match=f"The worktree at {path} is on other and not on {BRANCH}"):
        git.add(spec(repository, path))


def test_a_branch_that_is_checked_out_elsewhere_is_refused_with_the_place(repository, path, git):
    elsewhere = repository.worktree(BRANCH)
    with pytest.raises(HostError, match=f"{BRANCH} is checked out at {elsewhere}"):
        git.add(spec(repository, path))
    with pytest.raises(HostError, match=f"main is checked out at {repository.path}"):
        git.add(spec(repository, path, "main"))
    assert not path.parent.exists()


def test_a_branch_that_cannot_be_made_is_refused_without_a_trace(repository, path, git):
    repository.git("branch", "task")
    with pytest.raises(CommandError, match="'refs/heads/task' exists; cannot create"):
        git.add(spec(repository, path))
    assert not path.parent.exists()


@pytest.mark.parametrize("moved", [False, True], ids=["same-path", "other-path"])
def test_a_worktree_whose_folder_was_deleted_is_made_again_from_its_branch(repository, path, git, moved):
    git.add(spec(repository, path))
    tip = repository.commit("work", {"new.txt": "new"}, path)
    shutil.rmtree(path)
    again = path.with_name("again") if moved else path
    assert git.add(spec(repository, again)) == (str(again), BRANCH, tip, True, False)
    assert listed(repository) == [str(again)]


def test_a_commit_that_only_a_deleted_worktree_had_is_kept(repository, path, git):
    git.add(spec(repository, path, "other"))
    repository.git("checkout", "-q", "--detach", cwd=path)
    lost = repository.commit("work", {"new.txt": "new"}, path)
    shutil.rmtree(path)
    assert git.add(spec(repository, path)).created
    assert lost in refs(repository).values()


def test_a_locked_worktree_that_is_gone_is_left_alone(repository, path, git):
    git.add(spec(repository, path))
    repository.git("worktree", "lock", "--reason", "on a stick", str(path))
    shutil.rmtree(path)
    with pytest.raises(HostError, match=f"worktree at {path} is gone but locked"):
        git.add(spec(repository, path))
    assert listed(repository) == [str(path)]


# --- failures ---------------------------------------------------------------------------------------


def test_a_place_that_cannot_be_written_leaves_nothing_behind(repository, git):
    with pytest.raises(HostError, match=r"git worktree add in .* failed"):
        git.add(spec(repository, Path("/proc/self/workspaces/app")))
    assert git.commit_of(str(repository.path), BRANCH) is None
    assert listed(repository) == []


def test_a_full_disk_leaves_nothing_behind(repository, path, git):
    """A filter that fails in the middle of the checkout is what a full disk looks like to git."""
    repository.commit("filter", {".gitattributes": "removed.txt filter=full\n"})
    repository.git("config", "filter.full.smudge", "echo no space left >&2; exit 1")
    repository.git("config", "filter.full.required", "true")
    with pytest.raises(
        CommandError, match=r"git worktree add in .* failed: .*; removed.txt: smudge filter full failed"
    ):
        git.add(spec(repository, path))
    assert not path.parents[2].exists()
    assert git.commit_of(str(repository.path), BRANCH) is None
    assert listed(repository) == []
    repository.git("config", "filter.full.smudge", "cat")
    assert git.add(spec(repository, path)).created


def test_a_failure_keeps_a_branch_that_was_there(repository, path, git):
    tip = repository.branch_with({"new.txt": "new"}, BRANCH)
    hook(repository, "echo this hook does not like it >&2; exit 3")
    with pytest.raises(CommandError, match="failed: this hook does not like it"):
        git.add(spec(repository, path))
    assert not path.exists()
    assert listed(repository) == []
    assert repository.commit_of(BRANCH) == tip


def hook(repository, script):
    file = repository.path / ".git" / "hooks" / "post-checkout"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def test_the_hook_of_the_repository_runs_and_may_leave_something_running(repository, path, git):
    hook(repository, "echo ran >hook.txt; sleep 30 & echo $! >hook.pid")
    started = time.monotonic()
    git.add(spec(repository, path))
    git.add(spec(repository, path.with_name("second"), "second"))
    assert time.monotonic() - started < 25
    for place in (path, path.with_name("second")):
        assert (place / "hook.txt").exists()
        os.kill(int((place / "hook.pid").read_text()), signal.SIGKILL)


# --- killed and interrupted -------------------------------------------------------------------------


@pytest.fixture
def slow(repository, tmp_path):
    """A filter that waits, in the middle of a checkout, until the file `go` exists."""
    os.mkfifo(tmp_path / "reached")
    script = tmp_path / "slow"
    script.write_text(
        f"#!/bin/sh\n[ -e '{tmp_path}/go' ] || echo $$ >'{tmp_path}/reached'\n"
        f"while [ ! -e '{tmp_path}/go' ]; do sleep 0.05; done\ncat\n"
    )
    script.chmod(0o755)
    repository.commit("filter", {".gitattributes": "removed.txt filter=slow\n"})
    repository.git("config", "filter.slow.smudge", str(script))
    return Slow(tmp_path)


class Slow:
    def __init__(self, folder):
        self._folder = folder

    def wait(self):
        """Wait until a checkout has come to the filter; returns the filter's pid."""
        return int((self._folder / "reached").read_text())

    def go(self):
        (self._folder / "go").touch()


def adding(root, wanted):
    """Add a worktree in a process of its own."""
    script = (
        "import sys\n"
        "from metawsm_rpc.hosts.commands import Commands\n"
        "from metawsm_rpc.hosts.git.worktrees import GitWorktrees\n"
        "from metawsm_rpc.ports.worktrees import WorktreeSpec\n"
        "made = GitWorktrees(Commands(60), sys.argv[1]).add(WorktreeSpec(*sys.argv[2:]))\n"
        "print(made.created, made.branch_created)\n"
    )
    return subprocess.Popen(
        (sys.executable, "-c", script, str(root), *wanted), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def kill_git(pid):
    """Kill the process group of a git with SIGKILL."""
    os.killpg(os.getpgid(pid), signal.SIGKILL)


@pytest.mark.parametrize("branch_exists", [False, True])
def test_a_kill_in_the_middle_is_made_good_by_the_next_attempt(repository, path, git, slow, tmp_path, branch_exists):
    wanted = spec(repository, path)
    if branch_exists:
        repository.branch_with({"new.txt": "new"}, BRANCH)
    process = adding(tmp_path, wanted)
    pid = slow.wait()
    group = os.getpgid(pid)
    process.kill()
    process.communicate()
    os.killpg(group, signal.SIGKILL)
    assert path.exists()
    slow.go()
    assert git.add(wanted).created
    assert repository.status(path) == []
    assert (path / "new.txt").exists() == branch_exists
    assert listed(repository) == [str(path)]
    assert repository.git("worktree", "prune", "--dry-run", "--verbose") == ""


def test_a_git_that_outlives_a_killed_metawsm_is_waited_for(repository, path, git, slow, tmp_path):
    process = adding(tmp_path, spec(repository, path))
    slow.wait()
    process.kill()
    process.communicate()
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(git.add(spec(repository, path))))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    slow.go()
    waiting.join(60)
    assert [answer.created for answer in answers] == [False]
    assert repository.status(path) == []


@pytest.mark.parametrize(
    "stage", ["initializing", "no-index", "no-files", "no-folder", "leftovers", "unnamed", "empty"]
)
def test_what_a_killed_git_leaves_is_made_anew(repository, path, git, stage):
    """Stages of `git worktree add` as its source has them, and of its own tidying up."""
    wanted = spec(repository, path)
    repository.git("worktree", "add", "-q", "-b", BRANCH, str(path))
    tip = repository.commit("work", {"new.txt": "new"}, path)
    own = repository.path / ".git" / "worktrees" / "app"
    (own / "index").unlink()
    (own / "index.lock").touch()
    (path / "kept.txt").write_text("half writ")
    if stage != "no-index":
        (own / "locked").write_text("initializing")
    if stage == "no-files":
        for name in (*CONTENT, "new.txt"):
            (path / name).unlink()
    elif stage == "no-folder":
        shutil.rmtree(path)
    elif stage in {"leftovers", "unnamed", "empty"}:
        (path / ".git").unlink()
        if stage == "unnamed":
            (own / "gitdir").unlink()
        elif stage == "empty":
            (own / "gitdir").write_text("")
        (repository.path / ".git" / "metawsm-worktree-add").write_text(f"/another/one\0{path}\0")
    assert git.add(wanted) == (str(path), BRANCH, tip, True, False)
    assert files(path) == CONTENT | {"new.txt": "new"}
    assert repository.status(path) == []
    assert listed(repository) == [str(path)]
    assert len(list(own.parent.iterdir())) == 1


def test_a_lock_that_a_killed_git_left_on_the_branch_is_removed_only_if_it_was_ours(repository, path, git):
    (repository.path / ".git" / "refs" / "heads" / "task").mkdir()
    lock = repository.path / ".git" / "refs" / "heads" / f"{BRANCH}.lock"
    lock.touch()
    with pytest.raises(CommandError, match="File exists"):
        git.add(spec(repository, path))
    assert lock.exists()
    (repository.path / ".git" / "metawsm-worktree-add").write_text(f"{path}\0")
    assert git.add(spec(repository, path)).branch_created
    assert not lock.exists()


def test_a_half_made_folder_with_a_persons_file_is_left_alone(repository, path, git):
    git.add(spec(repository, path))
    (repository.path / ".git" / "worktrees" / "app" / "locked").write_text("initializing")
    repository.write({"notes/mine.txt": "mine"}, path)
    with pytest.raises(HostError, match=r"half-made worktree with other files in it, such as notes/mine\.txt"):
        git.add(spec(repository, path))
    assert (path / "notes" / "mine.txt").read_text() == "mine"
    kept = git.remove(repo(repository, path), "refs/metawsm/s", ())
    assert not kept.removed
    assert "notes/mine.txt" in kept.reason


def test_an_interrupt_ends_a_hanging_git_soon(repository, path, git, slow, tmp_path):
    errors = []

    def add():
        with contextlib.suppress(InterruptedStepError):
            git.add(spec(repository, path))
            return
        errors.append("interrupted")

    thread = threading.Thread(target=add)
    thread.start()
    slow.wait()
    asked = time.monotonic()
    git.interrupt()
    thread.join(60)
    assert time.monotonic() - asked < 20  # without load, less than one
    assert errors == ["interrupted"]
    assert not path.exists()
    assert listed(repository) == []
    with pytest.raises(InterruptedStepError):
        git.add(spec(repository, path))
    slow.go()
    assert worktrees(tmp_path).add(spec(repository, path)).created


def test_an_interrupt_reaches_who_waits_for_a_turn(repository, path, git, slow, tmp_path):
    process = adding(tmp_path, spec(repository, path))
    slow.wait()
    other = worktrees(tmp_path)
    thread = threading.Thread(target=other.add, args=(spec(repository, path.with_name("b"), "b"),))
    for waiting in (git, worktrees(tmp_path)):
        caught = []

        def add(waiting=waiting, caught=caught):
            try:
                waiting.add(spec(repository, path.with_name("other"), "other"))
            except InterruptedStepError as error:
                caught.append(error)

        mine = threading.Thread(target=add)
        mine.start()
        waiting.interrupt()
        mine.join(1)
        assert caught
        if not thread.ident:
            thread.start()  # from now on a thread of this process is in the line too
    slow.go()
    thread.join(60)
    assert process.communicate(timeout=60)[0] == "True True\n"
    assert sorted(listed(repository)) == sorted([str(path), str(path.with_name("b"))])


def test_who_waits_too_long_is_told(repository, path, slow, tmp_path):
    process = adding(tmp_path, spec(repository, path))
    slow.wait()
    impatient = worktrees(tmp_path)
    impatient._commands.timeout = 0.1
    with pytest.raises(HostError, match="because another process is still at it"):
        impatient.add(spec(repository, path.with_name("other"), "other"))
    slow.go()
    assert process.wait(60) == 0
    process.communicate()


# --- many at once -----------------------------------------------------------------------------------


def test_many_threads_make_many_worktrees_of_one_repository(repository, path, git):
    specs = [spec(repository, path.with_name(f"n{number}"), f"task/n{number}") for number in range(8)]
    made = []
    threads = [threading.Thread(target=lambda wanted=wanted: made.append(git.add(wanted))) for wanted in specs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(worktree.branch for worktree in made) == sorted(wanted.branch for wanted in specs)
    assert all(worktree.created and files(Path(worktree.path)) == CONTENT for worktree in made)


def test_two_processes_make_worktrees_of_one_repository(repository, path, tmp_path):
    specs = [spec(repository, path.with_name(f"n{number}"), f"task/n{number}") for number in range(3)]
    processes = [adding(tmp_path, wanted) for wanted in specs for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[0] for process in processes)
    assert said == ["False False\n"] * 3 + ["True True\n"] * 3
    assert sorted(listed(repository)) == sorted(wanted.path for wanted in specs)


# --- sparse and shallow -----------------------------------------------------------------------------


def test_the_sparse_patterns_of_the_source_hold_in_the_worktree(tmp_path, path, git):
    repository = Repository(tmp_path / "app", {"in/a": "a", "out/b": "b", "top": "t"})
    repository.git("sparse-checkout", "set", "in")
    git.add(spec(repository, path))
    assert sorted(files(path)) == ["in/a", "top"]
    assert repository.git("sparse-checkout", "list", cwd=path) == "in"
    assert repository.status(path) == []


def test_a_shallow_source_stays_shallow(repository, tmp_path, path, git):
    repository.commit("second", {"new.txt": "new"})
    shallow = tmp_path / "shallow"
    repository.git("clone", "-q", "--depth", "1", repository.path.as_uri(), str(shallow))
    git.add(spec(repository, path)._replace(source=str(shallow)))
    assert repository.git("rev-list", "--count", "HEAD", cwd=path) == "1"
    assert repository.git("rev-parse", "--is-shallow-repository", cwd=path) == "true"


# --- git directories --------------------------------------------------------------------------------


def test_git_directories_are_known_before_and_after(repository, path, git):
    common = repository.path / ".git"
    expected = (str(common / "worktrees" / "app"), str(common))
    assert git.git_directories(repo(repository, path)) == expected
    git.add(spec(repository, path))
    assert git.git_directories(repo(repository, path)) == expected


# --- observing --------------------------------------------------------------------------------------


def test_a_clean_worktree_is_observed(repository, path, git):
    git.add(spec(repository, path))
    assert git.observe(repo(repository, path)) == repo(
        repository, path, head=repository.first, dirty_files=0, ahead=0, behind=0
    )


def test_work_is_counted(repository, path, git):
    git.add(spec(repository, path))
    head = repository.commit("one", {"one.txt": "1"}, path)
    repository.commit("theirs", {"theirs.txt": "1"})
    repository.commit("theirs", {"theirs.txt": "2"})
    names = ["a b", "n\nn", "ü", "folder/deep/file", 'q"']
    repository.write(
        dict.fromkeys(names, "x") | {"changed.txt": "new", ".gitignore": "ignored\n", "ignored": "x"}, path
    )
    repository.git("mv", "kept.txt", "moved.txt", cwd=path)
    (path / "removed.txt").unlink()
    repository.git("config", "status.showUntrackedFiles", "no")
    seen = git.observe(repo(repository, path))
    assert (seen.head, seen.dirty_files, seen.ahead, seen.behind) == (head, len(names) + 4, 1, 2)


@pytest.mark.parametrize("how", ["deleted", "never", "pruned"])
def test_a_worktree_that_is_gone_is_observed_as_gone(repository, path, git, how):
    if how != "never":
        git.add(spec(repository, path))
        shutil.rmtree(repository.path / ".git" / "worktrees" if how == "pruned" else path)
    seen = git.observe(repo(repository, path, head="x", dirty_files=1, ahead=1, behind=1))
    assert seen == repo(repository, path)


def test_a_base_that_is_gone_leaves_the_rest(repository, path, git):
    git.add(spec(repository, path))
    seen = git.observe(repo(repository, path)._replace(base="gone"))
    assert (seen.head, seen.dirty_files, seen.ahead, seen.behind) == (repository.first, 0, None, None)


# --- rolling back -----------------------------------------------------------------------------------


def test_an_add_is_rolled_back_to_nothing(repository, path, git):
    git.add(spec(repository, path))
    repository.write({".git/info/exclude": "node_modules\n.env\n"})
    repository.write({"node_modules/x/y.js": "x", ".env": "x"}, path)
    assert git.roll_back(str(path), str(repository.path), BRANCH, repository.first) == (str(path), True, None, ())
    assert not path.exists()
    assert listed(repository) == []
    assert git.commit_of(str(repository.path), BRANCH) is None
    assert git.roll_back(str(path), str(repository.path), BRANCH, repository.first).removed


def test_a_branch_that_had_work_before_stays_when_its_worktree_is_rolled_back(repository, path, git):
    tip = repository.branch_with({"new.txt": "new"}, BRANCH)
    git.add(spec(repository, path))
    assert git.roll_back(str(path), str(repository.path), BRANCH, repository.first).removed
    assert not path.exists()
    assert repository.commit_of(BRANCH) == tip


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        ("untracked", "uncommitted files, mine.txt"),
        ("changed", "uncommitted files, changed.txt"),
        ("commit", "commits were made in it"),
        ("detached", "not on its branch"),
        ("locked", "locked: mine"),
    ],
)
def test_what_holds_work_is_not_rolled_back(repository, path, git, work, reason):
    git.add(spec(repository, path))
    if work == "untracked":
        repository.write({"mine.txt": "mine"}, path)
    elif work == "changed":
        repository.write({"changed.txt": "mine"}, path)
    elif work == "commit":
        repository.commit("mine", {"mine.txt": "mine"}, path)
    elif work == "detached":
        repository.git("checkout", "-q", "--detach", cwd=path)
    else:
        repository.git("worktree", "lock", "--reason", "mine", str(path))
    kept = git.roll_back(str(path), str(repository.path), BRANCH, repository.first)
    assert not kept.removed
    assert reason in kept.reason
    assert path.exists()
    assert git.commit_of(str(repository.path), BRANCH)


def test_what_is_no_worktree_of_ours_is_not_rolled_back(repository, path, git):
    repository.write({"mine.txt": "mine"}, path)
    kept = git.roll_back(str(path), str(repository.path), BRANCH, repository.first)
    assert not kept.removed
    assert files(path) == {"mine.txt": "mine"}


def test_a_half_made_worktree_is_rolled_back(repository, path, git):
    git.add(spec(repository, path))
    (repository.path / ".git" / "worktrees" / "app" / "locked").write_text("initializing")
    assert git.roll_back(str(path), str(repository.path), BRANCH, repository.first).removed
    assert not path.exists()
    assert git.commit_of(str(repository.path), BRANCH) is None


# --- commits and branches ---------------------------------------------------------------------------


def test_a_branch_is_meant_before_a_tag(repository, git):
    tip = repository.branch_with({"new.txt": "new"}, "both")
    repository.git("tag", "both", repository.first)
    assert git.commit_of(str(repository.path), "both") == tip
    assert git.commit_of(str(repository.path), "refs/tags/both") == repository.first


def test_unmerged_commits_are_counted(repository, git):
    source = str(repository.path)
    repository.branch_with({"new.txt": "new"}, BRANCH)
    assert git.unmerged_commits(source, BRANCH, "main") == 1
    assert git.unmerged_commits(source, "main", BRANCH) == 0
    assert git.unmerged_commits(source, "nope", "main") is None
    with pytest.raises(HostError, match="has no branch nope"):
        git.unmerged_commits(source, BRANCH, "nope")


def test_a_branch_is_deleted_only_when_its_work_is_elsewhere_too(repository, path, git):
    source = str(repository.path)
    repository.branch_with({"new.txt": "new"}, BRANCH)
    assert not git.delete_branch(source, BRANCH, "main")
    assert not git.delete_branch(source, BRANCH, "nope")
    repository.git("merge", "-q", BRANCH)
    git.add(spec(repository, path))
    assert not git.delete_branch(source, BRANCH, "main")
    assert not git.delete_branch(source, "main", "main")
    repository.git("worktree", "remove", str(path))
    assert git.delete_branch(source, BRANCH, "main")
    assert git.commit_of(source, BRANCH) is None
    assert git.delete_branch(source, BRANCH, "main")
