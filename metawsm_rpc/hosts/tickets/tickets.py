"""Tickets as folders of Markdown files, in docmgr's layout, without docmgr.

    <root>/2026/01/02/MEN-1--fix-the-api/index.md   what a ticket is, in its frontmatter
                                        /tasks.md, changelog.md, README.md
                                        /design/, reference/, …

A ticket is identified by the frontmatter of its index.md, anywhere below the root.
"""

import contextlib
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from metawsm_rpc.domain.clock import Clock
from metawsm_rpc.domain.models import Problem
from metawsm_rpc.domain.names import check_ticket
from metawsm_rpc.domain.ticket_line import value_in
from metawsm_rpc.errors import AmbiguousError, HostError, InvalidParamsError, TicketNotFoundError
from metawsm_rpc.hosts.files import exclusive, replace_file
from metawsm_rpc.hosts.local_time import local_date, local_timestamp
from metawsm_rpc.hosts.tickets import frontmatter, ticket_layout
from metawsm_rpc.hosts.tickets.docmgr_config import TicketRoot
from metawsm_rpc.hosts.tickets.frontmatter import FrontmatterError
from metawsm_rpc.ports.tickets import Ticket

_INDEX = "index.md"
_TEXT_LIMIT = 256 * 1024
"""Bytes of a ticket's text that go into a brief; nobody writes a longer one by hand."""
_CLOSED = frozenset({"complete", "archived"})
_SKIPPED = frozenset({".meta", ".git", "node_modules", ".pnpm", "dist", "build", "coverage", ".venv", "__pycache__"})
"""Folders that docmgr skips, besides those that begin with `_`."""


class _Broken(NamedTuple):
    """An index.md, or a folder, that could be a ticket but cannot be read."""

    path: Path
    line: int | None
    reason: str
    head: bytes = b""

    @property
    def place(self) -> str:
        return f"{self.path}, line {self.line}" if self.line else str(self.path)

    @property
    def is_folder(self) -> bool:
        return self.path.name != _INDEX

    def could_be(self, ticket: str) -> bool:
        """Return whether the folder's name or a `Ticket:` line suggests that it is this ticket."""
        folder = self.path.name if self.is_folder else self.path.parent.name
        line = rf"^\s*Ticket\s*:\s*['\"]?{re.escape(ticket)}['\"]?\s*$".encode()
        return _normal(folder.partition("--")[0]) == ticket or re.search(line, self.head, re.MULTILINE) is not None


class FileTickets:
    """Implements `metawsm_rpc.ports.tickets.Tickets` on the files below a folder, which need not exist yet."""

    def __init__(self, root: TicketRoot, now: Clock) -> None:
        self._root = root
        self._now = now
        self.directory = str(root.directory)

    def all(self) -> tuple[Ticket, ...]:
        """Return every ticket whose frontmatter decodes, sorted by path."""
        tickets, _ = self._read()
        return tickets

    def all_and_problems(self) -> tuple[tuple[Ticket, ...], tuple[Problem, ...]]:
        """Return the same, and the problem of every index.md and folder that could not be read."""
        tickets, broken = self._read()
        return tickets, tuple(
            Problem(
                "ticket-unreadable",
                f"This ticket cannot be read: {file.reason}.",
                hint=f"Mend {file.place}; until then no run can have it.",
                path=str(file.path),
                line=file.line,
            )
            for file in broken
        )

    def find(self, ticket: str) -> Ticket:
        """Return one ticket, by its exact id.

        Raises:
            TicketNotFoundError: there is none; if its frontmatter is broken, the hint says where.
            AmbiguousError: two folders claim this ticket.
        """
        wanted = _normal(ticket)
        tickets, broken = self._read(wanted)
        if len(tickets) > 1:
            places = [found.path for found in tickets]
            raise AmbiguousError(
                f"Ticket {wanted} is ambiguous: {' and '.join(places)} both say that they are it.",
                hint="Give one of them another 'Ticket:', or remove it.",
                details=places,
            )
        if tickets:
            return tickets[0]
        for file in broken:
            if file.could_be(wanted):
                raise TicketNotFoundError(
                    f"Ticket {wanted} cannot be read.",
                    hint=f"Mend {file.place}: {file.reason}.",
                    details={"path": str(file.path), "line": file.line, "reason": file.reason},
                )
        raise TicketNotFoundError(
            f"There is no ticket {wanted!r} below {self._root.directory}.", hint=self._hint(wanted, broken)
        )

    def text(self, ticket: Ticket) -> str:
        """Return what the ticket's index.md says below its frontmatter.

        Raises `HostError` when the file is gone or cannot be read.
        """
        try:
            with Path(ticket.path).open("rb") as file:
                frontmatter.read_block(file)
                return file.read(_TEXT_LIMIT).decode("utf-8", "replace")
        except OSError as error:
            raise HostError(f"The ticket {ticket.path} cannot be read: {error.strerror}.") from error

    def create(self, ticket: str, *, title: str | None, topics: Sequence[str]) -> Ticket:
        """Make a ticket's folder, whole or not at all, and return the ticket.

        Raises:
            InvalidParamsError: the name cannot be used, or there is such a ticket.
            HostError: the folder cannot be written.
        """
        ticket = check_ticket(ticket)
        title = ticket_layout.one_line(title or "") or ticket
        now = self._now()
        date = local_date(now)
        files = ticket_layout.files(
            ticket,
            title,
            topics=topics,
            owners=self._root.owners,
            intent=self._root.intent,
            date=date,
            timestamp=local_timestamp(now),
        )
        target = self._root.directory.joinpath(*date.split("-"), ticket_layout.folder_name(ticket, title))
        self._check_place(target.parent)
        with exclusive(self._root.directory):
            self._check_new(ticket, target)
            _make_folder(target, files)
        return self.find(ticket)

    def close(self, ticket: str, *, changelog: str) -> Ticket:
        """Set the status to complete and append a dated entry to changelog.md; harmless when it is closed.

        Raises what `find` raises, and `HostError` when a file cannot be written.
        """
        self.find(ticket)  # before the lock, which makes the folder of all tickets
        with exclusive(self._root.directory):
            found = self.find(ticket)
            if found.status in _CLOSED:
                return found
            now = self._now()
            # The status comes last: it says that all of this is done.
            self._append(Path(found.directory, "changelog.md"), local_date(now), changelog.strip() or "Ticket closed")
            self._complete(Path(found.path), local_timestamp(now))
            return self.find(ticket)

    def _append(self, path: Path, date: str, text: str) -> None:
        try:
            if path.exists() and not path.is_file():  # a repository can hold a link to anything
                raise HostError(f"{path} is not a file.")
            content = path.read_bytes()
        except FileNotFoundError:
            content = b"# Changelog\n\n"
        except OSError as error:
            raise HostError(f"{path} cannot be read: {error.strerror}.") from error
        entry = ticket_layout.changelog_entry(date, text).encode()
        # Whoever was cut off between the entry and the status has left the entry behind.
        if not content.endswith(entry):
            replace_file(path, content + entry)

    def _complete(self, path: Path, timestamp: str) -> None:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise HostError(f"{path} cannot be read: {error.strerror}.") from error
        replace_file(path, frontmatter.with_values(content, {"Status": "complete", "LastUpdated": timestamp}))

    def _check_place(self, folder: Path) -> None:
        """Raise `HostError` for a folder that leads out of the root: a clone may hold a link to anything."""
        within = self._root.within
        if within is None:
            return
        real = os.path.realpath(folder)
        if os.path.commonpath((real, os.path.realpath(within))) != os.path.realpath(within):
            raise HostError(
                f"The tickets' folder {folder} leads out of {within}, to {real}, so it is not used.",
                hint="If that is meant, let a .ttmp.yaml above that folder, or one that DOCMGR_CONFIG names, say so.",
            )

    def _check_new(self, ticket: str, target: Path) -> None:
        try:
            found = self.find(ticket)
        except AmbiguousError as error:
            raise InvalidParamsError(f"Ticket {ticket} exists, and even twice.", hint=error.message) from error
        except TicketNotFoundError as error:
            if error.details:
                raise InvalidParamsError(f"Ticket {ticket} exists, but its file is broken.", hint=error.hint) from error
            if target.exists():
                hint = "Move it out of the way, or give the ticket another title."
                raise InvalidParamsError(f"{target} stands there already and is no ticket.", hint=hint) from error
            return
        raise InvalidParamsError(f"Ticket {ticket} exists already: {found.path}.")

    def _read(self, wanted: str | None = None) -> tuple[tuple[Ticket, ...], tuple[_Broken, ...]]:
        """Return the tickets, all or those with one id, and what could not be read."""
        self._check_place(self._root.directory)
        tickets: list[Ticket] = []
        broken: list[_Broken] = []
        for path in _index_files(self._root.directory, broken):
            head = b""
            try:
                with path.open("rb") as file:
                    head = frontmatter.read_block(file)
                if wanted is None or _mentions(head, wanted):
                    ticket = _ticket(path, head)
                    if ticket and wanted in (None, ticket.ticket):
                        tickets.append(ticket)
            except FrontmatterError as error:
                broken.append(_Broken(path, error.line, error.reason, head))
            except FileNotFoundError:
                continue  # it was removed since its folder was read
            except OSError as error:
                broken.append(_Broken(path, None, f"it cannot be read ({error.strerror})", head))
        return tuple(sorted(tickets, key=lambda ticket: ticket.path)), tuple(sorted(broken))

    def _hint(self, wanted: str, broken: Sequence[_Broken]) -> str:
        import difflib

        for file in broken:
            if file.is_folder:
                return f"{file.path} cannot be looked into: {file.reason}."
        if unmarked := self._unmarked(wanted):
            return f"{unmarked} names it, but has no 'DocType: index', without which it is no ticket's."
        known = {ticket.ticket.casefold(): ticket.ticket for ticket in self.all()}
        close = difflib.get_close_matches(wanted.casefold(), known, n=3)
        if close:
            return f"Did you mean {' or '.join(known[name] for name in close)}?"
        return "'metawsm tickets' lists what there is, 'metawsm ticket create' makes one."

    def _unmarked(self, wanted: str) -> Path | None:
        """Return an index.md that names a ticket, but does not say that it is a ticket's."""
        for path in _index_files(self._root.directory, []):
            try:
                with path.open("rb") as file:
                    fields = frontmatter.parse(frontmatter.read_block(file))
                if _normal(frontmatter.text_of(fields, "Ticket")) == wanted and not frontmatter.text_of(
                    fields, "DocType"
                ):
                    return path
            except (FrontmatterError, OSError):
                continue  # told of elsewhere, or gone
        return None


def _index_files(root: Path, broken: list[_Broken]) -> Iterator[Path]:
    """Yield every index.md below the root, as docmgr finds them: links to folders are not followed.

    Folders that cannot be read are added to `broken`.
    """
    pending = [str(root)]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder) as scan:
                entries = list(scan)
        except FileNotFoundError:
            continue  # there are no tickets yet, or the folder was removed meanwhile
        except OSError as error:
            if folder == str(root):
                raise HostError(f"The tickets' folder {root} cannot be read: {error.strerror}.") from error
            broken.append(_Broken(Path(folder), None, str(error.strerror)))
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _SKIPPED and not entry.name.startswith("_"):
                    pending.append(entry.path)
            elif entry.name == _INDEX and _is_file(entry):
                yield Path(entry.path)


def _is_file(entry: "os.DirEntry[str]") -> bool:
    """Return False for what would block or make no sense to read, such as a pipe."""
    try:
        return entry.is_file()
    except OSError:
        return True  # a link in a circle: opening it says so


def _ticket(path: Path, head: bytes) -> Ticket | None:
    """Return the ticket that the frontmatter of an index.md describes, or None when it describes something else."""
    fields = frontmatter.parse(head)
    ticket = _normal(frontmatter.text_of(fields, "Ticket"))
    if not ticket or frontmatter.text_of(fields, "DocType") != "index":
        return None
    line = fields["Ticket"].line  # the frontmatter begins on line 2
    return Ticket(
        ticket=ticket,
        title=frontmatter.text_of(fields, "Title"),
        status=frontmatter.text_of(fields, "Status"),
        path=str(path),
        directory=str(path.parent),
        line=line,
        column=value_in(head.split(b"\n")[line - 2].decode("utf-8", "replace"))[0] + 1,
    )


def _mentions(head: bytes, ticket: str) -> bool:
    """Return False only when frontmatter cannot name this ticket; looking is 10 times faster than decoding.

    A name of these characters stands in YAML as it is, unless there are escapes.
    """
    return not re.fullmatch(r"[\w.:-]+", ticket, re.ASCII) or ticket.encode() in head or b"\\" in head


def _normal(ticket: str) -> str:
    """Return a ticket's id in Unicode's composed form, so that it does not matter who typed it where."""
    return unicodedata.normalize("NFC", ticket.strip())


def _make_folder(target: Path, files: Mapping[str, str]) -> None:
    """Make a ticket's folder appear whole. The caller holds the lock."""
    import shutil

    draft = target.with_name("_draft")  # nobody looks into folders that begin with _
    try:
        shutil.rmtree(draft, ignore_errors=True)
        for folder in ticket_layout.FOLDERS:
            draft.joinpath(folder).mkdir(parents=True)
        for name, text in files.items():
            draft.joinpath(name).write_text(text, "utf-8")
        draft.rename(target)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.removedirs(target.parent)
        raise HostError(f"The ticket's folder {target} cannot be made: {error.strerror}.") from error
