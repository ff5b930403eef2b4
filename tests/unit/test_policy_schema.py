import json

import pytest

from metawsm_rpc.policy import schema
from metawsm_rpc.policy.loading import load_text
from metawsm_rpc.policy.model import Policy


def test_the_shipped_schema_is_the_models():
    assert schema.FILE.read_text("utf-8") == schema.text(), "Run python -m metawsm_rpc.policy.schema."


def test_the_schema_names_its_draft_and_refuses_unknown_keys():
    shipped = json.loads(schema.FILE.read_text("utf-8"))
    assert shipped["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert shipped["additionalProperties"] is False
    assert set(shipped["properties"]) == {*Policy().model_dump(mode="json"), "$schema"}


@pytest.mark.parametrize(
    ("pointer", "key", "value"),
    [
        ("", "title", "metawsm policy"),
        ("/workspace", "type", "object"),
        ("/workspace/copy", "type", "array"),
        ("/workspace/copy/0", "type", "string"),
        ("/workspace/setup/3/on_failure", "enum", ["fail", "warn"]),
        ("/agents/0/command", "type", "array"),
        ("/agents/0/env/PATH", "type", "string"),
        ("/repositories/a~1b", "type", "string"),
        ("/close/merge", "default", "merge"),
    ],
)
def test_the_schema_of_a_place_is_found_by_its_pointer(pointer, key, value):
    assert schema.node(pointer)[key] == value


@pytest.mark.parametrize("pointer", ["/nope", "/workspace/nope", "/tmux/socket/deeper", "/version/0"])
def test_where_nothing_can_be_there_is_no_schema(pointer):
    assert schema.node(pointer) is None


def test_what_stands_beside_a_reference_is_kept():
    assert schema.node("/tmux")["description"] == "The private tmux server that agents run in."
    assert "socket" in schema.node("/tmux")["properties"]


@pytest.mark.parametrize(
    ("installed", "expected"), [([], "codex"), (["aider", "claude"], "claude"), (["vim"], "codex")]
)
def test_a_new_file_is_valid_and_uses_an_agent_that_is_installed(installed, expected):
    text = schema.starter(installed)
    policy, problems = load_text(text)
    assert problems == ()
    assert [(agent.name, agent.profile) for agent in policy.agents] == [(expected, expected)]
    assert policy == Policy.model_validate({"agents": [{"name": expected, "profile": expected}]})
    assert text.endswith("}\n")
