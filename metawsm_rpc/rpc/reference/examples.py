"""An example of every verb, request and answer, from the life of one small run.

The answers are the named tuples that the service answers, so an example cannot have a field too many or too few.
"""

from typing import Any, NamedTuple

from metawsm_rpc import answers
from metawsm_rpc.domain.models import (
    Agent,
    Event,
    Guidance,
    Health,
    Merge,
    Problem,
    Repo,
    Run,
    RunDetail,
    RunSummary,
    Step,
    Workspace,
)
from metawsm_rpc.domain.wire import wire
from metawsm_rpc.engine.diagnosing import Check
from metawsm_rpc.engine.tidying import Snapshot
from metawsm_rpc.engine.workspaces import Diffed, Synced
from metawsm_rpc.ports.worktrees import FileChange

_RUN_ID, _TICKET, _AGENT = "k7q2x9ra", "MEN-12", "claude"
_NAME = f"men-12-{_RUN_ID}"
_SESSION = f"claude-{_NAME}"
_PATH = f"/home/robin/workspaces/2026-03-02/{_NAME}"
_BASE, _HEAD, _MERGED = (digit * 40 for digit in "5ac")
_INDEX = "/home/robin/code/ttmp/2026/03/02/MEN-12--sort-the-menu/index.md"


def _at(time: str) -> str:
    return f"2026-03-02T{time}.000Z"


class Example(NamedTuple):
    """Parameters as they are sent, and the answer as JSON."""

    params: dict[str, Any]
    result: Any


_RUN = Run(
    run_id=_RUN_ID,
    status="running",
    mode="run",
    tickets=(_TICKET,),
    repos=("api",),
    agents=(_AGENT,),
    strategy="create",
    source=None,
    base_branch="main",
    dry_run=False,
    created_at=_at("10:00:00"),
    updated_at=_at("10:04:10"),
    error=None,
)
_COMPLETED = _RUN._replace(status="completed", updated_at=_at("10:30:00"))

_PENDING = Step(
    run_id=_RUN_ID,
    index=3,
    kind="start_agent",
    name="start claude on MEN-12",
    ticket=_TICKET,
    repo=None,
    workspace=_NAME,
    agent=_AGENT,
    depends_on=(2,),
    blocking=True,
    status="pending",
    attempts=0,
    attempt_limit=2,
    command=("claude",),
    description=f"start claude in the session {_SESSION}",
    error=None,
    started_at=None,
    finished_at=None,
)
_DONE = _PENDING._replace(status="done", attempts=1, started_at=_at("10:00:01"), finished_at=_at("10:00:02"))
_HEALTH = Health("waiting", "It asks: Which format should be the default?", "signal", _at("10:04:10"))
_AGENT_NOW = Agent(
    run_id=_RUN_ID,
    ticket=_TICKET,
    name=_AGENT,
    profile="claude",
    workspace=_NAME,
    session=_SESSION,
    status="waiting",
    health=_HEALTH,
    exit_code=None,
    restarts=0,
    launch="5f0c2b9e",
    pid=4711,
    due=None,
    said=None,
    said_at=None,
    said_by=None,
    said_what=None,
    automatic_restarts=0,
    conversation="0d0c9a4e-6f0b-4a53-9a5e-3f2f6f3c1f6a",
    conversation_launch="5f0c2b9e",
    started_at=_at("10:00:02"),
    last_activity_at=_at("10:04:10"),
    last_progress_at=_at("10:03:00"),
    transcript=f"/home/robin/code/.metawsm/agents/{_RUN_ID}/{_TICKET}/{_AGENT}/transcript.log",
    attach=("tmux", "-L", "metawsm", "attach", "-t", f"={_SESSION}"),
)
_WORKSPACE = Workspace(
    run_id=_RUN_ID,
    ticket=_TICKET,
    name=_NAME,
    path=_PATH,
    branch=f"task/{_NAME}",
    observed_at=_at("10:04:00"),
    repos=(
        Repo(
            name="api",
            path=f"{_PATH}/api",
            source="/home/robin/code/api",
            branch=f"task/{_NAME}",
            base="main",
            base_commit=_BASE,
            head=_HEAD,
            dirty_files=2,
            ahead=3,
            behind=0,
        ),
    ),
)
_QUESTION = Guidance(
    id="q-8c1d",
    run_id=_RUN_ID,
    ticket=_TICKET,
    agent=_AGENT,
    question="Which format should be the default?",
    context=None,
    choices=("old", "new"),
    answer=None,
    status="pending",
    asked_at=_at("10:04:10"),
    answered_at=None,
    delivered_at=None,
)
EVENT = Event(
    seq=41,
    at=_at("10:04:10"),
    run_id=_RUN_ID,
    entity="agent",
    entity_id=f"{_TICKET}/{_AGENT}",
    type="observe_waiting",
    from_="running",
    to="waiting",
    message="It asks: Which format should be the default?",
    data=None,
)
_COUNTS = dict.fromkeys(
    ("total", "healthy", "idle", "waiting", "stalled", "dead", "unknown", "completed", "failed", "stopped", "pending"),
    0,
) | {"total": 1, "waiting": 1}

_WHICH = {"runId": _RUN_ID}
_WHOM = {"runId": _RUN_ID, "agent": _AGENT}

_EXAMPLES: dict[str, tuple[dict[str, Any], Any]] = {
    "run": (
        {"tickets": [_TICKET], "repos": ["api"], "agents": [_AGENT]},
        answers.RunStarted(_RUN_ID, "running", (_PENDING,)),
    ),
    "plan": (
        {"tickets": [_TICKET], "repos": ["api"]},
        answers.PlanShown(
            (_PENDING,), (Problem("dependency_missing", "claude is not on PATH.", hint="Install claude."),)
        ),
    ),
    "runs": (
        {"statuses": ["running", "awaiting_guidance"], "limit": 10},
        answers.RunsListed(
            (RunSummary(_RUN_ID, "running", (_TICKET,), ("api",), _COUNTS, 1, _RUN.created_at, _RUN.updated_at, None),),
            total=1,
            seq=41,
        ),
    ),
    "status": (_WHICH, RunDetail(_RUN, (_DONE,), (_AGENT_NOW,), (_WORKSPACE,), (_QUESTION,), 41)),
    "wait": ({**_WHICH, "timeout": 60}, answers.Waited(_COMPLETED, reached=True)),
    "resume": (_WHICH, answers.RunAnswer(_RUN)),
    "stop": (_WHICH, answers.RunAnswer(_RUN._replace(status="stopped"))),
    "complete": ({"ticket": _TICKET}, answers.RunAnswer(_COMPLETED)),
    "restart": (_WHOM, answers.AgentsAnswer((_AGENT_NOW._replace(status="running", health=None, restarts=1),))),
    "iterate": ({**_WHICH, "feedback": "Also handle empty menus."}, answers.RunAnswer(_RUN)),
    "retryStep": ({**_WHICH, "index": 3}, answers.StepAnswer(_PENDING)),
    "skipStep": ({**_WHICH, "index": 3}, answers.StepAnswer(_PENDING._replace(status="skipped"))),
    "send": (
        {**_WHOM, "text": "Please run the tests again."},
        answers.Sent(delivered=False, reason="It waits for a decision: Do you want to proceed?"),
    ),
    "answer": (
        {"guidanceId": _QUESTION.id, "answer": "new"},
        answers.GuidanceAnswer(_QUESTION._replace(answer="new", status="answered", answered_at=_at("10:05:00"))),
    ),
    "signal": (
        {
            "runId": _RUN_ID,
            "ticket": _TICKET,
            "agent": _AGENT,
            "launch": "5f0c2b9e",
            "type": "guidance",
            "message": _QUESTION.question,
            "choices": ["old", "new"],
        },
        answers.SignalAnswer(EVENT, _QUESTION.id),
    ),
    "transcript": (
        {**_WHOM, "offset": -65536},
        answers.TranscriptPart("All 34 tests pass.\n", offset=20480, next_offset=20499, size=20499),
    ),
    "attach": (_WHOM, answers.Attachment(_AGENT_NOW.attach, _SESSION)),
    "diff": (
        _WHICH,
        answers.Diffs(
            (
                Diffed(
                    name="api",
                    ticket=_TICKET,
                    workspace=_NAME,
                    path=f"{_PATH}/api",
                    base=_BASE,
                    head=_HEAD,
                    files=(FileChange("menu.py", "M", 12, 3),),
                    patch=None,
                ),
            )
        ),
    ),
    "sync": (
        {**_WHICH, "strategy": "merge"},
        answers.SyncAnswer((Synced("api", _TICKET, "conflict", ("menu.py",)),)),
    ),
    "close": (
        _WHICH,
        answers.CloseAnswer(
            _RUN._replace(status="closed"), (Merge("api", _TICKET, "main", _BASE, _MERGED, "merge"),), ()
        ),
    ),
    "cleanup": (
        _WHICH,
        answers.Cleaned(
            (f"{_PATH}/api", _PATH),
            (),
            (Snapshot("api", f"refs/metawsm/snapshots/{_RUN_ID}/{_NAME}/api", _HEAD),),
        ),
    ),
    "explain": (
        _WHOM,
        answers.Explained(
            _HEALTH,
            (
                answers.Observation("exit record", "there is none", _at("10:04:11"), None),
                answers.Observation("signal", _QUESTION.question, _at("10:04:10"), "waiting"),
            ),
        ),
    ),
    "events": ({"since": 40}, answers.EventsListed((EVENT,), 41)),
    "tickets": (
        {"status": "active"},
        answers.TicketsListed((answers.TicketRow(_TICKET, "Sort the menu", "active", _INDEX, (_RUN_ID,), 3, 9),)),
    ),
    "createTicket": ({"ticket": _TICKET, "title": "Sort the menu"}, answers.TicketAnswer(_TICKET, _INDEX)),
    "closeTicket": ({"ticket": _TICKET}, answers.TicketAnswer(_TICKET, _INDEX)),
    "policy": (
        {},
        answers.PolicyAnswer(
            "/home/robin/code/.metawsm/policy.json",
            None,
            (
                Problem(
                    "policy-unknown-key",
                    "There is no agnets here; did you mean agents?",
                    path="/home/robin/code/.metawsm/policy.json",
                    line=3,
                    column=3,
                    pointer="/agnets",
                ),
            ),
        ),
    ),
    "policyInit": ({}, answers.PathAnswer("/home/robin/code/.metawsm/policy.json")),
    "content": (
        {"uri": f"metawsm:/transcript/{_RUN_ID}/{_TICKET}/{_AGENT}"},
        answers.Document("I have read the ticket.\n", language_id="plaintext"),
    ),
    "doctor": (
        {},
        answers.Checks((Check("git", ok=True, detail="2.47.1", hint=None),)),
    ),
}


def example(verb: str) -> Example | None:
    """Return the example of a verb, None when nobody has written one."""
    if verb not in _EXAMPLES:
        return None
    params, result = _EXAMPLES[verb]
    return Example(params, wire(result))
