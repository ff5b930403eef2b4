"""Loads the policy: from files, environment and flags to a validated `Policy`, or to problems.

Nothing here raises for a person's mistakes; problems say where they are and what to write instead.
`Resolved.required` is for callers that need a valid policy.
"""

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from metawsm_rpc.domain.models import Problem
from metawsm_rpc.domain.wire import wire
from metawsm_rpc.errors import InvalidPolicyError
from metawsm_rpc.policy.layers import Layer, environment_layer, merge
from metawsm_rpc.policy.model import VERSION, Policy
from metawsm_rpc.policy.positions import position_of, scan
from metawsm_rpc.policy.problems import SYNTAX, VALUE, in_order, problems_of

MAX_BYTES = 1_000_000
"""The largest file that is read; a policy has a few thousand bytes."""

_MAX_DIGITS = 300
"""Longer integers become floats (mostly infinite): Python refuses to parse thousands of digits."""

Reading = tuple[Layer | None, tuple[Problem, ...]]
"""The result of reading a source: no layer when it is unusable."""

_NOTHING: Reading = (None, ())


class Resolved(NamedTuple):
    """The policy from all sources.

    `path` is the root's policy file, None when there is none. `policy` is None when there are problems.
    """

    path: str | None
    policy: Policy | None
    problems: tuple[Problem, ...]

    def required(self) -> Policy:
        """Return the policy. Raises `InvalidPolicyError` with the problems when there is none."""
        if self.policy is not None:
            return self.policy
        raise invalid(self.problems)


def invalid(problems: tuple[Problem, ...]) -> InvalidPolicyError:
    """Return the error for problems: its message is the first one, its details are all."""
    first = problems[0]
    where = ":".join(str(part) for part in (first.path, first.line, first.column) if part is not None)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    message = f"{where}: {first.message}{more}" if where else f"{first.message}{more}"
    return InvalidPolicyError(message, hint=first.hint, details=wire(list(problems)))


def root_policy(root: str | Path) -> Path:
    """Return the path of a root's policy file, which may not exist."""
    return Path(root, ".metawsm", "policy.json")


def user_policy(environ: Mapping[str, str]) -> Path | None:
    """Return the path of the person's own policy file, which may not exist; None without a home folder."""
    configured = environ.get("XDG_CONFIG_HOME", "")
    if configured.startswith("/"):
        return Path(configured, "metawsm", "policy.json")
    home = environ.get("HOME", "")
    return Path(home, ".config", "metawsm", "policy.json") if home.startswith("/") else None


def load(path: str | Path) -> tuple[Policy | None, tuple[Problem, ...]]:
    """Read one policy file by itself; omitted settings have their defaults."""
    return _check(_of_this_version(read_layer(Path(path))))


def load_text(text: str, path: str | None = None) -> tuple[Policy | None, tuple[Problem, ...]]:
    """Read a policy from text, such as an editor's; problems refer to `path`."""
    return _check(_of_this_version(parse(text, path)))


def resolve(
    root: str | Path,
    *,
    environ: Mapping[str, str],
    overrides: Mapping[str, Any] | None = None,
    text: str | None = None,
) -> Resolved:
    """Return the policy of a root: flags over environment over root over person over defaults.

    Args:
        root: the folder that holds `.metawsm`.
        environ: where HOME, XDG_CONFIG_HOME and METAWSM_<SECTION>_<FIELD> are read from.
        overrides: the values of flags, structured like the file: `{"execution": {"max_parallel": 2}}`.
        text: an editor's text that replaces the root's file.
    """
    own, person = root_policy(root), user_policy(environ)
    in_file = parse(text, str(own)) if text is not None else _read_if_there(own)
    policy, problems = _check(
        _of_this_version(_read_if_there(person) if person is not None else _NOTHING),
        _of_this_version(in_file),
        environment_layer(environ),
        (Layer(overrides or {}), ()),
    )
    return Resolved(None if in_file == _NOTHING else str(own), policy, problems)


def read_layer(path: Path) -> Reading:
    """Read a policy file without validating its values; no layer when it is unusable."""
    try:
        # Opened only after it is known to be a regular file: opening a pipe would block forever.
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return None, (_about_file(path, "is not a plain file."),)
        if status.st_size > MAX_BYTES:
            return None, (_about_file(path, f"is larger than {MAX_BYTES} bytes."),)
        content = path.read_bytes()
    except OSError as error:
        return None, (_about_file(path, f"cannot be read: {error.strerror}."),)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        where = position_of(before, len(before))
        problem = _about_file(path, "is not UTF-8 text.", "Save it as UTF-8.")
        return None, (problem._replace(line=where.line, column=where.column),)
    return parse(text, str(path))


def _read_if_there(path: Path) -> Reading:
    try:
        # A broken link exists, and is a problem.
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return _NOTHING
    except OSError as error:
        return None, (_about_file(path, f"cannot be read: {error.strerror}."),)
    return read_layer(path)


def parse(text: str, path: str | None = None) -> Reading:
    """Read JSON text without validating its values; no layer when it is unusable. A byte order mark is ignored."""
    text = text.removeprefix("\ufeff")
    if not text.strip():
        return None, (Problem(SYNTAX, "The policy is empty.", 'Write at least {"version": 3}.', path, 1, 1),)
    entries, faults, unusable = scan(text)
    problems = tuple(
        Problem(SYNTAX, fault.message, fault.hint, path, *fault.where.start, fault.pointer) for fault in faults
    )
    if unusable:
        return None, problems
    try:
        data = json.loads(text, parse_int=_whole_number)
    except json.JSONDecodeError as error:
        return None, (*problems, _syntax_problem(text, error, path))
    if not isinstance(data, dict):
        where = entries[""].value.start
        return None, (
            *problems,
            Problem(VALUE, "The policy must be an object.", 'Write {"version": 3}.', path, *where, ""),
        )
    return Layer(data, path, entries), problems


def _of_this_version(reading: Reading) -> Reading:
    layer, problems = reading
    wrong = _version_problem(layer) if layer else None
    return (None, (*problems, wrong)) if wrong else reading


def _check(*readings: Reading) -> tuple[Policy | None, tuple[Problem, ...]]:
    """Merge layers, given lowest first, and validate the result."""
    layers = [layer for layer, _ in readings if layer is not None]
    problems = tuple(problem for _, found in readings for problem in found)
    if any(layer is None and found for layer, found in readings):
        # Without an unusable file, validating the other layers would only report what that file should contain.
        return None, in_order(problems)
    merged = merge(layers)
    try:
        policy = Policy.model_validate(merged)
    except ValidationError as error:
        return None, in_order((*problems, *problems_of(error, layers, merged)))
    return (None if problems else policy), in_order(problems)


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def _about_file(path: Path, message: str, hint: str | None = None) -> Problem:
    return Problem(SYNTAX, f"The policy file {message}", hint, str(path), 1, 1)


def _version_problem(layer: Layer) -> Problem | None:
    version = layer.data.get("version")
    if type(version) is not int or version == VERSION:
        return None
    where = layer.entries["/version"].value.start
    if version in (1, 2):
        message, hint = f"This policy has version {version}, of the Go metawsm.", "Run `metawsm policy migrate`."
    elif version > VERSION:
        message = f"This policy has version {version}; this metawsm reads version {VERSION}."
        hint = "Upgrade metawsm."
    else:
        message, hint = f"There is no policy version {version}.", f"Write {VERSION}."
    return Problem(VALUE, message, hint, layer.path, *where, "/version")


def _syntax_problem(text: str, error: json.JSONDecodeError, path: str | None) -> Problem:
    rest, before = text[error.pos :].lstrip(), text[: error.pos].rstrip()
    if not rest:
        message, hint = "The file ends in the middle of the policy.", "Close what is still open."
    elif rest.startswith(("//", "/*", "#")):
        message, hint = "JSON has no comments.", "Remove the comment."
    elif rest.startswith("'"):
        message, hint = "This text is in single quotes.", "Use double quotes."
    elif rest[0] in "}]" and before.endswith(","):
        message, hint = f"A comma stands before {rest[0]!r}.", "Remove the comma."
    elif rest[0] == "," and rest[1:].lstrip()[:1] in ("}", "]"):
        # Python 3.13 and later report the same mistake at another position.
        message, hint = f"A comma stands before {rest[1:].lstrip()[0]!r}.", "Remove the comma."
    else:
        message, hint = f"This is not JSON: {error.msg}.", None
    return Problem(SYNTAX, message, hint, path, error.lineno, error.colno)
