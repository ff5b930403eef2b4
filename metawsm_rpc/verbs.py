"""The table of the protocol's verbs; each is a method of `Service`, whose signature and docstring say the rest."""

from typing import NamedTuple

from metawsm_rpc.domain.wire import camel
from metawsm_rpc.service import Service


class Verb(NamedTuple):
    """A verb: `name` on the wire, `method` of `Service`, and one sentence on what it does."""

    name: str
    method: str
    summary: str


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
    "doctor",
)


def _summary(method: str) -> str:
    text: str = getattr(Service, method).__doc__
    return " ".join(text.split("\n\n", 1)[0].split())


VERBS = tuple(Verb(camel(method), method, _summary(method)) for method in _METHODS)
"""Every verb, in the order in which it is documented."""
