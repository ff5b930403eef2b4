"""The visible text of many panes in one call of tmux: a call costs 3 ms, a pane in it 30 µs."""

import os
from collections.abc import Callable, Sequence

AT_ONCE = 200
"""So many panes in one call; what a client may send its server is limited to 16 kB."""

Run = Callable[[Sequence[Sequence[str]]], tuple[int, str, str]]
"""Runs tmux commands, each only if those before it succeeded; returns code, output and errors."""


def capture(run: Run, panes: Sequence[str]) -> dict[str, str]:
    """Return what these panes (tmux's ids) show, without those that are gone.

    Ends early when tmux fails for another reason than that.
    """
    found: dict[str, str] = {}
    rest = list(panes)
    while rest:
        asked = rest[:AT_ONCE]
        mark = os.urandom(6).hex()  # no program can know it beforehand
        code, output, errors = run(
            [command for pane in asked for command in (("capturep", "-p", "-t", pane), ("display", "-p", mark))]
        )
        texts = output.split(f"{mark}\n")[:-1]
        found.update(zip(asked, texts, strict=False))
        if code != 0 and "can't find pane" not in errors:
            break
        # The first that failed was not there, and those after it were not asked.
        rest = rest[len(texts) + (code != 0) :]
    return found
