"""Where a state folder was made: one that was copied, or that came with a clone or an archive, is not acted on.

What is stored says which commands to run and where: whoever continues the unfinished runs of a database
that somebody else has prepared runs what that somebody wants. And the sessions and worktrees of a copied
root belong to the original. The inode number of the folder tells: it stays when the folder is renamed,
and changes with every copy.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

_FILE = "place"


def mark(directory: Path) -> None:
    """Note that the state folder is used where it is now. Raises `OSError` when it cannot be written."""
    draft = directory / f"{_FILE}.{os.getpid()}"
    draft.touch(mode=0o600)
    draft.write_text(f"{directory.stat().st_ino}\n", encoding="ascii")
    draft.replace(directory / _FILE)


def came_from_elsewhere(directory: Path) -> bool:
    """Return whether the state folder has runs, and was not marked where it is now."""
    try:
        inode = b"%d" % directory.stat().st_ino
    except OSError:
        return False  # missing or inaccessible: then nothing in it is used either
    try:
        marked = (directory / _FILE).read_bytes().strip()
    except OSError:
        marked = b""
    return marked != inode and _has_runs(directory / "metawsm.db")


def _has_runs(database: Path) -> bool:
    """Return whether a database has runs; False where there is none, or none that can be read."""
    logged = database.with_name(f"{database.name}-wal").exists()
    uri = f"{database.absolute().as_uri()}?{'mode=ro' if logged else 'mode=ro&immutable=1'}"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            (found,) = connection.execute("SELECT EXISTS (SELECT * FROM runs)").fetchone()
    except sqlite3.Error:
        return False  # opening it will say what is wrong
    return bool(found)
