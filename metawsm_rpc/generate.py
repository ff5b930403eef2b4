"""Writes the documents that are generated from the code: `python -m metawsm_rpc.generate`.

With `--check` it writes nothing and exits with 1 if one is stale. `documents` lists them.
"""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metawsm_rpc.domain.lifecycle_page import lifecycle_page
from metawsm_rpc.policy import schema
from metawsm_rpc.rpc.reference import openrpc, protocol_page, schemas, typescript

_PACKAGE = Path(__file__).parent


class Document(NamedTuple):
    """A generated file, and what makes its text."""

    path: Path
    text: Callable[[], str]

    def is_stale(self) -> bool:
        """Return whether the file is missing or differs."""
        return not self.path.exists() or self.path.read_text(encoding="utf-8") != self.text()

    def write(self) -> None:
        """Write the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(self.text(), encoding="utf-8")


def documents(checkout: Path = _PACKAGE.parent) -> tuple[Document, ...]:
    """Return every generated document of a checkout."""
    return (
        Document(checkout / "docs" / "lifecycles.md", lifecycle_page),
        Document(checkout / _PACKAGE.name / "policy" / schema.FILE.name, schema.text),
        Document(checkout / "docs" / "openrpc.json", lambda: _json(openrpc.document())),
        Document(checkout / "docs" / "protocol.schema.json", lambda: _json(schemas.document())),
        Document(checkout / "docs" / "protocol.md", protocol_page.protocol_page),
        Document(checkout / "editors" / "vscode" / "src" / "protocol.ts", typescript.module),
    )


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def main(argv: Sequence[str], documents: Iterable[Document]) -> int:
    """Write stale documents, or with `--check` only report them; returns the exit status."""
    if unknown := set(argv) - {"--check"}:
        sys.stderr.write(f"generate takes no {', '.join(sorted(unknown))}, only --check.\n")
        return 2
    stale = [document for document in documents if document.is_stale()]
    for document in stale:
        if argv:
            sys.stderr.write(f"{document.path} is stale; `make docs` writes it anew.\n")
        else:
            document.write()
            sys.stdout.write(f"Wrote {document.path}.\n")
    return 1 if stale and argv else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], documents()))
