"""An editor, as pytest-lsp plays it, with the capabilities of a real one, on the real server process."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from conftest import Root
from lsprotocol import types
from pygls.protocol import default_converter
from pytest_lsp import ClientServerConfig, LanguageClient, client_capabilities
from pytest_lsp.client import register_lsp_features

PATIENCE = 60.0

TALKS = """
"$METAWSM_BIN" signal {what}
exec cat
"""


def says(what: str) -> str:
    """Return the script of an agent that says something and lives on."""
    return TALKS.format(what=what)


class Editor:
    """One client and its server.

    `root` is the workspace folder; `refreshed` are the virtual documents that the server asked to be asked
    for again, and an empty text each time for all lenses.
    """

    def __init__(self, client: LanguageClient, root: Root, refreshed: list[str]) -> None:
        self.client = client
        self.root = root
        self.refreshed = refreshed

    # --- waiting ---

    async def until(self, found: Callable[[], Any], within: float = PATIENCE) -> Any:
        """Wait until `found` returns something, asked again whenever the server may have sent something."""
        deadline = asyncio.get_running_loop().time() + within
        while not (result := found()):
            left = deadline - asyncio.get_running_loop().time()
            assert left > 0, f"it never came; diagnostics: {self.client.diagnostics}; messages: {self.client.messages}"
            await asyncio.sleep(0.02)
        return result

    async def diagnostic(self, path: Path, code: str) -> types.Diagnostic:
        """Wait for a diagnostic on a file."""
        return await self.until(lambda: next((one for one in self.shown(path) if one.code == code), None))

    async def none_on(self, path: Path, code: str) -> None:
        """Wait until a file has no diagnostic with a code any more; it must have had one."""
        assert path.as_uri() in self.client.diagnostics
        await self.until(lambda: code not in [one.code for one in self.shown(path)])

    def shown(self, path: Path) -> list[types.Diagnostic]:
        """Return the diagnostics that a file has now."""
        return list(self.client.diagnostics.get(path.as_uri(), ()))

    # --- doing ---

    async def ask(self, verb: str, **params: Any) -> Any:
        """Send a request of a verb."""
        return plain(await self.client.protocol.send_request_async(f"metawsm/{verb}", params))

    async def command(self, verb: str, *arguments: Any) -> Any:
        """Carry out a command, as from the editor's own list of commands."""
        params = types.ExecuteCommandParams(command=f"metawsm.{verb}", arguments=list(arguments))
        return plain(await self.client.workspace_execute_command_async(params))

    async def ticket(self, name: str) -> Path:
        """Make a ticket and return its index.md."""
        return Path((await self.ask("createTicket", ticket=name))["path"])

    async def run(self, *tickets: str, **params: Any) -> str:
        """Start a run and return its id."""
        return str((await self.ask("run", tickets=list(tickets), **params))["runId"])

    async def until_agents(self, run: str) -> list[dict[str, Any]]:
        """Wait until the agents of a run live, and return them."""
        while True:
            agents = (await self.ask("status", runId=run))["agents"]
            if all(agent["pid"] for agent in agents):
                return list(agents)
            await asyncio.sleep(0.05)

    def open(self, path: Path, text: str | None = None, language: str = "markdown") -> str:
        """Open a file, as it is saved or with another text, and return its URI."""
        shown = path.read_text() if text is None else text
        item = types.TextDocumentItem(path.as_uri(), language, 1, shown)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return path.as_uri()

    def type(self, path: Path, text: str, version: int = 2) -> None:
        """Replace the text of an open file."""
        self.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(version, path.as_uri()),
                [types.TextDocumentContentChangeWholeDocument(text)],
            )
        )

    def close(self, path: Path) -> None:
        """Close a file."""
        self.client.text_document_did_close(
            types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(path.as_uri()))
        )

    async def lenses(self, path: Path) -> dict[str, types.Command]:
        """Return the lenses of a file by their titles."""
        params = types.CodeLensParams(types.TextDocumentIdentifier(path.as_uri()))
        found = await self.client.text_document_code_lens_async(params) or ()
        return {lens.command.title: lens.command for lens in found if lens.command}

    async def actions(self, path: Path, *diagnostics: types.Diagnostic) -> dict[str, types.CodeAction]:
        """Return the code actions at the beginning of a file, or on diagnostics, by their titles."""
        where = diagnostics[0].range if diagnostics else types.Range(types.Position(0, 0), types.Position(0, 0))
        params = types.CodeActionParams(
            types.TextDocumentIdentifier(path.as_uri()), where, types.CodeActionContext(list(diagnostics))
        )
        found = await self.client.text_document_code_action_async(params) or ()
        return {action.title: action for action in found if isinstance(action, types.CodeAction)}

    async def do(self, command: types.Command | None) -> Any:
        """Carry a lens or an action out."""
        assert command is not None
        params = types.ExecuteCommandParams(command=command.command, arguments=command.arguments)
        return plain(await self.client.workspace_execute_command_async(params))

    async def hover(self, path: Path, line: int, character: int) -> types.Hover | None:
        """Return the hover at a position."""
        params = types.HoverParams(types.TextDocumentIdentifier(path.as_uri()), types.Position(line, character))
        return await self.client.text_document_hover_async(params)

    def said(self) -> list[str]:
        """Return the messages that a person has seen."""
        return [message.message for message in self.client.messages]


def _client() -> LanguageClient:
    client = LanguageClient(converter_factory=_converter)
    register_lsp_features(client)
    return client


def _converter() -> Any:
    """Return a converter that takes any result of a command; lsprotocol's stumbles over objects in lists."""
    converter = default_converter()
    converter.register_structure_hook(
        types.ExecuteCommandResponse,
        lambda message, _: types.ExecuteCommandResponse(id=message["id"], result=message.get("result")),
    )
    converter.register_structure_hook(types.CodeActionResponse, _code_actions)
    return converter


def _code_actions(message: dict[str, Any], _: Any) -> types.CodeActionResponse:
    """Tell actions from commands, which lsprotocol confuses when both have a title and a command."""
    converter = default_converter()
    kinds = [
        (types.Command if isinstance(one.get("command"), str) else types.CodeAction, one)
        for one in message.get("result") or ()
    ]
    return types.CodeActionResponse(id=message["id"], result=[converter.structure(one, kind) for kind, one in kinds])


def plain(answer: Any) -> Any:
    """Return plain data of an answer, which pygls makes named tuples of."""
    if isinstance(answer, tuple) and hasattr(answer, "_fields"):
        return {name: plain(value) for name, value in answer._asdict().items()}
    if isinstance(answer, list | tuple):
        return [plain(one) for one in answer]
    return answer


@asynccontextmanager
async def editor(
    root: Root,
    like: str = "visual-studio-code",
    *,
    name: str | None = "Tests",
    options: Mapping[str, Any] | None = None,
    can: Callable[[types.ClientCapabilities], None] = lambda _: None,
    server: Sequence[str] = ("-m", "metawsm_rpc"),
) -> AsyncIterator[Editor]:
    """Start a server for the block, and an editor with the capabilities of another one; `can` changes these."""
    config = ClientServerConfig([sys.executable, *server], _client, dict(os.environ))
    client = await config.start()
    assert isinstance(client, LanguageClient)
    refreshed: list[str] = []

    @client.feature(types.WORKSPACE_CODE_LENS_REFRESH)
    def lenses_refreshed(*_: Any) -> None:
        refreshed.append("")

    @client.feature(types.WORKSPACE_TEXT_DOCUMENT_CONTENT_REFRESH)
    def content_refreshed(params: types.TextDocumentContentRefreshParams) -> None:
        refreshed.append(params.uri)

    @client.feature(types.CLIENT_REGISTER_CAPABILITY)
    def registered(*_: Any) -> None:
        """Nothing is watched."""

    capabilities = client_capabilities(like)
    can(capabilities)
    try:
        await client.initialize_session(
            types.InitializeParams(
                capabilities=capabilities,
                client_info=types.ClientInfo(name) if name else None,
                initialization_options=dict(options) if options is not None else None,
                workspace_folders=[types.WorkspaceFolder(root.path.as_uri(), root.path.name)],
            )
        )
        yield Editor(client, root, refreshed)
        if not client.stopped:  # by a test that has let its server end
            await client.shutdown_session()
    finally:
        if client._server is not None and client._server.returncode is None:
            client._server.kill()  # a test that has failed did not say goodbye
        await client.stop()
