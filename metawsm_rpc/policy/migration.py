"""Converts policies of the earlier metawsm in Go, versions 1 and 2, to version 3.

Nothing is lost silently: settings without an equivalent in version 3 are listed in notes, and the old file is
kept beside the new one. The mapping:

- `workspace`, `tmux`, `execution`, `health` and `close` keep their fields.
- `operator.restart_budget` becomes `health.restart_budget`.
- A command, which was one text for a login shell, becomes a list: split like a shell splits words
  where it is plain words, else `["sh", "-c", text]`.
- An agent of version 1 gets the profile `shell` with its command.
- A profile with the runner codex ran `codex exec`: it becomes a headless codex profile. `full_auto`
  was `--sandbox workspace-write`, which headless codex profiles always have now.
"""

import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from metawsm_rpc.errors import HostError, InvalidPolicyError
from metawsm_rpc.policy.expansion import escape
from metawsm_rpc.policy.layers import Layer
from metawsm_rpc.policy.loading import invalid, read_layer
from metawsm_rpc.policy.model import VERSION, Policy
from metawsm_rpc.policy.positions import pointer_of
from metawsm_rpc.policy.problems import problems_of

_KEPT = {
    "workspace": ("default_strategy", "branch_prefix", "base_branch"),
    "tmux": ("session_pattern",),
    "execution": ("step_retries",),
    "health": ("idle_seconds", "activity_stalled_seconds", "progress_stalled_seconds"),
    "close": ("require_clean_git",),
}
_SHELL_CHARACTERS = frozenset("|&;<>()$`*?[]~#!{}\\\n")
"""Characters that make a text more than plain words; quotes alone do not."""

_UNKNOWN = "metawsm has no such setting."
_OPERATOR = "There is no operator: metawsm itself watches, and restarts dead agents up to health.restart_budget."
_GONE = {
    "docs": "There is no documentation server; tickets are kept where tickets.directory says.",
    "forum": "There is no forum; agents ask with `metawsm signal guidance`.",
    "git_pr": "There are no pull requests; close merges, and close.push pushes.",
}


class Note(NamedTuple):
    """A setting that was not carried over unchanged; `pointer` is its place in the old file."""

    pointer: str
    message: str


class Migration(NamedTuple):
    """The result of migrating a file; `backup` is None when it already had the newest version."""

    path: str
    backup: str | None
    notes: tuple[Note, ...]


def migrate(data: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Note, ...]]:
    """Return a policy of version 1 or 2 as version 3, with notes on what was not carried over.

    The result is always a valid policy: settings that version 3 refuses are left out and noted. A policy of
    version 3 is returned as it is. Raises `InvalidPolicyError` for any other version.
    """
    version = data.get("version")
    if version == VERSION:
        return dict(data), ()
    if type(version) is not int or version not in (1, 2):
        raise InvalidPolicyError(
            f"A policy of version {version!r} cannot be migrated.", hint="Only versions 1 and 2 of the Go metawsm can."
        )
    notes: list[Note] = []
    new: dict[str, Any] = {"version": VERSION}
    for section, kept in _KEPT.items():
        fields = _section(data, section, kept, notes)
        if fields:
            new[section] = fields
    budget = _section(data, "operator", ("restart_budget",), notes, leave=_OPERATOR)
    if budget:
        new.setdefault("health", {}).update(budget)
    elements = {"agent_profiles": _profile, "agents": _agent}
    origins: dict[int, str] = {}
    for field, convert in elements.items():
        for pointer, old in _elements(data, field, notes):
            element = convert(old, pointer, notes)
            new.setdefault(field, []).append(element)
            origins[id(element)] = pointer
    carried = {"version", "operator", *_KEPT, *elements}
    notes.extend(Note(pointer_of((field,)), _GONE.get(field, _UNKNOWN)) for field in data if field not in carried)
    notes.extend(_leave_out_invalid(new, origins))
    return new, tuple(notes)


def migrate_file(path: str | Path) -> Migration:
    """Migrate a policy file in place; the old one is kept beside it as `policy.json.v2.bak`.

    An earlier backup is never overwritten: the next one gets a number. Raises `InvalidPolicyError` for a file
    that is missing, is not JSON or has another version, `HostError` when it cannot be written.
    """
    if not os.path.lexists(path):
        raise InvalidPolicyError(
            f"There is no policy to migrate: {path} is not there.",
            hint="`metawsm policy init` writes a new one; a file of the Go metawsm is copied there first.",
        )
    # A link stays a link: its target is replaced.
    target = Path(path).resolve()
    layer, problems = read_layer(target)
    if layer is None or problems:
        raise invalid(problems)
    if layer.data.get("version") == VERSION:
        return Migration(str(path), None, ())
    new, notes = migrate(layer.data)
    try:
        backup = _back_up(target, f"{target}.v{layer.data['version']}.bak")
        _replace(target, json.dumps(new, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise HostError(f"The policy {target} cannot be migrated: {error.strerror}.") from error
    return Migration(str(path), backup, notes)


def _section(
    data: Mapping[str, Any], section: str, kept: tuple[str, ...], notes: list[Note], leave: str | None = None
) -> dict[str, Any]:
    """Return the kept fields of a section, and note the others, one by one or all with `leave`."""
    old = data.get(section, {})
    if not isinstance(old, Mapping):
        notes.append(Note(pointer_of((section,)), "This is not an object."))
        return {}
    others = [field for field in old if field not in kept]
    if leave is None:
        notes.extend(Note(pointer_of((section, field)), _UNKNOWN) for field in others)
    elif others:
        notes.append(Note(pointer_of((section,)), leave))
    return {field: old[field] for field in kept if field in old}


def _elements(data: Mapping[str, Any], field: str, notes: list[Note]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    old = data.get(field) or []
    if not isinstance(old, list):
        notes.append(Note(pointer_of((field,)), "This is not a list."))
        return
    for index, element in enumerate(old):
        pointer = pointer_of((field, index))
        if isinstance(element, Mapping):
            yield pointer, element
        else:
            notes.append(Note(pointer, "This is not an object."))


def _agent(old: Mapping[str, Any], pointer: str, notes: list[Note]) -> dict[str, Any]:
    new = {"name": old.get("name"), "profile": old.get("profile", "shell")}
    command = _command(old.get("command"), f"{pointer}/command", notes)
    if command:
        new["command"] = command
    _note_others(old, ("name", "profile", "command"), pointer, notes)
    return new


def _profile(old: Mapping[str, Any], pointer: str, notes: list[Note]) -> dict[str, Any]:
    runner = str(old.get("runner", "")).strip().lower()
    new: dict[str, Any] = {"name": old.get("name"), "runner": runner}
    options = old.get("runner_options")
    options = options if isinstance(options, Mapping) else {}
    if runner == "codex":
        new["completes_on"] = "exit"
        if options.get("full_auto") is not True:
            message = (
                "Headless codex profiles may now write the workspace, as full_auto did; before, this one could not."
            )
            notes.append(Note(f"{pointer}/runner_options/full_auto", message))
    command = _command(options.get("command"), f"{pointer}/runner_options/command", notes)
    if command and runner == "shell":
        new["command"] = command
    if isinstance(old.get("base_prompt"), str) and old["base_prompt"].strip():
        new["base_prompt"] = escape(old["base_prompt"])
    if old.get("skills"):
        new["skills"] = old["skills"]
    _note_others(old, ("name", "runner", "base_prompt", "skills", "runner_options"), pointer, notes)
    _note_others(options, ("full_auto", "command"), f"{pointer}/runner_options", notes)
    return new


def _command(text: object, pointer: str, notes: list[Note]) -> list[str] | None:
    """Return a shell's command line as a list, or None when there is none."""
    if not isinstance(text, str) or not text.strip():
        return None
    try:
        words = shlex.split(text)
    except ValueError as error:
        notes.append(Note(pointer, f"This command could not be read: {error}."))
        return None
    if _SHELL_CHARACTERS.intersection(text) or not words or "=" in words[0]:
        words = ["sh", "-c", text.strip()]
    return [escape(word) for word in words]


def _note_others(old: Mapping[str, Any], known: tuple[str, ...], pointer: str, notes: list[Note]) -> None:
    notes.extend(Note(pointer + pointer_of((field,)), _UNKNOWN) for field in old if field not in known)


def _leave_out_invalid(new: dict[str, Any], origins: Mapping[int, str]) -> Iterator[Note]:
    """Remove from `new` what version 3 refuses, until it is a valid policy."""
    while True:
        try:
            Policy.model_validate(new)
        except ValidationError as error:
            problem = problems_of(error, [Layer(new)], new)[0]
            field, place = error.errors()[0]["loc"][:2]
            element = new[str(field)].pop(place)
            if not new[str(field)]:
                del new[str(field)]
            # Elements left out before have shifted this one: report its index in the old file.
            pointer = origins.get(id(element), pointer_of((field, place)))
            yield Note(pointer, f"{problem.message.split(': ', 1)[-1]} It is left out.")
        else:
            return


def _back_up(target: Path, wanted: str) -> str:
    for number in range(1000):
        backup = Path(wanted if number == 0 else f"{wanted}.{number}")
        try:
            with target.open("rb") as old, backup.open("xb") as copy:
                shutil.copyfileobj(old, copy)
        except FileExistsError:
            continue
        shutil.copymode(target, backup)
        return str(backup)
    raise HostError(f"There are too many backups beside {target}; remove some of them.")


def _replace(target: Path, text: str) -> None:
    descriptor, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(target, draft)
        Path(draft).replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(draft).unlink()
        raise
