"""One machine, as the engine is given it: all adapters, set up for a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    # What hands the adapters out knows only their names: a look needs few of them.
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
    """One machine: hands out its adapters, set up for a policy.

    `worktrees` and `merging` are fresh at each call, so that `interrupt()` ends only the work of
    whoever asked for them.
    """

    root: str

    def worktrees(self, policy: Mapping[str, Any]) -> Worktrees:
        """Return git for the repositories of this policy."""

    def merging(self) -> Merging:
        """Return merging in two phases."""

    def registry(self) -> Registry:
        """Return wsm's files."""

    def tickets(self, policy: Mapping[str, Any]) -> Tickets:
        """Return the tickets of this policy's directory."""

    def terminals(self, policy: Mapping[str, Any]) -> Terminals:
        """Return the tmux server of this policy's socket."""

    def status_files(self) -> StatusFiles:
        """Return the files in which programs say what they are doing."""

    def programs(self, policy: Mapping[str, Any]) -> Programs:
        """Return what is installed, in the environment that this policy asks for."""

    def watch(self) -> Watch:
        """Return a new watch over agents, for who supervises."""

    def folders(self) -> Folders:
        """Return the files below `.metawsm`."""
