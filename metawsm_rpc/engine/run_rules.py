"""What the policies of runs say to a sweep, read once: the policy of a run never changes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from metawsm_rpc.domain.health import Thresholds
from metawsm_rpc.engine.world import World
from metawsm_rpc.policy.view import HealthThresholds, LaunchProfile, TmuxOptions, profile_of
from metawsm_rpc.ports.terminals import Terminals


class RunRules(NamedTuple):
    """What the policy of one run says: where its agents' terminals are, and how they are judged."""

    policy: Mapping[str, Any]
    server: TmuxOptions
    terminals: Terminals
    thresholds: Thresholds
    profiles: dict[str, LaunchProfile]

    def profile(self, agent: str) -> LaunchProfile:
        """Return the profile of an agent."""
        if agent not in self.profiles:
            self.profiles[agent] = profile_of(self.policy, agent)
        return self.profiles[agent]


class Rules:
    """The rules of the runs of one root."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[str, RunRules] = {}

    def of(self, run_id: str) -> RunRules:
        """Return the rules of a run. Raises `RunNotFoundError`."""
        if run_id not in self._known:
            policy = self._world.store.policy(run_id)
            limits = HealthThresholds.of(policy)
            self._known[run_id] = RunRules(
                policy,
                TmuxOptions.of(policy),
                self._world.machine.terminals(policy),
                Thresholds(limits.idle_seconds, limits.activity_stalled_seconds, limits.progress_stalled_seconds),
                {},
            )
        return self._known[run_id]
