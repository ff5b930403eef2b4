"""Detects regular expressions that could take exponential time.

Python's `re` tries every way in which a repeated part can match. If the repeated part itself contains a
repetition or alternatives, as in `(a+)+$`, their number can double with each character, and nothing else runs
meanwhile. Such patterns are refused by their form: they are seldom needed, and can always be rewritten.
"""

import re

_TOKEN = re.compile(
    r"""
      (?P<quantifier> (?: [*+] | \{ (?P<least> \d* ) (?P<range> , (?P<most> \d* ) )? \} ) (?P<mode> [?+]? ) )
    | (?P<skipped> \(\?\# [^)]* \) | \? [?+]? )
    | (?P<open> \( (?P<atomic> \?> )? (?: \?P?[<=!:] | \?<[=!] )? )
    | (?P<close> \) )
    | (?P<or> \| )
    | (?: \\. | \[ \^? \]? (?: \\. | [^\]\\] )* \] | . )
    """,
    re.VERBOSE | re.DOTALL,
)

_FEW = 10
"""A repetition of at most this many times is considered harmless."""


def may_take_forever(pattern: str) -> bool:
    """Return whether a valid pattern repeats, without a small limit, a part with repetitions or alternatives."""
    outer: list[
        tuple[bool, bool]
    ] = []  # of each open group: whether the part before it has choices, whether it is atomic
    has_choices = atom_has_choices = False
    for token in _TOKEN.finditer(pattern):
        if token["open"]:
            outer.append((has_choices, bool(token["atomic"])))
            has_choices = atom_has_choices = False
        elif token["close"] and outer:
            before, is_atomic = outer.pop()
            atom_has_choices = has_choices and not is_atomic
            has_choices = before or atom_has_choices
        elif token["quantifier"]:
            if _is_large(token):
                if atom_has_choices:
                    return True
                has_choices = has_choices or token["mode"] != "+"
        elif token["or"]:
            has_choices = True
        elif not token["skipped"]:
            atom_has_choices = False
    return False


def _is_large(quantifier: re.Match[str]) -> bool:
    if quantifier["least"] is None:  # it is * or +
        return True
    most = quantifier["most"] if quantifier["range"] else quantifier["least"]
    return not most or int(most) > _FEW
