"""The policy's verbs: a file to start from, what is wrong with it, what is in force, and old files brought along."""

import json
import os
import shutil
from pathlib import Path

import pytest
from cli_support import Cli, assert_refused
from conftest import Root


@pytest.fixture
def cli(root: Root, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    return Cli(root, capfd, monkeypatch)


@pytest.fixture
def policy(root: Root) -> Path:
    return root.path / ".metawsm" / "policy.json"


def test_a_newcomer_is_led_from_an_empty_folder_to_a_running_agent(cli: Cli, policy: Path) -> None:
    assert "metawsm policy init" in cli("--help").out
    made = cli("policy", "init")
    assert str(policy) in made.out
    assert "metawsm doctor" in made.err
    assert "fine" in cli("policy", "check").out
    assert "metawsm ticket create" in cli("tickets").err
    assert "metawsm ticket create" in cli("run", "--ticket", "T-1", code=3).err
    assert cli("ticket", "create", "T-1").out.endswith("index.md\n")
    assert "git repository" in cli("run", "--ticket", "T-1", code=3).err
    cli.root.repository("app")
    written = json.loads(policy.read_text())
    (agent,) = written["agents"]
    # Whatever of the known programs is installed here, this one is not.
    policy.write_text(json.dumps({**written, "agents": [{**agent, "command": ["no-such-agent", "{prompt}"]}]}))
    missing = cli("run", "--ticket", "T-1", code=6)
    assert_refused(missing, 6, "no-such-agent", ".metawsm/policy.json")
    assert "✗ agent" in cli("doctor", code=6).out
    policy.write_text(json.dumps({**written, "agents": [{"name": "me", "profile": "shell", "command": ["true"]}]}))
    assert cli("doctor").out.count("✓") == 7
    cli("run", "--ticket", "T-1", "--wait")


def test_init_replaces_a_policy_only_when_told_to(cli: Cli, policy: Path) -> None:
    cli("policy", "init")
    policy.write_text('{"version": 3}')
    assert_refused(cli("policy", "init", code=2), 2, str(policy), "--force")
    assert policy.read_text() == '{"version": 3}'
    cli("policy-init", "--force")
    assert "agents" in json.loads(policy.read_text())


def test_init_makes_a_root_here_and_not_further_up(cli: Cli) -> None:
    below = cli.root.path / "below"
    below.mkdir()
    cli("policy", "init", cwd=below)
    assert (below / ".metawsm" / "policy.json").is_file()
    assert not (cli.root.path / ".metawsm").exists()
    ignored = (below / ".metawsm" / ".gitignore").read_text().splitlines()
    assert ignored[-2:] == ["*", "!policy.json"]


def test_check_tells_all_that_is_wrong_each_with_its_place_and_a_hint(cli: Cli, policy: Path) -> None:
    policy.parent.mkdir()
    policy.write_text(
        '{"version": 3,\n "agnets": [],\n "transcripts": {"max_bytes": ""},\n "health": {"idle_seconds": -1}\n}'
    )
    shown = cli("policy", "check", code=2).out
    for place, words in (("2:2", '"agents"'), ("3:31", "transcripts.max_bytes"), ("4:29", "health.idle_seconds")):
        assert f"{policy}:{place}: " in shown
        assert words in shown
    assert cli("policy", "show", code=2).out == shown


def test_check_says_when_there_is_no_policy_at_all(cli: Cli, policy: Path) -> None:
    said = cli("policy", "check").out
    assert f"There is no {policy}" in said
    assert "metawsm policy init" in said
    assert not policy.parent.exists()


def test_show_prints_what_is_in_force_from_all_layers(cli: Cli, policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    person = Path(os.environ["XDG_CONFIG_HOME"]) / "metawsm" / "policy.json"
    person.parent.mkdir(parents=True)
    person.write_text('{"version": 3, "tmux": {"socket": "mine"}, "health": {"idle_seconds": 7}}')
    policy.parent.mkdir()
    policy.write_text('{"version": 3, "health": {"idle_seconds": 9}}')
    monkeypatch.setenv("METAWSM_HEALTH_RESTART_BUDGET", "2")
    shown = json.loads(cli("policy", "show").out)
    assert shown["tmux"]["socket"] == "mine"
    assert (shown["health"]["idle_seconds"], shown["health"]["restart_budget"]) == (9, 2)
    assert shown["close"]["merge"] == "merge"
    monkeypatch.setenv("METAWSM_HEALTH_RESTART_BUDGET", "many")
    assert "METAWSM_HEALTH_RESTART_BUDGET" in cli("policy", "show", code=2).out


def test_schema_is_a_json_schema_that_knows_every_field_of_the_policy(cli: Cli) -> None:
    schema = json.loads(cli("policy", "schema").out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    shown = cli.ask("policy", "show")["policy"]
    assert set(shown) <= set(schema["properties"])
    assert cli("--json", "policy", "schema").json == schema


def test_migrate_brings_an_old_policy_along_keeps_it_and_lists_what_has_no_place(cli: Cli, policy: Path) -> None:
    policy.parent.mkdir()
    old = {
        "version": 2,
        "workspace": {"default_strategy": "create", "branch_prefix": "work"},
        "operator": {"poll_seconds": 3},
        "agent_profiles": [{"name": "quick", "runner": "shell", "runner_options": {"command": "echo hi"}}],
        "agents": [{"name": "one", "profile": "quick"}],
    }
    policy.write_text(json.dumps(old))
    assert "metawsm policy migrate" in cli("run", "--ticket", "T-1", code=2).err
    migrated = cli("policy", "migrate")
    assert "/operator" in migrated.out
    assert json.loads((policy.parent / "policy.json.v2.bak").read_text()) == old
    assert cli.ask("policy", "check")["policy"]["workspace"]["branch_prefix"] == "work"
    assert "newest version already" in cli("policy", "migrate").out
    shutil.rmtree(policy.parent)
    missing = cli("policy", "migrate", code=2)
    assert "There is no policy to migrate" in missing.err


def test_migrate_says_when_there_is_nothing_to_migrate(cli: Cli, policy: Path) -> None:
    assert_refused(cli("policy", "migrate", code=2), 2, "There is no policy to migrate", str(policy), "policy init")
    assert not policy.exists()


def test_an_action_that_is_missing_or_mistyped_is_told_with_those_that_there_are(cli: Cli) -> None:
    assert_refused(cli("policy", code=2), 2, "init|check|show|schema|migrate")
    assert_refused(cli("policy", "chekc", code=2), 2, "did you mean policy check?")
    assert_refused(cli("policy", "init", "now", code=2), 2, "now", "metawsm policy init --help")
    assert "policy migrate" in cli("policy", "--help").out
