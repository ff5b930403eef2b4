"""What the live view says in its rows, whatever agents and tickets say."""

from typing import Any

from metawsm_rpc.cli.watch import rows
from metawsm_rpc.cli.watch.rows import Known
from metawsm_rpc.domain.clock import timestamp
from metawsm_rpc.domain.models import Agent, Guidance, Health, Run, RunDetail, RunSummary, Step

NOW = 1_800_000_000.0


def summary(run_id: str = "r1", status: Any = "running", **changes: Any) -> RunSummary:
    blank = RunSummary(run_id, status, ("T-1",), ("app",), {"total": 1}, 0, timestamp(NOW), timestamp(NOW), None)
    return blank._replace(**changes)


def agent(name: str = "codex", run_id: str = "r1", **changes: Any) -> Agent:
    blank = Agent(**dict.fromkeys(Agent._fields))  # type: ignore[arg-type]
    return blank._replace(
        run_id=run_id, ticket="T-1", name=name, profile="shell", status="running", restarts=0, **changes
    )


def question(name: str, asked: float, **changes: Any) -> Guidance:
    blank = Guidance(
        name, "r1", "T-1", "codex", "Which?", None, ("a", "b"), None, "pending", timestamp(NOW + asked), None, None
    )
    return blank._replace(**changes)


def step(index: int, status: Any, **changes: Any) -> Step:
    blank = Step(**dict.fromkeys(Step._fields))  # type: ignore[arg-type]
    return blank._replace(
        run_id="r1", index=index, name=f"step {index}", ticket="T-1", status=status, description="does it", **changes
    )


def known(*agents: Agent, runs: tuple[RunSummary, ...] = (), **parts: Any) -> Known:
    listed = runs or (summary(),)
    run = Run(**dict.fromkeys(Run._fields))  # type: ignore[arg-type]
    details = {
        one.run_id: RunDetail(
            run._replace(run_id=one.run_id),
            parts.get("steps", ()),
            tuple(found for found in agents if found.run_id == one.run_id),
            (),
            parts.get("questions", ()),
            1,
        )
        for one in listed
    }
    return Known(listed, details, hidden=0, supervisor=None)


def test_what_others_wrote_is_one_line_without_anything_that_steers_a_terminal() -> None:
    evil = "to \x1b]0;title\x07 \x1b[31mred\x1b[0m\n  [bold]x[/bold]\x9b1m\ty"
    health = Health("waiting", evil, "signal", timestamp(NOW - 300))
    ((row, _),) = rows.agents(known(agent(health=health)), "r1", "", NOW)
    assert row.cells[-1].text == "to red [bold]x[/bold] y"
    (found,) = rows.runs(known(runs=(summary(error=evil, tickets=(evil,)),)), "", NOW)
    asked = known(questions=(question("q1", 0, question=evil, choices=(evil,)),))
    ((row, _),) = rows.questions(asked, "", NOW)
    for cell in (*found.cells, *row.cells):
        assert cell.text.isprintable(), cell
    assert rows.story(agent(name=evil, health=health), NOW).isprintable()


def test_a_row_of_an_agent_says_in_words_what_its_colours_say() -> None:
    health = Health("stalled", "no progress for 20 min", "progress", timestamp(NOW - 180))
    shown = known(agent(health=health), questions=(question("q1", 0),))
    ((row, _),) = rows.agents(shown, "r1", "", NOW)
    texts = dict(zip(rows.AGENT_COLUMNS, row.cells, strict=True))
    assert {name: cell.text for name, cell in texts.items()} == {
        "agent": "codex",
        "ticket": "T-1",
        "status": "running",
        "health": "stalled",
        "since": "3 min",
        "restarts": "",
        "asks": "yes",
        "why": "no progress for 20 min",
    }
    assert (texts["health"].style, texts["status"].style) == ("yellow", "cyan")


def test_an_agent_that_has_ended_says_how_and_is_not_judged() -> None:
    ended = agent(health=Health("healthy", "it was", "x", timestamp(NOW)))._replace(status="failed", exit_code=3)
    ((row, _),) = rows.agents(known(ended), "r1", "", NOW)
    assert [cell.text for cell in row.cells] == ["codex", "T-1", "failed", "", "", "", "", "exited with 3"]


def test_all_words_of_a_filter_must_be_found_in_a_run_or_in_one_of_its_agents() -> None:
    shown = known(
        agent("codex", "r1"),
        agent("claude", "r1"),
        agent("codex", "r2"),
        runs=(summary("r1"), summary("r2", "stopped", tickets=("T-2",))),
    )

    def found(words: str) -> tuple[list[str], list[str]]:
        runs = [row.key for row in rows.runs(shown, words, NOW)]
        return runs, [row.key for row, _ in rows.agents(shown, None, words, NOW)]

    assert found("") == (["r1", "r2"], ["r1/T-1/codex", "r1/T-1/claude", "r2/T-1/codex"])
    assert found("CLAUDE") == (["r1"], ["r1/T-1/claude"])
    assert found("stopped t-2") == (["r2"], ["r2/T-1/codex"])
    assert found("stopped claude") == ([], [])


def test_open_questions_come_first_and_withdrawn_ones_not_at_all() -> None:
    asked = (
        question("old", 0),
        question("new", 2),
        question("done", 3, status="answered", answer="b"),
        question("gone", 4, status="withdrawn"),
    )
    listed = rows.questions(known(questions=asked), "", NOW)
    assert [row.key for row, _ in listed] == ["new", "old", "done"]
    assert [row.cells[-1].text for row, _ in listed] == ["a | b", "a | b", "b"]


def test_steps_are_listed_while_they_are_under_way_or_wait_for_a_person() -> None:
    steps = (step(0, "done"), step(1, "running"), step(2, "failed", error="no such base"), step(3, "pending"))
    listed = rows.steps(known(steps=steps), "", NOW)
    assert [(row.key, row.cells[-1].text) for row in listed] == [("r1/1", "does it"), ("r1/2", "no such base")]
    assert rows.steps(known(runs=(summary(status="closed"),), steps=steps), "", NOW) == []
