"""Restarts transcripts whose writer died, and records the gap."""

from collections.abc import Mapping
from typing import Any

from metawsm_rpc.domain.clock import seconds
from metawsm_rpc.domain.models import Agent
from metawsm_rpc.engine.world import World
from metawsm_rpc.errors import HostError
from metawsm_rpc.policy.view import TranscriptLimits
from metawsm_rpc.ports.terminals import Terminals

_PAUSE_SECONDS = 60.0
"""The shortest time between two restarts of a transcript."""


class TranscriptMender:
    """Restarts the transcripts of one root; remembers by launch when it last did."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._mended: dict[str, float] = {}

    def mend(self, agent: Agent, terminals: Terminals, policy: Mapping[str, Any]) -> None:
        """Restart a transcript whose writer died, and record the gap."""
        launch, now = agent.launch or "", self._world.clock()
        if now - self._mended.get(launch, 0.0) < _PAUSE_SECONDS:
            return  # it died again, as on a full disk: do not retry at every sweep
        self._mended[launch] = now
        key = f"{agent.ticket}/{agent.name}"
        told = [
            event
            for event in self._world.store.events(run_id=agent.run_id)
            if event.type == "transcript_gap" and event.entity_id == key
        ]
        if told and now - seconds(told[-1].at) < _PAUSE_SECONDS:
            return  # another process has restarted it
        try:
            terminals.repair_transcript(agent.session, agent.transcript, TranscriptLimits.of(policy).max_bytes)
        except HostError as error:
            message = f"the transcript has stopped: {error.message}"
        else:
            message = "the transcript had stopped and goes on; what was printed meanwhile is missing"
        with self._world.store.transaction() as transaction:
            transaction.record(agent.run_id, "agent", key, "transcript_gap", message=message)
