"""The life of a run in scenes, each of which can be begun anew from a copy of all that there is.

Two tickets in two repositories, one agent for each ticket. A scene is what one command of a person does,
and what the person does when that command was cut off. Scenes begin without tmux; sessions that belong to
them are put on stage.
"""

from collections.abc import Callable
from typing import NamedTuple

from engine_support import RUN, Runs, sessions, until
from fault_machine import AGENT, REPOS, TICKETS, Machine, drop, lines, revive

from metawsm_rpc.engine import signals
from metawsm_rpc.errors import RunNotFoundError


class Scene(NamedTuple):
    """One command of a person in the life of a run.

    Attributes:
        name: what it is called.
        prepare: puts on stage what a copy cannot hold.
        act: the command itself.
        again: what a person does when it was cut off, after a look.
        after: what happens when the command, or its repetition, is over.
    """

    name: str
    prepare: Callable[[Runs], None]
    act: Callable[[Runs], None]
    again: Callable[[Runs], None]
    after: Callable[[Runs], None]


def _nothing(_runs: Runs) -> None:
    pass


def _run(runs: Runs) -> None:
    runs.verbs.run(TICKETS, repos=REPOS, run_id=RUN)
    runs.verbs.finish(RUN)


def _resume(runs: Runs) -> None:
    runs.verbs.resume(RUN)
    runs.verbs.finish(RUN)


def _run_or_resume(runs: Runs) -> None:
    try:
        runs.store.run(RUN)
    except RunNotFoundError:
        _run(runs)
    else:
        _resume(runs)


def _at_work(runs: Runs) -> None:
    """Wait until every agent that was started has come to its gate."""
    launches = len(runs.events("launch", "relaunch"))
    until(lambda: len(lines(runs.root.path / "starts")) >= launches)


def _with_signals(runs: Runs) -> None:
    revive(runs, *TICKETS)
    for ticket, name, kind, message in (
        ("T-1", "a", "progress", "half"),
        ("T-1", "b", "guidance", "Which?"),
        ("T-2", "a", "waiting", "tea"),
    ):
        (agent,) = (agent for agent in runs.store.agents(RUN) if agent.ticket == ticket)
        drop(runs, ticket, name, _signal(ticket, agent.launch or "", kind, message))


def _signal(ticket: str, launch: str, kind: str, message: str) -> str:
    return signals.to_text(signals.Signal(RUN, ticket, "worker", launch, kind, message, ("this", "that")))  # type: ignore[arg-type]


def _look_and_answer(runs: Runs) -> None:
    detail = runs.verbs.status(RUN)
    for question in detail.guidance:
        if question.status == "pending":
            runs.verbs.answer(question.id, "this")


def _stop(runs: Runs) -> None:
    runs.verbs.stop(RUN)


def _work(runs: Runs) -> None:
    """Let both agents do their work and end."""
    for ticket in TICKETS:
        Machine(runs.root.path.parent).open_gate(ticket, "one")
    until(lambda: sessions() == [])


def _really_revive(runs: Runs) -> None:
    for ticket in TICKETS:
        (workspace,) = (w for w in runs.store.workspaces(RUN) if w.ticket == ticket)
        exports = f"METAWSM_TICKET={ticket} METAWSM_ROOT='{runs.root.path}' METAWSM_WORKSPACE='{workspace.path}'; "
        revive(runs, ticket, script=exports + "\n".join(AGENT.splitlines()[2:]))
    _work(runs)


def _look(runs: Runs) -> None:
    runs.verbs.status(RUN)


def _iterate(runs: Runs) -> None:
    runs.verbs.iterate(RUN, feedback="Again, please.", ticket="T-1", agent="worker")
    runs.verbs.finish(RUN)


def _iterate_or_resume(runs: Runs) -> None:
    if runs.events("feedback"):
        _resume(runs)
    else:
        _iterate(runs)


def _restart(runs: Runs) -> None:
    runs.verbs.restart(RUN, ticket="T-1", agent="worker")


def _restart_or_resume(runs: Runs) -> None:
    """Repeat a restart of which nothing is on record, and go on with one that is owed."""
    if runs.agent(ticket="T-1").restarts == 0 and runs.agent(ticket="T-1").due is None:
        _restart(runs)
    else:
        _resume(runs)


def _spoil(runs: Runs) -> None:
    """Leave work that nobody has committed."""
    for ticket, repo in (("T-1", "app"), ("T-2", "lib")):
        folder = runs.folder(repo, ticket)
        (folder / "new.txt").write_text("not committed\n")
        (folder / "README.md").write_text("changed\n")


def _cleanup(runs: Runs) -> None:
    runs.verbs.cleanup(RUN)


def _linger(runs: Runs) -> None:
    revive(runs, "T-2")


def _close(runs: Runs) -> None:
    runs.verbs.close(RUN)


SCENES = (
    Scene("run", _nothing, _run, _run_or_resume, _at_work),
    Scene("hear", _with_signals, _look_and_answer, _look_and_answer, _nothing),
    Scene("restart", lambda runs: revive(runs, *TICKETS), _restart, _restart_or_resume, _at_work),
    Scene("stop", lambda runs: revive(runs, *TICKETS), _stop, _stop, _nothing),
    Scene("cleanup", _spoil, _cleanup, _cleanup, _nothing),
    Scene("resume", _nothing, _resume, _resume, _at_work),
    Scene("finish", _really_revive, _look, _look, _nothing),
    Scene("iterate", _nothing, _iterate, _iterate_or_resume, _at_work),
    Scene("close", _linger, _close, _close, _nothing),
)
FOLLOWS = {"hear": "run", "restart": "run", "stop": "run", "cleanup": "stop", "resume": "stop", "finish": "resume"}
FOLLOWS |= {"iterate": "finish", "close": "finish"}
"""Which scene has to be over when another one begins."""
