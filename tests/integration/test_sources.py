"""Which repositories a root has, under which names, and in which order."""

import subprocess

import pytest
from merging_support import Repository, use_private_git
from worktree_support import worktrees

from metawsm_rpc.errors import CommandError, HostError


@pytest.fixture(autouse=True)
def _private_git(tmp_path, monkeypatch):
    use_private_git(tmp_path / "home", monkeypatch)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def names(root, **options):
    return [source.name for source in worktrees(root, **options).sources()]


def test_repositories_directly_below_the_root_are_found_in_order(root):
    for name in ("web", "api", "mit leer", "größe"):
        Repository(root / name)
    Repository(root / "deep" / "down")
    Repository(root / ".hidden")
    (root / "plain").mkdir()
    (root / "file").touch()
    assert names(root) == ["api", "größe", "mit leer", "web"]


def test_a_root_that_is_a_repository_comes_before_what_is_in_it(tmp_path):
    root = Repository(tmp_path / "root").path
    Repository(root / "inner")
    assert names(root) == ["root", "inner"]


def test_a_source_says_what_a_run_needs(root):
    api = Repository(root / "api")
    api.git("branch", "größe/x")
    found = worktrees(root).sources()
    assert found == (("api", str(api.path), str(api.path / ".git"), "main", True, ("größe/x", "main")),)


def test_names_of_the_policy_come_first_and_then_those_of_the_registry(root, tmp_path):
    app, tool = Repository(tmp_path / "elsewhere" / "app"), Repository(tmp_path / "elsewhere" / "tool")
    Repository(root / "app")
    Repository(root / "web")
    found = worktrees(
        root,
        repositories={"app": "../elsewhere/app", "shop": "web"},
        registry=(("tool", str(tool.path)), ("app", str(root / "app")), ("again", str(app.path))),
    ).sources()
    assert [(source.name, source.path) for source in found] == [
        ("app", str(app.path)),
        ("shop", str(root / "web")),
        ("tool", str(tool.path)),
    ]


def test_a_path_of_the_policy_may_begin_at_home(root, tmp_path):
    Repository(tmp_path / "home" / "app")
    assert names(root, repositories={"app": "~/app"}) == ["app"]


def test_a_linked_worktree_is_no_source_of_its_own(root, tmp_path):
    api, elsewhere = Repository(root / "api"), Repository(tmp_path / "elsewhere")
    api.git("worktree", "add", "-q", str(root / "a-before-api"))
    elsewhere.git("worktree", "add", "-q", str(root / "linked"))
    assert names(root) == ["api"]


def test_a_root_in_a_linked_worktree_means_its_repository(tmp_path):
    app = Repository(tmp_path / "app")
    linked = app.worktree("feature")
    (found,) = worktrees(linked).sources()
    assert (found.name, found.path, found.common_dir) == ("app", str(app.path), str(app.path / ".git"))
    assert names(linked, repositories={"mine": "."}) == ["mine"]


def test_a_repository_that_is_reached_twice_has_its_first_name(root, tmp_path):
    api = Repository(root / "api")
    (root / "link").symlink_to(api.path)
    assert names(root) == ["api"]
    assert names(root, repositories={"main": str(root / "link")}) == ["main"]


def test_bare_repositories_and_submodules_are_sources(root):
    api = Repository(root / "api")
    subprocess.run(("git", "clone", "-q", "--bare", str(api.path), str(root / "store.git")), check=True)
    api.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(root / "store.git"), "sub")
    assert names(root) == ["api", "store.git"]
    assert names(api.path) == ["api", "sub"]
    assert worktrees(root).sources()[1].default_branch == "main"


def test_a_folder_that_names_a_bare_repository_beside_it_is_a_source(root):
    Repository(root / "seed")
    subprocess.run(("git", "clone", "-q", "--bare", str(root / "seed"), str(root / "app" / ".bare")), check=True)
    (root / "app" / ".git").write_text("gitdir: ./.bare\n")
    assert names(root) == ["app", "seed"]


@pytest.mark.parametrize("case", ["remote", "checked-out", "detached", "unborn", "unborn-with-branches"])
def test_the_default_branch_is_the_remotes_else_the_one_checked_out(root, tmp_path, case):
    app = Repository(root / "app")
    if case == "remote":
        upstream = Repository(tmp_path / "upstream")
        upstream.git("branch", "-m", "trunk")
        app.git("remote", "add", "-f", "origin", str(upstream.path))
        app.git("remote", "set-head", "origin", "--auto")
        expected = ("trunk", True)
    elif case == "checked-out":
        app.git("switch", "-q", "-c", "dev")
        expected = ("dev", True)
    elif case == "detached":
        app.git("checkout", "-q", "--detach")
        app.git("branch", "-D", "main")
        expected = (None, True)
    elif case == "unborn":
        subprocess.run(("git", "init", "-q", str(root / "app" / "new")), check=True)
        (new,) = worktrees(root / "app" / "new").sources()
        assert (new.default_branch, new.has_commits, new.branches) == (None, False, ())
        return
    else:
        app.git("symbolic-ref", "HEAD", "refs/heads/other")
        expected = (None, True)
    (found,) = worktrees(root).sources()
    assert (found.default_branch, found.has_commits) == expected


def test_what_the_policy_names_and_cannot_be_used_is_told_only_when_used(root, tmp_path):
    Repository(root / "app")
    (root / "plain").mkdir()
    Repository(root / "broken")
    (root / "broken" / ".git" / "config").write_text("[core\n")
    git = worktrees(root, repositories={"gone": "nowhere", "plain": "plain", "broken": "broken", "inside": "app/.."})
    assert [source.name for source in git.sources()] == ["app"]
    assert isinstance(git.problem("gone"), HostError)
    assert (
        str(git.problem("gone")) == f"The repository gone is said to be at {root}/nowhere, and there is no such folder."
    )
    assert "is not the top of a git repository" in str(git.problem("plain"))
    assert isinstance(git.problem("broken"), CommandError)
    assert "bad config" in str(git.problem("broken"))
    assert git.problem("unknown") is None
    assert worktrees(root, repositories={"app": "app"}).problem("app") is None


def test_a_root_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(HostError, match="cannot be read: No such file or directory"):
        worktrees(tmp_path / "nowhere").sources()


def test_looking_runs_one_git_for_each_repository(root, monkeypatch):
    for name in ("a", "b", "c"):
        Repository(root / name)
    git = worktrees(root)
    ran = []
    run = git._commands.run
    monkeypatch.setattr(git._commands, "run", lambda argv, **options: ran.append(argv) or run(argv, **options))
    assert len(git.sources()) == len(ran) == 3
