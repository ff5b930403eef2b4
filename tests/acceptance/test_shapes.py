"""What --json prints is the protocol: every key of every shape, for every verb, and nothing else."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from cli_support import Cli
from conftest import DONE, Root, git

from metawsm_rpc.domain import models

TEXT, COUNT, FLAG = str, int, bool
MAYBE_TEXT, MAYBE_COUNT = (str, type(None)), (int, type(None))


def moment(value: Any) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value), value
    datetime.fromisoformat(value)


def maybe(shape: Any) -> Callable[[Any], None]:
    return lambda value: None if value is None else matches(value, shape)


def one_of(names: Any) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        assert value in get_args(names)

    return check


def matches(value: Any, shape: Any) -> None:
    """Assert that a value has a shape; keys besides those of the shape are allowed."""
    if isinstance(shape, dict):
        assert isinstance(value, dict)
        for key, inner in shape.items():
            assert key in value, f"{key} is missing in {value}"
            matches(value[key], inner)
    elif isinstance(shape, list):
        assert isinstance(value, list)
        for item in value:
            matches(item, shape[0])
    elif isinstance(shape, (type, tuple)):
        assert isinstance(value, shape), f"{value!r} is no {shape}"
        assert shape is not COUNT or not isinstance(value, bool)
    else:
        shape(value)


RUN = {
    "runId": TEXT,
    "status": one_of(models.RunStatus),
    "mode": one_of(Literal["run"]),
    "tickets": [TEXT],
    "repos": [TEXT],
    "agents": [TEXT],
    "strategy": one_of(models.Strategy),
    "baseBranch": TEXT,
    "dryRun": FLAG,
    "createdAt": moment,
    "updatedAt": moment,
    "error": MAYBE_TEXT,
}
STEP = {
    "index": COUNT,
    "kind": one_of(models.StepKind),
    "name": TEXT,
    "ticket": TEXT,
    "repo": MAYBE_TEXT,
    "workspace": MAYBE_TEXT,
    "agent": MAYBE_TEXT,
    "dependsOn": [COUNT],
    "blocking": FLAG,
    "status": one_of(models.StepStatus),
    "attempts": COUNT,
    "command": maybe([TEXT]),
    "description": TEXT,
    "error": MAYBE_TEXT,
    "startedAt": maybe(moment),
    "finishedAt": maybe(moment),
}
HEALTH = {"state": one_of(models.HealthState), "reason": TEXT, "source": TEXT, "since": moment}
AGENT = {
    "name": TEXT,
    "profile": TEXT,
    "ticket": TEXT,
    "workspace": TEXT,
    "session": TEXT,
    "status": one_of(models.AgentStatus),
    "health": maybe(HEALTH),
    "exitCode": MAYBE_COUNT,
    "restarts": COUNT,
    "startedAt": maybe(moment),
    "lastActivityAt": maybe(moment),
    "lastProgressAt": maybe(moment),
    "transcript": TEXT,
    "attach": [TEXT],
}
WORKSPACE = {
    "name": TEXT,
    "ticket": TEXT,
    "path": TEXT,
    "branch": TEXT,
    "observedAt": maybe(moment),
    "repos": [
        {
            "name": TEXT,
            "path": TEXT,
            "source": TEXT,
            "branch": TEXT,
            "base": TEXT,
            "head": MAYBE_TEXT,
            "dirtyFiles": MAYBE_COUNT,
            "ahead": MAYBE_COUNT,
            "behind": MAYBE_COUNT,
        }
    ],
}
GUIDANCE = {
    "id": TEXT,
    "runId": TEXT,
    "ticket": TEXT,
    "agent": TEXT,
    "question": TEXT,
    "context": MAYBE_TEXT,
    "choices": [TEXT],
    "answer": MAYBE_TEXT,
    "status": one_of(models.GuidanceStatus),
    "askedAt": moment,
    "answeredAt": maybe(moment),
    "deliveredAt": maybe(moment),
}
EVENT = {
    "seq": COUNT,
    "at": moment,
    "runId": MAYBE_TEXT,
    "entity": one_of(models.EntityKind),
    "entityId": TEXT,
    "type": TEXT,
    "from": MAYBE_TEXT,
    "to": MAYBE_TEXT,
    "message": MAYBE_TEXT,
    "data": (dict, type(None)),
}
AGENT_COUNTS = (
    "total",
    *("healthy", "idle", "waiting", "stalled", "dead", "unknown"),
    *("completed", "failed", "stopped", "pending"),
)
RUN_SUMMARY = {
    "runId": TEXT,
    "status": one_of(models.RunStatus),
    "tickets": [TEXT],
    "repos": [TEXT],
    "agents": dict.fromkeys(AGENT_COUNTS, COUNT),
    "guidancePending": COUNT,
    "createdAt": moment,
    "updatedAt": moment,
    "error": MAYBE_TEXT,
}
RUNS = {"runs": [RUN_SUMMARY], "total": COUNT, "seq": COUNT}
RUN_DETAIL = {
    "run": RUN,
    "steps": [STEP],
    "agents": [AGENT],
    "workspaces": [WORKSPACE],
    "guidance": [GUIDANCE],
    "seq": COUNT,
}
PROBLEM = {
    "code": TEXT,
    "message": TEXT,
    "hint": MAYBE_TEXT,
    "path": MAYBE_TEXT,
    "line": MAYBE_COUNT,
    "column": MAYBE_COUNT,
    "pointer": MAYBE_TEXT,
}
BLOCKED = {"repo": TEXT, "ticket": TEXT, "reason": one_of(models.BlockedReason), "message": TEXT, "files": [TEXT]}
MERGE = {
    "repo": TEXT,
    "ticket": TEXT,
    "base": TEXT,
    "from": TEXT,
    "to": TEXT,
    "kind": one_of(models.MergeKind),
}
CLOSED = {"run": RUN, "merges": [MERGE], "blocked": [BLOCKED]}
DIFFS = {
    "repos": [
        {
            "name": TEXT,
            "ticket": TEXT,
            "workspace": TEXT,
            "path": TEXT,
            "base": TEXT,
            "head": TEXT,
            "files": [{"path": TEXT, "status": TEXT, "additions": MAYBE_COUNT, "deletions": MAYBE_COUNT}],
            "patch": MAYBE_TEXT,
        }
    ]
}
TRANSCRIPT = {"text": TEXT, "offset": COUNT, "size": COUNT}
EXPLAINED = {
    "health": maybe(HEALTH),
    "evidence": [{"source": TEXT, "observed": TEXT, "at": moment, "says": MAYBE_TEXT}],
}
ERROR = {"error": {"code": COUNT, "message": TEXT, "data": {"kind": TEXT, "hint": MAYBE_TEXT, "details": object}}}

ASKS = """
"$METAWSM_BIN" signal progress "looked around"
answer=$("$METAWSM_BIN" signal guidance "Which one?" --choice this --choice that --wait)
echo "$answer" >> README.md && git commit -qam "Take $answer" && echo loose > loose.txt
"$METAWSM_BIN" --json signal done "it is $answer" > "$METAWSM_WORKSPACE/signal.json"
"""


@pytest.fixture
def cli(root: Root, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    return Cli(root, capfd, monkeypatch)


def test_every_verb_of_a_runs_life_answers_in_the_shapes_of_the_protocol(cli: Cli) -> None:  # noqa: PLR0915 - one run, looked at with every verb
    root = cli.root
    app = root.repository("app")
    root.policy(agents=[root.agent("worker", ASKS)], close={"require_clean_git": True})
    matches(cli.ask("create-ticket", "T-1", "--title", "Do it"), {"ticket": TEXT, "path": TEXT})

    matches(cli.ask("plan", "--ticket", "T-1"), {"steps": [STEP], "problems": [PROBLEM]})
    started = cli.ask("run", "--ticket", "T-1", "--run-id", "r1")
    matches(started, {"runId": TEXT, "status": one_of(models.RunStatus), "steps": [STEP]})
    assert [step["status"] for step in started["steps"]] == ["done"] * 4

    waited = cli.ask("wait", "r1", "--until", "awaiting_guidance", "--timeout", "30")
    matches(waited, {"run": RUN, "reached": FLAG})
    assert waited["reached"]

    detail = cli.ask("status", "--ticket", "T-1")
    matches(detail, RUN_DETAIL)
    assert (len(detail["agents"]), len(detail["guidance"]), len(detail["workspaces"][0]["repos"])) == (1, 1, 1)
    (question,) = detail["guidance"]
    assert question["choices"] == ["this", "that"]
    runs = cli.ask("runs")
    matches(runs, RUNS)
    assert runs["runs"][0]["guidancePending"] == 1
    matches(cli.ask("status"), RUNS)
    matches(cli.ask("attach"), {"argv": [TEXT], "session": TEXT})
    explained = cli.ask("explain")
    matches(explained, EXPLAINED)
    assert explained["evidence"]
    matches(cli.ask("answer", question["id"], "that"), {"guidance": GUIDANCE})
    done = cli.ask("wait", "r1", "--timeout", "30")
    assert done["run"]["status"] == "completed"

    workspace = Path(_workspace(cli))
    signalled = json.loads((workspace / "signal.json").read_text())
    matches(signalled, {"event": EVENT, "guidanceId": MAYBE_TEXT})
    matches(cli.ask("transcript"), TRANSCRIPT)
    diffs = cli.ask("diff", "r1", "--patch")
    matches(diffs, DIFFS)
    assert {file["path"]: file["status"] for file in diffs["repos"][0]["files"]} == {"README.md": "M", "loose.txt": "?"}
    assert "+that" in diffs["repos"][0]["patch"]
    assert cli.ask("diff")["repos"][0]["patch"] is None
    matches(
        cli.ask("tickets"), {"tickets": [{"ticket": TEXT, "title": TEXT, "status": TEXT, "path": TEXT, "runs": [TEXT]}]}
    )
    matches(cli.ask("complete"), {"run": RUN})

    rehearsed = cli("--json", "close", "--dry-run", code=5)
    matches(rehearsed.json, CLOSED)
    assert [blocked["reason"] for blocked in rehearsed.json["blocked"]] == ["uncommitted"]
    blocked = cli("close", "--json", code=5)
    matches(blocked.json, ERROR)
    assert blocked.json["error"]["code"] == 4093
    matches(blocked.json["error"]["data"]["details"], [BLOCKED])
    assert blocked.json["error"]["data"]["kind"] == "close_blocked"

    (workspace / "app" / "loose.txt").unlink()
    matches(cli.ask("sync"), {"repos": [{"name": TEXT, "ticket": TEXT, "result": TEXT, "files": [TEXT]}]})
    closed = cli.ask("close")
    matches(closed, CLOSED)
    assert [merge["kind"] for merge in closed["merges"]] == ["merge"]
    assert closed["merges"][0]["to"] == git(app, "rev-parse", "main")
    cleaned = cli.ask("cleanup")
    matches(
        cleaned,
        {
            "removed": [TEXT],
            "kept": [{"path": TEXT, "reason": TEXT}],
            "snapshots": [{"repo": TEXT, "ref": TEXT, "commit": TEXT}],
        },
    )
    events = cli.ask("events")
    matches(events, {"events": [EVENT], "seq": COUNT})
    assert [event["seq"] for event in events["events"]] == list(range(1, events["seq"] + 1))
    assert cli.ask("history", "--since", "3", "--limit", "2")["events"] == events["events"][3:5]
    matches(cli.ask("close-ticket", "T-1"), {"ticket": TEXT, "path": TEXT})


def _workspace(cli: Cli) -> str:
    return str(cli.ask("status", "r1")["workspaces"][0]["path"])


def test_verbs_that_go_on_with_a_run_answer_in_the_shapes_of_the_protocol(cli: Cli) -> None:
    root = cli.root
    root.repository("app")
    root.policy(
        workspace={"setup": [{"run": "test -e ../ready"}]},
        execution={"step_retries": 0},
        agents=[root.agent("worker", DONE)],
    )
    cli("ticket", "create", "T-1")
    stored = cli("--json", "run", "--ticket", "T-1", "--run-id", "r1", "--dry-run")
    assert (stored.json["status"], stored.err) == ("paused", "")

    resumed = cli("--json", "resume", "r1", code=1)
    matches(resumed.json, {"run": RUN})
    assert resumed.json["run"]["status"] == "failed"
    assert "set up" in resumed.err
    assert "metawsm resume r1" in resumed.err

    Path(_workspace(cli), "ready").touch()
    retried = cli.ask("retry-step", "r1", "3")
    matches(retried, {"step": STEP})
    assert retried["step"]["status"] == "done"
    assert cli.ask("wait", "--timeout", "30")["run"]["status"] == "completed"
    iterated = cli.ask("iterate", "r1", "once more", "--wait")
    matches(iterated, {"run": RUN})
    assert iterated["run"]["status"] == "completed"
    restarted = cli.ask("restart", "r1", "--agent", "worker")
    matches(restarted, {"agents": [AGENT]})
    assert restarted["agents"][0]["restarts"] == 2
    matches(cli.ask("stop"), {"run": RUN})


def test_a_run_whose_step_fails_still_answers_with_one_document_and_a_skipped_step_with_another(cli: Cli) -> None:
    root = cli.root
    root.repository("app")
    root.policy(
        workspace={"setup": [{"run": "exit 3"}]}, execution={"step_retries": 0}, agents=[root.agent("worker", DONE)]
    )
    cli("ticket", "create", "T-1")
    failed = cli("run", "--json", "--ticket", "T-1", "--run-id", "r1", code=1)
    assert failed.json["status"] == "failed"
    assert "exit code 3" in failed.json["steps"][3]["error"]
    assert "exit code 3" in failed.err
    assert cli("--json", "wait", "r1", code=1).json["reached"]
    skipped = cli.ask("skip-step", "r1", "3", "--wait")
    matches(skipped, {"step": STEP})
    assert skipped["step"]["status"] == "skipped"


def test_verbs_about_the_set_up_answer_in_the_shapes_of_the_protocol(cli: Cli) -> None:
    policy = {"path": TEXT, "policy": (dict, type(None)), "problems": [PROBLEM]}
    matches(cli.ask("policy-init"), {"path": TEXT})
    for verb in ("check", "show"):
        matches(cli.ask("policy", verb), policy)
    (cli.root.path / ".metawsm" / "policy.json").write_text('{"version": 3, "agnets": []}')
    wrong = cli.ask("policy", "check", code=2)
    matches(wrong, policy)
    assert wrong["policy"] is None
    assert wrong["problems"][0]["pointer"] == "/agnets"
    doctor = cli("--json", "doctor", code=None)
    matches(doctor.json, {"checks": [{"name": TEXT, "ok": FLAG, "detail": TEXT, "hint": MAYBE_TEXT}]})


@pytest.mark.parametrize(
    ("arguments", "kind", "number", "code"),
    [
        (["bogus"], "invalid_params", -32602, 2),
        (["run", "--ticket", "no/such"], "invalid_params", -32602, 2),
        (["run", "--ticket", "T-404"], "ticket_not_found", 4040, 3),
        (["run", "--ticket", "T-1", "--repos", "nope"], "repo_not_found", 4040, 3),
        (["run", "--ticket", "T-1", "--agent", "nope"], "agent_not_found", 4040, 3),
        (["status", "nope"], "run_not_found", 4040, 3),
        (["status", "r"], "ambiguous", 4041, 3),
        (["logs", "r1", "--agent", "nope"], "agent_not_found", 4040, 3),
        (["retry-step", "r1", "99"], "step_not_found", 4040, 3),
        (["answer", "nope", "yes"], "guidance_not_found", 4040, 3),
        (["close", "r1"], "illegal_transition", 4090, 4),
        (["run", "--ticket", "T-1", "--agent", "codex"], "dependency_missing", 4240, 6),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_an_error_is_one_document_with_its_code_kind_and_hint(
    two_paused_runs: Cli, arguments: list[str], kind: str, number: int, code: int
) -> None:
    for words in (["--json", *arguments], [*arguments, "--json"]):
        ran = two_paused_runs(*words, code=code)
        matches(ran.json, ERROR)
        assert (ran.json["error"]["data"]["kind"], ran.json["error"]["code"]) == (kind, number)
        assert ran.err.startswith(f"metawsm: {ran.json['error']['message']}\n")
        assert ran.json["error"]["data"]["hint"] in (None, *(line.strip() for line in ran.err.splitlines()[1:]))


@pytest.fixture
def two_paused_runs(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    cli.root.repository("app")
    cli.root.agents(worker=DONE)
    cli("ticket", "create", "T-1")
    for run in ("r1", "r2"):
        cli("run", "--ticket", "T-1", "--run-id", run, "--dry-run")
    # A codex of the person's own would be found.
    monkeypatch.setattr(
        "metawsm_rpc.hosts.environment.LocalPrograms.find", lambda _self, name, _env: name if name == "sh" else None
    )
    return cli


def test_waiting_tells_by_its_exit_status_whether_the_run_completed(cli: Cli) -> None:
    root = cli.root
    root.repository("app")
    root.agents(works=DONE, gives_up='"$METAWSM_BIN" signal failed "no idea"\n')
    cli("ticket", "create", "T-1")
    cli("run", "--ticket", "T-1", "--run-id", "good", "--agent", "works", "--wait")
    cli("wait", "good")
    bad = cli("--json", "run", "--ticket", "T-1", "--run-id", "bad", "--agent", "gives_up", "--wait", code=1)
    assert bad.json["status"] == "failed"
    cli("wait", "bad", code=1)
    cli("wait", "bad", "--until", "failed")
    late = cli("--json", "wait", "bad", "--until", "closed", "--timeout", "0.1", code=1)
    assert late.json["reached"] is False
    typo = cli("wait", "bad", "--until", "complete", code=2)
    assert "'completed'" in typo.err
