"""The one story that everything is for: from a ticket to merged repositories."""

from conftest import Root, git

WORK = """
for repo in app lib; do
  (cd $repo && echo "by $METAWSM_AGENT" >> README.md && git commit -qam "Work of $METAWSM_AGENT")
done
"$METAWSM_BIN" signal progress "both repositories changed"
"$METAWSM_BIN" signal done "all is done"
"""


def test_a_ticket_over_two_repositories_is_run_completed_and_closed(two_repositories: Root) -> None:
    root = two_repositories
    root.agents(worker=WORK)
    run = root.run("T-1", repos=("app", "lib"))
    waited = root.ask("wait", run, "--timeout", "30")
    assert (waited["reached"], waited["run"]["status"]) == (True, "completed")

    detail = root.ask("status", run)
    assert [step["status"] for step in detail["steps"]] == ["done"] * 5
    assert [agent["status"] for agent in detail["agents"]] == ["completed"]
    assert {repo["name"]: repo["ahead"] for repo in detail["workspaces"][0]["repos"]} == {"app": 1, "lib": 1}

    closed = root.ask("close", run)
    assert closed["run"]["status"] == "closed"
    for name in ("app", "lib"):
        assert git(root.path / name, "show", "main:README.md").endswith("by worker")
        assert git(root.path / name, "worktree", "list").count("\n") == 0
        assert git(root.path / name, "status", "--porcelain") == ""
