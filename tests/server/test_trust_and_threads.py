"""What an untrusted folder may make the server do, which is nothing; and what may hold a look up, which is nothing."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Root, git
from server_support import Wire, served, started, statuses, working

UNTRUSTED = {"initializationOptions": {"trusted": False, "events": True}}


def traps(tmp_path: Path, root: Root) -> Path:
    """Let every program that may be executed leave a trace, and the repository's own traps as well."""
    trace, folder = tmp_path / "trace", tmp_path / "traps"
    folder.mkdir()
    for name in ("git", "tmux", "wsm", "docmgr", "sh", "bash"):
        (folder / name).write_text(f'#!/bin/dash\necho "{name} $*" >> {trace}\nexit 1\n')
        (folder / name).chmod(0o755)
    if (root.path / "app").exists():
        git(root.path / "app", "config", "core.fsmonitor", f"touch {trace}; false")
    return folder


def picture(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


CHANGING: dict[str, dict[str, Any]] = {
    "run": {"tickets": ["T-1"]},
    "plan": {"tickets": ["T-1"]},
    "resume": {},
    "stop": {},
    "complete": {},
    "restart": {},
    "iterate": {"feedback": "x"},
    "retryStep": {"index": 0},
    "skipStep": {"index": 0},
    "answer": {"guidanceId": "g", "answer": "x"},
    "signal": {"runId": "r", "ticket": "T", "agent": "a", "launch": "l", "type": "progress"},
    "diff": {},
    "sync": {},
    "close": {},
    "cleanup": {},
    "createTicket": {"ticket": "T-2"},
    "closeTicket": {"ticket": "T-1"},
    "policyInit": {},
}
READING = ("runs", "status", "events", "tickets", "policy", "doctor")


def test_an_untrusted_root_with_a_run_is_read_and_left_as_it_is(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    working(root)
    run_id = root.run("T-1")
    before = picture(root.path)
    with monkeypatch.context() as patched:
        patched.setenv("PATH", f"{traps(tmp_path, root)}:{os.environ['PATH']}")
        before = picture(root.path)
        with served(root.path, **UNTRUSTED) as wire:
            for verb, params in CHANGING.items():
                error = wire.error(f"metawsm/{verb}", params)
                assert (error["code"], error["data"]["kind"]) == (4030, "not_trusted"), verb
                for arguments in ([params], []):
                    command = {"command": f"metawsm.{verb}", "arguments": arguments}
                    assert wire.error("workspace/executeCommand", command)["code"] == 4030, verb
            for verb in READING:
                wire.ask(f"metawsm/{verb}")
            assert statuses(wire, root, run_id) == {"worker": "running"}
            assert wire.ask("metawsm/transcript", {"runId": run_id, "agent": "worker"})["size"] >= 0
            assert wire.ask("metawsm/explain", {"runId": run_id, "agent": "worker"})["evidence"] == []
            assert wire.ask("metawsm/attach", {"runId": run_id, "agent": "worker"})["session"]
            assert wire.ask("metawsm/wait", {"runId": run_id, "timeout": 0.1})["reached"] is False
            wire.ask("shutdown")
            wire.notify("exit")
            assert wire.wait() == 0
        assert picture(root.path) == before
        assert not (tmp_path / "trace").exists()


def test_changes_of_others_reach_an_untrusted_root_as_well(root: Root) -> None:
    working(root)
    run_id = root.run("T-1")
    with served(root.path, **UNTRUSTED) as wire:
        assert statuses(wire, root, run_id) == {"worker": "running"}
        root.metawsm("stop", run_id)
        wire.until(lambda: [one for one in wire.told("metawsm/event") if one["to"] == "stopped"])
        assert wire.ask("metawsm/status", {"runId": run_id})["run"]["status"] == "stopped"


@pytest.mark.parametrize("options", [{}, {"trusted": False}], ids=["trusted", "untrusted"])
def test_opening_a_folder_without_runs_executes_and_makes_nothing(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    working(root)
    root.metawsm("ticket", "create", "T-1")
    folder = traps(tmp_path, root)
    before = picture(root.path)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    (index,) = root.path.rglob("index.md")
    with served(root.path, initializationOptions=options) as wire:
        opened = {"uri": index.as_uri(), "languageId": "markdown", "version": 1, "text": index.read_text()}
        wire.notify("textDocument/didOpen", {"textDocument": opened})
        for verb in ("runs", "events", "tickets", "policy"):
            wire.ask(f"metawsm/{verb}")
        wire.ask("textDocument/codeLens", {"textDocument": {"uri": index.as_uri()}})
        wire.ask(
            "textDocument/hover", {"textDocument": {"uri": index.as_uri()}, "position": {"line": 1, "character": 1}}
        )
        wire.ask("workspace/symbol", {"query": ""})
        time.sleep(0.6)  # longer than it takes the supervisor to look for state
        assert wire.ask("metawsm/runs")["total"] == 0
    assert not (tmp_path / "trace").exists()
    assert picture(root.path) == before


def test_a_policy_folder_of_somebody_else_is_not_used(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    root.policy()
    os.chown(root.path / ".metawsm", 12345, 12345)
    try:
        with served(root.path) as wire:
            wire.until(lambda: wire.told("window/showMessage"))
            assert wire.error("metawsm/runs")["data"]["kind"] == "not_trusted"
    finally:
        os.chown(root.path / ".metawsm", os.getuid(), os.getgid())


# --- nothing waits for what it has nothing to do with ---


def slow_git(tmp_path: Path, word: str) -> str:
    """Return a PATH whose git hangs for ever when it is called with a word."""
    folder = tmp_path / "slow"
    folder.mkdir()
    real = next(place for place in os.environ["PATH"].split(":") if (Path(place) / "git").exists())
    (folder / "git").write_text(
        f'#!/bin/sh\ncase " $* " in *" {word} "*) touch {tmp_path}/hangs; exec sleep 300;; esac\nexec {real}/git "$@"\n'
    )
    (folder / "git").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def slowest(wire: Wire, run_id: str, rounds: int) -> float:
    took = []
    for _ in range(rounds):
        began = time.monotonic()
        wire.ask("metawsm/status", {"runId": run_id})
        took.append(time.monotonic() - began)
    return sorted(took)[-3]


def test_status_is_answered_while_ten_runs_start_and_git_hangs(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(working(root).path) as wire:
        first = started(wire, root)
        wire.ask("shutdown")
        wire.notify("exit")
        wire.wait()
    monkeypatch.setenv("PATH", slow_git(tmp_path, "worktree"))
    with served(root.path) as wire:
        calm = slowest(wire, first, 20)
        asked = []
        for number in range(10):
            wire.ask("metawsm/createTicket", {"ticket": f"U-{number}"})
            asked.append(wire.request("metawsm/run", {"tickets": [f"U-{number}"]}))
        while not (tmp_path / "hangs").exists():
            wire.ask("metawsm/runs")
        busy = slowest(wire, first, 20)
        assert busy < max(10 * calm, 5)
        runs = [wire.answer_to(one)["result"]["runId"] for one in asked]
        began = time.monotonic()
        assert wire.ask("metawsm/stop", {"runId": runs[0]})["run"]["status"] == "stopped"
        assert time.monotonic() - began < 20
        for run_id in runs[1:]:
            wire.request("metawsm/stop", {"runId": run_id})


def test_ten_plans_that_hang_in_git_hold_neither_looks_nor_stops_up(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(working(root).path) as wire:
        first = started(wire, root)
        wire.ask("shutdown")
        wire.notify("exit")
        wire.wait()
    monkeypatch.setenv("PATH", slow_git(tmp_path, "rev-parse"))
    with served(root.path) as wire:
        plans = [wire.request("metawsm/plan", {"tickets": ["T-1"]}) for _ in range(40)]
        assert wire.ask("metawsm/runs")["total"] == 1
        assert wire.ask("metawsm/stop", {"runId": first})["run"]["status"] == "stopped"
        for one in plans:
            wire.notify("$/cancelRequest", {"id": one})
        assert {wire.answer_to(one).get("error", {}).get("code", -32800) for one in plans} == {-32800}
