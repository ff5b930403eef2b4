"""Sending text to an agent's input: because a person asked for it, and not into a decision that it waits for."""

from typing import Literal

from metawsm_rpc.domain.models import Agent
from metawsm_rpc.domain.typed_text import typed_text
from metawsm_rpc.engine.talking import closed_terminal
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import HostError
from metawsm_rpc.policy.view import LaunchProfile, profile_of
from metawsm_rpc.ports.terminals import Sent

Occasion = Literal["send", "answer", "iterate"]
"""Why it is sent: by the verb of that name."""

_SHOWN = 200
"""How many characters of a text its event shows."""


def send(world: World, agent: Agent, text: str, *, forced: bool = False, occasion: Occasion = "send") -> Sent:
    """Type a text into an agent's terminal and send it with Enter; what became of it is an event.

    `agent` is as the last look saw it. Not delivered, with the reason, when the agent waits for a
    decision (unless `forced`), reads no input, or did not take it. Raises `InvalidParamsError` for
    what is no text, `IllegalTransitionError` when the terminal is closed.
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
    """Return whether a profile's program takes text while it runs; of a command of one's own nobody knows."""
    return profile.completes_on == "signal" or profile.runner == "shell"


def _obstacle(world: World, agent: Agent, profile: LaunchProfile, occasion: Occasion) -> str | None:
    """Return why nothing is typed, as far as that can be told without looking at its screen."""
    if not reads_input(profile):
        return f"its profile {profile.profile} is headless, so it reads no input; `metawsm iterate` reaches it"
    # The answer to one question need not wait for that to another.
    questions = () if occasion == "answer" else world.store.questions(agent.run_id)
    for question in questions:
        if question.status == "pending" and (question.ticket, question.agent) == (agent.ticket, agent.name):
            return f'it waits for an answer to "{question.question}": `metawsm answer {question.id} TEXT`'
    if agent.health is None or agent.health.state != "waiting" or agent.said == "error":
        return None
    if agent.health.source == "signal":
        # What it waits for by its own word may be the very answer that comes.
        return None if occasion == "answer" else _decision(agent.health.reason)
    # Programs with rules of their own are looked at once more when it is typed.
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
