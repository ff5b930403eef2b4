"""What doctor says of a machine, and how its exit status tells whether runs can work there."""

import pytest
from cli_support import Cli
from conftest import DONE, Root, git


@pytest.fixture
def cli(root: Root, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    return Cli(root, capfd, monkeypatch)


def checks(cli: Cli, *, code: int) -> dict[str, dict[str, object]]:
    return {check["name"]: check for check in cli.ask("doctor", code=code)["checks"]}


def test_a_root_that_can_run_agents_passes_every_check(cli: Cli) -> None:
    cli.root.repository("app")
    cli.root.agents(worker=DONE)
    cli("ticket", "create", "T-1")
    found = checks(cli, code=0)
    assert list(found) == ["policy", "git", "tmux", "identity", "repositories", "tickets", "agent worker"]
    assert all(check["ok"] for check in found.values())
    assert found["repositories"]["detail"] == "app"
    assert str(found["tickets"]["detail"]).startswith("1 in ")
    assert str(found["agent worker"]["detail"]).endswith("/sh")
    assert [line[0] for line in cli("doctor").out.splitlines()] == ["✓"] * 7


def test_each_thing_that_is_wrong_fails_its_own_check_with_a_hint(cli: Cli) -> None:
    cli.root.policy(
        repositories={"gone": "not/here"},
        agents=[{"name": "ghost", "profile": "shell", "command": ["no-such-program"]}, cli.root.agent("fine", DONE)],
    )
    found = checks(cli, code=6)
    assert {name for name, check in found.items() if not check["ok"]} == {"repository gone", "agent ghost"}
    assert "not/here" in str(found["repository gone"]["detail"])
    assert "no-such-program" in str(found["agent ghost"]["hint"])
    shown = cli("doctor", code=6).out
    assert "✗ agent ghost: no-such-program is not on PATH\n    Install no-such-program" in shown


def test_a_git_that_does_not_know_who_commits_fails_its_check(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks(cli, code=0)["identity"]["detail"] == "Tester <tester@example.com>"
    app = cli.root.repository("app")
    git(app, "config", "user.useConfigOnly", "true")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    found = checks(cli, code=6)
    assert [name for name, check in found.items() if not check["ok"]] == ["identity"]
    assert "user.email" in str(found["identity"]["hint"])


def test_a_policy_that_cannot_be_used_fails_and_nothing_is_made(cli: Cli) -> None:
    assert checks(cli, code=0)["policy"]["ok"]
    assert not (cli.root.path / ".metawsm").exists()
    (cli.root.path / ".metawsm").mkdir()
    (cli.root.path / ".metawsm" / "policy.json").write_text("{")
    assert not checks(cli, code=6)["policy"]["ok"]
    assert [path.name for path in (cli.root.path / ".metawsm").iterdir()] == ["policy.json"]
