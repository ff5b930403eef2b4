"""Running programs: output, errors, time limits, and interruption."""

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from metawsm_rpc.errors import CommandError, DependencyMissingError, HostError, InterruptedStepError
from metawsm_rpc.hosts import commands as commands_module
from metawsm_rpc.hosts.commands import Commands, last_words

WAIT = 60
"""Seconds within which anything that is awaited has long happened."""


@pytest.fixture
def commands():
    return Commands()


def sh(script, *args):
    return ("sh", "-c", script, "sh", *args)


def is_gone(pid):
    """Wait for a process that was killed to be gone; it may stay a zombie while nobody reaps it."""
    for _ in range(200):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.005)
    return False


class Running:
    """A script in a thread of its own; what it writes to `READY` says how far it is."""

    def __init__(self, commands, script, **options):
        self._read, self._write = os.pipe()
        self.error = self.finished = self.ended_at = None
        self._thread = threading.Thread(
            target=self._run, args=(commands, sh(script.replace("READY", f">/dev/fd/{self._write}")), options)
        )
        self._thread.start()

    def _run(self, commands, argv, options):
        try:
            self.finished = commands.run(argv, inherit=(self._write,), **options)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test looks at it
            self.error = error
        self.ended_at = time.monotonic()

    def line(self):
        said = b""
        while not said.endswith(b"\n"):
            said += os.read(self._read, 100)
        return said.decode().strip()

    def join(self):
        self._thread.join(WAIT)
        assert not self._thread.is_alive()
        os.close(self._write)
        os.close(self._read)


# --- what comes back --------------------------------------------------------------------------------


def test_arguments_reach_the_program_as_they_are(commands):
    arguments = ["", " ", "'", '"', "$(touch x)", "a\nb", "--", "*", "ü", "\udcff"]
    finished = commands.run(("printf", r"%s\0", *arguments))
    assert finished.text.split("\0")[:-1] == arguments


def test_output_and_errors_come_back_apart_and_whole(commands):
    size = 3_000_000
    finished = commands.run(sh(f"head -c {size} /dev/zero; head -c {size} /dev/zero | tr '\\0' e >&2"))
    assert finished.output == bytes(size)
    assert finished.errors == "e" * size


def test_what_is_given_is_read_also_when_it_is_more_than_a_pipe_holds(commands):
    assert commands.run(("cat",), stdin=b"x" * 3_000_000).output == b"x" * 3_000_000
    assert commands.run(("cat",), stdin="ü\udcff").text == "ü\udcff"
    assert commands.run(("true",), stdin=b"x" * 3_000_000).exit_code == 0
    assert commands.run(("cat",)).output == b""


def test_folder_and_environment_are_those_that_are_given(commands, tmp_path):
    finished = commands.run(sh("pwd; env"), cwd=str(tmp_path), environment={"PATH": os.environ["PATH"], "ONLY": "this"})
    assert finished.text.splitlines()[0] == str(tmp_path)
    assert "ONLY=this" in finished.text
    assert "HOME=" not in finished.text


def test_exit_codes_that_are_expected_are_no_error(commands):
    assert commands.run(sh("exit 3"), accept=(0, 3)).exit_code == 3
    assert commands.run(sh("exit 77"), accept=None).exit_code == 77


def test_the_end_of_a_long_output_can_be_kept_alone(commands):
    finished = commands.run(sh("seq 1000000; echo oops >&2; echo last"), tail_bytes=20)
    assert finished.output.endswith(b"000000\noops\nlast\n")
    assert len(finished.output) == 20
    assert finished.errors == ""


def test_a_program_left_in_the_background_holds_nobody_up(commands, tmp_path):
    started = time.monotonic()
    finished = commands.run(sh("echo done; sleep 60 & echo $! >pid"), cwd=str(tmp_path))
    assert finished.text == "done\n"
    assert time.monotonic() - started < 10
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_descriptor_is_inherited_only_when_asked_for(commands, tmp_path):
    with (tmp_path / "file").open("w") as file:
        number = file.fileno()
        os.set_inheritable(number, True)
        assert commands.run(sh(f"echo x >/dev/fd/{number}"), accept=None).exit_code != 0
        assert commands.run(sh(f"echo x >/dev/fd/{number}"), inherit=(number,)).exit_code == 0
    assert (tmp_path / "file").read_text() == "x\n"


# --- errors -----------------------------------------------------------------------------------------


def test_a_failure_says_what_failed_and_what_it_said(commands):
    with pytest.raises(CommandError) as caught:
        commands.run(sh("echo 'fatal: the disk is full' >&2; echo 'hint: buy one' >&2; exit 5"), label="git thing")
    assert caught.value.message == "git thing failed: the disk is full"
    assert caught.value.exit_code == 5
    assert caught.value.argv[:2] == ("sh", "-c")
    assert "hint: buy one" in caught.value.stderr
    assert caught.value.details["exitCode"] == 5


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 4", "it failed: exit code 4"),
        ("echo only >&1; exit 4", "it failed: only"),
        ("kill -9 $$", "it failed: signal 9"),
    ],
)
def test_a_failure_without_a_word_is_described(commands, script, message):
    with pytest.raises(CommandError) as caught:
        commands.run(sh(script), label="it")
    assert caught.value.message == message


def test_a_missing_program_is_named_with_what_to_do(commands):
    with pytest.raises(DependencyMissingError, match="no-such-program is not installed") as caught:
        commands.run(("no-such-program", "x"))
    assert "apt install no-such-program" in caught.value.hint


def test_a_missing_folder_is_not_taken_for_a_missing_program(commands):
    with pytest.raises(HostError, match="the folder /no/such/folder does not exist") as caught:
        commands.run(("true",), cwd="/no/such/folder")
    assert not isinstance(caught.value, DependencyMissingError)


@pytest.mark.parametrize("argv", [("/",), ("echo", "a\0b"), ("echo", "x" * 10_000_000)])
def test_what_cannot_be_started_is_an_error_of_the_host(commands, argv):
    with pytest.raises(HostError, match="could not start"):
        commands.run(argv, label="it")


@pytest.mark.parametrize(
    ("errors", "line"),
    [
        ("", ""),
        ("a\nb\n\n", "b"),
        ("fatal: x\nhint: y\nz\n", "x"),
        ("warning: x\nerror: one\nerror: two\nfatal: three\nAborting\n", "one; three"),
        ("fatal: same\nfatal: same\n", "same"),
        ("progress 1%\rprogress 2%\rfatal: \x1b[31mred\n", "[31mred"),
    ],
)
def test_the_line_that_says_what_went_wrong_is_found(errors, line):
    assert last_words(errors) == line


# --- time limits and interruption -------------------------------------------------------------------


def test_a_program_that_takes_too_long_is_ended_with_all_that_it_started(commands, tmp_path):
    started = time.monotonic()
    with pytest.raises(CommandError, match=r"the wait did not finish within 1 seconds and was ended: began"):
        commands.run(
            sh("echo began >&2; sleep 60 & echo $! >pid; wait"), cwd=str(tmp_path), timeout=1, label="the wait"
        )
    assert time.monotonic() - started < 20
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_the_end_of_the_time_lets_a_program_tidy_up(commands, tmp_path, monkeypatch):
    monkeypatch.setattr(commands_module, "_GRACE_SECONDS", 30)
    with pytest.raises(CommandError, match="did not finish"):
        commands.run(sh("trap 'touch tidy; exit' TERM; : >began; sleep 60 & wait"), cwd=str(tmp_path), timeout=0.3)
    assert (tmp_path / "tidy").exists() or not (tmp_path / "began").exists()


def test_a_program_that_never_stops_writing_is_ended_in_time_too(commands):
    with pytest.raises(CommandError, match=r"yes did not finish within 1 seconds and was ended: y"):
        commands.run(("yes",), timeout=1, tail_bytes=10)


def test_the_owner_can_set_the_time_limit_for_all():
    with pytest.raises(CommandError, match="did not finish within"):
        Commands(timeout=0.1).run(("sleep", "60"))


@pytest.mark.parametrize(
    "script",
    [
        "echo $$ READY; exec sleep 60",
        "trap '' TERM INT; echo $$ READY; while :; do sleep 60; done",
        "yes & echo $! READY; wait",
        "setsid sleep 30 & echo $$ READY; sleep 60",
    ],
    ids=["waits", "ignores", "writes", "leaves-a-pipe-open"],
)
def test_an_interrupt_ends_what_hangs_soon(commands, script):
    running = Running(commands, script)
    pid = int(running.line())
    asked = time.monotonic()
    commands.interrupt()
    running.join()
    assert running.ended_at - asked < 20  # without load, less than one
    assert isinstance(running.error, InterruptedStepError)
    assert is_gone(pid)


def test_who_interrupts_waits_for_nothing(commands, monkeypatch):
    monkeypatch.setattr(commands_module, "_GRACE_SECONDS", 60)
    running = Running(commands, "trap '' TERM; echo $$ READY; while :; do sleep 60; done")
    pid = int(running.line())
    commands.interrupt()
    assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    os.killpg(pid, signal.SIGKILL)
    running.join()


def test_an_interrupt_lets_a_program_tidy_up(commands, tmp_path):
    running = Running(
        commands, "touch lock; trap 'rm lock; exit' TERM; echo x READY; sleep 60 & wait", cwd=str(tmp_path)
    )
    running.line()
    assert (tmp_path / "lock").exists()
    commands.interrupt()
    running.join()
    assert not (tmp_path / "lock").exists()


def test_an_interrupt_ends_everything_at_once_and_refuses_more(commands):
    many = [Running(commands, "echo x READY; sleep 60") for _ in range(4)]
    for running in many:
        running.line()
    commands.interrupt()
    for running in many:
        running.join()
        assert isinstance(running.error, InterruptedStepError)
    with pytest.raises(InterruptedStepError, match="echo hi was interrupted"):
        commands.run(("echo", "hi"))
    commands.interrupt()


def test_an_interrupt_leaves_the_programs_of_others_alone(commands, tmp_path):
    other = Running(Commands(), "echo x READY; while [ ! -e go ]; do sleep 0.01; done; echo fine", cwd=str(tmp_path))
    other.line()
    commands.interrupt()
    (tmp_path / "go").touch()
    other.join()
    assert other.finished.text == "fine\n"


def test_a_keyboard_interrupt_ends_the_program(tmp_path):
    script = (
        "from metawsm_rpc.hosts.commands import Commands\n"
        "import sys\n"
        "try:\n"
        "    Commands().run(('sh', '-c', 'echo $$ >pid; sleep 0.5; echo ready >/dev/fd/%d; sleep 60' % int(sys.argv[1])), "
        "inherit=(int(sys.argv[1]),))\n"
        "except KeyboardInterrupt:\n"
        "    print('ended')\n"
    )
    read, write = os.pipe()
    process = subprocess.Popen(
        (sys.executable, "-c", script, str(write)),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        pass_fds=(write,),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert os.read(read, 10) == b"ready\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=WAIT)[0] == b"ended\n"
    assert is_gone(int((tmp_path / "pid").read_text()))
    os.close(read)
    os.close(write)


def test_an_interrupt_by_a_signal_handler_ends_the_program():
    """The handler runs in the thread that may be in the middle of starting a program."""
    script = (
        "import signal, sys\n"
        "from metawsm_rpc.errors import InterruptedStepError\n"
        "from metawsm_rpc.hosts.commands import Commands\n"
        "commands = Commands()\n"
        "signal.signal(signal.SIGALRM, lambda *_: commands.interrupt())\n"
        "signal.setitimer(signal.ITIMER_REAL, float(sys.argv[1]))\n"
        "try:\n"
        "    while True:\n"
        "        commands.run(('true',))\n"
        "except InterruptedStepError:\n"
        "    print('ended')\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for seconds in ("0.05", "0.0505", "0.051", "0.0515"):
        command = (sys.executable, "-c", script, seconds)
        said = subprocess.check_output(command, timeout=WAIT, env=environment)
        assert said == b"ended\n"


def test_a_terminals_ctrl_c_does_not_reach_the_program(commands):
    finished = commands.run((sys.executable, "-c", "import os; print(os.getsid(0) == os.getpid() == os.getpgid(0))"))
    assert finished.text == "True\n"


def test_nothing_is_left_open(commands):
    commands.run(("true",))
    before = psutil.Process().num_fds()
    for _ in range(5):
        commands.run(("cat",), stdin="x")
        with pytest.raises(CommandError):
            commands.run(("sleep", "60"), timeout=0.01)
    assert psutil.Process().num_fds() == before
