import json
import os
import shutil
import stat
import subprocess
import threading
from pathlib import Path

import pytest
from ticket_support import DOCMGR_INDEX, NOW, timezone, write

from metawsm_rpc.errors import HostError, InvalidParamsError, TicketNotFoundError
from metawsm_rpc.hosts.tickets.docmgr_config import TicketRoot, ticket_root
from metawsm_rpc.hosts.tickets.tickets import FileTickets

DAY = "2026/01/02"

DOCMGR_CHANGELOG = "# Changelog\n\n## 2026-01-02\n\n- Initial workspace created\n\n"
DOCMGR_CLOSED_CHANGELOG = DOCMGR_CHANGELOG + "\n## 2026-01-02\n\ndid it\n\n"

UNUSABLE = [
    "",
    "two words",
    "it's",
    'a"b',
    "$(touch x)",
    "#(touch x)",
    "a;b",
    "%1",
    "a\nb",
    "-x",
    "..",
    "a..b",
    "a/b",
    ".x",
]
USABLE = ["MEN-1", "42", "1.5", "2026-01-02", "a:b", "a.b_c", "Größe-1", "日本語", "yes", "null", "0x10"]


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


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# --- creating ---


def test_a_new_ticket_has_docmgrs_layout_and_text(tickets, root):
    ticket = tickets.create("MEN-1", title='MEN-1: Fix Café: API # "x"', topics=["a", "b"])

    folder = root / DAY / "MEN-1--fix-caf-api-x"
    assert ticket == ("MEN-1", 'MEN-1: Fix Café: API # "x"', "active", f"{folder}/index.md", str(folder), 3, 9)
    assert files_below(folder) == {
        *("index.md", "README.md", "tasks.md", "changelog.md"),
        *("design", "reference", "playbooks", "scripts", "sources", ".meta", "various", "archive"),
    }
    assert (folder / "index.md").read_text().startswith(DOCMGR_INDEX + "\n# MEN-1: Fix")
    assert (folder / "tasks.md").read_text() == "# Tasks\n\n## TODO\n\n"
    assert (folder / "changelog.md").read_text() == DOCMGR_CHANGELOG
    assert names_in(root / DAY) == [folder.name]


def test_a_title_is_the_ticket_when_there_is_none(tickets, root):
    assert tickets.create("MEN-1", title=None, topics=[]).title == "MEN-1"
    assert names_in(root / DAY) == ["MEN-1--men-1"]


def test_a_title_stays_on_one_line(tickets):
    title = "a\n---\nTicket: U\x1b[31m\u2028 #(x) {{y}} 'z': 😀"
    assert tickets.create("MEN-1", title=title, topics=[]).title == "a --- Ticket: U [31m #(x) {{y}} 'z': 😀"


def test_the_date_is_the_local_one(tickets, root):
    with timezone("EST5"):
        tickets.create("MEN-1", title=None, topics=[])
    assert "\nLastUpdated: 2026-01-01T22:04:05.6789-05:00\n" in (root / "2026/01/01/MEN-1--men-1/index.md").read_text()


def test_owners_and_intent_come_from_docmgrs_configuration(root):
    tickets = FileTickets(TicketRoot(root, owners=("ann", "b: c"), intent="short-term"), lambda: NOW)
    text = Path(tickets.create("MEN-1", title=None, topics=[]).path).read_text()
    assert "\nIntent: short-term\nOwners:\n    - ann\n    - 'b: c'\n" in text


@pytest.mark.parametrize("name", USABLE)
def test_a_ticket_with_a_usable_name_is_made_and_found(tickets, name):
    assert tickets.create(name, title=None, topics=[]).ticket == name
    assert tickets.find(name) == tickets.all()[0]


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_ticket_with_an_unusable_name_is_refused_in_one_sentence(tickets, root, name):
    with pytest.raises(InvalidParamsError, match="cannot be the name of a ticket"):
        tickets.create(name, title=None, topics=[])
    assert not root.exists()


@pytest.mark.parametrize(
    "content",
    ["---\nTicket: T\nDocType: index\n---\n", "---\nTicket: T\nTitle: [\n---\n"],
    ids=["whole", "broken"],
)
def test_a_ticket_that_exists_is_not_made_again(tickets, root, content):
    write(root, "2020/01/01/T--old", content)
    with pytest.raises(InvalidParamsError, match="Ticket T exists"):
        tickets.create("T", title="new", topics=[])
    assert not (root / DAY).exists()


def test_a_folder_of_the_name_that_is_no_ticket_stays_as_it_is(tickets, root):
    (root / DAY / "T--t").mkdir(parents=True)
    (root / DAY / "T--t" / "notes.txt").write_text("mine")
    with pytest.raises(InvalidParamsError, match="is no ticket"):
        tickets.create("T", title=None, topics=[])
    assert files_below(root / DAY) == {"T--t", "T--t/notes.txt"}


def test_of_many_who_make_the_same_ticket_at_once_one_succeeds(root):
    results = []

    def create(number):
        try:
            tickets = FileTickets(TicketRoot(root), lambda: NOW)
            results.append(tickets.create("T", title=f"title {number}", topics=[]).title)
        except InvalidParamsError as error:
            results.append(type(error))

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results.count(InvalidParamsError) == 7
    assert len(names_in(root / DAY)) == 1


def test_a_ticket_that_cannot_be_written_leaves_nothing_behind(tickets, root, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(HostError, match=r"cannot be made: No space left on device\.$"):
        tickets.create("T", title=None, topics=[])
    assert not root.exists()


def test_what_a_killed_creation_left_is_in_nobodys_way(tickets, root):
    write(root, f"{DAY}/_draft")
    assert tickets.all() == ()
    tickets.create("T", title=None, topics=[])
    assert names_in(root / DAY) == ["T--t"]


def test_a_root_that_is_a_file_is_an_error(tickets, root):
    root.write_text("")
    with pytest.raises(HostError, match="cannot be"):
        tickets.create("T", title=None, topics=[])
    with pytest.raises(HostError, match="cannot be read: Not a directory"):
        tickets.all()


# --- closing ---


def test_closing_sets_the_status_and_appends_to_the_changelog(tickets, root):
    tickets.create("MEN-1", title="t", topics=[])
    folder = root / DAY / "MEN-1--t"
    before = (folder / "index.md").read_text()

    later = FileTickets(TicketRoot(root), lambda: NOW + 60)
    closed = later.close("MEN-1", changelog="did it")

    assert closed.status == "complete"
    assert (folder / "index.md").read_text() == before.replace("Status: active", "Status: complete").replace(
        "03:04:05.6789Z", "03:05:05.6789Z"
    )
    assert (folder / "changelog.md").read_text() == DOCMGR_CLOSED_CHANGELOG


@pytest.mark.parametrize("status", ["complete", "archived"])
def test_closing_what_is_closed_changes_nothing(tickets, root, status):
    path = write(root, "T", f"---\nTicket: T\nDocType: index\nStatus: {status}\n---\n")
    before = path.read_bytes()
    assert tickets.close("T", changelog="again").status == status
    assert path.read_bytes() == before
    assert files_below(root) == {"T", "T/index.md"}


def test_closing_after_a_cut_off_close_adds_no_second_entry(tickets, root, monkeypatch):
    tickets.create("T", title="t", topics=[])

    def killed(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FileTickets, "_complete", killed)
        with pytest.raises(KeyboardInterrupt):
            tickets.close("T", changelog="did it")
    assert tickets.find("T").status == "active"

    assert tickets.close("T", changelog="did it").status == "complete"
    assert (root / DAY / "T--t" / "changelog.md").read_text() == DOCMGR_CLOSED_CHANGELOG


def test_closing_keeps_every_other_byte_and_the_modes(tickets, root):
    content = b"---\r\n# note\r\nTicket:   T\r\nDocType: index\r\nMine: {a: 1}\r\n---\r\n\r\nbody \xff\r\n"
    path = write(root, "T", content)
    path.chmod(0o640)
    tickets.close("T", changelog="x")
    added = b"Status: complete\r\nLastUpdated: 2026-01-02T03:04:05.6789Z\r\n---\r\n\r\nbody"
    assert path.read_bytes() == content.replace(b"---\r\n\r\nbody", added)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert (root / "T" / "changelog.md").read_text() == "# Changelog\n\n\n## 2026-01-02\n\nx\n\n"


def test_closing_an_unknown_ticket_makes_nothing(tickets, root):
    with pytest.raises(TicketNotFoundError):
        tickets.close("T", changelog="x")
    assert not root.exists()


def test_closing_does_not_write_through_a_link(tickets, root, tmp_path):
    write(root, "T")
    outside = tmp_path / "outside"
    outside.write_text("theirs\n")
    (root / "T" / "changelog.md").symlink_to(outside)
    tickets.close("T", changelog="x")
    assert outside.read_text() == "theirs\n"


def test_closing_does_not_read_what_is_no_file(tickets, root):
    write(root, "T")
    (root / "T" / "changelog.md").symlink_to("/dev/zero")
    with pytest.raises(HostError, match=r"changelog\.md is not a file"):
        tickets.close("T", changelog="x")
    assert tickets.find("T").status == ""


# --- where tickets are ---


def test_tickets_are_where_the_policy_says(tmp_path):
    assert ticket_root(tmp_path, "ttmp", {}) == TicketRoot(tmp_path / "ttmp", within=tmp_path)
    assert ticket_root(tmp_path, "docs/../docs/t", {}).directory == tmp_path / "docs/t"


def test_tickets_that_would_be_outside_of_the_root_are_neither_read_nor_written(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    write(outside, "T")
    before = sorted(outside.rglob("*"))
    root.mkdir()

    def refused(configured="ttmp"):
        tickets = FileTickets(ticket_root(root, configured, {}), lambda: NOW)
        for act in (
            tickets.all,
            lambda: tickets.find("T"),
            lambda: tickets.close("T", changelog="x"),
            lambda: new(tickets),
        ):
            with pytest.raises(HostError, match=f"leads out of {root}") as caught:
                act()
            assert "DOCMGR_CONFIG" in (caught.value.hint or "")
        assert sorted(outside.rglob("*")) == before

    def new(tickets):
        return tickets.create("NEW", title=None, topics=())

    (root / "ttmp").symlink_to(outside)
    refused()
    refused("../outside")
    refused("/elsewhere")
    for named in ("../outside", str(outside), "ttmp"):
        (root / ".ttmp.yaml").write_text(f"root: {named}\n")
        refused()
    (root / ".ttmp.yaml").rename(tmp_path / ".ttmp.yaml")
    (tmp_path / ".ttmp.yaml").write_text("root: outside\n")
    assert FileTickets(ticket_root(root, "ttmp", {}), lambda: NOW).find("T").directory == str(outside / "T")


def test_a_folder_among_the_tickets_that_leads_out_of_the_root_is_not_written(root, tmp_path):
    root.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    inside = FileTickets(TicketRoot(root, within=root), lambda: NOW)
    made = Path(inside.create("ONE", title=None, topics=()).directory)
    year = root / made.relative_to(root).parts[0]
    year.rename(tmp_path / "elsewhere" / "year")
    year.symlink_to(tmp_path / "elsewhere" / "year")
    before = sorted((tmp_path / "elsewhere").rglob("*"))
    with pytest.raises(HostError, match="leads out of"):
        inside.create("TWO", title=None, topics=())
    assert sorted((tmp_path / "elsewhere").rglob("*")) == before


def test_docmgrs_configuration_is_found_upwards(tmp_path):
    (tmp_path / ".ttmp.yaml").write_text("root: notes\ndefaults:\n    owners: [ann, 7]\n    intent: short\n")
    expected = TicketRoot(tmp_path / "notes", ("ann", "7"), "short")
    assert ticket_root(tmp_path / "a" / "b", "ttmp", {}) == expected
    # Another directory than the default is somebody's wish, as docmgr's --root is.
    mine = expected._replace(directory=tmp_path / "mine", within=tmp_path)
    assert ticket_root(tmp_path, "mine", {}) == mine


def test_docmgrs_configuration_may_be_named_by_the_environment(tmp_path):
    (tmp_path / ".ttmp.yaml").write_text("root: near\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "conf.yaml").write_text("root: far\n")
    for named in ("other/conf.yaml", str(tmp_path / "other/conf.yaml")):
        assert ticket_root(tmp_path, "ttmp", {"DOCMGR_CONFIG": named}).directory == tmp_path / "other/far"
    assert ticket_root(tmp_path, "ttmp", {"DOCMGR_CONFIG": "nowhere"}).directory == tmp_path / "near"


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "defaults:\n", 'root: ""\n', "defaults: {owners: ann, intent: }\n"]
)
def test_docmgrs_configuration_need_not_say_anything(tmp_path, text):
    (tmp_path / ".ttmp.yaml").write_text(text)
    assert ticket_root(tmp_path, "ttmp", {}) == TicketRoot(tmp_path / "ttmp", within=tmp_path)


@pytest.mark.parametrize("text", ["root: [", "- a\n", "root: \x07"])
def test_docmgrs_configuration_that_is_broken_is_an_error_that_names_it(tmp_path, text):
    (tmp_path / ".ttmp.yaml").write_text(text)
    with pytest.raises(HostError, match=r"\.ttmp\.yaml (is not YAML|must hold)"):
        ticket_root(tmp_path, "ttmp", {})


# --- with docmgr itself ---


@pytest.fixture
def docmgr(tmp_path, root):
    program = shutil.which("docmgr")
    if not program:
        pytest.skip("docmgr is not installed")

    def run(*args: str) -> list[dict]:
        done = subprocess.run(
            [program, "ticket", *args, "--root", str(root), "--with-glaze-output", "--output", "json"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout or "[]")

    return run


@pytest.mark.parametrize("name", USABLE)
def test_docmgr_sees_and_closes_what_we_make(tickets, docmgr, name):
    title = f'{name}: it\'s #1 {{{{x}}}} - "y"'
    made = tickets.create(name, title=title, topics=["a b", "c: d", "yes"])
    (row,) = docmgr("list", "--ticket", name)
    assert (row["ticket"], row["title"], row["status"], row["topics"]) == (name, title, "active", "a b, c: d, yes")
    assert made.directory.endswith(row["path"])

    docmgr("close", "--ticket", name)
    assert tickets.find(name).status == "complete"


def test_docmgr_sees_what_we_close(tickets, docmgr):
    tickets.create("T", title=None, topics=[])
    tickets.close("T", changelog="did it")
    (row,) = docmgr("list", "--status", "complete")
    assert (row["ticket"], row["last_updated"]) == ("T", "2026-01-02 03:04")


def test_we_see_and_close_what_docmgr_makes(tickets, docmgr):
    docmgr("create-ticket", "--ticket", "T", "--title", "T: Fix: it", "--topics", "a,b")
    assert tickets.find("T")[:3] == ("T", "T: Fix: it", "active")
    tickets.close("T", changelog="did it")
    (row,) = docmgr("list")
    assert (row["status"], row["topics"]) == ("complete", "a, b")
