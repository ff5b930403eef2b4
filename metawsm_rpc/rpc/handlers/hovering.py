"""The hover in any document: that of the policy, or of a ticket."""

from typing import TYPE_CHECKING

from lsprotocol import types

from metawsm_rpc.rpc.handlers import policy_file, tickets

if TYPE_CHECKING:
    from metawsm_rpc.rpc.server import MetawsmServer


async def hover(server: "MetawsmServer", params: types.HoverParams) -> types.Hover | None:
    """Answer the hover at a position."""
    uri = params.text_document.uri
    server.memory.used(uri)
    if policy_file.is_policy(uri):
        return await policy_file.hover(server, params)
    return await tickets.hover_on_ticket(server, params)
