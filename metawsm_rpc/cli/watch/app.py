"""The live view: all runs of a root on one screen, and the keys that act on them."""

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FrameType
from typing import Any, ClassVar

from textual.app import App, SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.message import Message

from metawsm_rpc.answers import CloseAnswer, Sent, TranscriptPart
from metawsm_rpc.cli.watch import pages, rows
from metawsm_rpc.cli.watch.board import Board
from metawsm_rpc.cli.watch.dialogs import Confirm, Line, Page, Write
from metawsm_rpc.cli.watch.errands import Errands
from metawsm_rpc.cli.watch.reading import Reader
from metawsm_rpc.cli.watch.rows import Known
from metawsm_rpc.cli.watch.transcript import Transcript
from metawsm_rpc.domain.models import LIVE, Agent, Event
from metawsm_rpc.errors import CloseBlockedError, HostError, MetawsmError
from metawsm_rpc.service import Service

_TROUBLE_SECONDS = 12.0
"""How long an error stays on the screen."""

_ENDS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
"""The exit status for each signal that ends the view."""

_END_SECONDS = 3.0
"""How long the view may take to end before it is given up: Textual waits for ever to write to a terminal that is gone."""


class WatchApp(App[int]):
    """Shows what is known of the runs of one root, and calls the verbs of its service.

    Returns the exit status.
    """

    CSS_PATH = "watch.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        # The footer shows as many as there is room for, from the first on.
        Binding("question_mark", "help", "help", key_display="?"),
        Binding("q", "leave", "quit"),
        Binding("l", "transcript", "log"),
        Binding("a", "answer", "answer"),
        Binding("t", "tell", "tell"),
        Binding("o", "attach", "open"),
        Binding("s", "stop", "stop"),
        Binding("r", "restart", "restart"),
        Binding("g", "resume", "go on"),
        Binding("c", "close", "close"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("e", "explain", "explain"),
        Binding("d", "diff", "diff"),
        Binding("v", "all_agents", "all agents"),
        Binding("z", "closed", "closed runs"),
        Binding("ctrl+c", "interrupt", show=False, priority=True),
    ]
    KEYS: ClassVar[pages.Keys] = (
        ("Tab, arrows", "go to another table, mark another row; the keys below act on what is marked"),
        ("l or Enter", "open the log of the agent: all that it prints; it follows while you are at its end"),
        ("a", "answer a question: take a choice, or write"),
        ("t", "tell the agent something: the text is typed into its terminal"),
        ("o", "open the agent's terminal; Ctrl-b d comes back here"),
        ("e", "explain why the agent is judged as it is"),
        ("d", "show the work of the run against its bases"),
        ("s", "stop the run and its agents"),
        ("r", "restart the agent; in the table of runs: all that are dead or failed"),
        ("g", "let the run go on: resume"),
        ("c", "close the run: shows what would be merged, then asks"),
        ("/", "show only what has these words: a run, ticket, agent, status or health"),
        ("v", "agents of all runs, or of the marked one"),
        ("z", "with closed runs, or without"),
        ("q", "quit; agents go on"),
    )

    class Call(Message):
        """Something is to be done in this thread."""

        def __init__(self, call: Callable[[], None]) -> None:
            super().__init__()
            self.call = call

    def __init__(self, service: Service, root: str, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._service = service
        self._board = Board(root, clock)
        self._known = Known(runs=(), details={}, hidden=0, supervisor=None)
        self._fresh: Known | None = None
        self._with_closed = False
        self._reader = Reader(service, self._learn, self.trouble)
        self._handlers: dict[signal.Signals, Any] = {}
        self.errands = Errands(self._post)

    # --- what happens around it ---

    def get_default_screen(self) -> Board:
        """Return what is seen first and last."""
        return self._board

    def on_mount(self) -> None:
        """End in order when a signal says so."""
        self.animation_level = "none"
        self._main_loop = asyncio.get_running_loop()
        # Not handlers of the event loop: it stands still while the terminal takes no output.
        self._handlers = {number: signal.signal(number, self._end) for number in _ENDS}

    def _end(self, number: int, _frame: FrameType | None) -> None:
        """End the view; when the terminal that it would restore is gone, end the process without it."""
        status = _ENDS[signal.Signals(number)]
        self._main_loop.call_soon_threadsafe(self.exit, status)
        threading.Thread(target=self._give_up, args=(status,), name="giving up", daemon=True).start()

    def _give_up(self, status: int) -> None:
        # The process, too, waits for these before it ends in order.
        self.errands.wait()
        time.sleep(_END_SECONDS)
        os._exit(status)

    def on_board_ready(self) -> None:
        """Begin to read."""
        self._reader.start()

    def on_unmount(self) -> None:
        """Read no longer."""
        self._reader.close()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def hear(self, events: Sequence[Event]) -> None:
        """Take news, from any thread."""
        self._reader.hear(events)

    def trouble(self, error: MetawsmError) -> None:
        """Tell of what keeps the view, or its supervisor, from its work; called from any thread."""
        self._post(lambda: self._refused(error))

    def _post(self, call: Callable[[], None]) -> None:
        """Let something be done in the screen's thread; called from any thread."""
        self.post_message(self.Call(call))

    def on_watch_app_call(self, event: Call) -> None:
        """Do what another thread wants done here."""
        event.call()

    def _learn(self, known: Known) -> None:
        """Take what was read, in the reader's thread; while the screen is busy only the latest counts."""
        waiting, self._fresh = self._fresh, known
        if waiting is None:
            self._post(self._show)

    def _show(self) -> None:
        if self._fresh is not None:
            self._known, self._fresh = self._fresh, None
            self._board.learn(self._known)

    def on_board_marked(self) -> None:
        """Read what the marked run needs."""
        self._reader.want(self._board.marked_run, with_closed=self._with_closed)

    def on_board_chosen(self, event: Board.Chosen) -> None:
        """Open what a row is about."""
        if event.table == "agents":
            self.action_transcript()
        elif event.table == "questions":
            self.action_answer()

    # --- keys that show something ---

    def action_help(self) -> None:
        """Say what the keys do."""
        self.push_screen(Page("Keys", pages.keys(self.KEYS)))

    def action_transcript(self) -> None:
        """Open the agent's log."""
        if (agent := self._needed_agent()) is None:
            return

        def read(offset: int) -> TranscriptPart:
            return self._service.transcript(agent.run_id, agent=agent.name, ticket=agent.ticket, offset=offset)

        self.push_screen(Transcript(f"{rows.named(agent)}: what it prints", read))

    def action_explain(self) -> None:
        """Say why the agent is judged as it is."""
        if (agent := self._needed_agent()) is None:
            return
        self._start(
            f"explain {rows.named(agent)}",
            lambda: self._service.explain(agent.run_id, agent=agent.name, ticket=agent.ticket),
            lambda found: self._open(f"Why {rows.named(agent)} is judged as it is", pages.evidence(found)),
        )

    def action_diff(self) -> None:
        """Show the work of the run."""
        if (run_id := self._needed_run()) is None:
            return
        self._start(
            f"diff of run {run_id}",
            lambda: self._service.diff(run_id, patch=True),
            lambda found: self._open(f"The work of run {run_id}", pages.changes(found), patch=True),
        )

    def action_filter(self) -> None:
        """Ask for words that must be found in what is shown."""
        self.push_screen(Line("Show only what has these words (none: all)", self._board.words), self._filter)

    def _filter(self, words: str | None) -> None:
        if words is not None:
            self._board.words = words
            self._board.show()

    def action_all_agents(self) -> None:
        """Show the agents of all runs, or of the marked one."""
        self._board.all_agents = not self._board.all_agents
        self._board.show()

    def action_closed(self) -> None:
        """Show closed runs too, or no longer."""
        self._with_closed = not self._with_closed
        self.on_board_marked()

    # --- keys that do something ---

    def action_answer(self) -> None:
        """Answer a question."""
        question = self._board.question
        if question is None:
            self._tell("Nobody asks anything.")
            return
        who = f"{question.agent} on {question.ticket}"

        def answer(text: str | None) -> None:
            if text is not None:
                self._start(
                    f"answer to {who}",
                    lambda: self._service.answer(question.id, text),
                    lambda _: self._tell(f"{who} has the answer."),
                )

        more = "\n".join(filter(None, (rows.lines(question.question), rows.lines(question.context or ""))))
        choices = tuple(map(rows.one_line, question.choices))
        self.push_screen(Write(f"{rows.one_line(who)} asks", more, choices=choices), answer)

    def action_tell(self) -> None:
        """Ask for a text and type it into the agent's terminal."""
        if (agent := self._needed_agent()) is None:
            return

        def tell(text: str | None) -> None:
            if text is not None:
                self._type(agent, text, force=False)

        self.push_screen(Write(f"Tell {rows.named(agent)}"), tell)

    def _type(self, agent: Agent, text: str, *, force: bool) -> None:
        named = rows.named(agent)

        def typed(sent: Sent) -> None:
            if sent.delivered:
                self._tell(f"{named} has it" + (f": {sent.reason}." if sent.reason else "."))
            elif force:
                self._refused(HostError(f"{named} has not taken it: {sent.reason}."))
            else:
                self._confirm(
                    f"{named} has not taken it. Type it all the same?",
                    rows.lines(sent.reason or ""),
                    lambda: self._type(agent, text, force=True),
                )

        self._start(
            f"message to {named}",
            lambda: self._service.send(agent.run_id, agent=agent.name, ticket=agent.ticket, text=text, force=force),
            typed,
        )

    def action_attach(self) -> None:
        """Open the agent's terminal."""
        if (agent := self._needed_agent()) is None:
            return
        self._start(
            f"terminal of {rows.named(agent)}",
            lambda: self._service.attach(agent.run_id, agent=agent.name, ticket=agent.ticket),
            lambda attachment: self._give_terminal(attachment.argv),
        )

    def _give_terminal(self, argv: Sequence[str]) -> None:
        """Let another program have the terminal until it ends."""
        try:
            with self.suspend(), subprocess.Popen(argv) as program, _passing_on(_ENDS, program.terminate):
                status = program.wait()
        except SuspendNotSupported:
            self._refused(HostError("This terminal cannot be given to another program.", hint=shlex.join(argv)))
            return
        self.refresh(layout=True)
        if status:
            self._refused(HostError(f"{argv[0]} ended with {status}.", hint=shlex.join(argv)))

    def action_stop(self) -> None:
        """Stop the run."""
        if (run_id := self._needed_run()) is None:
            return
        self._confirm(
            f"Stop run {run_id} and its agents?",
            "Their work stays as it is; g lets the run go on.",
            lambda: self._start(f"stop run {run_id}", lambda: self._service.stop(run_id)),
        )

    def action_restart(self) -> None:
        """Start agents again."""
        if self._board.focused_table == "agents":
            if (agent := self._needed_agent()) is None:
                return
            named, run_id, name, ticket = rows.named(agent), agent.run_id, agent.name, agent.ticket
            live = "It is stopped first." if agent.status in LIVE else ""
            self._confirm(
                f"Restart {named}?",
                live,
                lambda: self._start(
                    f"restart {named}", lambda: self._service.restart(run_id, agent=name, ticket=ticket)
                ),
            )
        elif (chosen := self._needed_run()) is not None:
            self._confirm(
                f"Restart all agents of run {chosen} that are dead or failed?",
                "",
                lambda: self._start(f"restart agents of run {chosen}", lambda: self._service.restart(chosen)),
            )

    def action_resume(self) -> None:
        """Let the run go on."""
        if (run_id := self._needed_run()) is not None:
            self._start(f"resume run {run_id}", lambda: self._service.resume(run_id))

    def action_close(self) -> None:
        """Say what a close would do, and close if that is wanted."""
        if (run_id := self._needed_run()) is None:
            return

        def rehearsed(answer: CloseAnswer) -> None:
            if answer.blocked:
                self._open(f"Run {run_id} cannot be closed", pages.obstacles(answer.blocked))
                return
            self._confirm(
                f"Close run {run_id}? These merges are made, its agents end, its worktrees go.",
                pages.merges(answer),
                lambda: self._start(f"close run {run_id}", lambda: self._service.close(run_id)),
            )

        self._start(f"rehearsal of close {run_id}", lambda: self._service.close(run_id, dry_run=True), rehearsed)

    async def action_quit(self) -> None:
        """Quit by the library's own key, in the same way."""
        self.action_leave()

    def action_leave(self) -> None:
        """Quit; asks where something would be cut off or has to be waited for."""
        underway = self.errands.underway
        if underway or self._known.driven:
            more = [f"{name} is under way; it will be waited for." for name in underway]
            more += [
                f"Steps of run {run_id} are under way here; `metawsm resume {run_id}` goes on with them."
                for run_id in self._known.driven
            ]
            self._confirm("Quit? Agents go on.", "\n".join(more), lambda: self.exit(0))
        else:
            self.exit(0)

    def action_interrupt(self) -> None:
        """End at once, as Ctrl-C does everywhere."""
        self.exit(_ENDS[signal.SIGINT])

    # --- shared ---

    def _needed_agent(self) -> Agent | None:
        agent = self._board.agent
        if agent is None:
            self._tell("There is no agent here.")
        return agent

    def _needed_run(self) -> str | None:
        run_id = self._board.run_id
        if run_id is None:
            self._tell("There is no run here.")
        return run_id

    def _start(self, name: str, deed: Callable[[], Any], done: Callable[[Any], None] | None = None) -> None:
        self.errands.start(rows.one_line(name), deed, done or (lambda _: self._tell(f"{name}: done.")), self._refused)

    def _confirm(self, question: str, more: str, deed: Callable[[], object]) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                deed()

        self.push_screen(Confirm(question, more), answered)

    def _open(self, title: str, text: str, *, patch: bool = False) -> None:
        self.push_screen(Page(title, text, patch=patch))

    def _tell(self, text: str) -> None:
        self.notify(rows.one_line(text), markup=False)

    def _refused(self, error: MetawsmError) -> None:
        if isinstance(error, CloseBlockedError):
            self._open(rows.one_line(error.message), pages.obstacles(error.details))
            return
        text = "\n".join(filter(None, (rows.one_line(error.message), rows.one_line(error.hint))))
        self.notify(text, severity="error", markup=False, timeout=_TROUBLE_SECONDS)


@contextlib.contextmanager
def _passing_on(signals: Iterable[signal.Signals], end: Callable[[], None]) -> Iterator[None]:
    """Let a signal that ends this process end another program first."""
    before = {number: signal.signal(number, lambda *_: end()) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
