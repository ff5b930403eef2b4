"""What the engine needs of the files in which programs say what they are doing."""

from collections.abc import Collection, Mapping
from typing import Any, Protocol


class StatusFiles(Protocol):
    """Files that agent programs write of themselves."""

    def claude(
        self, process_sessions: Collection[int], environment: Mapping[str, str]
    ) -> Mapping[int, Mapping[str, Any]]:
        """Return the status file of the Claude Code in each of these process sessions that has one.

        A process session is named by the pid in the agent's pane, which leads it. `environment` is
        what these agents have on top of this process's own.
        """
