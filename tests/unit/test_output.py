"""What people are shown of the texts that others wrote."""

import io

import pytest

from metawsm_rpc.cli import output

QUESTION = "Which format should be the default, the old or the new one?\nIt matters."


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_paragraph_is_broken_between_words_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", shown := Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    output.paragraph("  coder asks: ", QUESTION, by=6)
    assert shown.getvalue().splitlines() == [
        "  coder asks: Which format should",
        "      be the default, the old or the new",
        "      one?",
        "      It matters.",
    ]


def test_a_paragraph_keeps_its_lines_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    output.paragraph("  coder asks: ", QUESTION, by=6)
    first, second = QUESTION.split("\n")
    assert capsys.readouterr().out == f"  coder asks: {first}\n      {second}\n"
