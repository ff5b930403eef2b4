"""The one screen that is always there: tables of runs, agents, questions and steps, and what is marked in them."""

import os
from collections.abc import Callable

from rich.text import Text
from textual.app import ComposeResult
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer, Static

from metawsm_rpc.cli.watch import rows
from metawsm_rpc.cli.watch.rows import Known
from metawsm_rpc.cli.watch.table import LiveTable
from metawsm_rpc.domain.models import Agent, Guidance

_AGEING_SECONDS = 5.0
"""How often the ages in the tables are counted on; painting hundreds of rows is what costs."""


class Board(Screen[None]):
    """Shows what is known, as far as it has the words of a filter."""

    class Ready(Message):
        """The tables are there."""

    class Marked(Message):
        """The mark in the table of runs is on another run."""

    class Chosen(Message):
        """A person wants to open what a row is about; `table` is where it stands."""

        def __init__(self, table: str) -> None:
            super().__init__()
            self.table = table

    def __init__(self, root: str, clock: Callable[[], float]) -> None:
        super().__init__()
        self._root = rows.one_line(root)
        self._clock = clock
        self._known = Known(runs=(), details={}, hidden=0, supervisor=None)
        self._agents: dict[str, Agent] = {}
        self._questions: dict[str, Guidance] = {}
        self.words = ""
        self.all_agents = False

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield Static(markup=False, id="head")
        yield Static(markup=False, id="filter")
        yield LiveTable(rows.RUN_COLUMNS, id="runs")
        yield LiveTable(rows.AGENT_COLUMNS, id="agents")
        yield LiveTable(rows.QUESTION_COLUMNS, id="questions")
        yield LiveTable(rows.STEP_COLUMNS, id="steps")
        yield Static(markup=False, id="story")
        yield Footer()

    def on_mount(self) -> None:
        """Let ages count on."""
        self._table("agents").focus()
        self.set_interval(_AGEING_SECONDS, self.show)
        self.post_message(self.Ready())

    def learn(self, known: Known) -> None:
        """Show what was read."""
        self._known = known
        self.show()

    def show(self) -> None:
        """Bring everything that is seen up to date."""
        now, known, words = self._clock(), self._known, self.words
        found = rows.runs(known, words, now)
        self._show_table("runs", found, f"Runs ({len(found)})" + _also(known.hidden, "closed: z"))
        run_id = None if self.all_agents else self.marked_run
        agents = rows.agents(known, run_id, words, now) if found else []
        self._agents = {row.key: agent for row, agent in agents}
        whose = "all runs" if self.all_agents else f"run {run_id}" if run_id else "no run"
        self._show_table("agents", [row for row, _ in agents], f"Agents of {whose} ({len(agents)})")
        questions = rows.questions(known, words, now)
        self._questions = {row.key: question for row, question in questions}
        pending = sum(question.status == "pending" for question in self._questions.values())
        self._show_table("questions", [row for row, _ in questions], f"Questions ({pending} open)")
        steps = rows.steps(known, words, now)
        self._show_table("steps", steps, f"Steps under way or failed ({len(steps)})")
        self._show_lines(now)

    def _show_table(self, name: str, found: list[rows.Row], title: str) -> None:
        table = self._table(name)
        table.border_title = Content(title)
        table.show_rows(found)
        table.set_class(bool(found), "on")

    def _show_lines(self, now: float) -> None:
        head = Text(f"metawsm watch  {self._supervision()}", no_wrap=True, overflow="ellipsis")
        for cell in rows.tally(self._known):
            head.append("  ").append(cell.text, cell.style)
        # The least important, and often long.
        head.append(f"  {self._root}")
        self.query_one("#head", Static).update(head)
        words = self.query_one("#filter", Static)
        words.update(f"only what has: {self.words}   (/ changes it)")
        words.set_class(bool(self.words), "on")
        agent = self.agent
        self.query_one("#story", Static).update(rows.story(agent, now) if agent else self._nothing())

    def _supervision(self) -> str:
        if self._known.supervisor == os.getpid():
            return "supervising"
        if self._known.supervisor is not None:
            return f"another process supervises (pid {self._known.supervisor})"
        return "not supervised yet"

    def _nothing(self) -> str:
        if self.words:
            return "Nothing here has these words; / changes them."
        return "" if self._known.runs else "There are no runs here yet; `metawsm run --ticket T` starts one."

    # --- what is marked ---

    def _table(self, name: str) -> LiveTable:
        return self.query_one(f"#{name}", LiveTable)

    @property
    def focused_table(self) -> str | None:
        """The name of the table that has the focus."""
        return self.focused.id if isinstance(self.focused, LiveTable) else None

    @property
    def marked_run(self) -> str | None:
        """The run that is marked in the table of runs."""
        return self._table("runs").marked

    @property
    def agent(self) -> Agent | None:
        """The agent that is marked."""
        return self._agents.get(self._table("agents").marked or "")

    @property
    def run_id(self) -> str | None:
        """The run that the mark is on, in the table that has the focus."""
        where = self.focused_table
        if where == "questions" and (question := self._marked_question()):
            return question.run_id
        if where == "steps" and (step := self._table("steps").marked):
            return step.partition("/")[0]
        if where == "agents" and (agent := self.agent):
            return agent.run_id
        return self.marked_run

    @property
    def question(self) -> Guidance | None:
        """The question that is marked, else an open one of the agent, of the run, or of anybody."""
        marked = self._marked_question()
        if self.focused_table == "questions" and marked is not None:
            return marked
        pending = [question for question in self._questions.values() if question.status == "pending"]
        agent, run_id = self.agent, self.run_id

        def nearness(question: Guidance) -> tuple[bool, bool]:
            of_agent = agent is not None and (question.run_id, question.ticket, question.agent) == (
                agent.run_id,
                agent.ticket,
                agent.name,
            )
            return not of_agent, question.run_id != run_id

        return min(pending, key=nearness, default=None)

    def _marked_question(self) -> Guidance | None:
        return self._questions.get(self._table("questions").marked or "")

    def on_data_table_row_highlighted(self, event: LiveTable.RowHighlighted) -> None:
        """Show what belongs to the row that was marked."""
        if event.data_table.id == "runs":
            self.post_message(self.Marked())
        self.show()

    def on_data_table_row_selected(self, event: LiveTable.RowSelected) -> None:
        """Open what the row is about; a run's agents are here already."""
        if event.data_table.id == "runs":
            self._table("agents").focus()
        elif event.data_table.id is not None:
            self.post_message(self.Chosen(event.data_table.id))


def _also(number: int, what: str) -> str:
    return f", and {number} {what}" if number else ""
