"""Verbs between agents and people."""

import json
import os
import sys
from argparse import ArgumentParser, Namespace

from metawsm_rpc.cli import output
from metawsm_rpc.cli.arguments import add_agent, add_part_of_run, selector
from metawsm_rpc.cli.opening import service
from metawsm_rpc.cli.verbs import Verb
from metawsm_rpc.domain.models import Event
from metawsm_rpc.errors import InvalidParamsError, RunNotFoundError, StoreError
from metawsm_rpc.service import Service


def _signal_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("type", metavar="TYPE", help="progress, waiting, working, guidance, done or failed")
    parser.add_argument("message", nargs="?", metavar="MESSAGE", help="what a person should know")
    parser.add_argument("--choice", action="append", default=[], metavar="C", help="a possible answer; may be repeated")
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
    sender = {name: _from_environment(parsed, name) for name in ("run_id", "ticket", "agent", "launch")}
    with service(parsed) as verbs:
        try:
            if parsed.type == "guidance" and parsed.wait:
                return _ask(verbs, parsed, sender)
            told = verbs.signal(
                **sender, type=parsed.type, message=parsed.message, choices=parsed.choice, data=_data(parsed.data)
            )
        except (StoreError, RunNotFoundError) as error:
            if isinstance(error, RunNotFoundError) and verbs.has_state():
                raise
            from metawsm_rpc.cli.leaving import leave

            return leave(verbs.world, parsed, sender, _data(parsed.data), error)
    _tell_stale(told.event)
    if parsed.json:
        output.print_json(told)
    return 0


def _ask(verbs: Service, parsed: Namespace, sender: dict[str, str]) -> int:
    """Ask and wait; the answer counts as delivered once it has been printed."""
    with verbs.asking(**sender, message=parsed.message, choices=parsed.choice, data=_data(parsed.data)) as asked:
        _tell_stale(asked.event)
        question = asked.guidance
        answered = question is not None and question.status == "answered"
        if question is not None and question.status == "withdrawn":
            output.say("metawsm: the question was withdrawn: its agent was stopped, has ended, or was started again.")
        if parsed.json:
            output.print_json(asked)
        elif question is not None and answered:
            output.line(question.answer or "")
        sys.stdout.flush()
    return 0 if answered else 1


def _tell_stale(event: Event) -> None:
    if event.type == "stale_signal":
        output.say("metawsm: this is not the agent's latest launch, so the signal was only recorded.")


def _data(text: str | None) -> dict[str, object] | None:
    if text is None:
        return None
    try:
        data = json.loads(text)
        json.dumps(data, allow_nan=False)  # Python accepts more than JSON, such as NaN
    except (ValueError, RecursionError) as error:
        raise InvalidParamsError(f"--data is no JSON: {error}.") from error
    if not isinstance(data, dict):
        raise InvalidParamsError("--data must be a JSON object.")
    return data


# --- answer and send ---


def _answer_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the question's id, as status shows it")
    parser.add_argument(
        "text", metavar="TEXT", help="the answer: a choice or any other text; - reads it from standard input"
    )


def _answer(parsed: Namespace) -> int:
    with service(parsed) as verbs:
        answered = verbs.answer(parsed.id, _text(parsed.text))
    question = answered.guidance
    if parsed.json:
        output.print_json(answered)
    elif answered.reason is None:
        output.line(f"{question.agent} on {question.ticket} has the answer.")
    else:
        output.say(
            f"The answer is kept, but {question.agent} on {question.ticket} does not have it: {answered.reason}."
        )
    return 0


def _send_arguments(parser: ArgumentParser) -> None:
    add_part_of_run(parser)
    add_agent(parser)
    parser.add_argument("text", nargs="?", metavar="TEXT", help="the text; - reads it from standard input")
    parser.add_argument("--force", action="store_true", help="type it even into an open dialog")


def _send(parsed: Namespace) -> int:
    if parsed.text is None and (parsed.run_id or parsed.ticket):
        # With the run given as a flag, the only positional argument is the text.
        parsed.run, parsed.text = None, parsed.run
    if parsed.agent is None or parsed.text is None:
        raise InvalidParamsError("Say to whom and what: metawsm send RUN --agent NAME TEXT.")
    text = _text(parsed.text)
    with service(parsed) as verbs:
        sent = verbs.send(**selector(parsed), agent=parsed.agent, text=text, force=parsed.force)
    if parsed.json:
        output.print_json(sent)
    elif sent.delivered:
        output.line(f"{parsed.agent} has it{f': {sent.reason}' if sent.reason else ''}.")
    else:
        output.say(f"{parsed.agent} was not told: {sent.reason}.", colour="red")
    return 0 if sent.delivered else 1


def _text(given: str) -> str:
    """Return the given text, or for `-` the content of standard input."""
    if given != "-":
        return given
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise InvalidParamsError("What standard input holds is no text in UTF-8.") from error


_SIGNAL_MORE = """Agents find all flags in their environment (METAWSM_*), and this command as $METAWSM_BIN.
Examples:
  $METAWSM_BIN signal progress "the parser is done"
  $METAWSM_BIN signal guidance "Which database?" --choice sqlite --choice postgres --wait
  $METAWSM_BIN signal done "all tests pass"
After an interrupted wait, ask the same question again to receive its answer."""

_ANSWER_MORE = """`metawsm status RUN` shows open questions with their ids and choices; any other answer is allowed.
A process that waits for it (signal guidance --wait) receives it; otherwise it is typed into the
agent's terminal."""

_SEND_MORE = """The text is pasted and sent with Enter. Exits with 0 if the agent took it, with 1 and the reason if
it did not. While the agent waits for a decision nothing is typed, unless --force is given.
Examples:
  metawsm send RUN --agent codex "Also update the changelog."
  git diff | metawsm send RUN --agent codex -"""

VERBS = {
    "signal": Verb(_signal_arguments, _signal, _SIGNAL_MORE),
    "answer": Verb(_answer_arguments, _answer, _ANSWER_MORE),
    "send": Verb(_send_arguments, _send, _SEND_MORE),
}
