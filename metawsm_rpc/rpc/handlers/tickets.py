"""Requests about tickets, answered from the view of their root."""

from typing import TYPE_CHECKING

from lsprotocol import types

from metawsm_rpc.answers import TicketRow
from metawsm_rpc.errors import MetawsmError
from metawsm_rpc.rpc.connection.texts import opened
from metawsm_rpc.rpc.features import actions, hovers, lenses, links, symbols
from metawsm_rpc.rpc.features.places import path_of, ticket_range
from metawsm_rpc.rpc.view import View

if TYPE_CHECKING:
    from metawsm_rpc.rpc.roots import Root
    from metawsm_rpc.rpc.server import MetawsmServer


async def code_lenses(server: "MetawsmServer", params: types.CodeLensParams) -> list[types.CodeLens]:
    """Answer the lenses of a ticket's file; other files have none."""
    uri = params.text_document.uri
    root, view = await _view(server, uri)
    ticket = _ticket(uri, view)
    if ticket is None:
        return []
    where = ticket_range(ticket, open_texts(server), server.workspace.position_codec)
    return lenses.lenses(ticket, view, where, trusted=root.trusted, asks=asks(server))


async def code_actions(
    server: "MetawsmServer", params: types.CodeActionParams
) -> list[types.CodeAction | types.Command]:
    """Answer the actions in a ticket's file; other files have none."""
    uri = params.text_document.uri
    server.memory.used(uri)
    root, view = await _view(server, uri)
    ticket = _ticket(uri, view)
    if ticket is None:
        return []
    found = actions.actions(ticket, view, params.context, trusted=root.trusted, asks=asks(server))
    if server.client.can("textDocument.codeAction.codeActionLiteralSupport"):
        return list(found)
    return [action.command for action in found if action.command is not None]


async def document_links(server: "MetawsmServer", params: types.DocumentLinkParams) -> list[types.DocumentLink]:
    """Answer the tickets that a Markdown file mentions."""
    uri = params.text_document.uri
    text = await markdown_text(server, uri)
    if text is None:
        return []
    _, view = await _view(server, uri)
    return links.links(text, path_of(uri), view.tickets, server.workspace.position_codec)


async def hover_on_ticket(server: "MetawsmServer", params: types.HoverParams) -> types.Hover | None:
    """Answer how the ticket is that a Markdown file mentions at a position."""
    uri = params.text_document.uri
    text = await markdown_text(server, uri)
    if text is None:
        return None
    root, view = await _view(server, uri)
    codec = server.workspace.position_codec
    found = links.ticket_at(text, params.position, view.tickets, codec)
    own = _ticket(uri, view)
    if found is None and own is not None:
        where = ticket_range(own, open_texts(server), codec)
        found = (own, where) if where.start.line == params.position.line else None
    if found is None:
        return None
    ticket, where = found
    content = hovers.hover(ticket, view, await _printed(server, root, hovers.quoted(ticket, view)))
    return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, content), where)


async def workspace_symbols(
    server: "MetawsmServer", params: types.WorkspaceSymbolParams
) -> list[types.WorkspaceSymbol]:
    """Answer tickets, runs and agents of all roots by a part of their names."""
    documents = opens_documents(server)
    found: list[types.WorkspaceSymbol] = []
    for root in server.roots.of_folders:
        found += symbols.symbols(await server.view(root), params.query, documents=documents)
    return found[: symbols.LIMIT]


def open_texts(server: "MetawsmServer") -> dict[str, str]:
    """Return the texts of open documents by path, saved or not."""
    documents = server.workspace.text_documents.values()
    return {path: document.source for document in documents if (path := path_of(document.uri)) is not None}


async def markdown_text(server: "MetawsmServer", uri: str) -> str | None:
    """Return the text of a Markdown document, open or not; None for any other."""
    document = opened(server.workspace, uri)
    is_markdown = uri.lower().endswith(".md") or (document is not None and document.language_id == "markdown")
    return await server.text(uri) if is_markdown else None


def asks(server: "MetawsmServer") -> bool:
    """Return whether the client asks a person for what a command lacks."""
    return not server.options.present


def opens_documents(server: "MetawsmServer") -> bool:
    """Return whether the client opens virtual documents."""
    return server.client.can("workspace.textDocumentContent") or not server.options.present


async def _view(server: "MetawsmServer", uri: str) -> "tuple[Root, View]":
    """Return the root of a document and what is known of it; a ticket that was made a moment ago is known."""
    root = await server.threads.on("looks", server.root_of, uri)
    view = await server.view(root)
    if uri.endswith("/index.md") and _ticket(uri, view) is None:
        await server.threads.on("looks", root.views.tickets_changed)
        view = await server.view(root)
    return root, view


def _ticket(uri: str, view: View) -> TicketRow | None:
    path = path_of(uri)
    return next((ticket for ticket in view.tickets if ticket.path == path), None)


async def _printed(
    server: "MetawsmServer", root: "Root", agents: tuple[hovers.AgentKey, ...]
) -> dict[hovers.AgentKey, str]:
    printed = {}
    for run_id, ticket, agent in agents:
        asked = {
            "runId": run_id,
            "ticket": ticket,
            "agent": agent,
            "offset": -hovers.OUTPUT_BYTES,
            "limit": hovers.OUTPUT_BYTES,
        }
        try:
            answer = await server.call(root, "transcript", asked)
        except MetawsmError:
            continue  # it has printed nothing yet, or its transcript is gone: the hover has more to tell
        printed[run_id, ticket, agent] = answer["text"]
    return printed
