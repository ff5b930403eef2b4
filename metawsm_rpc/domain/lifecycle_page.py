"""The page docs/lifecycles.md: the three diagrams, who moves what, and how a run settles."""

from metawsm_rpc.domain.charts import Chart
from metawsm_rpc.domain.diagrams import mermaid, unchanged
from metawsm_rpc.domain.lifecycles import AGENT, RUN, SETTLING, STEP


def lifecycle_page() -> str:
    """Return the page as Markdown."""
    settling = ", ".join(f"`{state}`" for state in SETTLING)
    live = ", ".join(f"`{state}`" for state in AGENT.members("live"))
    return f"""# Lifecycles

<!-- Written by `python -m metawsm_rpc.generate` from metawsm_rpc/domain/lifecycles.py. -->

A run, its steps and its agents each have a lifecycle. They are data
(`metawsm_rpc/domain/lifecycles.py`), and no status changes in any other way: a move, the event that
tells of it and the check of who may make it are one database transaction. What a lifecycle does not
have is refused with the error `illegal_transition`, which names the entity, the state it is in and
the events that it accepts there.

An arrow is labelled with its events. What stands in brackets is a guard, a fact that must hold;
`else` is taken when no guard of the same event holds. An arrow from a box is one from each state in
it.

## Run

A person moves a run, by the verbs of the same names: `resume`, `restart`, `retry_step`, `iterate`,
`stop`, `complete`, `close`. `run` makes it: `created`, `planning` and `running` (or `paused` in a
dry run) are one transaction, so no crash leaves a run before its plan. Whoever carries a stop or a
close out says when it is done (`stopped`, `closed`) or could not be (`block_close`). Everything else
is `settle`, below.

{_diagram(RUN)}
### Settle

Between start and stop ({settling}) nobody sets a run's status: it is a function of its steps, its
agents and their questions, evaluated in the transaction of every change to one of them.

1. A step is running or can run, an agent is live or being stopped, or a start of one is owed:
   `awaiting_guidance` if a live agent's question is open, else `running`.
2. Else, if every agent is completed: `completed`. An agent whose start was skipped does not count.
3. Else `failed`.

A step can run when it is pending or failed, has tries left, and all that it depends on is done,
skipped, or has failed for good without being `blocking`. A ticket that fails is told at once in the
run's `error`, but the run goes on while anything else can move.

## Step

Whoever drives the run moves its steps: it starts those that can run, and says how they ended. A
person skips or retries them. `interrupt` is said of a step whose work was cut off, by a stop or
because the process that did it died; unlike `fail` it costs no try. Skipping the step that starts
an agent takes that agent out of the run.

{_diagram(STEP)}
## Agent

An agent is live while it is one of {live}. It moves itself by what it signals: `working` is
`work`, `done` is `finish`, `failed` is `fail`. Whoever looks at it moves it by what is seen
(`observe_…`, `exit`, `die`); health that is `unknown` moves nothing. Whoever drives the run starts
it (`launch`, `relaunch`), and a person stops it or declares it complete. An exit with 0 completes an
agent where its profile says `completes_on: exit`; where it says `signal`, an agent that leaves
without a word has failed.

{_diagram(AGENT)}"""


def _diagram(chart: Chart) -> str:
    text = f"```mermaid\n{mermaid(chart)}```\n"
    kept = [f"`{event}` ({', '.join(states)})" for event, states in unchanged(chart).items()]
    return f"{text}\nAccepted without a change: {', '.join(kept)}.\n" if kept else text
