"""Finding and reading tickets: wherever they are, however broken."""

import os
from types import SimpleNamespace

import pytest
from ticket_support import DOCMGR_INDEX, NOW, timezone, write

from metawsm_rpc.errors import AmbiguousError, InvalidParamsError, TicketNotFoundError
from metawsm_rpc.hosts.tickets import frontmatter
from metawsm_rpc.hosts.tickets.docmgr_config import TicketRoot
from metawsm_rpc.hosts.tickets.tickets import FileTickets


@pytest.fixture(autouse=True)
def _utc():
    with timezone("UTC"):
        yield


@pytest.fixture
def root(tmp_path):
    return tmp_path / "ttmp"


@pytest.fixture
def tickets(root):
    return FileTickets(TicketRoot(root), lambda: NOW)


# --- reading ---


def test_there_are_no_tickets_where_there_is_no_folder(tickets):
    assert tickets.all() == ()
    with pytest.raises(TicketNotFoundError, match="There is no ticket 'T' below"):
        tickets.find("T")


def test_tickets_are_found_by_their_frontmatter_wherever_they_lie(tickets, root):
    write(root, "somewhere/else", "---\nTicket: B\nDocType: index\n---\n")
    write(root, "2026/01/02/A--a", "---\nTicket: A\nDocType: index\nStatus: review\n---\n")
    write(root, "2026/01/02/A--a/design", "---\nTicket: A\nDocType: design\n---\n")
    for skipped in ("_templates", ".meta", "x/.meta/y", "_x/y", "node_modules/x", ".git", "x/build"):
        write(root, skipped, "---\nTicket: A\nDocType: index\n---\n")

    assert [(ticket.ticket, ticket.status) for ticket in tickets.all()] == [("A", "review"), ("B", "")]
    assert tickets.find("A").directory == str(root / "2026/01/02/A--a")


def test_the_line_is_that_of_the_ticket_key(tickets, root):
    write(root, "T", "---\n# note\nTitle: |\n  Ticket: no\n\nTicket: T\nDocType: index\n---\n")
    assert tickets.find("T").line == 6


@pytest.mark.parametrize(
    ("written", "column"), [("Ticket: T", 9), ("Ticket:   'T'", 12), ('"Ticket" : "T" # note', 13), ("Ticket:\n  T", 1)]
)
def test_the_column_is_that_of_the_value_without_its_quotes(tickets, root, written, column):
    write(root, "T", f"---\nDocType: index\n{written}\n---\n")
    assert (tickets.find("T").line, tickets.find("T").column) == (3, column)


def test_an_index_without_frontmatter_is_just_a_page(tickets, root):
    write(root, "docs", "# Hello\n")
    write(root, "T--t")
    assert len(tickets.all()) == 1
    assert tickets.find("T").title == "t"


@pytest.mark.parametrize(
    ("content", "place", "reason"),
    [
        ("---\nTicket: T\nTitle: [x\nDocType: index\n---\n", ", line 4", "did not find expected ',' or ']'"),
        ("---\nTicket: 'T'\nTopics: x\nDocType: index\n---\n", ", line 3", "Topics must be a list of texts"),
        ("---\n- Ticket: T\n---\n", ", line 2", "frontmatter is lines of 'Key: value'"),
        ("---\nTicket: T\n", ", line 1", "the frontmatter has no end, a second line '---'"),
        ("# no frontmatter\n", ", line 1", "the file does not begin with frontmatter, a line '---'"),
        (b"---\nTicket: T\nTitle: \xe9\nDocType: index\n---\n", ", line 3", "this is not UTF-8"),
    ],
)
def test_a_ticket_with_broken_frontmatter_is_not_found_and_the_hint_says_where(tickets, root, content, place, reason):
    path = write(root, "2026/01/02/T--t", content)

    with pytest.raises(TicketNotFoundError, match="Ticket T cannot be read") as caught:
        tickets.find("T")

    assert caught.value.hint == f"Mend {path}{place}: {reason}."
    assert tickets.all() == ()


def test_a_broken_file_is_named_by_its_ticket_line_too(tickets, root):
    path = write(root, "misc", '---\r\nTicket: "T"\r\nTitle: [\r\n---\r\n')
    with pytest.raises(TicketNotFoundError) as caught:
        tickets.find("T")
    assert str(path) in caught.value.hint


def test_another_tickets_broken_file_is_in_nobodys_way(tickets, root):
    write(root, "U--u", "---\nTicket: U\nTitle: [\n---\n")
    write(root, "T--t")
    assert tickets.find("T").ticket == "T"
    with pytest.raises(TicketNotFoundError, match="There is no ticket 'V'"):
        tickets.find("V")


def test_two_folders_for_one_ticket_are_ambiguous_and_both_are_named(tickets, root):
    one, two = write(root, "2026/01/01/T--a"), write(root, "2026/01/02/T--b")
    with pytest.raises(AmbiguousError) as caught:
        tickets.find("T")
    assert str(one) in caught.value.message
    assert str(two) in caught.value.message
    with pytest.raises(AmbiguousError):
        tickets.close("T", changelog="x")
    with pytest.raises(InvalidParamsError):
        tickets.create("T", title=None, topics=[])


def test_a_ticket_is_found_by_its_whole_name_only_and_a_near_one_is_suggested(tickets, root):
    write(root, "a", "---\nTicket: MEN-12\nDocType: index\n---\n")
    for wrong in ("MEN-1", "men-12", "MEN-12 x"):
        with pytest.raises(TicketNotFoundError) as caught:
            tickets.find(wrong)
        assert caught.value.hint == "Did you mean MEN-12?"


def test_a_file_that_lacks_only_its_kind_is_told_of(tickets, root):
    path = write(root, "a", "---\nTicket: MEN-12\nStatus: active\n---\n")
    write(root, "b", "---\nTicket: MEN-13\nDocType: reference\n---\n")
    with pytest.raises(TicketNotFoundError, match="There is no ticket 'MEN-12'") as caught:
        tickets.find("MEN-12")
    assert caught.value.hint == f"{path} names it, but has no 'DocType: index', without which it is no ticket's."
    with pytest.raises(TicketNotFoundError) as caught:
        tickets.find("MEN-13")
    assert "DocType" not in caught.value.hint


def test_a_name_in_decomposed_letters_is_the_same_name(tickets, root):
    write(root, "a", "---\nTicket: Gro\u0308sse\nDocType: index\n---\n")
    assert tickets.find("Gr\u00f6sse") == tickets.find("Gro\u0308sse")
    assert tickets.find("Gr\u00f6sse").ticket == "Gr\u00f6sse"


@pytest.mark.parametrize("spelling", ["T-1", "'T-1'", '"\\x54-1"', " T-1 ", "'T-1  '"])
def test_a_ticket_is_found_however_yaml_spells_its_name(tickets, root, spelling):
    write(root, "a", f"---\nTicket: {spelling}\nDocType: index\n---\n")
    assert tickets.find("T-1").ticket == "T-1"


def test_windows_line_ends_are_read(tickets, root):
    write(root, "a", "---\r\nTitle: t\r\nTicket: T\r\nDocType: index\r\n---\r\nbody\r\n")
    assert tickets.find("T")[:3] == ("T", "t", "")


def test_only_the_frontmatter_of_a_huge_file_is_read(tickets, root):
    path = write(root, "a")
    with path.open("ab") as file:
        file.truncate(10 * 2**30)  # a hole: reading it would take very long
    assert tickets.find("T").ticket == "T"


def test_links_in_circles_and_what_is_no_file_are_no_tickets(tickets, root):
    write(root, "T--t")
    (root / "T--t" / "loop").symlink_to(root)
    (root / "pipe").mkdir()
    os.mkfifo(root / "pipe" / "index.md")
    (root / "folder" / "index.md").mkdir(parents=True)
    (root / "gone").mkdir()
    (root / "gone" / "index.md").symlink_to("nowhere")

    assert [ticket.directory for ticket in tickets.all()] == [str(root / "T--t")]


def test_a_file_that_cannot_be_opened_is_not_found_and_the_hint_says_why(tickets, root):
    (root / "T--t").mkdir(parents=True)
    (root / "T--t" / "index.md").symlink_to("index.md")

    with pytest.raises(TicketNotFoundError) as caught:
        tickets.find("T")

    assert "Too many levels of symbolic links" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_a_folder_that_cannot_be_looked_into_is_named(tickets, root):
    (root / "2026").mkdir(parents=True, mode=0)
    with pytest.raises(TicketNotFoundError) as caught:
        tickets.find("T")
    assert caught.value.hint == f"{root}/2026 cannot be looked into: Permission denied."


def test_a_root_may_be_a_link(tickets, root, tmp_path):
    write(tmp_path / "real", "T--t")
    root.symlink_to("real")
    assert tickets.find("T").directory == str(root / "T--t")


def test_finding_one_of_many_tickets_decodes_no_other(tickets, root, monkeypatch):
    decoded = []

    def parse(head):
        decoded.append(head)
        return frontmatter.parse(head)

    for number in range(50):
        write(root, f"2026/01/02/MEN-{number}--x", DOCMGR_INDEX.replace("MEN-1", f"MEN-{number}"))
    monkeypatch.setattr(
        "metawsm_rpc.hosts.tickets.tickets.frontmatter", SimpleNamespace(**{**vars(frontmatter), "parse": parse})
    )

    assert tickets.find("MEN-49").ticket == "MEN-49"
    assert len(decoded) == 1
