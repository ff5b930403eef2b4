"""Tickets from the command line: made, listed with their runs, and closed."""

from pathlib import Path

import pytest
from cli_support import Cli, assert_refused
from conftest import DONE, Root


@pytest.fixture
def cli(root: Root, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    return Cli(root, capfd, monkeypatch)


def test_a_ticket_is_made_where_docmgr_would_find_it_and_its_path_is_printed(cli: Cli) -> None:
    made = cli("ticket", "create", "FIX-1", "--title", "Mend the roof", "--topics", "roof, rain")
    index = Path(made.out.strip())
    assert index.is_file()
    assert index.is_relative_to(cli.root.path / "ttmp")
    assert index.parent.name == "FIX-1--mend-the-roof"
    head = index.read_text()
    for line in ("Title: Mend the roof", "Ticket: FIX-1", "Status: active", "    - roof", "    - rain"):
        assert line in head
    assert made.err == ""


def test_tickets_are_listed_with_status_and_runs_newest_first(cli: Cli) -> None:
    cli.root.repository("app")
    cli.root.agents(worker=DONE)
    for ticket in ("FIX-1", "FIX-2"):
        cli("create-ticket", "--ticket", ticket)
    for run in ("r1", "r2"):
        cli("run", "--ticket", "FIX-1", "--run-id", run, "--dry-run")
    rows = {row["ticket"]: row for row in cli.ask("ticket", "list")["tickets"]}
    assert rows == {row["ticket"]: row for row in cli.ask("tickets")["tickets"]}
    assert (rows["FIX-1"]["runs"], rows["FIX-2"]["runs"]) == (["r2", "r1"], [])
    shown = cli("tickets").out.splitlines()
    assert shown[0].split() == ["TICKET", "STATUS", "TITLE", "RUNS", "FILE"]
    assert shown[1].startswith("FIX-1   active  FIX-1  r2, r1  /")

    cli("ticket", "close", "FIX-2")
    assert [row["ticket"] for row in cli.ask("tickets", "--status", "complete")["tickets"]] == ["FIX-2"]
    assert [row["ticket"] for row in cli.ask("tickets", "--status", "active")["tickets"]] == ["FIX-1"]


def test_a_ticket_that_cannot_be_read_is_told_beside_those_that_can(cli: Cli) -> None:
    paths = [Path(cli("ticket", "create", ticket).out.strip()) for ticket in ("FIX-1", "FIX-2", "FIX-3")]
    paths[1].write_text(paths[1].read_text().replace("Ticket: FIX-2", "Ticket: FIX-2\nTicket: FIX-2"))
    listed = cli("tickets")
    assert [row.split()[0] for row in listed.out.splitlines()] == ["TICKET", "FIX-1", "FIX-3"]
    assert f"{paths[1]}:4: This ticket cannot be read: Ticket stands here a second time." in listed.err
    answer = cli.ask("tickets")
    assert [one["ticket"] for one in answer["tickets"]] == ["FIX-1", "FIX-3"]
    (problem,) = answer["problems"]
    assert (problem["code"], problem["path"], problem["line"]) == ("ticket-unreadable", str(paths[1]), 4)
    assert cli.ask("tickets", "--status", "nope")["tickets"] == []
    assert "No ticket has the status 'nope'" in cli("tickets", "--status", "nope").err


def test_closing_twice_is_harmless_and_leaves_one_entry(cli: Cli) -> None:
    index = Path(cli("ticket", "create", "FIX-1").out.strip())
    cli("ticket", "close", "FIX-1")
    changelog = (index.parent / "changelog.md").read_text()
    assert cli("close-ticket", "FIX-1").out == f"{index}\n"
    assert (index.parent / "changelog.md").read_text() == changelog
    assert changelog.count("Closed by hand") == 1


def test_a_ticket_is_not_made_twice_nor_closed_when_it_is_not_there(cli: Cli) -> None:
    cli("ticket", "create", "FIX-1")
    assert_refused(cli("ticket", "create", "FIX-1", code=2), 2, "exists already", str(cli.root.path / "ttmp"))
    assert_refused(cli("ticket", "close", "FIX-7", code=3), 3, "'FIX-7'", "Did you mean FIX-1?")
    assert_refused(cli("ticket", "create", code=2), 2, "Name one ticket")
    assert_refused(cli("ticket", "create", "A", "--ticket", "B", code=2), 2, "Name one ticket")
    assert_refused(cli("ticket", code=2), 2, "create|list|close")
    assert_refused(cli("ticket", "crate", "X", code=2), 2, "did you mean ticket create?")


def test_a_title_may_be_any_text(cli: Cli) -> None:
    titles = ['say "yes": [maybe]', "# not a comment", "Ümläut 日本 $(touch canary)", "two\nlines", "---"]
    for number, title in enumerate(titles):
        cli("ticket", "create", f"T-{number}", f"--title={title}")
    found = [row["title"] for row in cli.ask("tickets")["tickets"]]
    assert found == [" ".join(title.split()) for title in titles]
    assert "two lines" in cli("tickets").out


def test_one_repository_below_the_root_may_hold_the_tickets(cli: Cli) -> None:
    cli.root.policy(tickets={"directory": "notes/tickets"})
    index = Path(cli("ticket", "create", "FIX-1").out.strip())
    assert index.is_relative_to(cli.root.path / "notes" / "tickets")
    assert len(cli.ask("tickets")["tickets"]) == 1
