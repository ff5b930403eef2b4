import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from metawsm_rpc.domain.models import Repo, Workspace
from metawsm_rpc.errors import HostError, InvalidParamsError
from metawsm_rpc.hosts.commands import Commands
from metawsm_rpc.hosts.git.git import Git
from metawsm_rpc.hosts.wsm_registry import WsmRegistry, config_home

NOW = 1767323045.6789  # 2026-01-02T03:04:05.6789Z

# What wsm (main, July 2026) writes; `LAST` stands for what differs from run to run.
WSM_WORKSPACE = """\
{
  "name": "demo",
  "path": "WORKSPACE",
  "repositories": [
    {
      "name": "app",
      "path": "SOURCE",
      "remote_url": "git@h:o/app.git",
      "current_branch": "main",
      "branches": [
        "main"
      ],
      "tags": [
        "v1"
      ],
      "last_commit": "COMMIT first \\u003cb\\u003e \\u0026 co",
      "last_updated": "2026-01-02T03:04:05.6789-05:00",
      "categories": [
        "go"
      ]
    }
  ],
  "branch": "task/demo",
  "base_branch": "main",
  "created": "2026-01-02T03:04:05.6789-05:00",
  "go_workspace": true,
  "agent_md": ""
}"""


@pytest.fixture(autouse=True)
def _east_coast():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "EST5")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def configuration(tmp_path):
    return tmp_path / "config"


@pytest.fixture
def registry(configuration):
    return make_registry(configuration)


def make_registry(configuration: Path) -> WsmRegistry:
    return WsmRegistry(configuration, Git(Commands()), lambda: NOW + 5 * 3600)


def git(folder: Path, *args: str) -> str:
    return subprocess.run(["git", "-C", folder, *args], check=True, capture_output=True, text=True).stdout.strip()


def make_source(path: Path, files: dict[str, str] | None = None) -> Path:
    path.mkdir(parents=True)
    git(path, "init", "--quiet")
    for name, text in (files or {"README": "x"}).items():
        (path / name).write_text(text)
    git(path, "add", ".")
    git(path, "commit", "--quiet", "--message", "first <b> & co")
    return path


def make_workspace(tmp_path: Path, *sources: Path, name: str = "demo") -> Workspace:
    path = tmp_path / "workspaces" / name
    repos = []
    for source in sources:
        worktree = path / source.name
        git(source, "worktree", "add", "--quiet", "-b", f"task/{name}", str(worktree))
        repos.append(
            Repo(source.name, str(worktree), str(source), f"task/{name}", "main", None, None, None, None, None)
        )
    return Workspace("r-1", "T", name, str(path), f"task/{name}", None, tuple(repos))


def stored(configuration: Path, file: str) -> dict:
    return json.loads((configuration / "workspace-manager" / file).read_text())


def put(configuration: Path, file: str, text: str) -> Path:
    path = configuration / "workspace-manager" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def app(tmp_path):
    source = make_source(tmp_path / "src" / "app", {"go.mod": "module app\n\ngo 1.24.1\n"})
    git(source, "tag", "v1")
    git(source, "remote", "add", "origin", "git@h:o/app.git")
    return source


def test_a_workspace_is_written_byte_for_byte_as_wsm_writes_it(registry, configuration, tmp_path, app):
    workspace = make_workspace(tmp_path, app)
    git(app, "branch", "--move", "task/demo", "hidden")  # wsm describes a repository before the worktree is there
    git(app, "update-ref", "-d", "refs/heads/hidden")

    registry.record(workspace, "main")

    expected = WSM_WORKSPACE.replace("WORKSPACE", workspace.path).replace("SOURCE", str(app))
    expected = expected.replace("COMMIT", git(app, "rev-parse", "main"))
    file = configuration / "workspace-manager" / "workspaces" / "demo.json"
    assert file.read_text() == expected
    assert file.stat().st_mode & 0o777 == 0o666 & ~umask()
    assert [path.name for path in file.parent.iterdir()] == ["demo.json"]


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_repositories_that_the_registry_lacks_are_added_and_others_stay_as_they_are(
    registry, configuration, tmp_path, app
):
    foreign = {"name": "old", "path": "/old", "last_updated": "2020-01-01T00:00:00Z", "colour": "<red>"}
    text = json.dumps({"mine": [1], "repositories": [foreign], "last_scan": "2020-01-01T00:00:00Z"})
    put(configuration, "registry.json", text).chmod(0o600)

    registry.record(make_workspace(tmp_path, app), "main")

    after = stored(configuration, "registry.json")
    assert list(after) == ["mine", "repositories", "last_scan"]
    assert after["repositories"][0] == foreign
    assert after["repositories"][1:] == stored(configuration, "workspaces/demo.json")["repositories"]
    assert after["last_scan"] == "2020-01-01T00:00:00Z"
    assert (configuration / "workspace-manager" / "registry.json").stat().st_mode & 0o777 == 0o600
    assert registry.repositories() == {"old": "/old", "app": str(app)}


def test_a_registry_is_made_where_there_is_none(registry, configuration, tmp_path, app):
    registry.record(make_workspace(tmp_path, app), "main")
    after = stored(configuration, "registry.json")
    assert list(after) == ["repositories", "last_scan"]
    assert after["last_scan"] == "0001-01-01T00:00:00Z"


def test_a_repository_that_the_registry_knows_is_described_as_there(registry, configuration, tmp_path, app):
    (tmp_path / "link").symlink_to(app.parent)
    known = {"name": "app", "path": str(tmp_path / "link" / "app"), "last_commit": "as it was"}
    file = put(configuration, "registry.json", json.dumps({"repositories": [known]}))
    before = file.read_bytes()

    registry.record(make_workspace(tmp_path, app), "main")

    assert stored(configuration, "workspaces/demo.json")["repositories"] == [known]
    assert file.read_bytes() == before


def test_a_name_that_means_another_repository_to_wsm_goes_on_meaning_it(registry, configuration, tmp_path, app):
    file = put(configuration, "registry.json", json.dumps({"repositories": [{"name": "app", "path": "/other/app"}]}))
    before = file.read_bytes()

    registry.record(make_workspace(tmp_path, app), "main")

    assert file.read_bytes() == before
    assert stored(configuration, "workspaces/demo.json")["repositories"][0]["path"] == str(app)


def test_a_linked_registry_stays_linked(registry, configuration, tmp_path, app):
    dotfile = tmp_path / "dotfiles.json"
    dotfile.write_text('{"repositories": null}')
    put(configuration, "x", "").with_name("registry.json").symlink_to(dotfile)
    registry.record(make_workspace(tmp_path, app), "main")
    assert "app" in dotfile.read_text()


def test_a_repository_without_remote_tags_or_branch_is_described(registry, configuration, tmp_path):
    lib = make_source(tmp_path / "lib", {"setup.py": "", "requirements.txt": "", "Dockerfile": ""})
    (lib / "api").mkdir()
    workspace = make_workspace(tmp_path, lib)
    git(lib, "checkout", "--quiet", "--detach")
    registry.record(workspace, "main")
    (repo,) = stored(configuration, "registry.json")["repositories"]
    assert repo == {
        "name": "lib",
        "path": str(lib),
        "remote_url": "",
        "current_branch": "",
        "branches": ["main", "task/demo"],
        "tags": None,
        "last_commit": f"{git(lib, 'rev-parse', 'HEAD')} first <b> & co",
        "last_updated": "2026-01-02T03:04:05.6789-05:00",
        "categories": ["python", "docker", "api"],
    }


def test_branches_of_the_remote_are_named_as_wsm_names_them(registry, configuration, tmp_path, app):
    clone = tmp_path / "clone"
    git(app, "branch", "topic/x")
    git(tmp_path, "clone", "--quiet", str(app), str(clone))
    registry.record(make_workspace(tmp_path, clone), "main")
    (repo,) = stored(configuration, "registry.json")["repositories"]
    assert repo["branches"] == ["main", "task/demo", "topic/x"]
    assert repo["remote_url"] == str(app)


def test_recording_again_keeps_when_it_was_made_and_what_others_added(registry, configuration, tmp_path, app):
    workspace = make_workspace(tmp_path, app)
    old = {"path": workspace.path, "created": "2020-01-01T00:00:00Z", "agent_md": "~/A.md", "colour": "red"}
    put(configuration, "workspaces/demo.json", json.dumps(old))

    registry.record(workspace, "develop")

    after = stored(configuration, "workspaces/demo.json")
    assert {key: after[key] for key in old} == old
    assert after["base_branch"] == "develop"


def test_another_workspace_of_the_same_name_is_not_overwritten(registry, configuration, tmp_path, app):
    file = put(configuration, "workspaces/demo.json", '{"name": "demo", "path": "/elsewhere"}')
    with pytest.raises(HostError, match="another workspace demo, at /elsewhere"):
        registry.record(make_workspace(tmp_path, app), "main")
    assert file.read_text() == '{"name": "demo", "path": "/elsewhere"}'


def test_many_who_record_at_once_lose_nothing(configuration, tmp_path):
    workspaces = [make_workspace(tmp_path, make_source(tmp_path / "src" / f"repo{n}"), name=f"w{n}") for n in range(6)]
    threads = [
        threading.Thread(target=make_registry(configuration).record, args=(workspace, "main"))
        for workspace in workspaces
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(make_registry(configuration).repositories()) == [f"repo{n}" for n in range(6)]


# --- go.work ---


def test_go_modules_of_a_workspace_are_put_into_a_go_work(registry, tmp_path, app):
    other = make_source(tmp_path / "src" / "other", {"go.mod": "module other\ngo 1.9\n"})
    docs = make_source(tmp_path / "src" / "docs")
    workspace = make_workspace(tmp_path, other, docs, app)
    registry.record(workspace, "main")
    assert Path(workspace.path, "go.work").read_text() == "go 1.24.1\n\nuse (\n\t./other\n\t./app\n)\n"


def test_a_go_work_asks_for_what_wsm_asks_for_when_no_module_says(registry, tmp_path):
    workspace = make_workspace(tmp_path, make_source(tmp_path / "src" / "a", {"go.mod": "module a\n"}))
    registry.record(workspace, "main")
    assert Path(workspace.path, "go.work").read_text().startswith("go 1.23\n")


def test_a_go_work_that_is_there_stays(registry, tmp_path, app):
    workspace = make_workspace(tmp_path, app)
    Path(workspace.path, "go.work").write_text("mine")
    registry.record(workspace, "main")
    assert Path(workspace.path, "go.work").read_text() == "mine"


def test_there_is_no_go_work_without_go_and_none_for_what_is_no_file(registry, configuration, tmp_path):
    docs = make_source(tmp_path / "src" / "docs")
    workspace = make_workspace(tmp_path, docs)
    Path(workspace.path, "docs", "go.mod").symlink_to("/dev/zero")
    registry.record(workspace, "main")
    assert not Path(workspace.path, "go.work").exists()
    assert stored(configuration, "workspaces/demo.json")["go_workspace"] is False


# --- reading and forgetting ---


def test_a_recorded_workspace_is_read_back(registry, tmp_path, app):
    assert registry.workspace("demo") is None
    assert registry.repositories() == {}
    workspace = make_workspace(tmp_path, app)
    registry.record(workspace, "main")
    read = registry.workspace("demo")
    assert (read["name"], read["path"], read["branch"], read["base_branch"]) == (
        *("demo", workspace.path),
        *("task/demo", "main"),
    )
    assert [(repo["name"], repo["path"]) for repo in read["repositories"]] == [("app", str(app))]


def test_null_lists_and_missing_fields_are_read(registry, configuration):
    put(configuration, "workspaces/w.json", '{"name": "w", "path": "/w", "repositories": null}')
    assert registry.workspace("w") == {
        "name": "w",
        "path": "/w",
        "branch": "",
        "base_branch": "",
        "repositories": [],
        "go_workspace": False,
    }


def test_of_two_repositories_with_one_name_the_last_counts(registry, configuration):
    repos = [{"name": "a", "path": "/1"}, {"name": "a", "path": "/2"}]
    put(configuration, "registry.json", json.dumps({"repositories": repos}))
    assert registry.repositories() == {"a": "/2"}


def test_a_forgotten_workspace_leaves_neither_its_file_nor_its_go_work(registry, configuration, tmp_path, app):
    workspace = make_workspace(tmp_path, app)
    registry.record(workspace, "main")
    Path(workspace.path, "go.work.sum").write_text("")

    registry.forget("demo")
    registry.forget("demo")

    assert registry.workspace("demo") is None
    assert [path.name for path in Path(workspace.path).iterdir()] == ["app"]
    assert registry.repositories() == {"app": str(app)}


def test_forgetting_makes_no_folder(registry, configuration):
    registry.forget("demo")
    assert not configuration.exists()


@pytest.mark.parametrize("name", ["", "a/b", "../registry", "/etc/passwd", "a\0b"])
def test_a_name_that_cannot_be_a_files_is_refused(registry, configuration, tmp_path, name):
    put(configuration, "registry.json", "{}")
    for use in (registry.workspace, registry.forget):
        with pytest.raises(InvalidParamsError, match="cannot be the name of a workspace"):
            use(name)
    with pytest.raises(InvalidParamsError):
        registry.record(Workspace("r", "T", name, str(tmp_path), "b", None, ()), "main")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": ', "is not JSON"),
        ("\x80", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "does not hold what wsm writes"),
        ('{"repositories": {}}', "does not hold what wsm writes"),
        ('{"path": "/w", "repositories": [{"name": 1}]}', "does not hold what wsm writes"),
        ('{"path": "relative"}', "does not hold what wsm writes"),
    ],
)
def test_a_file_that_wsm_did_not_write_is_an_error_that_names_it(registry, configuration, text, message):
    path = put(configuration, "workspaces/w.json", "")
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(HostError, match=f"w.json {message}"):
        registry.workspace("w")


def test_a_broken_registry_is_an_error_and_is_left_as_it_is(registry, configuration, tmp_path, app):
    file = put(configuration, "registry.json", "{")
    with pytest.raises(HostError, match=r"registry\.json is not JSON"):
        registry.repositories()
    with pytest.raises(HostError, match=r"registry\.json is not JSON"):
        registry.record(make_workspace(tmp_path, app), "main")
    assert file.read_text() == "{"
    assert registry.workspace("demo") is None


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [
        ({"HOME": "/h", "XDG_CONFIG_HOME": "/c"}, "linux", "/c"),
        ({"HOME": "/h", "XDG_CONFIG_HOME": "c"}, "linux", "/h/.config"),
        ({"HOME": "/h"}, "linux", "/h/.config"),
        ({"HOME": "/h", "XDG_CONFIG_HOME": "/c"}, "darwin", "/h/Library/Application Support"),
    ],
)
def test_the_configuration_is_where_go_programs_keep_it(environ, platform, expected):
    assert config_home(environ, platform) == Path(expected)


# --- with wsm itself ---


@pytest.fixture
def wsm(configuration, tmp_path):
    program = shutil.which("wsm")
    if not program:
        pytest.skip("wsm is not installed")

    def run(*args: str) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "TERM": "xterm"}
        environment |= {"XDG_CONFIG_HOME": str(configuration), "GIT_CONFIG_GLOBAL": os.environ["GIT_CONFIG_GLOBAL"]}
        return subprocess.run(
            [program, *args],
            env=environment,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            start_new_session=True,
        ).stdout

    return run


def test_wsm_knows_and_deletes_what_we_record(registry, configuration, tmp_path, app, wsm):
    workspace = make_workspace(tmp_path, app)
    registry.record(workspace, "main")

    assert json.loads(wsm("info", "demo", "-o", "json")) == stored(configuration, "workspaces/demo.json")
    assert [found["name"] for found in json.loads(wsm("list", "workspaces", "--format", "json"))] == ["demo"]
    assert "app" in wsm("status", "demo")

    wsm("delete", "demo", "--force", "--force-worktrees", "--remove-files")
    assert not Path(workspace.path).exists()
    assert registry.workspace("demo") is None


def test_wsm_forks_what_we_record(registry, tmp_path, app, wsm):
    registry.record(make_workspace(tmp_path, app), "main")
    wsm("fork", "second", "demo")
    read = registry.workspace("second")
    assert (read["branch"], read["base_branch"]) == ("task/second", "task/demo")
    assert Path(read["path"], "app", "go.mod").exists()


def test_we_know_and_rewrite_what_wsm_makes(registry, configuration, tmp_path, app, wsm):
    wsm("discover", str(app.parent), "-r", "--max-depth", "3")
    assert registry.repositories() == {"app": str(app)}
    wsm("create", "demo", "--repos", "app", "--branch", "task/demo", "--base-branch", "main")
    file = configuration / "workspace-manager" / "workspaces" / "demo.json"
    before = file.read_text()

    read = registry.workspace("demo")
    repo = Repo("app", f"{read['path']}/app", str(app), "task/demo", "main", None, None, None, None, None)
    registry.record(Workspace("r", "T", "demo", read["path"], read["branch"], None, (repo,)), read["base_branch"])

    assert file.read_text() == before
