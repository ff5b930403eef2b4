import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from metawsm_rpc.errors import HostError
from metawsm_rpc.hosts import environment
from metawsm_rpc.hosts.environment import LocalPrograms, login_shell_environment


@pytest.fixture(autouse=True)
def asked_anew():
    login_shell_environment.cache_clear()
    yield
    login_shell_environment.cache_clear()


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Make a login shell that sets a variable, says things, and counts how often it is asked."""

    def make(body):
        program = tmp_path / "shell"
        program.write_text(f"#!/bin/sh\necho asked >>{tmp_path}/asked\n{body}\n")
        program.chmod(0o755)
        monkeypatch.setenv("SHELL", str(program))
        return lambda: (tmp_path / "asked").read_text().count("asked") if (tmp_path / "asked").exists() else 0

    return make


GREETING = 'echo Welcome; export FROM_SHELL="two\nlines"; while [ "$1" != -c ]; do shift; done; eval "$2"; echo Bye'


def test_agents_get_what_the_person_has_and_nothing_of_where_metawsm_was_started(monkeypatch):
    person = {"HOME": "/home/me", "PATH": "/bin", "VIRTUAL_ENV": "/v", "LANG": "C.UTF-8", "API_KEY": "k", "PS1": "$"}
    state = {
        "TMUX": "x",
        "TMUX_PANE": "%1",
        "GIT_DIR": "/elsewhere",
        "GIT_INDEX_FILE": "i",
        "METAWSM_LAUNCH": "other",
        "_": "/bin/x",
        "SHLVL": "3",
        "PWD": "/x",
        "OLDPWD": "/y",
        "TERM": "xterm",
        "COLUMNS": "80",
        "LINES": "24",
        "TERM_PROGRAM": "vscode",
        "BASH_FUNC_x%%": "() { :; }",
    }
    monkeypatch.setattr(os, "environ", {**person, **state})
    assert LocalPrograms("auto").environment() == person


def test_the_login_shell_is_asked_once_when_no_shell_has_started_this_process(monkeypatch, shell):
    count = shell(GREETING)
    monkeypatch.delenv("SHLVL")
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    for _ in range(2):
        found = LocalPrograms("auto").environment()
        assert found["FROM_SHELL"] == "two\nlines"
        assert "GIT_DIR" not in found
    assert count() == 1


def test_the_policy_decides_whether_the_login_shell_is_asked(monkeypatch, shell):
    count = shell(GREETING)
    assert "FROM_SHELL" not in LocalPrograms("auto").environment()
    monkeypatch.delenv("SHLVL")
    assert "FROM_SHELL" not in LocalPrograms("never").environment()
    assert count() == 0
    monkeypatch.setenv("SHLVL", "1")
    assert "FROM_SHELL" in LocalPrograms("always").environment()


@pytest.mark.parametrize("body", ["exit 1", "echo nothing useful", "kill -9 $$"])
def test_a_login_shell_that_does_not_answer_is_an_error_only_when_it_must(monkeypatch, shell, body):
    shell(body)
    with pytest.raises(HostError, match="did not print its environment") as caught:
        LocalPrograms("always").environment()
    assert "execution.shell_env" in caught.value.hint
    monkeypatch.delenv("SHLVL")
    assert LocalPrograms("auto").environment()["PATH"] == os.environ["PATH"]


def test_a_login_shell_that_hangs_is_not_waited_for(monkeypatch, shell):
    monkeypatch.setattr(environment, "_SHELL_TIMEOUT_SECONDS", 0.2)
    shell("exec sleep 1000")
    with pytest.raises(HostError, match="did not finish within"):
        login_shell_environment()


@pytest.mark.parametrize("program", ["/bin/sh", "/bin/bash"])
def test_real_shells_answer(monkeypatch, program):
    monkeypatch.setenv("SHELL", program)
    monkeypatch.setenv("SHOWN", "ä '\"\n")
    assert login_shell_environment()["SHOWN"] == "ä '\"\n"


def test_a_start_up_file_counts(monkeypatch):
    monkeypatch.setenv("SHELL", "/bin/bash")
    Path(os.environ["HOME"], ".bash_profile").write_text("echo hello\nexport FROM_PROFILE=yes\n")
    assert login_shell_environment()["FROM_PROFILE"] == "yes"


def test_programs_are_found_on_the_agents_path(tmp_path):
    program = tmp_path / "agent"
    program.write_text("")
    programs = LocalPrograms()
    assert programs.find("agent", {"PATH": str(tmp_path)}) is None
    program.chmod(0o755)
    assert programs.find("agent", {"PATH": str(tmp_path)}) == str(program)
    assert programs.find("agent", {}) is None
    assert programs.find("sh", {}) is not None


# --- METAWSM_BIN ----------------------------------------------------------------------------------------


def _command(folder):
    folder.mkdir(parents=True)
    command = folder / "metawsm"
    command.write_text('#!/bin/sh\nprintf "%s|" "$0" "$@"\n')
    command.chmod(0o755)
    return command


def test_the_command_is_the_one_beside_this_python(tmp_path, monkeypatch):
    command = _command(tmp_path / "bin")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    assert LocalPrograms().command_path() == str(command)


def test_else_it_is_the_one_that_was_called(tmp_path, monkeypatch):
    command = _command(tmp_path / "bin")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(sys, "argv", [str(command)])
    assert LocalPrograms().command_path() == str(command)


def test_a_path_of_several_words_is_called_through_one_that_is_a_word(tmp_path, monkeypatch):
    command = _command(tmp_path / "my 'own' $(bin)")
    monkeypatch.setattr(sys, "executable", str(command.with_name("python")))
    path = LocalPrograms().command_path()
    printed = subprocess.run(["sh", "-c", f"{path} signal 'all done'"], capture_output=True, text=True, check=True)
    assert printed.stdout == f"{command}|signal|all done|"
    assert path == LocalPrograms().command_path()
    assert stat.S_IMODE(Path(path).parent.stat().st_mode) == 0o700


def test_without_an_installed_command_this_python_is_called(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["-c"])
    real = sys.executable
    monkeypatch.setattr(environment.os, "access", lambda *_: False)
    text = Path(LocalPrograms().command_path()).read_text()
    assert real in text
    assert "metawsm_rpc.cli.main" in text


def test_a_home_of_several_words_is_avoided(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "my cache"))
    monkeypatch.setattr(tempfile, "tempdir", None)  # what it has found before
    monkeypatch.setattr(sys, "executable", str(_command(tmp_path / "a b").with_name("python")))
    path = LocalPrograms().command_path()
    assert path.startswith(os.environ["TMPDIR"])
    assert os.access(path, os.X_OK)


def test_a_folder_that_others_can_write_to_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(_command(tmp_path / "a b").with_name("python")))
    base = Path(os.environ["XDG_CACHE_HOME"], "metawsm")
    base.mkdir(parents=True)
    base.chmod(0o777)
    with pytest.raises(HostError, match="only you can write to"):
        LocalPrograms().command_path()
