"""From `initialize` to the end: options, exit codes, and every way in which a client or the server can go."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Root
from server_support import Wire, served, serving, started, working


def sessions() -> str:
    done = subprocess.run(["tmux", "-L", "metawsm", "list-sessions"], capture_output=True, text=True, check=False)
    return done.stdout


def test_a_client_that_does_everything_right_ends_it_with_0(root: Root) -> None:
    with served(root.path) as wire:
        assert wire.ask("shutdown") is None
        wire.notify("exit")
        assert wire.wait() == 0
        assert wire.errors == b""


def test_a_client_that_kills_it_after_shutdown_leaves_nothing_behind(root: Root) -> None:
    folder = Path(os.environ["TMPDIR"])
    with served(root.path) as wire:
        wire.ask("workspace/executeCommand", {"command": "metawsm.doctor"})
        wire.until(lambda: list(folder.glob("metawsm-*/doctor.md")))
        wire.ask("shutdown")
        wire.process.kill()
        assert list(folder.glob("metawsm-*")) == []


def test_exit_without_shutdown_ends_it_with_1(root: Root) -> None:
    with served(root.path) as wire:
        wire.notify("exit")
        assert wire.wait() == 1


def test_exit_before_initialize_ends_it_with_1(root: Root) -> None:
    with serving(root.path) as wire:
        wire.notify("exit")
        assert wire.wait() == 1


def test_the_end_of_input_ends_it_and_answers_what_was_asked(root: Root) -> None:
    messages = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}},
        {"jsonrpc": "2.0", "id": 2, "method": "metawsm/runs"},
    ]
    sent = b"".join(b"Content-Length: %d\r\n\r\n%s" % (len(body := json.dumps(one).encode()), body) for one in messages)
    done = subprocess.run(
        [sys.executable, "-m", "metawsm_rpc"], input=sent, capture_output=True, cwd=root.path, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b'"result":{"runs":[],"total":0,"seq":0}' in done.stdout


def test_what_was_asked_before_the_end_of_input_may_take_a_while(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "git").write_text(f'#!/bin/sh\nsleep 1\nexec {shutil.which("git")} "$@"\n')
    (slow / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow}:{os.environ['PATH']}")
    with served(root.path) as wire:
        asked = wire.request("metawsm/doctor")
        wire.process.stdin.close()
        assert wire.answer_to(asked)["result"]["checks"]
        assert wire.wait() == 0


def test_it_works_on_nothing_that_nobody_reads(root: Root) -> None:
    with served(working(root).path) as wire:
        run_id = started(wire, root)
    with serving(root.path, read=False) as wire:
        wire.request("initialize", {"processId": None, "rootUri": root.path.as_uri(), "capabilities": {}})
        assert "result" in wire.receive()
        wire.request("metawsm/wait", {"runId": run_id})
        began = time.monotonic()
        wire.process.stdout.close()
        wire.process.stdin.close()
        assert wire.wait() == 0
        assert time.monotonic() - began < 8


def test_signals_end_it_soon_and_agents_go_on(root: Root) -> None:
    with served(working(root).path) as wire:
        started(wire, root)
    before = sessions()
    assert "worker" in before
    for number, status in ((signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGINT, 130)):
        with served(root.path) as wire:
            assert wire.ask("metawsm/runs")["runs"][0]["agents"]["healthy"] == 1
            began = time.monotonic()
            wire.process.send_signal(number)
            assert wire.wait() == status
            assert time.monotonic() - began < 10  # without load, less than one
            assert wire.errors == b""
    assert sessions() == before


@pytest.mark.parametrize("end", [Wire.close, lambda wire: wire.process.stdin.close()], ids=["killed", "client gone"])
def test_another_process_takes_over_when_it_has_gone(root: Root, end: Callable[[Wire], Any]) -> None:
    with served(working(root).path) as first:
        run_id = started(first, root)
        end(first)
        first.wait()
    with served(root.path, initializationOptions={"events": True}) as second:
        root.metawsm("complete", run_id)
        second.until(lambda: [one for one in second.told("metawsm/event") if one["to"] == "completed"])


def test_it_ends_in_the_middle_of_a_start_and_the_next_one_goes_on(root: Root) -> None:
    working(root)
    root.policy(
        agents=[Root.agent("worker", "exec sleep 300")],
        workspace={"setup": [{"run": "sleep 2; echo x >> setup-ran", "timeout_seconds": 60}]},
    )
    root.metawsm("ticket", "create", "T-1")
    with served(root.path, initializationOptions={"events": True}) as wire:
        wire.ask("metawsm/run", {"tickets": ["T-1"]})
        wire.until(
            lambda: [one for one in wire.told("metawsm/event") if one["type"] == "start" and one["entityId"] == "2"]
        )
        wire.process.terminate()
        assert wire.wait() == 0
    with served(root.path) as wire:
        assert wire.ask("metawsm/wait", {"until": ["running"], "timeout": 60})["reached"]


def test_it_ends_when_the_process_that_initialize_names_is_gone(root: Root) -> None:
    parent = subprocess.Popen(["sleep", "300"])
    with served(root.path, processId=parent.pid) as wire:
        assert wire.ask("metawsm/runs")["total"] == 0
        parent.kill()
        parent.wait()
        assert wire.wait() == 0


def test_a_process_that_cannot_be_seen_is_not_waited_for(root: Root) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    with served(root.path, processId=gone.pid) as wire:
        assert wire.ask("metawsm/runs")["total"] == 0


def test_a_client_that_never_says_initialized_is_served_and_told(root: Root) -> None:
    with serving(working(root).path) as wire:
        wire.ask("initialize", {"capabilities": {}, "initializationOptions": {"events": True}})
        started(wire, root)
        wire.until(lambda: [one for one in wire.told("metawsm/event") if one["to"] == "running"])


def test_shutdown_with_requests_pending_cancels_them(root: Root) -> None:
    with served(working(root).path) as wire:
        run_id = started(wire, root)
        waits = [wire.request("metawsm/wait", {"runId": run_id}) for _ in range(50)]
        assert wire.ask("shutdown") is None
        assert {wire.answer_to(one)["error"]["code"] for one in waits} == {-32800}
        wire.notify("exit")
        assert wire.wait() == 0


def test_options_of_a_wrong_type_are_told_of_and_left_out(root: Root) -> None:
    with served(root.path, initializationOptions={"events": "yes"}) as wire:
        assert wire.ask("metawsm/runs")["total"] == 0
        (message,) = wire.told("window/showMessage")
        assert "events is true or false" in message["message"]


def test_a_trust_that_is_not_understood_is_none(root: Root) -> None:
    with served(root.path, initializationOptions={"trusted": "yes"}) as wire:
        assert wire.error("metawsm/createTicket", {"ticket": "T-1"})["data"]["kind"] == "not_trusted"


def test_unknown_capabilities_and_members_are_no_reason_to_refuse(root: Root) -> None:
    strange = {
        "capabilities": {
            "textDocument": {"completion": {"completionItemKind": {"valueSet": [9999]}}, "codeAction": "yes"},
            "workspace": {"codeLens": {"refreshSupport": True}},
        },
        "new": 1,
    }
    with served(root.path, **strange) as wire:
        assert wire.ask("metawsm/runs")["total"] == 0


def test_initialize_tells_the_scheme_of_documents_and_the_commands(root: Root) -> None:
    with serving(root.path) as wire:
        told = wire.ask("initialize", {})
        assert told["serverInfo"]["name"] == "metawsm"
        assert "metawsm.run" in told["capabilities"]["executeCommandProvider"]["commands"]
        assert told["capabilities"]["workspace"]["workspaceFolders"]["supported"]


def test_serve_is_a_verb_of_the_command_line(root: Root, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    root.metawsm("ticket", "create", "T-1")
    with serving(elsewhere, "metawsm_rpc.cli.main", "--root", str(root.path), "serve") as wire:
        wire.initialize(elsewhere)
        assert [one["ticket"] for one in wire.ask("metawsm/tickets")["tickets"]] == ["T-1"]
        wire.ask("shutdown")
        wire.notify("exit")
        assert (wire.wait(), wire.errors) == (0, b"")


# --- roots that cannot be used ---


def newer(root: Root) -> None:
    root.metawsm("ticket", "create", "T-1")
    (root.path / ".metawsm").mkdir(exist_ok=True)
    with sqlite3.connect(root.path / ".metawsm" / "metawsm.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


def damaged(root: Root) -> None:
    (root.path / ".metawsm").mkdir()
    (root.path / ".metawsm" / "metawsm.db").write_bytes(b"no database at all, and long enough for a header" * 100)


@pytest.mark.parametrize(("spoil", "said"), [(newer, "newer metawsm"), (damaged, "is damaged")])
def test_a_database_that_cannot_be_used_is_told_of_once_and_by_every_verb(
    root: Root, spoil: Callable[[Root], None], said: str
) -> None:
    spoil(root)
    with served(root.path) as wire:
        wire.until(lambda: wire.told("window/showMessage"))
        for _ in range(3):
            error = wire.error("metawsm/runs")
            assert (error["code"], error["data"]["kind"]) == (5001, "store_error")
            assert said in error["message"]
        assert len(wire.told("window/showMessage")) == 1
        assert wire.ask("metawsm/policy")["policy"]
        assert b"Traceback" not in wire.errors
        assert "Traceback" not in str(wire.messages)


def test_a_root_that_is_not_there_is_told_of_and_can_come_later(root: Root) -> None:
    missing = root.path / "missing"
    with serving(root.path) as wire:
        wire.initialize(missing)
        wire.until(lambda: wire.told("window/showMessage"))
        assert wire.error("metawsm/runs")["data"]["kind"] == "invalid_params"
        assert wire.ask("metawsm/runs", {"root": str(root.path)})["total"] == 0
        missing.mkdir()
        assert wire.ask("metawsm/runs")["total"] == 0
        assert len(wire.told("window/showMessage")) == 1


def test_a_root_without_a_policy_has_the_defaults(root: Root) -> None:
    with served(root.path) as wire:
        assert wire.ask("metawsm/policy")["problems"] == []
        assert not (root.path / ".metawsm").exists()


def test_a_policy_that_is_wrong_is_answered_by_what_needs_it(root: Root) -> None:
    root.policy(nonsense=1)
    with served(root.path) as wire:
        assert wire.ask("metawsm/policy")["problems"][0]["code"]
        error = wire.error("metawsm/run", {"tickets": ["T-1"]})
        assert (error["code"], error["data"]["kind"]) == (4220, "invalid_policy")
        assert wire.ask("metawsm/runs")["total"] == 0


def test_nothing_of_the_process_but_messages_goes_to_standard_output(root: Root) -> None:
    with serving(root.path, env={"PYTHONWARNINGS": "always"}) as wire:
        wire.initialize(root.path)
        assert wire.ask("metawsm/doctor")["checks"]


def test_closed_standard_streams_are_told_of(root: Root) -> None:
    for closed in ("<&-", ">&-"):
        done = subprocess.run(
            ["sh", "-c", f"exec {sys.executable} -m metawsm_rpc {closed}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=root.path,
            env=dict(os.environ),
            timeout=30,
            check=False,
        )
        assert b"Traceback" not in done.stderr
