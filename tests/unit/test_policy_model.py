import subprocess
import sys

import pytest
from pydantic import ValidationError

from metawsm_rpc.policy import view
from metawsm_rpc.policy.model import Policy
from metawsm_rpc.policy.profiles import BUILT_IN
from metawsm_rpc.policy.view import profile_of


def stored(**fields):
    return Policy.model_validate(fields).model_dump(mode="json")


def refused(**fields):
    with pytest.raises(ValidationError) as caught:
        Policy.model_validate(fields)
    return {".".join(map(str, error["loc"])): error["msg"] for error in caught.value.errors()}


def test_an_empty_policy_has_the_defaults_of_the_contract():
    policy = stored()
    assert {name: section for name, section in policy.items() if name != "agent_profiles"} == {
        "version": 3,
        "repositories": {},
        "workspace": {
            "backend": "git",
            "default_strategy": "create",
            "directory": "~/workspaces",
            "branch_prefix": "task",
            "base_branch": "main",
            "fetch": False,
            "copy": [],
            "setup": [],
        },
        "tickets": {"backend": "files", "directory": "ttmp"},
        "tmux": {"socket": "metawsm", "directory": "", "session_pattern": "{agent}-{workspace}"},
        "execution": {
            "step_retries": 1,
            "max_parallel": 4,
            "step_timeout_seconds": 600,
            "on_interrupt": "resume",
            "stop_grace_seconds": 5,
            "shell_env": "auto",
        },
        "health": {
            "idle_seconds": 300,
            "activity_stalled_seconds": 900,
            "progress_stalled_seconds": 1200,
            "restart_budget": 0,
        },
        "transcripts": {"max_bytes": 64_000_000},
        "close": {"require_clean_git": True, "push": False, "delete_branches": False, "merge": "merge"},
        "agents": [],
    }
    assert [profile["name"] for profile in policy["agent_profiles"]] == list(BUILT_IN)


def test_a_stored_policy_reads_back_as_the_same_policy():
    policy = Policy.model_validate(
        {
            "$schema": "x",
            "repositories": {"app": "../app"},
            "workspace": {"copy": [".env"], "setup": [{"run": "make"}]},
            "agent_profiles": [{"name": "mine", "command": ["my-agent", "{prompt}"]}],
            "agents": [{"name": "a", "profile": "mine"}],
        }
    )
    dumped = policy.model_dump(mode="json")
    assert "$schema" not in dumped
    assert Policy.model_validate(dumped).model_dump(mode="json") == dumped


def test_every_field_is_described():
    def models(kind, seen):
        if kind in seen:
            return
        seen.add(kind)
        for field in kind.model_fields.values():
            for nested in (field.annotation, *getattr(field.annotation, "__args__", ())):
                if hasattr(nested, "model_fields"):
                    models(nested, seen)

    seen = set()
    models(Policy, seen)
    undescribed = [
        f"{kind.__name__}.{name}"
        for kind in seen
        for name, field in kind.model_fields.items()
        if not field.description or not field.description.endswith(".")
    ]
    assert len(seen) == 11
    assert undescribed == []


def test_a_policy_cannot_be_changed():
    with pytest.raises(ValidationError):
        Policy().tmux.socket = "other"


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("workspace", "branch_prefix", ""),
        ("workspace", "branch_prefix", "a..b"),
        ("workspace", "branch_prefix", "a b"),
        ("workspace", "branch_prefix", "/a"),
        ("workspace", "branch_prefix", "a/"),
        ("workspace", "branch_prefix", "a.lock"),
        ("workspace", "branch_prefix", ".a"),
        ("workspace", "base_branch", "-f"),
        ("workspace", "base_branch", "a\nb"),
        ("workspace", "base_branch", "@"),
        ("workspace", "directory", " "),
        ("workspace", "copy", ["../secret"]),
        ("workspace", "copy", ["/etc/passwd"]),
        ("workspace", "setup", [{"run": "make", "timeout_seconds": 0}]),
        ("tickets", "directory", "a/../../b"),
        ("tickets", "directory", "~/tickets"),
        ("tmux", "socket", "../x"),
        ("tmux", "socket", "-L"),
        ("tmux", "socket", ""),
        ("tmux", "session_pattern", "{agent}"),
        ("tmux", "session_pattern", "{workspace}"),
        ("tmux", "session_pattern", "{agent}-{workspace}-{run}"),
        ("tmux", "session_pattern", "{agent}#(touch x){workspace}"),
        ("tmux", "session_pattern", "{agent}.{workspace}"),
        ("execution", "max_parallel", 0),
        ("execution", "max_parallel", 1.5),
        ("execution", "max_parallel", True),
        ("execution", "step_retries", -1),
        ("execution", "stop_grace_seconds", -1),
        ("health", "idle_seconds", 0),
        ("health", "idle_seconds", float("inf")),
        ("health", "idle_seconds", 10**12),
        ("transcripts", "max_bytes", 1),
        ("close", "push", "yes"),
        ("close", "merge", "squash"),
    ],
)
def test_a_value_that_cannot_work_is_refused(section, field, value):
    assert any(where.startswith(f"{section}.{field}") for where in refused(**{section: {field: value}}))


@pytest.mark.parametrize("prefix", ["task", "feature/x", "me@home", "übung", "a.b", "v1.0"])
def test_a_branch_prefix_may_be_what_git_takes(prefix):
    subprocess.run(["git", "check-ref-format", "--branch", f"{prefix}/ws"], check=True, capture_output=True)
    assert stored(workspace={"branch_prefix": prefix})["workspace"]["branch_prefix"] == prefix


@pytest.mark.parametrize("name", ["", "a b", "-a", "a/b", "$(x)", "#(x)", "a;b", "..", "é", "a" * 65, "a\nb"])
def test_an_agent_cannot_have_a_name_that_is_not_plain(name):
    assert "agents.0.name" in refused(agents=[{"name": name, "profile": "codex"}])
    assert "agent_profiles.0.name" in refused(agent_profiles=[{"name": name}])


@pytest.mark.parametrize(
    ("pattern", "because"),
    [("[", "regular expression"), ("a{99999999999}", "too large"), ("(" * 5000 + ")" * 5000, "recursion")]
    + [(pattern, "for ever") for pattern in ("(a+)+$", r"(\w|\d)*$")],
)
def test_a_pattern_that_cannot_be_used_is_refused(pattern, because):
    (message,) = refused(
        agent_profiles=[{"name": "p", "runner": "shell", "command": ["x"], "waiting_patterns": [pattern]}]
    ).values()
    assert because in message


def test_names_are_given_once():
    profiles = [{"name": "p", "command": ["x"]}, {"name": "p", "command": ["y"]}]
    assert refused(agent_profiles=profiles) == {"agent_profiles.1.name": "The name 'p' is given twice."}
    agents = [{"name": "a", "profile": "codex"}, {"name": "a", "profile": "claude"}]
    assert refused(agents=agents) == {"agents.1.name": "The name 'a' is given twice."}


def test_an_agent_needs_a_profile_that_is_there_and_a_command():
    assert refused(agents=[{"name": "a", "profile": "codx"}]) == {"agents.0.profile": "There is no profile 'codx'."}
    assert list(refused(agents=[{"name": "a", "profile": "shell"}])) == ["agents.0"]
    assert stored(agents=[{"name": "a", "profile": "shell", "command": ["x"]}])


@pytest.mark.parametrize("command", [[], [""], ["x", "{nope}"], ["x", "{"], ["x", "a\0b"], "x y"])
def test_a_command_is_a_list_with_a_program_and_known_placeholders(command):
    assert refused(agents=[{"name": "a", "profile": "shell", "command": command}])


def test_the_variables_that_metawsm_sets_cannot_be_set_by_a_profile():
    assert refused(agents=[{"name": "a", "profile": "codex", "env": {"METAWSM_RUN_ID": "x"}}])
    assert refused(agents=[{"name": "a", "profile": "codex", "env": {"A B": "x"}}])
    assert stored(agents=[{"name": "a", "profile": "codex", "env": {"METAWSM_DEBUG": "x"}}])


def test_a_profile_takes_what_it_leaves_out_from_the_built_in_one_of_its_kind():
    policy = stored(
        agent_profiles=[
            {"name": "talk", "runner": "codex", "skills": ["review"]},
            {"name": "batch", "runner": "codex", "completes_on": "exit"},
            {"name": "claude", "env": {"A": "1"}},
            {"name": "claude-exec", "base_prompt": "Do it."},
            {"name": "wrapped", "runner": "claude", "command": ["my-claude"]},
            {"name": "mine", "command": ["x"]},
        ]
    )
    found = {profile["name"]: profile for profile in policy["agent_profiles"]}
    assert found["talk"]["command"] == BUILT_IN["codex"]["command"]
    assert found["talk"]["completes_on"] == "signal"
    assert found["batch"]["command"] == BUILT_IN["codex-exec"]["command"]
    assert found["batch"]["resume_command"] == BUILT_IN["codex-exec"]["resume_command"]
    assert found["claude"] == {**found["claude"], **BUILT_IN["claude"], "env": {"A": "1"}}
    assert found["claude-exec"]["completes_on"] == "exit"
    assert found["claude-exec"]["command"] == BUILT_IN["claude-exec"]["command"]
    # A built-in command must not resume what a person's own command began.
    assert found["wrapped"]["resume_command"] is None
    assert (found["mine"]["runner"], found["mine"]["completes_on"]) == ("shell", "exit")


def test_an_agents_own_command_replaces_its_profiles_and_its_environment_is_added():
    policy = stored(
        agent_profiles=[{"name": "p", "runner": "claude", "env": {"A": "1", "B": "1"}}],
        agents=[
            {"name": "own", "profile": "p", "command": ["x", "{brief}"], "env": {"B": "2"}},
            {"name": "plain", "profile": "p"},
        ],
    )
    own, plain = profile_of(policy, "own"), profile_of(policy, "plain")
    assert (own.command, own.resume_command, own.env) == (("x", "{brief}"), None, {"A": "1", "B": "2"})
    assert (own.runner, own.profile, own.completes_on) == ("claude", "p", "signal")
    assert plain.command == tuple(BUILT_IN["claude"]["command"])
    assert plain.resume_command == tuple(BUILT_IN["claude"]["resume_command"])


def test_the_light_readers_say_what_the_model_says():
    readers = {
        "workspace": view.WorkspaceOptions,
        "tickets": view.TicketOptions,
        "tmux": view.TmuxOptions,
        "execution": view.ExecutionLimits,
        "health": view.HealthThresholds,
        "transcripts": view.TranscriptLimits,
        "close": view.CloseRules,
    }
    policy = stored()
    assert set(readers) == set(policy) - {"version", "repositories", "agents", "agent_profiles"}
    for section, reader in readers.items():
        assert reader.of(policy) == reader.of({}) == reader(), section
        assert set(reader._fields) == set(policy[section]), section
    setup = view.WorkspaceOptions.of(stored(workspace={"copy": [".env"], "setup": [{"run": "make"}]}))
    assert (setup.copy, setup.setup) == ((".env",), (view.Setup("make"),))
    assert view.Setup("make")._asdict() == stored(workspace={"setup": [{"run": "make"}]})["workspace"]["setup"][0]


def test_reading_a_stored_policy_does_not_import_the_model():
    code = "import sys; import metawsm_rpc.policy.view; print([m for m in ('pydantic', 'dataclasses') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
