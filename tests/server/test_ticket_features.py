"""What an editor shows of a ticket besides diagnostics: lenses, hover, actions, links, symbols, documents."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from conftest import DONE, Root
from editor_client import Editor, editor, says
from lsprotocol import types

pytestmark = pytest.mark.asyncio

ASKS = '"$METAWSM_BIN" signal guidance "Which one?" --choice this --choice that --wait\n' + DONE


async def prepared(at: Editor, script: str = DONE) -> Path:
    at.root.repository("app")
    at.root.agents(worker=script)
    return await at.ticket("T-1")


def virtual(capabilities: types.ClientCapabilities) -> None:
    """Let the editor open virtual documents."""
    assert capabilities.workspace is not None
    capabilities.workspace.text_document_content = types.TextDocumentContentClientCapabilities()


async def test_lenses_lead_from_run_to_close(root: Root) -> None:
    async with editor(root) as at:
        path = await prepared(at, "while [ ! -e go ]; do sleep 0.1; done\n" + DONE)
        at.open(path)
        lenses = await at.lenses(path)
        assert list(lenses) == ["Run"]
        run = (await at.do(lenses["Run"]))["runId"]
        assert list(lenses["Run"].arguments) == [{"tickets": ["T-1"], "root": str(root.path)}]
        lenses = await at.lenses(path)
        while "healthy" not in next(iter(lenses)):
            await asyncio.sleep(0.1)
            lenses = await at.lenses(path)
        assert list(lenses) == [f"Run {run}: running (worker healthy)", "Stop", "Review"]
        assert lenses["Stop"].command == "metawsm.stop"
        assert list(lenses["Stop"].arguments) == [{"runId": run, "root": str(root.path)}]
        (agent,) = (await at.ask("status", runId=run))["workspaces"]
        touch(Path(agent["repos"][0]["path"], "go"))
        await at.ask("wait", runId=run, timeout=60)
        assert list(await at.lenses(path)) == [f"Run {run}: completed (worker completed)", "Review", "Close"]


async def test_lenses_are_asked_for_again_when_a_run_moves(root: Root) -> None:
    async with editor(root) as at:
        path = await prepared(at)
        run = await at.run("T-1")
        await at.until(lambda: "" in at.refreshed)
        await at.ask("wait", runId=run, timeout=60)
        before = len(at.refreshed)
        await at.ask("close", runId=run, dryRun=True)
        await at.ask("stop", runId=run)
        await at.ask("iterate", runId=run, feedback="go on")
        await at.until(lambda: len(at.refreshed) > before)
        assert path.as_uri() not in at.refreshed


async def test_another_file_has_no_lenses_and_no_actions(root: Root) -> None:
    async with editor(root) as at:
        path = await prepared(at)
        other = path.with_name("tasks.md")
        at.open(other)
        assert await at.lenses(other) == {}
        assert await at.actions(other) == {}


async def test_the_hover_tells_how_agents_are_and_what_they_printed(root: Root) -> None:
    async with editor(root) as at:
        evil = "printf '\\033[31m[link](command:evil) <b>```\\n'\n"
        path = await prepared(at, evil + says("waiting 'for [me](command:evil)'"))
        run = await at.run("T-1")
        await at.diagnostic(path, "agent-waiting")
        at.open(path)
        line = next(n for n, text in enumerate(path.read_text().splitlines()) if text.startswith("Ticket:"))
        shown = await at.hover(path, line, 9)
        assert isinstance(shown.contents, types.MarkupContent)
        text = shown.contents.value
        for part in ("**T-1**", f"Run `{run}` is **running** over app.", "| worker | waiting | waiting |"):
            assert part in text
        # What it printed is a block of code, which its own fence does not end.
        assert "````text\n" in text
        assert "\x1b" not in text
        outside = text.partition("````text")[0]
        assert "[me](" not in outside
        assert await at.hover(path, line + 20, 0) is None


class TestActions:
    async def test_a_dead_agent_can_be_restarted_and_looked_at(self, root: Root) -> None:
        async with editor(root) as at:
            path = await prepared(at, "kill -9 $$\n")
            run = await at.run("T-1")
            at.open(path)
            actions = await at.actions(path, await at.diagnostic(path, "agent-dead"))
            agent = {"runId": run, "root": str(root.path), "ticket": "T-1", "agent": "worker"}
            for title, command in {
                "Restart worker": "metawsm.restart",
                "Show the transcript of worker": "metawsm.transcript",
                "Explain the health of worker": "metawsm.explain",
            }.items():
                assert (actions[title].command.command, list(actions[title].command.arguments)) == (command, [agent])
            assert actions["Restart worker"].kind == types.CodeActionKind.QuickFix
            assert [one.code for one in actions["Restart worker"].diagnostics] == ["agent-dead"]
            assert list(actions["Stop the run"].command.arguments) == [{"runId": run, "root": str(root.path)}]
            restarted = await at.do(actions["Restart worker"].command)
            assert [one["restarts"] for one in restarted["agents"]] == [1]

    async def test_a_question_is_answered_by_each_of_its_choices(self, root: Root) -> None:
        async with editor(root) as at:
            path = await prepared(at, ASKS)
            run = await at.run("T-1")
            actions = await at.actions(path, await at.diagnostic(path, "guidance-pending"))
            assert {"Answer worker: this", "Answer worker: that", "Attach to worker"} <= set(actions)
            assert "Answer worker…" not in actions
            answered = await at.do(actions["Answer worker: that"].command)
            assert answered["guidance"]["answer"] == "that"
            assert (await at.ask("wait", runId=run, timeout=60))["run"]["status"] == "completed"

    async def test_a_client_that_asks_for_words_is_offered_an_answer_in_words(self, root: Root) -> None:
        async with editor(root, options={"present": False}) as at:
            path = await prepared(at, ASKS)
            await at.run("T-1")
            actions = await at.actions(path, await at.diagnostic(path, "guidance-pending"))
            assert set(actions["Answer worker…"].command.arguments[0]) == {"guidanceId", "root"}

    async def test_a_failed_run_can_be_resumed_and_its_step_retried_or_skipped(self, root: Root) -> None:
        async with editor(root) as at:
            at.root.repository("app")
            at.root.policy(agents=[Root.agent("worker", DONE)], workspace={"setup": [{"run": "exit 3"}]})
            path = await at.ticket("T-1")
            run = await at.run("T-1")
            step = await at.diagnostic(path, "step-failed")
            await at.diagnostic(path, "run-failed")
            actions = await at.actions(path, *at.shown(path))
            index = step.data["step"]
            assert {f"Retry step {index}", f"Skip step {index}", "Resume the run"} <= set(actions)
            await at.do(actions[f"Skip step {index}"].command)
            assert (await at.ask("wait", runId=run, timeout=60))["run"]["status"] == "completed"

    async def test_a_blocked_close_offers_sync_and_review(self, root: Root) -> None:
        async with editor(root) as at:
            path = await prepared(at, "echo left > left.txt\n" + DONE)
            run = await at.run("T-1")
            await at.ask("wait", runId=run, timeout=60)
            with pytest.raises(Exception, match="cannot be closed"):
                await at.ask("close", runId=run)
            actions = await at.actions(path, await at.diagnostic(path, "close-blocked"))
            assert {"Sync: bring the bases in", "Review the changes", "Close again"} <= set(actions)

    async def test_a_ticket_offers_what_needs_no_typing(self, root: Root) -> None:
        async with editor(root) as at:
            path = await prepared(at, says("progress"))
            at.open(path)
            assert list(await at.actions(path)) == ["Run agents on T-1", "Show the plan for T-1"]
            run = await at.run("T-1")
            await at.until_agents(run)
            actions = await at.actions(path)
            assert {f"Show run {run}", "Review the changes", "Stop the run", "Attach to worker"} <= set(actions)
            assert {action.kind for action in actions.values()} == {"source.metawsm"}

    async def test_a_folder_that_is_not_trusted_offers_only_looks(self, root: Root) -> None:
        async with editor(root) as at:
            path = await prepared(at, "exit 5\n")
            await at.run("T-1")
            await at.diagnostic(path, "agent-failed")
        async with editor(root, options={"trusted": False}) as at:
            shown = await at.diagnostic(path, "agent-failed")
            actions = await at.actions(path, shown)
            assert "Show the transcript of worker" in actions
            assert not {"metawsm.restart", "metawsm.stop", "metawsm.diff", "metawsm.run"} & {
                action.command.command for action in actions.values()
            }
            at.open(path)
            assert {command.command for command in (await at.lenses(path)).values()} == {"metawsm.status"}


async def test_ticket_ids_in_markdown_lead_to_their_tickets(root: Root) -> None:
    async with editor(root) as at:
        first, second = await prepared(at), await at.ticket("ÄÖ-𝔘2")
        notes = root.path / "notes.md"
        uri = at.open(notes, "𝔘 see T-1, not T-12.\n\nÄÖ-𝔘2: done; [T-1](elsewhere)\n")
        params = types.DocumentLinkParams(types.TextDocumentIdentifier(uri))
        found = await at.client.text_document_document_link_async(params)
        while len(found or ()) < 2:  # the tickets' files are read anew once a second
            await asyncio.sleep(0.1)
            found = await at.client.text_document_document_link_async(params)
        assert [(link.target, link.range) for link in found or ()] == [
            (first.as_uri(), types.Range(types.Position(0, 7), types.Position(0, 10))),
            (second.as_uri(), types.Range(types.Position(2, 0), types.Position(2, 6))),
        ]


async def test_tickets_runs_and_agents_are_symbols_of_the_workspace(root: Root) -> None:
    async with editor(root) as at:
        path = await prepared(at)
        run = await at.run("T-1")
        found = await symbols(at, "")
        assert set(found) == {"T-1 T-1", f"{run} T-1", "worker on T-1"}
        assert {one.location.uri for one in found.values()} == {path.as_uri()}
        assert set(await symbols(at, "wrk")) == {"worker on T-1"}
    async with editor(root, can=virtual) as at:
        found = await symbols(at, "")
        assert found[f"{run} T-1"].location.uri == f"metawsm:/run/{run}"
        assert found["worker on T-1"].location.uri == f"metawsm:/transcript/{run}/T-1/worker"


async def symbols(at: Editor, query: str) -> dict[str, Any]:
    found = await at.client.workspace_symbol_async(types.WorkspaceSymbolParams(query))
    return {one.name: one for one in found or ()}


class TestDocuments:
    async def test_each_kind_has_its_text_and_language(self, root: Root) -> None:
        async with editor(root, can=virtual) as at:
            await prepared(at, "echo printed\necho new >> README.md\n" + DONE)
            run = await at.run("T-1")
            await at.ask("wait", runId=run, timeout=60)
            for uri, language, part in (
                (f"metawsm:/run/{run}", "markdown", f"# Run {run}"),
                (f"metawsm:/plan/{run}", "markdown", "worktree add -b"),
                (f"metawsm:/transcript/{run}/T-1/worker", "plaintext", "printed"),
                (f"metawsm:/diff/{run}/T-1/app", "diff", "+new"),
                (f"metawsm:/diff/{run}/T%2D1/app", "diff", "+new"),
                (f"metawsm:/explain/{run}/T-1/worker", "markdown", "# worker on T-1"),
                (f"metawsm:/events/{run}", "markdown", "| run |"),
                ("metawsm:/runs", "markdown", run),
                ("metawsm:/tickets", "markdown", "T-1"),
                ("metawsm:/policy", "json", '"worker"'),
                ("metawsm:/doctor", "markdown", "git"),
            ):
                answered = await at.ask("content", uri=uri)
                assert (answered["languageId"], part in answered["text"]) == (language, True), uri
                shown = await at.client.workspace_text_document_content_async(types.TextDocumentContentParams(uri))
                assert part in shown.text

    async def test_what_is_not_there_is_told(self, root: Root) -> None:
        async with editor(root, can=virtual) as at:
            await prepared(at)
            for uri in ("metawsm:/run/nope", "metawsm:/nothing", "metawsm:/diff/x"):
                with pytest.raises(Exception, match=r"no run|no document|not whole|no runs"):
                    await at.client.workspace_text_document_content_async(types.TextDocumentContentParams(uri))

    async def test_the_capability_is_told_and_changes_are_too(self, root: Root) -> None:
        async with editor(root, can=virtual) as at:
            await prepared(at, "read line\n" + DONE)
            run = await at.run("T-1")
            uri = f"metawsm:/run/{run}"
            await at.client.workspace_text_document_content_async(types.TextDocumentContentParams(uri))
            at.refreshed.clear()
            await at.ask("stop", runId=run)
            await at.until(lambda: uri in at.refreshed)
            shown = await at.client.workspace_text_document_content_async(types.TextDocumentContentParams(uri))
            assert "**stopped**" in shown.text


def touch(path: Path) -> None:
    path.touch()


async def test_many_questions_at_once_are_all_answered(root: Root) -> None:
    async with editor(root) as at:
        path = await prepared(at)
        at.open(path)
        found = await asyncio.gather(*(at.lenses(path) for _ in range(50)))
        assert all(list(one) == ["Run"] for one in found)
