"""The OpenRPC document: every verb with its parameters, answer, errors and an example, as one JSON document.

Specification: https://spec.open-rpc.org, version 1.3.2. The server answers it to `rpc.discover`.
"""

from functools import cache
from typing import Any

from metawsm_rpc import __version__
from metawsm_rpc.rpc.reference import descriptions, schemas
from metawsm_rpc.rpc.reference.examples import Example, example
from metawsm_rpc.verbs import VERBS, Verb

_OPENRPC = "1.3.2"

_ALWAYS = ("invalid_params", "invalid_policy", "host_error", "store_error", "internal")
_BY_PARAMETER = {
    "runId": ("run_not_found", "ambiguous"),
    "agent": ("agent_not_found",),
    "agents": ("agent_not_found", "repo_not_found", "ticket_not_found", "dependency_missing"),
    "repo": ("repo_not_found",),
    "index": ("step_not_found",),
    "guidanceId": ("guidance_not_found",),
    "uri": ("run_not_found", "agent_not_found", "ticket_not_found", "repo_not_found", "not_trusted"),
}
_BY_VERB = {
    "run": ("illegal_transition",),
    "attach": ("illegal_transition",),
    "answer": ("illegal_transition",),
    "send": ("illegal_transition",),
    "signal": ("illegal_transition",),
    "close": ("close_blocked",),
    "closeTicket": ("ticket_not_found",),
}
_DRIVING = ("illegal_transition", "busy", "lost_lease", "step_failed", "dependency_missing")
_DRIVERS = frozenset(
    {"resume", "stop", "complete", "restart", "iterate", "retryStep", "skipStep", "sync", "close", "cleanup"}
)


@cache
def document() -> dict[str, Any]:
    """Return the whole document, as plain JSON."""
    inlined = {schemas.name_of(verb, "Params") for verb in VERBS}
    return {
        "openrpc": _OPENRPC,
        "info": {
            "title": "metawsm",
            "description": "The control plane for coding agents, over JSON-RPC 2.0 with the framing of the "
            "Language Server Protocol on standard input and output. docs/protocol.md is the readable reference.",
            "version": __version__,
            "license": {"name": "MIT"},
        },
        "methods": [_method(verb) for verb in VERBS] + [_discover()],
        "x-notifications": [
            {
                "name": "metawsm/event",
                "summary": "Something happened; sent to clients that ask for it with the option `events: true`.",
                "params": {"$ref": "#/components/schemas/EventNotification"},
            }
        ],
        "components": {
            "schemas": {name: schema for name, schema in schemas.components().items() if name not in inlined},
            "errors": {
                error.kind: {
                    "code": error.code,
                    "message": " ".join((error.__doc__ or "").split("\n\n")[0].split()),
                    "data": {"kind": error.kind, "hint": None, "details": None},
                }
                for error in schemas.error_classes()
            },
        },
    }


def errors(verb: Verb) -> tuple[str, ...]:
    """Return the kinds of errors that a verb may answer, in the order of `errors.py`."""
    takes = schemas.params(verb)["properties"]
    expected = {
        *_ALWAYS,
        *_BY_VERB.get(verb.name, ()),
        *(() if verb.reads else ("not_trusted",)),
        *(_DRIVING if verb.name in _DRIVERS else ()),
        *(kind for name in takes for kind in _BY_PARAMETER.get(name, ())),
    }
    return tuple(kind for kind in schemas.kinds() if kind in expected)


def _method(verb: Verb) -> dict[str, Any]:
    params = schemas.params(verb)
    required = frozenset(params.get("required", ()))
    # The specification wants the required ones first.
    names = sorted(params["properties"], key=lambda name: name not in required)
    shown = example(verb.name)
    return {
        "name": f"metawsm/{verb.name}",
        "summary": verb.summary,
        "paramStructure": "by-name",
        "params": [
            {
                "name": name,
                "description": descriptions.parameter(verb.name, name),
                "required": name in required,
                "schema": {key: value for key, value in params["properties"][name].items() if key != "description"},
            }
            for name in names
        ],
        "result": {"name": schemas.result_type(verb).__name__, "schema": schemas.result(verb)},
        "errors": [{"$ref": f"#/components/errors/{kind}"} for kind in errors(verb)],
        "examples": [_example(verb.name, shown)] if shown else [],
        "x-command": f"metawsm.{verb.name}",
    }


def _example(name: str, shown: Example) -> dict[str, Any]:
    return {
        "name": name,
        "params": [{"name": param, "value": value} for param, value in shown.params.items()],
        "result": {"name": "answer", "value": shown.result},
    }


def _discover() -> dict[str, Any]:
    return {
        "name": "rpc.discover",
        "summary": "Answers this document.",
        "params": [],
        "result": {"name": "OpenRPC", "schema": {"type": "object"}},
    }
