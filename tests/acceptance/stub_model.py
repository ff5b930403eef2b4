"""A model on 127.0.0.1 for the real agent programs: it answers with the commands that a test wants run.

It speaks as much of four protocols as the programs need: Anthropic's messages (claude), OpenAI's
responses (codex) and chat completions (opencode, aider), and Gemini's generateContent. Each request
that offers a shell takes the next of `commands` as its tool call; when there is none left, and in
requests that offer no shell (titles, summaries), it answers with a text.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

ANSWER = "That is all."


class StubModel:
    """A server that is listening as long as the `with` block runs."""

    def __init__(self, *commands: str) -> None:
        self.commands = list(commands)
        self.requests: list[tuple[str, dict[str, Any]]] = []
        stub = self

        class Handler(_Handler):
            model = stub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def next_command(self, tools: set[str]) -> tuple[str, str] | None:
        """Return `(tool, command)`, or None for a text."""
        shell = next((name for name in _SHELLS if name in tools), None)
        return (shell, self.commands.pop(0)) if shell and self.commands else None


_SHELLS = ("Bash", "bash", "exec_command", "shell_command", "shell", "run_shell_command")


class _Handler(BaseHTTPRequestHandler):
    model: StubModel
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._json({}, 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        self.model.requests.append((self.path, body))
        try:
            if "count_tokens" in self.path:
                self._json({"input_tokens": 10})
            elif "/messages" in self.path:
                self._messages(body)
            elif "/responses" in self.path:
                self._responses(body)
            elif "enerateContent" in self.path:
                self._generate(body)
            elif "/chat/completions" in self.path:
                self._completions(body)
            else:
                self._json({}, 404)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def _messages(self, body: dict[str, Any]) -> None:
        call = self.model.next_command({tool.get("name", "") for tool in body.get("tools", [])})
        usage = {"input_tokens": 5, "output_tokens": 1}
        message = {"id": _id("msg"), "type": "message", "role": "assistant", "model": body["model"], "content": []}
        if call:
            block: dict[str, Any] = {"type": "tool_use", "id": _id("toolu"), "name": call[0], "input": {}}
            arguments = json.dumps({"command": call[1], "description": "As asked"})
            delta = {"type": "input_json_delta", "partial_json": arguments}
        else:
            block, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": ANSWER}
        if not body.get("stream"):
            self._json(
                {**message, "content": [{"type": "text", "text": ANSWER}], "stop_reason": "end_turn", "usage": usage}
            )
            return
        self._stream()
        for event in (
            {"type": "message_start", "message": {**message, "stop_reason": None, "usage": usage}},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use" if call else "end_turn"}, "usage": usage},
            {"type": "message_stop"},
        ):
            self._event(event, str(event["type"]))

    def _responses(self, body: dict[str, Any]) -> None:
        call = self.model.next_command({tool.get("name", "") for tool in body.get("tools", [])})
        response = _id("resp")
        if call:
            name, command = call
            arguments = {"exec_command": {"cmd": command}, "shell": {"command": ["sh", "-c", command]}}.get(
                name, {"command": command}
            )
            item = {"type": "function_call", "name": name, "arguments": json.dumps(arguments), "call_id": _id("call")}
        else:
            item = {
                "type": "message",
                "role": "assistant",
                "id": _id("m"),
                "content": [{"type": "output_text", "text": ANSWER}],
            }
        count = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        self._stream()
        for event in (
            {"type": "response.created", "response": {"id": response}},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": {"id": response, "usage": count}},
        ):
            self._event(event, str(event["type"]))

    def _generate(self, body: dict[str, Any]) -> None:
        declared = [f for tool in body.get("tools", []) for f in tool.get("functionDeclarations", [])]
        call = self.model.next_command({function.get("name", "") for function in declared})
        part = {"functionCall": {"name": call[0], "args": {"command": call[1]}}} if call else {"text": ANSWER}
        if "stream" not in self.path:
            part = {
                "text": '{"reasoning": "x", "next_speaker": "user", "complexity_score": 1, "complexity_reasoning": "x", "model_choice": "flash"}'
            }
        answer = {
            "candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
        }
        if "stream" not in self.path:
            self._json(answer)
            return
        self._stream()
        self._event(answer)

    def _completions(self, body: dict[str, Any]) -> None:
        call = self.model.next_command({tool.get("function", {}).get("name", "") for tool in body.get("tools", [])})
        delta: dict[str, Any] = {"role": "assistant", "content": ANSWER}
        if call:
            arguments = json.dumps({"command": call[1], "description": "As asked"})
            function = {"name": call[0], "arguments": arguments}
            delta = {
                "role": "assistant",
                "tool_calls": [{"index": 0, "id": _id("call"), "type": "function", "function": function}],
            }
        base = {"id": _id("chat"), "object": "chat.completion.chunk", "created": 1, "model": body.get("model")}
        end = "tool_calls" if call else "stop"
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        if not body.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}
            self._json({**base, "object": "chat.completion", "choices": [choice], "usage": usage})
            return
        self._stream()
        self._event({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        self._event({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": end}], "usage": usage})
        self._event("[DONE]")

    def _json(self, answer: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True

    def _event(self, data: dict[str, Any] | str, name: str | None = None) -> None:
        text = data if isinstance(data, str) else json.dumps(data)
        self.wfile.write(f"{f'event: {name}{chr(10)}' if name else ''}data: {text}\n\n".encode())
        self.wfile.flush()


def _id(prefix: str) -> str:
    return f"{prefix}_{time.time_ns()}"
