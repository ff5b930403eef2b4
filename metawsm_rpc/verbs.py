"""The table of the protocol's verbs; each is a method of `Service`, which defines its parameters and result."""

from typing import NamedTuple

from metawsm_rpc.domain.wire import camel


class Verb(NamedTuple):
    """A verb: `name` on the wire, `method` of `Service`.

    A verb that only `reads` executes and changes nothing in an untrusted root; all others are refused there.
    """

    name: str
    method: str
    reads: bool

    @property
    def summary(self) -> str:
        """One sentence on what it does."""
        # The table is imported where start-up must be fast; Service is not.
        from metawsm_rpc.service import Service

        text: str = getattr(Service, self.method).__doc__
        return " ".join(text.split("\n\n", 1)[0].split())


_METHODS = (
    "run",
    "plan",
    "runs",
    "status",
    "wait",
    "resume",
    "stop",
    "complete",
    "restart",
    "iterate",
    "retry_step",
    "skip_step",
    "send",
    "answer",
    "signal",
    "transcript",
    "attach",
    "diff",
    "sync",
    "close",
    "cleanup",
    "explain",
    "events",
    "tickets",
    "create_ticket",
    "close_ticket",
    "policy",
    "policy_init",
    "content",
    "doctor",
)

# `plan` and `diff` change nothing either, but run git, which a folder can configure to execute programs.
_READING = frozenset(
    {
        "runs",
        "status",
        "wait",
        "transcript",
        "attach",
        "explain",
        "events",
        "tickets",
        "policy",
        "content",
        "doctor",
    }
)

VERBS = tuple(Verb(camel(method), method, method in _READING) for method in _METHODS)
"""Every verb, in the order in which it is documented."""

BY_NAME = {verb.name: verb for verb in VERBS}
