"""Sends text to an agent's terminal: only on request, and not while the agent waits for a decision."""

from typing import Literal

from metawsm_rpc.domain.models import Agent
from metawsm_rpc.domain.typed_text import typed_text
from metawsm_rpc.engine.talking import closed_terminal
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import HostError
from metawsm_rpc.policy.view import LaunchProfile, profile_of
from metawsm_rpc.ports.terminals import Sent

Occasion = Literal["send", "answer", "iterate"]
"""Why it is sent: the verb of that name."""

_SHOWN = 200
"""How many characters of a text its event contains."""


def send(world: World, agent: Agent, text: str, *, forced: bool = False, occasion: Occasion = "send") -> Sent:
    """Type a text and Enter into an agent's terminal; the outcome is an event.

    `agent` is as of the last sweep. The text is not delivered, with the reason, when the agent waits for a
    decision (unless `forced`), reads no input, or did not take it. Raises `InvalidParamsError` for an unusable
    text, `IllegalTransitionError` when the terminal is closed.
    """
    typed = typed_text(text)
    policy = world.store.policy(agent.run_id)
    terminals = world.machine.terminals(policy)
    if agent.launch is None or all(pane.launch != agent.launch for pane in terminals.panes()):
        raise closed_terminal(agent)
    profile = profile_of(policy, agent.name)
    reason = None if forced else _obstacle(world, agent, profile, occasion)
    if reason is not None:
        sent = Sent(delivered=False, reason=reason)
    else:
        folders = world.machine.folders()
        directory = folders.launch_directory(folders.paths(agent.run_id, agent.ticket, agent.name), agent.launch)
        try:
            sent = terminals.send(
                agent.session, agent.launch, typed, directory=directory, runner=profile.runner, forced=forced
            )
        except HostError as error:
            sent = Sent(delivered=False, reason=error.message.removesuffix("."))
    _record(world, agent, typed, sent, occasion)
    return sent


def reads_input(profile: LaunchProfile) -> bool:
    """Return whether a profile's program takes text while it runs; for a custom command that is unknown."""
    return profile.completes_on == "signal" or profile.runner == "shell"


def _obstacle(world: World, agent: Agent, profile: LaunchProfile, occasion: Occasion) -> str | None:
    """Return why nothing may be typed, as far as that is known without capturing the screen."""
    if not reads_input(profile):
        return f"its profile {profile.profile} is headless, so it reads no input; `metawsm iterate` reaches it"
    # The answer to one question need not wait for another question.
    questions = () if occasion == "answer" else world.store.questions(agent.run_id)
    for question in questions:
        if question.status == "pending" and (question.ticket, question.agent) == (agent.ticket, agent.name):
            return f'it waits for an answer to "{question.question}": `metawsm answer {question.id} TEXT`'
    if agent.health is None or agent.health.state != "waiting" or agent.said == "error":
        return None
    if agent.health.source == "signal":
        # An agent that signalled `waiting` may wait for this very text.
        return None if occasion == "answer" else _decision(agent.health.reason)
    # For programs with known screens, the terminal adapter checks again before typing.
    return _decision(agent.health.reason) if profile.runner == "shell" else None


def _decision(reason: str) -> str:
    """Return that a decision is waited for, and which; the verdict's reason says the first already."""
    which = reason.partition(": ")[2]
    return f"it waits for a decision: {which}" if which else "it waits for a decision"


def _record(world: World, agent: Agent, text: str, sent: Sent, occasion: Occasion) -> None:
    shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
    with world.store.transaction() as transaction:
        transaction.record(
            agent.run_id,
            "agent",
            f"{agent.ticket}/{agent.name}",
            "sent" if sent.delivered else "not_sent",
            message=shown if sent.delivered else f"{sent.reason}: {shown}",
            data={
                "launch": agent.launch,
                "bytes": len(text.encode()),
                "occasion": occasion,
                "reason": sent.reason,
            },
        )
