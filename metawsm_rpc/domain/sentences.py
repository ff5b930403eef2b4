"""Quotes external text within a message."""


def one_line(text: str, longest: int = 300) -> str:
    """Return text as one line without escapes and control characters, cut when it is long."""
    if not text.isprintable():
        from metawsm_rpc.domain.plain_text import plain_text

        text = " ".join(plain_text(text).split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def ended(sentence: str) -> str:
    """Return a sentence with an end: a period, unless it has one of its own."""
    return sentence if sentence.endswith((".", "?", "!", "…")) else f"{sentence}."
