"""What the engine needs of wsm's files."""

from collections.abc import Mapping
from typing import Any, Protocol

from metawsm_rpc.domain.models import Workspace


class Registry(Protocol):
    """wsm's two JSON files, so that both programs see the same workspaces and repositories."""

    def record(self, workspace: Workspace, base_branch: str) -> None:
        """Write, or rewrite, the workspace's file."""

    def forget(self, name: str) -> None:
        """Remove the workspace's file; harmless when there is none."""

    def workspace(self, name: str) -> Mapping[str, Any] | None:
        """Return the stored file of a workspace, or None."""
