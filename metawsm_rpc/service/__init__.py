"""The façade: one method for each verb, plain data in and out.

A method returns the result of the protocol's verb of the same name; `domain.wire.wire` turns it into JSON.
Methods raise the errors of `errors.py`. They import the engine's modules themselves, because a look at a run
must not wait for modules that only driving one needs. Each module contains the verbs on one subject, as a mixin
on `root.RootService`.
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
