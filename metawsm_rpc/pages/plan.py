"""A plan as a page: every step with its command, so that everything can be read before it happens."""

import shlex
from collections.abc import Iterable, Iterator, Sequence

from metawsm_rpc.domain.markdown import fenced, inline
from metawsm_rpc.domain.models import Problem, Step


def plan_page(title: str, steps: Sequence[Step], problems: Iterable[Problem] = ()) -> str:
    """Return a plan as Markdown."""
    return "\n\n".join(_plan(title, steps, problems)) + "\n"


def _plan(title: str, steps: Sequence[Step], problems: Iterable[Problem]) -> Iterator[str]:
    yield f"# Plan of {inline(title)}"
    for problem in problems:
        yield f"**{inline(problem.message, 1000)}**" + (f" {inline(problem.hint, 1000)}" if problem.hint else "")
    ticket = None
    for step in steps:
        if step.ticket != ticket:
            ticket = step.ticket
            yield f"## {inline(ticket)}"
        yield _step(step)


def _step(step: Step) -> str:
    after = f", after {', '.join(map(str, step.depends_on))}" if step.depends_on else ""
    optional = "" if step.blocking else ", may fail"
    lines = [
        f"{step.index}. **{inline(step.name)}** ({step.status}{after}{optional}): {inline(_visible(step.description), 1000)}"
    ]
    if step.command:
        # Indented, so that the block belongs to the list's item.
        block = fenced(_visible(shlex.join(step.command)), "sh")
        lines += ["", *(f"   {line}" for line in block.split("\n"))]
    return "\n".join(lines)


def _visible(text: str) -> str:
    """Return text with its control characters made visible, so that a command cannot hide anything in them."""
    return "".join(one if one.isprintable() or one in "\n\t" else repr(one)[1:-1] for one in text)
