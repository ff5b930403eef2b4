import os
import pty
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import libtmux
import pytest
from terminal_support import SOCKET, Agents, private_server, tmux, until, wait_for_death

from metawsm_rpc.errors import DependencyMissingError, HostError
from metawsm_rpc.hosts import processes
from metawsm_rpc.hosts.commands import Commands
from metawsm_rpc.hosts.tmux.tmux import TmuxTerminals

SLEEP = ("sleep", "1000")
ODD_NAMES = ["T-1", "a b", "#(touch x)", "%Y $(touch x) `touch x`", "ä–漢", "tail;", "'\"\\", "a|b\tc", "-n"]


@pytest.fixture
def agents(monkeypatch):
    with private_server(monkeypatch) as agents:
        yield agents


@pytest.mark.parametrize("odd", ODD_NAMES)
def test_a_pane_says_whose_it_is_whatever_the_names(agents, odd):
    launch, pid = agents.start(*SLEEP, ticket=odd, agent=odd, run_id=odd)
    (pane,) = agents.terminals.panes()
    assert (pane.run_id, pane.ticket, pane.agent) == (odd, odd, odd)
    assert (pane.session, pane.pid, pane.launch, pane.piped) == (launch.session, pid, launch.launch, True)
    assert pane.activity > 1e9


def _names(folder):
    return {path.name for path in Path(folder).iterdir()}


def test_libtmux_sees_the_same(agents):
    launch, pid = agents.start(*SLEEP)
    (session,) = libtmux.Server(socket_name=SOCKET).sessions
    assert session.name == launch.session
    assert session.active_pane.pane_pid == str(pid)
    assert (session.active_pane.pane_width, session.active_pane.pane_height) == ("200", "50")
    assert session.show_option("@metawsm_launch") == launch.launch


def test_no_first_line_is_lost(agents):
    launches = [agents.start("sh", "-c", "echo first; exec sleep 1000")[0] for _ in range(40)]
    for launch in launches:
        assert agents.wait_for_output(launch, b"\n").startswith(b"first")


def test_the_last_words_of_an_agent_that_ends_at_once_are_kept(agents):
    launch, record = agents.ended("sh", "-c", "echo all I had to say; exit 3")
    assert record.code == 3
    agents.wait_for_output(launch, b"all I had to say")


def test_starting_a_launch_again_answers_the_session_that_is_there(agents):
    launch, pid = agents.start(*SLEEP)
    until(lambda: _names(launch.directory) == {"command", "printed"})
    assert agents.terminals.start(launch) == pid
    assert len(agents.terminals.panes()) == 1
    assert _names(launch.directory) == {"command", "printed"}


def test_a_session_of_another_launch_is_in_the_way_and_stays(agents):
    launch, pid = agents.start(*SLEEP)
    other = agents.launch(*SLEEP, session=launch.session)
    with pytest.raises(HostError, match=f"already a tmux session {launch.session}"):
        agents.terminals.start(other)
    assert [pane.pid for pane in agents.terminals.panes()] == [pid]
    assert _names(other.directory) == {"command", "printed"}


@pytest.mark.parametrize(
    "name", ["", "a#(touch x)", "a.b", "a:b", "=a", "-a", "a b", "a;", "ä", "a\n", "%1", "$1", "@1"]
)
def test_a_name_that_tmux_could_read_otherwise_is_refused(agents, name):
    with pytest.raises(HostError, match="cannot be the name of a tmux session"):
        agents.start(*SLEEP, session=name)


def test_targets_are_exact(agents):
    longer, longer_pid = agents.start(*SLEEP, session="agent-1-and-more")
    agents.end(longer._replace(session="agent-1"))
    with pytest.raises(HostError, match="gone"):
        agents.terminals.capture("agent-1", longer.launch)
    assert processes.runs(longer_pid)


# Whatever is executed leaves a file beside the folder of this test's sockets.
_TOUCH = "touch ${TMUX_TMPDIR}X"


@pytest.mark.parametrize("name", [f"a b#({_TOUCH})%Y'$({_TOUCH})", f'"`{_TOUCH}`"\\', "new\nline;", "ümläut%H%M"])
def test_a_folder_of_any_name_executes_nothing(agents, name):
    root = agents.root / name
    root.mkdir()
    hostile = Agents(root)
    launch = hostile.launch("sh", "-c", 'pwd; echo "$HERE"; exec sleep 1000', directory=f"{root}/launch;")
    launch = launch._replace(environment={**launch.environment, "HERE": str(root)})
    pid = hostile.terminals.start(launch)
    agents.launches.append(launch.launch)
    printed = hostile.wait_for_output(launch, b"\n" + str(root).encode().replace(b"\n", b"\r\n") + b"\r\n")
    assert printed.count(str(root).encode().replace(b"\n", b"\r\n")) == 2
    assert [pane.pid for pane in hostile.terminals.panes()] == [pid]
    assert agents.terminals.panes() == ()
    hostile.terminals.repair_transcript(launch.session, launch.transcript, launch.transcript_max_bytes)
    assert hostile.end(launch).survivors == ()
    executed = Path(os.environ["TMUX_TMPDIR"] + "X")
    assert not executed.exists()


def test_roots_on_one_server_do_not_see_each_other(agents):
    (agents.root / "other").mkdir()
    other = Agents(agents.root / "other")
    launch, pid = agents.start(*SLEEP)
    assert other.terminals.panes() == ()
    assert other.end(launch).killed == ()
    assert processes.runs(pid)


def test_a_root_is_the_same_through_a_link(agents):
    link = agents.root.parent / "link"
    link.symlink_to(agents.root)
    agents.start(*SLEEP)
    assert len(TmuxTerminals(str(link), SOCKET).panes()) == 1


def test_a_pane_that_a_person_splits_off_is_not_the_agent(agents):
    launch, pid = agents.start("sh", "-c", "echo the agent; exec sleep 1000")
    tmux("split-window", "-t", f"={launch.session}:", "sh", "-c", "echo the person; exec sleep 1000")
    assert [pane.pid for pane in agents.terminals.panes()] == [pid]
    until(lambda: "the agent" in agents.terminals.capture(launch.session, launch.launch))
    os.kill(pid, 9)
    until(lambda: agents.terminals.panes() == ())
    agents.end(launch, pid)
    assert tmux("list-sessions", check=False) == ""


def test_titles_and_program_names_are_an_agents_own_and_forge_nothing(agents):
    title, name = "a | b #(touch x) %Y é", "forged\n0 1 2 | #{pane_pid}"
    code = f"""
import os, signal
print("\\33]0;{title}\\7", flush=True)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
os.setpgid(0, 0)
os.tcsetpgrp(0, os.getpid())  # tmux names the leader of the group in front
os.execvp("sleep", [{name!r}, "1000"])
"""
    _, pid = agents.start(sys.executable, "-c", code)
    until(lambda: any(processes.command(member)[0] == name for member in processes.members(pid)))
    (pane,) = agents.terminals.panes()
    assert (pane.pid, pane.title.replace("_(", "#(")) == (pid, title)  # tmux 3.7 does that by itself


def test_the_persons_own_configuration_does_not_matter(agents, monkeypatch):
    hostile = (
        "set -g destroy-unattached on\nset -g default-shell /bin/false\nset -g base-index 1\nset -g remain-on-exit on\n"
    )
    (agents.root.parent / ".tmux.conf").write_text(hostile)
    monkeypatch.setenv("TMUX", "/tmp/elsewhere/tmux-0/default,1,0")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(agents.root.parent))
    (agents.root.parent / "tmux").mkdir()
    (agents.root.parent / "tmux" / "tmux.conf").write_text(hostile)
    launch, pid = agents.start("sh", "-c", "echo here; exec sleep 1000")
    agents.wait_for_output(launch, b"here")
    assert [pane.pid for pane in agents.terminals.panes()] == [pid]
    assert tmux("list-windows", "-t", f"={launch.session}:", "-F", "#{window_index}") == "0\n"


def test_a_server_that_metawsm_did_not_start_is_left_alone(agents):
    tmux("-f", "/dev/null", "new-session", "-d", "-s", "mine", *SLEEP)
    with pytest.raises(HostError, match="was not started by metawsm"):
        agents.start(*SLEEP)
    assert tmux("list-sessions", "-F", "#{session_name}") == "mine\n"
    assert agents.terminals.panes() == ()


def test_nothing_of_the_environment_stays_in_the_server(agents, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    monkeypatch.setenv("METAWSM_LAUNCH", "of-an-agent-that-runs-metawsm")
    agents.start(*SLEEP)
    inherited = tmux("show-environment", "-g")
    assert "PATH=" in inherited
    assert "SECRET_KEY" not in inherited
    assert "METAWSM" not in inherited


def test_without_a_server_there_are_no_panes_and_nothing_to_end(agents):
    assert agents.terminals.panes() == ()
    assert agents.end(agents.launch()) == ((), ())
    launch, pid = agents.start("true")
    wait_for_death(pid)
    until(lambda: tmux("list-sessions", check=False) == "")
    assert agents.terminals.panes() == ()
    assert agents.end(launch, pid) == ((), ())


def test_a_socket_that_cannot_be_used_is_an_error_and_not_an_absence(agents):
    agents.start(*SLEEP)
    folder = agents.root.parent / f"tmux-{os.getuid()}"
    folder.chmod(0o777)  # tmux does not trust it
    with pytest.raises(HostError, match=r"tmux list-panes failed: .*/tmux-"):
        agents.terminals.panes()
    folder.chmod(0o700)
    assert len(agents.terminals.panes()) == 1


def test_a_server_that_does_not_answer_is_an_error(agents):
    agents.start(*SLEEP)
    server = int(tmux("display-message", "-p", "#{pid}"))
    agents.terminals._commands = Commands(0.3)
    os.kill(server, signal.SIGSTOP)
    try:
        with pytest.raises(HostError, match=r"list-panes did not finish within 0\.3 seconds"):
            agents.terminals.panes()
    finally:
        os.kill(server, signal.SIGCONT)


def test_a_session_starts_while_the_server_ends_with_its_last_one(agents):
    for _ in range(30):
        agents.ended("true")


def test_without_tmux_the_error_says_so(agents, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(DependencyMissingError, match="tmux is not installed"):
            agents.start(*SLEEP)


@pytest.mark.parametrize("said", ["tmux 3.0a", "tmux 1.8"])
def test_a_tmux_that_is_too_old_is_named_with_what_is_needed(agents, monkeypatch, tmp_path, said):
    _fake_tmux(tmp_path, said)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        with pytest.raises(DependencyMissingError, match=rf"{said} is too old: metawsm needs tmux 3\.1 or newer"):
            agents.start(*SLEEP)
    assert not (agents.root / "launches").exists()


@pytest.mark.parametrize("said", ["tmux 3.1", "tmux next-3.5", "tmux master", "tmux openbsd-7.3", "tmux 4.0"])
def test_a_newer_tmux_is_taken(agents, monkeypatch, tmp_path, said):
    _fake_tmux(tmp_path, said)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        version = agents.terminals.version()
    assert version == said.removeprefix("tmux ")


def _fake_tmux(folder, said):
    program = folder / "tmux"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)


@pytest.mark.parametrize("socket", ["", "../x", "a/b", "-a", "a b", "a#b"])
def test_a_socket_name_cannot_leave_its_folder(agents, socket):
    with pytest.raises(HostError, match="cannot be the name of a tmux socket"):
        TmuxTerminals(str(agents.root), socket)


def test_all_panes_are_asked_for_in_one_call(agents, monkeypatch):
    for _ in range(5):
        agents.start(*SLEEP)
    asked = []
    run = Commands.run
    monkeypatch.setattr(Commands, "run", lambda *given, **options: asked.append(1) or run(*given, **options))
    assert len(agents.terminals.panes()) == 5
    assert len(asked) == 1


def test_a_person_attaches_with_the_size_of_their_terminal_and_from_inside_tmux(agents):
    launch, _ = agents.start("sh", "-c", "echo visible; exec sleep 1000")
    agents.wait_for_output(launch, b"visible")
    controller, terminal = pty.openpty()
    subprocess.run(["stty", "rows", "31", "cols", "97"], stdin=terminal, check=True)
    client = subprocess.Popen(
        agents.terminals.attach_command(launch.session),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm", "TMUX": "/tmp/other,1,0"},
    )
    os.close(terminal)
    shown = b""
    while b"visible" not in shown:
        shown += os.read(controller, 4096)
    until(lambda: _size(launch) == "97x30")
    other, _ = agents.start(*SLEEP)
    assert _size(other) == "200x50"
    tmux("detach-client", "-s", f"={launch.session}")
    while b"[detached" not in shown:
        shown += os.read(controller, 4096)
    assert client.wait(60) == 0
    os.close(controller)
    assert len(agents.terminals.panes()) == 2


def _size(launch):
    return tmux("display-message", "-p", "-t", f"={launch.session}:", "#{window_width}x#{window_height}").strip()


def test_capture_shows_text_without_escapes(agents):
    launch, _ = agents.start("sh", "-c", r'printf "\033[31mred\033[0m\n\342\234\223 done\n"; exec sleep 1000')
    shown = until(lambda: "done" in (text := agents.terminals.capture(launch.session, launch.launch)) and text)
    assert shown.splitlines()[:2] == ["red", "✓ done"]


# --- ending ----------------------------------------------------------------------------------------

_STUBBORN = "trap '' HUP; sleep 1001 & trap - HUP"
"""As nohup does it, but surely so from the beginning."""


def test_ending_takes_the_whole_process_session_and_reports_who_left_it(agents):
    script = f"{_STUBBORN}; echo $! >pid; setsid sleep 1002 & echo ready; exec sleep 1000"
    launch, pid = agents.start("sh", "-c", script)
    agents.wait_for_output(launch, b"ready")
    daemon = until(lambda: [pid for pid, command in processes.carriers(launch.launch) if command == "sleep 1002"])[0]
    stubborn = int((agents.root / "pid").read_text())
    ended = agents.end(launch, pid, grace=0.2)
    assert ended.killed == (stubborn,)
    assert ended.survivors == ((daemon, "sleep 1002"),)
    assert not processes.runs(pid)
    assert not processes.runs(stubborn)
    assert agents.terminals.panes() == ()
    assert agents.terminals.exit_record(launch.directory) is None


def test_an_agent_that_goes_by_itself_is_not_waited_for_longer(agents):
    launch, pid = agents.start("sh", "-c", 'trap "sleep 0.2; exit" HUP; echo ready; while :; do sleep 0.05; done')
    agents.wait_for_output(launch, b"ready")
    assert agents.end(launch, pid, grace=60) == ((), ())


def test_an_agent_that_ignores_the_hang_up_is_killed_after_the_grace(agents):
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); print('ready', flush=True); signal.pause()"
    launch, pid = agents.start(sys.executable, "-c", code)
    agents.wait_for_output(launch, b"ready")
    (agent,) = [member for member in processes.members(pid) if member != pid]
    assert agents.end(launch, None, grace=0.1).killed == (agent,)


def test_a_launch_that_came_into_the_session_since_the_look_is_left_alone(agents, monkeypatch):
    earlier, _ = agents.start("sleep", "1000")
    seen = agents.terminals._rows(earlier.session)
    agents.end(earlier)
    later, pid = agents.start("sleep", "1000", session=earlier.session)
    monkeypatch.setattr(agents.terminals, "_rows", lambda _: seen)
    agents.end(earlier, grace=0)
    assert [pane.launch for pane in agents.terminals.panes()] == [later.launch]
    assert processes.runs(pid)


def test_processes_are_ended_when_the_server_is_gone_already(agents):
    launch, pid = agents.start("sh", "-c", f"{_STUBBORN}; echo ready; exec sleep 1000")
    agents.wait_for_output(launch, b"ready")
    os.kill(int(tmux("display-message", "-p", "#{pid}")), 9)
    wait_for_death(pid)
    assert len(agents.end(launch, pid, grace=0.1).killed) == 1
    assert processes.members(pid) == []


def test_processes_are_ended_when_the_server_does_not_answer(agents):
    launch, pid = agents.start(*SLEEP)
    until(lambda: processes.bears(pid, launch.launch))
    server = int(tmux("display-message", "-p", "#{pid}"))
    agents.terminals._commands = Commands(0.3)
    os.kill(server, signal.SIGSTOP)
    try:
        with pytest.raises(HostError, match="did not finish"):
            agents.end(launch, pid, grace=0.1)
        assert processes.members(pid) == []
    finally:
        os.kill(server, signal.SIGCONT)


def test_a_stranger_with_the_number_of_an_old_process_is_left_alone(agents):
    with subprocess.Popen(SLEEP, start_new_session=True) as stranger:
        launch = agents.launch(*SLEEP)
        assert agents.end(launch, stranger.pid, grace=0) == ((), ())
        assert stranger.poll() is None
        stranger.kill()


def test_many_end_at_the_same_time(agents):
    launches = [agents.start("sh", "-c", f"{_STUBBORN}; exec sleep 1000") for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        results = list(pool.map(lambda started: agents.end(*started, grace=0.3), launches))
    assert all(not result.survivors for result in results)
    assert all(not processes.members(pid) for _, pid in launches)
    assert agents.terminals.panes() == ()


def test_the_files_of_a_launch_are_private(agents):
    old = os.umask(0)
    try:
        launch, _ = agents.start("sh", "-c", "echo x; exec sleep 1000")
    finally:
        os.umask(old)
    agents.wait_for_output(launch, b"x")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in agents.root.rglob("*")}
    assert modes[launch.launch] == modes["transcripts"] == 0o700
    assert modes["command"] == modes["1"] == 0o600


def test_screens_of_many_panes_come_with_one_call_without_those_that_are_gone(agents, monkeypatch):
    shown = [agents.start("sh", "-c", f"echo 'shown by {number}'; exec sleep 1000")[0] for number in range(5)]
    for launch in shown:
        agents.wait_for_output(launch, b"\n")
    panes = agents.terminals.panes()
    gone = shown[2]
    agents.terminals.end(gone.session, gone.launch, None, 1)
    calls = []
    run = agents.terminals._run
    monkeypatch.setattr(
        agents.terminals, "_run", lambda *commands, **more: calls.append(commands) or run(*commands, **more)
    )
    screens = agents.terminals.captures(panes)
    assert len(calls) == 2  # the second begins behind the one that was gone
    assert {launch: text.split("\n")[0] for launch, text in screens.items()} == {
        launch.launch: f"shown by {number}" for number, launch in enumerate(shown) if launch is not gone
    }
    calls.clear()
    agents.terminals.captures([pane for pane in panes if pane.launch != gone.launch])
    assert len(calls) == 1
    assert agents.terminals.captures([]) == {}


def test_where_in_the_transcript_a_launch_begins_is_noted(agents):
    first, _ = agents.ended("sh", "-c", "echo of the first")
    agents.wait_for_output(first, b"first")
    size = agents.terminals.read_transcript(first.transcript, 0, 0)[2]
    assert agents.terminals.printed_before(first.directory) == 0
    second, _ = agents.start(*SLEEP, transcript=first.transcript)
    assert agents.terminals.printed_before(second.directory) == size
    assert agents.terminals.printed_before(f"{second.directory}/nothing") == 0
