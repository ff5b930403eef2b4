"""Names of every kind: each works everywhere, or is refused in one sentence, and nothing in it is executed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support import Cli, assert_refused, nothing_made, sessions
from conftest import DONE, Root, git, make_repository

CANARY = "canary"
HOSTILE = [
    "with space",
    'a"b',
    "a'b",
    f"$(touch {CANARY})",
    f"`touch {CANARY}`",
    f"#(touch {CANARY})",
    f"a;touch {CANARY}",
    "100%",
    "%(refname)",
    "line\nbreak",
    "-lead",
    "--help",
    "..",
    "a..b",
    "a/b",
    ".hidden",
    "*",
    "\x1b[31mred",
    "",
    "\udcff",
]


@pytest.fixture
def cli(root: Root, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return the command line on a root with the repository app, the ticket T-1 and an agent."""
    root.repository("app")
    root.agents(worker=DONE)
    cli = Cli(root, capfd, monkeypatch)
    cli("ticket", "create", "T-1")
    return cli


@pytest.fixture
def canary(root: Root) -> Iterator[None]:
    """Assert that nothing named was executed."""
    yield
    found = [path for path in root.path.parent.rglob(CANARY) if path.name == CANARY]
    assert not found


@pytest.mark.usefixtures("canary")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_refused_in_one_sentence_wherever_it_is_typed(cli: Cli, name: str) -> None:
    with nothing_made(cli.root):
        for flags in (
            [f"--ticket={name}"],
            ["--ticket=T-1", f"--run-id={name}"],
            ["--ticket=T-1", f"--agent={name}"],
            ["--ticket=T-1", f"--repos={name}"],
            ["--ticket=T-1", f"--base-branch={name}"],
            ["--ticket=T-1", "--strategy=fork", f"--source={name}"],
        ):
            assert_refused(ran := cli("run", *flags, code=None), ran.code)
            assert ran.code in (2, 3)
        assert_refused(cli("ticket", "create", "--", name, code=2), 2)
    assert [one["ticket"] for one in cli.ask("tickets")["tickets"]] == ["T-1"]
    assert_refused(ran := cli("ticket", "close", "--", name, code=None), ran.code)
    assert ran.code in (2, 3)
    cli("run", "--ticket", "T-1", "--run-id", "r1", "--dry-run")
    for flag in (f"--run-id={name}", f"--ticket={name}"):
        assert_refused(ran := cli("stop", flag, code=None), ran.code)
        assert ran.code in (2, 3)
    ran = cli("logs", "r1", f"--agent={name}", code=3)
    assert "worker on T-1" in ran.err


@pytest.mark.usefixtures("canary")
def test_a_hostile_name_in_the_policy_is_an_error_with_its_place(cli: Cli) -> None:
    policy = cli.root.path / ".metawsm" / "policy.json"
    good = {"name": "w", "profile": "shell", "command": ["true"]}
    with nothing_made(cli.root):
        for name in HOSTILE[:-1]:  # the last one is no text that a file could hold
            for sections in (
                {"agents": [{**good, "name": name}]},
                {"agents": [good], "repositories": {name: "app"}},
                {"agents": [good], "workspace": {"default_strategy": name}},
            ):
                policy.write_text(json.dumps({"version": 3, **sections}))
                assert f"{policy}:1:" in cli("run", "--ticket", "T-1", code=2).err


NAMES_THAT_WORK = ["a.b", "a:b", "A-b", "Ä-b", "日本", "日木"]


@pytest.mark.usefixtures("canary")
def test_names_that_differ_only_in_what_gets_sanitised_run_side_by_side(cli: Cli) -> None:
    root = cli.root
    odd = [f"we ird;$(touch {CANARY})", "ünï", "-dash"]
    for name in odd:
        make_repository(root.path / name)
    script = 'for repo in "$METAWSM_WORKSPACE"/*/; do (cd -- "$repo" && echo "$METAWSM_TICKET/$METAWSM_AGENT" > own.txt); done\n'
    root.policy(agents=[root.agent(name, script + "sleep 60") for name in ("a.b", "a-b")])
    for name in NAMES_THAT_WORK:
        cli("ticket", "create", name)
    tickets = [word for name in NAMES_THAT_WORK for word in ("--ticket", name)]
    cli("run", *tickets, f"--repos={','.join(odd)}", "--run-id", "r1")
    detail = cli.ask("status", "r1")
    assert len({workspace["path"] for workspace in detail["workspaces"]}) == len(NAMES_THAT_WORK)
    assert len({workspace["branch"] for workspace in detail["workspaces"]}) == len(NAMES_THAT_WORK)
    assert len(sessions()) == 2 * len(NAMES_THAT_WORK)
    assert {agent["status"] for agent in detail["agents"]} == {"running"}
    assert cli.ask("logs", "r1", "--ticket", "日本", "--agent", "a.b")["offset"] == 0
    cli("stop", "r1")
    assert sessions() == []


@pytest.mark.usefixtures("canary")
def test_a_root_and_a_workspace_folder_with_hostile_paths_work_from_ticket_to_close(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = f"""ro ot's "q" $(touch {CANARY}) `touch {CANARY}` #(touch {CANARY}) ; %d #{{pid}} [x]* \\ ünï -x """
    monkeypatch.setenv("METAWSM_WORKSPACE_DIRECTORY", str(tmp_path / f"work {hostile}"))
    root = Root(tmp_path / hostile)
    root.repository("app")
    root.repository("lib")
    work = 'for r in app lib; do (cd "$METAWSM_WORKSPACE/$r" && date >> README.md && git commit -qam work); done; pwd\n'
    root.agents(worker=work + DONE)
    cli = Cli(root, capfd, monkeypatch)
    cli("ticket", "create", "T-1")
    cli("run", "--ticket", "T-1", "--repos", "app,lib", "--run-id", "r1", "--wait")
    assert str(tmp_path / f"work {hostile}") in cli("logs", "r1").out.replace("\n", "")
    assert [repo["files"][0]["path"] for repo in cli.ask("diff")["repos"]] == ["README.md", "README.md"]
    cli("sync", "r1")
    cli("close", "r1")
    for name in ("app", "lib"):
        assert git(root.path / name, "log", "-1", "--format=%s") == "Merge branch 'task/t-1-r1' into main"
