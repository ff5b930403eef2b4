"""The machine as the engine sees it: gives access to all adapters, configured by a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    # Imported for the annotations only: a look needs few of the adapters.
    from collections.abc import Mapping

    from metawsm_rpc.ports.folders import Folders
    from metawsm_rpc.ports.merging import Merging
    from metawsm_rpc.ports.programs import Programs
    from metawsm_rpc.ports.registry import Registry
    from metawsm_rpc.ports.status_files import StatusFiles
    from metawsm_rpc.ports.terminals import Terminals
    from metawsm_rpc.ports.tickets import Tickets
    from metawsm_rpc.ports.watching import Watch
    from metawsm_rpc.ports.worktrees import Worktrees


class Machine(Protocol):
    """One machine: returns its adapters, configured by a policy.

    `worktrees` and `merging` return a new object at each call, so that `interrupt()` ends only the caller's own
    work.
    """

    root: str

    def worktrees(self, policy: Mapping[str, Any]) -> Worktrees:
        """Return the adapter for the repositories of this policy."""

    def merging(self) -> Merging:
        """Return the adapter for two-phase merging."""

    def registry(self) -> Registry:
        """Return the adapter for wsm's files."""

    def tickets(self, policy: Mapping[str, Any]) -> Tickets:
        """Return the tickets of this policy's directory."""

    def terminals(self, policy: Mapping[str, Any]) -> Terminals:
        """Return the tmux server of this policy's socket."""

    def status_files(self) -> StatusFiles:
        """Return the adapter for the files in which programs publish their state."""

    def programs(self, policy: Mapping[str, Any]) -> Programs:
        """Return the installed programs, as found in the environment that this policy asks for."""

    def watch(self) -> Watch:
        """Return a new watch over agents, for a supervisor."""

    def folders(self) -> Folders:
        """Return the files below `.metawsm`."""
