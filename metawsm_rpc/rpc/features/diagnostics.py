"""What is wrong with runs, as diagnostics on the tickets' files, open or not."""

from collections.abc import Mapping

from lsprotocol import types
from pygls.workspace import PositionCodec

from metawsm_rpc.rpc.features.places import UTF16, ticket_range, uri_of
from metawsm_rpc.rpc.features.troubles import Code, troubles
from metawsm_rpc.rpc.view import View

SOURCE = "metawsm"

_SEVERITIES: Mapping[Code, types.DiagnosticSeverity] = {
    "agent-dead": types.DiagnosticSeverity.Error,
    "agent-failed": types.DiagnosticSeverity.Error,
    "run-failed": types.DiagnosticSeverity.Error,
    "step-failed": types.DiagnosticSeverity.Error,
    "agent-waiting": types.DiagnosticSeverity.Warning,
    "agent-stalled": types.DiagnosticSeverity.Warning,
    "guidance-pending": types.DiagnosticSeverity.Warning,
    "close-blocked": types.DiagnosticSeverity.Warning,
    "agent-idle": types.DiagnosticSeverity.Information,
}


def diagnostics(
    view: View, texts: Mapping[str, str] | None = None, codec: PositionCodec = UTF16
) -> dict[str, list[types.Diagnostic]]:
    """Return the diagnostics of a root by the URIs of its tickets; tickets without any are left out.

    Args:
        view: the root.
        texts: the open documents by path: what is typed there moves the line that is underlined.
        codec: how the client counts columns.
    """
    found = {}
    for ticket in view.tickets:
        listed = troubles(ticket, view)
        if listed:
            where = ticket_range(ticket, texts or {}, codec)
            found[uri_of(ticket.path)] = [
                types.Diagnostic(
                    range=where,
                    message=trouble.message,
                    severity=_SEVERITIES[trouble.code],
                    code=trouble.code,
                    source=SOURCE,
                    data=dict(trouble.data),
                )
                for trouble in listed
            ]
    return found
