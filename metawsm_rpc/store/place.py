"""Where a state folder was made: one that came with a clone or an archive, or was copied, is not acted on.

What is stored says which commands to run and where: whoever continues the unfinished runs of a database
that somebody else has prepared runs what that somebody wants. And the sessions and worktrees of a copied
root belong to the original. A folder is known by its inode number, which it keeps when it is renamed, or by
its path, for one that was restored where it was. Anybody can guess a path, so it is signed with a key
that only the person has.
"""

import os
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

_FILE = "place"
_KEY_BYTES = 32


def mark(directory: Path, environ: Mapping[str, str]) -> None:
    """Note that the state folder is used where it is now. Raises `OSError` when it cannot be written."""
    key = _key(environ) or _new_key(environ)
    _write(directory / _FILE, b"%s\n%s\n" % (_inode(directory), _signature(directory, key)))


def came_from_elsewhere(directory: Path, environ: Mapping[str, str]) -> bool:
    """Return whether the state folder has a usable database, and was not marked where it is now."""
    try:
        inode = _inode(directory)
    except OSError:
        return False  # missing or inaccessible: then nothing in it is used either
    try:
        marked_inode, signature = (directory / _FILE).read_bytes().splitlines()
    except (OSError, ValueError):
        marked_inode, signature = b"", b""
    if marked_inode == inode:
        return False
    is_signed = bool(signature) and signature == _signature(directory, _key(environ))
    return not is_signed and _can_be_used(directory / "metawsm.db")


def _inode(directory: Path) -> bytes:
    return b"%d" % directory.stat().st_ino


def _signature(directory: Path, key: bytes) -> bytes:
    """Return the signed path, empty without a key."""
    import hmac  # seldom needed, and slow to import

    return hmac.digest(key, os.fsencode(directory.resolve()), "sha256").hex().encode() if key else b""


def _key_file(environ: Mapping[str, str]) -> Path:
    """Return `$XDG_STATE_HOME/metawsm/key` (https://specifications.freedesktop.org/basedir-spec/latest/)."""
    configured = Path(environ.get("XDG_STATE_HOME", ""))
    base = configured if configured.is_absolute() else Path(environ.get("HOME", "/")) / ".local" / "state"
    return base / "metawsm" / "key"


def _key(environ: Mapping[str, str]) -> bytes:
    """Return the person's key, empty when there is none."""
    try:
        key = _key_file(environ).read_bytes()
    except OSError:
        return b""
    return key if len(key) == _KEY_BYTES else b""


def _new_key(environ: Mapping[str, str]) -> bytes:
    """Make the person's key; empty where none can be kept, and then only the inode number counts."""
    file = _key_file(environ)
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(file, os.urandom(_KEY_BYTES))
    return _key(environ)


def _write(file: Path, content: bytes) -> None:
    """Write a private file whole or not at all; several processes write the same."""
    draft = file.with_name(f"{file.name}.draft")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:  # noqa: PTH123 - a descriptor
        opened.write(content)
    with suppress(FileNotFoundError):  # another process was quicker
        draft.replace(file)


def _can_be_used(database: Path) -> bool:
    """Return whether opening a database could do anything but make it or refuse it.

    Its rows do not tell: triggers and a journal that is still to be played back add others.
    """
    import sqlite3  # slow to import, for verbs that need no database

    from metawsm_rpc.store.database import migrations

    if any(os.path.exists(f"{database}-{log}") for log in ("wal", "journal")):  # noqa: PTH110 - no errors
        return True
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (has_content,) = connection.execute("SELECT EXISTS (SELECT * FROM sqlite_master)").fetchone()
    except sqlite3.Error:
        return False
    return bool(has_content) and version <= len(migrations())
