"""Renders a lifecycle chart as a Mermaid state diagram."""

from collections.abc import Iterable, Iterator

from metawsm_rpc.domain.charts import Chart, Move


def mermaid(chart: Chart) -> str:
    """Return the chart as a `stateDiagram-v2`: superstates nested, one arrow for each pair of states.

    An arrow is labelled with its events, each with its guard in brackets. Events that change
    nothing are left out; `unchanged` lists them.
    """
    lines = ["stateDiagram-v2", f"    [*] --> {chart.initial}"]
    lines.extend(f"    {line}" for line in _inside(chart, None))
    lines.extend(f"    {state} --> [*]" for state in chart.final)
    return "\n".join(lines) + "\n"


def unchanged(chart: Chart) -> dict[str, tuple[str, ...]]:
    """Return the events that are accepted without a change of state, each with the states that accept it."""
    found: dict[str, tuple[str, ...]] = {}
    for move in chart.moves:
        if move.target is None:
            found[move.event] = (*found.get(move.event, ()), *chart.members(*move.sources))
    return found


def _inside(chart: Chart, parent: str | None) -> Iterator[str]:
    """Yield the contents of a superstate, or the top level where None: first nested states, then arrows."""
    for name, members in chart.superstates.items():
        if _parents(chart, name)[-1:] == ([] if parent is None else [parent]):
            yield f"state {name} {{"
            yield from (f"    {member}" for member in members if member not in chart.superstates)
            yield from (f"    {line}" for line in _inside(chart, name))
            yield "}"
    for (source, target), moves in _arrows(chart).items():
        if _home(chart, source, target) == parent:
            yield f"{source} --> {target} : {', '.join(_label(chart, move) for move in moves)}"


def _label(chart: Chart, move: Move) -> str:
    guarded = any(other.event == move.event and other.guard for other in chart.moves)
    guard = move.guard or ("else" if guarded else None)
    return f"{move.event} [{guard}]" if guard else move.event


def _arrows(chart: Chart) -> dict[tuple[str, str], list[Move]]:
    """Return the moves for each pair of states or superstates, in the order of the states."""
    found: dict[tuple[str, str], list[Move]] = {}
    for move in chart.moves:
        for source in _drawn(chart, move):
            found.setdefault((source, move.target or source), []).append(move)
    order = [*chart.superstates, *chart.states]
    return {pair: found[pair] for pair in sorted(found, key=lambda pair: tuple(map(order.index, pair)))}


def _drawn(chart: Chart, move: Move) -> Iterable[str]:
    """Return where a move's arrows start: at a superstate as a whole, unless they end inside it."""
    if move.target is None:
        return
    for source in move.sources:
        if source in chart.superstates and move.target not in chart.members(source):
            yield source
        else:
            yield from (state for state in chart.members(source) if state != move.target)


def _parents(chart: Chart, name: str) -> list[str]:
    """Return the superstates around a name, outermost first."""
    for parent, members in chart.superstates.items():
        if name in members:
            return [*_parents(chart, parent), parent]
    return []


def _home(chart: Chart, source: str, target: str) -> str | None:
    """Return the innermost superstate that holds both ends of an arrow."""
    around = _parents(chart, target)
    shared = [parent for parent in _parents(chart, source) if parent in around]
    return shared[-1] if shared else None
