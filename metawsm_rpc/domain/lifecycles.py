"""The three lifecycles: run, step and agent. The diagrams in docs/lifecycles.md come from here."""

from metawsm_rpc.domain.charts import Chart, Move

SETTLING = ("running", "awaiting_guidance", "completed", "failed")
"""The states of a run, between start and stop, in which `settle` computes its status from its children."""

RUN = Chart(
    "run",
    states=(
        "created",
        "planning",
        "running",
        "awaiting_guidance",
        "paused",
        "failed",
        "stopping",
        "stopped",
        "completed",
        "closing",
        "closed",
    ),
    superstates={"active": ("planning", "running", "awaiting_guidance", "paused")},
    initial="created",
    final=("closed",),
    moves=(
        Move("plan", ("created",), "planning"),
        Move("fail_plan", ("planning",), "failed"),
        Move("pause", ("planning",), "paused"),
        Move("start", ("planning",), "running"),
        Move("settle", SETTLING, "running", "settles_running"),
        Move("settle", SETTLING, "awaiting_guidance", "settles_awaiting_guidance"),
        Move("settle", SETTLING, "completed", "settles_completed"),
        Move("settle", SETTLING, "failed", "settles_failed"),
        Move("stop", ("active", "failed"), "stopping", effects=("end_sessions",)),
        Move("stop", ("completed",), None, effects=("end_sessions",)),
        Move("stop", ("stopping", "stopped"), None),
        Move("stopped", ("stopping",), "stopped"),
        Move("resume", ("paused", "failed", "stopped"), "running"),
        Move("resume", ("running", "awaiting_guidance"), None),
        Move("restart", ("failed", "stopped", "completed"), "running"),
        Move("restart", ("running", "awaiting_guidance"), None),
        Move("retry_step", ("failed", "stopped", "completed"), "running"),
        Move("retry_step", ("running", "awaiting_guidance"), None),
        Move("iterate", ("completed", "stopped"), "running"),
        Move("iterate", ("running", "awaiting_guidance"), None),
        Move("complete", ("failed", "stopped", "awaiting_guidance", "running"), "completed"),
        Move("complete", ("completed",), None),
        Move("close", ("completed",), "closing"),
        Move("close", ("closing", "closed"), None),
        Move("block_close", ("closing",), "completed"),
        Move("closed", ("closing",), "closed"),
        # Cleanup keeps the status. It is refused for active and closing runs, which may still need what it
        # removes.
        Move("cleanup", ("failed", "stopped", "completed", "closed"), None),
    ),
    wishes={
        "stop": ("stop", "be stopped"),
        "resume": ("resume", "be resumed"),
        "restart": ("restart", "have agents restarted"),
        "retry_step": ("retry-step", "have a step tried again"),
        "iterate": ("iterate", "go on with feedback"),
        "complete": ("complete", "be completed"),
        "close": ("close", "be closed"),
        "cleanup": ("cleanup", "be cleaned up"),
    },
)

STEP = Chart(
    "step",
    states=("pending", "running", "done", "failed", "skipped"),
    superstates={},
    initial="pending",
    final=("done", "skipped"),
    moves=(
        Move("start", ("pending",), "running"),
        Move("finish", ("running",), "done"),
        Move("fail", ("running",), "failed"),
        Move("interrupt", ("running",), "failed"),
        Move("retry", ("failed",), "running"),
        Move("skip", ("pending", "failed"), "skipped"),
    ),
    wishes={"retry": ("retry-step", "be tried again"), "skip": ("skip-step", "be skipped")},
)

AGENT = Chart(
    "agent",
    states=("pending", "running", "idle", "waiting", "stalled", "dead", "stopping", "stopped", "completed", "failed"),
    superstates={"live": ("running", "idle", "waiting", "stalled")},
    initial="pending",
    final=(),
    moves=(
        Move("launch", ("pending",), "running"),
        Move("skip", ("pending",), "stopped"),
        Move("observe_running", ("live",), "running"),
        Move("observe_idle", ("live",), "idle"),
        Move("observe_waiting", ("live",), "waiting"),
        Move("observe_stalled", ("live",), "stalled"),
        Move("work", ("live", "completed"), "running"),
        Move("finish", ("live",), "completed"),
        Move("fail", ("live",), "failed"),
        # An exit with 0 means what the profile's completes_on says.
        Move("exit", ("live",), "completed", "exit_completes"),
        Move("exit", ("live",), "failed"),
        Move("die", ("live",), "dead"),
        Move("stop", ("live",), "stopping"),
        Move("stopped", ("stopping",), "stopped"),
        Move("relaunch", ("dead", "failed", "stopped", "completed"), "running"),
        Move("complete", ("live", "dead", "failed", "stopped"), "completed"),
        Move("complete", ("completed",), None),
    ),
    wishes={
        "stop": ("stop", "be stopped"),
        "relaunch": ("restart", "be started again"),
        "complete": ("complete", "be completed"),
    },
)
