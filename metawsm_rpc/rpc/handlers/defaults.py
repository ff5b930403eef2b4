"""Fills in the arguments of a command that an editor sends without them.

The ticket, run or agent is that of the document that a person is at; else the only one that can be meant; else,
for what only looks, the newest. For verbs that change something, nothing is guessed among several candidates.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from metawsm_rpc.domain.models import Agent, RunDetail
from metawsm_rpc.errors import (
    AmbiguousError,
    GuidanceNotFoundError,
    InvalidParamsError,
    RunNotFoundError,
    StepNotFoundError,
)
from metawsm_rpc.pages.address import SCHEME, parse
from metawsm_rpc.rpc.calls.calling import check_allowed
from metawsm_rpc.rpc.features.places import path_of
from metawsm_rpc.rpc.roots import Root
from metawsm_rpc.rpc.view import View
from metawsm_rpc.verbs import BY_NAME

if TYPE_CHECKING:
    from metawsm_rpc.rpc.server import MetawsmServer

_NEW_RUN = frozenset({"run", "plan"})
_OF_RUN = frozenset(
    {
        *("status", "wait", "resume", "stop", "complete", "restart", "iterate", "retryStep", "skipStep"),
        *("transcript", "attach", "diff", "sync", "close", "cleanup", "explain", "events", "send"),
    }
)
_OF_AGENT = frozenset({"transcript", "attach", "explain", "send"})
_OF_STEP = frozenset({"retryStep", "skipStep"})
_WORDS = {
    "run": "tickets",
    "plan": "tickets",
    "createTicket": "ticket",
    "closeTicket": "ticket",
    "content": "uri",
    "iterate": "feedback",
    "send": "text",
    "answer": "answer",
}
"""What a text stands for that an editor's command line sends instead of parameters; else it names a run or ticket."""

_MISSING = {
    "iterate": ("feedback", "say what the agents should do"),
    "send": ("text", "say what to type"),
    "answer": ("answer", "choose one of its code actions, or say the answer"),
    "createTicket": ("ticket", "say its id"),
}


class Here(NamedTuple):
    """What the document says that a person is at; None for what it does not tell."""

    run_id: str | None = None
    ticket: str | None = None
    agent: str | None = None
    repo: str | None = None


async def fill(server: "MetawsmServer", verb: str, sent: Any) -> dict[str, Any]:
    """Return the parameters of a command, completed from the documents and runs that are there.

    Raises `InvalidParamsError`, `AmbiguousError` or a `NotFoundError` that says what to choose from.
    """
    params = _as_parameters(verb, sent)
    documents = server.memory.documents
    root = await _root(server, params.get("root"), documents)
    check_allowed(root, BY_NAME[verb])
    params.setdefault("root", str(root.path))
    if verb not in _NEW_RUN | _OF_RUN and verb not in ("answer", "closeTicket", "content"):
        return _whole(verb, params)
    view = await server.view(root)
    if verb in _NEW_RUN and not view.tickets:
        await server.call(root, "tickets")  # says what is wrong with a policy that hides them
    return _whole(verb, filled(verb, params, view, documents))


def filled(verb: str, params: dict[str, Any], view: View, documents: Iterable[str]) -> dict[str, Any]:
    """Return parameters completed from what is known of a root; `documents` are open, the last used one first."""
    here = next((found for uri in documents if any(found := place_of(uri, view))), Here())
    if verb == "content":
        own = next((uri for uri in documents if uri.startswith(f"{SCHEME}:")), None)
        return params if "uri" in params or own is None else {**params, "uri": own}
    if verb == "closeTicket":
        return params if "ticket" in params or here.ticket is None else {**params, "ticket": here.ticket}
    if verb in _NEW_RUN:
        return params if "tickets" in params else {**params, "tickets": [_ticket(here, view)]}
    if verb == "answer":
        return params if "guidanceId" in params else {**params, "guidanceId": _question(view, here)}
    return _of_run(verb, _meant(params, view), view, here)


def place_of(uri: str, view: View) -> Here:
    """Return what a document says that a person is at: a ticket, a virtual document, a file of a workspace."""
    if uri.startswith(f"{SCHEME}:"):
        return _of_document(uri)
    path = path_of(uri)
    if path is None:
        return Here()
    for ticket in view.tickets:
        if Path(path).is_relative_to(Path(ticket.path).parent):
            return Here(ticket=ticket.ticket)
    for detail in view.details:
        for workspace in detail.workspaces:
            if Path(path).is_relative_to(workspace.path):
                repo = next((one.name for one in workspace.repos if Path(path).is_relative_to(one.path)), None)
                return Here(detail.run.run_id, workspace.ticket, repo=repo)
    return Here()


def _of_document(uri: str) -> Here:
    try:
        found = parse(uri)
    except InvalidParamsError:
        return Here()
    match found.kind, found.names:
        case ("transcript" | "explain", (run_id, ticket, agent)):
            return Here(run_id, ticket, agent)
        case ("diff", (run_id, ticket, repo)):
            return Here(run_id, ticket, repo=repo)
        case (_, (run_id,)):
            return Here(run_id)
    return Here()


def _of_run(verb: str, params: dict[str, Any], view: View, here: Here) -> dict[str, Any]:
    chosen = dict(params)
    if "runId" not in chosen and "ticket" not in chosen:
        chosen |= _run(verb, view, here)
    detail = _detail(chosen, view)
    if detail is None:
        if (verb in _OF_AGENT and "agent" not in chosen) or (verb in _OF_STEP and "index" not in chosen):
            meant = chosen.get("runId") or chosen.get("ticket")
            raise RunNotFoundError(f"No run {f'of {meant!r} ' if meant else ''}is open; metawsm.run starts one.")
        return chosen
    if verb in _OF_AGENT and "agent" not in chosen:
        agent = _agent(verb, detail, chosen.get("ticket") or here.ticket, here.agent)
        chosen |= {"runId": detail.run.run_id, "ticket": agent.ticket, "agent": agent.name}
    if verb in _OF_STEP and "index" not in chosen:
        chosen["index"] = _step(detail)
    if verb == "diff":
        chosen = {"patch": True, **chosen, "runId": detail.run.run_id}
    if verb == "events":
        chosen.pop("ticket", None)
        chosen["runId"] = detail.run.run_id
    return chosen


def _run(verb: str, view: View, here: Here) -> dict[str, str]:
    """Return the selector of the run that is meant."""
    if here.run_id is not None:
        return {"runId": here.run_id}
    if here.ticket is not None and any(here.ticket in detail.run.tickets for detail in view.details):
        return {"ticket": here.ticket}
    open_runs = [detail.run.run_id for detail in view.details]
    if open_runs and (len(open_runs) == 1 or BY_NAME[verb].reads or verb == "diff"):
        return {"runId": open_runs[0]}
    if open_runs:
        raise AmbiguousError(
            f"More than one run is open: {', '.join(open_runs[:5])}. Open the ticket of the one that you mean.",
            details=open_runs,
        )
    return {}  # the verb says that there is none, or finds one that is closed


def _detail(chosen: dict[str, Any], view: View) -> RunDetail | None:
    run_id, ticket = chosen.get("runId"), chosen.get("ticket")
    for detail in view.details:
        if run_id is not None:
            if detail.run.run_id.startswith(str(run_id)):
                return detail
        elif ticket is None or ticket in detail.run.tickets:
            return detail
    return None


def _agent(verb: str, detail: RunDetail, ticket: str | None, name: str | None) -> Agent:
    """Return the agent that is meant: the only one, else, for looking, the only one that needs somebody."""
    of_ticket = [agent for agent in detail.agents if ticket in (None, agent.ticket)] or list(detail.agents)
    found = [agent for agent in of_ticket if name in (None, agent.name)]
    if len(found) > 1 and BY_NAME[verb].reads:
        found = [agent for agent in found if agent.status in ("waiting", "stalled", "dead", "failed")] or found
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{agent.name} on {agent.ticket}" for agent in found) or "none"
    raise AmbiguousError(
        f"Say which agent of run {detail.run.run_id} is meant: {listed}; the code actions of its ticket name each.",
        details=listed,
    )


def _step(detail: RunDetail) -> int:
    failed = [step for step in detail.steps if step.status == "failed"]
    if len(failed) == 1:
        return failed[0].index
    if not failed:
        raise StepNotFoundError(f"No step of run {detail.run.run_id} has failed.")
    raise AmbiguousError(
        f"More than one step of run {detail.run.run_id} has failed: {', '.join(str(step.index) for step in failed)}; "
        "the code actions of its ticket name each.",
        details=[step.index for step in failed],
    )


def _ticket(here: Here, view: View) -> str:
    if here.ticket is not None:
        return here.ticket
    unfinished = [ticket.ticket for ticket in view.tickets if ticket.status not in ("complete", "archived")]
    if len(unfinished) == 1:
        return unfinished[0]
    if not unfinished:
        raise InvalidParamsError("There is no ticket to work on; metawsm.createTicket makes one.")
    raise AmbiguousError(
        f"Open the ticket that is meant; there are {', '.join(unfinished[:5])}{'…' if len(unfinished) > 5 else ''}.",
        details=unfinished,
    )


def _question(view: View, here: Here) -> str:
    asked = [one for detail in view.details for one in detail.guidance if one.status == "pending"]
    own = [one for one in asked if here.ticket in (None, one.ticket)] or asked
    if len(own) == 1:
        return own[0].id
    if not own:
        raise GuidanceNotFoundError("No agent has asked anything.")
    raise AmbiguousError(
        "More than one question is open; the code actions of the tickets answer each.", details=[one.id for one in own]
    )


def _meant(params: dict[str, Any], view: View) -> dict[str, Any]:
    """Return parameters in which a word that names a run or a ticket is the one or the other."""
    word = params.pop("", None)
    if word is None:
        return params
    if any(ticket.ticket == word for ticket in view.tickets):
        return {**params, "ticket": word}
    return {**params, "runId": word}


def _as_parameters(verb: str, sent: Any) -> dict[str, Any]:
    if sent == []:
        return {}
    if isinstance(sent, dict):
        # What an editor leaves open it may send as null.
        return {name: value for name, value in sent.items() if value is not None}
    if isinstance(sent, str):
        name = _WORDS.get(verb, "" if verb in _OF_RUN else None)
        if name is not None:
            return {name: sent.split() if name == "tickets" else sent}
    raise InvalidParamsError(f"The parameters of {verb} are an object, not {type(sent).__name__}.")


async def _root(server: "MetawsmServer", named: Any, documents: Iterable[str]) -> Root:
    def find() -> Root:
        if isinstance(named, str):
            return server.roots.named(named)
        files = [uri for uri in documents if path_of(uri) is not None]
        return server.root_of(files[0] if files else None)

    return await server.threads.on("looks", find)


def _whole(verb: str, params: dict[str, Any]) -> dict[str, Any]:
    """Raise `InvalidParamsError` for want of words that only a person can say."""
    name, advice = _MISSING.get(verb, ("", ""))
    if name and name not in params:
        raise InvalidParamsError(f"metawsm.{verb} needs words: {advice}, as in [{{{name!r}: …}}].".replace("'", '"'))
    return params
