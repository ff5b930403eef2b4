"""Whatever bytes and values come, the server says only messages, answers each request once, and lives."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import Session
from server_support import Wire, served

from metawsm_rpc.verbs import VERBS

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
words = st.sampled_from(
    ["jsonrpc", "id", "method", "params", "result", "error", "2.0", "initialize", "shutdown", "metawsm/runs", "root"]
)
messages = st.dictionaries(words, json_values | words, max_size=6).map(lambda made: {"jsonrpc": "2.0", **made})
pieces = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"\r\n", b"\n", b"Content-Length: ", b"Content-Length: 2\r\n\r\n{}", b"Content-Type: x\r\n", b"99"]
    ),
    messages.map(lambda made: b"Content-Length: %d\r\n\r\n%s" % (len(body := json.dumps(made).encode()), body)),
)


@given(st.lists(pieces, max_size=12).map(b"".join))
@settings(max_examples=50)
def test_any_bytes_are_answered_with_messages_only(data: bytes) -> None:
    for message in Session().feed(io.BytesIO(data)):
        assert ("error" in message) or ("result" in message) or ("method" in message)


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """Return a real server for all examples."""
    with served(tmp_path_factory.mktemp("fuzz")) as made:
        yield made


@given(messages.filter(lambda made: made.get("method") not in ("shutdown", "exit")))
@settings(max_examples=50)
def test_any_message_is_answered_at_most_once_and_the_next_request_is_served(wire: Wire, made: dict[str, Any]) -> None:
    del wire.messages[:]
    wire.send(made)
    assert wire.ask("metawsm/runs")["total"] == 0
    answers = [message for message in wire.messages if "method" not in message]
    assert len(answers) <= 2
    assert "should not" not in json.dumps(answers)


_SLOW = ("doctor",)


@given(st.data())
@settings(max_examples=80)
def test_any_parameters_of_any_verb_get_a_result_or_an_error_that_says_why(wire: Wire, data: st.DataObject) -> None:
    verb = data.draw(st.sampled_from([one for one in VERBS if one.name not in _SLOW]))
    names = st.sampled_from(_names(verb.method)) | st.text(max_size=5)
    params = data.draw(st.dictionaries(names, json_values | st.just("T-1") | st.just(["T-1"]), max_size=6))
    params.pop("root", None)
    params["timeout"] = 0 if verb.name == "wait" else params.pop("timeout", None)
    if params["timeout"] is None:
        del params["timeout"]
    answer = wire.answer_to(wire.request(f"metawsm/{verb.name}", params))
    if "error" in answer:
        assert answer["error"]["data"]["kind"] != "internal", answer
        assert answer["error"]["message"]
    del wire.messages[:]


def _names(method: str) -> list[str]:
    import inspect

    from metawsm_rpc.domain.wire import camel
    from metawsm_rpc.service import Service

    return [camel(name) for name in inspect.signature(getattr(Service, method)).parameters if name != "self"] or ["x"]


def test_a_fuzzer_that_sees_the_code_finds_nothing(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("fuzz_server.py"), corpus, "-max_total_time=2", "-timeout=20"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done" in done.stderr
