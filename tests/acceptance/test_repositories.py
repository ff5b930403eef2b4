"""Which repositories a root has under which names, and which one is meant when none is named."""

import json
import os
from pathlib import Path

import pytest
from cli_support import Cli, assert_refused, nothing_made
from conftest import DONE, Root, git, make_repository


@pytest.fixture
def cli(root: Root, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    root.agents(worker=DONE)
    cli = Cli(root, capfd, monkeypatch)
    cli("ticket", "create", "T-1")
    return cli


def planned(cli: Cli, *flags: str) -> dict[str, str]:
    """Return the repositories of a plan: name to path."""
    steps = cli.ask("plan", "--ticket", "T-1", *flags)["steps"]
    return {step["repo"]: step["command"][2] for step in steps if step["kind"] == "create_workspace"}


def register(**paths: Path) -> None:
    """Write wsm's registry."""
    file = Path(os.environ["XDG_CONFIG_HOME"]) / "workspace-manager" / "registry.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"name": name, "path": str(path), "branches": [], "categories": None} for name, path in paths.items()]
    file.write_text(json.dumps({"repositories": rows, "last_scan": "2026-01-02T03:04:05Z"}))


def test_names_come_from_the_policy_the_registry_the_root_and_directly_below_it(cli: Cli, tmp_path: Path) -> None:
    root = cli.root
    for place in (tmp_path / "elsewhere", tmp_path / "known", root.path / "below", root.path / "deep" / "down"):
        make_repository(place)
    git(root.path, "init", "-q", "-b", "main")
    git(root.path, "commit", "-q", "--allow-empty", "-m", "Begin")
    register(known=tmp_path / "known")
    root.policy(
        agents=[root.agent("worker", DONE)], repositories={"far": str(tmp_path / "elsewhere"), "down": "deep/down"}
    )
    assert planned(cli, "--repos", "far,known,root,below,down") == {
        "far": str(tmp_path / "elsewhere"),
        "known": str(tmp_path / "known"),
        "root": str(root.path),
        "below": str(root.path / "below"),
        "down": str(root.path / "deep" / "down"),
    }
    refused = cli("plan", "--ticket", "T-1", "--repos", "deep", code=3)
    assert_refused(refused, 3, "'deep'", "far", "known", "root", "below", "down")


def test_without_repos_the_roots_own_repository_is_meant(cli: Cli) -> None:
    make_repository(cli.root.path / "below")
    git(cli.root.path, "init", "-q", "-b", "main")
    git(cli.root.path, "commit", "-q", "--allow-empty", "-m", "Begin")
    assert planned(cli) == {"root": str(cli.root.path)}


def test_without_repos_the_only_one_is_meant_and_of_several_none(cli: Cli) -> None:
    only = make_repository(cli.root.path / "only")
    assert planned(cli) == {"only": str(only)}
    make_repository(cli.root.path / "other")
    with nothing_made(cli.root):
        assert_refused(cli("run", "--ticket", "T-1", code=2), 2, "--repos", "only, other")


def test_without_repos_what_the_whole_machine_knows_does_not_hide_the_only_one_here(cli: Cli, tmp_path: Path) -> None:
    register(far=make_repository(tmp_path / "far"))
    assert planned(cli) == {"far": str(tmp_path / "far")}
    register(far=tmp_path / "far", farther=make_repository(tmp_path / "farther"))
    only = make_repository(cli.root.path / "only")
    assert planned(cli) == {"only": str(only)}


def test_repos_may_be_listed_and_repeated_and_named_twice(cli: Cli) -> None:
    for name in ("a", "b", "c"):
        make_repository(cli.root.path / name)
    assert list(planned(cli, "--repos", "c, a", "--repos", "b,a")) == ["c", "a", "b"]


def test_a_repository_at_the_root_is_not_covered_by_one_of_its_name_elsewhere(cli: Cli, tmp_path: Path) -> None:
    register(app=make_repository(tmp_path / "elsewhere" / "app"))
    app = make_repository(cli.root.path / "app")
    assert planned(cli) == {"app": str(app)}


def test_a_path_of_the_policy_that_holds_no_repository_is_told_when_it_is_used(cli: Cli, tmp_path: Path) -> None:
    root = cli.root
    make_repository(root.path / "app")
    (tmp_path / "plain").mkdir()
    root.policy(
        agents=[root.agent("worker", DONE)],
        repositories={"gone": str(tmp_path / "gone"), "plain": str(tmp_path / "plain")},
    )
    assert list(planned(cli)) == ["app"]
    with nothing_made(root):
        for name, words in (("gone", "no such folder"), ("plain", "git repository")):
            assert_refused(cli("run", "--ticket", "T-1", "--repos", name, code=1), 1, name, words)


def test_a_base_branch_that_is_absent_gives_way_to_the_default_one_and_the_plan_says_so(cli: Cli) -> None:
    app = make_repository(cli.root.path / "app")
    git(app, "branch", "-m", "main", "trunk")
    shown = cli("plan", "--ticket", "T-1").out
    assert "from trunk (app has no branch main)" in shown
    assert_refused(cli("plan", "--ticket", "T-1", "--base-branch", "main", code=2), 2, "'main'", "trunk")


def test_a_root_that_is_a_repository_works_with_no_more_than_a_ticket(cli: Cli) -> None:
    root = cli.root
    git(root.path, "init", "-q", "-b", "main")
    (root.path / "README.md").write_text("# Root\n")
    git(root.path, "add", "README.md")
    git(root.path, "commit", "-qm", "Begin")
    root.agents(worker="echo more >> README.md && git commit -qam More\n" + DONE)
    cli("run", "--ticket", "T-1", "--run-id", "r1", "--wait")
    cli("close", "r1")
    assert git(root.path, "log", "-1", "--format=%s") == "Merge branch 'task/t-1-r1' into main"
    assert (root.path / "README.md").read_text() == "# Root\nmore\n"
