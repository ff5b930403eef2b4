"""The policy's JSON Schema, generated from the model, and the starter policy.

The schema is shipped as `policy.schema.json` beside this module, so that editors which know JSON
Schema complete and check the file without metawsm. `python -m metawsm_rpc.policy.schema` rewrites it.
"""

import json
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from metawsm_rpc.policy import profiles
from metawsm_rpc.policy.model import VERSION, Agent, Policy
from metawsm_rpc.policy.positions import unescape

FILE = Path(__file__).with_name("policy.schema.json")
"""The shipped schema."""

_STARTER_SECTIONS = {
    "workspace": ("directory", "branch_prefix", "base_branch", "copy", "setup"),
    "tickets": ("directory",),
    "execution": ("max_parallel", "step_retries"),
    "health": ("idle_seconds", "activity_stalled_seconds", "progress_stalled_seconds", "restart_budget"),
    "close": ("require_clean_git", "push", "delete_branches", "merge"),
}
"""The settings that people change most often; all others have their defaults."""


@cache
def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the policy file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Policy.model_json_schema(by_alias=True),
        "title": "metawsm policy",
    }


def text() -> str:
    """Return the schema as it is shipped."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def node(pointer: str) -> dict[str, Any] | None:
    """Return the schema of the value at a JSON pointer, None where no value is allowed.

    References are followed and `null` alternatives left out, so that `properties`, `items`, `enum`,
    `default` and `description` can be read directly, for hovers and completion.
    """
    current = schema()
    for word in unescape(pointer):
        below = current.get("properties", {}).get(word) or current.get("items") or current.get("additionalProperties")
        if not isinstance(below, dict):
            return None
        current = _resolved(below)
    return current


def starter(installed: Collection[str] = ()) -> str:
    """Return the text of a new policy file: the settings that people change most often, with their defaults.

    Its only agent is the first of the built-in runners that is `installed`, else codex.
    """
    defaults = Policy().model_dump(mode="json")
    runners = [name for name, profile in profiles.BUILT_IN.items() if name == profile["runner"] and profile["command"]]
    runner = next((name for name in runners if name in installed), runners[0])
    policy = {
        "version": VERSION,
        **{name: {field: defaults[name][field] for field in fields} for name, fields in _STARTER_SECTIONS.items()},
        "agents": [Agent(name=runner, profile=runner).model_dump(include={"name", "profile"})],
    }
    return json.dumps(policy, indent=2) + "\n"


def _resolved(branch: dict[str, Any]) -> dict[str, Any]:
    """Return a part of the schema with its reference resolved; siblings of the reference take precedence."""
    options = [option for option in branch.get("anyOf", ()) if option.get("type") != "null"]
    merged = {**(options[0] if options else {}), **branch}
    reference = merged.pop("$ref", None)
    if reference is None:
        return merged
    definition: dict[str, Any] = schema()["$defs"][reference.rsplit("/", 1)[-1]]
    return {**definition, **merged}


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
