import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metawsm_rpc.hosts.tickets import ticket_layout
from metawsm_rpc.hosts.tickets.frontmatter import (
    SIZE_LIMIT,
    FrontmatterError,
    parse,
    read_block,
    scalar,
    text_of,
    with_values,
)

REST = "Ticket: T\nDocType: index\n"

# What docmgr v0.0.20 said of a ticket whose frontmatter is this: (ticket, title, status), or None for
# one that it does not see. It was asked with `ticket list --with-glaze-output --output json`.
SEEN = {
    "Title: t\n" + REST: ("T", "t", ""),
    "Title: A: b\n" + REST: ("T", "A: b", ""),
    "Title: a #b\n" + REST: ("T", "a #b", ""),
    "Title: @x\n" + REST: ("T", "@x", ""),
    "Title: a {{x}}\n" + REST: ("T", "a {{x}}", ""),
    "Title: %x\n" + REST: ("T", "%x", ""),
    "Title: &a t\n" + REST: ("T", "&a t", ""),
    "Title: ? what\n" + REST: ("T", "? what", ""),
    "Title: t:\n" + REST: ("T", "t:", ""),
    "Title: !!str t\n" + REST: ("T", "!!str t", ""),
    'Title: it\'s: "x"\n' + REST: ("T", 'it\'s: "x"', ""),
    "Title: http://x\n" + REST: ("T", "http://x", ""),
    "Title: a\tb\n" + REST: ("T", "a b", ""),
    "Title: |\n  a\n  b\n" + REST: ("T", "a b", ""),
    "Title: a\n  b\n" + REST: ("T", "a b", ""),
    "Title: 😀 é\n" + REST: ("T", "😀 é", ""),
    REST: ("T", "", ""),
    "# a comment\n" + REST: ("T", "", ""),
    "Ticket: 123\nDocType: index\n": ("123", "", ""),
    "Ticket: 0123\nDocType: index\n": ("0123", "", ""),
    "Ticket: 0x1F\nDocType: index\n": ("0x1F", "", ""),
    "Ticket: 1_000\nDocType: index\n": ("1_000", "", ""),
    "Ticket: 1.50\nDocType: index\n": ("1.50", "", ""),
    "Ticket: 2026-01-02\nDocType: index\n": ("2026-01-02", "", ""),
    "Ticket: true\nDocType: index\n": ("true", "", ""),
    "Ticket: yes\nDocType: index\n": ("yes", "", ""),
    "Ticket: null\nDocType: index\n": ("", "", ""),
    "Ticket: ~\nDocType: index\n": ("", "", ""),
    "Ticket:\nDocType: index\n": ("", "", ""),
    "Ticket: \"T\"\nDocType: 'index'\n": ("T", "", ""),
    "Ticket: 'T '\nDocType: ' index'\n": ("T", "", ""),
    "  Ticket: T\n  DocType: index\n": ("T", "", ""),
    "Ticket: T\r\nDocType: index\r\n": ("T", "", ""),
    REST + "Status: 'x: y'\n": ("T", "", "x: y"),
    REST + "Topics:\n": ("T", "", ""),
    REST + "Topics: [1, true, 2026-01-01]\n": ("T", "", ""),
    REST + "RelatedFiles: x\n": ("T", "", ""),
    REST + "RelatedFiles: [x, {Path: y}]\n": ("T", "", ""),
    REST + "RelatedFiles: [[x]]\n": ("T", "", ""),
    REST + "ExternalSources: [http://x]\n": ("T", "", ""),
    REST + "LastUpdated: 2026-01-02\n": ("T", "", ""),
    REST + "LastUpdated: 2026-1-2\n": ("T", "", ""),
    REST + "LastUpdated: 2026-01-02 03:04:05\n": ("T", "", ""),
    REST + 'LastUpdated: "2026-01-02T03:04:05Z"\n': ("T", "", ""),
    REST + "LastUpdated:\n": ("T", "", ""),
    REST + "Foo: [x]\n": ("T", "", ""),
    REST + "1: x\n": ("T", "", ""),
    "Summary: >\n  note: this\n" + REST: ("T", "", ""),
    "ticket: T\ndocType: index\n": None,
    "Ticket: T\nDocType: design\n": None,
    "Title: {{x}}\n" + REST: None,
    "Title: {a: b}\n" + REST: None,
    "Title: - x\n" + REST: None,
    "Title: [x] y\n" + REST: None,
    'Title: "x\n' + REST: None,
    "Title: a\x85b\n" + REST: None,
    "Title: a\x7fb\n" + REST: None,
    "Title: a\x07b\n" + REST: None,
    "Title: a\0b\n" + REST: None,
    "Ticket: [T]\nDocType: index\n": None,
    "{Ticket: T, DocType: index}\n": None,
    "Ticket: T\nTicket: U\nDocType: index\n": None,
    REST + "X: 1\nX: 2\n": None,
    REST + "Status: [a]\n": None,
    REST + "Topics: a\n": None,
    REST + "Topics: [{a: b}]\n": None,
    REST + "Owners: {a: b}\n": None,
    REST + "LastUpdated: 2026-01-02 03:04:05 +01:00\n": None,
    REST + "LastUpdated: 2026-01-02T03:04:05\n": None,
    REST + 'LastUpdated: "2026-01-02"\n': None,
    REST + 'LastUpdated: ""\n': None,
    REST + "LastUpdated: soon\n": None,
    REST + "LastUpdated: 5\n": None,
    REST + "LastUpdated: 2026-02-31\n": None,
    REST + "\tX: y\n": None,
    "- a\n- b\n": None,
    "hello\n": None,
    "": None,
    "# only a comment\n": None,
}


def seen(block: bytes) -> tuple[str, str, str] | None:
    try:
        fields = parse(block)
    except FrontmatterError:
        return None
    if text_of(fields, "DocType") != "index":
        return None
    return text_of(fields, "Ticket"), text_of(fields, "Title"), text_of(fields, "Status")


@pytest.fixture(params=["libyaml", "pure"])
def _yaml(request, monkeypatch):
    if request.param == "pure":
        monkeypatch.delattr("yaml.CSafeLoader", raising=False)


@pytest.mark.usefixtures("_yaml")
@pytest.mark.parametrize("block", SEEN, ids=repr)
def test_frontmatter_is_seen_as_docmgr_sees_it(block):
    assert seen(block.encode()) == SEEN[block]


@pytest.mark.parametrize(
    ("content", "block"),
    [
        (b"---\nTicket: T\n---\n\n# body\n", b"Ticket: T\n"),
        (b"--- \nTicket: T\n --- \nbody", b"Ticket: T\n"),
        (b"---\r\nTicket: T\r\n---\r\n", b"Ticket: T\r\n"),
        (b"---\nTicket: T\n---", b"Ticket: T\n"),
        (b"---\n---\n", b""),
    ],
)
def test_the_block_ends_at_the_second_line_of_dashes(content, block):
    assert read_block(io.BytesIO(content)) == block


@pytest.mark.parametrize(
    "content",
    [b"", b"# a page\n", b"\n---\nTicket: T\n---\n", b"----\nTicket: T\n----\n", b"\xef\xbb\xbf---\nTicket: T\n---\n"],
)
def test_a_file_that_does_not_begin_with_dashes_has_no_frontmatter(content):
    with pytest.raises(FrontmatterError, match="does not begin with frontmatter"):
        read_block(io.BytesIO(content))


@pytest.mark.parametrize("line", [b"Ticket: T\n", b"x" * 100])
def test_a_block_without_end_is_read_no_further_than_the_limit(line):
    file = io.BytesIO(b"---\n" + line * (10_000_000 // len(line)))

    with pytest.raises(FrontmatterError, match="has no end"):
        read_block(file)

    assert file.tell() < 2 * SIZE_LIMIT


@pytest.mark.usefixtures("_yaml")
@pytest.mark.parametrize(
    ("block", "line"),
    [
        ("Ticket: T\nTitle: [x\nDocType: index\n", 4),
        ('Ticket: T\nTitle: "x\nDocType: index\n', 3),
        ("Ticket: T\n\nTopics: a\n", 4),
        ("Ticket: T\nTicket: U\n", 3),
        ("Ticket: T\nTitle: a\x07b\n", 3),
        ("Ticket: T\n[a]: b\n", 3),
        ("- T\n", 2),
    ],
)
def test_an_error_names_the_line_of_the_file(block, line):
    with pytest.raises(FrontmatterError) as caught:
        parse(block.encode())
    assert caught.value.line == line


def test_text_that_is_not_utf8_is_an_error_with_its_line():
    with pytest.raises(FrontmatterError, match="Line 3: this is not UTF-8"):
        parse(b"Ticket: T\nTitle: caf\xe9\n")


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_brackets_in_brackets_without_end_are_refused(opening):
    with pytest.raises(FrontmatterError):
        parse(f"Ticket: T\nX:\n  {opening * 50_000}".encode())


def test_a_field_knows_its_lines():
    fields = parse(b"# note\nTitle: t\nSummary: |\n  a\n  b\nTicket: T\nStatus:\n")
    assert {key: field[1:] for key, field in fields.items()} == {
        "Title": (3, 3),
        "Summary": (4, 6),
        "Ticket": (7, 7),
        "Status": (8, 8),
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "Ticket: T\nStatus: active\nLastUpdated: 2026-01-01\n",
            "Ticket: T\nStatus: complete\nLastUpdated: 2027-01-01\n",
        ),
        ("LastUpdated:\nStatus: 'a'\nTicket: T\n", "LastUpdated: 2027-01-01\nStatus: complete\nTicket: T\n"),
        ("Ticket: T\n", "Ticket: T\nStatus: complete\nLastUpdated: 2027-01-01\n"),
        (
            "Status: >\n  act\n  ive\n# note\nTicket: T\n",
            "Status: complete\n# note\nTicket: T\nLastUpdated: 2027-01-01\n",
        ),
        ("Status: act\n  ive\nTicket: T\n", "Status: complete\nTicket: T\nLastUpdated: 2027-01-01\n"),
        ("  Ticket: T\n  Status: a\n", "  Ticket: T\n  Status: complete\n  LastUpdated: 2027-01-01\n"),
        ("Mine:   [kept, 'as it is']   # so\nTicket: T\nStatus:\n", None),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_changing_values_leaves_every_other_line_as_it_was(before, after, line_end):
    values = {"Status": "complete", "LastUpdated": "2027-01-01"}
    after = after or before.replace("Status:", "Status: complete") + "LastUpdated: 2027-01-01\n"
    frame = "---\n{}--- \n\n# Body\n\nStatus: active\n---\n"

    changed = with_values(frame.format(before).replace("\n", line_end).encode(), values)

    assert changed.decode() == frame.format(after).replace("\n", line_end)


def test_a_key_that_would_not_be_seen_is_not_added():
    with pytest.raises(FrontmatterError, match="Status cannot be added here"):
        with_values(b"---\nTicket: T\n...\n---\n", {"Status": "complete"})


@given(st.text(max_size=30).map(ticket_layout.one_line))
def test_a_scalar_means_the_text_that_it_was_made_from(text):
    assert text_of(parse(f"Title: {scalar(text)}\n".encode()), "Title") == text


@given(st.lists(st.text(max_size=20), max_size=4))
def test_a_list_means_the_texts_that_it_was_made_from(texts):
    files = ticket_layout.files("T", "t", topics=texts, owners=(), intent="", date="2026-01-02", timestamp="2026-01-02")

    fields = parse(read_block(io.BytesIO(files["index.md"].encode())))

    assert fields["Topics"].value == tuple(line for line in map(ticket_layout.one_line, texts) if line)


# docmgr's own answers.
@pytest.mark.parametrize(
    ("ticket", "title", "slug"),
    [
        ("MEN-1", "MEN-1: Fix Café API!!", "fix-caf-api"),
        ("MEN-1", "MEN-12 thing", "2-thing"),
        ("MEN-1", "MEN-1", "men-1"),
        ("MEN-1", "", "men-1"),
        ("MEN-1", "日本語", "document"),
        ("T", "  A  b__c ", "a-b-c"),
        ("MEN-1", "men-1 – Fix", "fix"),
        ("MEN-1", "İstanbul", "istanbul"),
    ],
)
def test_a_folder_is_named_as_docmgr_names_it(ticket, title, slug):
    assert ticket_layout.folder_name(ticket, title) == f"{ticket}--{slug}"


def test_a_folder_name_fits_into_a_file_system():
    name = ticket_layout.folder_name("é" * 100, "long " * 100)
    assert len(name.encode()) <= 255
    assert not name.endswith("-")
