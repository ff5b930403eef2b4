"""Cleans text that is to be typed into a terminal, so that it contains no key presses.

In a terminal's input a control character is a key press, and an escape sequence may end a bracketed paste
before its text does: the rest would be typed, not pasted. So none of them gets through.
"""

from metawsm_rpc.domain.plain_text import plain_text
from metawsm_rpc.errors import InvalidParamsError

LONGEST_BYTES = 1_000_000


def typed_text(text: str) -> str:
    """Return the text without escape sequences and control characters other than newline and tab.

    Every kind of line end becomes a newline, and trailing newlines are removed. Raises `InvalidParamsError`
    when nothing is left, or when the text is too long or not valid Unicode.
    """
    typed = plain_text(text.replace("\r\n", "\n").replace("\r", "\n")).rstrip("\n")
    if not typed.strip():
        raise InvalidParamsError("Say what to send: the text is empty.")
    try:
        size = len(typed.encode())
    except UnicodeEncodeError as error:
        raise InvalidParamsError("The text is no valid Unicode: give it in UTF-8.") from error
    if size > LONGEST_BYTES:
        raise InvalidParamsError(
            f"The text has {size} bytes, and no more than {LONGEST_BYTES} are sent; "
            "put it into a file and tell the agent where that is."
        )
    return typed
