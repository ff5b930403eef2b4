"""What switches the programs' hooks on."""

import hashlib
import json
import tomllib
from pathlib import Path

import pytest

import metawsm_rpc.hosts
from metawsm_rpc.domain.readings.hooks import told
from metawsm_rpc.policy.hooks import hooks_for

PLUGINS = Path(metawsm_rpc.hosts.__file__).parent / "plugins"


def test_claude_loads_a_file_of_settings_with_nothing_but_hooks():
    hooks = hooks_for("claude", str(PLUGINS))
    assert hooks.environment == {}
    (option,) = hooks.options
    settings = json.loads(Path(option.removeprefix("--settings=")).read_text())
    assert set(settings) == {"hooks"}
    commands = {hook["command"] for groups in settings["hooks"].values() for group in groups for hook in group["hooks"]}
    assert commands == {'"$METAWSM_BIN" hook claude || true'}


def test_codex_is_given_hooks_and_the_hash_of_each_and_of_no_other():
    (option,) = hooks_for("codex", "/plugins").options
    hooks = tomllib.loads(option.removeprefix("--config="))["hooks"]
    state = hooks.pop("state")
    assert all(
        hook["command"] == '"$METAWSM_BIN" hook codex || true'
        for groups in hooks.values()
        for group in groups
        for hook in group["hooks"]
    )
    assert len(state) == len(hooks)
    assert all(set(trust) == {"trusted_hash"} for trust in state.values())
    assert all(key.startswith("/<session-flags>/config.toml:") and key.endswith(":0:0") for key in state)
    definition = {"command": '"$METAWSM_BIN" hook codex || true', "timeout": 10, "type": "command", "async": False}
    canonical = json.dumps({"event_name": "stop", "hooks": [definition]}, separators=(",", ":"), sort_keys=True)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    assert state["/<session-flags>/config.toml:stop:0:0"] == {"trusted_hash": f"sha256:{digest}"}


def test_opencode_loads_a_plugin_by_its_environment():
    hooks = hooks_for("opencode", "/a folder/plugins")
    assert hooks.options == ()
    content = json.loads(hooks.environment["OPENCODE_CONFIG_CONTENT"])
    assert content == {"plugin": ["file:///a%20folder/plugins/opencode.js"]}
    assert (PLUGINS / "opencode.js").exists()


@pytest.mark.parametrize("runner", ["gemini", "aider", "shell"])
def test_others_do_without(runner):
    assert hooks_for(runner, "/plugins") is None


@pytest.mark.parametrize("runner", ["claude", "codex"])
def test_every_event_that_is_asked_for_tells_something(runner):
    if runner == "claude":
        events = json.loads((PLUGINS / "claude.json").read_text())["hooks"]
    else:
        events = tomllib.loads(hooks_for("codex", "").options[0].removeprefix("--config="))["hooks"]
    kinds = ("permission_prompt", "idle_prompt")
    for event in set(events) - {"state"}:
        assert any(told(runner, {"hook_event_name": event, "notification_type": kind}) for kind in kinds), event
