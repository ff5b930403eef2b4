"""Setup commands of the policy, in a worktree, by the one shell that metawsm uses."""

import os
import threading
import time

import pytest
from worktree_support import worktrees

from metawsm_rpc.errors import CommandError, HostError, InterruptedStepError
from metawsm_rpc.ports.worktrees import SetupCommand

PATH = {"PATH": os.environ["PATH"]}


@pytest.fixture
def git(tmp_path):
    return worktrees(tmp_path)


def test_a_setup_command_runs_in_the_worktree_with_the_environment_given(git, tmp_path):
    command = SetupCommand('pwd; echo "$WHO" >&2; env | grep -c HOME; echo "a b" | wc -w', 60, "fail")
    assert git.set_up(str(tmp_path), command, PATH | {"WHO": "$(touch x)"}).split() == [
        str(tmp_path),
        "$(touch",
        "x)",
        "0",
        "2",
    ]
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("on_failure", ["fail", "warn"])
def test_a_failure_is_told_with_the_end_of_what_was_printed(git, tmp_path, on_failure):
    command = SetupCommand("seq 100000; echo installing; echo no such package; exit 4", 60, on_failure)
    with pytest.raises(CommandError, match=r"The setup command `seq 100000; .*` failed: no such package") as caught:
        git.set_up(str(tmp_path), command, PATH)
    assert caught.value.exit_code == 4
    assert caught.value.stderr.endswith("100000\ninstalling\nno such package\n")
    assert len(caught.value.stderr) < 10_000


def test_only_the_end_of_a_long_output_is_kept(git, tmp_path):
    said = git.set_up(str(tmp_path), SetupCommand("seq 1000000", 60, "fail"), PATH)
    assert said.endswith("\n999999\n1000000\n")
    assert len(said) < 10_000


def test_a_command_that_takes_too_long_is_ended_with_its_children(git, tmp_path):
    started = time.monotonic()
    with pytest.raises(CommandError, match=r"did not finish within 1 seconds and was ended: waiting"):
        git.set_up(str(tmp_path), SetupCommand("echo waiting; sleep 60 | sleep 60", 1, "fail"), PATH)
    assert time.monotonic() - started < 20


def test_an_interrupt_ends_a_command(git, tmp_path):
    os.mkfifo(tmp_path / "began")
    caught = []

    def run():
        try:
            git.set_up(str(tmp_path), SetupCommand("echo x >began; sleep 60", 60, "fail"), PATH)
        except InterruptedStepError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    (tmp_path / "began").read_text()
    git.interrupt()
    thread.join(1)
    assert caught


def test_a_worktree_that_is_gone_is_told(git, tmp_path):
    with pytest.raises(HostError, match=r"the folder .*/gone does not exist"):
        git.set_up(str(tmp_path / "gone"), SetupCommand("true", 60, "fail"), PATH)
