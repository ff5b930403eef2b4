"""Shows the result of a command in an editor without a plugin: as a document, or as one sentence.

A document is virtual where the editor opens such, else a file in a folder of this process's own; an
editor that opens nothing by itself is told the file's path.
"""

import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from metawsm_rpc.domain.markdown import one_line
from metawsm_rpc.pages.address import Address
from metawsm_rpc.rpc.features.places import uri_of

if TYPE_CHECKING:
    from metawsm_rpc.rpc.server import MetawsmServer

Json = Mapping[str, Any]

_SUFFIXES = {"markdown": ".md", "diff": ".diff", "json": ".json", "plaintext": ".txt"}
_MOST = 4
"""So many documents are opened by one command at most."""

_LONGEST_NAME = 100


class Shown(NamedTuple):
    """What is shown of an answer: documents by address, files by path, and a sentence."""

    addresses: tuple[Address, ...] = ()
    files: tuple[str, ...] = ()
    text: str | None = None


def shown(verb: str, params: Json, answer: Any) -> Shown:
    """Return what is shown of a verb's answer."""
    show = _SHOWN.get(verb)
    return Shown() if show is None or answer is None else show(params, answer)


async def show(server: "MetawsmServer", verb: str, params: Json, answer: Any) -> None:
    """Show what a command has answered."""
    if verb == "plan":
        await _open_text(server, "plan.md", await server.threads.on("looks", _plan, answer, params))
        return
    what = shown(verb, params, answer)
    for number, address in enumerate(what.addresses[:_MOST]):
        await _open(server, address, take_focus=number == 0)
    for file in what.files:
        if not await server.client.show_document(uri_of(file)):
            server.client.show(file)
    if what.text is not None:
        server.client.show(what.text)


async def _open(server: "MetawsmServer", address: Address, *, take_focus: bool) -> None:
    if server.client.can("workspace.textDocumentContent") and await server.client.show_document(
        address.uri, take_focus=take_focus
    ):
        return
    found = await server.content(address.uri)
    name = "-".join([address.kind, *address.names])[:_LONGEST_NAME].replace("/", "-")
    file = name + _SUFFIXES.get(found["languageId"], ".txt")
    await _open_text(server, file, found["text"], address.uri, take_focus=take_focus)


async def _open_text(
    server: "MetawsmServer", name: str, text: str, uri: str | None = None, *, take_focus: bool = True
) -> None:
    path = await server.files.write(name, text, uri)
    if not await server.client.show_document(uri_of(str(path)), take_focus=take_focus):
        first = next((line for line in text.splitlines() if line.strip("# ")), "It is empty.")
        server.client.show(f"{one_line(first.strip('# '), 120)} ({path})")


def _plan(answer: Json, params: Json) -> str:
    from metawsm_rpc.domain.models import Problem, Step
    from metawsm_rpc.domain.wire import camel
    from metawsm_rpc.pages.plan import plan_page

    def made(kind: Any, of: Json) -> Any:
        values = {field: of[camel(field)] for field in kind._fields}
        return kind(**{field: tuple(value) if isinstance(value, list) else value for field, value in values.items()})

    steps = [made(Step, step) for step in answer["steps"]]
    problems = [made(Problem, problem) for problem in answer["problems"]]
    return plan_page(", ".join(params.get("tickets", ())), steps, problems)


# --- what each verb shows ---


def _run_page(_: Json, answer: Json) -> Shown:
    return Shown((Address("run", (answer["run"]["runId"],)),))


def _run_status(_: Json, answer: Json) -> Shown:
    run = answer["run"]
    return Shown(text=f"Run {run['runId']} is {run['status'].replace('_', ' ')}.")


def _started(params: Json, answer: Json) -> Shown:
    if answer["status"] == "paused":
        return Shown((Address("plan", (answer["runId"],)),))
    return Shown(text=f"Run {answer['runId']} has started on {', '.join(params['tickets'])}.")


def _of_agent(kind: str) -> Callable[[Json, Json], Shown]:
    def show_agent(params: Json, _: Json) -> Shown:
        if not params.keys() >= {"runId", "ticket", "agent"}:
            return Shown()
        return Shown((Address(kind, (params["runId"], params["ticket"], params["agent"])),))

    return show_agent


def _diff(params: Json, answer: Json) -> Shown:
    run = params.get("runId")
    if run is None or not answer["repos"]:
        return Shown(text=None if run is None else "There is no worktree to compare any more.")
    changed = [repo for repo in answer["repos"] if repo["files"]]
    if not changed:
        return Shown(text=f"Nothing has been changed in {', '.join(repo['name'] for repo in answer['repos'])}.")
    return Shown(tuple(Address("diff", (run, repo["ticket"], repo["name"])) for repo in changed))


def _attach(_: Json, answer: Json) -> Shown:
    return Shown(text=f"In a terminal: {shlex.join(answer['argv'])}")


def _restarted(_: Json, answer: Json) -> Shown:
    names = ", ".join(f"{agent['name']} on {agent['ticket']} ({agent['status']})" for agent in answer["agents"])
    return Shown(text=f"Started again: {names}." if names else "There was nothing to restart.")


def _step(_: Json, answer: Json) -> Shown:
    return Shown(text=f"Step {answer['step']['index']} ({answer['step']['name']}) is {answer['step']['status']}.")


def _answered(_: Json, answer: Json) -> Shown:
    return Shown(text=f"{answer['guidance']['agent']} is told: {one_line(answer['guidance']['answer'] or '')}")


def _sent(params: Json, answer: Json) -> Shown:
    why = f": {one_line(answer['reason'])}" if answer["reason"] else ""
    return Shown(text=f"{params['agent']} {'has taken it' if answer['delivered'] else 'has not taken it'}{why}.")


def _synced(_: Json, answer: Json) -> Shown:
    told = ", ".join(f"{repo['name']} for {repo['ticket']}: {repo['result']}" for repo in answer["repos"])
    return Shown(text=one_line(told, 500) or "There is nothing to bring up to date.")


def _closed(params: Json, answer: Json) -> Shown:
    if answer["blocked"]:
        return Shown(text=one_line(answer["blocked"][0]["message"], 500))
    merged = ", ".join(f"{one['repo']} into {one['base']}" for one in answer["merges"] if one["kind"] != "none")
    run = answer["run"]
    word = "would merge" if params.get("dryRun") else "is " + run["status"]
    return Shown(text=f"Run {run['runId']} {word}: {merged or 'there was nothing to merge'}.")


def _cleaned(_: Json, answer: Json) -> Shown:
    kept = f", {len(answer['kept'])} kept ({one_line(answer['kept'][0]['reason'])})" if answer["kept"] else ""
    return Shown(text=f"{len(answer['removed'])} removed{kept}.")


def _waited(_: Json, answer: Json) -> Shown:
    return _run_status(_, answer)


def _at(kind: str) -> Callable[[Json, Json], Shown]:
    return lambda _, __: Shown((Address(kind, ()),))


_SHOWN: Mapping[str, Callable[[Json, Any], Shown]] = {
    "run": _started,
    "runs": _at("runs"),
    "status": _run_page,
    "wait": _waited,
    "resume": _run_status,
    "stop": _run_status,
    "complete": _run_status,
    "iterate": _run_status,
    "restart": _restarted,
    "retryStep": _step,
    "skipStep": _step,
    "answer": _answered,
    "send": _sent,
    "transcript": _of_agent("transcript"),
    "explain": _of_agent("explain"),
    "attach": _attach,
    "diff": _diff,
    "sync": _synced,
    "close": _closed,
    "cleanup": _cleaned,
    "events": lambda params, _: Shown((Address("events", (params["runId"],)),)) if "runId" in params else Shown(),
    "tickets": _at("tickets"),
    "createTicket": lambda _, answer: Shown(files=(answer["path"],)),
    "closeTicket": lambda _, answer: Shown(text=f"{answer['ticket']} is complete."),
    "policy": lambda _, answer: Shown((Address("policy", ()),)) if answer["policy"] else Shown(files=(answer["path"],)),
    "policyInit": lambda _, answer: Shown(files=(answer["path"],)),
    "doctor": _at("doctor"),
}
