"""Files whose names a URI writes in another way, and texts in which Python sees more lines than an editor."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Root
from server_support import ALL_CAPABILITIES, Wire, serving


@pytest.fixture(params=["with space", "per%20cent", "café 😀", "hash#q?x", "a+b&c=d"])
def named(request: pytest.FixtureRequest, tmp_path: Path) -> Root:
    """Return a root with an unusual name."""
    root = Root(tmp_path / request.param)
    root.repository("app")
    root.policy(agents=[Root.agent("worker", "exit 3")])
    return root


@pytest.fixture
def wire(named: Root) -> Iterator[Wire]:
    """Return a client that has opened the root."""
    with serving(named.path.parent) as wire:
        folders = [{"uri": named.path.as_uri(), "name": "any"}]
        wire.initialize(workspaceFolders=folders, capabilities=ALL_CAPABILITIES)
        yield wire


def opened(wire: Wire, path: Path, language: str, text: str) -> dict[str, str]:
    """Open a document and return what names it."""
    document = {"uri": path.as_uri(), "languageId": language, "version": 1, "text": text}
    wire.notify("textDocument/didOpen", {"textDocument": document})
    return {"uri": path.as_uri()}


def test_every_feature_works_in_a_folder_of_any_name(named: Root, wire: Wire) -> None:
    ticket = Path(wire.ask("metawsm/createTicket", {"ticket": "T-1"})["path"])
    run = wire.ask("metawsm/run", {"tickets": ["T-1"]})["runId"]
    wire.until(lambda: "agent-failed" in wire.codes())
    assert [uri for uri, shown in wire.diagnostics().items() if shown] == [ticket.as_uri()]

    notes = opened(wire, named.path / "my notes.md", "markdown", "page\f\u2028\n😀 T-1\n")
    link = wire.ask("textDocument/documentLink", {"textDocument": notes})[0]
    assert link["range"] == {"start": {"line": 1, "character": 3}, "end": {"line": 1, "character": 6}}
    assert link["target"] == ticket.as_uri()
    hover = {"textDocument": notes, "position": {"line": 1, "character": 4}}
    assert run in wire.ask("textDocument/hover", hover)["contents"]["value"]

    about = opened(wire, ticket, "markdown", ticket.read_text())
    assert wire.ask("textDocument/codeLens", {"textDocument": about})
    assert run in wire.ask("metawsm/content", {"uri": f"metawsm:/run/{run}"})["text"]
    assert wire.ask("workspace/executeCommand", {"command": "metawsm.stop"})["run"]["status"] == "stopped"


def test_a_policy_is_checked_in_a_folder_of_any_name(named: Root, wire: Wire) -> None:
    policy = named.path / ".metawsm" / "policy.json"
    opened(wire, policy, "json", '{"version": 3, "😀bad": 1}')
    wire.until(lambda: "policy-unknown-key" in wire.codes())
    (shown,) = wire.diagnostics()[policy.as_uri()]
    assert shown["range"] == {"start": {"line": 0, "character": 15}, "end": {"line": 0, "character": 22}}


def test_what_is_not_open_is_read_as_it_is_saved(named: Root, wire: Wire) -> None:
    wire.ask("metawsm/createTicket", {"ticket": "T-1"})
    notes = named.path / "my notes.md"
    notes.write_text("T-1\n")
    at = {"textDocument": {"uri": notes.as_uri()}, "position": {"line": 0, "character": 1}}
    assert len(wire.ask("textDocument/documentLink", at)) == 1
    assert "T-1" in wire.ask("textDocument/hover", at)["contents"]["value"]
    policy = named.path / ".metawsm" / "policy.json"
    policy.write_text('{"version": 3, ')
    within = {"textDocument": {"uri": policy.as_uri()}, "position": {"line": 0, "character": 15}}
    labels = {item["label"] for item in wire.ask("textDocument/completion", within)["items"]}
    assert "agents" in labels
    on_key = {"textDocument": {"uri": policy.as_uri()}, "position": {"line": 0, "character": 3}}
    assert "version" in wire.ask("textDocument/hover", on_key)["contents"]["value"]
    gone = {"textDocument": {"uri": (named.path / "gone.md").as_uri()}, "position": {"line": 0, "character": 0}}
    assert wire.ask("textDocument/hover", gone) is None


@pytest.mark.parametrize("name", ["a%00b", "/".join(["x" * 300] * 3), "%ff%fe", "locked/inside"])
def test_a_workspace_folder_that_cannot_be_is_no_harm_to_the_others(root: Root, name: str) -> None:
    (root.path / "locked").mkdir(mode=0)
    uri = f"{root.path.as_uri()}/{name}"
    with serving(root.path) as wire:
        folders = [{"uri": uri, "name": "bad"}, {"uri": root.path.as_uri(), "name": "good"}]
        wire.initialize(workspaceFolders=folders, capabilities=ALL_CAPABILITIES)
        assert wire.ask("metawsm/runs", {"root": str(root.path)})["runs"] == []
        where = {"textDocument": {"uri": f"{uri}/index.md"}, "position": {"line": 0, "character": 0}}
        assert wire.ask("textDocument/codeLens", where) == []
        assert wire.ask("textDocument/hover", where) is None
        wire.notify("workspace/didChangeWorkspaceFolders", {"event": {"added": [], "removed": folders[:1]}})
        assert wire.ask("metawsm/runs")["runs"] == []
        assert wire.told("window/logMessage") == []


def test_an_edit_of_what_is_not_open_is_no_fault_of_the_server(root: Root) -> None:
    with serving(root.path) as wire:
        wire.initialize(root.path)
        document = {"uri": (root.path / "x.md").as_uri(), "version": 2}
        wire.notify("textDocument/didChange", {"textDocument": document, "contentChanges": [{"text": "x"}]})
        wire.notify("textDocument/didClose", {"textDocument": document})
        wire.ask("metawsm/runs")
        assert wire.told("window/logMessage") == []
