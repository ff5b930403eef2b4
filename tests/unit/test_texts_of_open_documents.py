"""The texts of open documents: edited as the protocol counts, whatever stands in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as some
from lsprotocol import types

from metawsm_rpc.rpc.connection.texts import Texts, opened

URI = "file:///a%20b/caf%C3%A9.md"
ANY_TEXT = some.text("a\r\n\f\u2028é😀", max_size=12)


def edited(text: str, start: tuple[int, int], end: tuple[int, int], new: str) -> str:
    texts = Texts(None)
    texts.put_text_document(types.TextDocumentItem(URI, "markdown", 1, text))
    where = types.Range(types.Position(*start), types.Position(*end))
    change = types.TextDocumentContentChangePartial(range=where, text=new)
    texts.update_text_document(types.VersionedTextDocumentIdentifier(2, URI), change)
    document = opened(texts, URI)
    assert document is not None
    return document.source


@pytest.mark.parametrize(
    ("text", "start", "end", "new", "then"),
    [
        ("one\ntwo\n", (1, 0), (1, 3), "2", "one\n2\n"),
        ("a😀b", (0, 3), (0, 4), "c", "a😀c"),
        ("a\r\nb\r\n", (0, 99), (1, 0), "", "ab\r\n"),
        ("a\rb", (1, 0), (1, 1), "c", "a\rc"),
        ("page\fnext\u2028more\x85\nlast", (1, 0), (1, 4), "2", "page\fnext\u2028more\x85\n2"),
        ("no end", (0, 99), (0, 99), "!", "no end!"),
        ("end\n", (1, 0), (1, 0), "more", "end\nmore"),
        ("all\nof it", (0, 0), (99, 0), "", ""),
        ("", (0, 0), (0, 0), "new", "new"),
    ],
)
def test_an_edit_changes_what_the_client_means(
    text: str, start: tuple[int, int], end: tuple[int, int], new: str, then: str
) -> None:
    assert edited(text, start, end, new) == then


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_any_piece_can_be_replaced(before: str, piece: str, after: str, new: str) -> None:
    text = before + piece + after
    start, end = len(before), len(before) + len(piece)
    inside = [where for where in (start, end) if text[where - 1 : where + 1] == "\r\n"]
    if not inside:  # no position is between these two
        assert edited(text, position(text, start), position(text, end), new) == before + new + after


def position(text: str, offset: int) -> tuple[int, int]:
    """Count as a client does."""
    before = text[:offset].replace("\r\n", "\n").replace("\r", "\n")
    line = before.rpartition("\n")[2]
    return before.count("\n"), len(line.encode("utf-16-le")) // 2


def test_a_document_is_found_in_each_spelling_of_its_uri() -> None:
    texts = Texts(None)
    texts.put_text_document(types.TextDocumentItem(URI, "markdown", 1, "text"))
    assert all(opened(texts, uri) for uri in (URI, "file:///a b/café.md", URI.replace("%C3%A9", "%c3%a9")))
    assert opened(texts, "file:///other.md") is None
