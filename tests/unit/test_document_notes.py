"""What the server notes of documents keeps its event loop from nothing else."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any, cast

from lsprotocol import types

from metawsm_rpc.rpc.handlers import documents
from metawsm_rpc.rpc.memory import Memory
from metawsm_rpc.rpc.threads import Threads


def test_a_ticket_is_edited_while_the_view_of_its_root_is_in_use() -> None:
    in_use, told = threading.Event(), threading.Event()

    def tickets_changed() -> None:
        assert in_use.wait(10)

    async def edit() -> None:
        root = SimpleNamespace(views=SimpleNamespace(tickets_changed=tickets_changed))
        server = SimpleNamespace(
            memory=Memory(), threads=Threads(), root_of=lambda _: root, feeds=SimpleNamespace(wake=told.set)
        )
        document = types.VersionedTextDocumentIdentifier(2, "file:///root/ttmp/T-1/index.md")
        params = types.DidChangeTextDocumentParams(document, [])
        edited = asyncio.create_task(documents.typed(cast("Any", server), params))
        await asyncio.sleep(0)
        # Reached only if the loop goes on meanwhile.
        asyncio.get_running_loop().call_later(0.05, in_use.set)
        await edited

    asyncio.run(asyncio.wait_for(edit(), 30))
    assert told.is_set()
