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


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("status.*")), ids=lambda path: path.name)
def test_a_script_tells_of_the_runs(root: Root, interpreters: dict[str, str | None], script: Path) -> None:
    interpreter = interpreters[script.suffix]
    if interpreter is None:
        pytest.skip(f"nothing here runs {script.name}")
    root.repository("app")
    root.agents(worker=DONE)
    root.run("T-1", "T-2", extra=["--run-id", "r1", "--dry-run"])

    def tell(folder: Path) -> "subprocess.CompletedProcess[str]":
        argv = [interpreter, str(script), str(folder)]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    told = tell(root.path)
    assert (told.returncode, told.stdout, told.stderr) == (0, "r1 paused T-1 T-2\n", "")
    refused = tell(root.path / "nowhere")
    assert refused.returncode == 1
    assert "nowhere" in refused.stderr
