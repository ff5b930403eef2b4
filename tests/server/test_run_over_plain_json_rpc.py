"""A whole run by frames and JSON alone: requests, events and diagnostics, as any program can have them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Root, git
from plain_client import PlainClient

ASKS_THEN_DIES_ONCE = """
cd "$METAWSM_WORKSPACE/app"
if ! test -e ../asked; then
    touch ../asked
    answer=$("$METAWSM_BIN" signal guidance "Which one?" --choice this --choice that --wait)
    echo "$answer" >> README.md
    git commit -qam "Take $answer"
    kill -9 $$
fi
"$METAWSM_BIN" signal done "all is done"
"""


@pytest.fixture
def client(root: Root) -> Iterator[PlainClient]:
    root.repository("app")
    root.agents(worker=ASKS_THEN_DIES_ONCE)
    made = PlainClient(root.path, options={"events": True})
    yield made
    made.close()


def shown(client: PlainClient, path: str) -> list[dict[str, Any]] | None:
    """Return the diagnostics on a file that were published last, None before there were any."""
    of_file = [
        published["diagnostics"]
        for published in client.notified("textDocument/publishDiagnostics")
        if published["uri"] == Path(path).as_uri()
    ]
    return of_file[-1] if of_file else None


def until_shown(client: PlainClient, path: str, code: str) -> dict[str, Any]:
    """Wait until a diagnostic with this code is on a file, and return it."""

    def found() -> dict[str, Any] | None:
        return next((one for one in shown(client, path) or () if one["code"] == code), None)

    return client.until(found, f"{code} on {path}")


def test_a_run_is_followed_to_its_close_by_events_and_diagnostics(root: Root, client: PlainClient) -> None:
    ticket = client.ask("metawsm/createTicket", {"ticket": "T-1"})["path"]
    started = client.ask("metawsm/run", {"tickets": ["T-1"], "runId": "r1"})
    assert started["status"] == "running"

    pending = until_shown(client, ticket, "guidance-pending")
    assert "Which one?" in pending["message"]
    assert pending["source"] == "metawsm"
    assert (pending["data"]["runId"], pending["data"]["ticket"], pending["data"]["agent"]) == ("r1", "T-1", "worker")
    line = Path(ticket).read_text("utf-8").splitlines()[pending["range"]["start"]["line"]]
    assert line.startswith("Ticket:")

    (question,) = client.ask("metawsm/status", {"runId": "r1"})["guidance"]
    client.ask("metawsm/answer", {"guidanceId": question["id"], "answer": "that"})
    dead = until_shown(client, ticket, "agent-dead")
    assert dead["severity"] == 1
    assert "guidance-pending" not in [one["code"] for one in shown(client, ticket) or ()]

    client.ask("metawsm/restart", {"runId": "r1", "agent": "worker"})
    assert client.ask("metawsm/wait", {"runId": "r1", "timeout": 30})["run"]["status"] == "completed"
    client.until(lambda: shown(client, ticket) == [], "an end of all diagnostics")

    closed = client.ask("metawsm/close", {"runId": "r1"})
    assert closed["run"]["status"] == "closed"
    assert git(root.path / "app", "show", "main:README.md") == "# app\nthat"

    stored = client.ask("metawsm/events", {})
    client.until(lambda: len(client.notified("metawsm/event")) >= stored["seq"], "every event as a notification")
    sent = client.notified("metawsm/event")[: stored["seq"]]
    assert sent == [{**event, "root": str(root.path)} for event in stored["events"]]
    assert [event["seq"] for event in stored["events"]] == list(range(1, stored["seq"] + 1))
    assert client.end() == 0


def test_no_agents_and_no_repositories_are_those_of_the_root(root: Root, client: PlainClient) -> None:
    root.agents(one="true", two="true")
    client.ask("metawsm/createTicket", {"ticket": "T-1"})
    for nothing in ({}, {"agents": [], "repos": []}, {"agents": None, "repos": None}):
        steps = client.ask("metawsm/plan", {"tickets": ["T-1"], **nothing})["steps"]
        assert {step["agent"] for step in steps} - {None} == {"one", "two"}
        assert {step["repo"] for step in steps} - {None} == {"app"}


def test_the_server_answers_the_document_that_is_in_the_docs(client: PlainClient) -> None:
    docs = Path(__file__).parents[2] / "docs"
    assert client.ask("rpc.discover") == json.loads((docs / "openrpc.json").read_text("utf-8"))
