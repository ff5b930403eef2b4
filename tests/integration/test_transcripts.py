import os
import socket
import stat
import subprocess
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from terminal_support import private_server, until

from metawsm_rpc.errors import HostError
from metawsm_rpc.hosts.tmux import transcripts

LINE = 16
CAP = 256 << 10


@pytest.fixture
def agents(monkeypatch):
    with private_server(monkeypatch) as agents:
        yield agents


@contextmanager
def writer(transcript, max_bytes=CAP):
    """The writer as tmux starts it; yields the end of the pipe that tmux holds."""
    ours, theirs = socket.socketpair()
    with theirs:
        child = subprocess.Popen(["sh", "-c", transcripts.pipe_command(str(transcript), max_bytes)], stdin=theirs)
    try:
        with ours:
            yield ours
    finally:
        assert child.wait(60) == 0


def lines(first, count):
    """Lines that tell at which offset they stand."""
    return b"".join(b"%015d\n" % number for number in range(first, first + count))


def kept(transcript):
    """How much is on the disk at one moment; a file is renamed while the folder is being read."""
    before, now = None, _sizes(transcript)
    while now != before:
        before, now = now, _sizes(transcript)
    return sum(now.values())


def _sizes(transcript):
    found = {}
    newest = Path(transcript)
    for path in (newest, *newest.parent.glob(f"{newest.name}.*")):
        with suppress(FileNotFoundError):
            found[path.name] = path.stat().st_size
    return found


def everything(transcript):
    return transcripts.read(str(transcript), 0, 1 << 30)


def test_what_is_printed_can_be_read_at_once(tmp_path):
    transcript = tmp_path / "t"
    with writer(transcript) as pipe:
        for number in range(1, 4):
            pipe.sendall(b"few\n")
            until(lambda number=number: everything(transcript) == (b"few\n" * number, 0, 4 * number))


def test_before_the_first_byte_a_transcript_is_empty(tmp_path):
    for name in ("t", "no-folder/t"):
        assert transcripts.read(str(tmp_path / name), 0, 100) == (b"", 0, 0)
        assert transcripts.read(str(tmp_path / name), -5, 100) == (b"", 0, 0)


def test_the_limit_holds_and_offsets_stay_true(tmp_path):
    transcript = tmp_path / "t"
    step = 1500  # not a divisor of anything
    with writer(transcript) as pipe:
        for first in range(0, 4 * CAP // LINE, step):
            pipe.sendall(lines(first, step))
            until(lambda first=first: transcripts.read(str(transcript), 0, 0)[2] == (first + step) * LINE)
            assert kept(transcript) <= CAP
    data, offset, size = everything(transcript)
    assert len(data) == size - offset >= CAP * 3 // 4
    assert data == lines(offset // LINE, len(data) // LINE)


def test_a_reader_that_follows_misses_and_doubles_nothing(tmp_path):
    transcript = tmp_path / "t"
    total = 4 * CAP // LINE
    position = 0
    with writer(transcript) as pipe:
        feeder = threading.Thread(target=lambda: [pipe.sendall(lines(first, 64)) for first in range(0, total, 64)])
        feeder.start()
        while position < total * LINE:
            data, offset, size = transcripts.read(str(transcript), position, 10_000)
            assert offset >= position
            assert size >= offset + len(data)
            number, inside = divmod(offset, LINE)
            assert data == lines(number, len(data) // LINE + 2)[inside : inside + len(data)]
            position = offset + len(data)
        feeder.join()


def test_offsets_and_limits(tmp_path):
    transcript = tmp_path / "t"
    (tmp_path / f"t.{100:015d}").write_bytes(b"a" * 50)
    (tmp_path / f"t.{150:015d}").write_bytes(b"b" * 50)
    (tmp_path / "t.log").write_bytes(b"another's")
    transcript.write_bytes(b"c" * 10)
    read = transcripts.read
    assert read(str(transcript), 0, 60) == (b"a" * 50 + b"b" * 10, 100, 210)
    assert read(str(transcript), 149, 2) == (b"ab", 149, 210)
    assert read(str(transcript), -15, 100) == (b"b" * 5 + b"c" * 10, 195, 210)
    assert read(str(transcript), -1000, 1) == (b"a", 100, 210)
    assert read(str(transcript), 210, 10) == (b"", 210, 210)
    assert read(str(transcript), 9999, 10) == (b"", 210, 210)
    assert read(str(transcript), 120, 0) == (b"", 120, 210)
    transcript.unlink()  # between two segments
    assert read(str(transcript), -1, 10) == (b"b", 199, 200)


def test_a_later_writer_goes_on_where_the_last_one_ended(tmp_path):
    transcript = tmp_path / "t"
    for first in range(0, 3 * 4096, 4096):
        with writer(transcript) as pipe:
            pipe.sendall(lines(first, 4096))
    data, offset, size = everything(transcript)
    assert size == 3 * 4096 * LINE
    assert data == lines(offset // LINE, len(data) // LINE)


def test_only_the_user_can_read_it(tmp_path):
    transcript = tmp_path / "folder" / "t"
    transcripts.prepare(str(transcript))
    with writer(transcript) as pipe:
        pipe.sendall(lines(0, 3 * CAP // LINE))
    assert stat.S_IMODE(transcript.parent.stat().st_mode) == 0o700
    modes = {stat.S_IMODE(path.stat().st_mode) for path in transcript.parent.iterdir()}
    assert modes == {0o600}
    assert len(list(transcript.parent.iterdir())) == 8


def test_the_command_for_tmux_has_nothing_that_tmux_expands_and_names_any_path():
    path = "/" + os.fsdecode(bytes(byte for byte in range(1, 256) if byte != ord("/"))) + "/#(x)%Y$(x)`x`'\""
    command = transcripts.pipe_command(path, CAP)
    assert not {"#", "%", "`"} & set(command)
    shown = command.replace("exec /bin/sh", "printf '%s|'", 1)
    printed = subprocess.run(["/bin/sh", "-c", shown], capture_output=True, check=True).stdout
    assert os.fsdecode(printed).split("|")[1:] == [*path.split("|"), str(CAP // 8), "8", ""]


def test_a_writer_whose_disk_refuses_ends_so_that_tmux_notices(tmp_path):
    (tmp_path / "t").mkdir()
    ours, theirs = socket.socketpair()
    command = ["sh", "-c", transcripts.pipe_command(str(tmp_path / "t"), CAP)]
    with ours, subprocess.Popen(command, stdin=theirs, stderr=subprocess.DEVNULL) as child:
        theirs.close()
        assert child.wait(60) != 0


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="for transcripts cannot be made"):
        transcripts.prepare(str(tmp_path / "file" / "t"))


def test_a_pipe_that_died_is_repaired_and_offsets_go_on(agents):
    script = "i=0; while :; do i=$((i + 1)); echo line $i; sleep 0.02; done"
    launch, _ = agents.start("sh", "-c", script)
    agents.wait_for_output(launch, b"line 3\r\n")
    agents.break_pipe(launch)
    before = agents.printed(launch)
    agents.terminals.repair_transcript(launch.session, launch.transcript, launch.transcript_max_bytes)
    assert agents.terminals.panes()[0].piped
    until(lambda: len(agents.printed(launch)) > len(before) + 20)
    assert agents.printed(launch).startswith(before)


def test_the_limit_holds_for_an_agent_that_prints_fast(agents):
    launch, _ = agents.start("sh", "-c", "exec yes 0123456789abcdef", transcript_max_bytes=CAP)
    until(lambda: agents.terminals.read_transcript(launch.transcript, 0, 0)[2] > 4 * CAP)
    agents.end(launch)
    until(lambda: not agents.mentioned())
    assert kept(launch.transcript) <= CAP
    data, _, _ = agents.terminals.read_transcript(launch.transcript, -1000, 1000)
    assert set(data) <= set(b"0123456789abcdef\r\n")


def test_a_transcript_outlives_the_server(agents):
    launch, record = agents.ended("sh", "-c", "echo kept")
    assert record.code == 0
    assert agents.wait_for_output(launch, b"kept\r\n") == b"kept\r\n"


def test_repairing_what_is_gone_is_harmless(agents, tmp_path):
    agents.terminals.repair_transcript("gone", str(tmp_path / "t"), CAP)
    assert not (tmp_path / "t").exists()
