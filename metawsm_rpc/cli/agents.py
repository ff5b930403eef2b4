"""Verbs between agents and people."""

import json
import os
import time
from argparse import ArgumentParser, Namespace
from typing import NamedTuple

from metawsm_rpc.cli import output
from metawsm_rpc.cli.opening import service
from metawsm_rpc.cli.verbs import Verb
from metawsm_rpc.domain.models import Event, Guidance
from metawsm_rpc.errors import InvalidParamsError
from metawsm_rpc.service import Service

_WAIT_SECONDS = 0.05


class _Asked(NamedTuple):
    """What the signal answers, and what became of its question."""

    event: Event
    guidance_id: str | None
    guidance: Guidance


def _signal_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("type", metavar="TYPE", help="progress, waiting, working, guidance, done or failed")
    parser.add_argument("message", nargs="?", metavar="MESSAGE", help="what a person should know")
    parser.add_argument(
        "--choice", action="append", default=[], metavar="C", help="a possible answer; repeat it for more"
    )
    parser.add_argument("--data", metavar="JSON", help="an object with details")
    parser.add_argument("--wait", action="store_true", help="wait for the answer to a question, and print it")
    parser.add_argument("--run-id", metavar="RUN", help="METAWSM_RUN_ID by default")
    parser.add_argument("--ticket", metavar="T", help="METAWSM_TICKET by default")
    parser.add_argument("--agent", metavar="NAME", help="METAWSM_AGENT by default")
    parser.add_argument("--launch", metavar="ID", help="METAWSM_LAUNCH by default")


def _from_environment(parsed: Namespace, name: str) -> str:
    given: str | None = getattr(parsed, name) or os.environ.get(f"METAWSM_{name.upper()}")
    if not given:
        raise InvalidParamsError(
            f"A signal comes from an agent: METAWSM_{name.upper()} is not set, and --{name.replace('_', '-')} not given."
        )
    return given


def _signal(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        told = verbs.signal(
            _from_environment(parsed, "run_id"),
            ticket=_from_environment(parsed, "ticket"),
            agent=_from_environment(parsed, "agent"),
            launch=_from_environment(parsed, "launch"),
            type=parsed.type,
            message=parsed.message,
            choices=parsed.choice,
            data=_data(parsed.data),
        )
        if told.event.type == "stale_signal":
            output.say("metawsm: this is not the agent's latest launch, so the signal was only recorded.")
        if told.guidance_id is None or not parsed.wait:
            if parsed.json:
                output.print_json(told)
            return 0
        question = _await_answer(verbs, told.guidance_id)
    if question.status == "withdrawn":
        output.say("metawsm: the question was withdrawn.")
    if parsed.json:
        output.print_json(_Asked(*told, question))
    elif question.status == "answered":
        output.line(question.answer or "")
    return 0 if question.status == "answered" else 1


def _data(text: str | None) -> dict[str, object] | None:
    if text is None:
        return None
    try:
        data = json.loads(text)
    except ValueError as error:
        raise InvalidParamsError(f"--data is no JSON: {error}.") from error
    if not isinstance(data, dict):
        raise InvalidParamsError("--data must be a JSON object.")
    return data


def _await_answer(verbs: Service, guidance_id: str) -> Guidance:
    store = verbs.world.store
    while True:
        version = store.data_version()
        question = store.guidance(guidance_id)
        if question.status != "pending":
            break
        while store.data_version() == version:
            time.sleep(_WAIT_SECONDS)
    if question.status == "answered":
        with store.transaction() as transaction:
            transaction.delivered(guidance_id)
    return store.guidance(guidance_id)


def _answer_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the question's id, as status shows it")
    parser.add_argument("text", metavar="TEXT", help="the answer")


def _answer(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        answered = verbs.answer(parsed.id, parsed.text)
    if parsed.json:
        output.print_json(answered)
    else:
        output.line(f"{answered.guidance.agent} on {answered.guidance.ticket} has the answer.")
    return 0


_SIGNAL_MORE = """Agents find all flags in their environment (METAWSM_*), and this command as $METAWSM_BIN.
Examples:
  $METAWSM_BIN signal progress "the parser is done"
  $METAWSM_BIN signal guidance "Which database?" --choice sqlite --choice postgres --wait
  $METAWSM_BIN signal done "all tests pass"
"""

VERBS = {
    "signal": Verb(_signal_arguments, _signal, _SIGNAL_MORE),
    "answer": Verb(_answer_arguments, _answer, "`metawsm status RUN` shows open questions with their ids."),
}
