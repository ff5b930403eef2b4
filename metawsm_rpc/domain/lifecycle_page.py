"""The page docs/lifecycles.md: the three diagrams, what causes each move, and how a run settles."""

from metawsm_rpc.domain.charts import Chart
from metawsm_rpc.domain.diagrams import mermaid, unchanged
from metawsm_rpc.domain.lifecycles import AGENT, RUN, SETTLING, STEP


def lifecycle_page() -> str:
    """Return the page as Markdown."""
    settling = ", ".join(f"`{state}`" for state in SETTLING)
    *others, last = (f"`{state}`" for state in AGENT.members("live"))
    live = f"{', '.join(others)} or {last}"
    return f"""# Lifecycles

<!-- Written by `python -m metawsm_rpc.generate` from metawsm_rpc/domain/lifecycles.py. -->

A run, its steps and its agents each have a lifecycle, defined as data in
`metawsm_rpc/domain/lifecycles.py`. A status changes in no other way: the move, its event and the check
that the writer is entitled to it are one database transaction. An event that a lifecycle does not accept
is refused with the error `illegal_transition`, which names the entity, its state and the events that it
accepts there.

An arrow is labelled with its events. A guard, in brackets, is a fact that must hold; `else` applies when
no guard of the same event holds. An arrow from a box starts in every state inside it.

## Run

A person moves a run with the verbs of the same names: `resume`, `restart`, `retry_step`, `iterate`,
`stop`, `complete`, `close`. `run` creates it: `created`, `planning` and `running` (or `paused` in a
dry run) are one transaction, so no crash leaves a run without its plan. The process that carries out a
stop or a close reports when it is done (`stopped`, `closed`) or has proved impossible (`block_close`).
Everything else is `settle`, below.

{_diagram(RUN)}
### Settle

Between start and stop ({settling}) nobody sets a run's status: it is a function of its steps, its
agents and their questions, evaluated in every transaction that changes one of them.

1. A step is running or can run, an agent is live or being stopped, or a launch is owed:
   `awaiting_guidance` if a live agent has an open question, otherwise `running`.
2. Otherwise, if every agent is completed: `completed`. An agent whose start was skipped does not count.
3. Otherwise `failed`.

A step can run when it is pending or failed, has attempts left, and everything it depends on is done,
skipped, or has failed for good without being `blocking`. A ticket that fails is reported at once in the
run's `error`, but the run continues while anything else can.

## Step

The driver of the run moves its steps: it starts those that can run, and records how they ended. A
person skips or retries them. `interrupt` means that the work on a step was cut off, by a stop or
because the driver died; unlike `fail` it costs no attempt. Skipping the step that starts
an agent takes that agent out of the run.

{_diagram(STEP)}
## Agent

An agent is live while it is {live}. It moves itself by its signals: `working` is
`work`, `done` is `finish`, `failed` is `fail`. A sweep moves it by what it observes
(`observe_…`, `exit`, `die`); a health of `unknown` moves nothing. The driver of the run starts
it (`launch`, `relaunch`), and a person stops it or declares it complete. An exit with status 0 completes an
agent whose profile says `completes_on: exit`; with `signal`, an agent that exits without having signalled
`done` has failed.

{_diagram(AGENT)}"""


def _diagram(chart: Chart) -> str:
    text = f"```mermaid\n{mermaid(chart)}```\n"
    kept = [f"`{event}` ({', '.join(states)})" for event, states in unchanged(chart).items()]
    return f"{text}\nAccepted without a change: {', '.join(kept)}.\n" if kept else text
