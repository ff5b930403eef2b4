"""The built-in profiles: how each kind of agent is started, and how it continues a conversation.

Taken from the programs' own `--help`: codex 0.169.0, claude 2.1.197, gemini 0.61.0, opencode 1.18.33, aider
0.86.2; details that `--help` omits were observed with the same versions.

What they may do. An interactive profile never skips a permission: the program asks the person in
its terminal, as it always does. Only what metawsm itself needs is allowed beforehand: reading the
brief, and `metawsm signal` where the program can allow one command. A headless profile can ask
nobody, so it takes the least dangerous mode in which its program can change files:

- codex-exec: never asks, inside codex's own sandbox (the workspace, the git directories of its
  worktrees and the drop box may be written; no network).
- claude-exec: file edits are accepted, `git add`, `git commit` and `metawsm signal` allowed, and
  everything else that would need a permission is denied.
- gemini-exec: file edits are accepted; gemini has no shell without a person, so it cannot commit.
  The workspace is new, so nobody can have trusted it before: it is trusted for this session.
- opencode-exec: what opencode's own configuration does not allow is rejected.
- aider-exec: says yes to edits, and commits; shell commands and web pages are never offered.

Headless programs read their standard input only where it is no terminal (codex and opencode would
wait for its end); in a pane it is one.

A program goes on with the session of the agent itself, `{session_id}`, and never with the "last" one,
which may be somebody else's: claude and gemini let its id be chosen, codex and opencode tell it to
their hooks. Where none is known, or what went on with it failed, the agent is started anew; so is an
interactive opencode, which takes no message for a session that it opens again.
"""

from collections.abc import Mapping
from typing import Any

_ORIENTATION = """\
You work on ticket {ticket} in {workspace}. Read {brief} first: it says what to do, in which \
repositories, and when it is done. Stay in this workspace, and commit your work in every \
repository that you change, on the branch that is checked out."""

PROMPT = f"""\
{_ORIENTATION}

Tell how it goes with these commands:
{{bin}} signal progress "what is finished now"
{{bin}} signal guidance "a question that only a person can decide" --wait
{{bin}} signal done "what was done"
{{bin}} signal failed "why it cannot be done"
End with done or failed: until then the work counts as unfinished."""

HEADLESS_PROMPT = f"""\
{_ORIENTATION}

Nobody can answer questions: decide what is open yourself, and say so at the end. Where you may \
run commands, tell how it goes with: {{bin}} signal progress "what is finished now". If it cannot \
be done: {{bin}} signal failed "why"."""

# A worktree commits into the common directory of its repository, and codex protects the worktree's
# own git directory unless that is named itself, and before the folder that it lies in.
_CODEX_SANDBOX = [
    "--sandbox",
    "workspace-write",
    "--add-dir={git_dirs}",
    "--add-dir={git_common_dirs}",
    "--add-dir={drop_box}",
]
_CODEX_INTERACTIVE = ["--no-daemon", "--ask-for-approval", "on-request", "{hook_options}", *_CODEX_SANDBOX]
_CODEX_EXEC = ["codex", "exec", "--skip-git-repo-check", "{hook_options}", *_CODEX_SANDBOX]

# `=` keeps claude's variadic options from taking the prompt for one of their values.
_CLAUDE = ["{hook_options}", "--add-dir={brief_directory}", "--allowedTools=Bash({bin} signal *)"]
_CLAUDE_EXEC = [
    "--print",
    "--permission-mode=acceptEdits",
    "{hook_options}",
    "--add-dir={brief_directory}",
    "--allowedTools=Bash({bin} signal *),Bash(git add *),Bash(git commit *)",
]

_GEMINI = ["--include-directories={brief_directory}"]
_GEMINI_EXEC = ["--skip-trust", "--approval-mode=auto_edit", *_GEMINI]

_AIDER = ["aider", "--no-check-update", "--no-show-release-notes", "--read={brief}"]
_AIDER_EXEC = [
    *_AIDER,
    "--yes-always",
    "--no-suggest-shell-commands",
    "--no-detect-urls",
    "--disable-playwright",
]


def _interactive(runner: str, command: list[str], resume_command: list[str] | None = None) -> dict[str, Any]:
    return _profile(runner, runner, command, resume_command, "signal", PROMPT)


def _headless(runner: str, command: list[str], resume_command: list[str] | None = None) -> dict[str, Any]:
    return _profile(f"{runner}-exec", runner, command, resume_command, "exit", HEADLESS_PROMPT)


def _profile(
    name: str, runner: str, command: list[str] | None, resume_command: list[str] | None, completes_on: str, prompt: str
) -> dict[str, Any]:
    return {
        "name": name,
        "runner": runner,
        "command": command,
        "resume_command": resume_command,
        "completes_on": completes_on,
        "base_prompt": prompt,
    }


BUILT_IN: Mapping[str, Mapping[str, Any]] = {
    profile["name"]: profile
    for profile in (
        # By default codex starts a server that outlives its terminal, and its tools run under that.
        _interactive(
            "codex",
            ["codex", *_CODEX_INTERACTIVE, "{prompt}"],
            ["codex", "resume", *_CODEX_INTERACTIVE, "{session_id}", "{prompt}"],
        ),
        _headless("codex", [*_CODEX_EXEC, "{prompt}"], [*_CODEX_EXEC, "resume", "{session_id}", "{prompt}"]),
        _interactive(
            "claude",
            ["claude", *_CLAUDE, "--session-id={session_id}", "{prompt}"],
            ["claude", *_CLAUDE, "--resume={session_id}", "{prompt}"],
        ),
        _headless(
            "claude",
            ["claude", *_CLAUDE_EXEC, "--session-id={session_id}", "{prompt}"],
            ["claude", *_CLAUDE_EXEC, "--resume={session_id}", "{prompt}"],
        ),
        _interactive(
            "gemini",
            ["gemini", *_GEMINI, "--session-id={session_id}", "--prompt-interactive={prompt}"],
            ["gemini", *_GEMINI, "--resume={session_id}", "--prompt-interactive={prompt}"],
        ),
        _headless(
            "gemini",
            ["gemini", *_GEMINI_EXEC, "--session-id={session_id}", "--prompt={prompt}"],
            ["gemini", *_GEMINI_EXEC, "--resume={session_id}", "--prompt={prompt}"],
        ),
        _interactive("opencode", ["opencode", "--prompt={prompt}"]),
        # The prompt comes first: `--file` takes every word that follows it.
        _headless(
            "opencode",
            ["opencode", "run", "{prompt}", "--file={brief}"],
            ["opencode", "run", "{prompt}", "--file={brief}", "--session={session_id}"],
        ),
        # aider cannot take a first message and stay open: it reads the brief and waits for input.
        _interactive("aider", _AIDER, [*_AIDER, "--restore-chat-history"]),
        _headless(
            "aider",
            [*_AIDER_EXEC, "--message={prompt}"],
            [*_AIDER_EXEC, "--restore-chat-history", "--message={prompt}"],
        ),
        _profile("shell", "shell", None, None, "exit", HEADLESS_PROMPT),
    )
}
"""The built-in profiles by name. `shell` has no command: the agent provides it."""

_BY_KIND = {(profile["runner"], profile["completes_on"]): profile for profile in BUILT_IN.values()}


def complete(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Return a profile as written, with omitted fields filled in.

    That comes from the built-in profile of the same runner and `completes_on`; runner and `completes_on`, when
    they are left out too, from the built-in profile of the same name, else they are `shell` and whatever its
    runner's first built-in profile has. A custom command is not resumed by a built-in one. Values of a wrong
    type are left for the model to refuse.
    """
    named = BUILT_IN.get(_text(profile.get("name")), {})
    runner = _text(profile.get("runner", named.get("runner", "shell")))
    first = BUILT_IN.get(runner, {})
    completes_on = _text(profile.get("completes_on", named.get("completes_on", first.get("completes_on"))))
    base = _BY_KIND.get((runner, completes_on), first)
    own = {"resume_command": None} if "command" in profile else {}
    return {**base, **own, **profile}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
