import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from metawsm_rpc.hosts import processes
from metawsm_rpc.hosts.death_watch import DeathWatch
from metawsm_rpc.hosts.tmux import process_sessions

LAUNCH = f"launch-of-{os.getpid()}"


@pytest.fixture
def spawn():
    started = []

    def spawn(*argv, **options):
        started.append(subprocess.Popen(argv or ("sleep", "1000"), **options))
        return started[-1]

    yield spawn
    for child in started:
        child.kill()
        child.wait()
        if child.stdout:
            child.stdout.close()


@pytest.fixture(params=["kernel", "polling"])
def watch(request, monkeypatch):
    if request.param == "polling":

        def refuse(_):
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(os, "pidfd_open", refuse, raising=False)
    with DeathWatch() as watch:
        yield watch


def test_a_death_is_told_once_under_its_key(watch, spawn):
    one, other = spawn(), spawn()
    watch.add("one", one.pid)
    watch.add("other", other.pid)
    one.kill()
    assert watch.wait(60) == ("one",)
    assert watch.wait(0) == ()
    other.kill()
    assert watch.wait(60) == ("other",)


def test_a_death_before_the_watch_is_told_too(watch, spawn):
    zombie, gone = spawn("true"), spawn("true")
    gone.wait()
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    watch.add("zombie", zombie.pid)
    watch.add("gone", gone.pid)
    told = set()
    while len(told) < 2:
        told.update(watch.wait(60))
    assert told == {"zombie", "gone"}


def test_waiting_ends_in_time(watch, spawn):
    watch.add("key", spawn().pid)
    before = time.monotonic()
    assert watch.wait(0.1) == ()
    assert 0.09 < time.monotonic() - before < 10
    assert watch.wait(0) == ()


def test_another_thread_wakes_it(watch, spawn):
    watch.add("key", spawn().pid)
    waker = threading.Timer(0.05, watch.wake)
    waker.start()
    assert watch.wait(None) == ()
    waker.join()
    watch.wake()
    assert watch.wait(None) == ()


def test_another_thread_adds_while_it_waits(watch, spawn):
    watch.add("first", spawn().pid)
    dying = spawn("sleep", "0.05")
    adder = threading.Timer(0.02, watch.add, ("second", dying.pid))
    adder.start()
    assert watch.wait(60) == ("second",)
    adder.join()


def test_what_is_discarded_is_not_told(watch, spawn):
    child, gone = spawn(), spawn("true")
    gone.wait()
    watch.add("child", child.pid)
    watch.add("gone", gone.pid)
    watch.discard("child")
    watch.discard("gone")
    watch.discard("never added")
    child.kill()
    child.wait()
    assert watch.wait(0.05) == ()


def test_a_key_that_is_added_again_stands_for_the_new_process(watch, spawn):
    old, new = spawn(), spawn()
    watch.add("agent", old.pid)
    watch.add("agent", new.pid)
    old.kill()
    old.wait()
    assert watch.wait(0.05) == ()
    new.kill()
    assert watch.wait(60) == ("agent",)


def test_many_deaths_are_all_told(watch, spawn):
    children = [spawn() for _ in range(60)]
    for number, child in enumerate(children):
        watch.add(number, child.pid)
    for child in children:
        child.kill()
    told = set()
    while len(told) < len(children):
        told.update(watch.wait(60))


def test_waking_after_the_end_is_harmless():
    watch = DeathWatch[str]()
    watch.close()
    watch.wake()


def test_descriptors_are_closed_and_not_inherited(spawn):
    before = _descriptors()
    with DeathWatch() as watch:
        watch.add("key", spawn().pid)
        new = _descriptors() - before
        assert len(new) >= 4
        assert all(fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for number in new)
    assert _descriptors() == before


def _descriptors():
    numbers = {int(path.name) for path in Path("/proc/self/fd").iterdir()}
    return {number for number in numbers if Path(f"/proc/self/fd/{number}").exists() or number < 3}


# --- whose a process is ---------------------------------------------------------------------------------


def test_a_zombie_does_not_run(spawn):
    child = spawn("true")
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not processes.runs(child.pid)
    assert processes.runs(os.getpid())


def test_a_process_is_known_by_its_environment_or_its_command_line(spawn):
    by_environment = _ready(spawn, env={**os.environ, "METAWSM_LAUNCH": LAUNCH})
    by_command = _ready(spawn, LAUNCH)
    stranger = _ready(spawn, env={**os.environ, "METAWSM_LAUNCH": f"{LAUNCH}0", "X": f"METAWSM_LAUNCH={LAUNCH}"})
    assert processes.bears(by_environment.pid, LAUNCH)
    assert processes.bears(by_command.pid, LAUNCH)
    assert not processes.bears(stranger.pid, LAUNCH)
    assert [pid for pid, _ in processes.carriers(LAUNCH)] == [by_environment.pid]


def test_a_name_with_brackets_and_spaces_does_not_hide_a_state(spawn, tmp_path):
    program = tmp_path / "a) Z (b"
    program.symlink_to(sys.executable)
    child = _ready(spawn, program=str(program))
    assert processes.runs(child.pid)


# --- ending a process session -----------------------------------------------------------------------------


def test_a_session_without_its_leader_is_known_by_who_is_left(spawn):
    leader = spawn(
        "sh",
        "-c",
        "sleep 1000 & echo $!; exec sleep 1000",
        env={**os.environ, "METAWSM_LAUNCH": LAUNCH},
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    left = int(leader.stdout.readline())
    leader.kill()
    leader.wait()
    assert not process_sessions.belongs(leader.pid, "another")
    assert process_sessions.belongs(leader.pid, LAUNCH)
    assert process_sessions.end(leader.pid, 0) == (left,)
    assert process_sessions.survivors(LAUNCH, leader.pid) == ()


def test_a_process_that_has_forked_meanwhile_does_not_escape(spawn):
    code = "import os\nprint('up', flush=True)\nfor _ in range(2000):\n    if os.fork(): os._exit(0)"
    leader = spawn(sys.executable, "-c", code, start_new_session=True, stdout=subprocess.PIPE)
    leader.stdout.readline()
    process_sessions.end(leader.pid, 0)
    assert processes.members(leader.pid) == []


def test_this_process_never_ends_itself():
    assert os.getpid() not in processes.members(os.getsid(0))


def _ready(spawn, *words, program=sys.executable, **options):
    """A process that has executed its program."""
    code = "import time; print('up', flush=True); time.sleep(1000)"
    child = spawn(program, "-c", code, *words, stdout=subprocess.PIPE, **options)
    assert child.stdout.readline() == b"up\n"
    return child
