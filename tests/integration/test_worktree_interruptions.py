"""Adding worktrees when git is killed, interrupted, or run by several processes at once."""

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
from worktree_support import BRANCH, files, listed, repo, spec, worktrees

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
