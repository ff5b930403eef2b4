"""Ticket folders as docmgr writes them, and the time zone in which they are written."""

import contextlib
import time
from pathlib import Path

import pytest

NOW = 1767323045.6789  # 2026-01-02T03:04:05.6789Z

# What docmgr v0.0.20 wrote for `ticket create-ticket --ticket MEN-1 --title 'MEN-1: Fix Café: API # "x"' --topics a,b`.
DOCMGR_INDEX = """\
---
Title: 'MEN-1: Fix Café: API # "x"'
Ticket: MEN-1
Status: active
Topics:
    - a
    - b
DocType: index
Intent: long-term
Owners: []
RelatedFiles: []
ExternalSources: []
Summary: ""
LastUpdated: 2026-01-02T03:04:05.6789Z
WhatFor: ""
WhenToUse: ""
---
"""


@contextlib.contextmanager
def timezone(name: str):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", name)
        time.tzset()
        yield
    time.tzset()


def write(root: Path, folder: str, content: str | bytes = "---\nTitle: t\nTicket: T\nDocType: index\n---\n") -> Path:
    path = root / folder / "index.md"
    path.parent.mkdir(parents=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
