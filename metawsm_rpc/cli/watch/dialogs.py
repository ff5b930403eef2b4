"""Questions that the live view asks a person, and texts that it shows over everything else."""

from typing import ClassVar

from rich.highlighter import Highlighter
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Button, Log, OptionList, Static, TextArea
from textual.widgets.option_list import Option

_BACK: BindingType = Binding("escape", "dismiss", "back")


def _asked(question: str, more: str) -> ComposeResult:
    """Show a question, and below it what else there is to know."""
    yield Static(question, markup=False, classes="question")
    if more:
        with VerticalScroll(classes="more", can_focus=False):
            yield Static(more, markup=False)


class Confirm(ModalScreen[bool]):
    """Asks whether something that cannot be taken back is meant; answers with yes or no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape", "answer(False)", "no"),
    ]

    def __init__(self, question: str, more: str = "") -> None:
        super().__init__()
        self._question = question
        self._more = more

    def compose(self) -> ComposeResult:
        """Show question, details and two buttons."""
        with Vertical(classes="dialog"):
            yield from _asked(self._question, self._more)
            with Horizontal(classes="buttons"):
                yield Button("No (n)", id="no")
                yield Button("Yes (y)", id="yes", variant="error")

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer with the button."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        """Answer with a key."""
        self.dismiss(yes)


class Field(TextArea):
    """A text that Enter hands in; Ctrl-J begins a new line in it, and so does what is pasted."""

    class Submitted(Message):
        """The text is finished."""

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            self.post_message(self.Submitted())
        elif event.key == "ctrl+j":
            event.stop()
            event.prevent_default()
            self.insert("\n")
        else:
            await super()._on_key(event)


class Write(ModalScreen[str]):
    """Asks for a text; choices, where there are some, can be taken instead."""

    BINDINGS: ClassVar[list[BindingType]] = [_BACK]

    def __init__(self, question: str, more: str = "", *, choices: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._question = question
        self._more = more
        self._choices = choices

    def compose(self) -> ComposeResult:
        """Show question, choices and a field."""
        with Vertical(classes="dialog"):
            yield from _asked(self._question, self._more)
            if self._choices:
                yield OptionList(*(Option(Text(choice, no_wrap=True)) for choice in self._choices), markup=False)
            yield Field(placeholder="or write another answer" if self._choices else "", show_line_numbers=False)
            hint = "Enter sends it, Ctrl-J begins a new line, Esc goes back."
            yield Static(("Tab goes to the text; " if self._choices else "") + hint, markup=False, classes="hint")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take a choice."""
        self.dismiss(self._choices[event.option_index])

    def on_field_submitted(self) -> None:
        """Take the text, unless there is none."""
        text = self.query_one(Field).text
        if text.strip():
            self.dismiss(text)


class Line(ModalScreen[str]):
    """Asks for a word or two that may also be none."""

    BINDINGS: ClassVar[list[BindingType]] = [_BACK]

    def __init__(self, question: str, text: str) -> None:
        super().__init__()
        self._question = question
        self._text = text

    def compose(self) -> ComposeResult:
        """Show question and field."""
        with Vertical(classes="dialog"):
            yield Static(self._question, markup=False, classes="question")
            yield Field(self._text, show_line_numbers=False)

    def on_mount(self) -> None:
        """Let what is typed take the place of what is there."""
        self.query_one(Field).select_all()

    def on_field_submitted(self) -> None:
        """Take the text, on one line."""
        self.dismiss(" ".join(self.query_one(Field).text.split()))


class _PatchColours(Highlighter):
    """The usual colours of a patch; they repeat what the first letter of a line says."""

    def highlight(self, text: Text) -> None:
        """Colour one line."""
        style = {"+": "green", "-": "red", "@": "cyan"}.get(text.plain[:1])
        if style:
            text.stylize(style)


class Page(ModalScreen[None]):
    """A long text to scroll in."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "back"),
        Binding("g,home", "scroll('home')", "top", show=False),
        Binding("G,end", "scroll('end')", "end", show=False),
    ]

    def __init__(self, title: str, text: str, *, patch: bool = False) -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._patch = patch

    def compose(self) -> ComposeResult:
        """Show the title, the text, and how to get back."""
        yield Static(self._title, markup=False, classes="title")
        log = Log(highlight=self._patch, auto_scroll=False)
        log.highlighter = _PatchColours()
        yield log
        yield Static("Esc or q: back   arrows, PgUp, PgDn, g, G: scroll", markup=False, classes="hint")

    def on_mount(self) -> None:
        """Fill it."""
        self.log_view.write(self._text, scroll_end=False)

    @property
    def log_view(self) -> Log:
        """The widget that holds the text."""
        return self.query_one(Log)

    def action_scroll(self, where: str) -> None:
        """Go to one of the ends."""
        (self.log_view.scroll_home if where == "home" else self.log_view.scroll_end)(animate=False)
