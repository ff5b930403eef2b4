"""The files in which agents' programs publish their own state."""

from collections.abc import Collection, Mapping
from typing import Any, Protocol


class StatusFiles(Protocol):
    """Status files that agents' programs write."""

    def claude(
        self, process_sessions: Collection[int], environment: Mapping[str, str]
    ) -> Mapping[int, Mapping[str, Any]]:
        """Return Claude Code's status file for each of these process sessions that has one.

        A process session is identified by its leader, the pid in the agent's pane. `environment` is what these
        agents have in addition to this process's environment.
        """
