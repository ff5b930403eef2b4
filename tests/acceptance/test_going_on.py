"""Starting an agent again: with its own conversation where there is one, anew where there is none."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cli_support import Cli
from conftest import Root

PROGRAM = """#!/bin/sh
printf '%s\\n' "$@" | grep -e '^--session-id=' -e '^--resume=' >>"$HOME/sessions"
printf '%s\\n' "$@" | grep -c -e '^--settings=' >>"$HOME/hooks"
id=$(tail -n 1 "$HOME/sessions" | cut -d= -f2)
case $(cat "$HOME/mode") in
refuse) exit 1 ;;
prompt) printf '{"hook_event_name": "UserPromptSubmit", "session_id": "%s"}' "$id" | "$METAWSM_BIN" hook claude ;;
signal) "$METAWSM_BIN" signal progress "it works" ;;
esac
: >"$HOME/ready"
exec sleep 600
"""


class Program:
    """A program in the place of claude, which is told what to make of its next start."""

    def __init__(self, cli: Cli, home: Path) -> None:
        self.cli = cli
        self._home = home

    def start(self, *words: str, mode: str) -> str:
        """Start the agent and return the option that names its conversation."""
        (self._home / "mode").write_text(mode)
        (self._home / "ready").unlink(missing_ok=True)
        self.cli(*words)
        for _ in range(2000):
            agent = self.agent()
            if (self._home / "ready").exists() or agent["status"] == "failed":
                break
        (option,) = (self._home / "sessions").read_text().splitlines()[-1:]
        return option

    def again(self, mode: str) -> str:
        return self.start("restart", "r1", "--agent", "claude", mode=mode)

    def agent(self) -> dict[str, Any]:
        (agent,) = self.cli.ask("status", "r1")["agents"]
        return dict(agent)


@pytest.fixture
def program(root: Root, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Program:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "claude").write_text(PROGRAM)
    (folder / "claude").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    root.repository("app")
    root.policy()
    cli = Cli(root, capfd, monkeypatch)
    cli("ticket", "create", "T-1")
    return Program(cli, Path(os.environ["HOME"]))


RUN = ("run", "--ticket", "T-1", "--agent", "claude", "--run-id", "r1")


def test_a_conversation_that_was_begun_is_gone_on_with_and_no_other(program: Program) -> None:
    first = program.start(*RUN, mode="dialog")
    assert first.startswith("--session-id=")
    second = program.again("prompt")
    assert second.startswith("--session-id=")
    assert second != first, "the program refuses an id that it has seen"
    resumed = program.again("prompt")
    assert resumed == second.replace("--session-id=", "--resume=")
    assert program.again("refuse") == resumed
    assert program.agent()["status"] == "failed"
    anew = program.again("dialog")
    assert anew.startswith("--session-id=")
    assert anew not in (first, second)


def test_an_agent_that_has_signalled_has_begun_one_though_no_hook_has_told(program: Program) -> None:
    first = program.start(*RUN, mode="signal")
    assert program.again("dialog") == first.replace("--session-id=", "--resume=")


def test_without_hooks_the_conversation_that_was_chosen_is_tried_once(program: Program) -> None:
    program.cli.root.policy(agent_profiles=[{"name": "claude", "hooks": False}])
    first = program.start(*RUN, mode="dialog")
    assert set((Path(os.environ["HOME"]) / "hooks").read_text().split()) == {"0"}
    assert program.again("refuse") == first.replace("--session-id=", "--resume=")
    assert program.again("dialog").startswith("--session-id=")


def test_the_plan_shows_the_hooks_and_no_id_that_nobody_has_yet(program: Program) -> None:
    steps = program.cli.ask("plan", "--ticket", "T-1", "--agent", "claude")["steps"]
    (command,) = (step["command"] for step in steps if step["kind"] == "start_agent")
    assert "--session-id=<session>" in command
    (settings,) = (word.removeprefix("--settings=") for word in command if word.startswith("--settings="))
    assert "hooks" in json.loads(Path(settings).read_text())
