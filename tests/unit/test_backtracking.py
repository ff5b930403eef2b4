"""Patterns that are refused for what they could cost, and those that people write."""

import pytest

from metawsm_rpc.policy.backtracking import may_take_forever

ENDLESS = [
    "(a+)+$", "(a*)*b", "(?:a|a)*$", "(?:a|b|ab)+x", r"(\w+\s?)*$", "(x(a+)y)+", "(a{2,})+", "(a+){2,}", "((a+))*", "(?P<n>a+)+",
    "(a+)*?", "(?>(a+)+)x", "(a{1,50}){50}", "(?:[)]+)+", r"(\)+)+", "(?i:a+)+",
]  # fmt: skip
HARMLESS = [
    "a+", r"^\? .*\(y/n\)", r"\[y/N\]\s*$", "(yes|no)", "(yes|no)?", "[(a+)]+", "[]+)]+", r"\(a+\)+", "(ab)+", "(a+)?", "(?>a+)+",
    "(a++)+", r"(\d{1,3}\.){3}", r"(\d+\.){2}", "x{2,5}y*z+", "(?#(a+)+)b", "(?=a+)b", "(a+)(b+)+"[:8], r"\Z", "^> $", "a|b|c", "(a)(b|c)d*",
    r"Waiting for .* \(\d+s\)",
]  # fmt: skip


@pytest.mark.parametrize("pattern", ENDLESS)
def test_a_repetition_of_choices_is_seen(pattern: str) -> None:
    assert may_take_forever(pattern)


@pytest.mark.parametrize("pattern", HARMLESS)
def test_other_patterns_are_harmless(pattern: str) -> None:
    assert not may_take_forever(pattern)
