"""The store of one root: `.metawsm/metawsm.db` and the lock files beside it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metawsm_rpc.domain.clock import Clock
from metawsm_rpc.domain.models import Agent, Blocked, Event, Guidance, Run, RunDetail, RunSummary, Step, Workspace
from metawsm_rpc.ports.store import CloseJournal, Lease
from metawsm_rpc.store import leases, reading
from metawsm_rpc.store.database import Database
from metawsm_rpc.store.transaction import StoreTransaction


class SqliteStore:
    """Implements `metawsm_rpc.ports.store.Store` on SQLite.

    Raises `StoreError` when the database is newer than this program, damaged, locked or full.
    """

    def __init__(self, directory: Path, clock: Clock, patience: float | None = None) -> None:
        self._clock = clock
        self._database = Database(directory / "metawsm.db", patience)
        self._leases = leases.Leases(self._database, directory / "locks", clock)

    @contextmanager
    def transaction(self, lease: Lease | None = None) -> Iterator[StoreTransaction]:
        """Begin a transaction. With a lease, raises `LostLeaseError` unless it is still the latest."""
        with self._database.transaction() as connection:
            if lease is not None and not leases.is_latest(connection, lease):
                raise leases.lost(lease)
            transaction = StoreTransaction(connection, self._clock())
            yield transaction
            transaction.finish()

    def run(self, run_id: str) -> Run:
        """Return a run. Raises `RunNotFoundError`."""
        with self._database.snapshot() as connection:
            return reading.run(connection, run_id)

    def find_run(self, prefix: str) -> Run:
        """Return the run with this id or unambiguous prefix."""
        with self._database.snapshot() as connection:
            return reading.find_run(connection, prefix)

    def newest_run(self, ticket: str | None = None) -> Run | None:
        """Return the newest run, or with `ticket` its newest."""
        with self._database.snapshot() as connection:
            return reading.newest_run(connection, ticket)

    def detail(self, run_id: str) -> RunDetail:
        """Return everything about a run, consistent as of one `seq`."""
        with self._database.snapshot() as connection:
            return reading.detail(connection, run_id)

    def steps(self, run_id: str) -> tuple[Step, ...]:
        """Return the steps of a run in the order of its plan."""
        with self._database.snapshot() as connection:
            return reading.steps(connection, run_id)

    def has_running_steps(self, run_id: str) -> bool:
        """Return whether a step of a run is running."""
        with self._database.snapshot() as connection:
            return reading.has_running_steps(connection, run_id)

    def agents(self, run_id: str) -> tuple[Agent, ...]:
        """Return the agents of a run."""
        with self._database.snapshot() as connection:
            return reading.agents(connection, run_id)

    def workspaces(self, run_id: str) -> tuple[Workspace, ...]:
        """Return the workspaces of a run."""
        with self._database.snapshot() as connection:
            return reading.workspaces(connection, run_id)

    def questions(self, run_id: str) -> tuple[Guidance, ...]:
        """Return all questions of a run, oldest first."""
        with self._database.snapshot() as connection:
            return reading.questions(connection, run_id)

    def undelivered(self) -> tuple[Guidance, ...]:
        """Return the answered questions of agents at work of which nothing says whether the answer arrived."""
        with self._database.snapshot() as connection:
            return reading.undelivered(connection)

    def guidance(self, guidance_id: str) -> Guidance:
        """Return a question. Raises `GuidanceNotFoundError`."""
        with self._database.snapshot() as connection:
            return reading.guidance(connection, guidance_id)

    def policy(self, run_id: str) -> dict[str, Any]:
        """Return the resolved policy that a run was planned with."""
        with self._database.snapshot() as connection:
            return reading.policy(connection, run_id)

    def unsettled(self) -> tuple[str, ...]:
        """Return the ids of runs in which something may be alive or under way."""
        with self._database.snapshot() as connection:
            return reading.unsettled(connection)

    def abandoned(self) -> tuple[str, ...]:
        """Return the ids of runs that need a driver and have none, oldest first."""
        with self._database.snapshot() as connection:
            return tuple(run_id for run_id in reading.owing(connection) if not self._leases.driven(run_id))

    def interrupted_closes(self) -> tuple[str, ...]:
        """Return the ids of runs whose close was cut off and that nobody holds, oldest first."""
        with self._database.snapshot() as connection:
            return tuple(run_id for run_id in reading.closing(connection) if not self._leases.driven(run_id))

    def summaries(
        self, *, tickets: Sequence[str] = (), statuses: Sequence[str] = (), limit: int | None = None, offset: int = 0
    ) -> tuple[tuple[RunSummary, ...], int, int]:
        """Return `(rows, total, seq)`, newest first."""
        with self._database.snapshot() as connection:
            return reading.summaries(connection, tickets, statuses, limit, offset)

    def events(self, since: int = 0, limit: int | None = None, run_id: str | None = None) -> tuple[Event, ...]:
        """Return the events after `since`, in order."""
        with self._database.snapshot() as connection:
            return reading.events(connection, since, limit, run_id)

    def seq(self) -> int:
        """Return the number of the latest event, 0 when there is none."""
        with self._database.snapshot() as connection:
            return reading.seq(connection)

    def blocked(self, run_id: str) -> tuple[Blocked, ...]:
        """Return what blocked the last attempt to close a run, unless the run has moved since."""
        with self._database.snapshot() as connection:
            return reading.blocked(connection, run_id)

    def close_journal(self, run_id: str) -> CloseJournal | None:
        """Return the journal of a close that is under way."""
        with self._database.snapshot() as connection:
            return reading.close_journal(connection, run_id)

    def data_version(self) -> int:
        """Return a number that changes with every write, by this process or another."""
        return self._database.data_version()

    def acquire(self, scope: str, *, takeover: bool = False) -> Lease:
        """Take a lease. Raises `BusyError` while a live holder has it, unless `takeover`."""
        return self._leases.acquire(scope, takeover=takeover)

    def renew(self, lease: Lease) -> None:
        """Renew a lease. Raises `LostLeaseError` when it was taken over."""
        self._leases.renew(lease)

    def release(self, lease: Lease) -> None:
        """Release a lease; harmless when it is lost."""
        self._leases.release(lease)

    def held(self, lease: Lease) -> bool:
        """Return whether the lease has not been taken over."""
        return self._leases.held(lease)

    def await_release(self, scope: str, timeout: float) -> bool:
        """Wait until no process acts on an earlier lease of the scope; return False on timeout."""
        return self._leases.await_release(scope, timeout)

    def driven(self, scope: str) -> bool:
        """Return whether a live process holds the scope."""
        return self._leases.driven(scope)

    def holder(self, scope: str) -> int | None:
        """Return the pid of the live process that holds the scope."""
        return self._leases.holder(scope)

    def close(self) -> None:
        """Release this process's leases and close the database."""
        self._leases.close()
        self._database.close()
