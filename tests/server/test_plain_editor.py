"""Editors without a client of ours: commands without arguments, and what they have to say."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import DONE, Root
from editor_client import Editor, editor
from lsprotocol import types

from metawsm_rpc.rpc.handlers import commands

pytestmark = pytest.mark.asyncio

LIVES = "echo printed\nexec cat\n"


@asynccontextmanager
async def plain(root: Root, *, script: str = LIVES, like: str = "neovim", **options: Any) -> AsyncIterator[Editor]:
    """Begin with an editor that opens files but no virtual documents, a ticket that is open, and a run of it."""
    root.repository("app")
    root.policy(agents=[Root.agent("worker", script)], execution={"stop_grace_seconds": 1})
    async with editor(root, like, **options) as at:
        at.open(await at.ticket("T-1"))
        yield at


async def opened(at: Editor, suffix: str = "") -> str:
    """Wait for a document to be opened, and return its text."""

    def found() -> str | None:
        return next((one.uri for one in at.client.shown_documents if one.uri.endswith(suffix)), None)

    uri = await at.until(found)
    at.client.shown_documents.clear()
    return text_of(Path(uri.removeprefix("file://"))) if uri.startswith("file:") else uri


async def told(at: Editor, part: str) -> str:
    """Wait for a message with some words."""
    return await at.until(lambda: next((one for one in at.said() if part in one), None))


async def test_run_takes_the_ticket_of_the_open_document(root: Root) -> None:
    async with plain(root) as at:
        await at.ticket("T-2")
        started = await at.command("run")
        assert {step["ticket"] for step in started["steps"]} == {"T-1"}
        await told(at, f"Run {started['runId']} has started on T-1.")


async def test_run_takes_the_only_unfinished_ticket(root: Root) -> None:
    async with plain(root) as at:
        at.close(Path((await at.ask("tickets"))["tickets"][0]["path"]))
        assert (await at.command("run"))["runId"]


async def test_run_guesses_no_ticket_among_several(root: Root) -> None:
    async with plain(root) as at:
        at.close(Path((await at.ask("tickets"))["tickets"][0]["path"]))
        await at.ticket("T-2")
        await asyncio.sleep(1.1)  # the tickets' files are read once a second
        with pytest.raises(Exception, match="there are T-1, T-2"):
            await at.command("run")
        await told(at, "Open the ticket that is meant")


async def test_a_policy_that_hides_the_tickets_is_what_is_told(root: Root) -> None:
    root.policy(unknown=1)
    async with editor(root, "neovim") as at:
        with pytest.raises(Exception, match='no key "unknown"'):
            await at.command("run")


async def test_plan_opens_as_a_document(root: Root) -> None:
    async with plain(root) as at:
        assert (await at.command("plan"))["problems"] == []
        text = await opened(at, ".md")
        assert "# Plan of T-1" in text
        assert "worktree add" in text


LOOKS: dict[str, tuple[str, str]] = {
    "status": (".md", "# Run "),
    "runs": (".md", "# Runs"),
    "tickets": (".md", "# Tickets"),
    "transcript": (".txt", "printed"),
    "explain": (".md", "# worker on T-1"),
    "events": (".md", "# Events of run"),
    "policy": (".json", '"agents"'),
    "doctor": (".md", "# What metawsm needs"),
}


async def test_looking_opens_a_document(root: Root) -> None:
    async with plain(root) as at:
        await at.until_agents(await at.run("T-1"))
        printed = ""
        while "printed" not in printed:
            await asyncio.sleep(0.05)
            printed = (await at.ask("transcript", agent="worker"))["text"]
        at.client.shown_documents.clear()
        for verb, (suffix, part) in LOOKS.items():
            assert await at.command(verb)
            assert part in await opened(at, suffix), verb


async def test_diff_opens_the_changes(root: Root) -> None:
    async with plain(root, script="echo new >> README.md\n" + DONE) as at:
        await at.ask("wait", runId=await at.run("T-1"), timeout=60)
        await at.command("diff")
        assert "+new" in await opened(at, ".diff")


async def test_attach_says_what_to_type_in_a_terminal(root: Root) -> None:
    async with plain(root) as at:
        await at.until_agents(await at.run("T-1"))
        answered = await at.command("attach")
        assert "tmux" in answered["argv"]
        await told(at, "In a terminal: ")


async def test_changing_takes_the_run_of_the_open_ticket_and_says_what_became(root: Root) -> None:
    async with plain(root, script=DONE) as at:
        first = await at.run("T-1")
        assert (await at.command("wait"))["reached"]
        for verb, said in (
            ("complete", f"Run {first} is completed."),
            ("sync", "app for T-1: up-to-date"),
            ("iterate", ""),
            ("stop", f"Run {first} is "),
            ("close", f"Run {first} is closed: there was nothing to merge."),
        ):
            at.client.messages.clear()
            assert await at.command(verb, *(["go on"] if verb == "iterate" else []))
            await told(at, said)
            await at.ask("wait", runId=first, timeout=60)


async def test_an_agent_that_died_is_restarted_and_the_rest_cleaned_up(root: Root) -> None:
    async with plain(root, script="kill -9 $$\n") as at:
        run = await at.run("T-1")
        await at.ask("wait", runId=run, timeout=60)
        assert [one["name"] for one in (await at.command("restart"))["agents"]] == ["worker"]
        await told(at, "Started again: worker on T-1")
        await at.ask("wait", runId=run, timeout=60)
        await at.command("resume")
        await told(at, f"Run {run} is running.")
        await at.ask("stop", runId=run)
        assert (await at.command("cleanup"))["removed"]
        await told(at, "removed")


async def test_changing_guesses_no_run_among_several(root: Root) -> None:
    async with plain(root) as at:
        await at.ticket("T-2")
        first, second = await at.run("T-1"), await at.run("T-2")
        for path in [Path(one["path"]) for one in (await at.ask("tickets"))["tickets"]]:
            at.close(path)
        with pytest.raises(Exception, match="More than one run is open"):
            await at.command("stop")
        # What only looks takes the newest.
        assert (await at.command("status"))["run"]["runId"] == second
        at.open(Path((await at.ask("tickets"))["tickets"][0]["path"]))
        assert (await at.command("stop"))["run"]["runId"] == first


async def test_a_file_in_a_workspace_says_which_run_is_meant(root: Root) -> None:
    async with plain(root) as at:
        await at.ticket("T-2")
        run = await at.run("T-1")
        await at.run("T-2")
        await at.until_agents(run)
        (workspace,) = (await at.ask("status", runId=run))["workspaces"]
        at.open(Path(workspace["repos"][0]["path"], "README.md"))
        assert (await at.command("stop"))["run"]["runId"] == run


async def test_a_failed_step_is_retried_and_skipped_without_its_number(root: Root) -> None:
    async with plain(root) as at:
        root.policy(agents=[Root.agent("worker", DONE)], workspace={"setup": [{"run": "exit 3"}]})
        run = await at.run("T-1")
        await at.ask("wait", runId=run, timeout=60)
        assert (await at.command("retryStep"))["step"]["kind"] == "prepare_workspace"
        await at.ask("wait", runId=run, timeout=60)
        assert (await at.command("skipStep"))["step"]["status"] == "skipped"


async def test_the_only_question_is_answered_by_a_word(root: Root) -> None:
    asks = '"$METAWSM_BIN" signal guidance "Which?" --wait\n' + DONE
    async with plain(root, script=asks) as at:
        run = await at.run("T-1")
        await at.ask("wait", runId=run, until=["awaiting_guidance"], timeout=60)
        with pytest.raises(Exception, match="needs words"):
            await at.command("answer")
        assert (await at.command("answer", "that"))["guidance"]["answer"] == "that"
        await told(at, "worker is told: that")


async def test_words_stand_for_what_a_verb_needs_most(root: Root) -> None:
    async with plain(root) as at:
        made = await at.command("createTicket", "T-2")
        assert made["ticket"] == "T-2"
        await at.until(lambda: any(made["path"] in one.uri for one in at.client.shown_documents))
        run = (await at.command("run", "T-2"))["runId"]
        assert (await at.command("status", run[:4]))["run"]["runId"] == run
        assert (await at.command("stop", "T-2"))["run"]["runId"] == run
        assert (await at.command("closeTicket"))["ticket"] == "T-1"


async def test_a_text_that_an_editor_cut_into_words_is_one_again(root: Root) -> None:
    async with plain(root) as at:
        run = await at.run("T-1")
        await at.until_agents(run)
        assert (await at.command("send", "mind", "the", "menus"))["delivered"]
        events = (await at.ask("events", runId=run))["events"]
        assert [event["message"] for event in events if event["type"] == "sent"] == ["mind the menus"]
        await at.ticket("T-2")
        assert (await at.ask("status", runId=(await at.command("run", "T-1", "T-2"))["runId"]))["run"]["tickets"] == [
            "T-1",
            "T-2",
        ]


async def test_nothing_is_nothing_in_every_form(root: Root) -> None:
    async with plain(root) as at:
        run = await at.run("T-1")
        for arguments in ((), (None,), ({},), ({"runId": None},), ({}, None)):
            assert (await at.command("status", *arguments))["run"]["runId"] == run


async def test_virtual_documents_are_opened_where_the_editor_can(root: Root) -> None:
    async with plain(root, can=_virtual) as at:
        run = await at.run("T-1")
        await at.command("status")
        assert await opened(at) == f"metawsm:/run/{run}"


async def test_an_editor_that_opens_nothing_is_told_where_it_stands(root: Root) -> None:
    async with plain(root, can=_opens_nothing) as at:
        run = await at.run("T-1")
        await at.command("status")
        said = await told(at, f"Run {run} (")
        path = Path(said.rpartition("(")[2].rstrip(")"))
        assert f"# Run {run}" in text_of(path)
        assert not is_open_to_others(path.parent)
        at.client.exit(None)
        await at.until(lambda: not os.path.lexists(path))
        await at.until(lambda: at.client.stopped)


async def test_a_document_that_is_shown_as_a_file_follows_what_happens(root: Root) -> None:
    async with plain(root, can=_opens_nothing) as at:
        run = await at.run("T-1")
        await at.command("status")
        path = Path((await told(at, f"Run {run} (")).rpartition("(")[2].rstrip(")"))
        await at.ask("stop")
        await at.until(lambda: "**stopped**" in text_of(path))


async def test_an_impatient_editor_is_answered_in_time(root: Root) -> None:
    assert commands._PATIENCE_SECONDS < 10  # when eglot gives up
    patient_for_less = (
        "from metawsm_rpc.rpc.handlers import commands; commands._PATIENCE_SECONDS = 0.5; "
        "from metawsm_rpc.rpc.lifecycle import serve; serve()"
    )
    async with plain(root, like="emacs", name=None, server=("-c", patient_for_less)) as at:
        await at.run("T-1")
        waited = await at.command("wait")
        assert waited["reached"] is False
        assert waited["run"]["status"] == "running"
        await told(at, "metawsm.wait takes longer")
        await at.ask("stop")
        await told(at, "is stopped.")


async def test_a_client_of_our_own_gets_the_plain_answer(root: Root) -> None:
    async with plain(root, options={"present": False}) as at:
        run = await at.run("T-1")
        assert (await at.command("status", {"runId": run}))["run"]["runId"] == run
        with pytest.raises(Exception, match="cannot be called so"):
            await at.command("run")
        assert at.client.shown_documents == []


async def test_what_agents_say_stays_text_in_messages_and_documents(root: Root) -> None:
    evil = "printf '\\033]0;title\\007[x](command:evil)\\n'\n\"$METAWSM_BIN\" signal waiting '[y](command:evil)\x1b[31m'\nexec cat\n"
    async with plain(root, script=evil) as at:
        await at.run("T-1")
        await at.command("wait", {"timeout": 1})
        await at.command("status")
        text = await opened(at, ".md")
        assert "[y](" not in text
        assert "\x1b" not in text + "".join(at.said())


def text_of(path: Path) -> str:
    return path.read_text()


def is_open_to_others(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o077)


def _virtual(capabilities: types.ClientCapabilities) -> None:
    capabilities.workspace.text_document_content = types.TextDocumentContentClientCapabilities()


def _opens_nothing(capabilities: types.ClientCapabilities) -> None:
    capabilities.window.show_document = None
