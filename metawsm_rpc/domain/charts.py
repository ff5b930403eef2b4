"""Hierarchical state machines as data: a chart, its checks, and the pure function that advances it.

A `Chart` lists states (which may be nested in superstates) and moves. `advance` answers where an event leads;
it changes nothing. Defining a chart checks it: names exist, superstates form a tree, every state can be
reached, every move can be taken, and an end can be reached from every state.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple, NoReturn

from metawsm_rpc.errors import IllegalTransitionError


class Move(NamedTuple):
    """One arrow: `event` leads from any of `sources` (states or superstates) to `target`.

    With `target` None the event is accepted without changing the state. `guard` names a fact that must hold; of
    several moves for one event and state the first whose guard holds is taken. `effects` name what the caller
    that applies the move has to do next.
    """

    event: str
    sources: tuple[str, ...]
    target: str | None
    guard: str | None = None
    effects: tuple[str, ...] = ()


class Advance(NamedTuple):
    """Where an event leads: `target` equals the source state when nothing changes."""

    target: str
    effects: tuple[str, ...]


class ChartError(ValueError):
    """The definition of a chart is wrong; raised when the chart is imported."""


class Chart:
    """A lifecycle: `states` in reading order, nested by `superstates`, with `initial` and `final`.

    A superstate's members are states or superstates. `wishes` gives, for each event that a person can request,
    the verb that requests it and the words that complete "it cannot …" in an error. Raises `ChartError` for a
    wrong definition.
    """

    def __init__(
        self,
        name: str,
        *,
        states: tuple[str, ...],
        superstates: dict[str, tuple[str, ...]],
        initial: str,
        final: tuple[str, ...],
        moves: tuple[Move, ...],
        wishes: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        self.name = name
        self.states = states
        self.superstates = superstates
        self.initial = initial
        self.final = final
        self.moves = moves
        self.wishes = wishes or {}
        self._table: dict[tuple[str, str], list[Move]] = {}
        self._sources: dict[tuple[str, str], tuple[str, ...]] = {}
        self._check_names()
        self._check_nesting()
        for move in moves:
            for state in self.members(*move.sources):
                self._table.setdefault((state, move.event), []).append(move)
        self._check_moves()
        self._check_graph()

    def members(self, *names: str) -> tuple[str, ...]:
        """Return the states that these names of states and superstates stand for, without duplicates."""
        found: dict[str, None] = {}
        for name in names:
            inside = self.superstates.get(name)
            found.update(dict.fromkeys((name,) if inside is None else self.members(*inside)))
        return tuple(found)

    def events(self, state: str) -> tuple[str, ...]:
        """Return the events that are legal in a state, in the chart's order."""
        return tuple(dict.fromkeys(move.event for move in self.moves if (state, move.event) in self._table))

    def sources(self, event: str, target: str) -> tuple[str, ...]:
        """Return the states from which `event` can lead to `target` (for a guarded UPDATE)."""
        known = self._sources.get((event, target))
        if known is None:
            known = self._sources[event, target] = tuple(
                state
                for state in self.states
                if any((move.target or state) == target for move in self._table.get((state, event), ()))
            )
        return known

    def edges(self) -> Iterator[tuple[str, Move, str]]:
        """Yield every arrow between two states as `(source, move, target)`."""
        for (state, _), moves in self._table.items():
            for move in moves:
                if move.target is not None:
                    yield state, move, move.target

    def _check_names(self) -> None:
        named = (*self.states, *self.superstates)
        if twice := {name for name in named if named.count(name) > 1}:
            self._refuse("there is more than one of", twice)
        states = {self.initial, *self.final, *(move.target for move in self.moves if move.target is not None)}
        if unknown := states - set(self.states):
            self._refuse("no such states:", unknown)
        used = {
            name for names in (*self.superstates.values(), *(move.sources for move in self.moves)) for name in names
        }
        if unknown := used - set(named):
            self._refuse("neither states nor superstates:", unknown)

    def _check_nesting(self) -> None:
        inside = [name for members in self.superstates.values() for name in members]
        if twice := {name for name in inside if inside.count(name) > 1}:
            self._refuse("in more than one superstate:", twice)
        # Each superstate has at most one parent, so one that cannot be reached from the outermost is part of a
        # cycle.
        outermost = set(self.superstates) - set(inside)
        if circular := set(self.superstates) - _reached(outermost, self.superstates):
            self._refuse("nested in themselves:", circular)

    def _check_moves(self) -> None:
        if unknown := set(self.wishes) - {move.event for move in self.moves}:
            self._refuse("wishes for no event:", unknown)
        if never := {move.event for move in self.moves if not self.members(*move.sources)}:
            self._refuse("events that lead from nowhere:", never)
        for (state, event), moves in self._table.items():
            guards = [move.guard for move in moves]
            if len(set(guards)) < len(guards) or None in guards[:-1]:
                self._refuse(f"from {state}, a move hides another one of", {event})

    def _check_graph(self) -> None:
        onwards: dict[str, set[str]] = {state: set() for state in self.states}
        back: dict[str, set[str]] = {state: set() for state in self.states}
        for source, _, target in self.edges():
            if source != target:
                onwards[source].add(target)
                back[target].add(source)
        if unreachable := set(self.states) - _reached({self.initial}, onwards):
            self._refuse("cannot be reached:", unreachable)
        if left := {state for state in self.final if onwards[state]}:
            self._refuse("final, but with a way out:", left)
        # A lifecycle without final states must at least not get stuck.
        ends = self.final or tuple(state for state in self.states if onwards[state])
        if traps := set(self.states) - _reached(set(ends), back):
            self._refuse("traps that are not final:", traps)

    def _refuse(self, what: str, names: Iterable[str]) -> NoReturn:
        raise ChartError(f"chart {self.name}: {what} {', '.join(sorted(names))}")

    def find(self, state: str, event: str, facts: Collection[str]) -> Move | None:
        """Return the move that an event takes in a state, or None when there is none."""
        for move in self._table.get((state, event), ()):
            if move.guard is None or move.guard in facts:
                return move
        return None


def _reached(start: Collection[str], ways: Mapping[str, Collection[str]]) -> set[str]:
    """Return everything reachable from `start`, including `start` itself."""
    reached, frontier = set(start), list(start)
    while frontier:
        for target in set(ways.get(frontier.pop(), ())) - reached:
            reached.add(target)
            frontier.append(target)
    return reached


def advance(chart: Chart, state: str, event: str, *, entity: str, facts: Collection[str] = ()) -> Advance:
    """Return where `event` leads from `state`.

    `entity` names the subject in the error, such as `run q7m2x9ka`. Raises `IllegalTransitionError`, which
    names the entity, its state and, in its hint, the verbs that are possible.
    """
    move = chart.find(state, event, facts)
    if move is None:
        legal = chart.events(state)
        _, words = chart.wishes.get(event, ("", event.replace("_", " ")))
        possible = ", ".join(chart.wishes[one][0] for one in legal if one in chart.wishes)
        raise IllegalTransitionError(
            f"{entity[:1].upper()}{entity[1:]} is {state}, so it cannot {words}.",
            hint=f"What can be asked of it now: {possible}." if possible else None,
            details={"entity": entity, "state": state, "event": event, "legal": list(legal)},
        )
    return Advance(move.target or state, move.effects)
