"""Talking with agents at work: what is sent to them, what they ask, and where the answers go."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Root
from engine_support import RUN, WAITS, Runs, process, runs_on, until

from metawsm_rpc.engine import delivery
from metawsm_rpc.errors import IllegalTransitionError, InvalidParamsError, StoreError
from metawsm_rpc.ports.store import Lease
from metawsm_rpc.store.store import SqliteStore
from metawsm_rpc.store.transaction import StoreTransaction

PROGRAM = shlex.join([sys.executable, str(Path(__file__).with_name("prompting_program.py"))])

READS = f'exec {PROGRAM} "$METAWSM_ROOT/received.$METAWSM_TICKET.$METAWSM_AGENT"'
"""An agent with an input line."""

SAY = '"$METAWSM_BIN" signal '


@pytest.fixture
def a_root(root: Root) -> Root:
    root.repository("app")
    return root


@pytest.fixture
def runs(a_root: Root) -> Iterator[Runs]:
    with runs_on(a_root) as opened:
        yield opened


def begin(runs: Runs, script: str = READS, *, profile: str = "claude", tickets: tuple[str, ...] = ("T-1",)) -> None:
    runs.root.policy(agents=[Root.agent("worker", script, profile)], execution={"stop_grace_seconds": 1})
    runs.start(*tickets, repos=["app"])


def claude(flags: str = "") -> str:
    """Return an agent whose screen is read by the rules of claude."""
    return f"{READS} --look claude {flags}"


def received(runs: Runs, agent: str = "worker", ticket: str = "T-1") -> list[str]:
    file = runs.root.path / f"received.{ticket}.{agent}"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def send(runs: Runs, text: str = "hello", **options: Any) -> tuple[bool, str | None]:
    return tuple(runs.verbs.send(RUN, agent="worker", text=text, **options))  # type: ignore[return-value]


def say(runs: Runs, kind: str, message: str | None = None, *, ticket: str = "T-1") -> str | None:
    """Say something as the agent of a ticket does; returns the id of its question."""
    agent = runs.agent(ticket=ticket)
    told = runs.verbs.signal(
        RUN, ticket=ticket, agent=agent.name, launch=agent.launch or "", type=kind, message=message
    )
    return told.guidance_id


def asking(runs: Runs, question: str, *flags: str, ticket: str = "T-1") -> tuple[str, ...]:
    """Return the command line with which an agent asks and waits."""
    launch = runs.agent(ticket=ticket).launch or ""
    whose = ("--run-id", RUN, "--ticket", ticket, "--agent", "worker", "--launch", launch)
    return ("signal", "guidance", question, "--wait", *whose, *flags)


def pending(runs: Runs, count: int = 1) -> list[Any]:
    def questions() -> list[Any]:
        found = [question for question in runs.store.questions(RUN) if question.status == "pending"]
        return found if len(found) == count else []

    return until(questions)  # type: ignore[no-any-return]


def killed(act: Callable[[], object], after: str) -> bool:
    """Do something in another process, killed when it has written an event of this type; returns whether it did."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pytest's own threads do not mind
        pid = os.fork()
    if pid == 0:
        try:
            transaction = SqliteStore.transaction

            @contextmanager
            def mortal(self: SqliteStore, lease: Lease | None = None) -> Iterator[Any]:
                before = self.seq()
                with transaction(self, lease) as under_way:
                    yield under_way
                if after in {event.type for event in self.events(before)}:
                    os.kill(os.getpid(), signal.SIGKILL)

            SqliteStore.transaction = mortal  # type: ignore[method-assign]
            act()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


class TestSending:
    def test_reaches_an_agent_and_is_on_record(self, runs: Runs) -> None:
        begin(runs, claude())
        text = "Use the second one.\n" + "é" * 300
        assert send(runs, text) == (True, None)
        assert received(runs) == [text]
        (event,) = runs.events("sent")
        assert (event.entity, event.entity_id) == ("agent", "T-1/worker")
        assert event.message == text[:199] + "…"
        assert event.data is not None
        assert (event.data["bytes"], event.data["occasion"]) == (len(text.encode()), "send")

    def test_reaches_one_whose_work_is_done_and_that_is_still_there(self, runs: Runs) -> None:
        begin(runs, claude())
        say(runs, "done", "all of it")
        assert runs.agent().status == "completed"
        assert send(runs) == (True, None)
        assert (received(runs), runs.run().status) == (["hello"], "completed")

    def test_takes_control_characters_for_no_keys(self, runs: Runs) -> None:
        begin(runs, claude())
        assert send(runs, "one\x1b[201~\rtwo\x03") == (True, None)
        assert received(runs) == ["one\ntwo"]
        with pytest.raises(InvalidParamsError, match="empty"):
            send(runs, "\x03\x1b[A\n")

    def test_waits_for_a_program_that_is_just_starting(self, runs: Runs) -> None:
        begin(runs, f"sleep 0.5; {claude()}")
        assert send(runs) == (True, None)
        assert received(runs) == ["hello"]

    def test_to_an_agent_that_has_ended_is_an_error_that_says_what_helps(self, runs: Runs) -> None:
        begin(runs, "exit 0", profile="shell")
        assert runs.settled().status == "completed"
        with pytest.raises(IllegalTransitionError, match="closed") as caught:
            send(runs)
        assert "restart" in (caught.value.hint or "")
        assert runs.events("sent", "not_sent") == []

    def test_to_a_headless_program_is_refused(self, runs: Runs) -> None:
        begin(runs, READS, profile="claude-exec")
        delivered, reason = send(runs)
        assert not delivered
        assert "headless" in (reason or "")
        assert received(runs) == []


class TestADecision:
    def test_on_the_screen_is_left_to_a_person(self, runs: Runs) -> None:
        begin(runs, claude("--dialog start"))
        until(lambda: "proceed" in runs.verbs.transcript(RUN, agent="worker").text)
        delivered, reason = send(runs)
        assert not delivered
        assert "decision (permission)" in (reason or "")
        (event,) = runs.events("not_sent")
        assert "hello" in (event.message or "")
        assert event.data is not None
        assert event.data["reason"] == reason
        assert received(runs) == []
        assert send(runs, "2", force=True) == (True, None)
        assert received(runs) == ["2"]

    def test_that_the_agent_says_it_waits_for_is_one(self, runs: Runs) -> None:
        begin(runs, claude())
        say(runs, "waiting", "may I push?")
        until(lambda: "❯" in runs.verbs.transcript(RUN, agent="worker").text)
        delivered, reason = send(runs)
        assert (delivered, reason) == (False, "it waits for a decision: may I push?")
        assert send(runs, "yes", force=True) == (True, None)
        assert received(runs) == ["yes"]

    def test_that_is_not_described_is_said_to_be_waited_for_once(self, runs: Runs) -> None:
        begin(runs, claude())
        say(runs, "waiting")
        assert send(runs) == (False, "it waits for a decision")

    def test_that_it_asked_for_is_answered_and_not_talked_over(self, runs: Runs) -> None:
        begin(runs)
        asked = say(runs, "guidance", "Which database?")
        delivered, reason = send(runs)
        assert not delivered
        assert "Which database?" in (reason or "")
        assert f"metawsm answer {asked}" in (reason or "")
        assert send(runs, force=True) == (True, None)

    def test_by_the_patterns_of_a_profile_is_one(self, runs: Runs) -> None:
        runs.root.policy(
            agent_profiles=[
                {"name": "own", "runner": "shell", "command": ["x"], "waiting_patterns": [r"Proceed\? \[y/N\]"]}
            ],
            agents=[Root.agent("worker", 'printf "Proceed? [y/N] "; read answer; sleep 60', "own")],
        )
        runs.start("T-1", repos=["app"])
        until(lambda: "Proceed" in runs.verbs.transcript(RUN, agent="worker").text)
        delivered, reason = send(runs, "go on")
        assert (delivered, reason) == (False, "it waits for a decision: Proceed? [y/N]")
        assert send(runs, "y", force=True) == (True, None)


class TestIterating:
    def test_sends_feedback_to_agents_at_work_and_keeps_it_in_their_brief(self, runs: Runs) -> None:
        begin(runs, claude(), tickets=("T-1", "T-2"))
        runs.verbs.iterate(RUN, feedback="Add tests.\nAll of them.")
        runs.verbs.finish(RUN)
        for ticket in ("T-1", "T-2"):
            assert received(runs, ticket=ticket) == ["Add tests.\nAll of them."]
            assert "Add tests." in brief(runs, ticket)
        assert {event.data["occasion"] for event in runs.events("sent") if event.data} == {"iterate"}
        assert [agent.restarts for agent in runs.store.agents(RUN)] == [0, 0]

    def test_tells_why_an_agent_was_not_sent_it(self, runs: Runs) -> None:
        begin(runs, claude(), tickets=("T-1", "T-2"))
        say(runs, "guidance", "Which one?", ticket="T-2")
        runs.verbs.iterate(RUN, feedback="Hurry.")
        assert (received(runs), received(runs, ticket="T-2")) == (["Hurry."], [])
        (event,) = runs.events("not_sent")
        assert event.entity_id == "T-2/worker"
        assert "Which one?" in (event.message or "")
        assert "Hurry." in brief(runs, "T-2")

    def test_says_on_the_command_line_who_was_sent_it_and_who_was_not(self, runs: Runs) -> None:
        begin(runs, claude(), tickets=("T-1", "T-2"))
        say(runs, "guidance", "Which one?", ticket="T-2")
        ran = runs.root.metawsm("iterate", RUN, "--agent", "worker", "Hurry.")
        assert "worker on T-1 has it.\n" in ran.out
        assert "worker on T-2 finds it in its brief; it was not told: it waits for an answer" in ran.err
        assert list(runs.root.ask("iterate", RUN, "Hurry.")) == ["run"]

    def test_starts_those_again_that_have_ended_and_sends_to_the_others(self, runs: Runs) -> None:
        begin(runs, claude(), tickets=("T-1", "T-2"))
        say(runs, "done")
        launches = {agent.ticket: agent.launch for agent in runs.store.agents(RUN)}
        runs.verbs.iterate(RUN, feedback="Once more.")
        runs.verbs.finish(RUN)
        now = {agent.ticket: agent.launch for agent in runs.store.agents(RUN)}
        assert now["T-1"] != launches["T-1"]
        assert now["T-2"] == launches["T-2"]
        assert received(runs, ticket="T-2") == ["Once more."]


def brief(runs: Runs, ticket: str) -> str:
    return (runs.root.path / ".metawsm" / "agents" / RUN / ticket / "worker" / "brief" / "brief.md").read_text()


class TestAnAnswer:
    def test_goes_to_the_process_that_waits_for_it_and_nowhere_else(self, runs: Runs) -> None:
        begin(runs)
        with process(runs.root, *asking(runs, "Which one?", "--choice", "this")) as waiting:
            (question,) = pending(runs)
            assert runs.run().status == "awaiting_guidance"
            answered = runs.verbs.answer(question.id, "another\none")
            assert waiting.communicate(timeout=60) == ("another\none\n", "")
            assert waiting.returncode == 0
        assert answered.reason is None
        assert answered.guidance.delivered_at is not None
        assert (runs.run().status, received(runs)) == ("running", [])
        assert list((runs.root.path / ".metawsm" / "drop" / RUN / "T-1" / "worker").iterdir()) == []

    def test_is_typed_where_nobody_waits_for_it(self, runs: Runs) -> None:
        begin(runs, claude())
        asked = say(runs, "guidance", "Which one?")
        assert asked is not None
        say(runs, "waiting", "the answer")
        answered = runs.verbs.answer(asked, "this\none")
        assert (answered.reason, received(runs)) == (None, ["this\none"])
        assert answered.guidance.delivered_at is not None
        assert [event.type for event in runs.events("ask", "answer", "deliver")] == ["ask", "answer", "deliver"]
        (event,) = runs.events("sent")
        assert event.data is not None
        assert event.data["occasion"] == "answer"

    def test_counts_as_given_where_that_can_not_be_written_down(
        self, runs: Runs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise StoreError("The disk is full.")

        begin(runs)
        asked = say(runs, "guidance", "Which one?")
        assert asked is not None
        with runs.store.transaction() as transaction:
            transaction.answer(asked, "this")
        agent = runs.agent()
        monkeypatch.setattr(StoreTransaction, "delivered", fail)
        with runs.verbs.asking(
            RUN, ticket="T-1", agent="worker", launch=agent.launch or "", message="Which one?"
        ) as told:
            assert told.guidance is not None
            assert told.guidance.answer == "this"
        assert len(runs.store.questions(RUN)) == 1

    def test_is_typed_although_another_question_is_open(self, runs: Runs) -> None:
        begin(runs, claude())
        first, second = say(runs, "guidance", "Which one?"), say(runs, "guidance", "And where?")
        assert first is not None
        assert second is not None
        for asked, text in ((first, "this"), (second, "here")):
            answered = runs.verbs.answer(asked, text)
            assert (answered.reason, answered.guidance.delivered_at is not None) == (None, True)
        assert received(runs) == ["this", "here"]

    def test_to_a_wait_that_was_killed_is_typed(self, runs: Runs) -> None:
        begin(runs, claude())
        with process(runs.root, *asking(runs, "Which one?")) as waiting:
            (question,) = pending(runs)
            waiting.kill()
            waiting.wait()
        answered = runs.verbs.answer(question.id, "this")
        assert (answered.reason, received(runs)) == (None, ["this"])

    def test_that_cannot_be_typed_is_kept_and_the_same_question_gets_it(self, runs: Runs) -> None:
        begin(runs, claude("--dialog start"))
        until(lambda: "proceed" in runs.verbs.transcript(RUN, agent="worker").text)
        asked = say(runs, "guidance", "Which one?")
        assert asked is not None
        answered = runs.verbs.answer(asked, "this")
        assert "decision" in (answered.reason or "")
        assert (answered.guidance.status, answered.guidance.delivered_at) == ("answered", None)
        with process(runs.root, *asking(runs, "Which one?")) as waiting:
            assert waiting.communicate(timeout=60) == ("this\n", "")
        (kept,) = runs.store.questions(RUN)
        assert kept.delivered_at is not None

    def test_to_a_headless_agent_that_does_not_wait_is_kept(self, runs: Runs) -> None:
        begin(runs, READS, profile="claude-exec")
        asked = say(runs, "guidance", "Which one?")
        assert asked is not None
        answered = runs.verbs.answer(asked, "this")
        assert "nobody waits" in (answered.reason or "")
        assert received(runs) == []

    def test_comes_once(self, runs: Runs) -> None:
        begin(runs, claude())
        asked = say(runs, "guidance", "Which one?")
        assert asked is not None
        with pytest.raises(InvalidParamsError):
            runs.verbs.answer(asked, " ")
        runs.verbs.answer(asked, "this")
        with pytest.raises(IllegalTransitionError, match='answered already, with "this"') as caught:
            runs.verbs.answer(asked, "that")
        assert caught.value.details == {"status": "answered", "answer": "this"}
        assert received(runs) == ["this"]

    def test_waits_for_somebody_who_is_about_to_answer(self, runs: Runs) -> None:
        begin(runs, claude())
        asked = say(runs, "guidance", "Which one?")
        assert asked is not None
        question = runs.store.guidance(asked)
        answering = threading.Thread(target=runs.verbs.answer, args=(asked, "this"))
        with delivery.bringing(runs.verbs.world, question) as is_ours:
            assert is_ours
            answering.start()
            answering.join(0.5)
            assert runs.store.guidance(asked).status == "pending"
        answering.join(60)
        assert received(runs) == ["this"]
        assert runs.events("doubt") == []


class TestAnAnswerThatIsCutOff:
    """Whoever brings it is killed when the answer is on record, or when it is on record that it is typed now."""

    def test_before_it_was_typed_is_brought_when_it_is_given_again(self, a_root: Root) -> None:
        asked = self.cut_off(a_root, "answer")
        with runs_on(a_root) as runs:
            with pytest.raises(IllegalTransitionError, match="answered already"):
                runs.verbs.answer(asked, "that")
            assert runs.verbs.answer(asked, "this").reason is None
            assert received(runs) == ["this"]
            assert runs.store.undelivered() == ()

    def test_while_it_was_typed_is_doubted_and_never_typed_again(self, a_root: Root) -> None:
        asked = self.cut_off(a_root, "type")
        with runs_on(a_root) as runs:
            for _ in range(2):
                answered = runs.verbs.answer(asked, "this")
                assert "it may be there already" in (answered.reason or "")
                assert answered.guidance.delivered_at is None
            assert received(runs) == []
            assert len(runs.events("doubt")) == 1
            shown = runs.root.metawsm("status", RUN).out
            assert "worker on T-1 may not have the answer to: Which one?" in shown
            assert f"again: metawsm answer {asked} this" in shown
            assert runs.store.undelivered() == ()

    @pytest.mark.parametrize(("after", "last", "arrives"), [("answer", "deliver", ["this"]), ("type", "doubt", [])])
    def test_is_brought_or_doubted_by_the_supervisor(
        self, a_root: Root, after: str, last: str, arrives: list[str]
    ) -> None:
        self.cut_off(a_root, after)
        with runs_on(a_root) as runs, runs.verbs.supervise():
            until(lambda: runs.events(last))
            assert received(runs) == arrives

    def test_is_not_for_the_agent_when_it_was_started_again(self, a_root: Root) -> None:
        self.cut_off(a_root, "answer")
        with runs_on(a_root) as runs:
            assert len(runs.store.undelivered()) == 1
            runs.verbs.restart(RUN, agent="worker")
            assert runs.agent().status == "running"
            assert runs.store.undelivered() == ()
            assert "may not have" not in runs.root.metawsm("status", RUN).out

    def test_that_is_on_its_way_is_brought_by_nobody_else(self, runs: Runs) -> None:
        begin(runs, claude())
        asked = say(runs, "guidance", "Which one?")
        assert asked is not None
        with runs.store.transaction() as transaction:
            transaction.answer(asked, "this")
        with delivery.bringing(runs.verbs.world, runs.store.guidance(asked)) as is_ours:
            assert is_ours
            delivery.bring_late(runs.verbs.world, asked)
            with pytest.raises(IllegalTransitionError, match="answered already"):
                runs.verbs.answer(asked, "this")
        assert received(runs) == []
        delivery.bring_late(runs.verbs.world, asked)
        assert received(runs) == ["this"]

    def cut_off(self, root: Root, after: str) -> str:
        """Let an answer be cut off; returns the id of its question."""
        with runs_on(root) as runs:
            begin(runs, claude())
            asked = say(runs, "guidance", "Which one?")
            assert asked is not None
        assert killed(lambda: Runs(root).verbs.answer(asked, "this"), after)
        return asked


class TestAQuestion:
    def test_asked_again_after_an_interrupted_wait_is_the_same(self, runs: Runs) -> None:
        begin(runs)
        with process(runs.root, *asking(runs, "Which one?")) as interrupted:
            (question,) = pending(runs)
            interrupted.send_signal(signal.SIGINT)
            interrupted.wait()
            assert interrupted.returncode == 130
        with process(runs.root, *asking(runs, "Which one?")) as waiting:
            until(lambda: runs.events("ask_again"))
            (same,) = pending(runs)
            assert same == question
            runs.verbs.answer(question.id, "this")
            assert waiting.communicate(timeout=60) == ("this\n", "")
        assert len(runs.store.questions(RUN)) == 1

    def test_that_was_answered_and_delivered_may_be_asked_anew(self, runs: Runs) -> None:
        begin(runs)
        for text in ("this", "that"):
            with process(runs.root, *asking(runs, "Which one?")) as waiting:
                (question,) = pending(runs)
                runs.verbs.answer(question.id, text)
                assert waiting.communicate(timeout=60)[0] == f"{text}\n"
        assert [question.answer for question in runs.store.questions(RUN)] == ["this", "that"]

    def test_of_two_agents_at_once_keeps_the_run_waiting_until_both_are_answered(self, runs: Runs) -> None:
        begin(runs, tickets=("T-1", "T-2"))
        with (
            process(runs.root, *asking(runs, "Which one?")) as first,
            process(runs.root, *asking(runs, "Which one?", ticket="T-2")) as second,
        ):
            questions = {question.ticket: question for question in pending(runs, 2)}
            runs.verbs.answer(questions["T-2"].id, "for T-2")
            assert runs.run().status == "awaiting_guidance"
            runs.verbs.answer(questions["T-1"].id, "for T-1")
            assert runs.run().status == "running"
            assert first.communicate(timeout=60)[0] == "for T-1\n"
            assert second.communicate(timeout=60)[0] == "for T-2\n"

    @pytest.mark.parametrize("end", ["stop", "restart", "complete", "killed"])
    def test_is_withdrawn_when_its_agent_ends(self, runs: Runs, end: str) -> None:
        begin(runs)
        with process(runs.root, *asking(runs, "Which one?")) as waiting:
            (question,) = pending(runs)
            if end == "killed":
                os.kill(runs.agent().pid or 0, signal.SIGKILL)
                until(lambda: runs.verbs.sweep(RUN) or runs.agent().status == "dead")
            elif end == "stop":
                runs.verbs.stop(RUN)
            else:
                getattr(runs.verbs, end)(RUN, agent="worker")
            out, err = waiting.communicate(timeout=60)
            assert (waiting.returncode, out) == (1, "")
            assert "withdrawn" in err
        assert runs.run().status == {"stop": "stopped", "restart": "running", "complete": "completed"}.get(
            end, "failed"
        )
        with pytest.raises(IllegalTransitionError, match="withdrawn"):
            runs.verbs.answer(question.id, "too late")

    def test_that_its_dead_agent_asked_takes_no_answer_although_nobody_has_looked(self, runs: Runs) -> None:
        begin(runs)
        asked = say(runs, "guidance", "Which one?")
        assert asked is not None
        pid = runs.agent().pid or 0
        os.kill(pid, signal.SIGKILL)
        until(lambda: not (Path("/proc") / str(pid) / "exe").exists())
        with pytest.raises(IllegalTransitionError, match="withdrawn"):
            runs.verbs.answer(asked, "this")

    def test_of_an_earlier_launch_is_only_recorded(self, runs: Runs) -> None:
        begin(runs)
        stale = asking(runs, "Which one?")
        runs.verbs.restart(RUN, agent="worker")
        ran = runs.root.metawsm(*stale, code=1)
        assert "not the agent's latest launch" in ran.err
        assert runs.store.questions(RUN) == ()


class TestStartingAgain:
    SCRIPT = 'echo "$1" >> "$METAWSM_ROOT/starts"; exec sleep 600'

    def policy(self, runs: Runs, **profile: Any) -> None:
        def command(word: str) -> list[str]:
            return ["sh", "-c", self.SCRIPT, "sh", word]

        runs.root.policy(
            agent_profiles=[
                {
                    "name": "own",
                    "runner": "shell",
                    "completes_on": "signal",
                    "command": command("fresh {session_id}"),
                    **({"resume_command": command("resumed {session_id}")} if profile.get("resumes") else {}),
                }
            ],
            agents=[{"name": "worker", "profile": "own"}],
            execution={"stop_grace_seconds": 1},
        )
        runs.start("T-1", repos=["app"])
        until(lambda: self.starts(runs))

    @staticmethod
    def starts(runs: Runs) -> list[str]:
        file = runs.root.path / "starts"
        return file.read_text().splitlines() if file.exists() else []

    def test_continues_the_conversation_where_the_profile_can(self, runs: Runs) -> None:
        self.policy(runs, resumes=True)
        for count in (2, 3):
            runs.verbs.restart(RUN, agent="worker")
            until(lambda expected=count: len(self.starts(runs)) == expected)
        (fresh, first), *again = (line.split() for line in self.starts(runs))
        assert fresh == "fresh"
        assert again == [["resumed", first]] * 2

    def test_begins_afresh_where_it_cannot(self, runs: Runs) -> None:
        self.policy(runs)
        runs.verbs.restart(RUN, agent="worker")
        until(lambda: [line.split()[0] for line in self.starts(runs)] == ["fresh", "fresh"])

    def test_of_a_live_agent_ends_its_processes_first(self, runs: Runs) -> None:
        alone = (
            'test ! -e "$METAWSM_ROOT/lock" || echo "two at once" >> "$METAWSM_ROOT/wrong"; : > "$METAWSM_ROOT/lock"; '
            'trap "rm -f \\"$METAWSM_ROOT/lock\\"; exit 1" HUP TERM; '
        )
        begin(runs, alone + WAITS, profile="shell")
        until((runs.root.path / "lock").exists)
        before = runs.agent()
        (after,) = runs.verbs.restart(RUN, agent="worker").agents
        assert (after.status, after.restarts) == ("running", 1)
        assert after.pid != before.pid
        assert not (Path("/proc") / str(before.pid) / "exe").exists()
        time_limit = time.monotonic() + 60
        while not (runs.root.path / "lock").exists():
            assert time.monotonic() < time_limit
        assert not (runs.root.path / "wrong").exists()


def test_the_verbs_tell_a_person_and_a_script_what_became_of_a_text(runs: Runs) -> None:
    begin(runs, claude())
    root = runs.root
    told = root.metawsm("send", RUN, "--agent", "worker", "Go on.")
    assert (told.out, told.err) == ("worker has it.\n", "")
    assert root.ask("send", "--agent", "worker", "--ticket", "T-1", "--", "- a list") == {
        "delivered": True,
        "reason": None,
    }
    piped = subprocess.run(
        [sys.executable, "-m", "metawsm_rpc.cli.main", "send", "-", "--run-id", RUN, "--agent", "worker"],
        cwd=root.path,
        input=b"from\na pipe\n",
        check=True,
        capture_output=True,
    )
    assert piped.stdout == b"worker has it.\n"
    assert received(runs) == ["Go on.", "- a list", "from\na pipe"]

    asked = root.ask(*asking(runs, "Which one?")[:3], *asking(runs, "")[4:])["guidanceId"]
    refused = root.metawsm("send", RUN, "--agent", "worker", "Go on.", code=1)
    assert refused.out == ""
    assert f"metawsm answer {asked}" in refused.err
    assert root.ask("send", RUN, "--agent", "worker", "Go on.", code=1)["delivered"] is False
    answered = root.metawsm("answer", asked, "this")
    assert answered.out == "worker on T-1 has the answer.\n"
    assert received(runs)[3:] == ["this"]

    for words in (("send", RUN, "text"), ("send", RUN, "--agent", "worker"), ("send", RUN, "--agent", "worker", " ")):
        assert root.metawsm(*words, code=2).err.startswith("metawsm: ")
    root.metawsm("send", RUN, "--agent", "nobody", "text", code=3)
    root.metawsm("stop", RUN)
    assert "closed" in root.metawsm("send", RUN, "--agent", "worker", "text", code=4).err
