"""The files of wsm (workspace-manager)."""

from collections.abc import Mapping
from typing import Any, Protocol

from metawsm_rpc.domain.models import Workspace


class Registry(Protocol):
    """wsm's JSON files: sharing them lets both programs see the same workspaces and repositories."""

    def record(self, workspace: Workspace, base_branch: str) -> None:
        """Write, or rewrite, the workspace's file."""

    def forget(self, name: str) -> None:
        """Remove the workspace's file; harmless when there is none."""

    def workspace(self, name: str) -> Mapping[str, Any] | None:
        """Return the stored file of a workspace, or None."""
