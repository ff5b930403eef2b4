"""What blocked a close is on record until the run moves or is closed, so that an editor can show it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Root, git
from engine_support import RUN, Runs, runs_on

from metawsm_rpc.errors import CloseBlockedError


@pytest.fixture
def runs(two_repositories: Root) -> Iterator[Runs]:
    two_repositories.agents(worker="exit 0")
    with runs_on(two_repositories) as opened:
        opened.start("T-1", repos=["app", "lib"])
        assert opened.settled().status == "completed"
        yield opened


def test_the_reasons_of_a_blocked_close_are_kept(runs: Runs) -> None:
    assert runs.store.blocked(RUN) == ()
    (runs.folder("app") / "left.txt").write_text("left\n")
    with pytest.raises(CloseBlockedError) as caught:
        runs.verbs.close(RUN)
    assert runs.store.blocked(RUN) == caught.value.details
    assert [one.files for one in runs.store.blocked(RUN)] == [("left.txt",)]


def test_a_close_that_succeeds_takes_them_away(runs: Runs) -> None:
    left = runs.folder("app") / "left.txt"
    left.write_text("left\n")
    with pytest.raises(CloseBlockedError):
        runs.verbs.close(RUN)
    left.unlink()
    runs.verbs.close(RUN)
    assert runs.store.blocked(RUN) == ()


def test_a_run_that_goes_on_takes_them_away(runs: Runs) -> None:
    git(Path(runs.folder("app")), "checkout", "-q", "-b", "elsewhere")
    with pytest.raises(CloseBlockedError):
        runs.verbs.close(RUN)
    assert [one.reason for one in runs.store.blocked(RUN)] == ["wrong_branch"]
    runs.verbs.iterate(RUN, feedback="go on")
    assert runs.store.blocked(RUN) == ()


def test_a_look_again_keeps_what_is_still_in_the_way(runs: Runs) -> None:
    left = [runs.folder("app") / "left.txt", runs.folder("lib") / "left.txt"]
    for one in left:
        one.write_text("left\n")
    with pytest.raises(CloseBlockedError):
        runs.verbs.close(RUN)
    before = runs.store.seq()
    runs.verbs.look_at_blocked(RUN)
    assert runs.store.seq() == before
    left[0].unlink()
    runs.verbs.look_at_blocked(RUN)
    assert [one.repo for one in runs.store.blocked(RUN)] == ["lib"]
    left[1].unlink()
    runs.verbs.look_at_blocked(RUN)
    assert runs.store.blocked(RUN) == ()
    assert runs.run().status == "completed"
