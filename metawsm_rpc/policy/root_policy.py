"""The policy of one root: loading, showing, creating and migrating it.

The model is imported by the methods that need it, so that verbs that only look at runs never pay for it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from metawsm_rpc.domain.models import Problem
from metawsm_rpc.errors import HostError, InvalidParamsError

if TYPE_CHECKING:
    from metawsm_rpc.policy.loading import Resolved
    from metawsm_rpc.policy.migration import Migration
    from metawsm_rpc.policy.model import Policy


_SOCKETS = "/tmp"  # noqa: S108 - where tmux keeps its sockets unless it is told otherwise (tmux(1), -L)


class Shown(NamedTuple):
    """The policy in effect, None while there are problems."""

    path: str
    policy: dict[str, Any] | None
    problems: tuple[Problem, ...]


class RootPolicy:
    """The policy file of a root, with the layers above and below it."""

    def __init__(self, root: Path, environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None) -> None:
        self._root = root
        self._environ = environ
        self._overrides = overrides
        self.path = root / ".metawsm" / "policy.json"

    def data(self) -> Mapping[str, Any]:
        """Return the resolved policy as plain data. Raises `InvalidPolicyError`."""
        return self._as_data(self._resolve().required())

    def show(self) -> Shown:
        """Return the resolved policy, or all problems with it."""
        resolved = self._resolve()
        policy = None if resolved.policy is None else self._as_data(resolved.policy)
        return Shown(str(self.path), policy, resolved.problems)

    def init(self, *, force: bool) -> str:
        """Write a starter policy, and return its path.

        Raises `InvalidParamsError` when there is one and `force` is not given.
        """
        import shutil

        from metawsm_rpc.policy.profiles import BUILT_IN
        from metawsm_rpc.policy.schema import starter

        if self.path.exists() and not force:
            raise InvalidParamsError(f"There is a policy already at {self.path}; --force replaces it.")
        programs = {str(profile["runner"]) for profile in BUILT_IN.values()}
        installed = [name for name in sorted(programs) if shutil.which(name, path=self._environ.get("PATH"))]
        draft = self.path.with_name(f".policy.{os.getpid()}.draft")
        try:
            draft.write_text(starter(installed), "utf-8")
            draft.replace(self.path)
        except OSError as error:
            raise HostError(f"The policy {self.path} cannot be written: {error.strerror}.") from error
        return str(self.path)

    def migrate(self) -> "Migration":
        """Convert a file of the earlier metawsm in Go (versions 1 and 2) to this version, with a backup beside it."""
        from metawsm_rpc.policy.migration import migrate_file

        return migrate_file(self.path)

    def _as_data(self, policy: "Policy") -> dict[str, Any]:
        data: dict[str, Any] = policy.model_dump(mode="json")
        # Other processes that will look at the run may lack this variable: an editor, an agent, a service.
        data["tmux"]["directory"] = data["tmux"]["directory"] or self._environ.get("TMUX_TMPDIR") or _SOCKETS
        return data

    def _resolve(self) -> "Resolved":
        from metawsm_rpc.policy.loading import resolve

        return resolve(self._root, environ=self._environ, overrides=self._overrides)
