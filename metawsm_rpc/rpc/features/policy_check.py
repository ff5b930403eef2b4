"""What is wrong with a policy file, saved or not, as diagnostics with exact ranges, each on the file that it is about."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from lsprotocol import types
from pygls.workspace import PositionCodec

from metawsm_rpc.domain.markdown import one_line
from metawsm_rpc.domain.models import Problem
from metawsm_rpc.policy.loading import load_text, resolve, root_policy, user_policy
from metawsm_rpc.policy.positions import TOKEN, Position, Range, positions
from metawsm_rpc.policy.problems import range_of
from metawsm_rpc.rpc.features.places import UTF16, policy_range, uri_of

SOURCE = "metawsm"


def check(
    path: str, text: str | None, environ: Mapping[str, str], codec: PositionCodec = UTF16
) -> dict[str, list[types.Diagnostic]]:
    """Return the diagnostics by URI of a policy file and of the person's own, which lies below it.

    Args:
        path: the policy file of a root, or the person's own.
        text: what is typed; None for what is saved.
        environ: where HOME, XDG_CONFIG_HOME and METAWSM_<SECTION>_<FIELD> are read from.
        codec: how the client counts columns.
    """
    root = root_of(path)
    if root is None:
        _, problems = load_text(_saved(path) if text is None else text, path)
        files = [path]
    else:
        person = user_policy(environ)
        problems = resolve(root, environ=environ, text=text).problems
        files = [path, *([str(person)] if person else [])]
    texts = {path: text} if text is not None else {}
    return {
        uri_of(file): _diagnostics(
            [problem for problem in problems if problem.path == file], texts.get(file, _saved(file)), codec
        )
        for file in files
    }


def root_of(path: str) -> Path | None:
    """Return the root whose policy file this is."""
    parent = Path(path).parent
    return parent.parent if str(root_policy(parent.parent)) == path else None


def _saved(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", errors="replace")
    except OSError:
        return ""


def _diagnostics(problems: Iterable[Problem], text: str, codec: PositionCodec) -> list[types.Diagnostic]:
    entries = positions(text)
    lines = text.split("\n")
    return [
        types.Diagnostic(
            range=policy_range(range_of(problem, entries) or _token_at(problem, lines), lines, codec),
            message=one_line(f"{problem.message} {problem.hint or ''}", 500),
            severity=types.DiagnosticSeverity.Error,
            code=problem.code,
            source=SOURCE,
            data={"pointer": problem.pointer, "hint": problem.hint},
        )
        for problem in problems
    ]


def _token_at(problem: Problem, lines: list[str]) -> Range:
    """Return what to underline where nothing has a place: the token there, or the last one before the end."""
    number = min(problem.line or 1, len(lines))
    column = problem.column or 1
    tokens = [match for match in TOKEN.finditer(lines[number - 1]) if not match[0].isspace()]
    here = next((match for match in tokens if match.end() >= column), tokens[-1] if tokens else None)
    if here is None and number > 1:
        return _token_at(problem._replace(line=number - 1, column=len(lines[number - 2])), lines)
    start, end = (here.start() + 1, here.end() + 1) if here else (1, 1)
    return Range(Position(number, start), Position(number, end))
