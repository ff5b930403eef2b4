"""wsm's registry and workspace files: sharing them lets both programs see the same workspaces and repositories.

    <configuration>/workspace-manager/registry.json           repositories that have a name
                                     /workspaces/<name>.json  a workspace, and its repositories as they were

Both contain the same description of a repository. They are written exactly as wsm writes them, in Go; fields
that other programs have added stay.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metawsm_rpc.domain.clock import Clock
from metawsm_rpc.domain.models import Workspace
from metawsm_rpc.errors import HostError, InvalidParamsError
from metawsm_rpc.hosts.files import exclusive, replace_file
from metawsm_rpc.hosts.git.git import Git
from metawsm_rpc.hosts.local_time import local_timestamp

Json = dict[str, Any]

_NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time: nobody has scanned for repositories."""

_CATEGORIES = {
    "go.mod": "go",
    "package.json": "node",
    "Cargo.toml": "rust",
    "setup.py": "python",
    "requirements.txt": "python",
    "Gemfile": "ruby",
    "pom.xml": "java",
    "build.gradle": "gradle",
    "Makefile": "make",
    "docker-compose.yml": "docker",
    "Dockerfile": "docker",
    "cmd": "cli",
    "web": "web",
    "mobile": "mobile",
    "api": "api",
    "server": "server",
    "client": "client",
}
"""Files in a repository's top folder, and the category that wsm derives from them."""

_GO_VERSION_OF_WSM = "1.23"
_GO_DIRECTIVE = re.compile(rb"^go[ \t]+(\d+(?:\.\d+)*)", re.MULTILINE)


def config_home(environ: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Return the user's configuration folder, as Go's `os.UserConfigDir` determines it."""
    home = Path(environ.get("HOME") or Path.home())
    if platform == "darwin":
        return home / "Library" / "Application Support"
    named = Path(environ.get("XDG_CONFIG_HOME", ""))
    return named if named.is_absolute() else home / ".config"


class WsmRegistry:
    """Implements `metawsm_rpc.ports.registry.Registry` below a configuration folder, which need not exist yet."""

    def __init__(self, configuration: Path, git: Git, now: Clock) -> None:
        self._base = configuration / "workspace-manager"
        self._registry = self._base / "registry.json"
        self._git = git
        self._now = now

    def record(self, workspace: Workspace, base_branch: str) -> None:
        """Write, or rewrite, the workspace's file; name its repositories in the registry; write its go.work.

        A repository whose name the registry already has for another path is not added: wsm finds repositories
        by name alone.

        Raises:
            InvalidParamsError: the name cannot be a file's.
            HostError: another workspace has this name, or a file cannot be read or written.
        """
        file = self._file(workspace.name)
        with exclusive(file.parent):
            before = _load(file) or {}
            if before.get("path", workspace.path) != workspace.path:
                raise HostError(f"wsm knows another workspace {workspace.name}, at {before['path']}.")
            after = {
                "name": workspace.name,
                "path": workspace.path,
                "repositories": self._register(workspace),
                "branch": workspace.branch,
                "base_branch": base_branch,
                "created": before.get("created") or local_timestamp(self._now()),
                "go_workspace": _write_go_work(workspace),
                "agent_md": before.get("agent_md") or "",
            }
            replace_file(file, _as_go_writes({**after, **{key: before[key] for key in before if key not in after}}))

    def forget(self, name: str) -> None:
        """Remove the workspace's file and its go.work; harmless when there is none.

        Raises what `workspace` raises, and `HostError` when a file cannot be removed.
        """
        stored = self.workspace(name)
        if stored is None:
            return
        try:
            if stored["go_workspace"]:
                for generated in ("go.work", "go.work.sum"):
                    Path(stored["path"], generated).unlink(missing_ok=True)
            self._file(name).unlink(missing_ok=True)
        except OSError as error:
            raise HostError(f"{error.filename} cannot be removed: {error.strerror}.") from error

    def workspace(self, name: str) -> Mapping[str, Any] | None:
        """Return the stored file of a workspace, or None.

        `name`, `path`, `branch` and `base_branch` are texts, `go_workspace` is true or false, and
        `repositories` is a list of objects with at least `name` and `path`.

        Raises:
            InvalidParamsError: the name cannot be a file's.
            HostError: the file cannot be read, or holds something else.
        """
        file = self._file(name)
        stored = _load(file)
        if stored is None:
            return None
        texts = {key: stored.get(key) or "" for key in ("name", "path", "branch", "base_branch")}
        if not all(isinstance(text, str) for text in texts.values()) or not Path(texts["path"]).is_absolute():
            raise _unlike_wsm(file)
        return {
            **stored,
            **texts,
            "repositories": _repositories(stored, file),
            "go_workspace": stored.get("go_workspace") is True,
        }

    def repositories(self) -> dict[str, str]:
        """Return the path of each repository in the registry, by name; of two with the same name the last, as wsm does.

        Raises `HostError` when the registry cannot be read.
        """
        registry = _load(self._registry) or {}
        return {repo["name"]: repo["path"] for repo in _repositories(registry, self._registry)}

    def _file(self, name: str) -> Path:
        if not name or "/" in name or "\0" in name:
            raise InvalidParamsError(f"{name!r} cannot be the name of a workspace: it is the name of a file.")
        return self._base / "workspaces" / f"{name}.json"

    def _register(self, workspace: Workspace) -> list[Json]:
        """Return the registry's description of each repository of a workspace, after adding missing ones."""
        registry = _load(self._registry) or {"repositories": None, "last_scan": _NEVER}
        known = _repositories(registry, self._registry)
        by_path = {Path(repo["path"]).resolve(): repo for repo in known}
        names = {repo["name"] for repo in known}
        described, added = [], []
        for repo in workspace.repos:
            entry = by_path.get(Path(repo.source).resolve())
            if entry is None:
                entry = self._describe(repo.name, repo.source)
                if repo.name not in names:
                    added.append(entry)
            # wsm looks for the worktree by this name.
            described.append({**entry, "name": repo.name})
        if added:
            # The file may be a link into a person's dotfiles.
            replace_file(self._registry.resolve(), _as_go_writes({**registry, "repositories": [*known, *added]}))
        return described

    def _describe(self, name: str, path: str) -> Json:
        refs = self._ask(path, "for-each-ref", "--format=%(refname)", "refs/heads", "refs/remotes/origin", "refs/tags")
        tags, branches = [], []
        for ref in refs.splitlines():
            _, kind, short = ref.split("/", 2)
            if kind == "tags":
                tags.append(short)
            elif ref != "refs/remotes/origin/HEAD":
                branches.append(short.removeprefix("origin/") if kind == "remotes" else short)
        categories = [category for mark, category in _CATEGORIES.items() if Path(path, mark).exists()]
        return {
            "name": name,
            "path": path,
            "remote_url": self._ask(path, "config", "--get", "remote.origin.url"),
            "current_branch": self._ask(path, "symbolic-ref", "--quiet", "--short", "HEAD"),
            "branches": list(dict.fromkeys(branches)) or None,
            "tags": tags or None,
            "last_commit": self._ask(path, "log", "-1", "--no-show-signature", "--format=%H %s"),
            "last_updated": local_timestamp(self._now()),
            "categories": list(dict.fromkeys(categories)) or ["unknown"],
        }

    def _ask(self, repo: str, *args: str) -> str:
        """Return git's answer, or nothing where it has none: a repository may have no commits or no remote."""
        return self._git.call(repo, *args, environment={"GIT_OPTIONAL_LOCKS": "0"}, accept=None).text.strip()


def _write_go_work(workspace: Workspace) -> bool:
    """Write a workspace's go.work, if it has Go modules and no go.work; return whether it has modules.

    It requires the newest Go version that one of them requires, because Go refuses an older one.
    """
    modules: dict[str, bytes] = {}
    for repo in workspace.repos:
        module = Path(workspace.path, repo.name, "go.mod")
        try:
            if module.is_file():  # in a repository it may be a link to anything
                modules[repo.name] = module.read_bytes()
        except OSError as error:
            raise HostError(f"{module} cannot be read: {error.strerror}.") from error
    file = Path(workspace.path, "go.work")
    if modules and not file.exists():
        versions = [found[1].decode() for text in modules.values() if (found := _GO_DIRECTIVE.search(text))]
        newest = max(versions, key=lambda text: [int(part) for part in text.split(".")], default=_GO_VERSION_OF_WSM)
        uses = "".join(f"\t./{name}\n" for name in modules)
        replace_file(file, f"go {newest}\n\nuse (\n{uses})\n".encode())
    return bool(modules)


def _load(file: Path) -> Json | None:
    """Return the object in a file, or None when there is no file."""
    try:
        stored = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise HostError(f"{file} is not JSON ({error}).", hint="It is wsm's: mend it, or move it away.") from error
    if not isinstance(stored, dict):
        raise _unlike_wsm(file)
    return stored


def _repositories(stored: Json, file: Path) -> list[Json]:
    found = stored.get("repositories") or []
    if not isinstance(found, list) or not all(
        isinstance(repo, dict) and isinstance(repo.get("name"), str) and isinstance(repo.get("path"), str)
        for repo in found
    ):
        raise _unlike_wsm(file)
    return found


def _unlike_wsm(file: Path) -> HostError:
    return HostError(f"{file} does not hold what wsm writes there.", hint="Mend it, or move it away.")


def _as_go_writes(value: Json) -> bytes:
    """Return JSON as Go's `json.MarshalIndent` writes it, which escapes what has a meaning in HTML or JavaScript."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise HostError("A path that is not UTF-8 cannot be written into wsm's files.") from error
