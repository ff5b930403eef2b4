"""Installed programs, and the environment that agents start with."""

from collections.abc import Mapping
from typing import Protocol


class Programs(Protocol):
    """Finds programs in the environment that agents start with."""

    def environment(self) -> dict[str, str]:
        """Return the environment for agents: this process's, without TMUX*, GIT_* and shell state."""

    def find(self, program: str, environment: Mapping[str, str]) -> str | None:
        """Return the path of a program on that environment's PATH, or None."""

    def command_path(self) -> str:
        """Return the path of the metawsm command, without white space, for METAWSM_BIN."""

    def plugin_directory(self) -> str:
        """Return the folder of the hook files and plugins that metawsm ships for agents' programs."""
