"""The policy file in an editor: what is wrong with it while it is typed, completion, hover."""

import json
from pathlib import Path

import pytest
from conftest import Root
from editor_client import Editor, editor
from lsprotocol import types

pytestmark = pytest.mark.asyncio


def prepared(root: Root, text: str = "{}") -> Path:
    root.policy()
    path = root.path / ".metawsm" / "policy.json"
    path.write_text(text)
    return path


def spot(text: str, part: str) -> types.Range:
    """Return the range of a part of a text, in UTF-16."""

    def at(offset: int) -> types.Position:
        before = text[:offset].split("\n")
        return types.Position(len(before) - 1, len(before[-1].encode("utf-16-le")) // 2)

    start = text.index(part)
    return types.Range(at(start), at(start + len(part)))


UNKNOWN = '{\n  "repositories": {"𝔘𝔘": "x"}, "workspce": {}\n}'
VALUE = '{"workspace": {"backend": "svn"}}'
SYNTAX = '{"version": 3,\n "tmux": {"socket": \'x\'}}'


MISTAKES = (
    (UNKNOWN, "policy-unknown-key", '"workspce"'),
    (VALUE, "policy-value", '"svn"'),
    (SYNTAX, "policy-syntax", "'x'"),
    ('{"version": 3', "policy-syntax", "3"),
    ('{"agents": [{"name": "a", "profile": "cladue"}]}', "policy-value", '"cladue"'),
    ('{"version": 3, "version": 3}', "policy-syntax", '"version"'),
)


async def test_what_is_typed_is_underlined_exactly(root: Root) -> None:
    async with editor(root) as at:
        path = prepared(root)
        at.open(path, "{}", "json")
        for number, (text, code, part) in enumerate(MISTAKES):
            at.type(path, text, 2 * number + 2)
            shown = await at.diagnostic(path, code)
            expected = spot(text, part) if text.count(part) == 1 else spot(text.replace(part, "#" * len(part), 1), part)
            found = (shown.range, shown.severity, shown.source)
            assert found == (expected, types.DiagnosticSeverity.Error, "metawsm"), text
            at.type(path, '{"version": 3}', 2 * number + 3)
            await at.none_on(path, code)
        assert path.read_text() == "{}"


async def test_a_policy_that_nobody_has_opened_is_underlined_too(root: Root) -> None:
    path = prepared(root, VALUE)
    async with editor(root) as at:
        await at.diagnostic(path, "policy-value")
        path.write_text("{}")
        change = types.FileEvent(path.as_uri(), types.FileChangeType.Changed)
        at.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams([change]))
        await at.none_on(path, "policy-value")


async def test_closing_without_saving_shows_what_is_saved(root: Root) -> None:
    async with editor(root) as at:
        path = prepared(root)
        at.open(path, VALUE, "json")
        await at.diagnostic(path, "policy-value")
        at.close(path)
        await at.none_on(path, "policy-value")


async def test_the_persons_own_policy_keeps_its_problems(root: Root, private_machine: Path) -> None:
    own = private_machine / ".config" / "metawsm" / "policy.json"
    own.parent.mkdir(parents=True)
    own.write_text('{"tmux": {"socket": 5}}')
    async with editor(root) as at:
        path = prepared(root)
        at.open(path, "{}", "json")
        await at.diagnostic(own, "policy-value")
        assert at.shown(path) == []


async def completed(at: Editor, path: Path, text: str) -> dict[str, types.CompletionItem]:
    """Return what is offered where a text has a bar."""
    at.open(path, text.replace("|", "", 1), "json")
    before = text[: text.index("|")].split("\n")
    position = types.Position(len(before) - 1, len(before[-1].encode("utf-16-le")) // 2)
    params = types.CompletionParams(types.TextDocumentIdentifier(path.as_uri()), position)
    found = await at.client.text_document_completion_async(params)
    assert isinstance(found, types.CompletionList)
    at.close(path)
    return {item.label: item for item in found.items}


async def test_completion_in_what_is_half_typed(root: Root) -> None:
    async with editor(root) as at:
        path = prepared(root)
        keys = await completed(at, path, '{\n  "version": 3,\n  "clo|\n  "agents": []\n}')
        assert {"close", "workspace"} <= set(keys)
        assert not {"version", "agents", "$schema"} & set(keys)
        assert keys["close"].documentation
        edit = keys["close"].text_edit
        assert isinstance(edit, types.TextEdit)
        assert edit.new_text == '"close": {$1},'
        assert edit.range == types.Range(types.Position(2, 2), types.Position(2, 6))
        assert set(await completed(at, path, '{"workspace": {"backend": |')) == {"git", "wsm"}
        assert set(await completed(at, path, '{"close": {"push": |}}')) == {"true", "false"}
        profiles = await completed(
            at, path, '{"agent_profiles": [{"name": "mine"}], "agents": [{"name": "𝔘", "profile": "|"}]}'
        )
        assert {"mine", "claude", "shell"} <= set(profiles)
        assert await completed(at, path, '{"repositories": {"|"}}') == {}
        assert await completed(at, path, "|") == {}


async def test_completion_for_an_editor_without_snippets_is_json(root: Root) -> None:
    def plain(capabilities: types.ClientCapabilities) -> None:
        capabilities.text_document.completion.completion_item.snippet_support = False

    async with editor(root, can=plain) as at:
        path = prepared(root)
        for label, item in (await completed(at, path, "{|}")).items():
            edit = item.text_edit
            assert isinstance(edit, types.TextEdit)
            assert label in json.loads("{" + edit.new_text + "}")


async def test_the_hover_says_what_a_field_means_and_its_default(root: Root) -> None:
    async with editor(root) as at:
        path = prepared(root)
        text = '{"workspace": {"branch_prefix": "x"}}'
        at.open(path, text, "json")
        shown = await at.hover(path, 0, text.index("branch_prefix"))
        assert isinstance(shown.contents, types.MarkupContent)
        assert "**workspace.branch_prefix**" in shown.contents.value
        assert "Branches are named" in shown.contents.value
        assert 'Default: `"task"`' in shown.contents.value
        assert shown.range == spot(text, '"branch_prefix"')
        assert await at.hover(path, 0, 0) is None
