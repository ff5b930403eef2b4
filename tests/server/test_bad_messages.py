"""What the server answers to what is no message, no request, or comes at the wrong time; it lives on."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Root
from server_support import Wire, served, serving


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """One server for all that it has to survive."""
    with served(tmp_path_factory.mktemp("bad")) as wire:
        yield wire


@pytest.fixture
def wire(shared: Wire) -> Wire:
    del shared.messages[:]
    return shared


def alive(wire: Wire) -> bool:
    return wire.ask("metawsm/runs") == {"runs": [], "total": 0, "seq": 0}


def answered(wire: Wire, code: int, msg_id: Any = None) -> dict[str, Any]:
    answer = wire.answer_to(msg_id)
    assert answer["error"]["code"] == code
    assert alive(wire)
    assert sum(message.get("id") == msg_id and "error" in message for message in wire.messages) == 1
    return answer["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"not json",
        b"\xff\xfe\xfd",
        b'{"jsonrpc": "2.0", "id": 1, "method": "metawsm/runs", "params": {"limit": NaN}}',
        b"[" * 100_000,
        b'{"jsonrpc": "2.0", "id": ' + b"9" * 10_000 + b"}",
    ],
    ids=["cut", "text", "bytes", "NaN", "deep", "digits"],
)
def test_what_is_not_json_is_a_parse_error(wire: Wire, body: bytes) -> None:
    wire.body(body)
    answered(wire, -32700)


@pytest.mark.parametrize(
    ("message", "msg_id"),
    [
        (1, None),
        ("metawsm/runs", None),
        (None, None),
        ([], None),
        ([{"jsonrpc": "2.0", "id": 1, "method": "metawsm/runs"}] * 2, None),
        ({}, None),
        ({"jsonrpc": "2.0"}, None),
        ({"id": 7, "method": "metawsm/runs"}, 7),
        ({"jsonrpc": "1.0", "id": 7, "method": "metawsm/runs"}, 7),
        ({"jsonrpc": 2.0, "id": 7, "method": "metawsm/runs"}, 7),
        ({"jsonrpc": "2.0", "id": 7}, 7),
        ({"jsonrpc": "2.0", "id": 7, "method": 1}, 7),
        ({"jsonrpc": "2.0", "id": 7, "method": None}, 7),
        ({"jsonrpc": "2.0", "id": 7, "method": "metawsm/runs", "params": "text"}, 7),
        ({"jsonrpc": "2.0", "id": 7, "method": "metawsm/runs", "params": 3}, 7),
        ({"jsonrpc": "2.0", "id": [1], "method": "metawsm/runs"}, None),
        ({"jsonrpc": "2.0", "id": {}, "method": "metawsm/runs"}, None),
        ({"jsonrpc": "2.0", "id": True, "method": "metawsm/runs"}, None),
        ({"jsonrpc": "2.0", "id": 7, "result": 1, "error": {}}, 7),
    ],
)
def test_what_is_no_message_is_an_invalid_request(wire: Wire, message: Any, msg_id: Any) -> None:
    wire.send(message)
    answered(wire, -32600, msg_id)


@pytest.mark.parametrize("msg_id", [0, -1, 1 << 30, 1 << 40, "a", "", "1", "ü\n", 1.5, None, "x" * 10_000])
def test_an_id_of_every_kind_comes_back_as_it_was(wire: Wire, msg_id: Any) -> None:
    wire.send({"jsonrpc": "2.0", "id": msg_id, "method": "metawsm/runs"})
    assert wire.answer_to(msg_id)["result"]["total"] == 0


@pytest.mark.parametrize(
    "garbage",
    [
        b"hello\r\n\r\n",
        b"Content-Length: x\r\n\r\n",
        b"Content-Length: -5\r\n\r\n",
        b"Content-Length:\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"X" * 100_000 + b"\r\n",
        b"Content-Length: 99999999999999999999999\r\n\r\n",
        b'{"jsonrpc": "2.0", "id": 1, "method": "metawsm/runs"}\n',
    ],
)
def test_malformed_headers_are_told_of_once_and_the_next_message_is_read(wire: Wire, garbage: bytes) -> None:
    wire.raw(garbage)
    answered(wire, -32700)


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: %d\r\n\r\n",
        b"content-length: %d\r\n\r\n",
        b"CONTENT-LENGTH:%d\r\n\r\n",
        b"Content-Length: %d\n\n",
        b"Content-Type: application/vscode-jsonrpc; charset=utf8\r\nContent-Length: %d\r\n\r\n",
        b"Content-Length: %d\r\nContent-Type: application/vscode-jsonrpc\r\n\r\n",
    ],
)
def test_headers_are_read_in_every_form(wire: Wire, header: bytes) -> None:
    body = b'{"jsonrpc": "2.0", "id": "h", "method": "metawsm/runs"}'
    wire.raw(header % len(body) + body)
    assert wire.answer_to("h")["result"]["total"] == 0


def test_a_message_that_comes_in_pieces_is_one_message(wire: Wire) -> None:
    body = b'{"jsonrpc": "2.0", "id": "p", "method": "metawsm/runs"}'
    for byte in b"Content-Length: %d\r\n\r\n%s" % (len(body), body):
        wire.raw(bytes([byte]))
    assert wire.answer_to("p")["result"]["total"] == 0


def test_an_unknown_method_is_told_of_and_an_unknown_notification_is_not(wire: Wire) -> None:
    assert wire.error("metawsm/fly")["code"] == -32601
    assert wire.error("m" * 1_000_000)["code"] == -32601
    wire.notify("metawsm/fly")
    wire.notify("$/fly", {"a": 1})
    assert alive(wire)
    assert all(len(json.dumps(message)) < 2000 for message in wire.messages)


def test_an_unknown_command_is_an_invalid_parameter(wire: Wire) -> None:
    error = wire.error("workspace/executeCommand", {"command": "metawsm.fly"})
    assert (error["code"], error["data"]["kind"]) == (-32602, "invalid_params")
    assert error["data"]["hint"]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("metawsm/runs", [{}]),
        ("metawsm/runs", {"limit": -1}),
        ("metawsm/runs", {"offset": -1}),
        ("metawsm/events", {"limit": -1}),
        ("metawsm/runs", {"root": ""}),
        ("metawsm/runs", {"limit": "3"}),
        ("metawsm/runs", {"limit": 1.5}),
        ("metawsm/runs", {"unknown": 1}),
        ("metawsm/runs", {"root": 3}),
        ("metawsm/runs", {"root": "/no/such/folder"}),
        ("metawsm/runs", {"root": "metawsm:/run/x"}),
        ("metawsm/runs", {"root": "a\0b"}),
        ("metawsm/runs", {"root": "/" + "x" * 100_000}),
        ("metawsm/run", {}),
        ("metawsm/answer", {"guidanceId": None, "answer": "x"}),
        ("workspace/executeCommand", {"command": "metawsm.runs", "arguments": [1]}),
        ("workspace/executeCommand", {"command": "metawsm.runs", "arguments": [{"jsonrpc": "2.0"}]}),
        ("workspace/executeCommand", {"command": 3}),
        ("workspace/executeCommand", {}),
        ("workspace/executeCommand", None),
        ("textDocument/codeLens", None),
        ("textDocument/codeLens", {"textDocument": 1}),
    ],
)
def test_wrong_parameters_are_told_of_with_kind_and_without_traceback(wire: Wire, method: str, params: Any) -> None:
    error = wire.error(method, params)
    assert (error["code"], error["data"]["kind"]) == (-32602, "invalid_params")
    assert "Traceback" not in json.dumps(error)
    assert len(json.dumps(error)) < 4000
    assert alive(wire)


@pytest.mark.parametrize(
    "message",
    [{}, {"params": None}, {"params": {}}, {"params": []}, {"params": {"limit": None, "tickets": None}}],
)
def test_a_request_without_parameters_is_answered(wire: Wire, message: dict[str, Any]) -> None:
    wire.send({"jsonrpc": "2.0", "id": 1, "method": "metawsm/runs", **message})
    assert wire.answer_to(1)["result"] == {"runs": [], "total": 0, "seq": 0}


@pytest.mark.parametrize(
    "arguments", [{}, {"arguments": None}, *({"arguments": one} for one in ([], [None], [{}], [[]], [{}, None]))]
)
def test_a_command_without_arguments_is_carried_out(wire: Wire, arguments: dict[str, Any]) -> None:
    assert wire.ask("workspace/executeCommand", {"command": "metawsm.runs", **arguments})["total"] == 0


def test_each_wrong_parameter_is_named(wire: Wire) -> None:
    error = wire.error("metawsm/run", {"ticket": ["T-1"], "repos": "app"})
    assert {one["parameter"] for one in error["data"]["details"]} == {"ticket", "tickets", "repos"}


def test_a_status_that_no_run_has_is_told_of_with_those_that_there_are(wire: Wire) -> None:
    error = wire.error("metawsm/runs", {"statuses": ["running", "done"]})
    assert (error["code"], error["data"]["kind"]) == (-32602, "invalid_params")
    assert error["message"].startswith("No run ever is done; there are: created, planning, running, ")


def test_a_plan_takes_what_a_run_takes(wire: Wire) -> None:
    params = {"tickets": ["T"], "dryRun": True}
    refused = wire.error("metawsm/run", params)
    planned = wire.ask("metawsm/plan", params)
    assert planned["steps"] == []
    assert planned["problems"][0]["code"] == refused["data"]["kind"]
    assert planned["problems"][0]["message"] == refused["message"]
    assert wire.error("metawsm/plan", {"tickets": [], "dryRun": True})["message"].startswith("Name at least one ticket")


def test_a_nested_key_of_the_protocol_breaks_nothing(wire: Wire) -> None:
    params = {
        "runId": "r",
        "ticket": "T",
        "agent": "a",
        "launch": "l",
        "type": "progress",
        "data": {"jsonrpc": "2.0", "id": 1, "method": "x", "class": 1, "type_name": "y"},
    }
    assert wire.error("metawsm/signal", params)["data"]["kind"] == "run_not_found"


def test_ten_megabytes_of_parameters_are_answered(wire: Wire) -> None:
    assert wire.error("metawsm/status", {"runId": "x" * 10_000_000})["code"] in (4040, -32602)
    assert wire.error("metawsm/runs", {"x" * 10_000_000: 1})["code"] == -32602
    assert wire.error("metawsm/runs", {f"k{n}": n for n in range(100_000)})["code"] == -32602
    assert alive(wire)
    assert all(len(json.dumps(message)) < 10_000 for message in wire.messages)


def test_responses_that_nobody_waits_for_are_ignored(wire: Wire) -> None:
    for message in ({"id": 1 << 30, "result": 1}, {"id": "x", "error": 3}, {"id": None, "result": None}):
        wire.send({"jsonrpc": "2.0", **message})
    assert alive(wire)
    assert not [message for message in wire.messages if "error" in message]


def test_broken_notifications_are_not_answered(wire: Wire) -> None:
    wire.notify("textDocument/didOpen", {"textDocument": 3})
    wire.notify("textDocument/didChange", {"textDocument": {"uri": "file:///x", "version": 1}, "contentChanges": [{}]})
    wire.notify("$/cancelRequest", {"id": {}})
    wire.notify("$/cancelRequest")
    wire.notify("window/workDoneProgress/cancel", {"token": "nobody's"})
    wire.notify("workspace/didChangeWorkspaceFolders", {})
    assert alive(wire)
    assert not [message for message in wire.messages if "error" in message or "window/showMessage" in str(message)]


def test_before_initialize_requests_are_refused_and_notifications_dropped(root: Root) -> None:
    with serving(root.path) as wire:
        assert wire.error("metawsm/runs")["code"] == -32002
        assert wire.error("shutdown")["code"] == -32002
        wire.notify("textDocument/didOpen", {"nonsense": 1})
        wire.initialize(root.path)
        assert wire.ask("metawsm/runs")["total"] == 0
        assert wire.error("initialize", {"capabilities": {}})["code"] == -32600


def test_after_shutdown_requests_are_refused_until_exit(root: Root) -> None:
    with served(root.path) as wire:
        assert wire.ask("shutdown") is None
        assert wire.error("metawsm/runs")["code"] == -32600
        assert wire.error("shutdown")["code"] == -32600
        wire.notify("textDocument/didOpen", {"nonsense": 1})
        wire.notify("exit")
        assert wire.wait() == 0


def unread(wire: Wire, method: str, number: int) -> int:
    """Send so many requests without reading an answer, then read them all; return by how much the memory grew."""
    wire.request("initialize", {"capabilities": {}})
    wire.receive()
    before = wire.memory()
    sent: list[int] = []
    sender = threading.Thread(target=lambda: sent.extend(wire.request(method) for _ in range(number)))
    sender.start()
    while sender.is_alive() and _goes_on(sent, sender):
        pass  # a server that has enough stops reading, and then sending takes until answers are read
    grown = wire.memory() - before
    answered = set()
    while len(answered) < number:
        message = wire.receive()
        if "method" not in message:
            assert "result" in message
            answered.add(message["id"])
    sender.join()
    return grown


def _goes_on(sent: list[int], sender: threading.Thread) -> bool:
    before = len(sent)
    sender.join(1)
    return len(sent) > before


def test_ten_thousand_requests_of_a_client_that_does_not_read_are_all_answered_in_the_end(root: Root) -> None:
    with serving(root.path, read=False) as wire:
        assert unread(wire, "metawsm/runs", 10_000) < 200_000_000
        assert wire.process.poll() is None


def test_large_answers_that_nobody_reads_are_kept_in_bounds(root: Root) -> None:
    with serving(root.path, read=False) as wire:
        assert unread(wire, "rpc.discover", 1000) < 150_000_000


def test_large_messages_of_a_client_that_does_not_read_are_kept_in_bounds(root: Root) -> None:
    with serving(root.path, read=False) as wire:
        wire.request("initialize", {"capabilities": {}})
        wire.receive()
        before = wire.memory()
        for _ in range(100):
            wire.request("metawsm/runs", {"tickets": ["x" * 1_000_000]})
        for _ in range(100):
            message = wire.receive()
            while "method" in message:
                message = wire.receive()
        assert wire.memory() - before < 300_000_000
