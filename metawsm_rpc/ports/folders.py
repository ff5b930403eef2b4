"""The files that metawsm keeps for agents."""

from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol


class Dropped(NamedTuple):
    """A signal that an agent left in its drop box because it could not write the database."""

    id: str
    text: str


class AgentPaths(NamedTuple):
    """The files that metawsm keeps for one agent, outside the worktrees; all absolute."""

    brief: str
    transcript: str
    drop_box: str
    launches: str


class Folders(Protocol):
    """The files that metawsm keeps below `.metawsm` besides the database."""

    def paths(self, run_id: str, ticket: str, agent: str) -> AgentPaths:
        """Return where an agent's files are, without creating them."""

    def launch_directory(self, paths: AgentPaths, launch: str) -> str:
        """Return the private folder of a launch, without creating it."""

    def prepare(self, paths: AgentPaths, launch: str, brief: str) -> None:
        """Create the folders of a launch and write the brief atomically."""

    def discard_launch(self, paths: AgentPaths, launch: str) -> None:
        """Remove the folder of a launch that was never started; harmless when it is gone."""

    def leave(self, paths: AgentPaths, name: str, text: str) -> None:
        """Put a file into the agent's drop box atomically, replacing one with this name.

        A file whose name begins with a dot is not a signal. Raises `HostError` when it cannot be written.
        """

    def left(self, paths: AgentPaths, name: str) -> str | None:
        """Return the content of a file in the agent's drop box, None when there is no such regular file."""

    def dropped(self, paths: AgentPaths) -> tuple[Dropped, ...]:
        """Return the signals in the agent's drop box, oldest first."""

    def discard(self, paths: AgentPaths, dropped_id: str) -> None:
        """Remove a signal from the drop box; harmless when it is gone, or cannot be removed."""

    def awaiting(self, paths: AgentPaths, guidance_id: str) -> AbstractContextManager[None]:
        """Mark, within the block, that this process waits for the answer to a question of the agent."""

    def is_awaited(self, paths: AgentPaths, guidance_id: str) -> bool:
        """Return whether a live process waits for the answer to a question of the agent."""

    def claiming(self, paths: AgentPaths, what: str) -> AbstractContextManager[bool]:
        """Claim something of the agent for this process; the block is given False while a live one has it."""

    def workspace_path(self, directory: str, name: str, now: float) -> str:
        """Return the path for a new workspace: `<directory>/<local date>/<name>`, as wsm lays it out."""

    def occupied(self, path: str) -> bool:
        """Return whether something exists at this path; an empty folder does not count."""

    def remove_empty(self, path: str) -> None:
        """Remove a workspace's folder if nothing is left in it."""
