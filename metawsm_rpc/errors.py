"""The errors that metawsm raises on purpose.

A client decides by `kind`, a script by `exit_status`, a person by the message and the hint:
the message is one sentence that says what is wrong and, if possible, what to do next.
The table of kinds, codes and exit statuses is part of the protocol (docs/protocol.md).
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal


class MetawsmError(Exception):
    """An error that the person or the calling program can act on."""

    kind: ClassVar[str] = "internal"
    code: ClassVar[int] = -32603
    exit_status: ClassVar[int] = 70

    def __init__(self, message: str, *, hint: str | None = None, details: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def data(self) -> dict[str, Any]:
        """The `data` member of the JSON-RPC error: `{kind, hint, details}`."""
        return {"kind": self.kind, "hint": self.hint, "details": self.details}


class InternalError(MetawsmError):
    """A defect of metawsm itself."""


class InvalidParamsError(MetawsmError):
    """A parameter is missing, of the wrong type, or not allowed here."""

    kind, code, exit_status = "invalid_params", -32602, 2


class InvalidPolicyError(MetawsmError):
    """The policy file cannot be used; `details` is a list of problems on the wire."""

    kind, code, exit_status = "invalid_policy", 4220, 2


class NotFoundError(MetawsmError):
    """Something with this name does not exist."""

    code, exit_status = 4040, 3


class RunNotFoundError(NotFoundError):
    """No run has this id, prefix or ticket."""

    kind = "run_not_found"


class AgentNotFoundError(NotFoundError):
    """The run, or the policy, has no agent of this name."""

    kind = "agent_not_found"


class TicketNotFoundError(NotFoundError):
    """No ticket has this id."""

    kind = "ticket_not_found"


class RepoNotFoundError(NotFoundError):
    """No repository has this name at this root."""

    kind = "repo_not_found"


class GuidanceNotFoundError(NotFoundError):
    """No question has this id."""

    kind = "guidance_not_found"


class StepNotFoundError(NotFoundError):
    """The run has no step of this index."""

    kind = "step_not_found"


class AmbiguousError(MetawsmError):
    """The name matches more than one thing."""

    kind, code, exit_status = "ambiguous", 4041, 3


class NotTrustedError(MetawsmError):
    """The folder is not trusted, so metawsm only reads there."""

    kind, code, exit_status = "not_trusted", 4030, 4


class IllegalTransitionError(MetawsmError):
    """The lifecycle has no such move from the entity's current state."""

    kind, code, exit_status = "illegal_transition", 4090, 4


class LostLeaseError(MetawsmError):
    """Another process has taken over the run or root that this process had a lease on."""

    kind, code, exit_status = "lost_lease", 4091, 4


class BusyError(MetawsmError):
    """A live process drives this run; only reading, signals, sends and `stop` are possible now."""

    kind, code, exit_status = "busy", 4091, 4


class CloseBlockedError(MetawsmError):
    """Close found reasons not to merge; `details` is a list of `Blocked`, and nothing was changed."""

    kind, code, exit_status = "close_blocked", 4093, 5


class DependencyMissingError(MetawsmError):
    """A required program is not installed or too old."""

    kind, code, exit_status = "dependency_missing", 4240, 6


class StepFailedError(MetawsmError):
    """A step of the plan failed."""

    kind, code, exit_status = "step_failed", 5000, 1


class HostError(MetawsmError):
    """git, tmux or the file system refused something."""

    kind, code, exit_status = "host_error", 5000, 1


class CommandError(HostError):
    """A program exited with an error; carries its command line and error output.

    Attributes:
        argv: the command line.
        exit_code: its exit code; negative when a signal ended it.
        stderr: what it wrote to standard error, whole.
    """

    def __init__(
        self, message: str, *, argv: Sequence[str], exit_code: int, stderr: str, hint: str | None = None
    ) -> None:
        super().__init__(
            message, hint=hint, details={"argv": list(argv), "exitCode": exit_code, "stderr": stderr[-4000:]}
        )
        self.argv = tuple(argv)
        self.exit_code = exit_code
        self.stderr = stderr


class RefusedMoveError(HostError):
    """A branch cannot be moved now; nothing was changed.

    Attributes:
        reason: what close reports for it, a `BlockedReason`.
        files: the files in the way, relative to their checkout.
    """

    reason: ClassVar[Literal["base_moved", "locked", "in_the_way"]]

    def __init__(self, message: str, *, files: Sequence[str] = ()) -> None:
        super().__init__(message, details={"reason": self.reason, "files": list(files)})
        self.files = tuple(files)


class BaseMovedError(RefusedMoveError):
    """The branch to merge into has moved since the merge was made."""

    reason = "base_moved"


class RefLockedError(RefusedMoveError):
    """Another process holds the lock of a branch or an index, or a hook refuses the move."""

    reason = "locked"


class InTheWayError(RefusedMoveError):
    """A checkout has files that the move would overwrite."""

    reason = "in_the_way"


class InterruptedStepError(HostError):
    """The work was interrupted on purpose, by a stop or a lost lease."""


class StoreError(MetawsmError):
    """The database is newer than the program, damaged, locked, or its disk is full."""

    kind, code, exit_status = "store_error", 5001, 1


def exit_status_of(kind: str) -> int:
    """Return the exit status of errors of a kind."""
    pending = [MetawsmError]
    for one in pending:
        if one.kind == kind:
            return one.exit_status
        pending += one.__subclasses__()
    raise AssertionError(f"there is no error of the kind {kind!r}")
