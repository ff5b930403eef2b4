"""A state folder that was made elsewhere: whoever opens it does not start what somebody else has stored there."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Root
from server_support import served

EVENTS = {"initializationOptions": {"events": True}}


@pytest.fixture
def copied(root: Root, tmp_path: Path) -> Root:
    """Return a copy of a root with a run that was cut off before its setup command."""
    root.repository("app")
    root.policy(
        agents=[root.agent("worker", "sleep 600")], workspace={"setup": [{"run": f"touch {tmp_path}/executed"}]}
    )
    root.metawsm("ticket", "create", "T-1")
    root.metawsm("run", "--ticket", "T-1", "--run-id", "r1", "--dry-run")
    shutil.copytree(root.path, tmp_path / "copy", symlinks=True)
    with closing(sqlite3.connect(tmp_path / "copy" / ".metawsm" / "metawsm.db")) as database:
        database.execute("UPDATE runs SET status = 'running'")
        database.commit()
    return Root(tmp_path / "copy")


def test_every_verb_refuses_it_and_says_how_to_take_it_over(copied: Root) -> None:
    for verb in (["status"], ["runs"], ["resume", "r1"], ["run", "--ticket", "T-1"], ["diff", "r1"], ["watch"]):
        assert f"metawsm adopt --root {copied.path}" in copied.metawsm(*verb, code=4).err
    copied.metawsm("adopt")
    assert [run["runId"] for run in copied.ask("runs")["runs"]] == ["r1"]
    copied.metawsm("stop", "r1")


def test_a_server_starts_nothing_there_until_it_is_adopted(copied: Root, tmp_path: Path) -> None:
    with served(copied.path, **EVENTS) as wire:
        assert wire.error("metawsm/runs")["data"]["kind"] == "not_trusted"
    assert not (tmp_path / "executed").exists()
    copied.metawsm("adopt")
    with served(copied.path, **EVENTS) as wire:
        wire.until(lambda: [one for one in wire.told("metawsm/event") if one["type"] == "taken_up"])
        wire.until(
            lambda: [one for one in wire.told("metawsm/event") if (one["entity"], one["to"]) == ("agent", "running")]
        )
        wire.ask("metawsm/stop", {"runId": "r1"})
    assert (tmp_path / "executed").exists()


def test_what_was_restored_where_it_was_is_used(copied: Root, root: Root) -> None:
    root.path.rename(root.path.with_name("gone"))
    shutil.copytree(copied.path, root.path, symlinks=True)
    assert [run["runId"] for run in root.ask("runs")["runs"]] == ["r1"]
    root.metawsm("stop", "r1")


def test_what_another_person_would_have_restored_is_not(
    copied: Root, root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.path.rename(root.path.with_name("gone"))
    shutil.copytree(copied.path, root.path, symlinks=True)
    for home in ("empty", "with a key of its own"):
        monkeypatch.setenv("HOME", str(tmp_path / home))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / home / "state"))
        root.metawsm("runs", code=4)
        Root(tmp_path / home / "other").metawsm("policy", "init")


def test_the_original_and_a_renamed_root_are_used_on(copied: Root, root: Root, tmp_path: Path) -> None:
    assert [run["status"] for run in root.ask("runs")["runs"]] == ["paused"]
    root.path.rename(tmp_path / "renamed")
    assert [run["status"] for run in Root(tmp_path / "renamed").ask("runs")["runs"]] == ["paused"]


def test_runs_that_a_trigger_would_make_are_found_out(copied: Root) -> None:
    with closing(sqlite3.connect(copied.path / ".metawsm" / "metawsm.db")) as database:
        database.execute("DELETE FROM runs")
        database.execute("CREATE TRIGGER later AFTER INSERT ON leases BEGIN DELETE FROM events; END")
        database.commit()
    copied.metawsm("runs", code=4)


def test_runs_that_a_journal_would_bring_back_are_found_out(copied: Root) -> None:
    (copied.path / ".metawsm" / "metawsm.db").write_bytes(b"")
    (copied.path / ".metawsm" / "metawsm.db-journal").write_bytes(b"whatever it brings back")
    copied.metawsm("runs", code=4)


def test_a_policy_that_came_with_a_clone_is_used(root: Root) -> None:
    root.agents(worker="sleep 600")
    assert root.ask("runs")["total"] == 0


def test_there_must_be_something_to_adopt(root: Root) -> None:
    assert "no metawsm state" in root.metawsm("adopt", code=2).err
