"""Merges made ahead of time: what they make, what they refuse, and what they never write."""

import pytest
from merging_support import Repository, merging, use_private_git

from metawsm_rpc.errors import CommandError
from metawsm_rpc.ports.merging import Rehearsed

PIN = "refs/metawsm/close/run-1"


@pytest.fixture(autouse=True)
def _private_git(tmp_path, monkeypatch):
    use_private_git(tmp_path / "home", monkeypatch)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "app")


def tasks(repository, *branches, base="main"):
    return [
        repository.request(repository.path, branch, base=base, ticket=f"T-{number}")
        for number, branch in enumerate(branches, 1)
    ]


def rehearse(requests, *, kind="merge", pin=PIN):
    return merging().rehearse(requests, kind=kind, pin_prefix=pin)


def reasons(result):
    assert not isinstance(result, Rehearsed), result
    return [(blocked.ticket, blocked.reason, blocked.files) for blocked in result]


# --- what is made -----------------------------------------------------------------------------------


def test_a_merge_commit_is_made_although_a_fast_forward_were_possible(repository):
    tip = repository.branch_with({"added.txt": "added\n"}, "task/größe")
    old = repository.commit_of("main")

    made = rehearse(tasks(repository, "task/größe"))

    assert made == Rehearsed(str(repository.path), "main", old, made.new, (("T-1", old, made.new, "merge"),))
    assert repository.git("log", "-1", "--format=%P%n%B", made.new) == (
        f"{old} {tip}\nMerge branch 'task/größe' into main\n\nTicket: T-1"
    )
    assert repository.git("log", "-1", "--format=%(trailers:key=Ticket,valueonly)", made.new) == "T-1"
    assert repository.git("show", f"{made.new}:added.txt") == "added"
    assert repository.commit_of("main") == old
    assert repository.status() == []


def test_tickets_are_chained_each_on_the_result_of_the_one_before(repository):
    first = repository.branch_with({"a.txt": "a\n"}, "task/a")
    second = repository.branch_with({"b.txt": "b\n"}, "task/b")
    old = repository.commit_of("main")

    made = rehearse(tasks(repository, "task/a", "task/b"))

    (_, start, middle, _), (_, onto, end, _) = made.steps
    assert (start, onto, end) == (old, middle, made.new)
    assert repository.git("log", "-1", "--format=%P", middle) == f"{old} {first}"
    assert repository.git("log", "-1", "--format=%P", end) == f"{middle} {second}"
    assert repository.git("ls-tree", "--name-only", made.new).split() == [
        "a.txt",
        "b.txt",
        "changed.txt",
        "kept.txt",
        "removed.txt",
    ]


def test_a_branch_without_anything_new_needs_no_merge(repository):
    repository.git("branch", "task/nothing")
    old = repository.commit_of("main")

    assert rehearse(tasks(repository, "task/nothing")) == Rehearsed(
        str(repository.path), "main", old, old, (("T-1", old, old, "none"),)
    )
    assert repository.git("for-each-ref", "refs/metawsm") == ""


def test_a_second_ticket_that_is_contained_in_the_first_needs_no_merge(repository):
    repository.branch_with({"a.txt": "a\n"}, "task/a")
    repository.git("branch", "task/b", "task/a")

    made = rehearse(tasks(repository, "task/a", "task/b"))

    assert [step[3] for step in made.steps] == ["merge", "none"]


def test_fast_forward_moves_to_the_branch_itself(repository):
    tip = repository.branch_with({"a.txt": "a\n"}, "task/a")

    made = rehearse(tasks(repository, "task/a"), kind="fast-forward")

    assert (made.new, made.steps[0][3]) == (tip, "fast-forward")


def test_fast_forward_is_refused_when_the_base_has_moved_on(repository):
    repository.branch_with({"a.txt": "a\n"}, "task/a")
    repository.commit("mine", {"mine.txt": "mine\n"})

    assert reasons(rehearse(tasks(repository, "task/a"), kind="fast-forward")) == [("T-1", "not_fast_forward", ())]


def test_a_pin_keeps_the_result_until_it_is_unpinned(repository):
    repository.branch_with({"a.txt": "a\n"}, "task/a")
    repository.git("branch", "release/1", "main")
    other = PIN + "0"

    on_main = rehearse(tasks(repository, "task/a"))
    on_release = rehearse(tasks(repository, "task/a", base="release/1"))
    rehearse(tasks(repository, "task/a"), pin=other)

    assert repository.commit_of(f"{PIN}/main") == on_main.new
    assert repository.commit_of(f"{PIN}/release/1") == on_release.new
    for _ in range(2):
        merging().unpin(str(repository.path), PIN)
    assert repository.git("for-each-ref", "--format=%(refname)", "refs/metawsm") == f"{other}/main"


def test_without_a_pin_no_ref_is_written(repository):
    repository.branch_with({"a.txt": "a\n"}, "task/a")
    before = repository.git("for-each-ref")

    made = rehearse(tasks(repository, "task/a"), pin=None)

    assert repository.git("cat-file", "-t", made.new) == "commit"
    assert repository.git("for-each-ref") == before


def test_merge_hooks_do_not_run(repository, tmp_path):
    repository.branch_with({"a.txt": "a\n"}, "task/a")
    for name in ("pre-merge-commit", "commit-msg", "prepare-commit-msg", "post-merge", "post-commit", "pre-commit"):
        file = repository.path / ".git/hooks" / name
        file.write_text(f"#!/bin/sh\ntouch '{tmp_path}/{name}.ran'\nexit 1\n")
        file.chmod(0o755)

    assert isinstance(rehearse(tasks(repository, "task/a")), Rehearsed)
    assert list(tmp_path.glob("*.ran")) == []


# --- what is refused --------------------------------------------------------------------------------


def test_a_conflict_names_ticket_and_files(repository):
    repository.branch_with({"changed.txt": "theirs\n", "fine.txt": "x\n"}, "task/a")
    repository.branch_with({"kept.txt": None, "größe.txt": "theirs\n"}, "task/b")
    repository.commit("mine", {"changed.txt": "mine\n", "kept.txt": "mine\n", "größe.txt": "mine\n"})

    blocked = rehearse(tasks(repository, "task/a", "task/b"))

    assert reasons(blocked) == [
        ("T-1", "conflict", ("changed.txt",)),
        ("T-2", "conflict", ("größe.txt", "kept.txt")),
    ]
    assert blocked[0].repo == "app"
    assert repository.git("for-each-ref", "refs/metawsm") == ""


def test_a_ticket_that_conflicts_only_with_another_ticket_is_refused(repository):
    repository.branch_with({"changed.txt": "one\n"}, "task/a")
    repository.branch_with({"changed.txt": "two\n"}, "task/b")

    assert reasons(rehearse(tasks(repository, "task/a", "task/b"))) == [("T-2", "conflict", ("changed.txt",))]


def test_unrelated_histories_and_missing_branches_are_refused(repository):
    repository.git("switch", "-q", "--orphan", "task/a")
    repository.commit("orphan", {"a.txt": "a\n"})

    assert reasons(rehearse(tasks(repository, "task/a", "task/b"))) == [
        ("T-1", "unrelated", ()),
        ("T-2", "wrong_branch", ()),
    ]
    assert reasons(rehearse(tasks(repository, "task/a", base="nobody"))) == [("T-1", "no_base", ())]


def test_a_git_without_identity_is_an_error(repository, monkeypatch, tmp_path):
    repository.branch_with({"a.txt": "a\n"}, "task/a")
    (tmp_path / "home/.gitconfig").write_text("[user]\nuseConfigOnly = true\n")

    with pytest.raises(CommandError):
        rehearse(tasks(repository, "task/a"))


# --- attributes -------------------------------------------------------------------------------------


def both_append(repository, attributes):
    """Make two appends that conflict but for the attributes, which only main has."""
    repository.commit("log", {"log": "".join(f"{n}\n" for n in range(9)), "sub/log": "1\n2\n3\n"})
    repository.branch_with({"log": (repository.path / "log").read_text() + "theirs\n"}, "task/a")
    repository.commit("mine", {"log": (repository.path / "log").read_text() + "mine\n", **attributes})


@pytest.mark.parametrize("shown", ["base checked out", "base not checked out", "bare"])
def test_the_attributes_of_the_base_decide_wherever_it_is(repository, tmp_path, shown):
    both_append(repository, {".gitattributes": "/log merge=union\n"})
    requests = tasks(repository, "task/a")
    if shown == "base not checked out":
        repository.git("switch", "-q", "-c", "elsewhere", "HEAD~1")
    elif shown == "bare":
        bare = Repository.__new__(Repository)
        bare.path = tmp_path / "bare.git"
        repository.git("clone", "-q", "--bare", str(repository.path), str(bare.path))
        requests = tasks(bare, "task/a")

    made = rehearse(requests)

    assert isinstance(made, Rehearsed), made
    assert repository.git("-C", requests[0].repo.source, "show", f"{made.new}:log").endswith("8\nmine\ntheirs")


def test_attributes_of_a_checkout_of_something_else_do_not_decide(repository):
    both_append(repository, {})
    repository.git("switch", "-q", "-c", "elsewhere")
    repository.commit("attributes", {".gitattributes": "log merge=union\n"})

    assert reasons(rehearse(tasks(repository, "task/a"))) == [("T-1", "conflict", ("log",))]


def test_attributes_that_are_only_changed_in_the_checkout_do_not_decide(repository):
    both_append(repository, {".gitattributes": "# nothing\n"})
    repository.write({".gitattributes": "log merge=union\n"})

    assert reasons(rehearse(tasks(repository, "task/a"))) == [("T-1", "conflict", ("log",))]


def test_attributes_that_the_first_ticket_brings_decide_for_the_second(repository):
    both_append(repository, {})
    repository.branch_with({".gitattributes": "log merge=union\n"}, "task/attributes")

    made = rehearse(tasks(repository, "task/attributes", "task/a"))

    assert isinstance(made, Rehearsed), made


def test_binary_and_driver_attributes_in_subfolders_are_honoured(repository):
    repository.commit("files", {"sub/bin": "1\n2\n3\n4\n5\n", "sub/mine": "1\n"})
    repository.branch_with({"sub/bin": "1\n2\n3\n4\ntheirs\n"}, "task/bin")
    repository.branch_with({"sub/mine": "theirs\n"}, "task/mine")
    repository.commit(
        "mine",
        {
            "sub/bin": "mine\n2\n3\n4\n5\n",
            "sub/mine": "mine\n",
            "sub/.gitattributes": "bin -merge\nmine merge=ours\n",
        },
    )
    repository.git("config", "merge.ours.driver", "true")
    repository.git("switch", "-q", "--detach", "HEAD~1")

    assert reasons(rehearse(tasks(repository, "task/bin"))) == [("T-1", "conflict", ("sub/bin",))]
    made = rehearse(tasks(repository, "task/mine"))
    assert isinstance(made, Rehearsed), made
    assert repository.git("show", f"{made.new}:sub/mine") == "mine"


def test_a_merge_driver_with_a_relative_path_is_found_in_the_checkout_of_the_base(repository):
    both_append(repository, {".gitattributes": "log merge=own\n", "driver": "#!/bin/sh\necho driven > $2\n"})
    (repository.path / "driver").chmod(0o755)
    repository.git("config", "merge.own.driver", "./driver %O %A %B")

    made = rehearse(tasks(repository, "task/a"))

    assert isinstance(made, Rehearsed), made
    assert repository.git("show", f"{made.new}:log") == "driven"
    assert repository.status() == [" M driver"]


# --- signatures -------------------------------------------------------------------------------------

GPG = """#!/bin/sh
cat > /dev/null
echo '[GNUPG:] SIG_CREATED ' >&2
printf -- '-----BEGIN PGP SIGNATURE-----\\n\\nnot really\\n-----END PGP SIGNATURE-----\\n'
"""


@pytest.fixture
def gpg(repository, tmp_path):
    program = tmp_path / "gpg"
    program.write_text(GPG)
    program.chmod(0o755)
    repository.git("config", "gpg.program", str(program))
    repository.branch_with({"a.txt": "a\n"}, "task/a")
    repository.branch_with({"b.txt": "b\n"}, "task/b")
    return program


@pytest.mark.parametrize(("setting", "signed"), [("true", True), ("yes", True), ("false", False), (None, False)])
def test_merge_commits_are_signed_when_the_repository_signs(repository, gpg, setting, signed):
    if setting:
        repository.git("config", "commit.gpgSign", setting)

    made = rehearse(tasks(repository, "task/a", "task/b"))

    for _, _, commit, _ in made.steps:
        assert ("gpgsig" in repository.git("cat-file", "commit", commit)) is signed


def test_a_rehearsal_that_keeps_nothing_asks_nobody_for_a_signature(repository, gpg):
    repository.git("config", "commit.gpgSign", "true")

    made = rehearse(tasks(repository, "task/a"), pin=None)

    assert "gpgsig" not in repository.git("cat-file", "commit", made.new)


def test_a_signature_that_fails_is_an_error_and_pins_nothing(repository, gpg):
    repository.git("config", "commit.gpgSign", "true")
    gpg.write_text("#!/bin/sh\necho 'no secret key' >&2\nexit 2\n")

    with pytest.raises(CommandError, match="sign"):
        rehearse(tasks(repository, "task/a"))
    assert repository.git("for-each-ref", "refs/metawsm") == ""


def test_the_callers_git_variables_do_not_reach_the_merge(repository, tmp_path, monkeypatch):
    repository.branch_with({"a.txt": "a\n"}, "task/a")
    elsewhere = Repository(tmp_path / "elsewhere")
    old = repository.commit_of("main")
    monkeypatch.setenv("GIT_DIR", str(elsewhere.path / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "no-index"))

    made = rehearse(tasks(repository, "task/a"))

    assert made.old == old
    assert not (tmp_path / "no-index").exists()
