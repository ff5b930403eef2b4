"""What reaches a client without being asked for, whoever has caused it."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import DONE, Root
from server_support import ALL_CAPABILITIES, Wire, served, serving, started, working

EVENTS = {"initializationOptions": {"events": True}}


@pytest.fixture
def wire(root: Root) -> Iterator[Wire]:
    """Return a client that has asked for events, on a root whose agent never ends."""
    with served(working(root).path, capabilities=ALL_CAPABILITIES, **EVENTS) as made:
        yield made


def events(wire: Wire) -> list[dict[str, Any]]:
    return wire.told("metawsm/event")


def seen(wire: Wire, **wanted: Any) -> dict[str, Any]:
    """Wait for an event with these members."""
    return wire.until(
        lambda: [one for one in events(wire) if all(one[name] == value for name, value in wanted.items())]
    )[-1]


def kill(run: dict[str, Any]) -> None:
    """Kill what an agent's pane runs."""
    (agent,) = run["agents"]
    done = subprocess.run(
        ["tmux", "-L", "metawsm", "display-message", "-p", "-t", f"={agent['session']}:", "#{pane_pid}"],
        capture_output=True,
        text=True,
        check=True,
    )
    os.kill(int(done.stdout), signal.SIGKILL)


def test_events_come_in_order_without_gap_or_doubling_beside_what_is_asked(wire: Wire, root: Root) -> None:
    run_id = started(wire, root)
    wire.ask("metawsm/stop", {"runId": run_id})
    seen(wire, entity="run", to="stopped")
    last = wire.ask("metawsm/events")
    wire.until(lambda: events(wire)[-1]["seq"] == last["seq"])
    assert [one["seq"] for one in events(wire)] == list(range(1, last["seq"] + 1))
    stored = [{**one, "root": str(root.path)} for one in last["events"]]
    assert events(wire) == stored


def test_events_are_only_for_who_asks(root: Root) -> None:
    with served(working(root).path) as wire:
        run_id = started(wire, root)
        wire.ask("metawsm/stop", {"runId": run_id})
        assert wire.ask("metawsm/events")["seq"] > 0
        assert events(wire) == []


def test_what_another_process_does_arrives_as_well(wire: Wire, root: Root) -> None:
    root.metawsm("ticket", "create", "T-9")
    run_id = root.ask("run", "--ticket", "T-9")["runId"]
    seen(wire, runId=run_id, entity="agent", to="running")
    root.metawsm("stop", run_id)
    seen(wire, runId=run_id, entity="run", to="stopped")
    assert [one["seq"] for one in events(wire)] == list(range(1, len(events(wire)) + 1))


def test_two_servers_on_one_root_tell_the_same(wire: Wire, root: Root) -> None:
    with served(root.path, **EVENTS) as other:
        run_id = started(wire, root)
        other.ask("metawsm/stop", {"runId": run_id})
        for one in (wire, other):
            seen(one, entity="run", to="stopped")
        last = wire.ask("metawsm/events")["seq"]
        for one in (wire, other):
            one.until(lambda one=one: events(one)[-1]["seq"] == last)
        assert events(wire) == events(other)


def test_a_death_is_told_at_once_with_diagnostic_message_and_refresh(wire: Wire, root: Root) -> None:
    run_id = started(wire, root)
    before = len(wire.told("workspace/codeLens/refresh"))
    kill(wire.ask("metawsm/status", {"runId": run_id}))
    wire.until(lambda: "agent-dead" in wire.codes())
    wire.until(lambda: [one for one in wire.told("window/showMessage") if "died" in one["message"]])
    wire.until(lambda: len(wire.told("workspace/codeLens/refresh")) > before)
    (path,) = wire.diagnostics()
    assert path.endswith("/index.md")


def test_a_diagnostic_goes_with_its_cause_and_is_not_sent_twice(wire: Wire, root: Root) -> None:
    run_id = started(wire, root)
    kill(wire.ask("metawsm/status", {"runId": run_id}))
    wire.until(lambda: "agent-dead" in wire.codes())
    wire.ask("metawsm/restart", {"runId": run_id})
    wire.until(lambda: wire.codes() == set())
    sent = wire.told("textDocument/publishDiagnostics")
    assert all(one != another for one, another in pairwise(sent))
    assert list(wire.diagnostics().values()) == [[]]


def test_diagnostics_follow_a_ticket_that_somebody_else_edits_moves_or_removes(root: Root) -> None:
    root.repository("app")
    root.agents(worker="exit 3")
    with served(root.path) as wire:
        ticket = Path(wire.ask("metawsm/createTicket", {"ticket": "T-1"})["path"])
        wire.ask("metawsm/run", {"tickets": ["T-1"]})
        wire.until(lambda: "run-failed" in wire.codes())
        ticket.write_text(ticket.read_text().replace("Ticket:", "Other: 1\nTicket:"))
        wire.until(lambda: {one["range"]["start"]["line"] for one in wire.diagnostics()[ticket.as_uri()]} == {3})
        moved = ticket.parent.rename(ticket.parent.with_name("T-1--moved")) / "index.md"
        wire.until(lambda: wire.diagnostics()[ticket.as_uri()] == [] and wire.diagnostics().get(moved.as_uri()))
        shutil.rmtree(moved.parent)
        wire.until(lambda: wire.codes() == set())


def test_a_question_is_shown_and_goes_when_it_is_answered(root: Root) -> None:
    root.repository("app")
    question = "$(printf '[Which](command:evil) \\033[31mone?')"
    root.agents(worker=f'"$METAWSM_BIN" signal guidance "{question}" --choice this; sleep 300')
    with served(root.path, **EVENTS) as wire:
        run_id = started(wire, root)
        wire.until(lambda: "guidance-pending" in wire.codes())
        (message,) = wire.until(lambda: wire.told("window/showMessage"))
        assert message["message"] == f"An agent of run {run_id} asks: [Which] (command:evil) one?"
        (asked,) = wire.ask("metawsm/status", {"runId": run_id})["guidance"]
        wire.ask("metawsm/answer", {"guidanceId": asked["id"], "answer": "this"})
        wire.until(lambda: "guidance-pending" not in wire.codes())


def test_many_ends_are_few_messages(root: Root, tmp_path: Path) -> None:
    root.repository("app")
    gate = tmp_path / "gate"
    agents = {f"T-1/w{n}" for n in range(7)}
    root.agents(**{f"w{n}": f"until test -e {gate}; do sleep 0.1; done; exit 3" for n in range(7)})
    with served(root.path, **EVENTS) as wire:
        wire.ask("metawsm/createTicket", {"ticket": "T-1"})
        wire.ask("metawsm/run", {"tickets": ["T-1"]})
        wire.until(lambda: {one["entityId"] for one in events(wire) if one["to"] == "running"} >= agents)
        gate.touch()
        seen(wire, entity="run", to="failed")
        # Some are told at once and the others together later; of seven, one of the two tells more than three.
        wire.until(lambda: [one for one in wire.told("window/showMessage") if "agents failed" in one["message"]])
        assert len(wire.told("window/showMessage")) <= 4


def test_a_client_that_cannot_refresh_is_not_asked(root: Root) -> None:
    with served(working(root).path, **EVENTS) as wire:
        started(wire, root)
        seen(wire, entity="agent", to="running")
        assert [message["method"] for message in wire.messages if "method" in message and "id" in message] == []


def test_requests_to_the_client_have_integer_ids(wire: Wire, root: Root) -> None:
    started(wire, root)
    asked = wire.until(lambda: [message for message in wire.messages if "method" in message and "id" in message])
    assert {type(message["id"]) for message in asked} == {int}


def test_a_client_that_never_answers_is_served_on(wire: Wire, root: Root) -> None:
    wire.answer_requests = False
    run_id = started(wire, root)
    wire.ask("metawsm/stop", {"runId": run_id})
    seen(wire, entity="run", to="stopped")


@pytest.mark.parametrize("kind", ["transcript", "diff"])
def test_what_changes_without_an_event_is_asked_for_again_while_it_is_shown(root: Root, kind: str) -> None:
    root.repository("app")
    gate = root.path / "gate"
    root.agents(worker=f"until test -e {gate}; do sleep 0.1; done; echo more; echo more > app.txt; exec sleep 300")
    with served(root.path, capabilities=ALL_CAPABILITIES) as wire:
        run_id = started(wire, root)
        document = {"uri": f"metawsm:/{kind}/{run_id}/T-1/{'worker' if kind == 'transcript' else 'app'}"}
        assert "more" not in wire.ask("workspace/textDocumentContent", document)["text"]
        gate.touch()
        asked = 0
        # It is asked for only when the server says so.
        while "more" not in wire.ask("workspace/textDocumentContent", document)["text"]:
            asked = wire.until(lambda before=asked: max(0, len(refreshed(wire, document)) - before)) + asked


def refreshed(wire: Wire, document: dict[str, str]) -> list[Any]:
    return [one for one in wire.told("workspace/textDocumentContent/refresh") if one == document]


# --- several roots ---


def test_each_workspace_folder_is_a_root_of_its_own(root: Root, tmp_path: Path) -> None:
    working(root)
    other = working(Root(tmp_path / "other"))
    third = working(Root(tmp_path / "third"))
    folders = [{"uri": one.path.as_uri(), "name": one.path.name} for one in (root, other)]
    with serving(tmp_path) as wire:
        wire.initialize(workspaceFolders=folders, **EVENTS)
        assert wire.ask("metawsm/runs")["total"] == 0
        run_id = started(wire, other)
        assert wire.error("metawsm/status", {"runId": run_id})["data"]["kind"] == "run_not_found"
        seen(wire, runId=run_id, to="running", root=str(other.path))
        assert not (root.path / ".metawsm" / "metawsm.db").exists()
        # What happens at a folder that is added arrives, and no longer when it has been taken away.
        added = {"uri": third.path.as_uri(), "name": "third"}
        wire.notify("workspace/didChangeWorkspaceFolders", {"event": {"added": [added], "removed": [folders[1]]}})
        assert wire.ask("metawsm/runs", {"root": third.path.as_uri()})["total"] == 0
        third.metawsm("ticket", "create", "T-3")
        third_run = third.ask("run", "--ticket", "T-3")["runId"]
        seen(wire, runId=third_run, to="running", root=str(third.path))
        other.metawsm("stop", run_id)
        third.metawsm("stop", third_run)
        seen(wire, runId=third_run, to="stopped")
        assert not [one for one in events(wire) if one["runId"] == run_id and one["to"] == "stopped"]


def test_policies_of_folders_that_come_and_go_are_told_of_and_taken_back(root: Root, tmp_path: Path) -> None:
    other = Root(tmp_path / "other")
    other.policy(unknown=1)
    policy = (other.path / ".metawsm" / "policy.json").as_uri()
    folders = [{"uri": one.path.as_uri(), "name": one.path.name} for one in (root, other)]
    with serving(tmp_path) as wire:
        wire.initialize(workspaceFolders=folders[:1])
        wire.notify("workspace/didChangeWorkspaceFolders", {"event": {"added": folders[1:], "removed": []}})
        wire.until(lambda: [one["code"] for one in wire.diagnostics().get(policy, [])] == ["policy-unknown-key"])
        removed = {"uri": f"{folders[1]['uri']}/", "name": "a slash more"}
        wire.notify("workspace/didChangeWorkspaceFolders", {"event": {"added": [], "removed": [removed]}})
        wire.until(lambda: wire.diagnostics()[policy] == [])


def test_a_folder_that_is_reached_by_a_link_is_shown_by_the_name_that_it_was_opened_by(
    root: Root, tmp_path: Path
) -> None:
    root.repository("app")
    root.policy(unknown=1)
    link = tmp_path / "link"
    link.symlink_to(root.path)
    policy = link / ".metawsm" / "policy.json"
    with served(link / "app") as wire:
        wire.until(lambda: wire.diagnostics().get(policy.as_uri()))
        root.policy(agents=[Root.agent("worker", "exit 3")])
        path = Path(wire.ask("metawsm/createTicket", {"ticket": "T-1"})["path"])
        ticket = (link / path.relative_to(root.path)).as_uri()
        opened = {"uri": ticket, "languageId": "markdown", "version": 1, "text": path.read_text()}
        wire.notify("textDocument/didOpen", {"textDocument": opened})
        lenses = wire.ask("textDocument/codeLens", {"textDocument": {"uri": ticket}})
        assert lenses[0]["command"]["command"] == "metawsm.run"
        wire.ask("metawsm/run", {"tickets": ["T-1"]})
        wire.until(lambda: "agent-failed" in {one["code"] for one in wire.diagnostics().get(ticket, [])})


def test_a_folder_inside_of_a_root_belongs_to_it(root: Root) -> None:
    working(root)
    inside = root.path / "app" / "src"
    inside.mkdir()
    with served(inside) as wire:
        assert wire.ask("metawsm/policy")["path"] == str(root.path / ".metawsm" / "policy.json")


# --- waiting ---


def test_a_wait_ends_when_the_run_does_and_costs_no_thread(root: Root) -> None:
    root.repository("app")
    root.agents(worker=f"while [ ! -e go ]; do sleep 0.05; done\n{DONE}")
    with served(root.path) as wire:
        run_id = started(wire, root)
        waits = [wire.request("metawsm/wait", {"runId": run_id}) for _ in range(100)]
        threads = len(list(Path(f"/proc/{wire.process.pid}/task").iterdir()))
        assert threads < 40
        assert wire.ask("metawsm/wait", {"runId": run_id, "timeout": 0.2})["reached"] is False
        (workspace,) = wire.ask("metawsm/status", {"runId": run_id})["workspaces"]
        Path(workspace["repos"][0]["path"], "go").touch()
        for one in waits:
            result = wire.answer_to(one)["result"]
            assert (result["run"]["status"], result["reached"]) == ("completed", True)


def test_a_wait_can_be_cancelled_as_request_and_as_command(wire: Wire, root: Root) -> None:
    run_id = started(wire, root)
    for method, params in (
        ("metawsm/wait", {"runId": run_id}),
        ("workspace/executeCommand", {"command": "metawsm.wait", "arguments": [{"runId": run_id}]}),
    ):
        asked = wire.request(method, params)
        wire.notify("$/cancelRequest", {"id": asked})
        assert wire.answer_to(asked)["error"]["code"] == -32800
    assert wire.error("metawsm/wait", {"runId": run_id, "until": ["flown"]})["data"]["kind"] == "invalid_params"
