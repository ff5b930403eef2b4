"""Generated documents say what the code says."""

from pathlib import Path

import pytest

from metawsm_rpc import generate
from metawsm_rpc.domain.charts import Chart, Move
from metawsm_rpc.domain.diagrams import mermaid, unchanged
from metawsm_rpc.domain.lifecycles import AGENT, RUN, STEP


@pytest.mark.parametrize("document", generate.documents(), ids=lambda document: document.path.name)
def test_a_document_in_the_checkout_is_not_stale(document: generate.Document) -> None:
    assert not document.is_stale(), "Run `make docs`."


def test_the_lifecycles_page_shows_every_chart_and_every_state() -> None:
    page = next(document for document in generate.documents() if document.path.name == "lifecycles.md").text()
    assert page.count("```mermaid\nstateDiagram-v2\n") == 3
    for chart in (RUN, STEP, AGENT):
        assert mermaid(chart) in page


def test_generating_writes_what_is_stale_and_checking_only_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh, old = tmp_path / "fresh.md", tmp_path / "docs" / "old.md"
    fresh.write_text("as it is\n")
    documents = (
        generate.Document(fresh, lambda: "as it is\n"),
        generate.Document(old, lambda: "as it should be ✓\n"),
    )
    assert generate.main(["--check"], documents) == 1
    assert not old.exists()
    assert str(old) in capsys.readouterr().err

    assert generate.main([], documents) == 0
    assert old.read_text("utf-8") == "as it should be ✓\n"
    assert generate.main(["--check"], documents) == 0
    assert generate.main(["--chekc"], documents) == 2


DOOR = Chart(
    "door",
    states=("open", "shut", "locked", "gone"),
    superstates={"there": ("open", "closed"), "closed": ("shut", "locked")},
    initial="open",
    final=("gone",),
    moves=(
        Move("shut", ("open",), "shut"),
        Move("lock", ("shut",), "locked", "has_key"),
        Move("lock", ("shut",), "open"),
        Move("open", ("closed",), "open"),
        Move("knock", ("closed",), None),
        Move("burn", ("there",), "gone"),
        Move("stay", ("open",), "open"),
    ),
)


def test_a_diagram_nests_superstates_and_labels_arrows_with_events_and_guards() -> None:
    assert mermaid(DOOR) == (
        "stateDiagram-v2\n"
        "    [*] --> open\n"
        "    state there {\n"
        "        open\n"
        "        state closed {\n"
        "            shut\n"
        "            locked\n"
        "            shut --> locked : lock [has_key]\n"
        "        }\n"
        "        closed --> open : open\n"
        "        open --> shut : shut\n"
        "        shut --> open : lock [else]\n"
        "    }\n"
        "    there --> gone : burn\n"
        "    gone --> [*]\n"
    )
    assert unchanged(DOOR) == {"knock": ("shut", "locked")}


@pytest.mark.parametrize("chart", [RUN, STEP, AGENT], ids=lambda chart: chart.name)
def test_a_diagram_shows_every_move_between_two_states_and_no_other(chart: Chart) -> None:
    shown = set()
    for line in mermaid(chart).splitlines():
        ends, _, labels = line.strip().partition(" : ")
        if not labels:
            continue
        source, target = ends.split(" --> ")
        for label in labels.split(", "):
            shown |= {(state, label.split()[0], target) for state in chart.members(source)}
    assert shown == {(source, move.event, target) for source, move, target in chart.edges() if source != target}
