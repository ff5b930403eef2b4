"""The documents of the protocol are complete, valid, and show what really is accepted and answered."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT7

from metawsm_rpc import errors
from metawsm_rpc.pages import address
from metawsm_rpc.rpc.calls.parameters import model
from metawsm_rpc.rpc.connection.options import Options
from metawsm_rpc.rpc.features import diagnostics
from metawsm_rpc.rpc.reference import descriptions, openrpc, protocol_page, schemas, typescript
from metawsm_rpc.verbs import VERBS

META_SCHEMA = json.loads((Path(__file__).parents[1] / "data" / "openrpc-meta-schema.json").read_text("utf-8"))
SCHEMA_OF_SCHEMAS = {
    "allOf": [{"$ref": "http://json-schema.org/draft-07/schema#"}],
    # The one place in the schema of schemas that the one of OpenRPC names.
    "definitions": {"JSONSchemaObject": {"properties": {"$ref": {"type": "string"}}}},
}
DOCUMENT = openrpc.document()
PROTOCOL = schemas.document()
PAGE = protocol_page.protocol_page()

verbs = pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)


def closed(schema: Any) -> Any:
    """Return a schema whose objects have no other members than those it names."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    return inner | {"additionalProperties": False} if isinstance(inner.get("properties"), dict) else inner


def misfits(value: Any, name: str) -> list[str]:
    """Return in what a value differs from a definition of the protocol's schema."""
    schema = {**closed(PROTOCOL), "$ref": f"#/$defs/{name}"}
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(value)]


def objects(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from objects(child)


# --- OpenRPC and JSON Schema ---


def test_the_openrpc_document_is_one_by_the_specifications_own_schema() -> None:
    resource = DRAFT7.create_resource(SCHEMA_OF_SCHEMAS)
    names = ("https://meta.json-schema.tools", "https://meta.json-schema.tools/")
    registry = Registry().with_resources((name, resource) for name in names)
    validator = Draft7Validator(META_SCHEMA, registry=registry)
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(DOCUMENT)] == []
    without_methods = {key: value for key, value in DOCUMENT.items() if key != "methods"}
    assert not validator.is_valid(without_methods)


def test_every_reference_in_the_documents_leads_somewhere() -> None:
    for document in (DOCUMENT, PROTOCOL):
        for node in objects(document):
            if reference := node.get("$ref"):
                found: Any = document
                for word in reference.removeprefix("#/").split("/"):
                    found = found[word]


def test_the_json_schema_is_one() -> None:
    Draft202012Validator.check_schema(PROTOCOL)


def test_the_document_has_every_verb_once_and_asks_for_required_parameters_first() -> None:
    names = [method["name"] for method in DOCUMENT["methods"]]
    assert names == [*(f"metawsm/{verb.name}" for verb in VERBS), "rpc.discover"]
    for method in DOCUMENT["methods"]:
        required = [param["required"] for param in method["params"]]
        assert required == sorted(required, reverse=True)


def test_every_error_that_can_be_answered_is_in_the_document_with_its_code() -> None:
    def below(parent: type[errors.MetawsmError]) -> Iterator[type[errors.MetawsmError]]:
        yield parent
        for child in parent.__subclasses__():
            yield from below(child)

    listed = DOCUMENT["components"]["errors"]
    assert {kind: error["code"] for kind, error in listed.items()} == {
        error.kind: error.code for error in below(errors.MetawsmError) if "kind" in vars(error)
    }


# --- what things mean ---


@verbs
def test_every_parameter_has_a_description(verb: Any) -> None:
    assert [name for name, schema in schemas.params(verb)["properties"].items() if not schema["description"]] == []
    assert verb.summary.endswith(".")


@pytest.mark.parametrize("name", schemas.components())
def test_every_shape_and_field_has_a_description(name: str) -> None:
    schema = schemas.components()[name]
    assert schema["description"]
    assert [field for field, inner in schema.get("properties", {}).items() if not inner["description"]] == []


def test_no_description_is_of_something_that_is_not_there() -> None:
    parameters = {(verb.name, name) for verb in VERBS for name in schemas.params(verb)["properties"]}
    used = {key if (key := f"{verb}.{name}") in descriptions.PARAMETERS else name for verb, name in parameters}
    assert set(descriptions.PARAMETERS) - used == set()

    fields = {(shape.__name__, field) for shape in schemas.shapes() for field in shape._fields}
    used = {key if (key := f"{shape}.{field}") in descriptions.FIELDS else field for shape, field in fields}
    assert set(descriptions.FIELDS) - used == set()
    assert set(descriptions.WORDS) - set(schemas.components()) == set()


# --- the page ---


def section(heading: str) -> str:
    return PAGE.partition(f"### {heading}\n")[2].partition("\n##")[0]


@verbs
def test_the_example_of_a_verb_is_a_valid_request_and_a_valid_answer(verb: Any) -> None:
    request, answer = (
        json.loads(block) for block in re.findall(r"```json\n(.+?)```", section(f"metawsm/{verb.name}"), re.DOTALL)
    )
    assert request["method"] == f"metawsm/{verb.name}"
    model(verb).model_validate(request["params"])
    assert misfits(request["params"], schemas.name_of(verb, "Params")) == []
    assert misfits(answer["result"], schemas.result_type(verb).__name__) == []


def test_the_example_of_an_event_is_valid() -> None:
    (event,) = re.findall(r"```json\n(.+?)```", PAGE.partition("## Notifications")[2], re.DOTALL)
    assert misfits(json.loads(event), "EventNotification") == []


def test_an_example_with_a_wrong_or_unknown_member_would_be_found() -> None:
    shown = openrpc.example("runs")
    assert shown is not None
    answer = shown.result
    assert misfits(answer, "RunsListed") == []
    assert misfits({**answer, "total": "1"}, "RunsListed")
    assert misfits({**answer, "more": 1}, "RunsListed")
    assert misfits({**answer, "runs": [{**answer["runs"][0], "status": "lost"}]}, "RunsListed")


def test_every_link_within_the_page_leads_to_a_heading() -> None:
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.+?```", "", PAGE, flags=re.DOTALL), re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert len(anchors) == len(set(anchors)), "an anchor that is there twice leads to the first"
    assert set(re.findall(r"\]\(#(.+?)\)", PAGE)) - set(anchors) == set()


def test_every_kind_of_error_is_listed_with_code_and_exit_status() -> None:
    for error in schemas.error_classes():
        assert f"| `{error.kind}` | {error.code} | {error.exit_status} |" in PAGE


def test_every_option_of_a_session_is_listed() -> None:
    listed = re.findall(r"^   \| `(\w+)` \|", PAGE, re.MULTILINE)
    assert sorted(listed) == sorted(Options._fields)


def test_every_diagnostic_is_listed_with_its_severity() -> None:
    listed = {code: severity for code, severity, where, _ in protocol_page._CODES if where == "ticket"}
    assert listed == {code: severity.name for code, severity in diagnostics._SEVERITIES.items()}


def test_every_virtual_document_is_listed() -> None:
    listed = re.findall(r"`(metawsm:/[\w/]+)`", PAGE.partition("## Virtual documents")[2])
    assert {address.parse(uri).kind for uri in listed} == set(address._PARTS)


# --- TypeScript ---


USES = """\
import type { Event, RunDetail, VerbName, Verbs } from "./protocol";
declare function ask<N extends VerbName>(name: N, params: Verbs[N]["params"]): Promise<Verbs[N]["result"]>;
export async function use(): Promise<string | null> {
  const detail: RunDetail = await ask("status", { runId: "r1" });
  const event: Event | undefined = (await ask("events", {})).events[0];
  return event?.from ?? detail.agents[0]?.health?.state ?? null;
}
"""
MISUSES = """\
import type { Verbs } from "./protocol";
export const misspelt: Verbs["status"]["params"] = { runID: "r1" };
export const unknown: Verbs["sync"]["params"] = { strategy: "squash" };
export const missing: Verbs["run"]["params"] = {};
"""


def test_the_types_compile_and_catch_mistakes(tmp_path: Path) -> None:
    checkout = Path(__file__).parents[2]
    compiler = shutil.which("tsc", path=checkout / "editors" / "vscode" / "node_modules" / ".bin") or shutil.which(
        "tsc"
    )
    if compiler is None:
        pytest.skip("there is no TypeScript compiler")
    for name, text in {"protocol": typescript.module(), "uses": USES, "misuses": MISUSES}.items():
        (tmp_path / f"{name}.ts").write_text(text, "utf-8")

    def compile_(name: str) -> str:
        argv = [compiler, "--strict", "--noUncheckedIndexedAccess", "--noEmit", tmp_path / f"{name}.ts"]
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout

    assert compile_("uses") == ""
    assert re.findall(r"misuses.ts\((\d)", compile_("misuses")) == ["2", "3", "4"]
