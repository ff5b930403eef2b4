import ast
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from terminal_support import SOCKET, private_server, tmux, until, wait_for_death

from metawsm_rpc.errors import HostError
from metawsm_rpc.hosts import processes
from metawsm_rpc.hosts.tmux import launches

ODD_WORDS = (
    "",
    " ",
    "-n",
    "--",
    "'",
    "''",
    '"',
    "\\",
    "$HOME $(id) `id`",
    "two\nlines\n",
    "*",
    "a;b|c&d>e<f!g#h~i",
    "#(touch x)",
    "%Y",
    "ä漢\u202e",
    "end;",
    os.fsdecode(bytes(range(1, 256))),
)

TELL = """
import os, sys
with open(sys.argv[1] + ".new", "wb") as file:
    file.write(repr((sys.argv[2:], dict(os.environ), os.getcwd(), os.umask(0))).encode("utf-8", "backslashreplace"))
os.rename(sys.argv[1] + ".new", sys.argv[1])
"""


@pytest.fixture
def agents(monkeypatch):
    with private_server(monkeypatch) as agents:
        yield agents


def told(agents, *words, **changes):
    """Run an agent that tells its arguments, environment, folder and umask."""
    answer = agents.root / "told"
    agents.ended(sys.executable, "-c", TELL, str(answer), *words, **changes)
    return ast.literal_eval(answer.read_text())


def shell_pid(pid):
    """The process that the shim runs."""
    return until(lambda: [child for child in processes.members(pid) if child != pid])[0]


# --- what the agent gets ------------------------------------------------------------------------------


def test_every_byte_of_an_argument_arrives(agents):
    arguments, *_ = told(agents, *ODD_WORDS)
    assert arguments == list(ODD_WORDS)


def test_every_byte_of_the_environment_arrives_and_nothing_else(agents):
    # Somebody else started the server, with secrets.
    subprocess.run(
        [
            "tmux",
            "-L",
            SOCKET,
            "-f",
            str(Path(launches.SHIM).with_name("tmux.conf")),
            "new-session",
            "-d",
            "sleep",
            "60",
        ],
        env={**os.environ, "SECRET": "hunter2", "VIRTUAL_ENV": "/stale", "PATH": os.environ["PATH"]},
        check=True,
    )
    given = {f"V{number}": word for number, word in enumerate(ODD_WORDS)}
    given |= {"PATH": os.environ["PATH"], "METAWSM_LAUNCH": "x", "IFS": "a", "directory": "mine", "code": "7"}
    _, environment, *_ = told(agents, environment=given)
    added = {name: environment.pop(name) for name in ("TERM", "TMUX", "TMUX_PANE", "PWD")}
    environment.pop("LC_CTYPE", None)  # Python's own
    assert environment == given
    assert added["TERM"] == "screen-256color"
    assert added["TMUX_PANE"].startswith("%")


def test_the_launch_decides_over_the_terminal(agents):
    _, environment, *_ = told(agents, environment={"TERM": "dumb", "PATH": os.environ["PATH"]})
    assert environment["TERM"] == "dumb"


def test_variables_that_no_shell_can_export_are_left_out(agents):
    given = {
        "PATH": os.environ["PATH"],
        "BASH_FUNC_x%%": "() { :; }",
        "a.b": "1",
        "PPID": "1",
        "UID": "5",
        "OPTIND": "x",
    }
    _, environment, *_ = told(agents, environment=given)
    assert not {"BASH_FUNC_x%%", "a.b", "PPID", "UID", "OPTIND"} & environment.keys()


def test_it_works_in_its_folder_whatever_that_is_called(agents):
    folder = agents.root / "-a b'#(touch x)\n%Y"
    folder.mkdir()
    _, _, where, _ = told(agents, cwd=str(folder))
    assert where == str(folder)


def test_files_get_the_mode_that_they_have_elsewhere_for_this_user(agents):
    old = os.umask(0o077)
    try:
        agents.start("sleep", "1000")  # the server keeps this umask
        os.umask(0o027)
        *_, umask = told(agents)
    finally:
        os.umask(old)
    assert umask == 0o027


def test_the_environment_file_is_private_and_does_not_stay(agents):
    directory = agents.root / "launch"
    launches.write(str(directory), argv=("true",), cwd="/", environment={"KEY": "secret"})
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "environment").stat().st_mode) == 0o600
    launch, _ = agents.ended("true")
    assert {path.name for path in Path(launch.directory).iterdir()} == {"command", "exit", "printed"}


@pytest.mark.parametrize("argv", [(), ("",), ("-x",)])
def test_a_command_that_is_no_program_is_refused(agents, argv):
    with pytest.raises(HostError, match="names no program"):
        agents.start(*argv)


# --- what is recorded ---------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 3, 127, 255])
def test_the_exit_code_and_the_time_are_recorded(agents, code):
    before = time.time()
    _, record = agents.ended("sh", "-c", f"exit {code}")
    assert record.code == code
    assert before - 1 < record.at <= time.time()


def test_there_is_no_record_while_the_agent_runs(agents):
    launch, _ = agents.start("sleep", "1000")
    assert agents.terminals.exit_record(launch.directory) is None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_an_agent_that_a_signal_ended_is_recorded_as_the_shell_says_it(agents, number):
    launch, pid = agents.start("sh", "-c", "echo ready; exec sleep 1000")
    agents.wait_for_output(launch, b"ready")
    os.kill(shell_pid(pid), number)
    wait_for_death(pid)
    assert agents.terminals.exit_record(launch.directory).code == 128 + number


def test_ctrl_c_and_then_an_exit_is_recorded(agents):
    launch, pid = agents.start(sys.executable, "-i", "-c", "print('ready')")
    agents.wait_for_output(launch, b">>> ")
    tmux("send-keys", "-t", f"={launch.session}:", "C-c")
    agents.wait_for_output(launch, b"KeyboardInterrupt")
    tmux("send-keys", "-t", f"={launch.session}:", "exit(5)", "Enter")
    wait_for_death(pid)
    assert agents.terminals.exit_record(launch.directory).code == 5


@pytest.mark.parametrize(("key", "code"), [("C-c", 130), ("C-\\", 131)])
def test_an_agent_that_the_keyboard_ends_is_recorded(agents, key, code):
    launch, pid = agents.start("sh", "-c", "ulimit -c 0; echo ready; exec sleep 1000")
    agents.wait_for_output(launch, b"ready")
    until(lambda: processes.command(shell_pid(pid))[0] == "sleep")
    tmux("send-keys", "-t", f"={launch.session}:", key)
    wait_for_death(pid)
    assert agents.terminals.exit_record(launch.directory).code == code


def test_a_session_that_is_killed_leaves_no_record_and_no_agent(agents):
    launch, pid = agents.start("sh", "-c", "echo ready; exec sleep 1000")
    agents.wait_for_output(launch, b"ready")
    child = shell_pid(pid)
    tmux("kill-session", "-t", f"={launch.session}")
    wait_for_death(pid)
    until(lambda: not processes.runs(child))
    assert agents.terminals.exit_record(launch.directory) is None


def test_a_shim_that_is_killed_leaves_no_record(agents):
    launch, pid = agents.start("sleep", "1000")
    os.kill(pid, signal.SIGKILL)
    wait_for_death(pid)
    assert agents.terminals.exit_record(launch.directory) is None


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [(("no-such-program",), 127, b"no-such-program"), (("/",), 126, b"/"), (("./plain",), 126, b"plain")],
)
def test_a_program_that_cannot_be_run_says_so_on_the_screen(agents, argv, code, said):
    (agents.root / "plain").write_text("x")
    launch, record = agents.ended(*argv)
    assert record.code == code
    agents.wait_for_output(launch, said)


def test_a_folder_that_cannot_be_entered_says_so_on_the_screen(agents):
    launch, record = agents.ended("touch", str(agents.root / "ran"), cwd=str(agents.root / "missing"))
    assert record.code == 126
    agents.wait_for_output(launch, b"missing")
    assert not (agents.root / "ran").exists()


def test_a_new_start_in_the_same_folder_forgets_the_old_record(agents):
    launch, record = agents.ended("sh", "-c", "exit 3")
    assert record.code == 3
    agents.terminals.start(launch._replace(argv=("sleep", "1000")))
    assert agents.terminals.exit_record(launch.directory) is None


@pytest.mark.parametrize("text", ["", "?"])
def test_a_record_that_a_loss_of_power_has_spoilt_is_none(agents, tmp_path, text):
    (tmp_path / "exit").write_text(text)
    assert agents.terminals.exit_record(str(tmp_path)) is None


def test_what_an_agent_has_put_in_its_place_is_none(agents, tmp_path):
    (tmp_path / "exit").mkdir()
    assert agents.terminals.exit_record(str(tmp_path)) is None
    assert agents.terminals.exit_record(str(Path(__file__))) is None
