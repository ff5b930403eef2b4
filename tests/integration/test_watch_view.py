"""The live view without a terminal: what it paints, what stays marked, what its keys ask for."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from conftest import Root
from textual.app import App
from textual.binding import Binding
from textual.pilot import Pilot
from textual.widgets import OptionList

from metawsm_rpc.cli.watch.app import WatchApp
from metawsm_rpc.cli.watch.dialogs import Confirm, Page, Write
from metawsm_rpc.cli.watch.rows import Cell, Row
from metawsm_rpc.cli.watch.table import LiveTable
from metawsm_rpc.composition import open_service
from metawsm_rpc.errors import HostError


class Shelf(App[None]):
    """One table."""

    def compose(self) -> Any:
        yield LiveTable(("name", "state"))


def line(name: str, state: str) -> Row:
    return Row(name, (Cell(name), Cell(state, "red")))


def on_a_shelf(test: Callable[[LiveTable, Pilot[None]], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        app = Shelf()
        async with app.run_test(size=(80, 24)) as pilot:
            await test(app.query_one(LiveTable), pilot)

    asyncio.run(run())


def test_only_cells_that_changed_are_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(table: LiveTable, pilot: Pilot[None]) -> None:
        table.show_rows([line(f"a{n}", "idle") for n in range(200)])
        await pilot.pause()
        painted: list[Any] = []
        monkeypatch.setattr(table, "update_cell", lambda row, column, *_, **__: painted.append((row, column.value)))
        monkeypatch.setattr(table, "add_row", lambda *_, **__: painted.append("row"))
        table.show_rows([line(f"a{n}", "dead" if n == 7 else "idle") for n in range(200)])
        assert painted == [("a7", "state")]

    on_a_shelf(test)


def test_the_mark_stays_on_what_it_was_on_while_rows_come_and_go() -> None:
    async def test(table: LiveTable, pilot: Pilot[None]) -> None:
        table.show_rows([line(name, "idle") for name in "abcde"])
        table.mark("c")
        table.show_rows([line(name, "idle") for name in "xyabcde"])
        await pilot.pause()
        assert table.marked == "c"
        table.show_rows([line(name, "idle") for name in "xyde"])
        assert table.marked == "e"
        table.show_rows([])
        assert table.marked is None
        table.show_rows([line("z", "idle")])
        assert table.marked == "z"

    on_a_shelf(test)


def test_markup_of_others_is_shown_as_it_is_written() -> None:
    async def test(table: LiveTable, pilot: Pilot[None]) -> None:
        table.show_rows([line("[bold]a[/bold]", "[link=x]y[/link]")])
        await pilot.pause()
        assert table.get_row("[bold]a[/bold]")[1].plain == "[link=x]y[/link]"
        assert "[bold]a[/bold]" in "".join(segment.text for segment in table.render_line(1))

    on_a_shelf(test)


# --- the whole view, on a real root ---


@pytest.fixture
def running(root: Root) -> Root:
    root.repository("app")
    root.agents(one="cat", two="sleep 600")
    service = open_service(root.path)
    service.create_ticket("T-1")
    service.run(["T-1"], run_id="r1")
    service.finish("r1")
    service.shut_down()
    return root


def in_view(root: Root, test: Callable[[WatchApp, Pilot[int]], Coroutine[Any, Any, None]]) -> int | None:
    """Run a test on the view of a root, with the root's supervision, and return what the view returns."""
    service = open_service(root.path)

    async def run() -> int | None:
        app = WatchApp(service, str(root.path))
        async with app.run_test(size=(100, 30)) as pilot:
            with service.supervise(app.hear, app.trouble):
                await eventually(lambda: bool(rows_of(app, "agents")))
                await test(app, pilot)
        app.errands.wait()
        return app.return_value

    try:
        return asyncio.run(run())
    finally:
        service.stop("r1")
        service.shut_down()


async def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def rows_of(app: WatchApp, table: str) -> list[str]:
    found = app.screen_stack[0].query_one(f"#{table}", LiveTable)
    return [" ".join(cell.plain for cell in found.get_row_at(n)) for n in range(found.row_count)]


def told(app: WatchApp) -> str:
    return "\n".join(note.message for note in app._notifications)


def test_words_narrow_what_is_shown_and_help_names_every_key(running: Root) -> None:
    async def test(app: WatchApp, pilot: Pilot[int]) -> None:
        await pilot.press("slash", *"two", "enter")
        await eventually(lambda: len(rows_of(app, "agents")) == 1)
        assert rows_of(app, "agents")[0].startswith("two")
        await pilot.press("slash", *"nobody", "enter")
        await eventually(lambda: rows_of(app, "runs") == rows_of(app, "agents") == [])
        await pilot.press("slash", "escape")
        assert rows_of(app, "runs") == []
        await pilot.press("slash", "backspace", "enter")
        await eventually(lambda: len(rows_of(app, "agents")) == 2)
        await pilot.press("question_mark")
        assert isinstance(app.screen, Page)
        explained = {row.split()[0] for row in app.screen.log_view.lines if row}
        bindings = [binding for binding in WatchApp.BINDINGS if isinstance(binding, Binding) and binding.show]
        assert {binding.key_display or binding.key for binding in bindings} - explained == {"?"}

    in_view(running, test)


def test_what_cannot_be_taken_back_is_asked_for_and_no_is_the_first_answer(running: Root) -> None:
    async def test(app: WatchApp, pilot: Pilot[int]) -> None:
        for key in "sr":
            for answer in ("n", "escape", "enter"):
                await pilot.press(key)
                assert isinstance(app.screen, Confirm), (key, answer)
                await pilot.press(answer)
                assert app.screen is app.screen_stack[0]
        assert not app.errands.underway
        await pilot.press("down", "r", "y")
        await eventually(lambda: "restart two on T-1: done." in told(app))

    in_view(running, test)
    two = next(agent for agent in running.ask("status", "r1")["agents"] if agent["name"] == "two")
    assert two["restarts"] == 1


def test_a_text_is_typed_into_the_agents_terminal(running: Root) -> None:
    async def test(app: WatchApp, pilot: Pilot[int]) -> None:
        await pilot.press("t", "enter")
        assert isinstance(app.screen, Write), "an empty text is not sent"
        await pilot.press(*"helo", "enter")
        await eventually(lambda: "one on T-1 has it" in told(app) or isinstance(app.screen, Confirm))
        if isinstance(app.screen, Confirm):
            await pilot.press("y")

    in_view(running, test)
    assert "helo" in running.metawsm("logs", "r1", "--agent", "one").out


def test_a_question_can_be_answered_in_words_of_ones_own_on_several_lines(running: Root) -> None:
    async def test(app: WatchApp, pilot: Pilot[int]) -> None:
        agent = app._board.agent
        assert agent is not None
        await asyncio.to_thread(
            app._service.signal,
            "r1",
            ticket="T-1",
            agent="one",
            launch=agent.launch,
            type="guidance",
            message="Which?",
            choices=("this", "that"),
        )
        await eventually(lambda: any("Which?" in row for row in rows_of(app, "questions")))
        await pilot.press("a")
        assert isinstance(app.screen.focused, OptionList)
        await pilot.press("tab", *"no", "ctrl+j", *"both", "enter")
        await eventually(lambda: any("no both" in row for row in rows_of(app, "questions")))
        await pilot.press("a")
        await eventually(lambda: "Nobody asks anything." in told(app))

    in_view(running, test)
    (question,) = running.ask("status", "r1")["guidance"]
    assert question["answer"] == "no\nboth"


def test_what_keeps_the_view_from_its_work_is_told_and_it_goes_on(
    running: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(app: WatchApp, pilot: Pilot[int]) -> None:
        store = app._service.world.store
        summaries = store.summaries

        def broken(**_: Any) -> Any:
            raise HostError("The disk has gone.", hint="Bring [it] back.")

        monkeypatch.setattr(store, "summaries", broken, raising=False)
        await pilot.press("z")
        await eventually(lambda: "The disk has gone.\nBring [it] back." in told(app))
        monkeypatch.setattr(store, "summaries", summaries, raising=False)
        await asyncio.to_thread(app._service.stop, "r1")
        await eventually(lambda: any("stopped" in row for row in rows_of(app, "runs")))

    in_view(running, test)


def test_a_defect_in_a_verb_is_told_and_quitting_asks_while_one_is_under_way(
    running: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    async def test(app: WatchApp, pilot: Pilot[int]) -> None:
        monkeypatch.setattr(app._service, "explain", lambda *_, **__: 1 / 0)
        await pilot.press("e")
        await eventually(lambda: "ZeroDivisionError" in told(app))
        monkeypatch.setattr(app._service, "explain", lambda *_, **__: release.wait(60))
        await pilot.press("e", "q")
        assert isinstance(app.screen, Confirm)
        await pilot.press("n")
        assert app.errands.underway == ("explain one on T-1",)
        await pilot.press("q", "y")
        release.set()

    assert in_view(running, test) == 0
