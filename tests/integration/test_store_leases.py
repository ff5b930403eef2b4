"""The right to drive: one holder, a fence that only rises, and locks that die with their process."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from run_support import Clock, begin, plan

from metawsm_rpc.errors import BusyError, LostLeaseError, StoreError
from metawsm_rpc.ports.store import ROOT_SCOPE, Lease
from metawsm_rpc.store.leases import LEASE_SECONDS
from metawsm_rpc.store.store import SqliteStore


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time())


@pytest.fixture
def store(state: Path, clock: Clock) -> Iterator[SqliteStore]:
    with closing(SqliteStore(state, clock)) as made:
        yield made


@pytest.fixture
def other(state: Path, clock: Clock) -> Iterator[SqliteStore]:
    """Return a second opening of the same database: to its leases a process of its own."""
    with closing(SqliteStore(state, clock)) as made:
        yield made


HOLDER = """
import sys, time
from pathlib import Path
from metawsm_rpc.store.store import SqliteStore
store = SqliteStore(Path(sys.argv[1]), time.time)
lease = store.acquire("r1")
print(lease.fence, flush=True)
sys.stdin.readline()
store.release(lease)
print("released", flush=True)
sys.stdin.readline()
"""


class Holder:
    """A process that holds the lease of run r1."""

    def __init__(self, state: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        assert self.process.stdin
        self.said = self.process.stdout
        self.told = self.process.stdin
        self.fence = int(self.said.readline())

    def let_go(self) -> None:
        self.told.write("\n")
        self.told.flush()
        assert self.said.readline() == "released\n"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)


@pytest.fixture
def holder(state: Path) -> Iterator[Holder]:
    made = Holder(state)
    yield made
    made.process.kill()
    made.process.communicate()


def locks(state: Path) -> list[str]:
    return sorted(file.name for file in (state / "locks").iterdir())


# --- one at a time ---


def test_a_lease_has_one_holder_and_another_one_is_told_who(store: SqliteStore, other: SqliteStore) -> None:
    store.acquire("r1")
    with pytest.raises(BusyError, match=rf"Process {os.getpid()} is driving run r1") as caught:
        other.acquire("r1")
    assert caught.value.details == {"scope": "r1", "pid": os.getpid()}
    with pytest.raises(BusyError):
        store.acquire("r1")


def test_runs_and_the_root_are_held_apart(store: SqliteStore, other: SqliteStore) -> None:
    store.acquire("root")
    other.acquire("r1")
    other.acquire(ROOT_SCOPE)
    with pytest.raises(BusyError, match="is driving this root"):
        store.acquire(ROOT_SCOPE)


def test_a_lease_that_was_given_up_can_be_taken_and_its_fence_rises(store: SqliteStore, other: SqliteStore) -> None:
    fences = []
    for holder in (store, other, store, store):
        lease = holder.acquire("r1")
        fences.append(lease.fence)
        holder.release(lease)
    assert fences == [1, 2, 3, 4]


def test_closing_the_store_lets_go(state: Path, store: SqliteStore, clock: Clock) -> None:
    with closing(SqliteStore(state, clock)) as gone:
        gone.acquire("r1")
        assert store.driven("r1")
    assert not store.driven("r1")
    assert store.acquire("r1").fence == 2


def test_threads_of_one_process_compete_like_processes(store: SqliteStore) -> None:
    got: list[object] = []

    def compete() -> None:
        try:
            got.append(store.acquire("r1"))
        except BusyError as error:
            got.append(error)

    threads = [threading.Thread(target=compete) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(one) for one in got].count(Lease) == 1
    assert [type(one) for one in got].count(BusyError) == 7


def _compete(state: str, go: object, won: object) -> None:
    store = SqliteStore(Path(state), time.time)
    go.wait()  # type: ignore[attr-defined] # a barrier of multiprocessing
    try:
        lease = store.acquire("r1")
    except BusyError:
        won.put(None)  # type: ignore[attr-defined] # a queue of multiprocessing
    else:
        won.put(lease.fence)  # type: ignore[attr-defined]
    go.wait()  # type: ignore[attr-defined]
    store.close()


def test_of_several_processes_at_once_one_wins(state: Path) -> None:
    SqliteStore(state, time.time).close()
    spawn = multiprocessing.get_context("spawn")
    go, won = spawn.Barrier(4), spawn.Queue()
    processes = [spawn.Process(target=_compete, args=(str(state), go, won)) for _ in range(4)]
    for process in processes:
        process.start()
    results = [won.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert sorted(results, key=lambda fence: fence or 0) == [None, None, None, 1]


# --- the fence ---


def test_a_late_holders_writes_fail_and_change_nothing(store: SqliteStore, other: SqliteStore) -> None:
    begin(store, plan())
    late = store.acquire("r1")
    with store.transaction(late) as transaction:
        transaction.move_step("r1", 0, "start")
    other.acquire("r1", takeover=True)
    before = store.detail("r1")

    with pytest.raises(LostLeaseError, match="Another process has taken over run r1"), store.transaction(late):
        raise AssertionError("the transaction of a late holder began")
    with pytest.raises(LostLeaseError):
        store.renew(late)
    assert not store.held(late)
    assert store.detail("r1") == before


def test_a_takeover_during_a_transaction_waits_for_its_end(store: SqliteStore, other: SqliteStore) -> None:
    begin(store, plan())
    lease = store.acquire("r1")
    taken = threading.Event()

    def take_over() -> None:
        other.acquire("r1", takeover=True)
        taken.set()

    thread = threading.Thread(target=take_over)
    with store.transaction(lease) as transaction:
        thread.start()
        assert not taken.wait(0.1)
        transaction.move_step("r1", 0, "start")
    assert taken.wait(60)
    thread.join()
    assert store.steps("r1")[0].status == "running"
    with pytest.raises(LostLeaseError), store.transaction(lease):
        pass


def test_a_lease_of_another_run_with_the_same_fence_is_no_right(store: SqliteStore, other: SqliteStore) -> None:
    begin(store, plan())
    lease = other.acquire("r1")
    for forged in (lease._replace(holder="somebody"), lease._replace(fence=2), lease._replace(scope="r2")):
        with pytest.raises(LostLeaseError), store.transaction(forged):
            pass


def test_a_lease_that_was_given_up_is_no_right_any_more(store: SqliteStore) -> None:
    begin(store, plan())
    lease = store.acquire("r1")
    store.release(lease)
    assert not store.held(lease)
    with pytest.raises(LostLeaseError), store.transaction(lease):
        pass


def test_giving_up_a_lost_lease_does_not_touch_the_new_holders(store: SqliteStore, other: SqliteStore) -> None:
    late = store.acquire("r1")
    new = other.acquire("r1", takeover=True)
    store.release(late)
    assert other.held(new)
    assert store.driven("r1")
    with pytest.raises(BusyError):
        store.acquire("r1")


# --- processes that die, hang or sleep ---


def test_the_lease_of_a_killed_process_is_free_at_once(store: SqliteStore, holder: Holder, state: Path) -> None:
    assert store.driven("r1")
    assert store.holder("r1") == holder.process.pid
    with pytest.raises(BusyError, match=rf"Process {holder.process.pid} is driving"):
        store.acquire("r1")
    holder.kill()
    assert not store.driven("r1")
    assert store.holder("r1") is None
    lease = store.acquire("r1")
    assert lease.fence == holder.fence + 1
    assert locks(state) == ["r1.2.lock"]


def test_a_lease_that_is_not_renewed_runs_out_though_its_process_lives(
    store: SqliteStore, other: SqliteStore, clock: Clock
) -> None:
    asleep = store.acquire("r1")
    clock.now += LEASE_SECONDS - 0.01
    assert other.driven("r1")
    with pytest.raises(BusyError):
        other.acquire("r1")
    clock.now += 0.02
    assert not other.driven("r1")
    assert other.acquire("r1").fence == 2
    with pytest.raises(LostLeaseError):
        store.renew(asleep)


def test_a_lease_that_is_renewed_does_not_run_out(store: SqliteStore, other: SqliteStore, clock: Clock) -> None:
    lease = store.acquire("r1")
    for _ in range(6):
        clock.now += LEASE_SECONDS / 3
        store.renew(lease)
    assert other.driven("r1")
    assert store.held(lease)


def test_a_clock_that_goes_backwards_frees_nothing(store: SqliteStore, other: SqliteStore, clock: Clock) -> None:
    store.acquire("r1")
    clock.now -= 100_000
    with pytest.raises(BusyError):
        other.acquire("r1")


def test_who_takes_over_from_a_hanging_process_is_not_taken_for_dead_when_that_dies(
    store: SqliteStore, other: SqliteStore, holder: Holder
) -> None:
    holder.process.send_signal(signal.SIGSTOP)
    lease = store.acquire("r1", takeover=True)
    assert not store.await_release("r1", 0.05)
    holder.kill()
    assert store.await_release("r1", 10)
    assert other.driven("r1")
    with pytest.raises(BusyError):
        other.acquire("r1")
    assert store.held(lease)


def test_who_takes_over_can_wait_until_the_former_holder_has_let_go(store: SqliteStore, holder: Holder) -> None:
    store.acquire("r1", takeover=True)
    assert not store.await_release("r1", 0)
    holder.let_go()
    assert store.await_release("r1", 0)


def test_the_former_holder_may_be_a_thread_of_the_same_process(store: SqliteStore) -> None:
    former = store.acquire("r1")
    store.acquire("r1", takeover=True)
    assert not store.await_release("r1", 0.02)
    store.release(former)
    assert store.await_release("r1", 0)


def test_nobody_is_waited_for_where_nobody_was(store: SqliteStore) -> None:
    assert store.await_release("r1", 10)
    store.acquire("r1")
    assert store.await_release("r1", 10)


def test_looking_whether_a_run_is_driven_disturbs_nobody(store: SqliteStore, other: SqliteStore, state: Path) -> None:
    assert not other.driven("r1")
    lease = store.acquire("r1")
    for _ in range(50):
        assert other.driven("r1")
    store.release(lease)
    assert not other.driven("r1")
    assert locks(state) == []


def test_locks_of_former_holders_do_not_pile_up(store: SqliteStore, other: SqliteStore, state: Path) -> None:
    for number in range(5):
        (store, other)[number % 2].acquire("r1", takeover=True)
    store.close()
    other.acquire("r1", takeover=True)
    assert locks(state) == ["r1.2.lock", "r1.4.lock", "r1.6.lock"]
    other.close()
    assert locks(state) == []


def test_a_program_that_a_holder_starts_does_not_inherit_its_lock(store: SqliteStore, other: SqliteStore) -> None:
    lease = store.acquire("r1")
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, close_fds=False
    ) as child:
        store.release(lease)
        assert not other.driven("r1")
        assert other.acquire("r1").fence == 2
        assert child.stdin
        child.stdin.close()


def test_a_lease_that_could_not_be_written_is_not_held(store: SqliteStore, other: SqliteStore, state: Path) -> None:
    store._database.connection.execute(
        "CREATE TEMP TRIGGER full BEFORE INSERT ON leases BEGIN SELECT RAISE (ABORT, 'no room'); END"
    )
    with pytest.raises(StoreError, match="no room"):
        store.acquire("r1")
    assert locks(state) == []
    assert other.acquire("r1").fence == 1


def test_a_lock_folder_that_cannot_be_used_is_told(store: SqliteStore, state: Path) -> None:
    (state / "locks").write_text("in the way")
    with pytest.raises(StoreError, match=r"The lock folder .* cannot be used: "):
        store.acquire("r1")
    assert not store.driven("r1")
