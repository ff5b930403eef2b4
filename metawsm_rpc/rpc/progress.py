"""Progress of what takes long, where a person sees it, and Cancel."""

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metawsm_rpc.rpc.server import MetawsmServer

Token = str | int

_OFFERED: ContextVar[Token | None] = ContextVar("work_done_token", default=None)


class Progress:
    """Tells the client how far runs and closes are."""

    def __init__(self, server: "MetawsmServer") -> None:
        self._server = server

    @staticmethod
    def offered(token: Token | None) -> None:
        """Keep the token that came with the request of this task."""
        _OFFERED.set(token)

    async def cancel(self, token: Token) -> None:
        """Stop what the token stands for."""
