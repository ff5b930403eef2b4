"""Names: which ones people may choose, and those that metawsm derives from them.

A name from outside becomes a folder, a branch, a tmux session and a file. A name that cannot safely be all of
these is refused where it enters; one that needs changes for some of them is sanitised here and nowhere else.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping

from metawsm_rpc.errors import InvalidParamsError

_TICKET = re.compile(r"[^\W_][\w.:-]{0,99}")
_REPOSITORY = re.compile(r"[^\W_][\w.-]{0,99}")
_AGENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_RUN = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)
_WORKSPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)

_LONGEST_NAME = 200
"""In bytes: a folder's name has room for 255, and a ticket's also holds some of its title."""

_RUN_ID_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Letters and digits that cannot be taken for one another."""

RUN_ID_LENGTH = 8


def _check(kind: str, name: str, pattern: re.Pattern[str], allowed: str) -> str:
    normal = unicodedata.normalize("NFC", name)
    plain = normal if pattern.flags & re.ASCII else _without_marks(normal)
    if not pattern.fullmatch(plain) or plain[:1] != normal[:1] or ".." in normal or normal.endswith("."):
        raise InvalidParamsError(f"{name!r} cannot be the name of {kind}: use {allowed}.")
    if len(normal.encode()) > _LONGEST_NAME:
        raise InvalidParamsError(f"{name[:20]!r}… cannot be the name of {kind}: it is too long for a folder.")
    return normal


def _without_marks(name: str) -> str:
    """Return a name without combining marks: each belongs to the letter before it, even without a composed form."""
    return "".join(character for character in name if not unicodedata.category(character).startswith("M"))


def check_ticket(name: str) -> str:
    """Return a ticket id in Unicode's composed form. Raises `InvalidParamsError` for an unusable one."""
    return _check("a ticket", name, _TICKET, "letters, digits, '.', ':', '_' and '-', beginning with a letter or digit")


def check_repository(name: str) -> str:
    """Return a repository's name. Raises `InvalidParamsError` for an unusable one."""
    return _check(
        "a repository", name, _REPOSITORY, "letters, digits, '.', '_' and '-', beginning with a letter or digit"
    )


def check_agent(name: str) -> str:
    """Return an agent's name. Raises `InvalidParamsError` for an unusable one."""
    return _check("an agent", name, _AGENT, "ASCII letters, digits, '.', '_' and '-', beginning with a letter or digit")


def check_run_id(name: str) -> str:
    """Return a run id. Raises `InvalidParamsError` for an unusable one."""
    return _check("a run", name, _RUN, "at most 64 of a-z, 0-9 and '-', beginning with a letter or digit")


def check_workspace(name: str) -> str:
    """Return a workspace's name. Raises `InvalidParamsError` for an unusable one."""
    return _check("a workspace", name, _WORKSPACE, "ASCII letters, digits, '.', '_' and '-'")


def run_id(random_bytes: bytes) -> str:
    """Return a new run id made from `RUN_ID_LENGTH` random bytes."""
    return "".join(_RUN_ID_ALPHABET[byte % len(_RUN_ID_ALPHABET)] for byte in random_bytes[:RUN_ID_LENGTH])


def suffix(run: str) -> str:
    """Return the part of a run id that goes into names: its last word, or all of it if that is too short."""
    last = run.rsplit("-", 1)[-1]
    return last if len(last) >= 4 else run


def slug(text: str) -> str:
    """Return `text` as lower-case ASCII letters, digits, `_` and single `-`; may be empty."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9_]+", "-", ascii_text.lower())[:_SLUG_LENGTH].strip("-_")


_SLUG_LENGTH = 100
"""A folder's name has room for 255 bytes, and compatibility forms such as `ﬃ` make a name longer."""


def _digest(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def distinct(wanted: Mapping[str, str]) -> dict[str, str]:
    """Return a unique name for every key; names that would be equal or empty get a hash of their key appended."""
    found, hashed, digits = dict(wanted), {key for key, name in wanted.items() if not name}, 6
    while True:
        for key in hashed:
            found[key] = f"{wanted[key]}-{_digest(key, digits)}".strip("-")
        keys: dict[str, list[str]] = {}
        for key, name in found.items():
            keys.setdefault(name, []).append(key)
        clashing = {key for same in keys.values() if len(same) > 1 for key in same}
        if not clashing:
            return found
        # A hash can equal another hash, or the end of another name.
        digits += 2 if clashing & hashed else 0
        hashed |= clashing


def workspace_names(tickets: Iterable[str], run: str) -> dict[str, str]:
    """Return the workspace's name for each ticket: `<ticket>-<suffix of the run id>`."""
    return {ticket: f"{name}-{suffix(run)}" for ticket, name in distinct({t: slug(t) for t in tickets}).items()}


def session_name(pattern: str, *, agent: str, workspace: str, ticket: str, run: str) -> str:
    """Return a tmux session name: the policy's pattern filled in, sanitised, with the run's suffix.

    `.` and `:` cannot stand in a session name, and `#` would be expanded as a format.
    """
    filled = pattern.replace("{agent}", agent).replace("{workspace}", workspace).replace("{ticket}", ticket)
    name = re.sub(r"[^A-Za-z0-9_]+", "-", unicodedata.normalize("NFKD", filled).encode("ascii", "ignore").decode())
    name = name.strip("-") or "agent"
    # As separate words: a ticket that happens to contain the letters does not make the name unique to the run.
    return name if f"-{suffix(run)}-" in f"-{name}-" else f"{name}-{suffix(run)}"
