"""What people see and what pipes get, on any terminal and in any locale; and help that is found."""

import argparse
import json
import os
import pty
import re
import shlex
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
from cli_support import Cli, assert_refused
from conftest import DONE, Root, command, git
from rich.cells import cell_len

from metawsm_rpc import __version__
from metawsm_rpc.cli.verbs import ALIASES, TABLE

ESCAPES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
COLOURS = re.compile(r"\x1b\[[0-9;]*3[0-7][0-9;]*m")


@pytest.fixture
def cli(root: Root, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    return Cli(root, capfd, monkeypatch)


@pytest.fixture
def with_a_run(cli: Cli) -> Cli:
    root = cli.root
    root.repository("app")
    root.agents(
        worker="test ! -e $METAWSM_ROOT/wait || exec sleep 60\n"
        f"printf '\\033[31mred\\n'; \"$METAWSM_BIN\" signal progress \"$(printf 'to \\033]0;evil\\007 you')\"\necho x >> README.md; {DONE}sleep 60"
    )
    cli("ticket", "create", "T-1", "--title", "Ünï")
    cli("run", "--ticket", "T-1", "--run-id", "r1", "--wait")
    return cli


LOOKS = (
    *(["status"], ["status", "r1"], ["runs"], ["history"], ["explain"], ["diff"], ["diff", "--patch"], ["tickets"]),
    *(["doctor"], ["plan", "--ticket", "T-1"], ["logs"], ["policy", "show"], ["close", "--dry-run"], ["--help"]),
)


def test_pipes_get_plain_text_in_columns_whatever_agents_said(with_a_run: Cli) -> None:
    for arguments in LOOKS:
        ran = with_a_run(*arguments, code=None)
        assert ran.out, arguments
        assert not ESCAPES.search(ran.out + ran.err), (arguments, ran)
        assert all(line == line.rstrip() for line in ran.out.splitlines()), arguments
    assert "evil" in with_a_run("history").out
    head, *rows = with_a_run("runs").out.splitlines()
    assert head.split() == ["RUN", "STATUS", "TICKETS", "REPOSITORIES", "AGENTS", "STARTED"]
    assert [row.index("completed") for row in rows] == [head.index("STATUS")]


def on_a_terminal(root: Root, *arguments: str, **variables: str) -> str:
    """Return what a command line prints to a terminal."""
    mine, its = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **variables}
    with subprocess.Popen(command(*arguments), cwd=root.path, stdout=its, stderr=its, env=environment) as process:
        os.close(its)
        shown = b""
        while True:
            try:
                part = os.read(mine, 65536)
            except OSError:  # Linux says so when the other end is closed
                break
            if not part:
                break
            shown += part
        process.wait()
    os.close(mine)
    return shown.decode()


def test_people_get_colours_unless_they_do_not_want_any(with_a_run: Cli) -> None:
    root = with_a_run.root
    shown = on_a_terminal(root, "status", "r1")
    assert COLOURS.search(shown)
    assert "Run r1 is completed" in re.sub(r"\x1b\[[0-9;]*m", "", shown)
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        plain = on_a_terminal(root, "status", "r1", **variables)
        assert "Run r1 is completed" in plain
        assert not COLOURS.search(plain)
    assert COLOURS.search(on_a_terminal(root, "status", "nope"))
    assert "\x1b" not in on_a_terminal(root, "status", "nope", NO_COLOR="1")
    # A program that reads JSON may well sit at a terminal.
    json.loads(on_a_terminal(root, "--json", "status", "r1"))


def test_tables_for_people_fit_80_columns(with_a_run: Cli) -> None:
    for arguments in (["status"], ["status", "r1"], ["history"], ["history", "r1"], ["explain", "r1"]):
        shown = on_a_terminal(with_a_run.root, *arguments, TERM="dumb", COLUMNS="80")
        assert all(cell_len(line) <= 80 or "T-1 is in " in line for line in shown.splitlines()), shown
    history = on_a_terminal(with_a_run.root, "history", "r1", TERM="dumb", COLUMNS="80")
    assert re.search(r" \d\d:\d\d:\d\d +agent T-1/worker +launch: pending to running", history)


def test_a_ticket_in_place_of_a_run_is_told_of(with_a_run: Cli) -> None:
    assert "`--ticket T-1`" in with_a_run("status", "T-1", code=3).err
    assert "--ticket" not in with_a_run("status", "T-2", code=3).err


def test_a_rehearsed_close_says_what_would_become_of_the_run(with_a_run: Cli) -> None:
    assert with_a_run("close", "--dry-run", code=5).out.startswith("✗ T-1, app: ")
    git(Path(with_a_run.ask("status", "r1")["workspaces"][0]["repos"][0]["path"]), "commit", "-qam", "Work")
    assert with_a_run("close", "--dry-run").out.endswith("Run r1 would be closed.\n")
    (with_a_run.root.path / "wait").touch()
    with_a_run("restart", "r1", "--agent", "worker")
    with_a_run("stop", "r1")
    told = with_a_run("close", "r1", "--dry-run", code=None).out
    assert "would be closed" not in told
    assert "is stopped: it can be closed when completed" in told
    with_a_run("complete", "r1")
    with_a_run("close", "r1")
    assert with_a_run("close", "r1", "--dry-run").out.endswith("Run r1 is closed.\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here is always full")
@pytest.mark.parametrize(
    ("arguments", "unbuffered"),
    [("--help", ""), ("run --help", ""), ("--json tickets", ""), ("--json tickets", "1"), ("doctor", "1")],
)
def test_a_reader_who_leaves_a_closed_output_and_a_full_disk_end_without_a_traceback(
    cli: Cli, arguments: str, unbuffered: str
) -> None:
    cli("ticket", "create", "T-1")
    line = shlex.join(command(*arguments.split()))
    done = subprocess.run(
        ["bash", "-c", f"{line} | :; echo ${{PIPESTATUS[0]}}; {line} >&-; echo $?; {line} >/dev/full; echo $?"],
        cwd=cli.root.path,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        capture_output=True,
        text=True,
        check=True,
    )
    left, closed, full = done.stdout.split()
    assert left in ("141", "0")  # a short text can be in the pipe before its reader has gone
    assert (closed, full) == ("0", "1")
    assert done.stderr == "metawsm: Something could not be written: No space left on device.\n"


def test_a_run_goes_on_when_who_read_its_progress_has_gone(cli: Cli) -> None:
    root = cli.root
    root.repository("app")
    root.policy(workspace={"setup": [{"run": "sleep 0.5"}]}, agents=[root.agent("worker", "sleep 60")])
    cli("ticket", "create", "T-1")
    line = shlex.join(command("run", "--ticket", "T-1", "--run-id", "r1"))
    done = subprocess.run(
        ["bash", "-c", f"{line} 2>&1 | head -1; echo ${{PIPESTATUS[0]}}"],
        cwd=root.path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["✓ verify T-1", "141"]
    assert done.stderr == ""
    detail = cli.ask("status", "r1")
    assert {step["status"] for step in detail["steps"]} == {"done"}
    assert [agent["status"] for agent in detail["agents"]] == ["running"]


@pytest.mark.parametrize("coding", ["ascii", "latin-1"])
def test_output_is_utf8_in_every_locale(cli: Cli, coding: str) -> None:
    cli("ticket", "create", "Tü-1", "--title", "日本 ✓")
    variables = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": coding}
    for arguments in (["tickets"], ["--json", "tickets"]):
        done = subprocess.run(
            command(*arguments), cwd=cli.root.path, env={**os.environ, **variables}, capture_output=True, check=True
        )
        assert "Tü-1" in done.stdout.decode()
        assert "日本 ✓" in done.stdout.decode()
        assert done.stderr == b""


def test_a_title_that_is_no_unicode_is_still_one_json_document(cli: Cli) -> None:
    ran = cli("--json", "ticket", "create", "bad\udcff", code=2)
    assert ran.json["error"]["data"]["kind"] == "invalid_params"


# --- help ---


def test_metawsm_alone_lists_every_verb_and_how_to_begin(cli: Cli) -> None:
    alone = cli().out
    assert alone == cli("--help").out == cli("help").out
    for name, (_, summary) in TABLE.items():
        assert re.search(rf"^  {name} +{re.escape(summary)}$", alone, re.MULTILINE)
    assert "policy init" in alone.splitlines()[-1]
    assert max(map(len, alone.splitlines())) <= 100
    assert cli("--version").out == f"metawsm {__version__}\n"
    assert list(cli.root.path.iterdir()) == []


@pytest.mark.parametrize("name", TABLE)
def test_every_verb_helps(cli: Cli, name: str) -> None:
    words = name.split()
    shown = cli(*words, "--help").out
    summary = TABLE[name][1]
    assert shown.startswith(f"usage: metawsm {name} [-h]")
    assert f"\n{summary[0].upper()}{summary[1:]}.\n" in shown
    assert "--root DIR" in shown
    assert "--json" in shown
    assert max(map(len, shown.splitlines())) <= 100
    assert cli("help", *words).out == shown
    assert cli("--json", *words, "-h").out == shown


def test_every_argument_of_every_verb_says_what_it_is_for() -> None:
    for name, (module, _) in TABLE.items():
        parser = argparse.ArgumentParser()
        import_module(f"metawsm_rpc.cli.{module}").VERBS[name].arguments(parser)
        for action in parser._actions:
            assert action.help, (name, action)


def test_verbs_of_the_protocol_are_known_by_their_own_names(cli: Cli) -> None:
    for alias, name in ALIASES.items():
        assert cli(alias, "--help").out == cli(*name.split(), "--help").out


def test_a_verb_that_there_is_not_is_told_with_the_one_that_was_meant(cli: Cli) -> None:
    assert_refused(cli("statsu", code=2), 2, "'statsu'", "did you mean status?")
    assert_refused(cli("transcripts", code=2), 2, "did you mean transcript?")
    assert_refused(cli("frobnicate", code=2), 2, "metawsm --help")
    assert_refused(cli("--json-lines", code=2), 2, "--json-lines", "VERB")
    assert_refused(cli("help", "statsu", code=2), 2, "did you mean status?")


def test_flags_that_belong_everywhere_stand_anywhere(cli: Cli, tmp_path: Path) -> None:
    where = str(cli.root.path)
    for arguments in (
        ["--root", where, "--json", "ticket", "list"],
        ["--json", "ticket", "--root", where, "list"],
        ["ticket", "list", f"--root={where}", "--json"],
        ["tickets", "--json", "--root", where],
    ):
        assert cli(*arguments, cwd=tmp_path).json == {"tickets": [], "problems": []}


def test_columns_are_aligned_under_letters_of_any_width(cli: Cli) -> None:
    cli("ticket", "create", "T-1", "--title", "日本語")
    cli("ticket", "create", "T-2", "--title", "plain")
    head, *rows = cli("tickets").out.splitlines()
    place = head.index("RUNS") if "RUNS" in head else 0
    assert place
    for row in rows:
        assert cell_len(row[: row.index("/")].rstrip()) <= place
        assert cell_len(row[: row.index("/")]) == cell_len(head[: head.index("FILE")])


def test_a_list_that_a_choice_left_empty_does_not_say_that_there_is_nothing(with_a_run: Cli) -> None:
    for flags in (["--status", "failed"], ["--ticket", "T-9"], ["--offset", "5"]):
        ran = with_a_run("runs", *flags)
        assert (ran.out, ran.err.splitlines()[0]) == ("", "No run is like that; `metawsm runs` lists all."), flags


def test_what_agents_wrote_steers_no_terminal_and_is_a_patch_in_a_pipe(cli: Cli) -> None:
    app = cli.root.repository("app")
    cli.root.agents(worker=f"printf 'a\\033]0;evil\\007\\033[31mb\\n' > new.txt; {DONE}sleep 60")
    cli("ticket", "create", "T-1")
    cli("run", "--ticket", "T-1", "--run-id", "r1", "--wait")
    for variables in ({}, {"NO_COLOR": "1"}):
        shown = on_a_terminal(cli.root, "diff", "r1", "--patch", **variables)
        assert "evil" in shown
        assert "\x1b]" not in shown
        assert "\x1b[31mb" not in shown
        assert "\x07" not in shown
    piped = cli("diff", "r1", "--patch").out
    subprocess.run(["git", "-C", str(app), "apply"], input=piped, text=True, check=True)
    assert (app / "new.txt").read_text() == "a\x1b]0;evil\x07\x1b[31mb\n"
