"""Plain data as the JSON of the protocol."""

import json
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_support import AT, plan, question

from metawsm_rpc.domain import clock, models
from metawsm_rpc.domain.wire import camel, wire


@pytest.mark.parametrize(
    ("name", "on_the_wire"),
    [
        ("run_id", "runId"),
        ("depends_on", "dependsOn"),
        ("last_progress_at", "lastProgressAt"),
        ("from_", "from"),
        ("ticket", "ticket"),
    ],
)
def test_a_field_is_named_in_camel_case(name: str, on_the_wire: str) -> None:
    assert camel(name) == on_the_wire


class Box(NamedTuple):
    inner_box: Any = None
    class_: str = "box"


def test_tuples_become_objects_and_arrays_also_inside_each_other() -> None:
    made = wire(Box((Box([Box()]), 1, None, 2.5, True, ("a",)), "outer"))
    assert made == {
        "innerBox": [
            {"innerBox": [{"innerBox": None, "class": "box"}], "class": "box"},
            1,
            None,
            2.5,
            True,
            ["a"],
        ],
        "class": "outer",
    }


def test_the_keys_of_data_stay_as_they_are() -> None:
    assert wire({"some_key": Box(), "other_key": ({"a_b": 1},)}) == {
        "some_key": {"innerBox": None, "class": "box"},
        "other_key": [{"a_b": 1}],
    }


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.builds(Box, inner) | st.tuples(inner),
    )
)
def test_everything_on_the_wire_is_json_and_json_stays_as_it_is(value: Any) -> None:
    made = wire(value)
    assert json.loads(json.dumps(made)) == made
    assert wire(made) == made


SHAPES: dict[type, str] = {
    models.Run: "runId status mode tickets repos agents strategy baseBranch dryRun createdAt updatedAt error",
    models.Step: "index kind name ticket repo workspace agent dependsOn blocking status attempts command description "
    "error startedAt finishedAt",
    models.Agent: "name profile ticket workspace session status health exitCode restarts startedAt lastActivityAt "
    "lastProgressAt transcript attach",
    models.Health: "state reason source since",
    models.Workspace: "name ticket path branch observedAt repos",
    models.Repo: "name path source branch base head dirtyFiles ahead behind",
    models.Guidance: "id runId ticket agent question context choices answer status askedAt answeredAt deliveredAt",
    models.Event: "seq at runId entity entityId type from to message data",
    models.RunSummary: "runId status tickets repos agents guidancePending createdAt updatedAt error",
    models.RunDetail: "run steps agents workspaces guidance seq",
    models.Problem: "code message hint path line column pointer",
    models.Blocked: "repo ticket reason message files",
    models.Merge: "repo ticket base from to kind",
}
"""What clients rely on; more fields may come, none may go."""


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_a_shape_has_every_field_that_clients_rely_on(shape: Any) -> None:
    made = wire(shape._make([None] * len(shape._fields)))
    assert set(SHAPES[shape].split()) <= set(made)


def test_what_is_absent_is_null_and_not_missing() -> None:
    made = plan()
    (agent,) = wire(made.agents)
    assert (agent["health"], agent["exitCode"], agent["startedAt"]) == (None, None, None)
    assert wire(made.run)["error"] is None
    assert wire(question())["deliveredAt"] is None


# --- time ---


def test_time_is_rfc_3339_in_utc_with_milliseconds() -> None:
    assert clock.timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert clock.timestamp(1_767_323_045.678) == AT
    assert clock.seconds("2026-01-02T04:04:05.678+01:00") == clock.seconds(AT)


@given(st.integers(0, 4_000_000_000_000))
def test_time_survives_its_text_to_the_millisecond(milliseconds: int) -> None:
    text = clock.timestamp(milliseconds / 1000)
    assert clock.timestamp(clock.seconds(text)) == text
    assert abs(clock.seconds(text) * 1000 - milliseconds) < 1.01


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_times_compare_like_their_texts(one: float, other: float) -> None:
    if one <= other:
        assert clock.timestamp(one) <= clock.timestamp(other)
