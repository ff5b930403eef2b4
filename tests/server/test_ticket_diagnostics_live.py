"""Diagnostics on tickets come without being asked for, whether the ticket is open or not, and go with their cause."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import DONE, Root
from editor_client import Editor, editor, says
from lsprotocol.types import DiagnosticSeverity

pytestmark = pytest.mark.asyncio

QUIET = "exec cat\n"


def tmux(*arguments: str) -> None:
    subprocess.run(["tmux", "-L", "metawsm", *arguments], check=True)


def write(path: Path, text: str) -> None:
    path.write_text(text)


async def started(at: Editor, script: str, **sections: object) -> tuple[str, Path]:
    """Start an agent on a ticket that nobody has opened; return the run and the ticket's file."""
    at.root.repository("app")
    at.root.policy(agents=[Root.agent("worker", script)], execution={"stop_grace_seconds": 1}, **sections)
    path = await at.ticket("T-1")
    return await at.run("T-1"), path


async def test_an_agent_that_dies(root: Root) -> None:
    async with editor(root) as at:
        run, path = await started(at, QUIET)
        (agent,) = await at.until_agents(run)
        os.kill(agent["pid"], signal.SIGKILL)
        shown = await at.diagnostic(path, "agent-dead")
        assert shown.severity == DiagnosticSeverity.Error
        assert (shown.source, shown.data["runId"], shown.data["ticket"], shown.data["agent"]) == (
            "metawsm",
            run,
            "T-1",
            "worker",
        )
        line = path.read_text().splitlines()[shown.range.start.line]
        assert line[shown.range.start.character : shown.range.end.character] == "T-1"
        assert line.startswith("Ticket:")
        await at.ask("restart", runId=run)
        await at.none_on(path, "agent-dead")


async def test_an_agent_whose_session_is_ended_by_somebody(root: Root) -> None:
    async with editor(root) as at:
        run, path = await started(at, QUIET)
        (agent,) = await at.until_agents(run)
        tmux("kill-session", "-t", f"={agent['session']}:")
        await at.diagnostic(path, "agent-dead")
        await at.ask("stop", runId=run)
        await at.none_on(path, "agent-dead")


async def test_an_agent_that_fails(root: Root) -> None:
    async with editor(root) as at:
        run, path = await started(at, "exit 5\n")
        shown = await at.diagnostic(path, "agent-failed")
        assert "exited with 5" in shown.message
        assert shown.severity == DiagnosticSeverity.Error
        failed = await at.diagnostic(path, "run-failed")
        assert failed.severity == DiagnosticSeverity.Error
        await at.ask("complete", runId=run)
        await at.none_on(path, "agent-failed")
        assert at.shown(path) == []


async def test_a_step_that_fails(root: Root) -> None:
    async with editor(root) as at:
        setup = [{"run": "test -e allowed", "timeout_seconds": 10}]
        run, path = await started(at, DONE, workspace={"setup": setup})
        shown = await at.diagnostic(path, "step-failed")
        assert shown.severity == DiagnosticSeverity.Error
        assert isinstance(shown.data["step"], int)
        await at.ask("skipStep", runId=run, index=shown.data["step"])
        await at.none_on(path, "step-failed")


async def test_an_agent_that_waits(root: Root) -> None:
    async with editor(root) as at:
        _, path = await started(at, says('waiting "may I?"'))
        shown = await at.diagnostic(path, "agent-waiting")
        assert shown.severity == DiagnosticSeverity.Warning


async def test_an_agent_that_waits_no_longer(root: Root) -> None:
    async with editor(root) as at:
        goes_on = '"$METAWSM_BIN" signal waiting\nread line\n"$METAWSM_BIN" signal working\nexec cat\n'
        run, path = await started(at, goes_on)
        await at.diagnostic(path, "agent-waiting")
        (agent,) = await at.until_agents(run)
        tmux("send-keys", "-t", f"={agent['session']}:", "x", "Enter")
        await at.none_on(path, "agent-waiting")


async def test_an_agent_that_is_silent(root: Root) -> None:
    health = {"idle_seconds": 1, "activity_stalled_seconds": 1000, "progress_stalled_seconds": 1000}
    async with editor(root) as at:
        _, path = await started(at, QUIET, health=health)
        idle = await at.diagnostic(path, "agent-idle")
        assert idle.severity == DiagnosticSeverity.Information


async def test_an_agent_that_is_silent_for_long(root: Root) -> None:
    health = {"idle_seconds": 1, "activity_stalled_seconds": 1.1, "progress_stalled_seconds": 1000}
    async with editor(root) as at:
        _, path = await started(at, QUIET, health=health)
        stalled = await at.diagnostic(path, "agent-stalled")
        assert stalled.severity == DiagnosticSeverity.Warning
        assert [one.code for one in at.shown(path)] == ["agent-stalled"]


async def test_a_question(root: Root) -> None:
    async with editor(root) as at:
        asks = '"$METAWSM_BIN" signal guidance "Which one?" --choice this --choice that --wait\nexec cat\n'
        _, path = await started(at, asks)
        shown = await at.diagnostic(path, "guidance-pending")
        assert shown.severity == DiagnosticSeverity.Warning
        assert shown.data["choices"] == ["this", "that"]
        await at.ask("answer", guidanceId=shown.data["guidanceId"], answer="this")
        await at.none_on(path, "guidance-pending")


async def test_a_close_that_is_blocked(root: Root) -> None:
    async with editor(root) as at:
        run, path = await started(at, DONE)
        await at.ask("wait", runId=run, timeout=60)
        (workspace,) = (await at.ask("status", runId=run))["workspaces"]
        left = Path(workspace["repos"][0]["path"], "left.txt")
        write(left, "left\n")
        with pytest.raises(Exception, match="cannot be closed"):
            await at.ask("close", runId=run)
        shown = await at.diagnostic(path, "close-blocked")
        assert shown.severity == DiagnosticSeverity.Warning
        assert (shown.data["repo"], shown.data["reason"], shown.data["files"]) == ("app", "uncommitted", ["left.txt"])
        os.unlink(left)  # noqa: PTH108 - a test may block
        await at.ask("close", runId=run)
        await at.none_on(path, "close-blocked")


async def test_a_close_that_is_not_blocked_any_more(root: Root) -> None:
    async with editor(root) as at:
        run, path = await started(at, "echo left > left.txt\n" + DONE)
        await at.ask("wait", runId=run, timeout=60)
        with pytest.raises(Exception, match="cannot be closed"):
            await at.ask("close", runId=run)
        await at.diagnostic(path, "close-blocked")
        (workspace,) = (await at.ask("status", runId=run))["workspaces"]
        os.unlink(Path(workspace["repos"][0]["path"], "left.txt"))  # noqa: PTH108 - a test may block
        await at.none_on(path, "close-blocked")


async def test_healthy_work_has_none(root: Root) -> None:
    async with editor(root) as at:
        run, path = await started(at, DONE)
        await at.ask("wait", runId=run, timeout=60)
        assert at.shown(path) == []


async def test_what_another_process_does_arrives_as_well(root: Root) -> None:
    async with editor(root) as at:
        root.repository("app")
        root.agents(worker="exit 5\n")
        root.metawsm("ticket", "create", "T-1")
        root.metawsm("run", "--ticket", "T-1", code=None)
        (ticket,) = (await at.ask("tickets"))["tickets"]
        path = Path(ticket["path"])
        await at.diagnostic(path, "agent-failed")
        root.metawsm("stop")
        await at.none_on(path, "agent-failed")


async def test_the_line_follows_what_is_typed(root: Root) -> None:
    async with editor(root) as at:
        _, path = await started(at, "exit 5\n")
        shown = await at.diagnostic(path, "agent-failed")
        at.open(path)
        text = path.read_text()
        at.type(path, text.replace("---\n", "---\nNote: new\n", 1))
        await at.until(lambda: [one.range.start.line for one in at.shown(path)][:1] == [shown.range.start.line + 1])
        at.close(path)
        await at.until(lambda: [one.range.start.line for one in at.shown(path)][:1] == [shown.range.start.line])
