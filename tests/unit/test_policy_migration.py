import json
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metawsm_rpc.errors import HostError, InvalidPolicyError
from metawsm_rpc.policy.loading import load
from metawsm_rpc.policy.migration import migrate, migrate_file
from metawsm_rpc.policy.model import Policy
from metawsm_rpc.policy.view import profile_of

VERSION_1 = {
    "version": 1,
    "workspace": {"default_strategy": "fork", "branch_prefix": "feature"},
    "tmux": {"session_pattern": "{workspace}_{agent}"},
    "execution": {"step_retries": 3},
    "health": {"idle_seconds": 10, "activity_stalled_seconds": 20, "progress_stalled_seconds": 30},
    "close": {"require_clean_git": False},
    "agents": [{"name": "agent", "command": "my-agent --fast 'two words'"}],
}
VERSION_2 = {
    "version": 2,
    "workspace": {"default_strategy": "create", "branch_prefix": "task", "base_branch": "develop"},
    "docs": {"authority_mode": "workspace_active"},
    "operator": {"unhealthy_confirmations": 2, "restart_budget": 3, "llm": {"mode": "assist"}},
    "forum": {"enabled": True},
    "git_pr": {"mode": "assist"},
    "agent_profiles": [
        {
            "name": "default-shell",
            "runner": "shell",
            "base_prompt": "",
            "skills": None,
            "runner_options": {"full_auto": False, "command": "bash"},
        },
        {
            "name": "coder",
            "runner": "codex",
            "base_prompt": "Fix {everything}",
            "skills": ["review"],
            "runner_options": {"full_auto": True},
        },
    ],
    "agents": [{"name": "agent", "profile": "default-shell"}, {"name": "coder", "profile": "coder"}],
}
plain_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2000) | st.sampled_from(["", "x", "a b", "codex", "shell", "{x}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "profile",
                    "runner",
                    "command",
                    "runner_options",
                    "idle_seconds",
                    "restart_budget",
                    "base_prompt",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)
old_policies = st.dictionaries(
    st.sampled_from([*VERSION_1, *VERSION_2, "other"]), plain_json, max_size=8
) | st.fixed_dictionaries(
    {"agents": st.lists(st.sampled_from(VERSION_1["agents"] + VERSION_2["agents"]) | plain_json)},
    optional={"agent_profiles": st.lists(st.sampled_from(VERSION_2["agent_profiles"]) | plain_json)},
)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / ".metawsm"
    made.mkdir()
    return made


def noted(notes):
    return {note.pointer for note in notes}


def test_version_1_keeps_everything():
    new, notes = migrate(VERSION_1)
    assert notes == ()
    assert new == {
        **VERSION_1,
        "version": 3,
        "agents": [{"name": "agent", "profile": "shell", "command": ["my-agent", "--fast", "two words"]}],
    }
    profile = profile_of(Policy.model_validate(new).model_dump(mode="json"), "agent")
    assert (profile.runner, profile.completes_on) == ("shell", "exit")


def test_version_2_keeps_what_has_a_place_and_lists_the_rest():
    new, notes = migrate(VERSION_2)
    assert noted(notes) == {"/docs", "/operator", "/forum", "/git_pr"}
    assert new["workspace"] == VERSION_2["workspace"]
    assert new["health"] == {"restart_budget": 3}
    policy = Policy.model_validate(new).model_dump(mode="json")
    assert profile_of(policy, "agent").command == ("bash",)
    coder = profile_of(policy, "coder")
    assert coder.command[:2] == ("codex", "exec")
    assert coder.prompt({}) == "Fix {everything}\n\nUse these skills: review."


def test_a_codex_profile_that_could_not_write_is_noted():
    profile = {"name": "coder", "runner": "codex", "base_prompt": "x", "runner_options": {"full_auto": False}}
    _, notes = migrate({"version": 2, "agent_profiles": [profile]})
    assert noted(notes) == {"/agent_profiles/0/runner_options/full_auto"}


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ("bash", ["bash"]),
        ("my-agent 'a b' \"c\"", ["my-agent", "a b", "c"]),
        ("a | b", ["sh", "-c", "a | b"]),
        ("KEY=1 a", ["sh", "-c", "KEY=1 a"]),
        ("echo $HOME", ["sh", "-c", "echo $HOME"]),
        ("~/bin/a", ["sh", "-c", "~/bin/a"]),
        ("echo {x}", ["sh", "-c", "echo {{x}}"]),
    ],
)
def test_a_command_line_becomes_a_list_that_does_the_same(text, argv):
    new, notes = migrate({"version": 1, "agents": [{"name": "a", "command": text}]})
    assert (new["agents"][0]["command"], notes) == (argv, ())


def test_what_version_3_refuses_is_left_out_and_noted():
    new, notes = migrate(
        {
            "version": 2,
            "tmux": {"session_pattern": "{agent}"},
            "health": {"idle_seconds": 0, "progress_stalled_seconds": 7, "other": 1},
            "agent_profiles": [{"name": "bad name", "runner": "shell"}],
            "agents": [
                {"name": "bad name", "profile": "codex"},
                {"name": "lost", "profile": "bad name"},
                {"name": "a", "command": "it's"},
                {"name": "kept", "command": "x"},
            ],
            "other": 1,
        }
    )
    assert new == {
        "version": 3,
        "health": {"progress_stalled_seconds": 7},
        "agents": [{"name": "kept", "profile": "shell", "command": ["x"]}],
    }
    assert noted(notes) == {
        "/tmux/session_pattern",
        "/health/idle_seconds",
        "/health/other",
        "/agent_profiles/0",
        "/agents/0",
        "/agents/1",
        "/agents/2",
        "/agents/2/command",
        "/other",
    }


@settings(deadline=None)
@given(old_policies, st.sampled_from([1, 2]))
def test_whatever_the_old_file_holds_the_new_one_is_valid(old, version):
    old = {**old, "version": version}
    before = json.dumps(old)
    new, _ = migrate(old)
    Policy.model_validate(new)
    assert json.dumps(old) == before


def test_a_policy_of_this_version_stays_as_it_is():
    assert migrate({"version": 3, "tmux": {"socket": "x"}}) == ({"version": 3, "tmux": {"socket": "x"}}, ())


@pytest.mark.parametrize("version", [0, 4, "2", True, None])
def test_other_versions_cannot_be_migrated(version):
    with pytest.raises(InvalidPolicyError):
        migrate({"version": version})


def test_a_file_is_replaced_and_the_old_one_kept_beside_it(folder):
    file = folder / "policy.json"
    file.write_text(json.dumps(VERSION_2))
    file.chmod(0o640)
    done = migrate_file(file)
    assert done.backup == f"{file}.v2.bak"
    assert json.loads((folder / "policy.json.v2.bak").read_text()) == VERSION_2
    assert noted(done.notes) == {"/docs", "/operator", "/forum", "/git_pr"}
    policy, problems = load(file)
    assert (problems, policy.workspace.base_branch) == ((), "develop")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sorted(path.name for path in folder.iterdir()) == ["policy.json", "policy.json.v2.bak"]


def test_an_earlier_backup_is_never_overwritten(folder):
    file, earlier = folder / "policy.json", folder / "policy.json.v1.bak"
    file.write_text(json.dumps(VERSION_1))
    earlier.write_text("earlier")
    assert migrate_file(file).backup == f"{earlier}.1"
    assert earlier.read_text() == "earlier"


def test_migrating_twice_changes_nothing_more(folder):
    file = folder / "policy.json"
    file.write_text(json.dumps(VERSION_2))
    migrate_file(file)
    before = file.read_bytes()
    done = migrate_file(file)
    assert (done.backup, done.notes, file.read_bytes()) == (None, (), before)


def test_a_link_stays_a_link(folder):
    (folder / "dotfiles").mkdir()
    real = folder / "dotfiles" / "policy.json"
    real.write_text(json.dumps(VERSION_1))
    link = folder / "policy.json"
    link.symlink_to(real)
    migrate_file(link)
    assert link.is_symlink()
    assert json.loads(real.read_text())["version"] == 3


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 2, "version": 2}', '{"version": 9}', "{}"])
def test_what_cannot_be_migrated_is_left_alone(folder, text):
    file = folder / "policy.json"
    file.write_text(text)
    with pytest.raises(InvalidPolicyError):
        migrate_file(file)
    assert file.read_text() == text
    assert [path.name for path in folder.iterdir()] == ["policy.json"]


def test_a_folder_that_takes_no_backup_leaves_the_file_as_it_was(folder, monkeypatch):
    file = folder / "policy.json"
    file.write_text(json.dumps(VERSION_2))

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("metawsm_rpc.policy.migration.tempfile.mkstemp", full)
    with pytest.raises(HostError, match="No space left"):
        migrate_file(file)
    assert json.loads(file.read_text()) == VERSION_2
