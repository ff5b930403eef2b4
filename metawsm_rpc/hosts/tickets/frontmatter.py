"""The YAML between two `---` lines at the top of a Markdown file, read as docmgr reads it.

docmgr quotes values that people forget to quote, leaves numbers and dates as they were written, and ignores a
document whose fields have the wrong type. What v0.0.20 accepts was found by experiment; the tests contain the
table.
"""

import io
import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, BinaryIO, NamedTuple

from metawsm_rpc.errors import HostError

SIZE_LIMIT = 256 * 1024
"""The largest frontmatter in bytes; a larger block is a mistake, such as a missing `---`."""

_DEPTH_LIMIT = 100
"""libyaml's time grows with the square of the depth of brackets in brackets."""

_TEXTS = frozenset({"Title", "Ticket", "Status", "DocType", "Intent", "Summary", "WhatFor", "WhenToUse"})
_LISTS = frozenset({"Topics", "Owners", "ExternalSources"})
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TIMESTAMP = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:[Tt]\d{1,2}:\d{1,2}:\d{1,2}(?:\.\d+)?(?P<zone>Z|[+-]\d\d:\d\d)| \d{1,2}:\d{1,2}:\d{1,2}(?:\.\d+)?)?"
)
_PLAIN = re.compile(r"[^\W\d_](?:[^\n:#{}]|:(?=\S)|(?<=\S)#)*(?<![\s:])")
_WORDS_WITH_A_MEANING = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


class FrontmatterError(HostError):
    """The frontmatter does not decode; `line` counts from 1 in the file, `reason` is a clause."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"Line {line}: {reason}.")
        self.line = line
        self.reason = reason


class Field(NamedTuple):
    """A key and its value; `line` and `end_line` are its first and last line in the file, from 1.

    `value` is the text as it was written, even if it looks like a number, or the texts of a list. It is None
    for other types, which docmgr does not use.
    """

    value: str | tuple[str, ...] | None
    line: int
    end_line: int


Fields = Mapping[str, Field]


def read_block(file: BinaryIO) -> bytes:
    """Return the lines between the two `---` lines at the top of a file. Raises `FrontmatterError` without them."""
    if file.readline(SIZE_LIMIT).strip() != b"---":
        raise FrontmatterError(1, "the file does not begin with frontmatter, a line '---'")
    lines: list[bytes] = []
    size = 0
    while size < SIZE_LIMIT and (line := file.readline(SIZE_LIMIT)):
        if line.strip() == b"---":
            return b"".join(lines)
        lines.append(line)
        size += len(line)
    raise FrontmatterError(1, "the frontmatter has no end, a second line '---'")


def parse(block: bytes) -> Fields:
    """Return the fields of a block. Raises `FrontmatterError` when docmgr would ignore the document."""
    try:
        text = block.decode()
    except UnicodeDecodeError as error:
        raise FrontmatterError(2 + block.count(b"\n", 0, error.start), "this is not UTF-8") from error
    fields: dict[str, Field] = {}
    nodes = _top_level("\n".join(map(_quoted, text.split("\n"))))
    for key, value in zip(nodes, nodes, strict=True):
        if key.text is None:
            raise FrontmatterError(key.line, "a key must be plain text")
        if key.text in fields:
            raise FrontmatterError(key.line, f"{key.text} stands here a second time")
        fields[key.text] = Field(_decoded(key.text, value), key.line, value.end_line)
    if not fields:
        raise FrontmatterError(1, "the frontmatter is empty")
    return fields


def text_of(fields: Fields, key: str) -> str:
    """Return a field's text on one line; empty when there is none."""
    field = fields.get(key)
    return " ".join(field.value.split()) if field and isinstance(field.value, str) else ""


def with_values(content: bytes, values: Mapping[str, str]) -> bytes:
    """Return a file's content with some values replaced, and every other line unchanged.

    Args:
        content: the whole file.
        values: YAML text for each key; a missing key is added at the end of the block.

    Raises:
        FrontmatterError: as `read_block` and `parse` do.
    """
    block = read_block(io.BytesIO(content))
    fields = parse(block)
    lines = content.split(b"\n")
    end = 1 + block.count(b"\n")
    line_end = b"\r" if lines[0].endswith(b"\r") else b""
    first = lines[min(field.line for field in fields.values()) - 1]
    indent = first[: len(first) - len(first.lstrip())]
    places = {key: (fields[key].line - 1, fields[key].end_line) if key in fields else (end, end) for key in values}
    # From the bottom up, so that the lines above keep their numbers.
    for key in sorted(values, key=lambda key: places[key])[::-1]:
        begin, stop = places[key]
        lines[begin:stop] = [indent + f"{key}: {values[key]}".encode() + line_end]
    changed = b"\n".join(lines)
    seen = parse(read_block(io.BytesIO(changed)))
    if unseen := sorted(key for key in values if key not in seen):
        raise FrontmatterError(end + 1, f"{' and '.join(unseen)} cannot be added here")
    return changed


def scalar(text: str) -> str:
    """Return one line of text as YAML that reads back as exactly this text, also in docmgr."""
    if not text:
        return '""'
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS_WITH_A_MEANING:
        return text
    return _single_quoted(text)


def _single_quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _quoted(line: str) -> str:
    """Quote the value of a `Key: value` line where docmgr does, because people write `Title: Fix: it`."""
    key, colon, rest = line.partition(":")
    value = rest.strip()
    if not (colon and value) or value[0] in "\"'[{|>" or key.lstrip().startswith(("#", "- ")):
        return line
    if value[0] in "@`#&*!%?" or value.endswith(":") or any(part in value for part in (": ", " #", "\t", "{{", "}}")):
        return f"{key.rstrip()}: {_single_quoted(value)}"
    return line


class _Node(NamedTuple):
    """A key or a value of the outermost mapping: a scalar has `text`, a list has `items`."""

    line: int
    end_line: int
    text: str | None = None
    plain: bool = False
    items: tuple[str | None, ...] | None = None


def _top_level(text: str) -> Iterator[_Node]:
    """Yield the keys and values of the outermost mapping, alternately."""
    import yaml

    depth = 0
    node = _Node(1, 1)
    for event in _events(text):
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
            if depth == 1:
                yield node._replace(end_line=_line(event.end_mark))
        elif isinstance(event, yaml.NodeEvent):
            line = _line(event.start_mark)
            if depth == 0 and not isinstance(event, yaml.MappingStartEvent):
                raise FrontmatterError(line, "frontmatter is lines of 'Key: value'")
            if depth == 1 and isinstance(event, yaml.ScalarEvent):
                # A block scalar ends where the next node begins, which is a line too late.
                end_line = _line(event.end_mark) - (event.style in ("|", ">"))
                yield _Node(line, end_line, event.value, plain=not event.style)
            elif depth == 1:
                node = _Node(line, line, items=() if isinstance(event, yaml.SequenceStartEvent) else None)
                if isinstance(event, yaml.AliasEvent):
                    yield node
            elif depth == 2 and node.items is not None:
                item = event.value if isinstance(event, yaml.ScalarEvent) else None
                node = node._replace(items=(*node.items, item))
            depth += isinstance(event, yaml.CollectionStartEvent)
            if depth > _DEPTH_LIMIT:
                raise FrontmatterError(line, "this is nested too deeply")


def _events(text: str) -> Iterator[Any]:
    """Yield YAML's events up to the end of the first document. Raises `FrontmatterError`.

    Nothing builds a tree of them: a tree of very many brackets in brackets overflows the stack, and
    inside libyaml that ends the process.
    """
    import yaml

    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.DocumentEndEvent):
                return
            yield event
    except yaml.MarkedYAMLError as error:
        problem = str(error.problem or error.context)
        # An unclosed bracket is noticed at the end of the text, but has to be fixed where it was opened.
        mark = error.context_mark if "end of stream" in problem else error.problem_mark
        raise FrontmatterError(_line(mark) if mark else 1, problem) from error
    except yaml.reader.ReaderError as error:
        raise FrontmatterError(2 + text.count("\n", 0, error.position), "this character is not allowed") from error


def _line(mark: Any) -> int:
    """Return the line in the file: the block begins on line 2, and YAML counts from 0."""
    return int(mark.line) + 2


def _decoded(key: str, node: _Node) -> str | tuple[str, ...] | None:
    is_null = node.plain and node.text in _NULLS
    if key in _TEXTS:
        if node.text is None:
            raise FrontmatterError(node.line, f"{key} must be a text")
        return "" if is_null else node.text
    if key in _LISTS and not is_null:
        texts = tuple(item for item in node.items or () if item is not None)
        if node.items is None or len(texts) < len(node.items):
            raise FrontmatterError(node.line, f"{key} must be a list of texts")
        return texts
    if key == "LastUpdated" and not is_null and not _is_timestamp(node):
        raise FrontmatterError(node.line, "LastUpdated must be a time such as 2026-01-02T03:04:05Z")
    return node.text if node.items is None else None


def _is_timestamp(node: _Node) -> bool:
    found = _TIMESTAMP.fullmatch(node.text or "")
    if not found or not (node.plain or found["zone"]):
        return False
    try:
        date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return False
    return True
