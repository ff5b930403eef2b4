"""Progress of runs, resumes and closes, and what Cancel does to each."""

import os
from pathlib import Path
from typing import Any

import pytest
from conftest import DONE, Root, git
from server_support import ALL_CAPABILITIES, Wire, served, started, working

ABLE = {"capabilities": ALL_CAPABILITIES, "initializationOptions": {"events": True}}


def bars(wire: Wire) -> dict[Any, list[dict[str, Any]]]:
    """Return what was told of each token."""
    found: dict[Any, list[dict[str, Any]]] = {}
    for one in wire.told("$/progress"):
        found.setdefault(one["token"], []).append(one["value"])
    return found


def ended(wire: Wire) -> list[dict[str, Any]]:
    """Wait until the only bar is over, and return what it showed."""
    return wire.until(lambda: [values for values in bars(wire).values() if values[-1]["kind"] == "end"])[0]


def slow(root: Root, seconds: int = 60) -> Root:
    """Give a root a repository and a setup command that takes its time."""
    root.repository("app")
    root.policy(
        agents=[Root.agent("worker", "exec sleep 300")],
        workspace={"setup": [{"run": f"sleep {seconds}", "timeout_seconds": 100}]},
        execution={"stop_grace_seconds": 1},
    )
    return root


def hanging_git(tmp_path: Path, when: str) -> dict[str, str]:
    """Return an environment whose git waits for a file when it is called with a word."""
    folder = tmp_path / "bin"
    folder.mkdir()
    real = next(place for place in os.environ["PATH"].split(":") if (Path(place) / "git").exists())
    (folder / "git").write_text(
        f'#!/bin/sh\ncase " $* " in *" {when} "*)\n'
        f'  touch {tmp_path}/reached; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done;;\nesac\nexec {real}/git "$@"\n'
    )
    (folder / "git").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_a_run_answers_at_once_and_tells_how_far_it_is(root: Root) -> None:
    with served(slow(root, 1).path, **ABLE) as wire:
        wire.ask("metawsm/createTicket", {"ticket": "T-1"})
        run_id = wire.ask("metawsm/run", {"tickets": ["T-1"]})["runId"]
        assert wire.ask("metawsm/status", {"runId": run_id})["steps"][-1]["status"] == "pending"
        begin, *reports, end = ended(wire)
        assert wire.told("window/workDoneProgress/create")
        assert (begin["kind"], begin["title"], begin["cancellable"]) == ("begin", f"Run {run_id}", True)
        percentages = [one["percentage"] for one in reports]
        assert percentages == sorted(percentages)
        assert percentages[-1] == 100
        assert end["message"] == "5 of 5 steps; the run is running"


def test_cancelling_the_progress_of_a_run_stops_it(root: Root) -> None:
    with served(slow(root).path, **ABLE) as wire:
        wire.ask("metawsm/createTicket", {"ticket": "T-1"})
        run_id = wire.ask("metawsm/run", {"tickets": ["T-1"]})["runId"]
        (token,) = wire.until(lambda: bars(wire))
        wire.notify("window/workDoneProgress/cancel", {"token": token})
        assert wire.ask("metawsm/wait", {"runId": run_id, "timeout": 10})["run"]["status"] == "stopped"
        assert ended(wire)[-1]["message"].endswith("the run is stopped")
        wire.notify("window/workDoneProgress/cancel", {"token": token})
        assert wire.ask("metawsm/runs")["total"] == 1


@pytest.mark.parametrize("as_command", [False, True])
def test_a_token_that_came_with_the_request_serves_a_client_that_creates_none(root: Root, as_command: bool) -> None:
    with served(slow(root, 0).path) as wire:
        wire.ask("metawsm/createTicket", {"ticket": "T-1"})
        if as_command:
            params = {"command": "metawsm.run", "arguments": [{"tickets": ["T-1"]}], "workDoneToken": "mine"}
            wire.ask("workspace/executeCommand", params)
        else:
            wire.ask("metawsm/run", {"tickets": ["T-1"], "workDoneToken": "mine"})
        ended(wire)
        assert list(bars(wire)) == ["mine"]
        assert wire.told("window/workDoneProgress/create") == []


def test_without_a_way_to_show_it_there_is_no_progress(root: Root) -> None:
    with served(slow(root, 0).path, initializationOptions={"events": True}) as wire:
        started(wire, root)
        assert bars(wire) == {}


def test_a_resume_is_followed_too(root: Root) -> None:
    with served(working(root).path, **ABLE) as wire:
        run_id = started(wire, root)
        ended(wire)
        wire.ask("metawsm/stop", {"runId": run_id})
        wire.ask("metawsm/resume", {"runId": run_id})
        wire.until(lambda: len(bars(wire)) == 2 and all(values[-1]["kind"] == "end" for values in bars(wire).values()))


def test_a_run_whose_request_is_cancelled_is_stopped_once_it_is_planned(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", hanging_git(tmp_path, "rev-parse")["PATH"])
    with served(working(root).path, **ABLE) as wire:
        wire.ask("metawsm/createTicket", {"ticket": "T-1"})
        asked = wire.request("metawsm/run", {"tickets": ["T-1"]})
        while not (tmp_path / "reached").exists():
            wire.ask("metawsm/runs")
        wire.notify("$/cancelRequest", {"id": asked})
        assert wire.answer_to(asked)["error"]["code"] == -32800
        (tmp_path / "go").touch()
        wire.until(
            lambda: [one for one in wire.told("metawsm/event") if one["entity"] == "run" and one["to"] == "stopped"]
        )
        assert bars(wire) == {}


def closable(root: Root, wire: Wire) -> tuple[str, Path]:
    """Bring a run to its end with a commit to be merged."""
    run_id = started(wire, root)
    (workspace,) = wire.ask("metawsm/status", {"runId": run_id})["workspaces"]
    path = Path(workspace["repos"][0]["path"])
    (path / "new.txt").write_text("new\n")
    git(path, "add", "-A")
    git(path, "commit", "-qm", "Work")
    wire.ask("metawsm/complete", {"runId": run_id})
    wire.until(lambda: bars(wire) and all(values[-1]["kind"] == "end" for values in bars(wire).values()))
    return run_id, path


def test_a_close_that_is_cancelled_before_its_decision_merges_nothing(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", hanging_git(tmp_path, "merge-tree")["PATH"])
    with served(working(root).path, **ABLE) as wire:
        run_id, _ = closable(root, wire)
        before = git(root.path / "app", "rev-parse", "main")
        asked = wire.request("metawsm/close", {"runId": run_id, "workDoneToken": 77})
        wire.until(lambda: 77 in bars(wire))
        while not (tmp_path / "reached").exists():
            wire.ask("metawsm/runs")
        wire.notify("window/workDoneProgress/cancel", {"token": 77})
        wire.ask("metawsm/runs")
        (tmp_path / "go").touch()
        error = wire.answer_to(asked)["error"]
        assert "cancelled before its decision" in error["message"]
        assert wire.ask("metawsm/status", {"runId": run_id})["run"]["status"] == "completed"
        assert git(root.path / "app", "rev-parse", "main") == before
        assert git(root.path / "app", "for-each-ref", "refs/metawsm") == ""
        assert bars(wire)[77][-1]["kind"] == "end"
        assert wire.ask("metawsm/close", {"runId": run_id})["run"]["status"] == "closed"


def test_done_agents_lead_to_a_close_with_progress(root: Root) -> None:
    root.repository("app")
    root.agents(worker=DONE)
    with served(root.path, **ABLE) as wire:
        wire.ask("metawsm/createTicket", {"ticket": "T-1"})
        run_id = wire.ask("metawsm/run", {"tickets": ["T-1"]})["runId"]
        wire.ask("metawsm/wait", {"runId": run_id})
        wire.ask("metawsm/close", {"runId": run_id})
        titles = [values[0]["title"] for values in bars(wire).values()]
        assert titles == [f"Run {run_id}", f"Close {run_id}"]
        wire.until(lambda: all(values[-1]["kind"] == "end" for values in bars(wire).values()))
