"""The real agent programs, as far as they are installed, with a model of ours: hooks, sandboxes, resuming."""

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Root, git
from stub_model import StubModel


@pytest.fixture
def stub() -> Iterator[StubModel]:
    with StubModel() as model:
        yield model


@pytest.fixture
def start(root: Root, stub: StubModel, private_machine: Path, monkeypatch: pytest.MonkeyPatch) -> "Start":
    return Start(root, stub, private_machine, monkeypatch)


class Start:
    """Starts a headless agent of a real program in run r1, and says what became of it."""

    def __init__(self, root: Root, stub: StubModel, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.stub = stub
        self.home = home
        self.person: dict[Path, str] = {}
        for name, value in {
            "ANTHROPIC_BASE_URL": stub.url,
            "ANTHROPIC_API_KEY": "stub",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "IS_SANDBOX": "1",
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
        }.items():
            monkeypatch.setenv(name, value)
        # Codex lets temporary folders be written, and all of a test is in one.
        self.configure(
            ".codex/config.toml",
            f"""
            model = "stub"
            model_provider = "stub"
            [model_providers.stub]
            name = "stub"
            base_url = "{stub.url}/v1"
            wire_api = "responses"
            [sandbox_workspace_write]
            exclude_slash_tmp = true
            exclude_tmpdir_env_var = true
            """,
        )
        model = {"npm": "@ai-sdk/openai-compatible", "options": {"baseURL": f"{stub.url}/v1", "apiKey": "x"}}
        provider = {**model, "name": "stub", "models": {"stub": {"name": "stub"}}}
        self.configure(
            ".config/opencode/opencode.json",
            json.dumps(
                {"$schema": "https://opencode.ai/config.json", "model": "stub/stub", "provider": {"stub": provider}}
            ),
        )
        hook = {"type": "command", "command": f"touch {home}/of-the-person"}
        self.configure(".claude/settings.json", json.dumps({"hooks": {"Stop": [{"hooks": [hook]}]}}))

    def configure(self, name: str, text: str) -> None:
        """Write a file of the person's."""
        file = self.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(line.strip() for line in text.splitlines()))
        self.person[file] = file.read_text()

    def __call__(self, program: str, *commands: str) -> None:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
        self.root.repository("app")
        self.root.policy()
        self.root.metawsm("ticket", "create", "T-1")
        bin_ = shutil.which("metawsm") or self._bin()
        self.stub.commands += [command.replace("METAWSM", bin_) for command in commands]
        self.root.metawsm("run", "--ticket", "T-1", "--agent", f"{program}-exec", "--run-id", "r1")
        self.wait()

    def _bin(self) -> str:
        from metawsm_rpc.hosts.environment import LocalPrograms

        return LocalPrograms().command_path()

    def wait(self) -> None:
        """Wait until the program has ended, which may be after its agent was done."""
        folder = self.root.path / ".metawsm/agents/r1/T-1" / self.agent["name"] / "launches" / self.agent["launch"]
        deadline = time.monotonic() + 60
        while not (folder / "exit").exists():
            assert time.monotonic() < deadline, self.root.metawsm("logs", "r1", "--agent", self.agent["name"])
            time.sleep(0.05)
        self.root.metawsm("status", "r1")

    @property
    def agent(self) -> dict[str, Any]:
        with sqlite3.connect(self.root.path / ".metawsm" / "metawsm.db") as database:
            database.row_factory = sqlite3.Row
            return dict(database.execute("SELECT * FROM agents").fetchone())

    @property
    def worktree(self) -> Path:
        return Path(self.root.ask("status", "r1")["workspaces"][0]["repos"][0]["path"])

    def said(self) -> list[str]:
        """Return what the agent signalled, in order."""
        events = self.root.ask("history", "r1")["events"]
        return [f"{e['type']}: {e['message']}" for e in events if e["type"] in ("progress", "done", "failed")]

    def is_untouched(self) -> bool:
        """Return whether the person's own settings are as they were, and the worktree is clean."""
        changed = [file for file, text in self.person.items() if file.read_text() != text]
        assert not changed, changed[0].read_text()
        return git(self.worktree, "status", "--porcelain", "--ignored") == ""


COMMIT = "echo new > file && git add file && git commit -qm work"


def test_claude_tells_its_hooks_may_signal_and_is_resumed(start: Start) -> None:
    start("claude", 'METAWSM signal progress "it goes on"', COMMIT, "METAWSM signal done finished")
    assert start.said() == ["progress: it goes on", "done: finished"]
    agent = start.agent
    assert agent["status"] == "completed"
    assert agent["conversation_launch"] == agent["launch"]
    assert (start.home / "of-the-person").exists(), "the person's own hooks run as well"
    assert start.is_untouched()
    start.root.metawsm("restart", "r1", "--agent", "claude-exec")
    start.wait()
    again = start.agent
    assert (again["exit_code"], again["status"]) == (0, "completed")
    assert again["conversation"] == agent["conversation"]
    assert again["conversation_launch"] == again["launch"] != agent["launch"]
    messages = [body["messages"] for path, body in start.stub.requests if "/messages" in path and "messages" in body]
    assert "it goes on" in json.dumps(messages[-1]), "it remembers"


def test_codex_works_in_its_sandbox_tells_its_hooks_and_is_resumed(start: Start) -> None:
    start(
        "codex",
        "METAWSM signal progress inside",
        COMMIT,
        f"touch {start.root.path}/app/escaped",
        "METAWSM signal done ok",
    )
    printed = start.root.metawsm("logs", "r1", "--agent", "codex-exec").out
    if "bwrap" in printed and "No permissions" in printed:
        pytest.skip("this machine lets codex start no sandbox")
    assert "left in the agent's drop box" in printed
    assert start.said() == ["progress: inside", "done: ok"]
    assert git(start.worktree, "log", "-1", "--format=%s") == "work"
    assert not (start.root.path / "app" / "escaped").exists()
    agent = start.agent
    assert agent["conversation"] in printed, "the id that it chose itself"
    assert "Hooks need review" not in printed
    assert start.is_untouched()
    start.root.metawsm("restart", "r1", "--agent", "codex-exec")
    start.wait()
    assert start.agent["exit_code"] == 0
    assert start.agent["conversation"] == agent["conversation"]
    assert start.agent["conversation_launch"] != agent["conversation_launch"]


def test_opencode_tells_its_plugin_and_is_resumed(start: Start) -> None:
    start("opencode", COMMIT)
    agent = start.agent
    assert agent["status"] == "completed"
    assert agent["conversation"].startswith("ses_")
    assert start.is_untouched()
    start.root.metawsm("restart", "r1", "--agent", "opencode-exec")
    start.wait()
    assert start.agent["exit_code"] == 0
    assert start.agent["conversation"] == agent["conversation"]
    assert start.agent["conversation_launch"] != agent["conversation_launch"]
