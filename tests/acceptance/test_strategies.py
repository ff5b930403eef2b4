"""Where workspaces come from: made new, forked from another one's branches, or reused; and how they are prepared."""

from pathlib import Path

import pytest
from cli_support import Cli, assert_refused, nothing_made
from conftest import DONE, Root, git

WORK = """
for repo in app lib; do
  (cd "$METAWSM_WORKSPACE/$repo" && echo "$METAWSM_TICKET" >> work.txt && git add -A && git commit -qm "$METAWSM_TICKET")
done
"""


@pytest.fixture
def cli(two_repositories: Root, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return the command line on a root whose run r1 has worked on T-1 in both repositories."""
    root = two_repositories
    root.agents(worker=WORK + DONE)
    cli = Cli(root, capfd, monkeypatch)
    for ticket in ("T-1", "T-2"):
        cli("ticket", "create", ticket)
    cli("run", "--ticket", "T-1", "--repos", "app,lib", "--run-id", "r1", "--wait")
    cli("stop", "r1")  # its session ends a little after the agent's last word
    return cli


def subjects(repo: Path, branch: str) -> list[str]:
    return git(repo, "log", "--topo-order", "--format=%s", branch).splitlines()


def test_a_fork_begins_at_the_branches_of_its_source_in_all_repositories(cli: Cli) -> None:
    fork = ("--ticket", "T-2", "--strategy", "fork", "--source", "t-1-r1", "--run-id", "r2")
    assert "the branch of workspace t-1-r1" in cli("plan", *fork).out
    cli("run", *fork, "--wait")
    detail = cli.ask("status", "r2")
    assert (detail["run"]["strategy"], detail["run"]["repos"]) == ("fork", ["app", "lib"])
    for repo in detail["workspaces"][0]["repos"]:
        assert (repo["branch"], repo["base"], repo["ahead"]) == ("task/t-2-r2", "task/t-1-r1", 1)
        assert subjects(cli.root.path / repo["name"], "task/t-2-r2") == ["T-2", "T-1", "Begin"]
        assert subjects(cli.root.path / repo["name"], "task/t-1-r1") == ["T-1", "Begin"]
    assert [file["path"] for repo in cli.ask("diff", "r2")["repos"] for file in repo["files"]] == [
        "work.txt",
        "work.txt",
    ]
    # Closing the fork brings its work to where it came from, and that to main.
    cli("close", "r2")
    cli("close", "r1")
    for name in ("app", "lib"):
        assert {"T-1", "T-2"} <= set(subjects(cli.root.path / name, "main"))


def test_a_fork_may_take_some_of_the_repositories(cli: Cli) -> None:
    cli(
        "run",
        "--ticket",
        "T-2",
        "--strategy",
        "fork",
        "--source",
        "t-1-r1",
        "--repos",
        "lib",
        "--run-id",
        "r2",
        "--dry-run",
    )
    assert [repo["name"] for repo in cli.ask("status", "r2")["workspaces"][0]["repos"]] == ["lib"]
    with nothing_made(cli.root):
        refused = cli("run", "--ticket", "T-2", "--strategy", "fork", "--source", "t-1-r1", "--repos", "nope", code=3)
        assert_refused(refused, 3, "'nope'", "app, lib")


def test_reuse_works_in_the_same_folders_on_the_same_branches(cli: Cli) -> None:
    before = cli.ask("status", "r1")["workspaces"][0]
    cli("run", "--ticket", "T-2", "--strategy", "reuse", "--source", "t-1-r1", "--run-id", "r2", "--wait")
    after = cli.ask("status", "r2")["workspaces"][0]
    assert (after["name"], after["path"], after["branch"]) == (before["name"], before["path"], before["branch"])
    assert subjects(cli.root.path / "app", "task/t-1-r1") == ["T-2", "T-1", "Begin"]
    assert git(cli.root.path / "app", "worktree", "list").count("\n") == 1
    cli("close", "r2")
    assert subjects(cli.root.path / "lib", "main")[1:] == ["T-2", "T-1", "Begin"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--strategy", "fork"], ["--source"]),
        (["--strategy", "reuse"], ["--source"]),
        (["--strategy", "fork", "--source", "t-9-r9"], ["'t-9-r9'"]),
        (["--strategy", "fork", "--source", "t-1-r1", "--base-branch", "main"], ["leave out the base branch"]),
        (["--strategy", "reuse", "--source", "t-1-r1", "--ticket", "T-1"], ["one ticket at a time"]),
        (["--strategy", "create", "--source", "t-1-r1"], ["fork and reuse"]),
    ],
    ids=" ".join,
)
def test_a_strategy_with_the_wrong_company_is_refused(cli: Cli, flags: list[str], words: list[str]) -> None:
    with nothing_made(cli.root):
        assert_refused(cli("run", "--ticket", "T-2", *flags, code=2), 2, *words)


def test_a_workspace_that_is_gone_is_neither_forked_nor_reused(cli: Cli) -> None:
    cli("close", "r1")
    with nothing_made(cli.root):
        for strategy in ("fork", "reuse"):
            refused = cli("run", "--ticket", "T-2", "--strategy", strategy, "--source", "t-1-r1", code=2)
            assert_refused(refused, 2, "'t-1-r1'")


# --- preparing ---


def test_files_are_copied_but_never_over_others_and_setup_commands_are_shown_and_run(
    root: Root, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = root.repository("app", {".gitignore": ".env\n*.local\n", "kept.txt": "committed\n"})
    (app / ".env").write_text("SECRET=1\n")
    (app / "conf").mkdir()
    (app / "conf" / "a.local").write_text("a\n")
    (app / "kept.txt").write_text("changed by hand\n")
    setup = [
        {"run": 'printf "%s\\n" "$METAWSM_TICKET in $(basename "$PWD")" > set-up.local'},
        {"run": "cat .env > seen.local"},
        {"run": "echo trouble >&2; false", "on_failure": "warn"},
    ]
    root.policy(
        workspace={"copy": [".env", "conf/*.local", "kept.txt"], "setup": setup},
        execution={"step_retries": 0},
        agents=[root.agent("worker", DONE)],
    )
    cli = Cli(root, capfd, monkeypatch)
    cli("ticket", "create", "T-1")
    shown = cli("plan", "--ticket", "T-1").out
    assert "sh -c 'cat .env > seen.local'" in shown
    assert "sh -c 'echo trouble >&2; false'" in shown

    cli("run", "--ticket", "T-1", "--run-id", "r1", "--wait")
    detail = cli.ask("status", "r1")
    folder = Path(detail["workspaces"][0]["repos"][0]["path"])
    assert (folder / ".env").read_text() == "SECRET=1\n"
    assert (folder / "conf" / "a.local").read_text() == "a\n"
    assert (folder / "kept.txt").read_text() == "committed\n"
    assert (folder / "set-up.local").read_text() == "T-1 in app\n"
    assert (folder / "seen.local").read_text() == "SECRET=1\n"
    assert [
        (step["status"], step["blocking"]) for step in detail["steps"] if step["command"] and step["command"][0] == "sh"
    ][:3] == [
        ("done", True),
        ("done", True),
        ("failed", False),
    ]
    assert "trouble" in next(step["error"] for step in detail["steps"] if step["status"] == "failed")


def test_a_setup_command_that_fails_ends_the_run_where_it_is_needed(
    root: Root, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root.repository("app")
    root.policy(
        workspace={"setup": [{"run": "test -e ready"}]},
        execution={"step_retries": 0},
        agents=[root.agent("worker", DONE)],
    )
    cli = Cli(root, capfd, monkeypatch)
    cli("ticket", "create", "T-1")
    failed = cli("run", "--ticket", "T-1", "--run-id", "r1", code=1)
    assert "`test -e ready`" in failed.err
    assert "metawsm resume r1" in failed.err
    assert cli.ask("status", "r1")["agents"][0]["status"] == "pending"
