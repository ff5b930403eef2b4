"""Typing into a terminal: a text goes in as one paste, Enter follows, and it is seen whether both were taken.

Programs lose an Enter that comes too soon after a paste, so it waits until the paste has been read and
shown, and comes again while the text still stands in the input line. It is never pressed while a
dialog is open, nor where the text did not appear: it would answer something else. Escape is not
pressed at all.

Two kinds of evidence tell that a text was taken: of programs whose input line is known, that the text
has left it; of all others, what the terminal driver holds unread for the program, and the cursor.
"""

import contextlib
import fcntl
import os
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from metawsm_rpc.domain.readings.input_line import draft, input_line, is_known
from metawsm_rpc.domain.readings.reading import Observation, read
from metawsm_rpc.domain.readings.statement import Statement, decide
from metawsm_rpc.domain.sentences import one_line
from metawsm_rpc.errors import HostError
from metawsm_rpc.ports.terminals import Sent

_LOOK_SECONDS = 0.04

_STILL_SECONDS = 0.15
"""A screen that has not changed for so long shows what there is to show.

So Enter comes that much after a paste, at least: gemini and codex were seen to swallow it before 0.1.
"""

_PATIENCE_SECONDS = 4.0
"""How long a program may go without reading or showing anything of what it was given."""

_RESTLESS_SECONDS = 1.0
"""A screen of unknown rules that has not come to rest by then may have a clock on it."""

_ENTER_SECONDS = 1.5
"""After that a text that still stands in the input line needs another Enter."""

_ENTERS = 3

_UNREAD_SECONDS = 1.0
"""How long a program that takes whole lines may leave one unread before it counts as busy."""

_OPENING_SECONDS = 20.0
"""How long a program that has just started may take to show its input line."""

_DRAFT_SECONDS = 2.0
"""A text that is being sent has left the input line by then; one that still stands there is somebody's draft."""

_DRAFT_SHOWN = 60
"""So many characters of a draft are told."""

_LONGEST_LINE = 4095 if sys.platform == "linux" else 1023
"""What a terminal driver keeps of one line while it collects it for the program, in bytes."""

_TAIL = 16
"""So many characters of a text's end tell whether it still stands in the input line."""

_SHORTENED = "[Pasted"
"""What claude, codex and gemini show in place of a long text, with its size behind."""

_FRAME = str.maketrans("", "", " \t\n\u00a0│┃╹▀▄─")

_FIELDS = (
    "#{cursor_x}",
    "#{cursor_y}",
    "#{history_size}",
    "#{pane_in_mode}",
    "#{pane_input_off}",
    "#{pane_tty}",
    "#{pane_current_command}",
    "#{pane_title}",
)

Run = Callable[[Sequence[Sequence[str]], bytes], str]
"""Runs tmux commands in one call with a standard input; raises `PaneGoneError`, `HostError`."""


class _Look(NamedTuple):
    """What a pane shows at one moment.

    `unread` is how many bytes its program has not read yet, None when that cannot be known; `by_line`
    whether the terminal driver collects lines for it, as for a program that reads standard input.
    """

    screen: str
    cursor: tuple[int, int, int]
    title: str
    command: str
    in_mode: bool
    closed: bool
    unread: int | None
    by_line: bool

    @property
    def shown(self) -> tuple[str, tuple[int, int, int]]:
        return self.screen, self.cursor

    @property
    def line(self) -> tuple[str, tuple[int, int, int]]:
        """The line that the cursor is in."""
        rows = self.screen.splitlines()
        row = self.cursor[1]
        return rows[row] if row < len(rows) else "", self.cursor


class PaneGoneError(Exception):
    """The pane has closed."""


class _Refusal(Exception):  # noqa: N818 - no error: an answer that ends the typing
    """Nothing more is typed; carries the answer."""


@contextmanager
def one_at_a_time(directory: str) -> Iterator[None]:
    """Let no other process, and no other thread, type into the launch of this folder meanwhile."""
    try:
        descriptor = os.open(f"{directory}/typing", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise HostError(f"The folder {directory} of the launch cannot be written: {error.strerror}.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class Typist:
    """Types into one pane; `runner` is the profile's, and tells by which rules its screen is read."""

    def __init__(self, run: Run, pane: str, runner: str) -> None:
        self._run = run
        self._pane = pane
        self._runner = runner
        self._known = is_known(runner)
        self._entered = False

    def send(self, text: str, *, forced: bool = False) -> Sent:
        """Paste a text, press Enter, and answer whether the program took it, or why it did not.

        `text` has no control characters but newlines and tabs. `forced` types whatever is open there.
        """
        try:
            return self._send(text, forced=forced)
        except _Refusal as refusal:
            return Sent(False, str(refusal))
        except PaneGoneError:
            if self._entered:
                return Sent(True, "its program has ended since")
            return Sent(False, "its terminal has closed meanwhile")

    def _send(self, text: str, *, forced: bool) -> Sent:
        before = self._ready(forced=forced)
        if not forced:
            _check_lines(text, before)
        self._paste(text)
        pasted = self._await_paste(before, forced=forced)
        taken = pasted
        for _ in range(_ENTERS):
            self._enter()
            taken = self._await_taken(text, before, pasted)
            if not self._stands(text, before, pasted, taken):
                break
        return self._outcome(text, before, pasted, taken)

    # --- before ---

    def _ready(self, *, forced: bool) -> _Look:
        """Return what the pane shows when it is ready for a text; what stands in the way is refused."""
        deadline = time.monotonic() + _OPENING_SECONDS
        drafted_at: float | None = None
        while True:
            look = self._look()
            if look.closed:
                raise _Refusal("its terminal takes no input (tmux select-pane -d has closed it)")
            if look.in_mode and not forced:
                raise _Refusal("somebody is reading back in its terminal (tmux copy mode), which must be left first")
            if look.in_mode:
                self._run([("send-keys", "-t", self._pane, "-X", "cancel")], b"")
                continue
            if forced:
                return look
            self._check_open(look)
            if not self._known:
                return look
            text = draft(self._runner, look.screen, look.cursor[:2])
            if text is None and input_line(self._runner, look.screen) is not None:
                return look
            now = time.monotonic()
            drafted_at = None if text is None else drafted_at or now
            if text is not None and now >= (drafted_at or now) + _DRAFT_SECONDS:
                raise _Refusal(
                    f'a text that nobody has sent stands in its input line, "{one_line(text, _DRAFT_SHOWN)}"; '
                    "send it or take it away there (`metawsm attach`)"
                )
            if now > deadline:
                raise _Refusal("its input line is not on its screen; look at it with `metawsm attach`")
            time.sleep(_LOOK_SECONDS)

    def _check_open(self, look: _Look, so: str = "") -> None:
        stated = self._stated(look)
        if stated.state == "waiting":
            what = f" ({stated.waits_for})" if stated.waits_for else ""
            raise _Refusal(f"it waits for a decision{what}: {stated.says}{so}")
        if stated.state == "finished":
            raise _Refusal(f"its program has left the terminal: {stated.says}{so}")

    def _stated(self, look: _Look) -> Statement:
        seen = Observation(title=look.title, screen=look.screen, command=look.command)
        return decide(read(self._runner, seen))

    # --- the paste ---

    def _paste(self, text: str) -> None:
        """Put the text in by a buffer of our own: in brackets where the program has asked for them.

        tmux makes a carriage return of each newline, as every terminal does of what is pasted.
        """
        buffer = f"metawsm-{os.urandom(8).hex()}"
        paste = ("paste-buffer", "-p", "-d", "-b", buffer, "-t", self._pane)
        try:
            self._run([("load-buffer", "-b", buffer, "-"), paste], text.encode())
        except BaseException:
            with contextlib.suppress(HostError):
                self._run([("delete-buffer", "-b", buffer)], b"")
            raise

    def _await_paste(self, before: _Look, *, forced: bool) -> _Look:
        """Return what the pane shows when the program has read the paste and shown it."""
        by_rules = self._known and not forced

        def watched(look: _Look) -> object:
            # What else there is on a screen may never stand still.
            return input_line(self._runner, look.screen) if by_rules else look.shown

        look = self._look()
        changed = started = time.monotonic()
        while True:
            time.sleep(_LOOK_SECONDS)
            earlier, look = look, self._look()
            now = time.monotonic()
            if (watched(look), look.unread) != (watched(earlier), earlier.unread):
                changed = now
            if by_rules:
                self._check_open(look, "; the text is pasted, and Enter not pressed")
            arrived = not look.unread or look.by_line
            if by_rules:
                arrived = arrived and watched(look) not in (None, watched(before))
            still = now - changed >= _STILL_SECONDS or (not by_rules and now - started >= _RESTLESS_SECONDS)
            if arrived and still:
                return look
            if now - changed >= _PATIENCE_SECONDS or now - started >= 10 * _PATIENCE_SECONDS:
                raise _Refusal(
                    "it does not read its input now; the text lies there, without its Enter, until it does"
                    if look.unread
                    else "the text did not appear in its input line, so Enter was not pressed"
                )

    # --- Enter ---

    def _enter(self) -> None:
        self._run([("send-keys", "-t", self._pane, "Enter")], b"")
        self._entered = True

    def _await_taken(self, text: str, before: _Look, pasted: _Look) -> _Look:
        started = time.monotonic()
        while True:
            time.sleep(_LOOK_SECONDS)
            look = self._look()
            waited = time.monotonic() - started
            if waited >= _ENTER_SECONDS:
                return look
            if look.unread and not (look.by_line and waited >= _UNREAD_SECONDS):
                continue
            if waited >= _STILL_SECONDS and not self._stands(text, before, pasted, look):
                return look

    def _stands(self, text: str, before: _Look, pasted: _Look, now: _Look) -> bool:
        """Return whether the text still stands where it was put, so that an Enter was lost."""
        if self._known:
            line = input_line(self._runner, now.screen)
            put = input_line(self._runner, pasted.screen)
            if line is None or put is None or line == put:
                return line is not None and put is not None
            if self._stated(now).state == "working" != self._stated(pasted).state:
                return False
            mark = _mark(text, put, input_line(self._runner, before.screen) or "")
            return bool(mark) and _squashed(line).count(mark) >= _squashed(put).count(mark)
        if pasted.shown == before.shown or now.unread:
            return False  # it shows nothing of its input, or has yet to read the Enter
        if now.line == pasted.line:
            # A program that draws its own cursor leaves the terminal's where it is.
            at_cursor = _squashed(pasted.line[0][: pasted.cursor[0]]).endswith(_squashed(text)[-4:])
            return at_cursor or now.screen == pasted.screen
        return False

    def _outcome(self, text: str, before: _Look, pasted: _Look, after: _Look) -> Sent:
        if after.unread:
            return Sent(False, "it has not read it yet; the text lies in its terminal's input until it does")
        if self._stands(text, before, pasted, after):
            return Sent(False, f"it did not take Enter, pressed {_ENTERS} times: the text stands in its input line")
        seen = self._known and input_line(self._runner, pasted.screen) is not None
        if seen or after.shown != pasted.shown:
            return Sent(True, None)
        if after.unread is None:
            return Sent(False, "nothing shows whether it took it: its screen has not changed")
        return Sent(True, "it has read it, and shows nothing of it on its screen")

    # --- looking ---

    def _look(self) -> _Look:
        mark = os.urandom(6).hex()
        fields = mark.join((*_FIELDS, ""))
        output = self._run(
            [("display-message", "-p", "-t", self._pane, fields), ("capture-pane", "-p", "-t", self._pane)], b""
        )
        x, y, history, in_mode, off, tty, command, title, screen = output.split(mark, len(_FIELDS))
        unread, by_line = _input_of(tty)
        return _Look(
            screen=screen.removeprefix("\n"),
            cursor=(int(x), int(y), int(history)),
            title=title,
            command=command,
            in_mode=in_mode not in ("", "0"),
            closed=off == "1",
            unread=unread,
            by_line=by_line,
        )


def _check_lines(text: str, look: _Look) -> None:
    longest = max(len(line.encode()) for line in text.split("\n"))
    if look.by_line and longest > _LONGEST_LINE:
        raise _Refusal(
            f"it reads line by line, and its terminal keeps no more than {_LONGEST_LINE} bytes of a line: "
            f"the longest one has {longest}"
        )


def _input_of(tty: str) -> tuple[int | None, bool]:
    """Return how many bytes wait in a terminal's input, and whether its driver collects lines."""
    try:
        descriptor = os.open(tty, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None, False
    try:
        waiting = fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4))
        local_modes = termios.tcgetattr(descriptor)[3]
        return int.from_bytes(waiting, sys.byteorder), bool(local_modes & termios.ICANON)
    except (OSError, termios.error):
        return None, False
    finally:
        os.close(descriptor)


def _mark(text: str, put: str, before: str) -> str:
    """Return what in the input line is of the text, "" when nothing of it can be recognised there."""
    put, before = _squashed(put), _squashed(before)
    for mark in (_SHORTENED, _squashed(text)[-_TAIL:]):
        if put.count(mark) > before.count(mark):
            return mark
    return ""


def _squashed(text: str) -> str:
    """Return the text without what a program breaks and frames it with."""
    return text.translate(_FRAME)
