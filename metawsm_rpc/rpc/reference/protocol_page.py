"""The page docs/protocol.md: the readable reference of the protocol, from the same tables as the server."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metawsm_rpc.domain.wire import wire
from metawsm_rpc.rpc.reference import schemas
from metawsm_rpc.rpc.reference.examples import EVENT, example
from metawsm_rpc.verbs import VERBS, Verb

_PACKAGE = Path(__file__).parents[2]
_EXAMPLES = _PACKAGE.parent / "docs" / "examples"
_WIDTH = 100
_EVERYWHERE = "root"
"""What every verb takes is told once, under the conventions."""
_PIPE = r"\|"

_INTRODUCTION = """\
# The protocol

<!-- Written by `python -m metawsm_rpc.generate` from the table of verbs, their types and their examples. -->

What clients, scripts and tests may rely on. Additions come without notice: a client ignores members, events and
codes that it does not know. A change of what stands here needs a new protocol version.

The same for machines: [openrpc.json](openrpc.json) (OpenRPC 1.3, also the answer to `rpc.discover`),
[protocol.schema.json](protocol.schema.json) (JSON Schema), and
[protocol.ts](../editors/vscode/src/protocol.ts) (TypeScript).

- [Conventions](#conventions)
- [For scripts](#for-scripts)
- [Starting a session](#starting-a-session)
- [Verbs](#verbs)
- [Shapes](#shapes)
- [What the server tells](#what-the-server-tells)
- [Diagnostics](#diagnostics)
- [Virtual documents](#virtual-documents)
- [Errors](#errors)

## Conventions

- **Transport.** `metawsm serve` speaks JSON-RPC 2.0 on standard input and output, framed as the Language Server
  Protocol frames it: `Content-Length: N`, an empty line, N bytes of UTF-8 JSON. One message is one object; there
  are no batches. Nothing else is ever written to standard output.
- **A verb** is the request `metawsm/VERB`, and the command `metawsm.VERB` for `workspace/executeCommand` with the
  arguments `[params]`, `[{}]`, `[]` or none. Both answer the same.
- **On the command line** a verb is `metawsm VERB --json`, words joined by hyphens (`retry-step`). It prints exactly
  the result below, one JSON document, on standard output; everything else goes to standard error. An error is
  `{"error": {"code", "message", "data"}}`, and the exit status tells its kind.
- **Names** are camelCase. Timestamps are RFC 3339 in UTC with milliseconds, durations seconds. A value that is
  absent in a result is `null`, not missing; a parameter that is left out, or `null`, has its
  default. Unknown parameters are refused.
- **A run** is named by `runId` (or enough of its beginning), or by `ticket`, which means its newest run, or by
  nothing when there is only one that is not closed.
- **Settled** is a run that is `completed`, `failed`, `stopped` or `closed`.
- **A root** is a folder with a `.metawsm`. Every verb takes `root`; by default it is the workspace folder's.
"""

_SCRIPTS = """\
## For scripts

One question needs no server: `metawsm status RUN --json`, and the exit status. Who asks often, or wants to be told,
starts a server and keeps it; it ends when its standard input does. No library is needed
([status.py](examples/status.py), [status.mjs](examples/status.mjs)).
"""

_SESSION = """\
## Starting a session

1. `initialize`, with the workspace folders (or `rootUri`), the capabilities of the client, and these options as
   `initializationOptions`, all of them optional:

   | option | | |
   | --- | --- | --- |
   | `root` | string | The default root, as a path or a file URI, instead of the workspace folder. |
   | `events` | boolean | Send every event as the notification `metawsm/event`. |
   | `trusted` | boolean | `false`: only read; nothing of the folder is executed, and verbs that change something are refused. |
   | `present` | boolean | `false`: the client itself asks a person for what a command lacks, and shows what commands answer. |

2. `initialized`, a notification.
3. Verbs, in any order and as many at a time as you like; answers come as they are ready.
4. `shutdown`, a request, and `exit`, a notification. Agents go on.
"""

_TELLING = """\
## What the server tells

**`metawsm/event`** is a notification for clients that ask for it (`events: true`). Its parameters are an
[EventNotification](#eventnotification): an event and the root that it happened at. The numbers `seq` of a root have no
gap, so a client knows what it has missed, and `metawsm/events` with `since` answers it. What another process does on
the same root comes as well.

```json
{event}
```

**`$/progress`** follows `run` and `resume` until the steps have ended, and `close` while it lasts: under a token of the
server's for clients with the capability `window.workDoneProgress`, for others under the `workDoneToken` that they
send among the parameters of the verb. `window/workDoneProgress/cancel` stops the run; a close can be cancelled until
it is decided. `$/cancelRequest` cancels a request that is not answered yet; a `run` so cancelled is stopped.

**`window/logMessage`** is the log; **`window/showMessage`** tells what a person must know, and nothing else.
"""

_DIAGNOSTICS = """\
## Diagnostics

Pushed by `textDocument/publishDiagnostics`, also for files that are not open, with `source: "metawsm"`. They go when
their cause does. On a ticket they stand at the line of the `index.md` that names the ticket, and `data` holds
`runId`, `ticket` and `agent`; on the policy file they have the exact range.

| code | severity | on | |
| --- | --- | --- | --- |
"""

_CODES = (
    ("agent-dead", "Error", "ticket", "An agent's program is gone, and it did not say that it was done."),
    ("agent-failed", "Error", "ticket", "An agent said that it failed, or its program exited with an error."),
    ("run-failed", "Error", "ticket", "The run cannot go on by itself."),
    ("step-failed", "Error", "ticket", "A step of the plan could not be done."),
    ("agent-waiting", "Warning", "ticket", "An agent waits for a person, or for something else."),
    ("agent-stalled", "Warning", "ticket", "An agent is busy, but has not got on for long."),
    ("guidance-pending", "Warning", "ticket", "An agent has asked a question."),
    ("close-blocked", "Warning", "ticket", "The last close of the run found something in the way."),
    ("agent-idle", "Information", "ticket", "An agent has done nothing for a while."),
    ("policy-syntax", "Error", "policy", "The file is not JSON."),
    ("policy-unknown-key", "Error", "policy", "There is no such key."),
    ("policy-value", "Error", "policy", "The value cannot be used."),
)
"""Code, severity, file, meaning."""

_DOCUMENTS = """\
## Virtual documents

`workspace/textDocumentContent` answers them, and for clients without it the verb `content`. They are read-only; the
server asks for a refresh when they change. Names in them are percent-encoded.

| URI | |
| --- | --- |
| `metawsm:/run/RUN` | A run, its agents and their health. |
| `metawsm:/plan/RUN` | The steps of a run. |
| `metawsm:/transcript/RUN/TICKET/AGENT` | What an agent has printed, without escape sequences. |
| `metawsm:/diff/RUN/TICKET/REPOSITORY` | The work in one worktree, as a patch. |
| `metawsm:/explain/RUN/TICKET/AGENT` | Why an agent is judged as it is. |
| `metawsm:/events/RUN` | What happened in a run. |
| `metawsm:/runs`, `metawsm:/tickets`, `metawsm:/policy`, `metawsm:/doctor` | What the verbs of these names answer. |
"""

_ERRORS = """\
## Errors

A request that fails is answered with an [RpcError](#rpcerror): `message` is one sentence that says what is wrong and
what to do next, `data.kind` is for programs.

| kind | code | exit status | |
| --- | --- | --- | --- |
"""

_BESIDES = """\

JSON-RPC and the Language Server Protocol have codes of their own besides: -32700 (no JSON), -32600 (no request, or one
after `shutdown`), -32601 (no such method), -32002 (not initialized yet), -32800 (cancelled). On the command line
Ctrl-C exits with 130.
"""


def protocol_page() -> str:
    """Return the page as Markdown."""
    return "\n".join(
        [
            _INTRODUCTION,
            _SCRIPTS,
            _code("python", (_EXAMPLES / "status.py").read_text("utf-8")),
            _code("js", (_EXAMPLES / "status.mjs").read_text("utf-8")),
            _SESSION,
            "## Verbs\n",
            _table(("verb", ""), ((f"[{verb.name}](#metawsm{verb.name.lower()})", verb.summary) for verb in VERBS)),
            *map(_verb, VERBS),
            "## Shapes\n\nResults are made of these. Later versions may add members.\n",
            *(_shape(name, schema) for name, schema in _shapes()),
            _TELLING.replace("{event}", _json({**wire(EVENT), "root": "/home/robin/code"})),
            _DIAGNOSTICS + _rows((f"`{code}`", severity, where, what) for code, severity, where, what in _CODES),
            _DOCUMENTS,
            _ERRORS + _rows(_errors()) + _BESIDES,
        ]
    )


def _verb(verb: Verb) -> str:
    parameters = list(_parameters(schemas.params(verb)))
    return "\n".join(
        [
            f"### metawsm/{verb.name}\n",
            f"{verb.summary} Answers {_kind(schemas.result(verb))}.\n",
            *([_table(("parameter", "type", "default", ""), parameters)] if parameters else []),
            *_example(verb),
        ]
    )


def _example(verb: Verb) -> Iterator[str]:
    if shown := example(verb.name):
        yield _code("json", f"{_json({'method': f'metawsm/{verb.name}', 'params': shown.params})}\n")
        yield _code("json", f"{_json({'result': shown.result})}\n")


def _parameters(params: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    required = frozenset(params.get("required", ()))
    for name, schema in params["properties"].items():
        if name == _EVERYWHERE:
            continue
        default = "required" if name in required else f"`{json.dumps(schema['default'])}`"
        yield f"`{name}`", _kind(schema), default, schema["description"]


def _shapes() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, schema in schemas.components().items():
        if not name.endswith("Params"):
            yield name, schema


def _shape(name: str, schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return f"### {name}\n\n{schema['description']} {', '.join(f'`{word}`' for word in schema['enum'])}.\n"
    rows = ((f"`{field}`", _kind(inner), inner["description"]) for field, inner in schema["properties"].items())
    return f"### {name}\n\n{schema['description']}\n\n{_table(('member', 'type', ''), rows)}"


def _kind(schema: Mapping[str, Any]) -> str:
    """Return the type of a value in words, with links to what has a name."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return " or ".join(f"`{word}`" for word in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    if schema.get("type") == "array":
        return f"array of {_kind(schema['items'])}"
    if schema.get("format") == "date-time":
        return "time"
    return str(schema.get("type", "anything"))


def _errors() -> Iterator[tuple[str, ...]]:
    for error in schemas.error_classes():
        said = " ".join((error.__doc__ or "").split("\n\n")[0].split())
        yield f"`{error.kind}`", str(error.code), str(error.exit_status), said


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return f"| {' | '.join(head)} |\n|{' --- |' * len(head)}\n{_rows(rows)}"


def _rows(rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(cell.replace('|', _PIPE) for cell in row)} |\n" for row in rows)


def _code(language: str, text: str) -> str:
    return f"```{language}\n{text}```\n"


def _json(value: Any, indent: str = "") -> str:
    """Return JSON in which whatever fits into a line is one line."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(flat) <= _WIDTH or not isinstance(value, dict | list) or not value:
        return flat
    inner = indent + "  "
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + _json(item, inner) for item in value) + f"\n{indent}]"
    members = (f"{inner}{json.dumps(key)}: {_json(item, inner)}" for key, item in value.items())
    return "{\n" + ",\n".join(members) + f"\n{indent}}}"
