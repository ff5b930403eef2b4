import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metawsm_rpc.errors import AgentNotFoundError, InvalidPolicyError
from metawsm_rpc.policy.expansion import LISTS, PLACEHOLDERS, PROMPT_PLACEHOLDERS, escape, expand, expand_text, mentions
from metawsm_rpc.policy.model import Policy
from metawsm_rpc.policy.profiles import BUILT_IN
from metawsm_rpc.policy.view import agent_names, profile_of

VALUES = {
    "prompt": "Do $(this); 'now' {brief}",
    "brief": "/r/.metawsm/agents/r1/T-1/a/brief.md",
    "brief_directory": "/r/.metawsm/agents/r1/T-1/a",
    "workspace": "/w/t-1 ws",
    "ticket": "T-1",
    "agent": "a",
    "run": "r1",
    "launch": "l1",
    "root": "/r",
    "bin": "/usr/bin/metawsm",
    "session_id": "11111111-2222-4333-8444-555555555555",
    "hook_options": ["--hooks"],
    "drop_box": "/r/drop",
    "git_dirs": ["/app/.git/worktrees/app", "/lib/.git/worktrees/lib"],
    "git_common_dirs": ["/app/.git", "/lib/.git"],
}
INTERACTIVE = ["codex", "claude", "gemini", "opencode", "aider"]
SKIPS_PERMISSIONS = ("dangerous", "yolo", "bypass", "danger-full-access", "--auto", "-y")

argument = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


def test_every_program_is_there_interactive_and_headless():
    assert set(BUILT_IN) == {*INTERACTIVE, *(f"{name}-exec" for name in INTERACTIVE), "shell"}
    for name in INTERACTIVE:
        assert (BUILT_IN[name]["runner"], BUILT_IN[name]["completes_on"]) == (name, "signal")
        headless = BUILT_IN[f"{name}-exec"]
        assert (headless["runner"], headless["completes_on"]) == (name, "exit")
    assert BUILT_IN["shell"]["completes_on"] == "exit"


@pytest.mark.parametrize("name", [name for name in BUILT_IN if name != "shell"])
def test_a_built_in_profile_can_be_launched_and_skips_no_permission(name):
    policy = Policy.model_validate({"agents": [{"name": "a", "profile": name}]}).model_dump(mode="json")
    profile = profile_of(policy, "a")
    values = {**VALUES, "prompt": profile.prompt(VALUES)}
    for template in (profile.command, profile.resume_command):
        argv = expand(template or (), values)
        assert not [word for word in argv if word in SKIPS_PERMISSIONS or any(s in word for s in SKIPS_PERMISSIONS[:4])]
        # An interactive aider takes no first message.
        assert template is None or name == "aider" or any(values["prompt"] in word for word in argv)
    assert f"{profile.runner}" == expand(profile.command, values)[0]


def test_codex_starts_no_server_of_its_own_and_may_write_what_a_worktree_needs():
    argv = expand(BUILT_IN["codex"]["command"], {**VALUES, "prompt": "P"})
    assert argv == (
        "codex",
        "--no-daemon",
        "--ask-for-approval",
        "on-request",
        "--hooks",
        "--sandbox",
        "workspace-write",
        "--add-dir=/app/.git/worktrees/app",
        "--add-dir=/lib/.git/worktrees/lib",
        "--add-dir=/app/.git",
        "--add-dir=/lib/.git",
        "--add-dir=/r/drop",
        "P",
    )


def test_programs_that_let_their_session_be_chosen_resume_that_one():
    for name in ("claude", "claude-exec", "gemini", "gemini-exec"):
        assert f"--session-id={VALUES['session_id']}" in expand(BUILT_IN[name]["command"], VALUES)
        assert f"--resume={VALUES['session_id']}" in expand(BUILT_IN[name]["resume_command"], VALUES)


def test_programs_that_choose_their_session_resume_the_one_that_they_have_told():
    for name in ("codex", "codex-exec", "opencode-exec"):
        assert not mentions(BUILT_IN[name]["command"], "session_id")
        argv = expand(BUILT_IN[name]["resume_command"], {**VALUES, "prompt": "P"})
        assert any(VALUES["session_id"] in word for word in argv)
        assert not {"--last", "--continue", "latest"} & set(argv)


def test_hooks_are_switched_on_by_flags_wherever_a_program_takes_them_so():
    for name in ("codex", "codex-exec", "claude", "claude-exec"):
        for template in (BUILT_IN[name]["command"], BUILT_IN[name]["resume_command"]):
            assert expand(template, {**VALUES, "prompt": "P"}).count("--hooks") == 1


def test_without_hooks_nothing_of_them_stands_on_the_command_line():
    argv = expand(BUILT_IN["claude"]["command"], {**VALUES, "prompt": "P", "hook_options": []})
    assert argv[1].startswith("--add-dir=")


def test_a_profile_has_hooks_unless_it_says_otherwise():
    assert make().hooks
    assert not make(hooks=False).hooks


def test_a_value_is_put_in_once_and_stays_one_argument():
    assert expand(["x", "{prompt}", "--at={workspace}/{ticket}"], VALUES) == (
        "x",
        "Do $(this); 'now' {brief}",
        "--at=/w/t-1 ws/T-1",
    )


def test_a_list_repeats_its_argument_and_an_empty_one_leaves_it_out():
    assert expand(["x", "-d={git_dirs}:{run}"], VALUES) == (
        "x",
        "-d=/app/.git/worktrees/app:r1",
        "-d=/lib/.git/worktrees/lib:r1",
    )
    assert expand(["x", "-d={git_dirs}", "y"], {"git_dirs": []}) == ("x", "y")


def test_doubled_braces_are_literal():
    assert expand(['{{"a": "{run}"}}'], VALUES) == ('{"a": "r1"}',)


@pytest.mark.parametrize(
    "template", ["{nope}", "{", "}", "{}", "{run!r}", "{run:>9}", "{run.x}", "{0}", "{git_dirs}{git_common_dirs}"]
)
def test_a_placeholder_that_means_nothing_is_an_error(template):
    with pytest.raises(InvalidPolicyError):
        expand([template], VALUES)


def test_a_placeholder_without_a_value_at_this_launch_is_an_error():
    with pytest.raises(InvalidPolicyError, match="session_id"):
        expand(["--resume={session_id}"], {"prompt": "x"})


@settings(deadline=None)
@given(st.lists(argument))
def test_escaped_text_expands_to_itself(argv):
    assert expand([escape(word) for word in argv], {}) == tuple(argv)


@settings(deadline=None)
@given(argument, argument, argument)
def test_nothing_in_a_value_is_ever_interpreted(before, value, after):
    assert expand([escape(before) + "{prompt}" + escape(after)], {"prompt": value}) == (before + value + after,)


def test_every_placeholder_is_explained_and_prompts_have_no_lists():
    assert set(VALUES) == set(PLACEHOLDERS)
    assert PROMPT_PLACEHOLDERS.isdisjoint({"prompt", *LISTS})


def make(**profile):
    policy = Policy.model_validate(
        {"agent_profiles": [{"name": "p", "command": ["x"], **profile}], "agents": [{"name": "a", "profile": "p"}]}
    )
    return profile_of(policy.model_dump(mode="json"), "a")


def test_a_prompt_names_the_brief_and_says_how_to_signal():
    prompt = expand_text(BUILT_IN["claude"]["base_prompt"], VALUES)
    assert VALUES["brief"] in prompt
    assert "/usr/bin/metawsm signal done" in prompt
    assert "{" not in prompt


def test_a_prompt_carries_skills_and_feedback():
    prompt = make(base_prompt="Fix {ticket}, {{really}}.", skills=["review", "tests"]).prompt(VALUES, "Mind the {gap}.")
    assert prompt.startswith("Fix T-1, {really}.\n\nUse these skills: review, tests.\n\n")
    assert prompt.endswith("Mind the {gap}.")


def test_a_prompt_is_never_taken_for_an_option():
    assert make(base_prompt="- first\n- second").prompt(VALUES) == "\n- first\n- second"


def test_an_unknown_agent_is_told_with_those_there_are():
    policy = {"agents": [{"name": "a", "profile": "p"}], "agent_profiles": []}
    assert agent_names(policy) == ("a",)
    with pytest.raises(AgentNotFoundError) as caught:
        profile_of(policy, "b")
    assert caught.value.hint == "Its agents: a."
