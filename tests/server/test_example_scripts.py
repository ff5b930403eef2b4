"""The scripts of the documentation work as they stand."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import DONE, Root, command

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture
def interpreters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """Return what runs the scripts; `metawsm` is this very checkout."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "metawsm").write_text(f'#!/bin/sh\nexec {" ".join(command())} "$@"\n')
    (programs / "metawsm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return {".py": sys.executable, ".mjs": shutil.which("node")}


def test_the_scripts_tell_of_the_runs(root: Root, interpreters: dict[str, str | None]) -> None:
    root.repository("app")
    root.agents(worker=DONE)
    root.run("T-1", "T-2", extra=["--run-id", "r1", "--dry-run"])

    def tell(interpreter: str, script: Path, folder: Path) -> "subprocess.CompletedProcess[str]":
        argv = [interpreter, str(script), str(folder)]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    for script in sorted(EXAMPLES.glob("status.*")):
        interpreter = interpreters[script.suffix]
        if interpreter is None:
            continue  # nothing here runs it
        told = tell(interpreter, script, root.path)
        assert (told.returncode, told.stdout, told.stderr) == (0, "r1 paused T-1 T-2\n", "")
        refused = tell(interpreter, script, root.path / "nowhere")
        assert refused.returncode == 1
        assert "nowhere" in refused.stderr
