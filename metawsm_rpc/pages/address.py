"""Addresses of documents: `metawsm:/run/<runId>` and the like, each part percent-encoded."""

from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from metawsm_rpc.errors import InvalidParamsError

SCHEME = "metawsm"

_PARTS: dict[str, tuple[str, ...]] = {
    "run": ("runId",),
    "plan": ("runId",),
    "transcript": ("runId", "ticket", "agent"),
    "diff": ("runId", "ticket", "repo"),
    "explain": ("runId", "ticket", "agent"),
    "events": ("runId",),
    "runs": (),
    "tickets": (),
    "policy": (),
    "doctor": (),
}


class Address(NamedTuple):
    """The kind of a document, and the names after it."""

    kind: str
    names: tuple[str, ...]

    @property
    def run_id(self) -> str | None:
        """The run that the document is about, if it is about one."""
        return self.names[0] if self.names else None

    @property
    def uri(self) -> str:
        """The address as it is written."""
        return "/".join([f"{SCHEME}:", self.kind, *(quote(name, safe="") for name in self.names)])


def parse(uri: str) -> Address:
    """Return what an address means. Raises `InvalidParamsError` for what is none."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        parts = urlsplit("")
    kind, *names = parts.path.strip("/").split("/")
    if parts.scheme != SCHEME or kind not in _PARTS:
        known = ", ".join(_written(one) for one in _PARTS)
        raise InvalidParamsError(f"{uri[:200]!r} is no document of metawsm.", hint=f"There are: {known}.")
    found = Address(kind, tuple(map(unquote, names)))
    if len(names) != len(_PARTS[kind]) or not all(found.names):
        raise InvalidParamsError(f"{uri[:200]!r} is not whole; it is written {_written(kind)}.")
    return found


def _written(kind: str) -> str:
    return "/".join([f"{SCHEME}:", kind, *(f"<{name}>" for name in _PARTS[kind])])
