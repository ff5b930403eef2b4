"""Names from outside are refused or sanitised at the edge, and what is made from them stays distinct."""

import re
import unicodedata
from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metawsm_rpc.domain import names
from metawsm_rpc.errors import InvalidParamsError

CHECKS = [
    names.check_ticket,
    names.check_repository,
    names.check_agent,
    names.check_run_id,
    names.check_workspace,
]

HOSTILE = [
    "",
    " ",
    "a b",
    "a'b",
    'a"b',
    "$(touch x)",
    "a`touch x`",
    "#(touch x)",
    "a#{pane_id}",
    "a;b",
    "a&b",
    "a|b",
    "%Y",
    "a%20b",
    "a\nb",
    "a\n",
    "\na",
    "a\rb",
    "a\tb",
    "a\x00b",
    "a\x1b[31mb",
    "-n",
    "--force",
    ".",
    "..",
    ".hidden",
    "a..b",
    "a.",
    "../a",
    "a/b",
    "/a",
    "a\\b",
    "~a",
    "*",
    "a?",
    "[a]",
    "{a}",
    "a\udcff",
    "a\u202eb",
    "a\u200bb",
    "a\u2028b",
    "_a",
    "x" * 300,
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_hostile_name_is_refused_with_a_sentence_that_can_be_printed(check: Callable[[str], str], name: str) -> None:
    with pytest.raises(InvalidParamsError) as caught:
        check(name)
    assert "cannot be the name of a" in caught.value.message
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    ("check", "name"),
    [
        (names.check_ticket, "MEN-123"),
        (names.check_ticket, "Größe_2.1:b"),
        (names.check_ticket, "チケット-7"),
        (names.check_ticket, "1"),
        (names.check_repository, "go-go-golems.github.io"),
        (names.check_repository, "Übung"),
        (names.check_agent, "codex-exec_2.b"),
        (names.check_run_id, "q7m2x9ka"),
        (names.check_run_id, "0-a"),
        (names.check_run_id, "a" * 64),
        (names.check_workspace, "men-123-x9ka"),
    ],
)
def test_a_usable_name_stays_as_it_is(check: Callable[[str], str], name: str) -> None:
    assert check(name) == name


@pytest.mark.parametrize("name", ["हिन्दी-1", "x\u0301y", "ไทย"])
def test_a_mark_belongs_to_its_letter_where_letters_of_any_script_may_stand(name: str) -> None:
    assert names.check_ticket(name) == names.check_repository(name) == name
    for check in (names.check_agent, names.check_run_id, names.check_workspace):
        with pytest.raises(InvalidParamsError):
            check(name)


@pytest.mark.parametrize("name", ["\u0301x", "x" + "\u0301" * 100, "猫" * 67])
def test_a_mark_without_a_letter_and_what_no_folder_can_hold_are_refused(name: str) -> None:
    for check in CHECKS:
        with pytest.raises(InvalidParamsError):
            check(name)


@pytest.mark.parametrize("name", ["Ü-1", "ü", "a:b", "x\u0301"])
def test_an_agent_is_named_in_ascii(name: str) -> None:
    with pytest.raises(InvalidParamsError, match="ASCII letters"):
        names.check_agent(name)


@pytest.mark.parametrize("name", ["A", "a_b", "a.b", "-a", "a" * 65])
def test_a_run_id_is_what_the_protocol_says(name: str) -> None:
    with pytest.raises(InvalidParamsError, match="at most 64 of a-z, 0-9 and '-'"):
        names.check_run_id(name)


def test_a_name_is_the_same_however_its_accents_are_written() -> None:
    decomposed = unicodedata.normalize("NFD", "Größe")
    assert decomposed != "Größe"
    assert names.check_ticket(decomposed) == names.check_ticket("Größe")


@given(st.text())
def test_a_name_that_is_accepted_stays_one_folder_and_one_word(text: str) -> None:
    for check in CHECKS:
        try:
            name = check(text)
        except InvalidParamsError:
            continue
        assert check(name) == name
        assert not set(name) & set("/\\ '\"$`#;&|%*?[]{}()<>~!\n\r\t\0")
        assert not name.startswith(("-", "."))
        assert name.isascii() or check in (names.check_ticket, names.check_repository)
        assert len(name.encode()) <= 200
        assert ".." not in name


# --- run ids ---


@given(st.binary(min_size=8, max_size=64))
def test_a_new_run_id_is_valid_and_as_long_as_it_should_be(random_bytes: bytes) -> None:
    made = names.run_id(random_bytes)
    assert names.check_run_id(made) == made
    assert len(made) == names.RUN_ID_LENGTH
    assert not set(made) & set("il10o")
    assert names.suffix(made) == made


@pytest.mark.parametrize(
    ("run", "suffix"), [("q7m2x9ka", "q7m2x9ka"), ("login-page", "page"), ("try-2", "try-2"), ("a-b-cdef", "cdef")]
)
def test_the_suffix_of_a_run_is_its_last_word_unless_that_is_too_short(run: str, suffix: str) -> None:
    assert names.suffix(run) == suffix


# --- workspaces ---


def test_a_workspace_is_named_by_its_ticket_and_its_run() -> None:
    assert names.workspace_names(["MEN-123", "Größe.2"], "q7m2x9ka") == {
        "MEN-123": "men-123-q7m2x9ka",
        "Größe.2": "groe-2-q7m2x9ka",
    }


@pytest.mark.parametrize(
    "tickets",
    [("A-1", "a-1"), ("a.b", "a-b", "a:b"), ("ab", "AB", "Ab"), ("日本", "中国"), ("é", "e")],
)
def test_tickets_that_differ_only_in_what_is_sanitised_get_distinct_workspaces(tickets: tuple[str, ...]) -> None:
    made = names.workspace_names(tickets, "q7m2x9ka")
    assert len(set(made.values())) == len(tickets)
    assert all(names.check_workspace(name) == name for name in made.values())
    assert all(name.endswith("-q7m2x9ka") for name in made.values())


def test_a_ticket_named_like_the_hash_of_others_is_still_distinct() -> None:
    hashed = sha256(b"a.b").hexdigest()[:6]
    made = names.workspace_names(["a.b", "a-b", f"a-b-{hashed}"], "q7m2x9ka")
    assert len(set(made.values())) == 3


def test_equal_hashes_get_longer() -> None:
    # Found by search: both slugs are empty, and six digits of the hashes are equal.
    first, second = _colliding()
    assert names.slug(first) == names.slug(second) == ""
    made = names.workspace_names([first, second], "q7m2x9ka")
    assert len(set(made.values())) == 2


def _colliding() -> tuple[str, str]:
    known: dict[str, str] = {}
    for number in range(100_000):
        name = "".join(chr(0x4E00 + digit) for digit in divmod(number, 1000))
        digest = sha256(name.encode()).hexdigest()[:6]
        if digest in known:
            return known[digest], name
        known[digest] = name
    raise AssertionError("no two hashes are equal")


def test_a_name_that_grows_when_it_is_sanitised_still_fits_a_folder() -> None:
    for ticket in ("ﬃ" * 66, "x" * 100):
        name = names.workspace_names([names.check_ticket(ticket)], "a" * 64)[ticket]
        assert len(name) <= 200
        assert names.check_workspace(name) == name


TICKETS = st.from_regex(r"[^\W_][\w.:-]{0,12}", fullmatch=True).filter(
    lambda name: ".." not in name and not name.endswith(".")
)
RUNS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True)
AGENTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True)


@given(st.lists(TICKETS.map(names.check_ticket), unique=True, max_size=8), RUNS)
def test_workspaces_of_a_run_are_always_distinct_and_always_valid(tickets: list[str], run: str) -> None:
    made = names.workspace_names(tickets, run)
    assert list(made) == tickets
    assert len(set(made.values())) == len(tickets)
    for name in made.values():
        assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name)
        assert names.check_workspace(name) == name


@given(st.dictionaries(st.text(max_size=3), st.text("ab-", max_size=8)))
def test_distinct_names_are_distinct_and_leave_alone_what_already_was(wanted: dict[str, str]) -> None:
    made = names.distinct(wanted)
    assert list(made) == list(wanted)
    assert len(set(made.values())) == len(wanted)
    assert all(made.values())
    for key, name in wanted.items():
        assert made[key] == name or list(wanted.values()).count(name) > 1 or name in ("", *made.values())


# --- sessions ---


def test_a_session_is_named_by_the_policy_and_ends_in_its_run() -> None:
    made = names.session_name(
        "{agent}-{workspace}", agent="codex", workspace="t-1-q7m2x9ka", ticket="T-1", run="q7m2x9ka"
    )
    assert made == "codex-t-1-q7m2x9ka"


def test_a_session_without_its_run_in_the_pattern_gets_it_all_the_same() -> None:
    def made(ticket: str, run: str) -> str:
        return names.session_name("{agent}-{ticket}", agent="codex", workspace="w", ticket=ticket, run=run)

    assert made("T-1", "q7m2x9ka") == "codex-T-1-q7m2x9ka"
    # The letters of the run stand in the ticket's name by accident.
    assert made("catalog", "data-cata") == "codex-catalog-cata"


@given(AGENTS, TICKETS, RUNS, st.sampled_from(["{agent}-{workspace}", "{ticket}_{agent}", "x{workspace}{agent}"]))
def test_a_session_name_is_allow_listed_whatever_it_is_made_of(agent: str, ticket: str, run: str, pattern: str) -> None:
    workspace = names.workspace_names([ticket], run)[ticket]
    made = names.session_name(pattern, agent=agent, workspace=workspace, ticket=ticket, run=run)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", made)
    assert names.suffix(run).strip("-") in made


@given(st.text(), st.text())
def test_a_session_name_is_allow_listed_even_for_names_that_should_never_have_come_here(a: str, b: str) -> None:
    made = names.session_name("{agent}-{workspace}", agent=a, workspace=b, ticket=b, run="q7m2x9ka")
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", made)
