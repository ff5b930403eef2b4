"""Copying files that git does not carry into a new worktree."""

import os

import pytest
from merging_support import Repository, use_private_git
from worktree_support import files, worktrees

from metawsm_rpc.errors import HostError, InterruptedStepError


@pytest.fixture(autouse=True)
def _private_git(tmp_path, monkeypatch):
    use_private_git(tmp_path / "home", monkeypatch)


@pytest.fixture
def source(tmp_path):
    return Repository(tmp_path / "app", {"README": "x"}).path


@pytest.fixture
def target(tmp_path):
    (tmp_path / "worktree").mkdir()
    return tmp_path / "worktree"


def copy(source, target, *patterns):
    return worktrees(source.parent).copy_files(str(source), str(target), patterns)


def write(folder, *names, text="source"):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("patterns", "copied"),
    [
        ((".env",), [".env"]),
        (("**/.env",), [".env", "a/.env", "a/b/.env"]),
        (("*/.env",), ["a/.env"]),
        (("config/*.local",), ["config/x.local", "config/ü y.local"]),
        (("config/",), ["config/deep/z.local", "config/x.local", "config/x.other", "config/ü y.local"]),
        (("config/**",), ["config/deep/z.local", "config/x.local", "config/x.other", "config/ü y.local"]),
        (("config/**/z.*", "./.env", ".env"), ["config/deep/z.local", ".env"]),
        (("config/x.[lm]*", "config/?.other"), ["config/x.local", "config/x.other"]),
        (("nothing", "no/*/thing", "$(touch x)"), []),
        (("[",), ["["]),
    ],
)
def test_globs_say_what_is_copied(source, target, patterns, copied):
    names = [
        ".env",
        "a/.env",
        "a/b/.env",
        "config/x.local",
        "config/ü y.local",
        "config/x.other",
        "config/deep/z.local",
    ]
    write(source, *names, "[")
    assert list(copy(source, target, *patterns)) == copied
    assert files(target) == dict.fromkeys(copied, "source")


def test_nothing_that_is_there_is_overwritten(source, target):
    write(source, "a/.env", ".env", "b")
    write(target, ".env", text="mine")
    (target / "b").symlink_to("nowhere")
    assert copy(source, target, "**/.env", "b") == ("a/.env",)
    assert files(target) == {".env": "mine", "a/.env": "source"}


def test_copies_that_were_made_before_are_told_again(source, target):
    write(source, "a", "b", "c")
    (source / "link").symlink_to("a")
    assert copy(source, target, "a", "b", "link") == ("a", "b", "link")
    (target / "b").write_text("changed since")
    assert copy(source, target, "*") == ("README", "a", "c", "link")


def test_mode_and_time_are_kept(source, target):
    write(source, "run")
    (source / "run").chmod(0o750)
    os.utime(source / "run", (1, 1))
    copy(source, target, "run")
    assert (target / "run").stat().st_mode & 0o777 == 0o750
    assert (target / "run").stat().st_mtime == 1


@pytest.mark.parametrize("pattern", ["../x", "/etc/passwd", "a/../../x", "", "/", "."])
def test_a_pattern_that_leads_out_is_refused(source, target, pattern):
    with pytest.raises(HostError, match="leads out of the repository"):
        copy(source, target, pattern)


def test_no_link_leads_out_and_one_that_stays_inside_stays_a_link(source, target, tmp_path):
    write(tmp_path, "secret", "folder/secret")
    write(source, "real", "d/file")
    links = {
        "inside": "real",
        "d/up": "../real",
        "dangling": "not-yet",
        "outside": "../secret",
        "absolute": str(source / "real"),
        "folder-out": "../folder",
        "d/far": "../../secret",
        "through": "folder-out/secret",
        "around": "../app/real",
        "to-git": ".git/config",
    }
    for name, goal in links.items():
        (source / name).symlink_to(goal)
    assert sorted(copy(source, target, "**")) == ["README", "d/file", "d/up", "dangling", "inside", "real"]
    assert (target / "inside").readlink().name == "real"
    assert (target / "d" / "up").read_text() == "source"


def test_no_link_in_the_worktree_leads_a_copy_out(source, target, tmp_path):
    write(source, "config/x", "file/x", "a/b/x")
    (tmp_path / "outside").mkdir()
    (target / "config").symlink_to(tmp_path / "outside")
    write(target, "file")
    (target / "a").mkdir()
    (target / "a" / "b").symlink_to("../../outside")
    assert copy(source, target, "**/x") == ()
    assert files(tmp_path / "outside") == {}


def test_repositories_inside_and_what_metawsm_keeps_are_left_alone(source, target):
    Repository(source / "nested", {".env": "x"})
    write(source, ".metawsm/.env", "sub/.env", ".env")
    (source / "sub" / ".git").write_text("gitdir: ../.git/modules/sub")
    assert copy(source, target, "**", ".git/config", ".metawsm/*", "nested/.env") == (".env", "README")
    write(target, "sub/.git")
    assert copy(source, target, "sub/.env") == ("sub/.env",)


def test_what_is_no_file_is_skipped(source, target):
    os.mkfifo(source / "pipe")
    assert copy(source, target, "pipe") == ()


def test_a_name_that_is_not_text_is_answered_readably(source, target):
    (source / "b\udcff").write_text("x")
    assert copy(source, target, "b*") == (r"b\xff",)
    assert (target / "b\udcff").exists()


def test_a_copy_that_was_cut_off_is_made_anew(source, target):
    write(source, "a/.env")
    write(target, "a/.metawsm-part", text="half")
    assert copy(source, target, "**/.env") == ("a/.env",)
    assert files(target) == {"a/.env": "source"}


def test_a_copy_that_fails_leaves_nothing(source, target, monkeypatch):
    write(source, ".env")

    def fail(*_args, **_options):
        (target / ".metawsm-part").write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copy2", fail)
    with pytest.raises(HostError, match=f"{source}/.env could not be copied to {target}/.env: No space left on device"):
        copy(source, target, ".env")
    assert files(target) == {}


def test_an_interrupt_ends_copying(source, target):
    write(source, ".env")
    git = worktrees(source.parent)
    git.interrupt()
    with pytest.raises(InterruptedStepError):
        git.copy_files(str(source), str(target), [".env"])
    assert files(target) == {}


def test_a_bare_source_has_nothing_to_copy(source, target, tmp_path):
    Repository(tmp_path / "x").git("clone", "-q", "--bare", ".", str(tmp_path / "bare"))
    assert copy(tmp_path / "bare", target, "config", "HEAD") == ()
