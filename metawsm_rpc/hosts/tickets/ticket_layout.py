"""The layout of a new ticket: its folder's name, its files and their text, as docmgr creates them."""

from collections.abc import Mapping, Sequence

from metawsm_rpc.hosts.tickets.frontmatter import scalar

FOLDERS = ("design", "reference", "playbooks", "scripts", "sources", ".meta", "various", "archive")
_NAME_LIMIT = 255
"""Bytes in a file name, on every file system that people use."""

_SEPARATORS = " \t-–—:_"


def slug(text: str) -> str:
    """Return `text` as docmgr writes it in paths: lowercase ASCII letters, digits and single `-`."""
    # Rune by rune, as in Go: Python lowercases a capital I with a dot to two characters.
    lower = (character.lower()[0] for character in text)
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in lower).split()
    return "-".join(words) or "document"


def one_line(text: str) -> str:
    """Return `text` on one line, without characters that cannot be seen."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def folder_name(ticket: str, title: str) -> str:
    """Return the name of a ticket's folder: `<TICKET>--<slug>`, where the slug does not repeat the ticket."""
    rest = title.strip()
    if rest[: len(ticket)].casefold() == ticket.casefold():
        rest = rest[len(ticket) :].lstrip(_SEPARATORS).strip()
    room = _NAME_LIMIT - len(f"{ticket}--".encode())
    return f"{ticket}--{slug(rest or ticket)[:room].rstrip('-')}"


def files(
    ticket: str, title: str, *, topics: Sequence[str], owners: Sequence[str], intent: str, date: str, timestamp: str
) -> Mapping[str, str]:
    """Return the text of each file of a new ticket, by name.

    Args:
        ticket: its id.
        title: one line.
        topics: one word or a few, each.
        owners: the people responsible.
        intent: docmgr's term for how long it is meant to be kept.
        date: today, local, `YYYY-MM-DD`.
        timestamp: now, RFC 3339 with a zone.
    """
    lines = [
        "---",
        f"Title: {scalar(title)}",
        f"Ticket: {scalar(ticket)}",
        "Status: active",
        *_list("Topics", topics),
        "DocType: index",
        f"Intent: {scalar(one_line(intent))}",
        *_list("Owners", owners),
        "RelatedFiles: []",
        "ExternalSources: []",
        'Summary: ""',
        f"LastUpdated: {timestamp}",
        'WhatFor: ""',
        'WhenToUse: ""',
        "---",
        "",
        f"# {title}",
        "",
        "Say here what is to be done and how one sees that it is done.",
        "",
        "See [tasks.md](tasks.md) for the tasks and [changelog.md](changelog.md) for what has happened.",
        "",
    ]
    return {
        "index.md": "\n".join(lines),
        "README.md": f"# {title}\n\nThe documents of ticket {ticket}. Begin with [index.md](index.md).\n",
        "tasks.md": "# Tasks\n\n## TODO\n\n",
        "changelog.md": f"# Changelog\n\n## {date}\n\n- Initial workspace created\n\n",
    }


def changelog_entry(date: str, text: str) -> str:
    """Return a dated entry as docmgr appends it to changelog.md."""
    return f"\n## {date}\n\n{text}\n\n"


def _list(key: str, texts: Sequence[str]) -> list[str]:
    items = [f"    - {scalar(text)}" for text in map(one_line, texts) if text]
    return [f"{key}:", *items] if items else [f"{key}: []"]
