"""What an agent prints, as it comes."""

import threading
from collections.abc import Callable

from textual.message import Message

from metawsm_rpc.answers import TranscriptPart
from metawsm_rpc.cli.watch.dialogs import Page
from metawsm_rpc.errors import MetawsmError

_SECONDS = 0.25
"""How often is looked for more; a transcript is a file that grows without telling."""

_BEGIN_BYTES = 256 * 1024
"""How much of what was printed before is shown."""

_LINES = 20_000
"""How many lines are kept; the first ones go."""

Read = Callable[[int], TranscriptPart]


class Transcript(Page):
    """The end of a transcript, which follows while it is scrolled to its end.

    `read` answers the part that begins at an offset, in bytes; a negative one counts from the end.
    """

    class Printed(Message):
        """More of the transcript."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, title: str, read: Read) -> None:
        super().__init__(title, "")
        self._read = read
        self._over = threading.Event()

    def on_mount(self) -> None:
        """Begin to follow."""
        self.log_view.max_lines = _LINES
        threading.Thread(target=self._follow, name="transcript", daemon=True).start()

    def on_unmount(self) -> None:
        """Follow no longer."""
        self._over.set()

    def _follow(self) -> None:
        offset = -_BEGIN_BYTES
        while not self._over.is_set():
            try:
                part = self._read(offset)
            except MetawsmError as error:
                self.post_message(self.Printed(f"\n{error.message}\n"))
                return
            if part.text:
                self.post_message(self.Printed(part.text))
            offset = part.next_offset
            if offset >= part.size:
                self._over.wait(_SECONDS)

    def on_transcript_printed(self, event: Printed) -> None:
        """Show more; who has scrolled up stays where they are."""
        log = self.log_view
        log.write(event.text, scroll_end=log.is_vertical_scroll_end)
