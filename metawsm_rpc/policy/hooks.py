"""Enables the hooks of agents' programs for one launch, without changing the person's settings.

Each hook runs `metawsm hook RUNNER` with the program's report. The following was observed with claude 2.1.197,
codex 0.169.0, opencode 1.18.33 and gemini 0.61.0:

- claude takes a file of settings by `--settings`; its hooks run besides those of the person.
- codex takes them by `--config`, besides those of the person. It runs only hooks that were looked
  through and trusted, and asks at its start about any other; the hash that says so can be given
  with them, and speaks for no other hook.
- opencode loads a plugin that OPENCODE_CONFIG_CONTENT names, besides those of the person.
- gemini would take hooks from a file of settings for the whole machine, but believes that only
  when it belongs to root. So it does without: its title tells what it does.
- aider has no hooks.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Hooks(NamedTuple):
    """What enables hooks at a launch: arguments for the program, and environment variables."""

    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}


def hooks_for(runner: str, files: str) -> Hooks | None:
    """Return what enables the hooks of a program, None for one without hooks.

    `files` is the folder of the hook files and plugins that metawsm ships.
    """
    if runner == "claude":
        return Hooks(options=(f"--settings={files}/claude.json",))
    if runner == "codex":
        return Hooks(options=(f"--config=hooks={_codex()}",))
    if runner == "opencode":
        return Hooks(environment={"OPENCODE_CONFIG_CONTENT": _opencode(f"{files}/opencode.js")})
    return None


_CODEX_COMMAND = '"$METAWSM_BIN" hook codex || true'
"""The same text for every agent, because codex recognises a hook by its hash."""

_CODEX_EVENTS: Mapping[str, tuple[str, int]] = {
    "UserPromptSubmit": ("user_prompt_submit", 10),
    "PreToolUse": ("pre_tool_use", 10),
    "PermissionRequest": ("permission_request", 10),
    "PostToolUse": ("post_tool_use", 10),
    "Stop": ("stop", 10),
    "Interrupt": ("interrupt", 3),
}
"""Each event with its name in keys and hashes, and a timeout in seconds (codex allows no more for the last)."""


def _codex() -> str:
    """Return the table `hooks` of codex's configuration, as TOML in one line."""
    import json

    command = json.dumps(_CODEX_COMMAND)
    hooks = [
        f'{event}=[{{hooks=[{{type="command",command={command},timeout={seconds}}}]}}]'
        for event, (_, seconds) in _CODEX_EVENTS.items()
    ]
    trusted = [
        f'"/<session-flags>/config.toml:{name}:0:0"={{trusted_hash="{_codex_hash(name, seconds)}"}}'
        for name, seconds in _CODEX_EVENTS.values()
    ]
    return f"{{{','.join(hooks)},state={{{','.join(trusted)}}}}}"


def _codex_hash(event: str, seconds: int) -> str:
    """Return the hash by which codex recognises a hook: the SHA-256 of its definition in canonical JSON.

    `codex app-server` reports it in `hooks/list`.
    """
    import hashlib
    import json

    hook = {"type": "command", "command": _CODEX_COMMAND, "timeout": seconds, "async": False}
    text = json.dumps({"event_name": event, "hooks": [hook]}, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _opencode(plugin: str) -> str:
    import json
    from pathlib import PurePosixPath

    return json.dumps({"plugin": [PurePosixPath(plugin).as_uri()]})
