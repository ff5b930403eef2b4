"""A plan is an explicit DAG: per ticket verify, create, prepare, set up, start."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_support import AT, plan, request

from metawsm_rpc.domain.models import Step
from metawsm_rpc.domain.plan import Plan, PlannedSetup, PlanRequest, compile_plan, lay_out
from metawsm_rpc.domain.settle import runnable

FAIL, WARN = PlannedSetup("make setup", "fail"), PlannedSetup("make warm", "warn")


def shape(steps: tuple[Step, ...]) -> list[tuple[str, str | None, tuple[int, ...]]]:
    return [(step.kind, step.repo or step.agent, step.depends_on) for step in steps]


def test_a_ticket_is_verified_before_anything_is_made_and_prepared_before_anybody_starts() -> None:
    assert shape(plan(repos=("app", "lib"), agents=("a", "b")).steps) == [
        ("verify_ticket", None, ()),
        ("create_workspace", "app", (0,)),
        ("create_workspace", "lib", (0,)),
        ("prepare_workspace", None, (1, 2)),
        ("start_agent", "a", (3,)),
        ("start_agent", "b", (3,)),
    ]


def test_tickets_do_not_depend_on_each_other() -> None:
    made = plan(("T-1", "T-2"), repos=("app", "lib")).steps
    ticket_of = {step.index: step.ticket for step in made}
    assert [step.ticket for step in made] == ["T-1"] * 5 + ["T-2"] * 5
    assert all(ticket_of[before] == step.ticket for step in made for before in step.depends_on)


def test_setup_commands_run_one_after_another_in_a_worktree_and_worktrees_side_by_side() -> None:
    made = plan(repos=("app", "lib"), setup=(FAIL, WARN)).steps
    assert shape(made)[4:] == [
        ("prepare_workspace", "app", (3,)),
        ("prepare_workspace", "app", (4,)),
        ("prepare_workspace", "lib", (3,)),
        ("prepare_workspace", "lib", (6,)),
        ("start_agent", "a", (3, 4, 5, 6, 7)),
    ]
    assert [(step.command, step.blocking) for step in made[4:8]] == [
        (("sh", "-c", "make setup"), True),
        (("sh", "-c", "make warm"), False),
    ] * 2


def test_every_command_of_the_policy_is_shown() -> None:
    made = plan(setup=(FAIL,), copy=(".env", "conf/*")).steps
    assert "make setup" in made[3].description
    assert made[2].description.endswith("copy .env, conf/* from each source")


def test_a_start_shows_its_command_and_its_session() -> None:
    start = plan().steps[-1]
    assert start.command == ("run", "a")
    assert start.description == "Start a (shell) in the tmux session a-T-1"


def test_agents_in_one_workspace_are_told_that_they_share_its_files() -> None:
    starts = plan(agents=("a", "b", "c")).steps[-3:]
    assert [step.description.partition("; ")[2] for step in starts] == [
        "it shares the files of the workspace with b, c",
        "it shares the files of the workspace with a, c",
        "it shares the files of the workspace with a, b",
    ]
    assert "shares" not in plan().steps[-1].description


def test_a_worktree_is_added_with_an_argv_on_a_branch_of_its_own() -> None:
    create = plan().steps[1]
    assert create.command == (
        "git", "-C", "/src/app", "worktree", "add", "-b", "task/t-1-r1", "/ws/t-1-r1/app", "0" * 40,
    )  # fmt: skip
    assert create.description == "Add a worktree of app at /ws/t-1-r1/app, branch task/t-1-r1 from main"


def test_what_a_repository_needs_to_have_said_is_said() -> None:
    asked = request()
    workspace = asked.workspaces["T-1"]
    (repo,) = workspace.repos
    noted = workspace._replace(repos=(repo._replace(base="master", note="app has no branch main"),))
    create = compile_plan(asked._replace(workspaces={"T-1": noted})).steps[1]
    assert create.description.endswith("from master (app has no branch main)")


def test_a_borrowed_workspace_is_used_as_it_is() -> None:
    made = plan(exists=True).steps
    assert made[1].command is None
    assert made[1].description == "Use the worktree /ws/t-1-r1/app as it is, on branch task/t-1-r1"
    assert made[2].description == "Use the workspace /ws/t-1-r1"


def test_a_ticket_is_looked_for_once_and_the_rest_is_tried_as_often_as_the_policy_says() -> None:
    made = plan(attempts=3).steps
    assert [step.attempt_limit for step in made] == [1, 3, 3, 3]
    assert {step.attempts for step in made} == {0}


def test_a_plan_brings_its_run_agents_and_workspaces() -> None:
    made = plan(("T-1", "T-2"), repos=("app", "lib"), agents=("a", "b"), dry_run=True, source="other")
    assert made.run._asdict() == {
        "run_id": "r1",
        "status": "created",
        "mode": "run",
        "tickets": ("T-1", "T-2"),
        "repos": ("app", "lib"),
        "agents": ("a", "b"),
        "strategy": "create",
        "source": "other",
        "base_branch": "main",
        "dry_run": True,
        "created_at": AT,
        "updated_at": AT,
        "error": None,
    }
    assert [(agent.ticket, agent.name, agent.session, agent.status, agent.health) for agent in made.agents] == [
        ("T-1", "a", "a-T-1", "pending", None),
        ("T-1", "b", "b-T-1", "pending", None),
        ("T-2", "a", "a-T-2", "pending", None),
        ("T-2", "b", "b-T-2", "pending", None),
    ]
    assert {agent.restarts for agent in made.agents} == {0}
    assert made.workspaces == lay_out("r1", request(("T-1", "T-2"), repos=("app", "lib")).workspaces)
    assert [(repo.path, repo.branch, repo.base, repo.base_commit, repo.head) for repo in made.workspaces[1].repos] == [
        ("/ws/t-2-r1/app", "task/t-2-r1", "main", f"{0:040x}", None),
        ("/ws/t-2-r1/lib", "task/t-2-r1", "main", f"{1:040x}", None),
    ]


# --- properties ---

WORDS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4, unique=True)
REQUESTS = st.builds(
    request,
    WORDS.map(lambda words: [word.upper() for word in words]),
    repos=WORDS,
    agents=WORDS,
    setup=st.lists(st.sampled_from((FAIL, WARN)), max_size=3),
    exists=st.booleans(),
    attempts=st.integers(1, 5),
)


@given(REQUESTS)
def test_steps_are_numbered_in_order_and_depend_only_on_earlier_ones_of_their_ticket(asked: PlanRequest) -> None:
    made = compile_plan(asked).steps
    assert [step.index for step in made] == list(range(len(made)))
    for step in made:
        assert all(before < step.index for before in step.depends_on)
        assert len(set(step.depends_on)) == len(step.depends_on)
        assert all(made[before].ticket == step.ticket for before in step.depends_on)


@given(REQUESTS)
def test_there_is_one_step_for_each_thing_to_do(asked: PlanRequest) -> None:
    made = compile_plan(asked)
    repos, agents, setup = len(made.run.repos), len(asked.agents), len(asked.setup)
    assert len(made.steps) == len(asked.tickets) * (1 + repos + 1 + repos * setup + agents)
    assert len(made.agents) == len(asked.tickets) * agents
    starts = [(step.ticket, step.agent) for step in made.steps if step.kind == "start_agent"]
    assert starts == [(agent.ticket, agent.name) for agent in made.agents]
    assert {step.workspace for step in made.steps} == {workspace.name for workspace in made.workspaces}


@given(REQUESTS)
def test_nobody_starts_before_all_else_of_the_ticket_is_over(asked: PlanRequest) -> None:
    made = compile_plan(asked)
    earlier: dict[int, set[int]] = {}
    for step in made.steps:
        earlier[step.index] = set(step.depends_on).union(*(earlier[index] for index in step.depends_on))
    for start in made.steps:
        if start.kind == "start_agent":
            others = {step.index for step in made.steps if step.ticket == start.ticket and step.kind != "start_agent"}
            assert earlier[start.index] == others


@given(REQUESTS, st.randoms(use_true_random=False))
def test_doing_whatever_can_be_done_does_everything_once(asked: PlanRequest, chance: Any) -> None:
    steps = {step.index: step for step in compile_plan(asked).steps}
    done = 0
    while ready := runnable(steps.values()):
        chosen = chance.choice(ready)
        # A set-up that may fail without harm holds nobody up either.
        status = "done" if chosen.blocking else "failed"
        steps[chosen.index] = chosen._replace(status=status, attempts=chosen.attempt_limit)
        done += 1
    assert done == len(steps)


@given(REQUESTS)
def test_the_same_request_makes_the_same_plan(asked: PlanRequest) -> None:
    assert compile_plan(asked) == compile_plan(asked)


def test_a_plan_holds_only_plain_data() -> None:
    made: Plan = plan(("T-1",), repos=("app",), agents=("a",), setup=(FAIL,))
    hash(made.steps)
    hash(made.agents)
    hash(made.workspaces)


@pytest.mark.parametrize("strange", ["$(touch x)", "#(touch x)", "a;b", "%Y", "-n", "a\nb", "é ü"])
def test_a_set_up_command_is_one_argument_of_sh_whatever_it_says(strange: str) -> None:
    made = plan(setup=(PlannedSetup(strange, "fail"),)).steps
    assert made[3].command == ("sh", "-c", strange)
