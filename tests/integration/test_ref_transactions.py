"""Moving branches in two phases: locked, refused, let go of, and recovered after a kill."""

import os
import select
import signal
import subprocess
import sys

import pytest
from merging_support import Repository, merging, use_private_git

from metawsm_rpc.errors import BaseMovedError, HostError, InterruptedStepError, RefLockedError
from metawsm_rpc.hosts.commands import Commands
from metawsm_rpc.hosts.git import ref_transactions
from metawsm_rpc.hosts.git.merging import GitMerging
from metawsm_rpc.ports.merging import RefMove


@pytest.fixture(autouse=True)
def _private_git(tmp_path, monkeypatch):
    use_private_git(tmp_path / "home", monkeypatch)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "app")


@pytest.fixture
def git_merging():
    opened = merging()
    yield opened
    opened.abort("run")
    opened.abort("other")


def ready(repository):
    return repository.move(repository.branch_with({"added.txt": "added\n"}))


def locks_of(repository):
    return sorted(str(lock.relative_to(repository.path / ".git")) for lock in repository.path.glob(".git/**/*.lock"))


def hook(repository, script):
    file = repository.path / ".git/hooks/reference-transaction"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


# --- the two phases ---------------------------------------------------------------------------------


def test_a_prepared_move_happens_at_commit_and_not_before(repository, git_merging):
    move = ready(repository)

    git_merging.prepare("run", move)
    assert git_merging.base_commit(str(repository.path), "main") == move.old
    git_merging.advance_checkouts(move)
    git_merging.commit("run")

    assert git_merging.base_commit(str(repository.path), "main") == move.new
    assert repository.status() == []
    assert locks_of(repository) == []


def test_the_reflogs_of_branch_and_head_name_the_close(repository, git_merging):
    repository.git("switch", "-q", "--detach")
    linked = repository.path.parent / "linked"
    repository.git("worktree", "add", "-q", str(linked), "main")
    repository.git("switch", "-q", "-c", "elsewhere")
    repository.write({"x": "x"})
    tip = repository.commit("new", {"x": "x"})
    move = repository.move(tip)

    git_merging.prepare("run", move)
    git_merging.commit("run")

    assert "metawsm: close" in repository.git("reflog", "-1", "main")
    assert "metawsm: close" in repository.git("reflog", "-1", "HEAD", cwd=linked)


def test_a_persons_commit_is_refused_while_a_move_is_prepared(repository, git_merging):
    move = ready(repository)
    git_merging.prepare("run", move)

    repository.write({"mine.txt": "mine\n"})
    repository.git("add", "mine.txt")
    assert repository.git("commit", "-q", "-m", "mine", check=False) != "0"

    git_merging.abort("run")
    repository.git("commit", "-q", "-m", "mine")


def test_abort_lets_go_and_is_harmless_when_there_is_nothing(repository, git_merging):
    move = ready(repository)
    git_merging.prepare("run", move)
    assert locks_of(repository) == ["HEAD.lock", "refs/heads/main.lock"]

    git_merging.abort("run")
    git_merging.abort("run")

    assert locks_of(repository) == []
    assert repository.commit_of("main") == move.old


def test_preparing_again_under_the_same_key_replaces_what_was_prepared(repository, git_merging):
    move = ready(repository)
    git_merging.prepare("run", move)
    git_merging.prepare("run", move)
    git_merging.commit("run")

    assert repository.commit_of("main") == move.new


def test_a_second_repository_that_fails_leaves_the_first_as_it_was(tmp_path, git_merging):
    first, second = Repository(tmp_path / "first"), Repository(tmp_path / "second")
    moves = [ready(first), ready(second)]
    second.commit("mine", {"mine.txt": "mine\n"})

    git_merging.prepare("run", moves[0])
    git_merging.advance_checkouts(moves[0])
    with pytest.raises(BaseMovedError):
        git_merging.prepare("other", moves[1])
    git_merging.restore_checkouts(moves[0])
    git_merging.abort("run")

    assert first.commit_of("main") == moves[0].old
    assert first.status() == []
    assert locks_of(first) == locks_of(second) == []
    first.commit("a person can go on", {"mine.txt": "mine\n"})


@pytest.mark.parametrize("base", ["release/größe", "a/b/c"])
def test_bases_with_slashes_and_other_letters_are_moved_also_when_they_are_packed(repository, git_merging, base):
    repository.git("branch", base)
    repository.git("pack-refs", "--all")
    tip = repository.branch_with({"added.txt": "added\n"})
    move = repository.move(tip, base=base)

    git_merging.prepare("run", move)
    git_merging.commit("run")

    assert git_merging.base_commit(str(repository.path), base) == tip


def test_a_bare_repository_is_moved(repository, git_merging, tmp_path):
    tip = repository.branch_with({"added.txt": "added\n"})
    bare = tmp_path / "bare.git"
    repository.git("clone", "-q", "--bare", str(repository.path), str(bare))
    move = RefMove("bare", str(bare), "main", repository.commit_of("main"), tip, ())

    git_merging.prepare("run", move)
    git_merging.advance_checkouts(move)
    git_merging.commit("run")

    assert git_merging.base_commit(str(bare), "main") == tip


def test_commit_without_prepare_is_an_error(git_merging):
    with pytest.raises(HostError, match="Nothing is prepared"):
        git_merging.commit("run")


def test_a_git_that_was_killed_while_prepared_does_not_commit_silently(repository, git_merging):
    git_merging.prepare("run", ready(repository))
    process = git_merging._transactions._prepared["run"]._process
    process.kill()
    process.wait()

    with pytest.raises(HostError, match="did not confirm"):
        git_merging.commit("run")


def test_an_interrupt_ends_the_wait_for_a_hook_that_hangs(repository, tmp_path):
    move = ready(repository)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    hook(repository, f"[ $1 != prepared ] || read line < '{gate}'")
    program = (
        "import threading\n"
        "from metawsm_rpc.hosts.commands import Commands\n"
        "from metawsm_rpc.hosts.git.merging import GitMerging\n"
        "from metawsm_rpc.ports.merging import RefMove\n"
        "from metawsm_rpc.errors import InterruptedStepError\n"
        "commands = Commands()\n"
        f"threading.Thread(target=lambda: (open({str(gate)!r}, 'w'), commands.interrupt(), input())).start()\n"
        "try:\n"
        f"    GitMerging(commands).prepare('run', RefMove(*{tuple(move)!r}))\n"
        "except InterruptedStepError:\n"
        "    print('interrupted')\n"
    )
    done = subprocess.run((sys.executable, "-c", program), input="\n", capture_output=True, text=True, check=True)

    assert done.stdout == "interrupted\n"
    assert locks_of(repository) == []


# --- refusals ---------------------------------------------------------------------------------------


def test_a_base_that_moved_is_told_from_a_base_that_is_locked(repository, git_merging):
    move = ready(repository)
    lock = repository.path / ".git/refs/heads/main.lock"
    lock.touch()
    with pytest.raises(RefLockedError):
        git_merging.prepare("run", move)
    lock.unlink()

    repository.commit("mine", {"mine.txt": "mine\n"})
    with pytest.raises(BaseMovedError):
        git_merging.prepare("run", move)
    assert locks_of(repository) == []


def test_a_base_that_was_deleted_has_moved(repository, git_merging):
    move = ready(repository)
    repository.git("switch", "-q", "--detach")
    repository.git("branch", "-D", "main")

    with pytest.raises(BaseMovedError):
        git_merging.prepare("run", move)


def test_a_hook_can_veto_the_move_and_its_words_are_told(repository, git_merging):
    move = ready(repository)
    hook(repository, "[ $1 != prepared ] || { echo 'main is frozen' >&2; exit 1; }")

    with pytest.raises(RefLockedError, match=r"hook refuses.*main is frozen"):
        git_merging.prepare("run", move)

    assert locks_of(repository) == []


def test_a_hook_that_prints_a_lot_does_not_block_the_move(repository, git_merging):
    move = ready(repository)
    hook(repository, "head -c 300000 /dev/zero | tr '\\0' 'x'; head -c 300000 /dev/zero | tr '\\0' 'x' >&2")

    git_merging.prepare("run", move)
    git_merging.commit("run")

    assert repository.commit_of("main") == move.new


def test_a_hook_that_never_ends_is_given_up(repository, git_merging, monkeypatch, tmp_path):
    monkeypatch.setattr(ref_transactions, "_ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(ref_transactions, "_END_SECONDS", 0.2)
    move = ready(repository)
    gate = tmp_path / "gate"
    script = hook(repository, f"[ $1 != prepared ] || until [ -e '{gate}' ]; do sleep 0.05; done")

    with pytest.raises(RefLockedError):
        git_merging.prepare("run", move)
    gate.touch()
    script.unlink()

    assert locks_of(repository) == []


# --- recovery ---------------------------------------------------------------------------------------

needs_pidfd = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="only Linux tells the end of a process that is not a child"
)

PREPARING = """
import subprocess, sys
from metawsm_rpc.hosts.commands import Commands
from metawsm_rpc.hosts.git.merging import GitMerging
from metawsm_rpc.ports.merging import RefMove
merging = GitMerging(Commands())
move = RefMove(*{move!r})
merging.prepare("run", move)
merging.advance_checkouts(move)
other = subprocess.Popen(("sleep", "60"))
print(merging._transactions._prepared["run"]._process.pid, other.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def prepared_elsewhere(repository):
    """A move prepared by another process, which has started a child afterwards that outlives it."""
    move = ready(repository)
    with subprocess.Popen(
        (sys.executable, "-c", PREPARING.format(move=tuple(move))),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        git, other = map(int, child.stdout.readline().split())
        yield move, child, git
        os.kill(other, signal.SIGKILL)
        child.kill()


def wait_for_end_of(pid):
    """Wait until a process that is not ours has ended, be it as a zombie."""
    descriptor = os.pidfd_open(pid)
    assert select.select([descriptor], [], [], 20)[0], "it did not end"
    os.close(descriptor)


@needs_pidfd
def test_locks_are_let_go_of_when_metawsm_is_killed(repository, prepared_elsewhere):
    move, child, git = prepared_elsewhere
    assert locks_of(repository) == ["HEAD.lock", "refs/heads/main.lock"]

    child.kill()
    wait_for_end_of(git)

    assert locks_of(repository) == []
    assert repository.commit_of("main") == move.old
    merging().restore_checkouts(move)
    assert repository.status() == []


@needs_pidfd
def test_after_the_decision_a_new_process_finishes_what_a_killed_one_began(repository, prepared_elsewhere):
    move, child, git = prepared_elsewhere
    child.kill()
    wait_for_end_of(git)

    recovery = merging()
    for _ in range(2):
        recovery.advance_checkouts(move)
        recovery.move(move)

    assert repository.commit_of("main") == move.new
    assert repository.status() == []


@needs_pidfd
def test_locks_of_a_killed_git_are_removed_and_those_of_a_living_one_are_not(repository, prepared_elsewhere):
    move, _, git = prepared_elsewhere
    recovery = merging()

    assert not recovery.clear_stale_lock(move.source, move.base)
    assert locks_of(repository) == ["HEAD.lock", "refs/heads/main.lock"]

    os.kill(git, signal.SIGKILL)
    wait_for_end_of(git)  # the child has not reaped it: it is a zombie, which holds nothing
    assert locks_of(repository) == ["HEAD.lock", "refs/heads/main.lock"]
    assert not recovery.clear_stale_lock(move.source, move.base, move.old), "of a move to another commit"
    assert recovery.clear_stale_lock(move.source, move.base, move.new)
    assert locks_of(repository) == []
    assert recovery.clear_stale_lock(move.source, move.base), "free already"
    recovery.move(move)
    assert repository.commit_of("main") == move.new


def test_a_lock_that_a_program_has_open_is_not_removed(repository):
    lock = repository.path / ".git/refs/heads/main.lock"
    program = f"lock = open({str(lock)!r}, 'x'); print(flush=True); input()"
    with subprocess.Popen(
        (sys.executable, "-c", program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert not merging().clear_stale_lock(str(repository.path), "main")
        holder.kill()
        holder.wait()

    assert merging().clear_stale_lock(str(repository.path), "main")


def test_a_pager_that_is_open_keeps_no_lock(repository):
    lock = repository.path / ".git/refs/heads/main.lock"
    with subprocess.Popen(
        ("git", "cat-file", "--batch"), cwd=repository.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ):
        lock.touch()
        assert merging().clear_stale_lock(str(repository.path), "main")


def test_a_lock_of_head_that_outlived_the_move_itself_is_removed(repository):
    move = ready(repository)
    merging().advance_checkouts(move)
    merging().move(move)
    (repository.path / ".git/HEAD.lock").touch()

    assert merging().clear_stale_lock(move.source, move.base, move.new)
    assert locks_of(repository) == []


def test_a_lock_in_a_bare_repository_is_removed(repository, tmp_path):
    bare = tmp_path / "bare.git"
    repository.git("clone", "-q", "--bare", str(repository.path), str(bare))
    (bare / "refs/heads").mkdir(parents=True, exist_ok=True)
    for lock in ("refs/heads/main.lock", "HEAD.lock"):
        (bare / lock).touch()

    assert merging().clear_stale_lock(str(bare), "main")
    assert list(bare.glob("**/*.lock")) == []


def test_move_is_harmless_when_later_commits_contain_it(repository):
    move = ready(repository)
    recovery = merging()
    recovery.advance_checkouts(move)
    recovery.move(move)
    later = repository.commit("mine", {"mine.txt": "mine\n"})

    recovery.move(move)

    assert repository.commit_of("main") == later


def test_move_refuses_a_base_that_went_somewhere_else(repository):
    move = ready(repository)
    mine = repository.commit("mine", {"mine.txt": "mine\n"})

    with pytest.raises(BaseMovedError):
        merging().move(move)

    assert repository.commit_of("main") == mine


def test_interrupted_merging_prepares_nothing(repository):
    move = ready(repository)
    commands = Commands()
    commands.interrupt()

    with pytest.raises(InterruptedStepError):
        GitMerging(commands).prepare("run", move)
    assert locks_of(repository) == []
