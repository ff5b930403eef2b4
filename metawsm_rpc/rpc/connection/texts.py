"""The texts of open documents, edited as the protocol says.

pygls 2.1 ends lines where Python does, at a form feed and at U+2028 too, and takes a column past the
end of the last line for the last column but one.
"""

import re
from urllib.parse import unquote

from lsprotocol import types
from pygls.workspace import PositionCodec, TextDocument, Workspace

_LINE_END = re.compile(r"\r\n|\n|\r")


class Text(TextDocument):
    """The text of one open document."""

    def _apply_incremental_change(self, change: types.TextDocumentContentChangePartial) -> None:
        text = self.source
        start = offset_of(text, change.range.start, self.position_codec)
        end = offset_of(text, change.range.end, self.position_codec)
        self._source = text[:start] + change.text + text[max(start, end) :]


class Texts(Workspace):
    """What is open in the editor."""

    def _create_text_document(
        self, doc_uri: str, source: str | None = None, version: int | None = None, language_id: str | None = None
    ) -> Text:
        return Text(doc_uri, source, version, language_id, position_codec=self.position_codec)

    def update_text_document(
        self, text_doc: types.VersionedTextDocumentIdentifier, change: types.TextDocumentContentChangeEvent
    ) -> None:
        """Edit a document; one that is not open has no text to edit."""
        if opened(self, text_doc.uri) is not None:
            super().update_text_document(text_doc, change)


def opened(workspace: Workspace, uri: str) -> TextDocument | None:
    """Return an open document by its URI, in whichever of its spellings; None for one that is not open."""
    found: TextDocument | None = workspace.text_documents.get(unquote(uri))
    return found


def lines_of(text: str) -> list[str]:
    """Return the lines of a text, as the protocol counts them, without their ends."""
    return _LINE_END.split(text)


def offset_of(text: str, position: types.Position, codec: PositionCodec) -> int:
    """Return the offset in code points of a client's position; past the end of a line it is that end."""
    start = 0
    for _ in range(position.line):
        line_end = _LINE_END.search(text, start)
        if line_end is None:
            return len(text)
        start = line_end.end()
    line_end = _LINE_END.search(text, start)
    end = line_end.start() if line_end else len(text)
    units = 0
    while start < end and units < position.character:
        units += codec.client_num_units(text[start])
        start += 1
    return start
