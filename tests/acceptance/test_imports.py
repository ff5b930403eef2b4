"""What verbs import: a look must not wait for what it does not use."""

import json
import subprocess
import sys

import pytest
from conftest import Root

HEAVY = (
    "asyncio",
    "concurrent.futures",
    "dataclasses",
    "logging",
    "psutil",
    "pydantic",
    "pygls",
    "rich",
    "textual",
    "uuid",
    "yaml",
)
CODE = """
import sys
from metawsm_rpc.cli.main import main
status = main(sys.argv[1:])
print(" ".join(sys.modules), file=sys.stderr)
sys.exit(status)
"""


@pytest.fixture
def running(root: Root) -> Root:
    root.repository("app")
    root.agents(worker="sleep 60")
    root.run("T-1", extra=["--run-id", "r1"])
    root.ask("status", "r1")  # the first look also looks into the worktrees
    return root


@pytest.mark.parametrize("line", [["--json", "status", "r1"], ["status", "r1"], ["runs"], ["history", "r1"]])
def test_a_look_imports_nothing_heavy(running: Root, line: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, *line], cwd=running.path, capture_output=True, text=True, check=True
    )
    imported = set(done.stderr.split())
    assert imported & {*HEAVY, "metawsm_rpc.answers"} - allowed(line) == set()
    if "--json" in line:
        json.loads(done.stdout)


def allowed(line: list[str]) -> set[str]:
    """Return what else a verb needs: the shape of a list, and threads that ask git side by side."""
    return {"concurrent.futures", "logging"} if "status" in line else {"metawsm_rpc.answers"}


def test_help_for_the_live_view_does_not_import_its_library(root: Root) -> None:
    code = CODE.replace(
        "status = main(sys.argv[1:])", "try: status = main(sys.argv[1:])\nexcept SystemExit: status = 0"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "watch", "--help"], cwd=root.path, capture_output=True, text=True, check=True
    )
    assert "textual" not in done.stderr.split()
