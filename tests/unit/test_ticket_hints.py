"""Lenses, actions, hovers, links and symbols of a ticket, as pure functions of what is known of a root."""

from typing import Any

import pytest
from editor_support import at, detail, view
from lsprotocol import types
from run_support import question, step

from metawsm_rpc.rpc.features.actions import actions
from metawsm_rpc.rpc.features.diagnostics import diagnostics
from metawsm_rpc.rpc.features.hovers import hover, quoted
from metawsm_rpc.rpc.features.lenses import lenses
from metawsm_rpc.rpc.features.links import links, ticket_at
from metawsm_rpc.rpc.features.symbols import symbols
from metawsm_rpc.rpc.view import View

LINE = types.Range(types.Position(2, 8), types.Position(2, 11))
SETTLED = at("completed")


def titles(of: View, **options: Any) -> list[str]:
    return [lens.command.title for lens in lenses(of.tickets[0], of, LINE, **options) if lens.command]


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        (view(), ["Run"]),
        (view(closed=["r1"]), ["Run"]),
        (view(detail(agents=(at("running", "healthy"),))), ["Run r1: running (a healthy)", "Stop", "Review"]),
        (view(detail(agents=(at("waiting", "healthy"),))), ["Run r1: running (a waiting)", "Stop", "Review"]),
        (view(detail(status="completed", agents=(SETTLED,))), ["Run r1: completed (a completed)", "Review", "Close"]),
        (view(detail(status="closing", agents=(SETTLED,))), ["Run r1: closing (a completed)", "Review", "Close"]),
        (view(detail(status="stopped", agents=(at("stopped"),))), ["Run r1: stopped (a stopped)", "Resume", "Review", "Run"]),
        (view(detail(status="failed", agents=(at("dead", "dead"),))), ["Run r1: failed (a dead)", "Resume", "Review", "Run"]),
        (
            view(detail(status="awaiting_guidance", agents=(at("waiting", "waiting"),), guidance=(question(),))),
            ["Run r1: awaiting guidance (a waiting)", "Answer a: this", "Answer a: that", "Stop", "Review"],
        ),
        (
            view(detail(agents=(at("idle", "idle"), at("running", "healthy", name="b"), at("idle", "idle", name="c")))),
            ["Run r1: running (2 idle, 1 healthy)", "Stop", "Review"],
        ),
    ],
)  # fmt: skip
def test_lenses_say_how_it_is_and_what_can_be_done(root: View, expected: list[str]) -> None:
    assert titles(root) == expected


def test_who_asks_a_person_is_offered_an_answer_in_words() -> None:
    root = view(detail(agents=(), guidance=(question(choices=()),)))
    assert "Answer a…" not in titles(root)
    assert "Answer a…" in titles(root, asks=True)


def test_a_folder_that_is_not_trusted_is_only_looked_at() -> None:
    root = view(detail(agents=(at("dead", "dead", started_at="x"),)))
    assert titles(root, trusted=False) == ["Run r1: running (a dead)"]
    found = actions(root.tickets[0], root, types.CodeActionContext([]), trusted=False)
    verbs = {action.command.command for action in found if action.command}
    assert verbs <= {"metawsm.status", "metawsm.transcript", "metawsm.explain", "metawsm.attach"}


class TestActions:
    def offered(self, root: View, only: list[str] | None = None) -> list[types.CodeAction]:
        shown = [one for listed in diagnostics(root).values() for one in listed]
        return actions(root.tickets[0], root, types.CodeActionContext(shown, only))

    def test_every_command_has_all_its_arguments(self) -> None:
        root = view(
            detail(
                status="failed",
                agents=(at("dead", "dead"), at("idle", "idle", name="b")),
                steps=(step(status="failed", attempts=2),),
                guidance=(question(),),
            )
        )
        needed = {
            "restart": {"runId"},
            "transcript": {"runId", "ticket", "agent"},
            "explain": {"runId", "ticket", "agent"},
            "attach": {"runId", "ticket", "agent"},
            "answer": {"guidanceId", "answer"},
            "retryStep": {"runId", "index"},
            "skipStep": {"runId", "index"},
        }
        offered = self.offered(root)
        for action in offered:
            assert action.command
            assert action.command.arguments
            verb = action.command.command.removeprefix("metawsm.")
            assert needed.get(verb, set()) | {"root"} <= set(action.command.arguments[0]), action.title
        assert {action.command.command for action in offered if action.command} >= {
            f"metawsm.{verb}" for verb in needed
        }

    def test_nothing_is_offered_twice(self) -> None:
        root = view(detail(status="failed", agents=(at("dead", "dead"),)))
        commands = [str(action.command) for action in self.offered(root)]
        assert len(commands) == len(set(commands))

    def test_a_choice_of_an_agent_is_a_title_and_no_more(self) -> None:
        root = view(detail(agents=(), guidance=(question(choices=("a\x1b[31m\n" + "b" * 100,)),)))
        (title,) = [action.title for action in self.offered(root) if action.title.startswith("Answer")]
        assert title.startswith("Answer a: a bbb")
        assert len(title) < 80

    def test_only_the_kinds_that_are_asked_for_come(self) -> None:
        root = view(detail(agents=(at("dead", "dead"),)))
        assert {action.kind for action in self.offered(root, ["quickfix"])} == {"quickfix"}
        assert {action.kind for action in self.offered(root, ["source"])} == {"source.metawsm"}
        assert self.offered(root, ["refactor"]) == []


def test_the_hover_quotes_those_that_live_or_ended_badly() -> None:
    root = view(detail(agents=(at("running", "healthy"), SETTLED._replace(name="b"), at("failed", name="c"))))
    assert [key[2] for key in quoted(root.tickets[0], root)] == ["a", "c"]


def test_what_is_printed_cannot_leave_its_block() -> None:
    root = view(detail(agents=(at("running", "healthy"),)))
    text = hover(root.tickets[0], root, {("r1", "T-1", "a"): "one\n```\n\x1b[31m[x](command:y)\n\n" + "z" * 999})
    assert "\n````text\none\n```\n[x](command:y)\n" + "z" * 200 + "\n````" in text


def test_a_ticket_is_found_where_it_is_written() -> None:
    root = view(detail(tickets=("T-1", "docs", "A-2")))
    text = "see T-1, T-10, XT-1, a/T-1 and docs\n[A-2](there) A-2. 𝔘 A-2"
    found = [(one.range.start, one.range.end) for one in links(text, None, root.tickets)]
    assert [(start.line, start.character, end.character) for start, end in found] == [
        (0, 4, 7),
        (1, 13, 16),
        (1, 21, 24),
    ]
    assert links(text, "/root/ttmp/T-1/index.md", root.tickets)[0].range.start.line == 1
    assert ticket_at(text, types.Position(1, 22), root.tickets)[0].ticket == "A-2"  # type: ignore[index]
    assert ticket_at(text, types.Position(0, 1), root.tickets) is None


def test_symbols_are_found_by_their_letters() -> None:
    root = view(detail(agents=(at("idle", "idle"),)))
    assert [one.name for one in symbols(root, "", documents=True)] == ["T-1 Title of T-1", "r1 T-1", "a on T-1"]
    assert [one.container_name for one in symbols(root, "aon", documents=True)] == ["agent of r1, idle"]
    assert symbols(root, "zzz", documents=False) == []
