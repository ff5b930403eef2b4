"""Waiting for a run from the command line: what a person is told meanwhile, and what a program is."""

import json

import pytest
from cli_support import Cli
from conftest import DONE, Root

SAYS = '"$METAWSM_BIN" signal progress "half of it"\n'


@pytest.fixture
def cli(root: Root, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    root.repository("app")
    cli = Cli(root, capfd, monkeypatch)
    cli("ticket", "create", "T-1")
    return cli


def test_run_with_wait_tells_what_agents_say_once(cli: Cli) -> None:
    cli.root.agents(worker=f"{SAYS}{DONE}sleep 60")
    ran = cli("run", "--ticket", "T-1", "--run-id", "r1", "--wait")
    assert ran.out == "Run r1 is completed.\n"
    assert ran.err.splitlines()[-2:] == ["· worker on T-1: half of it", "✓ worker on T-1 is done: all is done"]
    assert ran.err.count("half of it") == 1


def test_wait_tells_what_happens_from_now_on_and_with_json_nothing(cli: Cli) -> None:
    cli.root.agents(worker=f'until [ -e "$METAWSM_ROOT/go" ]; do {SAYS} sleep 0.1; done\n{DONE}sleep 60')
    cli("run", "--ticket", "T-1", "--run-id", "r1")
    with cli.root.spawn("--json", "wait", "r1") as as_json, cli.root.spawn("wait", "r1") as plain:
        assert plain.stderr is not None
        assert plain.stderr.readline() == "· worker on T-1: half of it\n"
        (cli.root.path / "go").touch()
        out, err = plain.communicate(timeout=60)
        document, nothing = as_json.communicate(timeout=60)
    assert out == "Run r1 is completed.\n"
    assert err.splitlines()[-1] == "✓ worker on T-1 is done: all is done"
    assert (json.loads(document)["reached"], nothing) == (True, "")


def test_wait_ends_at_its_timeout_and_says_how_the_run_is(cli: Cli) -> None:
    cli.root.agents(worker="sleep 60")
    cli("run", "--ticket", "T-1", "--run-id", "r1")
    ran = cli("wait", "r1", "--timeout", "0.3", code=1)
    assert (ran.out, ran.err) == ("Run r1 is running.\n", "")
    assert cli("wait", "r1", "--until", "running", "--timeout", "5").out == "Run r1 is running.\n"
