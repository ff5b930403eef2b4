"""The client: its capabilities, and requests to it with a time limit."""

import asyncio
from typing import TYPE_CHECKING, Any

from lsprotocol import types

if TYPE_CHECKING:
    from metawsm_rpc.rpc.connection.protocol import MetawsmProtocol

_ANSWER_SECONDS = 10.0
"""How long a client may take to answer. Some never do (Emacs' eglot to `window/showDocument`)."""


class Client:
    """Speaks to the client. `ask` is for the event loop; the rest may be called from any thread."""

    def __init__(self, protocol: "MetawsmProtocol") -> None:
        self._protocol = protocol
        self._capabilities: dict[str, Any] = {}
        self.name: str | None = None

    def told(self, params: dict[str, Any]) -> None:
        """Keep what the client says of itself in `initialize`, as it was sent."""
        capabilities = params.get("capabilities")
        self._capabilities = capabilities if isinstance(capabilities, dict) else {}
        info = params.get("clientInfo")
        self.name = str(info.get("name")) if isinstance(info, dict) else None

    def can(self, capability: str) -> bool:
        """Return whether the client has a capability, named by its path: `window.showDocument`.

        One that is an object counts unless its `support` is not true.
        """
        found: Any = self._capabilities
        for name in capability.split("."):
            if not isinstance(found, dict):
                return False
            found = found.get(name)
        if isinstance(found, dict):
            return found.get("support", True) is True
        return bool(found)

    async def ask(self, method: str, params: Any = None, *, within: float = _ANSWER_SECONDS) -> Any:
        """Send a request and return its result; None when there is none in time, or an error."""
        return (await self.attempt(method, params, within=within))[1]

    async def attempt(self, method: str, params: Any = None, *, within: float = _ANSWER_SECONDS) -> tuple[bool, Any]:
        """Send a request; return whether the client did it, and its result."""
        msg_id = self._protocol.next_id()
        future = self._protocol.send_request(method, params, msg_id=msg_id)
        try:
            return True, await asyncio.wait_for(asyncio.wrap_future(future), within)
        except Exception:  # noqa: BLE001 - a client that cannot do it is no failure of ours
            return False, None
        finally:
            self._protocol.forget(msg_id)

    def show(self, message: str, kind: types.MessageType = types.MessageType.Info) -> None:
        """Tell a person something; what it quotes of others makes no link."""
        from metawsm_rpc.domain.markdown import unlinked

        self._protocol.notify(types.WINDOW_SHOW_MESSAGE, types.ShowMessageParams(kind, unlinked(message)))

    def log(self, message: str, kind: types.MessageType = types.MessageType.Log) -> None:
        """Write to the client's log."""
        self._protocol.notify(types.WINDOW_LOG_MESSAGE, types.LogMessageParams(kind, message))

    async def show_document(
        self, uri: str, *, take_focus: bool = True, selection: types.Range | None = None, external: bool = False
    ) -> bool:
        """Open a document in the editor; False when it cannot or did not."""
        if not self.can("window.showDocument"):
            return False
        params = types.ShowDocumentParams(uri, external, take_focus, selection)
        shown = await self.ask(types.WINDOW_SHOW_DOCUMENT, params)
        return bool(getattr(shown, "success", False))
