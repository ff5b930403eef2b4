"""The server on standard input and output, spoken to without any library of the protocol."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import DONE, Root


class Client:
    """Ten lines that speak JSON-RPC over stdio."""

    def __init__(self, root: Root) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "metawsm_rpc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root.path
        )
        self.last = 0

    def send(self, **message: Any) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        length = 0
        while line := self.process.stdout.readline().strip():
            if line.lower().startswith(b"content-length"):
                length = int(line.split(b":")[1])
        return json.loads(self.process.stdout.read(length))

    def ask(self, method: str, **message: Any) -> dict[str, Any]:
        self.last += 1
        self.send(id=self.last, method=method, **message)
        while (answer := self.receive()).get("id") != self.last:
            pass
        return answer


@pytest.fixture
def client(root: Root) -> Iterator[Client]:
    made = Client(root)
    made.ask("initialize", params={"capabilities": {}, "processId": None, "rootUri": root.path.as_uri()})
    made.send(method="initialized", params={})
    yield made
    assert made.ask("shutdown")["result"] is None
    made.send(method="exit")
    assert made.process.wait(10) == 0
    made.process.stdin.close()
    made.process.stdout.close()


@pytest.mark.parametrize("message", [{}, {"params": None}, {"params": {}}], ids=["absent", "null", "empty"])
def test_a_request_without_parameters_is_answered(client: Client, message: dict[str, Any]) -> None:
    assert client.ask("metawsm/runs", **message)["result"] == {"runs": [], "total": 0, "seq": 0}


@pytest.mark.parametrize("arguments", [{}, {"arguments": []}, {"arguments": [None]}, {"arguments": [{}]}])
def test_a_command_takes_its_arguments_in_every_form_that_editors_send(
    client: Client, arguments: dict[str, Any]
) -> None:
    answer = client.ask("workspace/executeCommand", params={"command": "metawsm.runs", **arguments})
    assert answer["result"]["total"] == 0


def test_errors_carry_kind_hint_and_details(client: Client) -> None:
    error = client.ask("metawsm/status", params={"runId": "nope"})["error"]
    assert (error["code"], error["data"]["kind"]) == (4040, "run_not_found")
    error = client.ask("metawsm/status", params={"runID": "nope"})["error"]
    assert (error["code"], error["data"]["kind"]) == (-32602, "invalid_params")
    assert error["data"]["details"][0]["parameter"] == "runID"


def test_a_run_goes_from_request_to_closed(root: Root, client: Client) -> None:
    root.repository("app")
    root.agents(worker=DONE)
    client.ask("metawsm/createTicket", params={"ticket": "T-1"})
    started = client.ask("metawsm/run", params={"tickets": ["T-1"]})["result"]
    assert started["status"] == "running"
    waited = client.ask("metawsm/wait", params={"runId": started["runId"], "timeout": 30})["result"]
    assert waited["run"]["status"] == "completed"
    assert client.ask("metawsm/close", params={})["result"]["run"]["status"] == "closed"
