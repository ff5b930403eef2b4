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
"""The parameter of every verb, which the conventions describe once."""
_PIPE = r"\|"

_INTRODUCTION = """\
# The protocol

<!-- Written by `python -m metawsm_rpc.generate` from the table of verbs, their types and their examples. -->

Clients, scripts and tests can rely on this page. Additions may come without notice: a client must ignore members,
events and codes that it does not know. Any other change needs a new protocol version.

Machine-readable forms: [openrpc.json](openrpc.json) (OpenRPC 1.3, also the answer to `rpc.discover`),
[protocol.schema.json](protocol.schema.json) (JSON Schema), and
[protocol.ts](../editors/vscode/src/protocol.ts) (TypeScript).

- [Conventions](#conventions)
- [For scripts](#for-scripts)
- [Starting a session](#starting-a-session)
- [Verbs](#verbs)
- [Shapes](#shapes)
- [Notifications](#notifications)
- [Diagnostics](#diagnostics)
- [Virtual documents](#virtual-documents)
- [Errors](#errors)

## Conventions

- **Transport.** `metawsm serve` speaks JSON-RPC 2.0 on standard input and output, with the framing of the Language
  Server Protocol: `Content-Length: N`, an empty line, N bytes of UTF-8 JSON. One message is one object; there
  are no batches. Nothing else is ever written to standard output.
- **A verb** is the request `metawsm/VERB`, and the command `metawsm.VERB` for `workspace/executeCommand` with the
  arguments `[params]`, `[{}]`, `[]` or none. Both have the same result.
- **On the command line** a verb is `metawsm VERB --json`, with words joined by hyphens (`retry-step`). It prints
  exactly the result described here on standard output, as one JSON document; everything else goes to standard error. An error is
  `{"error": {"code", "message", "data"}}`, and the exit status depends on its kind.
- **Names** are camelCase. Timestamps are RFC 3339 in UTC with milliseconds, durations are in seconds. An absent
  value in a result is `null`, not missing; a parameter that is omitted or `null` has its
  default. Unknown parameters are refused.
- **A run** is selected by `runId` (or a unique prefix of it), or by `ticket`, which means its newest run. Both can be
  omitted when only one run is not closed.
- **A run is settled** when it is `completed`, `failed`, `stopped` or `closed`.
- **A root** is a folder with a `.metawsm`. Every verb takes `root`; by default it is the root of the workspace folder.
"""

_SCRIPTS = """\
## For scripts

A single query needs no server: run `metawsm status RUN --json` and check the exit status. A client that asks often,
or wants notifications, starts a server and keeps it running; the server ends when its standard input is closed. No
library is needed ([status.py](examples/status.py), [status.mjs](examples/status.mjs)).
"""

_SESSION = """\
## Starting a session

1. `initialize`, with the workspace folders (or `rootUri`), the capabilities of the client, and these options as
   `initializationOptions`, all of them optional:

   | option | | |
   | --- | --- | --- |
   | `root` | string | The default root, as a path or a file URI, instead of the workspace folder. |
   | `events` | boolean | Send every event as the notification `metawsm/event`. |
   | `trusted` | boolean | `false`: read only. Nothing in the folder is executed, and verbs that change something are refused. |
   | `present` | boolean | `false`: the client itself asks for missing parameters of commands, and shows their results. |

2. `initialized`, a notification.
3. Verbs, in any order and any number at a time; each is answered when its result is ready.
4. `shutdown`, a request, and `exit`, a notification. Agents keep running.
"""

_TELLING = """\
## Notifications

**`metawsm/event`** is a notification for clients that ask for it (`events: true`). Its parameters are an
[EventNotification](#eventnotification): an event and its root. The numbers `seq` of a root have no gaps, so a
client notices missed events and can get them with `metawsm/events` and `since`. Events that other processes cause are
sent as well.

```json
{event}
```

**`$/progress`** reports on `run` and `resume` until their steps have ended, and on `close`. Clients with the capability
`window.workDoneProgress` get it under a token of the server's, others under the `workDoneToken` that they send among
the parameters of the verb. `window/workDoneProgress/cancel` stops the run; a close can be cancelled until
it is decided. `$/cancelRequest` cancels a pending request; cancelling a `run` stops the run.

**`window/logMessage`** carries the log; **`window/showMessage`** is used only for what a person has to know.
"""

_DIAGNOSTICS = """\
## Diagnostics

Published with `textDocument/publishDiagnostics`, also for files that are not open, with `source: "metawsm"`. They
disappear with their cause. On a ticket they are at the line of `index.md` that names the ticket, and `data` contains
`runId`, `ticket` and `agent`; in the policy file they have the exact range.

| code | severity | on | |
| --- | --- | --- | --- |
"""

_CODES = (
    ("agent-dead", "Error", "ticket", "An agent's program is gone without having signalled done."),
    ("agent-failed", "Error", "ticket", "An agent signalled failed, or its program exited with an error."),
    ("run-failed", "Error", "ticket", "The run cannot continue by itself."),
    ("step-failed", "Error", "ticket", "A step of the plan failed."),
    ("agent-waiting", "Warning", "ticket", "An agent waits for a person, or for something else."),
    ("agent-stalled", "Warning", "ticket", "An agent is busy, but has made no progress for a long time."),
    ("guidance-pending", "Warning", "ticket", "An agent has asked a question."),
    ("close-blocked", "Warning", "ticket", "Something blocked the last close of the run."),
    ("agent-idle", "Information", "ticket", "An agent has done nothing for a while."),
    ("policy-syntax", "Error", "policy", "The file is not JSON."),
    ("policy-unknown-key", "Error", "policy", "The key is unknown."),
    ("policy-value", "Error", "policy", "The value is not allowed."),
)
"""Code, severity, file, meaning."""

_DOCUMENTS = """\
## Virtual documents

Clients read them with `workspace/textDocumentContent`, or else with the verb `content`. They are read-only; the
server asks for a refresh when they change. Names in the addresses are percent-encoded.

| URI | |
| --- | --- |
| `metawsm:/run/RUN` | A run, its agents and their health. |
| `metawsm:/plan/RUN` | The steps of a run. |
| `metawsm:/transcript/RUN/TICKET/AGENT` | The output of an agent, without escape sequences. |
| `metawsm:/diff/RUN/TICKET/REPOSITORY` | The work in one worktree, as a patch. |
| `metawsm:/explain/RUN/TICKET/AGENT` | An agent's health, with its evidence. |
| `metawsm:/events/RUN` | The events of a run. |
| `metawsm:/runs`, `metawsm:/tickets`, `metawsm:/policy`, `metawsm:/doctor` | The results of the verbs of these names. |
"""

_ERRORS = """\
## Errors

A failed request is answered with an [RpcError](#rpcerror): `message` is one sentence that says what is wrong and
what to do next, `data.kind` is for programs.

| kind | code | exit status | |
| --- | --- | --- | --- |
"""

_BESIDES = """\

JSON-RPC and the Language Server Protocol define further codes: -32700 (invalid JSON), -32600 (not a request, or one
after `shutdown`), -32601 (unknown method), -32002 (not initialized yet), -32800 (cancelled). On the command line,
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
            "## Shapes\n\nThe types that results consist of. Later versions may add members.\n",
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
            f"{verb.summary} The result is {_kind(schemas.result(verb))}.\n",
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
