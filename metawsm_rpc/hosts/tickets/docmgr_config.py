"""Where tickets are stored and the defaults of new ones, from docmgr's own configuration."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from metawsm_rpc.errors import HostError

_FILE = ".ttmp.yaml"
_DEFAULT_DIRECTORY = "ttmp"


class TicketRoot(NamedTuple):
    """The absolute folder of all tickets, and docmgr's defaults for new ones.

    `within` is the folder that it must not lead out of, by links or otherwise; None where a person has named it.
    """

    directory: Path
    owners: tuple[str, ...] = ()
    intent: str = "long-term"
    within: Path | None = None


def ticket_root(root: Path, configured: str, environ: Mapping[str, str]) -> TicketRoot:
    """Return where the tickets of a root are.

    A directory in the policy other than the default wins, as docmgr's `--root` does; then the file that
    `DOCMGR_CONFIG` names, or the nearest `.ttmp.yaml` from `root` upwards; then `ttmp`. What comes with a
    root, and may be a stranger's, must not lead out of it; a file above the root, or one that
    `DOCMGR_CONFIG` names, is the person's own.

    Args:
        root: metawsm's root, absolute; relative paths start here.
        configured: the policy's `tickets.directory`.
        environ: the environment, for `DOCMGR_CONFIG`.

    Raises:
        HostError: docmgr's configuration cannot be read.
    """
    file = _config_file(root, environ)
    within: Path | None = root
    config = _load(file) if file else {}
    directory = Path(configured).expanduser()
    if file and configured == _DEFAULT_DIRECTORY and (named := config.get("root")):
        is_of_the_root = file == root / _FILE and file != root / environ.get("DOCMGR_CONFIG", "")
        within = root if is_of_the_root else None
        root, directory = file.parent, Path(str(named))
    defaults = config.get("defaults")
    defaults = defaults if isinstance(defaults, dict) else {}
    owners = defaults.get("owners")
    return TicketRoot(
        directory=Path(os.path.normpath(root / directory)),
        owners=tuple(map(str, owners)) if isinstance(owners, list) else (),
        intent=str(defaults.get("intent") or "long-term"),
        within=within,
    )


def _config_file(root: Path, environ: Mapping[str, str]) -> Path | None:
    candidates = [folder / _FILE for folder in (root, *root.parents)]
    if named := environ.get("DOCMGR_CONFIG"):
        candidates.insert(0, root / named)
    return next((file for file in candidates if file.is_file()), None)


def _load(file: Path) -> Mapping[str, Any]:
    import yaml

    try:
        config = yaml.safe_load(file.read_bytes())
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise HostError(f"{file} is not YAML: {reason}.", hint="This is docmgr's configuration: mend it.") from error
    except OSError as error:
        raise HostError(f"{file} cannot be read: {error.strerror}.") from error
    if config is not None and not isinstance(config, dict):
        raise HostError(f"{file} must hold lines of 'key: value', such as 'root: ttmp'.")
    return config or {}
