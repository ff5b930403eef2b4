"""What an editor is shown: diagnostics, lenses, hovers, actions, links, symbols, completion and documents."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metawsm_rpc.rpc.server import MetawsmServer


def register(server: "MetawsmServer") -> None:
    """Register every feature; handlers import what is heavy when they are first called."""
