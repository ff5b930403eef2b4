import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metawsm_rpc.errors import InvalidPolicyError
from metawsm_rpc.policy.layers import environment_variables
from metawsm_rpc.policy.loading import load, load_text, resolve, root_policy, user_policy
from metawsm_rpc.policy.positions import MAX_DEPTH, pointer_of, positions
from metawsm_rpc.policy.problems import range_of
from metawsm_rpc.policy.values import IDENTITY

text_without_halves = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text_without_halves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text_without_halves, inner, max_size=4),
    max_leaves=20,
)


def only(text):
    policy, problems = load_text(text, "policy.json")
    assert policy is None
    assert len(problems) == 1, problems
    assert problems[0].path == "policy.json"
    return problems[0]


def slice_of(text, where):
    lines = text.split("\n")
    offsets = [sum(len(line) + 1 for line in lines[: line_number - 1]) for line_number in range(1, len(lines) + 1)]
    start, end = (offsets[at.line - 1] + at.column - 1 for at in where)
    return text[start:end]


def everything_in(value, words=()):
    yield words, value
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for word, child in children:
        yield from everything_in(child, (*words, word))


# --- positions -----------------------------------------------------------------------------------


@settings(deadline=None)
@given(json_values, st.sampled_from([None, 0, 1, "\t", "\n "]), st.booleans())
def test_every_value_and_key_stands_where_its_position_says(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    entries = positions(text)
    expected = dict(everything_in(value))
    assert set(entries) == {pointer_of(words) for words in expected}
    for words, part in expected.items():
        entry = entries[pointer_of(words)]
        assert json.loads(slice_of(text, entry.value)) == part
        if words and isinstance(words[-1], str):
            assert json.loads(slice_of(text, entry.key)) == words[-1]
        else:
            assert entry.key is None


@settings(deadline=None)
@given(st.text(st.sampled_from('{}[]:,"\\ \nan1\ud800é')))
def test_no_text_is_too_broken_to_be_read(text):
    positions(text)
    policy, problems = load_text(text)
    assert (policy is None) == bool(problems)


def test_pointers_are_escaped_and_keys_decoded():
    assert set(positions('{"a/b~": {"\\u0041": [0]}}')) == {"", "/a~1b~0", "/a~1b~0/A", "/a~1b~0/A/0"}


def test_broken_text_has_the_positions_up_to_where_it_breaks():
    text = '{\n  "tmux": {"socket": "a", "sess'
    entries = positions(text)
    assert slice_of(text, entries["/tmux/socket"].value) == '"a"'
    assert slice_of(text, entries["/tmux"].key) == '"tmux"'
    assert slice_of(text, entries["/tmux"].value) == '{"socket": "a", "sess'


# --- broken files --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "empty"),
        (" \n\t ", 1, 1, "empty"),
        ("{", 1, 2, "ends in the middle"),
        ('{\n  "version": 3\n  "tmux": {}\n}', 3, 3, "not JSON"),
        ('{"version": 3 // three\n}', 1, 15, "no comments"),
        ("{'version': 3}", 1, 2, "single quotes"),
        ('{"version": 3} x', 1, 16, "not JSON"),
        ('{"tmux": {"socket": NaN}}', 1, 21, "NaN"),
        ('{"version": 3, "\\ud800": 1}', 1, 16, "surrogate"),
        ('{"version": 3, "tmux": {}, "tmux": {}}', 1, 28, "given twice"),
        ('{"a":' * (MAX_DEPTH + 1), 1, 5 * MAX_DEPTH + 1, "nested"),
        ("[" * 100_000, 1, MAX_DEPTH + 1, "nested"),
    ],
)
def test_a_syntax_problem_has_its_exact_place(text, line, column, message):
    _, problems = load_text(text, "policy.json")
    problem = next(problem for problem in problems if problem.code == "policy-syntax")
    assert (problem.line, problem.column) == (line, column)
    assert message in problem.message
    assert load_text(text)[0] is None


def test_a_comma_too_many_is_named():
    # Python 3.13 points at the comma, older ones at what follows it.
    problem = only('{"version": 3,}')
    assert (problem.message, problem.hint) == ("A comma stands before '}'.", "Remove the comma.")
    assert problem.column in (14, 15)


@pytest.mark.parametrize("text", ["[]", "3", '"x"', "null"])
def test_a_policy_is_an_object(text):
    assert only(text).message == "The policy must be an object."


def test_a_byte_order_mark_does_no_harm(tmp_path):
    file = tmp_path / "policy.json"
    file.write_bytes(b'\xef\xbb\xbf{"tmux": {"sockt": "x"}}')
    _, (problem,) = load(file)
    assert (problem.line, problem.column, problem.pointer) == (1, 11, "/tmux/sockt")


def test_a_file_that_is_not_text_says_where(tmp_path):
    file = tmp_path / "policy.json"
    file.write_bytes('{"version": 3,\n "é'.encode() + b"\xff")
    _, (problem,) = load(file)
    assert (problem.code, problem.line, problem.column) == ("policy-syntax", 2, 4)
    assert "UTF-8" in problem.message


def test_what_is_no_plain_file_is_not_opened(tmp_path):
    pipe = tmp_path / "policy.json"
    os.mkfifo(pipe)
    for path, message in [(pipe, "plain file"), (tmp_path, "plain file"), (tmp_path / "none", "cannot be read")]:
        policy, (problem,) = load(path)
        assert policy is None
        assert message in problem.message


def test_a_huge_file_is_not_read(tmp_path):
    file = tmp_path / "policy.json"
    file.write_text(" " * 1_000_001)
    assert "larger" in load(file)[1][0].message


# --- wrong values --------------------------------------------------------------------------------


def test_an_unknown_key_is_marked_with_the_likely_one():
    text = '{\n  "version": 3,\n  "tmux": {"sokcet": "x"}\n}'
    problem = only(text)
    assert problem.code == "policy-unknown-key"
    assert (problem.line, problem.column, problem.pointer) == (3, 12, "/tmux/sokcet")
    assert problem.message == 'There is no key "sokcet" in tmux.'
    assert problem.hint == 'Did you mean "socket"?'
    assert slice_of(text, range_of(problem, positions(text))) == '"sokcet"'


def test_an_unknown_key_like_none_is_told_what_there_is():
    assert "session_pattern" in only('{"tmux": {"qqqqqq": 1}}').hint


@pytest.mark.parametrize(
    ("text", "pointer", "marked", "message"),
    [
        ('{"tmux": 5}', "/tmux", "5", "tmux must be an object."),
        ('{"agents": {}}', "/agents", "{}", "agents must be a list."),
        ('{"agents": [7]}', "/agents/0", "7", "agents[0] must be an object."),
        ('{"agents": [{"name": "a"}]}', "/agents/0", '{"name": "a"}', "agents[0].profile is missing."),
        ('{"close": {"push": 1}}', "/close/push", "1", "close.push must be true or false."),
        ('{"health": {"idle_seconds": "5"}}', "/health/idle_seconds", '"5"', "health.idle_seconds must be a number."),
        ('{"health": {"idle_seconds": 0}}', "/health/idle_seconds", "0", "health.idle_seconds must be more than 0."),
        (
            '{"health": {"idle_seconds": 1e999}}',
            "/health/idle_seconds",
            "1e999",
            "health.idle_seconds must be a finite number.",
        ),
        (
            '{"execution": {"max_parallel": 99999999999999999999999}}',
            "/execution/max_parallel",
            "99999999999999999999999",
            "execution.max_parallel must be at most 256.",
        ),
        (
            '{"execution": {"max_parallel": 1.5}}',
            "/execution/max_parallel",
            "1.5",
            "execution.max_parallel must be a whole number.",
        ),
        ('{"repositories": {"a": 5}}', "/repositories/a", "5", "repositories.a must be a text in double quotes."),
        ('{"version": "3"}', "/version", '"3"', "version must be 3."),
    ],
)
def test_a_wrong_value_is_marked_and_told(text, pointer, marked, message):
    problem = only(text)
    assert (problem.code, problem.pointer, problem.message) == ("policy-value", pointer, message)
    assert slice_of(text, range_of(problem, positions(text))) == marked


def test_a_number_of_thousands_of_digits_is_a_problem_like_any_other():
    assert only('{"execution": {"max_parallel": ' + "9" * 10_000 + "}}").pointer == "/execution/max_parallel"


def test_a_bad_name_is_marked_at_the_name():
    text = '{"repositories": {"a/b": "x"}}'
    problem = only(text)
    assert problem.code == "policy-value"
    assert slice_of(text, range_of(problem, positions(text))) == '"a/b"'


def test_a_choice_is_told_with_the_likely_one():
    problem = only('{"workspace": {"backend": "gti"}}')
    assert (problem.message, problem.hint) == ("workspace.backend must be 'git' or 'wsm'.", 'Did you mean "git"?')


def test_a_command_line_is_told_to_be_a_list():
    problem = only('{"agents": [{"name": "a", "profile": "codex", "command": "codex exec"}]}')
    assert problem.pointer == "/agents/0/command"
    assert "list" in problem.hint


def test_a_missing_profile_is_marked_at_the_agents_profile():
    text = '{"agents": [{"name": "a", "profile": "codx"}]}'
    problem = only(text)
    assert (problem.pointer, problem.hint) == ("/agents/0/profile", 'Did you mean "codex"?')
    assert slice_of(text, range_of(problem, positions(text))) == '"codx"'


def test_all_problems_are_told_in_their_order():
    _, problems = load_text('{\n"close": {"push": 1, "x": 2},\n"tmux": {"socket": "/"},\n"agents": 1}')
    assert [(problem.line, problem.pointer) for problem in problems] == [
        (2, "/close/push"),
        (2, "/close/x"),
        (3, "/tmux/socket"),
        (4, "/agents"),
    ]


@pytest.mark.parametrize("version", [1, 2])
def test_a_policy_of_the_go_metawsm_is_sent_to_the_migration(version):
    problem = only(json.dumps({"version": version, "forum": {}, "docs": {}}))
    assert (problem.code, problem.pointer, problem.line) == ("policy-value", "/version", 1)
    assert "metawsm policy migrate" in problem.hint


def test_a_newer_policy_asks_for_an_upgrade():
    assert only('{"version": 4, "new_things": 1}').hint == "Upgrade metawsm."


def test_the_schema_key_is_for_editors():
    policy, problems = load_text('{"$schema": "policy.schema.json", "version": 3}')
    assert (problems, policy.version) == ((), 3)


# --- layers --------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root" / ".metawsm").mkdir(parents=True)
    return tmp_path / "root"


@pytest.fixture
def person(tmp_path):
    (tmp_path / "config" / "metawsm").mkdir(parents=True)
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path / "home")}


def write(path, **policy):
    path.write_text(json.dumps(policy))


def test_without_any_file_everything_has_its_default(root, person):
    resolved = resolve(root, environ=person)
    assert (resolved.path, resolved.problems) == (None, ())
    assert resolved.required().tmux.socket == "metawsm"


def test_flags_cover_the_environment_the_root_the_person_and_the_defaults(root, person):
    write(user_policy(person), execution={"max_parallel": 2, "step_retries": 2, "stop_grace_seconds": 2})
    write(root_policy(root), execution={"max_parallel": 3, "step_retries": 3})
    environ = {**person, "METAWSM_EXECUTION_MAX_PARALLEL": "5", "METAWSM_TMUX_SOCKET": "5"}
    execution = resolve(root, environ=environ).required().execution
    assert (execution.max_parallel, execution.step_retries, execution.stop_grace_seconds) == (5, 3, 2)
    assert execution.step_timeout_seconds == 600
    overridden = resolve(root, environ=environ, overrides={"execution": {"max_parallel": 6}}).required()
    assert (overridden.execution.max_parallel, overridden.tmux.socket) == (6, "5")


def test_agents_and_profiles_merge_by_name_and_other_lists_replace(root, person):
    write(
        user_policy(person),
        workspace={"copy": [".env"]},
        repositories={"a": "/a", "b": "/b"},
        agent_profiles=[{"name": "p", "command": ["x"], "env": {"A": "1"}}],
        agents=[{"name": "one", "profile": "p"}, {"name": "two", "profile": "codex"}],
    )
    write(
        root_policy(root),
        workspace={"copy": [".envrc"]},
        repositories={"b": "/c"},
        agent_profiles=[{"name": "p", "env": {"B": "2"}}],
        agents=[{"name": "two", "profile": "p"}, {"name": "three", "profile": "p"}],
    )
    policy = resolve(root, environ=person).required()
    assert policy.workspace.copy_globs == (".envrc",)
    assert policy.repositories == {"a": "/a", "b": "/c"}
    assert [(agent.name, agent.profile) for agent in policy.agents] == [("one", "p"), ("two", "p"), ("three", "p")]
    assert (policy.agent_profiles[0].command, policy.agent_profiles[0].env) == (("x",), {"A": "1", "B": "2"})


def test_a_problem_is_told_in_the_file_that_has_it(root, person):
    user_policy(person).write_text('{\n"tmux": {"socket": "/"},\n"agents": [{"name": "u", "profile": "nope"}]}')
    root_policy(root).write_text(
        '{"agents": [\n{"name": "r", "profile": "codex"},\n{"name": "r2", "profil": "codex"}]}'
    )
    resolved = resolve(root, environ=person)
    assert resolved.policy is None
    assert {(problem.path, problem.line, problem.pointer) for problem in resolved.problems} == {
        (str(user_policy(person)), 2, "/tmux/socket"),
        (str(root_policy(root)), 3, "/agents/1"),
        (str(root_policy(root)), 3, "/agents/1/profil"),
    }


def test_what_builds_on_a_broken_file_is_not_blamed(root, person):
    user_policy(person).write_text('{"agent_profiles": [{"name": "mine"')
    write(root_policy(root), agents=[{"name": "a", "profile": "mine", "command": ["x"]}])
    (problem,) = resolve(root, environ=person).problems
    assert (problem.path, problem.code) == (str(user_policy(person)), "policy-syntax")


def test_a_name_given_twice_is_found_in_its_own_file(root, person):
    write(user_policy(person), agents=[{"name": "a", "profile": "codex"}])
    root_policy(root).write_text('{"agents": [{"name": "a", "profile": "codex"},\n{"name": "a", "profile": "claude"}]}')
    (problem,) = resolve(root, environ=person).problems
    assert (problem.path, problem.line, problem.pointer) == (str(root_policy(root)), 2, "/agents/1/name")


def test_an_editors_text_stands_for_the_roots_file(root, person):
    write(user_policy(person), agent_profiles=[{"name": "mine", "command": ["x"]}])
    write(root_policy(root), tmux={"socket": "saved"})
    text = '{"tmux": {"socket": "typed"}, "agents": [{"name": "a", "profile": "mine"}]}'
    assert resolve(root, environ=person, text=text).required().tmux.socket == "typed"


def test_a_file_that_cannot_be_used_is_told_and_gives_no_policy(root, person):
    write(user_policy(person), version=2)
    root_policy(root).write_text("{")
    resolved = resolve(root, environ=person)
    assert resolved.policy is None
    assert [problem.path for problem in resolved.problems] == [str(user_policy(person)), str(root_policy(root))]
    with pytest.raises(InvalidPolicyError) as caught:
        resolved.required()
    assert caught.value.message.startswith(f"{user_policy(person)}:1:13: This policy has version 2")
    assert "(and 1 more)" in caught.value.message
    assert [problem["code"] for problem in caught.value.details] == ["policy-value", "policy-syntax"]


def test_a_link_that_leads_nowhere_is_a_problem_and_not_an_absent_file(root, person):
    root_policy(root).symlink_to(root / "nowhere")
    user_policy(person).symlink_to(root / "nowhere")
    resolved = resolve(root, environ=person)
    assert resolved.path == str(root_policy(root))
    assert [problem.path for problem in resolved.problems] == [str(user_policy(person)), str(root_policy(root))]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_CONFIG_HOME": "/c", "HOME": "/h"}, "/c/metawsm/policy.json"),
        ({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}, "/h/.config/metawsm/policy.json"),
        ({"HOME": "/h"}, "/h/.config/metawsm/policy.json"),
        ({}, "None"),
    ],
)
def test_the_persons_file_is_where_their_configuration_is(environ, expected):
    assert str(user_policy(environ)) == expected


def test_variables_are_texts_or_json_by_their_field(root):
    environ = {
        "METAWSM_WORKSPACE_BRANCH_PREFIX": "123",
        "METAWSM_WORKSPACE_FETCH": "true",
        "METAWSM_WORKSPACE_COPY": '[".env"]',
        "METAWSM_EXECUTION_STOP_GRACE_SECONDS": "0.5",
        "METAWSM_CLOSE_MERGE": "fast-forward",
    }
    policy = resolve(root, environ=environ).required()
    assert (policy.workspace.branch_prefix, policy.workspace.fetch) == ("123", True)
    assert policy.workspace.copy_globs == (".env",)
    assert (policy.execution.stop_grace_seconds, policy.close.merge) == (0.5, "fast-forward")


def test_a_wrong_variable_is_told_by_its_name(root):
    environ = {"METAWSM_EXECUTION_MAX_PARALLEL": "many", "METAWSM_TMUX_SOKCET": "x"}
    first, second = resolve(root, environ=environ).problems
    assert first.message == "The environment variable METAWSM_TMUX_SOKCET sets nothing."
    assert first.hint == 'Did you mean "METAWSM_TMUX_SOCKET"?'
    assert second.message == "METAWSM_EXECUTION_MAX_PARALLEL must be a whole number."
    assert (second.path, second.line) == (None, None)


def test_no_variable_collides_with_what_agents_are_given(root):
    assert IDENTITY.isdisjoint(environment_variables())
    environ = dict.fromkeys(IDENTITY, "x")
    assert resolve(root, environ=environ).problems == ()
