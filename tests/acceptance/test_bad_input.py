"""What a person can type wrong: one sentence, the right exit status, and nothing half-made."""

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support import Cli, assert_refused, footprint, nothing_made, sessions
from conftest import DONE, Ran, Root, command, git


@pytest.fixture
def cli(root: Root, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return the command line on a root with the repository app, the ticket T-1 and an agent."""
    root.repository("app")
    root.agents(worker=DONE)
    cli = Cli(root, capfd, monkeypatch)
    cli("ticket", "create", "T-1")
    return cli


# --- what is not there ---


def assert_told(ran: Ran, code: int, *words: str) -> None:
    """Assert that a plan came with a problem, whatever of it can be planned."""
    assert ran.code == code, ran
    assert ran.err.startswith("metawsm: ")
    for word in words:
        assert word in ran.err, ran


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--ticket", "T-404"], 3, ["T-404"]),
        (["--ticket", "T-2"], 3, ["Did you mean T-1?"]),
        ([], 2, ["ticket"]),
        (["--ticket", "T-1", "--repos", "app,nope"], 3, ["'nope'", "there are: app"]),
        (["--ticket", "T-1", "--repos", ","], 2, ["',' names nothing"]),
        (["--ticket", "T-1", "--agent", "nope"], 3, ["'nope'", "the policy has: worker"]),
        (["--ticket", "T-1", "--base-branch", "nope"], 2, ["'nope'", "it has: main"]),
        (["--ticket", "T-1", "--base-branch", ""], 2, ["no branch ''"]),
        (["--ticket", "T-1", "--run-id", ""], 2, ["''", "a-z"]),
        (["--ticket", "T-1", "--run-id", "Upper"], 2, ["'Upper'"]),
        (["--ticket", "T-1", "--strategy", "fork"], 2, ["--source"]),
        (["--ticket", "T-1", "--strategy", "reuse", "--source", "nope"], 2, ["'nope'"]),
        (["--ticket", "T-1", "--source", "nope"], 2, ["fork and reuse"]),
        (["--ticket", "T-1", "--strategy", "borrow"], 2, ["'create', 'fork', 'reuse'"]),
        (["--ticket"], 2, ["--ticket", "--help"]),
        (["--ticket", "T-1", "--tickets", "T-1"], 2, ["--tickets"]),
        (["T-1"], 2, ["T-1"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_run_of_what_is_not_there_is_refused(cli: Cli, arguments: list[str], code: int, words: list[str]) -> None:
    with nothing_made(cli.root):
        assert_refused(cli("run", *arguments, code=None), code, *words)
    assert_told(cli("plan", *arguments, code=None), code, *words)
    assert not (cli.root.path / ".metawsm" / "metawsm.db").exists()


def test_a_plan_shows_what_can_be_planned_and_every_problem_with_the_rest(cli: Cli, path_of_ones_own: Path) -> None:
    (path_of_ones_own / "tmux").unlink()
    agents = ["--agent", "nobody", "--agent", "worker", "--agent", "codex"]
    asked = ["--ticket", "T-404", "--ticket", "T-1", "--repos", "app,nope", *agents]
    shown = cli.ask("plan", *asked, code=3)
    assert [problem["code"] for problem in shown["problems"]] == [
        "ticket_not_found",
        "agent_not_found",
        "dependency_missing",
        "repo_not_found",
        "dependency_missing",
    ]
    assert shown["steps"][0]["name"] == "verify T-1"
    assert {step["repo"] for step in shown["steps"]} == {"app", None}
    without = cli.ask("plan", "--ticket", "T-404", code=3)
    assert without["steps"] == []
    assert "T-404" in without["problems"][0]["message"]
    assert_refused(cli("run", *asked, code=3), 3, "T-404")


def test_a_refused_run_makes_no_root_of_the_folder_that_it_was_typed_in(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stray = Root(tmp_path / "stray")
    cli = Cli(stray, capfd, monkeypatch)
    assert_refused(cli("run", "--ticket", "T-1", code=3), 3, "T-1", "metawsm ticket create")
    assert_told(cli("plan", "--ticket", "T-1", code=3), 3, "T-1", "metawsm ticket create")
    for looking in (["status"], ["runs"], ["history"], ["tickets"]):
        assert "yet" in cli(*looking).err
    assert_refused(cli("status", "r1", code=3), 3, "no runs here yet")
    assert list(stray.path.iterdir()) == []


def test_runs_agents_and_steps_that_are_not_there_are_named(cli: Cli) -> None:
    for run in ("fix-1", "fix-2"):
        cli("run", "--ticket", "T-1", "--run-id", run, "--dry-run")
    verbs = (
        "status",
        "wait",
        "stop",
        "resume",
        "restart",
        "complete",
        "sync",
        "close",
        "cleanup",
        "diff",
        "logs",
        "attach",
        "explain",
        "history",
    )
    before = footprint(cli.root)
    for verb in verbs:
        assert_refused(cli(verb, "nope", code=3), 3, "'nope'", "metawsm runs")
        assert_refused(cli(verb, "fix", code=3), 3, "fix-1, fix-2")
        assert_refused(cli(verb, "--ticket", "T-404", code=3), 3, "'T-404'")
        assert_refused(cli(verb, "", code=2), 2, "empty")
    for verb in ("stop", "close", "wait", "sync"):
        assert_refused(cli(verb, code=3), 3, "fix-1", "fix-2")
    for verb in ("logs", "attach", "explain", "restart", "complete"):
        assert_refused(cli(verb, "fix-1", "--agent", "nope", code=3), 3, "no nope", "worker on T-1")
    assert_refused(cli("stop", "fix-1", "--ticket", "T-1", code=2), 2, "named twice")
    assert_refused(cli("stop", "fix-1", "--run-id", "fix-2", code=2), 2, "named twice")
    assert_refused(cli("iterate", "fix-1", "  ", code=2), 2, "feedback")
    assert_refused(cli("skip-step", "fix-1", "99", code=3), 3, "99")
    assert_refused(cli("skip-step", "fix-1", "first", code=2), 2, "'first'")
    assert_refused(cli("retry-step", "fix-1", code=2), 2, "index")
    assert_refused(cli("answer", "nope", "yes", code=3), 3, "'nope'")
    assert_refused(cli("runs", "--limit", "-1", code=2), 2, "'-1'")
    assert_refused(cli("history", "--since", "9" * 30, code=2), 2, "9999")
    assert_refused(cli("runs", "--status", "done", code=2), 2, "'done'", "'completed'")
    assert_refused(cli("wait", "fix-1", "--timeout", "nan", code=2), 2, "'nan'")
    assert footprint(cli.root) == before


def test_a_signal_needs_the_environment_of_an_agent_and_a_type_that_there_is(cli: Cli) -> None:
    cli("run", "--ticket", "T-1", "--run-id", "r1", "--dry-run")
    assert_refused(cli("signal", "done", code=2), 2, "METAWSM_RUN_ID")
    agent = ("--run-id", "r1", "--ticket", "T-1", "--agent", "worker", "--launch", "x")
    assert_refused(cli("signal", "finished", *agent, code=2), 2, "finished", "done")
    assert_refused(cli("signal", "progress", "m", "--data", "{", *agent, code=2), 2, "--data")
    assert_refused(cli("signal", "progress", "m", "--data", "[]", *agent, code=2), 2, "object")
    for number in ("NaN", "1e999"):
        assert_refused(cli("signal", "progress", "m", "--data", f'{{"a": {number}}}', *agent, code=2), 2, "--data")
    assert "only recorded" in cli("signal", "done", *agent).err
    assert cli.ask("status", "r1")["agents"][0]["status"] == "pending"


# --- repositories and branches ---


def test_a_repository_without_commits_and_a_root_without_repositories_are_told(cli: Cli) -> None:
    git(cli.root.path, "init", "-q", "empty")
    with nothing_made(cli.root):
        assert_refused(cli("run", "--ticket", "T-1", "--repos", "empty", code=2), 2, "empty", "first commit")
    shutil.rmtree(cli.root.path / "empty")
    shutil.rmtree(cli.root.path / "app")
    with nothing_made(cli.root):
        assert_refused(cli("run", "--ticket", "T-1", code=3), 3, "no git repository", ".metawsm/policy.json")


def test_without_a_git_identity_close_is_blocked_before_anything_is_merged(cli: Cli) -> None:
    cli.root.agents(
        worker="echo x >> README.md; git -c user.name=A -c user.email=a@example.com commit -qam work\n" + DONE
    )
    cli("run", "--ticket", "T-1", "--run-id", "r1", "--wait")
    cli("stop", "r1")
    config = Path(os.environ["GIT_CONFIG_GLOBAL"])
    identity = config.read_text()
    config.write_text("[user]\nuseConfigOnly = true\n")
    before = footprint(cli.root)
    rehearsed = cli("close", "r1", "--dry-run", code=5)
    assert "no_identity" in rehearsed.out
    assert "nothing to merge" not in rehearsed.out + rehearsed.err
    ran = cli("close", "r1", code=5)
    assert "git config user.name" in ran.err
    assert footprint(cli.root) == before
    config.write_text(identity)
    cli("close", "r1")


@pytest.mark.parametrize("work", [0, 1, 2])
def test_a_branch_that_exists_is_taken_without_work_and_refused_with_work(cli: Cli, work: int) -> None:
    app = cli.root.path / "app"
    git(app, "branch", "task/t-1-r1")
    if work:
        git(app, "checkout", "-q", "task/t-1-r1")
        for number in range(work):
            git(app, "commit", "-q", "--allow-empty", "-m", f"Work {number}")
        git(app, "checkout", "-q", "main")
        with nothing_made(cli.root):
            assert_refused(
                cli("run", "--ticket", "T-1", "--run-id", "r1", code=2),
                *(2, "task/t-1-r1", "a commit that main" if work == 1 else "2 commits that main"),
            )
        return
    assert "the branch exists already" in cli("plan", "--ticket", "T-1", "--run-id", "r1").out
    cli("run", "--ticket", "T-1", "--run-id", "r1", "--wait")
    cli("close", "r1")


def test_a_branch_that_is_checked_out_elsewhere_is_found_before_anything_is_made(cli: Cli) -> None:
    git(cli.root.path / "app", "checkout", "-qb", "task/t-1-r1")
    with nothing_made(cli.root):
        assert_refused(
            cli("run", "--ticket", "T-1", "--run-id", "r1", code=2), 2, "task/t-1-r1", str(cli.root.path / "app")
        )


def test_a_folder_that_exists_is_taken_empty_and_refused_with_something_in_it(cli: Cli) -> None:
    (step,) = (
        s for s in cli.ask("plan", "--ticket", "T-1", "--run-id", "r1")["steps"] if s["kind"] == "create_workspace"
    )
    folder = Path(step["command"][-2]).parent
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with nothing_made(cli.root):
        assert_refused(cli("run", "--ticket", "T-1", "--run-id", "r1", code=2), 2, str(folder), "reuse")
    (folder / "notes.txt").unlink()
    cli("run", "--ticket", "T-1", "--run-id", "r1", "--wait")
    cli("stop", "r1")
    with nothing_made(cli.root):
        assert_refused(cli("run", "--ticket", "T-1", "--run-id", "r1", code=2), 2, "exists already")
    cli("ticket", "create", "T-2")
    with nothing_made(cli.root):
        assert_refused(cli("run", "--ticket", "T-2", "--run-id", "r1", code=2), 2, "run r1 exists already")


def test_a_workspace_of_the_same_name_that_another_root_has_is_found_before_anything_is_made(
    cli: Cli, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("run", "--ticket", "T-1", "--run-id", "r1", "--wait")
    cli("stop", "r1")
    monkeypatch.setenv("METAWSM_WORKSPACE_DIRECTORY", str(tmp_path / "elsewhere"))
    other = Root(tmp_path / "other")
    other.repository("lib")
    other.agents(worker=DONE)
    there = Cli(other, capfd, monkeypatch)
    there("ticket", "create", "T-1")
    with nothing_made(other):
        assert_refused(there("run", "--ticket", "T-1", "--run-id", "r1", code=2), 2, "called t-1-r1", "another run id")


# --- the machine ---


def test_a_tmux_that_cannot_be_reached_is_found_before_anything_is_made(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("deep" * 30)
    folder.mkdir()
    with nothing_made(cli.root):
        monkeypatch.setenv("TMUX_TMPDIR", str(folder))
        assert_refused(cli("run", "--ticket", "T-1", code=1), 1, "File name too long")


@contextlib.contextmanager
def unwritable(folder: Path, state: str) -> Iterator[None]:
    """Make a folder that is full, or that can only be read."""
    options = "size=64k" if state == "full" else "ro"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode == 0:
        try:
            yield
        finally:
            subprocess.run(["umount", folder], check=True)
    elif state == "full" or os.geteuid() == 0:
        pytest.skip("no small file system can be mounted here")
    else:
        folder.chmod(0o555)
        try:
            yield
        finally:
            folder.chmod(0o755)


@pytest.mark.parametrize("state", ["full", "read-only"])
def test_a_workspace_folder_that_cannot_be_written_leaves_a_run_that_can_be_resumed(
    cli: Cli, tmp_path: Path, state: str
) -> None:
    folder = tmp_path / "workspaces"
    folder.mkdir()
    (cli.root.path / "app" / "large.bin").write_bytes(os.urandom(400_000))
    git(cli.root.path / "app", "add", "-A")
    git(cli.root.path / "app", "commit", "-qm", "Grow")
    with unwritable(folder, state):
        before = {**footprint(cli.root), "rows": 1}
        ran = cli("run", "--ticket", "T-1", "--run-id", "r1", code=1)
        assert "Traceback" not in ran.err
        assert "metawsm resume r1" in ran.err
        assert footprint(cli.root) == before
        assert cli.ask("status", "r1")["run"]["status"] == "failed"
    cli("resume", "r1", "--wait")


@pytest.fixture
def path_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is the whole PATH, with what agents' shells and metawsm need."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in (
        "sh",
        "env",
        "git",
        "tmux",
        "cat",
        "sleep",
        "dirname",
        "mkdir",
        "mv",
        "rm",
        "printf",
        "head",
        "tail",
    ):
        (folder / program).symlink_to(shutil.which(program) or program)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def fake(folder: Path, program: str, script: str) -> None:
    (folder / program).unlink()
    (folder / program).write_text(f"#!/bin/sh\n{script}\n")
    (folder / program).chmod(0o755)


def test_tmux_and_git_that_are_missing_or_too_old_are_told_with_the_version_that_is_needed(
    cli: Cli, path_of_ones_own: Path
) -> None:
    run = ("run", "--ticket", "T-1")
    real = shutil.which("git")
    assert real
    real = str(Path(real).resolve())
    with nothing_made(cli.root):
        for program, said, needed in (("git", "git version 2.20.1", "2.38"), ("tmux", "tmux 2.6", "3.1")):
            was = (path_of_ones_own / program).resolve()
            (path_of_ones_own / program).rename(path_of_ones_own / "away")
            if program == "tmux":  # the footprint itself asks git
                assert_refused(cli(*run, code=6), 6, "tmux is not installed", "apt install tmux")
            assert "✗ " + program in cli("doctor", code=6).out
            (path_of_ones_own / program).symlink_to(was)
            fake(path_of_ones_own, program, f'case "$*" in *version*|-V) echo "{said}";; *) exec {was} "$@";; esac')
            assert_refused(cli(*run, code=6), 6, said.removeprefix("git version "), needed)
            assert_told(cli("plan", *run[1:], code=6), 6, said.removeprefix("git version "), needed)
            assert needed in cli("doctor", code=6).out
            (path_of_ones_own / program).unlink()
            (path_of_ones_own / "away").rename(path_of_ones_own / program)
    (path_of_ones_own / "git").unlink()
    assert_refused(cli(*run, code=6), 6, "git is not installed", "2.38")
    assert not (cli.root.path / ".metawsm" / "metawsm.db").exists()


def test_an_agents_program_that_is_not_installed_is_found_before_anything_is_made(
    cli: Cli, path_of_ones_own: Path
) -> None:
    assert path_of_ones_own.is_dir()
    with nothing_made(cli.root):
        for agents in (["codex"], ["worker", "claude"]):
            flags = [word for agent in agents for word in ("--agent", agent)]
            assert_refused(cli("run", "--ticket", "T-1", *flags, code=6), 6, f"'{agents[-1]}'", "install it")
    assert not (cli.root.path / ".metawsm" / "metawsm.db").exists()
    shown = cli("plan", "--ticket", "T-1", "--agent", "codex", code=6)
    assert "start codex on T-1" in shown.out
    assert "'codex'" in shown.err


def test_the_persons_own_tmux_configuration_neither_harms_nor_is_read(cli: Cli, tmp_path: Path) -> None:
    home = Path(os.environ["HOME"])
    hostile = "\n".join(
        (
            "set -g destroy-unattached on",
            "set -g default-shell /bin/false",
            f'set -g default-command "touch {tmp_path / "canary"}"',
            "set -g base-index 1",
            "setw -g pane-base-index 1",
            "setw -g remain-on-exit on",
            f"set-hook -g session-created 'run-shell \"touch {tmp_path / 'canary'}\"'",
        )
    )
    (home / ".config" / "tmux").mkdir(parents=True)
    for file in (home / ".tmux.conf", home / ".config" / "tmux" / "tmux.conf"):
        file.write_text(hostile)
    cli.root.agents(worker=f"echo here is the agent\n{DONE}sleep 60")
    cli("run", "--ticket", "T-1", "--run-id", "r1", "--wait")
    assert cli.ask("status", "r1")["agents"][0]["status"] == "completed"
    assert sessions() == ["worker-t-1-r1"]
    assert "here is the agent" in cli("logs", "r1").out
    cli("close", "r1")
    assert sessions() == []
    assert not (tmp_path / "canary").exists()


# --- files that are wrong ---


def test_a_policy_that_is_not_json_is_told_with_its_place_by_every_verb_that_needs_it(cli: Cli) -> None:
    policy = cli.root.path / ".metawsm" / "policy.json"
    policy.write_text('{"version": 3,\n  "agents": [{"name": "w" "profile": "shell"}]\n}')
    with nothing_made(cli.root):
        for arguments in (
            ["run", "--ticket", "T-1"],
            ["plan", "--ticket", "T-1"],
            ["tickets"],
            ["ticket", "create", "X"],
        ):
            assert_refused(cli(*arguments, code=2), 2, f"{policy}:2:27: ")
    assert f"{policy}:2:27: " in cli("policy", "check", code=2).out
    assert cli("status").err.startswith("There are no runs here yet")
    error = cli("--json", "run", "--ticket", "T-1", code=2).json["error"]
    assert error["data"]["kind"] == "invalid_policy"
    assert [(problem["line"], problem["column"]) for problem in error["data"]["details"]] == [(2, 27)]


@pytest.mark.parametrize(
    ("head", "line"), [('---\nTitle: "open\nTicket: T-1\n---\n', "line "), ("Ticket: T-1\n", "line 1"), ("", "line 1")]
)
def test_a_ticket_whose_frontmatter_is_broken_is_told_with_its_place(cli: Cli, head: str, line: str) -> None:
    index = Path(cli.ask("tickets")["tickets"][0]["path"])
    index.write_text(head)
    with nothing_made(cli.root):
        for arguments in (["run", "--ticket", "T-1"], ["ticket", "close", "T-1"]):
            assert_refused(cli(*arguments, code=3), 3, "T-1 cannot be read", f"{index}, {line}")
        assert_refused(cli("ticket", "create", "T-1", code=2), 2, "broken", f"{index}, {line}")
    assert index.read_text() == head


# --- roots ---


@pytest.mark.parametrize("bad", ["line\nbreak", "bell\a"])
def test_a_root_whose_path_no_line_can_hold_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    cli = Cli(Root(tmp_path / bad), capfd, monkeypatch)
    for arguments in (["run", "--ticket", "T-1"], ["policy", "init"], ["status"]):
        assert_refused(cli(*arguments, code=2), 2, "rename it")
    assert list((tmp_path / bad).iterdir()) == []


def test_a_root_that_is_gone_or_somebody_elses_is_refused(cli: Cli, tmp_path: Path) -> None:
    assert_refused(cli("--root", "/no/such", "status", code=2), 2, "/no/such")
    assert_refused(cli("--root", "", "status", code=2), 2, "''")
    assert_refused(cli("--root", "~nobody-here", "status", code=2), 2, "~nobody-here")
    assert_refused(cli("--root", code=2), 2, "--root")
    if os.getuid() == 0:
        state = cli.root.path / ".metawsm"
        os.chown(state, 4711, 4711)
        for arguments in (["run", "--ticket", "T-1"], ["status"], ["policy", "show"], ["tickets"]):
            assert_refused(cli(*arguments, code=4), 4, str(state), "another user")
    gone = tmp_path / "gone"
    gone.mkdir()
    ran = subprocess.run(
        ["sh", "-c", 'rmdir "$PWD"; exec "$@"', "sh", *command("status")],
        cwd=gone,
        capture_output=True,
        text=True,
        check=False,
    )
    assert_refused(Ran(ran), 2, "current folder is gone")


def test_a_state_folder_that_cannot_be_written_is_told_as_that(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def chmod(path: Path, mode: int) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path, mode)

    monkeypatch.setattr(Path, "chmod", chmod)
    assert_refused(cli("policy", "init", code=1), 1, ".metawsm cannot be written: Read-only")
