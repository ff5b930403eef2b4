"""Hierarchical state machines as data: a chart, its checks, and the pure function that advances it.

A `Chart` lists states (which may be nested in a superstate) and moves. `advance` answers where an
event leads; it changes nothing. Defining a chart checks it: names exist, every state can be
reached, and only final states are without a way out.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from metawsm_rpc.errors import IllegalTransitionError


class Move(NamedTuple):
    """One arrow: `event` leads from any of `sources` (states or superstates) to `target`.

    With `target` None the event is accepted and the state stays. `guard` names a fact that must
    hold; of several moves for one event and state the first whose guard holds is taken.
    `effects` name what follows; whoever applies the move knows how.
    """

    event: str
    sources: tuple[str, ...]
    target: str | None
    guard: str | None = None
    effects: tuple[str, ...] = ()


class Advance(NamedTuple):
    """Where an event leads: `target` equals the state that it came from when nothing changes."""

    target: str
    effects: tuple[str, ...]


class ChartError(ValueError):
    """The chart itself is wrong: a defect of its definition, found when it is imported."""


class Chart:
    """A lifecycle: `states` in reading order, nested by `superstates`, with `initial` and `final`."""

    def __init__(
        self,
        name: str,
        *,
        states: tuple[str, ...],
        superstates: dict[str, tuple[str, ...]],
        initial: str,
        final: tuple[str, ...],
        moves: tuple[Move, ...],
    ) -> None:
        self.name = name
        self.states = states
        self.superstates = superstates
        self.initial = initial
        self.final = final
        self.moves = moves
        self._table: dict[tuple[str, str], list[Move]] = {}
        self._check_names()
        for move in moves:
            for state in self.members(*move.sources):
                self._table.setdefault((state, move.event), []).append(move)
        self._check_graph()

    def members(self, *names: str) -> tuple[str, ...]:
        """Return the states that the names, of states or superstates, stand for, each once."""
        found: dict[str, None] = {}
        for name in names:
            found.update(dict.fromkeys(self.superstates.get(name, (name,))))
        return tuple(found)

    def events(self, state: str) -> tuple[str, ...]:
        """Return the events that are legal in a state, in the chart's order."""
        return tuple(dict.fromkeys(move.event for move in self.moves if (state, move.event) in self._table))

    def sources(self, event: str, target: str) -> tuple[str, ...]:
        """Return the states from which `event` can lead to `target` (for a guarded UPDATE)."""
        return tuple(
            state
            for state in self.states
            if any((move.target or state) == target for move in self._table.get((state, event), ()))
        )

    def edges(self) -> Iterator[tuple[str, Move, str]]:
        """Yield every arrow between two states as `(source, move, target)`."""
        for (state, _), moves in self._table.items():
            for move in moves:
                if move.target is not None:
                    yield state, move, move.target

    def _check_names(self) -> None:
        known = {*self.states, *self.superstates}
        used = {self.initial, *self.final}
        for members in self.superstates.values():
            used.update(members)
        for move in self.moves:
            used.update(move.sources)
            used.update(() if move.target is None else (move.target,))
        if unknown := used - known:
            raise ChartError(f"chart {self.name}: unknown states {sorted(unknown)}")
        if nested := {move.target for move in self.moves} & set(self.superstates):
            raise ChartError(f"chart {self.name}: {nested} have no single state to enter")

    def _check_graph(self) -> None:
        ways_out: dict[str, set[str]] = {state: set() for state in self.states}
        for source, _, target in self.edges():
            ways_out[source].add(target)
        reached, frontier = {self.initial}, [self.initial]
        while frontier:
            for target in ways_out[frontier.pop()] - reached:
                reached.add(target)
                frontier.append(target)
        if unreachable := set(self.states) - reached:
            raise ChartError(f"chart {self.name}: cannot be reached: {sorted(unreachable)}")
        for state in self.states:
            stuck = not ways_out[state] - {state}
            if stuck and state not in self.final:
                raise ChartError(f"chart {self.name}: {state} is a trap but not final")

    def find(self, state: str, event: str, facts: Collection[str]) -> Move | None:
        """Return the move that an event takes in a state, or None when there is none."""
        for move in self._table.get((state, event), ()):
            if move.guard is None or move.guard in facts:
                return move
        return None


def advance(chart: Chart, state: str, event: str, *, entity: str, facts: Collection[str] = ()) -> Advance:
    """Return where `event` leads from `state`.

    `entity` names the thing for the error, such as `run q7m2x9ka`. Raises
    `IllegalTransitionError` that names entity, state and the events that would be legal.
    """
    move = chart.find(state, event, facts)
    if move is None:
        legal = ", ".join(chart.events(state)) or "none"
        raise IllegalTransitionError(
            f"{entity[:1].upper()}{entity[1:]} is {state}, so it cannot {event.replace('_', ' ')}.",
            hint=f"From {state} it accepts: {legal.replace('_', ' ')}.",
            details={"entity": entity, "state": state, "event": event, "legal": list(chart.events(state))},
        )
    return Advance(move.target or state, move.effects)
