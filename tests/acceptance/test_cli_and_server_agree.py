"""Every verb answers the same to the command line, to a request and to a command of an editor.

Three roots that are equal go through the same life, each spoken to in one of the three ways; ids, times,
paths and commits are masked, and every answer fits the published schema, member by member.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest
from cli_support import Cli
from conftest import Root, git
from jsonschema import Draft202012Validator
from plain_client import PlainClient, RpcError

from metawsm_rpc.rpc.reference import schemas
from metawsm_rpc.verbs import VERBS

WORKER = """
"$METAWSM_BIN" signal progress "looked around"
answer=$("$METAWSM_BIN" signal guidance "Which one?" --choice this --choice that --wait)
echo "$answer" >> README.md && git commit -qam "Take $answer"
"$METAWSM_BIN" signal done "it is $answer"
"""
CAT = "exec cat\n"

IN_MOTION = ("status", "attempts", "startedAt", "finishedAt", "error", "health")
"""What differs when one answers at once and the other when the steps have ended, or when a look came between."""

_BY_VERB = {verb.name: verb for verb in VERBS}
_PROTOCOL = schemas.document()


class Way(Protocol):
    """One of the ways to call a verb: returns its answer, or `{"error": …}`."""

    def __call__(self, verb: str, params: Mapping[str, Any]) -> Any: ...


def by_command_line(cli: Cli) -> Way:
    def call(verb: str, params: Mapping[str, Any]) -> Any:
        name = re.sub("[A-Z]", lambda letter: f"-{letter[0].lower()}", verb)
        return cli(
            "--json", *(["policy", "show"] if verb == "policy" else [name]), *_flags(verb, params), code=None
        ).json

    return call


_POSITIONAL = {
    "signal": ("type", "message"),
    "answer": ("guidanceId", "answer"),
    "send": ("text",),
    "content": ("uri",),
}
_ONE_BY_ONE = {
    "tickets": "--ticket",
    "agents": "--agent",
    "statuses": "--status",
    "until": "--until",
    "choices": "--choice",
}


def _flags(verb: str, params: Mapping[str, Any]) -> Iterator[str]:
    for name, value in params.items():
        flag = "--" + re.sub("[A-Z]", lambda letter: f"-{letter[0].lower()}", name)
        if name in _POSITIONAL.get(verb, ()) or value is False:
            continue
        if value is True:
            yield flag
        elif name in _ONE_BY_ONE:
            for item in value:
                yield from (_ONE_BY_ONE[name], item)
        elif isinstance(value, list):
            yield from (flag, ",".join(value))
        else:
            yield from (flag, json.dumps(value) if isinstance(value, dict) else str(value))
    yield from (params[name] for name in _POSITIONAL.get(verb, ()) if name in params)


def by_request(client: PlainClient) -> Way:
    def call(verb: str, params: Mapping[str, Any]) -> Any:
        try:
            return client.ask(f"metawsm/{verb}", params)
        except RpcError as error:
            return {"error": error.error}

    return call


def by_command(client: PlainClient) -> Way:
    def call(verb: str, params: Mapping[str, Any]) -> Any:
        try:
            return client.ask("workspace/executeCommand", {"command": f"metawsm.{verb}", "arguments": [params]})
        except RpcError as error:
            return {"error": error.error}

    return call


def _when_free(way: Way, verb: str, params: Mapping[str, Any]) -> Any:
    """Call a verb, again while the run is still being driven: a server drives on after it has answered."""
    until = time.monotonic() + 60
    while "error" in (answer := way(verb, params)) and answer["error"]["data"]["kind"] == "busy":
        assert time.monotonic() < until, answer
    return answer


class Trio:
    """Three equal roots and the way to speak to each."""

    def __init__(self, roots: Sequence[Root], ways: Sequence[Way]) -> None:
        self.roots = roots
        self._ways = ways
        self.asked: set[str] = set()

    def ask(self, verb: str, *, moving: bool = False, **params: Any) -> list[Any]:
        """Call a verb in all three ways; return the answers, which fit the schema and are the same.

        A parameter that is a list of three under a name with a trailing underscore has one for each root.
        """
        answers = self.try_(verb, moving=moving, **params)
        for answer in answers:
            assert "error" not in answer, answer
        self.asked.add(verb)
        return answers

    def until_judged(self, run_id: str, state: str) -> None:
        """Wait until the first agent of a run is judged so: a server answers from its last look, a moment ago."""
        until = time.monotonic() + 60
        for way in self._ways:
            while (agent := way("status", {"runId": run_id})["agents"][0])["health"]["state"] != state:
                assert time.monotonic() < until, agent

    def try_(self, verb: str, *, moving: bool = False, **params: Any) -> list[Any]:
        """Call a verb that may be refused in all three ways; return what is answered, which is the same."""
        own = [
            {name.rstrip("_"): value[n] if name.endswith("_") else value for name, value in params.items()}
            for n in range(3)
        ]
        answers = [_when_free(way, verb, sent) for way, sent in zip(self._ways, own, strict=True)]
        for answer in answers:
            name = schemas.result_type(_BY_VERB[verb]).__name__
            refused = "error" in answer
            assert misfits(answer["error"] if refused else answer, "RpcError" if refused else name) == [], (
                verb,
                answer,
            )
        masked = [mask(answer, root, moving=moving) for answer, root in zip(answers, self.roots, strict=True)]
        for other in masked[1:]:
            assert list(differences(masked[0], other)) == [], f"{verb} {own[0]}"
        return answers


def differences(one: Any, other: Any, where: str = "") -> Iterator[str]:
    """Yield where two answers differ, and how."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from differences(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, item in enumerate(one):
            yield from differences(item, other[number], f"{where}[{number}]")
    elif one != other:
        yield f"{where}: {one!r} != {other!r}"


def misfits(value: Any, name: str) -> list[str]:
    schema = {**_closed(_PROTOCOL), "$ref": f"#/$defs/{name}"}
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(value)]


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _closed(value) for key, value in schema.items()}
    return inner | {"additionalProperties": False} if isinstance(inner.get("properties"), dict) else inner


def mask(value: Any, root: Root, *, moving: bool) -> Any:
    """Return an answer without what can never be the same on two roots."""
    if isinstance(value, dict):
        return {key: _member(key, inner, root, moving=moving) for key, inner in value.items()}
    if isinstance(value, list):
        return [mask(item, root, moving=moving) for item in value]
    if not isinstance(value, str):
        return value
    for pattern, name in (
        (re.escape(str(root.path)), "<root>"),
        (root.path.name, "<name>"),
        (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>"),
        (r"\d{4}[-/]\d\d[-/]\d\d", "<date>"),
        (r"\b[0-9a-f]{7,40}\b", "<commit>"),
    ):
        value = re.sub(pattern, name, value)
    return value


def _member(key: str, value: Any, root: Root, *, moving: bool) -> Any:
    if moving and key in IN_MOTION:
        return "in motion"
    if isinstance(value, dict):
        return mask(value, root, moving=moving)
    if key in ("launch", "pid", "id", "guidanceId", "seq", "observed", "said"):
        return type(value).__name__
    return mask(value, root, moving=moving)


@pytest.fixture
def trio(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Trio]:
    monkeypatch.delenv("METAWSM_WORKSPACE_DIRECTORY")
    roots = [_root(tmp_path / name) for name in ("by-cli", "by-request", "by-command")]
    # One registry of workspaces for each: they have the same names.
    clients = [PlainClient(root.path, env={"XDG_CONFIG_HOME": str(root.path / "config")}) for root in roots[1:]]
    monkeypatch.setenv("XDG_CONFIG_HOME", str(roots[0].path / "config"))
    yield Trio(
        roots, (by_command_line(Cli(roots[0], capfd, monkeypatch)), by_request(clients[0]), by_command(clients[1]))
    )
    for client in clients:
        client.close()


def _root(path: Path) -> Root:
    root = Root(path)
    root.repository("app")
    (root.path / "empty").mkdir()
    root.policy(
        tmux={"socket": path.name},
        workspace={"directory": str(path / "workspaces"), "setup": [{"run": f"test ! -e {path}/broken"}]},
        execution={"step_retries": 0, "stop_grace_seconds": 1},
        agents=[root.agent("worker", WORKER), root.agent("cat", CAT)],
    )
    return root


def test_every_verb_answers_the_same_in_all_three_ways(trio: Trio) -> None:
    the_set_up(trio)
    a_run_from_its_plan_to_its_close(trio)
    a_run_that_is_stopped_and_goes_on(trio)
    a_run_whose_step_fails(trio)
    what_is_refused(trio)
    assert {verb.name for verb in VERBS} - trio.asked == set(), "verbs that are not compared here yet"


def the_set_up(trio: Trio) -> None:
    trio.ask("policyInit", root_=[str(root.path / "empty") for root in trio.roots])
    trio.ask("policy")
    trio.ask("doctor")
    for ticket in ("T-1", "T-2", "T-3"):
        trio.ask("createTicket", ticket=ticket, title=f"Do {ticket}", topics=["one", "two"])
    trio.ask("closeTicket", ticket="T-3")
    assert [len(answer["tickets"]) for answer in trio.ask("tickets", status="active")] == [2, 2, 2]


def a_run_from_its_plan_to_its_close(trio: Trio) -> None:
    request = {"tickets": ["T-1"], "repos": ["app"], "agents": ["worker"]}
    trio.ask("runs")
    trio.ask("plan", **request, runId="r1")
    trio.ask("run", moving=True, **request, runId="r1")
    waited = trio.ask("wait", runId="r1", until=["awaiting_guidance"], timeout=60)
    assert [answer["reached"] for answer in waited] == [True] * 3
    trio.until_judged("r1", "waiting")
    trio.ask("runs", tickets=["T-1"], statuses=["awaiting_guidance", "running"], limit=1, offset=0)
    detail = trio.ask("status", runId="r")
    trio.ask("status", ticket="T-1")
    whom = {"runId": "r1", "agent": "worker"}
    trio.ask("attach", **whom)
    trio.ask("explain", **whom)
    trio.ask(
        "signal",
        **whom,
        ticket="T-1",
        launch_=[answer["agents"][0]["launch"] for answer in detail],
        type="progress",
        message="from elsewhere",
        data={"of": 3},
    )
    trio.ask("answer", guidanceId_=[answer["guidance"][0]["id"] for answer in detail], answer="that")
    assert [answer["run"]["status"] for answer in trio.ask("wait", timeout=60)] == ["completed"] * 3
    trio.ask("transcript", **whom, offset=-100, limit=50, raw=True)
    trio.ask("events", runId="r1", since=1, limit=3)
    trio.ask("content", uri="metawsm:/plan/r1")
    for root in trio.roots:
        (root.path / "app" / "more").write_text("more\n")
        git(root.path / "app", "add", "more")
        git(root.path / "app", "commit", "-qm", "More")
    trio.ask("sync", runId="r1", strategy="merge")
    trio.ask("diff", runId="r1", repo="app", patch=True)
    trio.ask("close", dryRun=True)
    assert [answer["merges"][0]["kind"] for answer in trio.ask("close", runId="r1")] == ["merge"] * 3
    trio.ask("cleanup", runId="r1")


def a_run_that_is_stopped_and_goes_on(trio: Trio) -> None:
    trio.ask("run", moving=True, tickets=["T-2"], agents=["cat"], runId="r2", dryRun=True)
    trio.ask("resume", moving=True, runId="r2")
    trio.ask("wait", runId="r2", until=["running"], timeout=60)
    trio.ask("restart", moving=True, runId="r2", agent="cat")
    trio.ask("send", runId="r2", agent="cat", text="hello")
    trio.ask("stop", runId="r2")
    trio.ask("iterate", moving=True, runId="r2", feedback="Louder.")
    trio.ask("complete", moving=True, runId="r2", agent="cat")
    trio.ask("cleanup", runId="r2", keepWorkspaces=True)


def a_run_whose_step_fails(trio: Trio) -> None:
    for root in trio.roots:
        (root.path / "broken").touch()
    trio.ask("run", moving=True, tickets=["T-2"], agents=["cat"], runId="r3")
    trio.ask("wait", runId="r3", until=["failed"], timeout=60)
    trio.ask("retryStep", moving=True, runId="r3", index=3)
    trio.ask("wait", runId="r3", until=["failed"], timeout=60)
    trio.ask("skipStep", moving=True, runId="r3", index=3)
    trio.ask("stop", runId="r3")


def what_is_refused(trio: Trio) -> None:
    for verb, params in (
        ("status", {"runId": "nope"}),
        ("status", {"runId": "r"}),
        ("run", {"tickets": ["T-404"]}),
        ("run", {"tickets": ["T-1"], "repos": ["nope"]}),
        ("retryStep", {"runId": "r3", "index": 99}),
        ("answer", {"guidanceId": "nope", "answer": "yes"}),
        ("explain", {"runId": "r3", "agent": "nope"}),
        ("close", {"runId": "r3"}),
    ):
        for answer in trio.try_(verb, **params):
            assert "error" in answer, f"{verb} {params}"
