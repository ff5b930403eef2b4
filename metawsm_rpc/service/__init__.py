"""The façade: one method for each verb, plain data in and out.

What a method answers is what the protocol's verb of the same name answers; `domain.wire.wire` makes
the JSON. Methods raise the errors of `errors.py`. The engine is imported by the methods that need it:
a look at a run must not wait for what only driving one takes. Each module holds the verbs on one subject;
they stand on `root.RootService`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metawsm_rpc.errors import NotTrustedError
from metawsm_rpc.service.ending import Ending
from metawsm_rpc.service.looking import Looking
from metawsm_rpc.service.moving import Moving
from metawsm_rpc.service.setting_up import SettingUp
from metawsm_rpc.service.starting import Starting
from metawsm_rpc.service.talking import Talking

if TYPE_CHECKING:
    from metawsm_rpc import answers
else:
    from metawsm_rpc.lazy import LazyModule

    answers = LazyModule("metawsm_rpc.answers")

__all__ = ["Service"]


class Service(Starting, Looking, Moving, Ending, Talking, SettingUp):
    """Every verb on one root."""

    def content(self, uri: str) -> answers.Document:
        """Return the text of a document: `metawsm:/run/<runId>`, `plan`, `transcript`, `diff` and others."""
        from metawsm_rpc.pages import address, library

        found = address.parse(uri)
        if found.kind == "diff" and not self._trusted:
            raise NotTrustedError("A diff asks git, which the folder can make execute things; trust it first.")
        return library.document(found, self)
