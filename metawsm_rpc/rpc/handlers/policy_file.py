"""Requests about policy files, and their diagnostics while somebody types."""

import asyncio
import os
from typing import TYPE_CHECKING

from lsprotocol import types

from metawsm_rpc.policy.loading import root_policy, user_policy
from metawsm_rpc.rpc.connection.texts import opened
from metawsm_rpc.rpc.features.places import path_of, uri_of
from metawsm_rpc.rpc.features.policy_check import check, root_of

if TYPE_CHECKING:
    from metawsm_rpc.rpc.server import MetawsmServer

_TYPING_SECONDS = 0.1
"""So long nobody types before the text is checked."""


WATCH = types.RegistrationParams(
    [
        types.Registration(
            id="metawsm.policy",
            method=types.WORKSPACE_DID_CHANGE_WATCHED_FILES,
            register_options=types.DidChangeWatchedFilesRegistrationOptions(
                [types.FileSystemWatcher("**/.metawsm/policy.json")]
            ),
        )
    ]
)
"""What the client is asked to tell of."""


def is_policy(uri: str) -> bool:
    """Return whether a document is the policy of a root, or the person's own."""
    path = path_of(uri)
    if path is None:
        return False
    person = user_policy(os.environ)
    return root_of(path) is not None or (person is not None and str(person) == path)


async def completion(server: "MetawsmServer", params: types.CompletionParams) -> types.CompletionList:
    """Answer what can stand at a position of a policy file; nothing in any other file."""
    from metawsm_rpc.rpc.features import policy_completion

    text = await _any_text(server, params.text_document.uri)
    if text is None:
        return types.CompletionList(is_incomplete=False, items=[])
    snippets = server.client.can("textDocument.completion.completionItem.snippetSupport")
    codec = server.workspace.position_codec
    items = policy_completion.completion(text, params.position, snippets=snippets, codec=codec)
    return types.CompletionList(is_incomplete=False, items=items)


async def hover(server: "MetawsmServer", params: types.HoverParams) -> types.Hover | None:
    """Answer what a field of a policy file means."""
    from metawsm_rpc.rpc.features import policy_hover

    text = await _any_text(server, params.text_document.uri)
    return None if text is None else policy_hover.hover(text, params.position, server.workspace.position_codec)


async def checked(server: "MetawsmServer", uri: str) -> None:
    """Publish what is wrong with a policy file, once nobody types any more."""
    before = _text(server, uri)
    await asyncio.sleep(_TYPING_SECONDS if before is not None else 0)
    text = _text(server, uri)
    path = path_of(uri)
    if text != before or path is None:
        return  # the next change is checked
    found = await server.threads.on("looks", check, path, text, dict(os.environ), server.workspace.position_codec)
    if _text(server, uri) == text:
        for about, diagnostics in found.items():
            _publish(server, about, diagnostics)


async def all_checked(server: "MetawsmServer") -> None:
    """Publish what is wrong with the policies of all roots, open or not, and take back what is of no root any more."""
    roots = await server.threads.on("looks", lambda: server.roots.of_folders)
    policies = [uri_of(str(root_policy(root.shown_at))) for root in roots]
    for uri in policies:
        await checked(server, uri)
    for uri in list(server.memory.published):
        if uri not in policies and root_of(path_of(uri) or "") is not None and _text(server, uri) is None:
            _publish(server, uri, [])


def _publish(server: "MetawsmServer", uri: str, diagnostics: list[types.Diagnostic]) -> None:
    published = server.memory.published
    if published.get(uri, []) != diagnostics:
        published[uri] = diagnostics
        server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, diagnostics))


async def _any_text(server: "MetawsmServer", uri: str) -> str | None:
    """Return what stands in a policy file, open or not; None for any other."""
    if not is_policy(uri):
        return None
    text = _text(server, uri)
    return await server.text(uri) if text is None else text


def _text(server: "MetawsmServer", uri: str) -> str | None:
    """Return what stands in an open policy file, None for any other."""
    if not is_policy(uri):
        return None
    documents = server.workspace.text_documents.values()
    document = opened(server.workspace, uri) or next(
        (one for one in documents if path_of(one.uri) == path_of(uri)), None
    )
    return None if document is None else document.source
