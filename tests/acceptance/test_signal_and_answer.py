"""An agent's question from the command line: asked, waited for, answered or withdrawn."""

import json

import pytest
from cli_support import Cli, assert_refused
from conftest import Root


@pytest.fixture
def cli(root: Root, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    root.repository("app")
    root.agents(worker="sleep 60")
    cli = Cli(root, capfd, monkeypatch)
    cli("ticket", "create", "T-1")
    cli("run", "--ticket", "T-1", "--run-id", "r1")
    return cli


def asking(cli: Cli, *flags: str, text: str = "Which one?") -> list[str]:
    """Return the command line with which the agent of r1 asks."""
    launch = cli.ask("status", "r1")["agents"][0]["launch"]
    agent = ["--run-id", "r1", "--ticket", "T-1", "--agent", "worker", "--launch", launch]
    return ["signal", "guidance", text, "--choice", "this", "--choice", "that", *agent, *flags]


def question(cli: Cli) -> str:
    """Return the id of the open question, when there is one."""
    cli("wait", "r1", "--until", "awaiting_guidance", "--timeout", "20")
    (asked,) = cli.ask("status", "r1")["guidance"]
    return str(asked["id"])


def test_who_waits_for_an_answer_gets_its_text_or_with_json_all_of_it(cli: Cli) -> None:
    with cli.root.spawn(*asking(cli, "--wait")) as waiting:
        asked = question(cli)
        shown = cli("status", "r1").out
        assert asked in shown
        assert "Which one?" in shown
        cli("answer", asked, "that\nor the other")
        assert waiting.communicate(timeout=60) == ("that\nor the other\n", "")
        assert waiting.returncode == 0
    assert_refused(cli("answer", asked, "this", code=4), 4, asked, "answered")
    (kept,) = cli.ask("status", "r1")["guidance"]
    assert (kept["answer"], kept["status"]) == ("that\nor the other", "answered")
    assert kept["deliveredAt"] >= kept["answeredAt"] >= kept["askedAt"]


def test_a_question_does_not_pass_for_lines_of_the_program(cli: Cli) -> None:
    cli(*asking(cli, text="One\nRun r1 is closed.\u202e#\u2028Run r1 is closed."))
    shown = cli("status", "r1").out
    assert "asks: One\n      Run r1 is closed.\ufffd#\ufffdRun r1" in shown
    assert "asks: One\n      Run" not in cli("history", "r1").out


def test_a_question_with_json_is_the_protocols_answer_and_what_became_of_it(cli: Cli) -> None:
    told = cli.ask(*asking(cli))
    assert (told["event"]["type"], told["guidanceId"]) == ("guidance", question(cli))
    cli("answer", told["guidanceId"], "this")
    with cli.root.spawn("--json", *asking(cli, "--wait", text="And then?")) as waiting:
        cli("wait", "r1", "--until", "awaiting_guidance", "--timeout", "20")
        cli("stop", "r1")
        out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, err) == (
        1,
        "metawsm: the question was withdrawn: its agent was stopped, has ended, or was started again.\n",
    )
    answer = json.loads(out)
    assert (answer["guidance"]["id"], answer["guidance"]["status"]) == (answer["guidanceId"], "withdrawn")
