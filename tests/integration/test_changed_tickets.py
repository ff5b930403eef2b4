"""Changes of tickets' files are noticed, whoever has looked at the tickets meanwhile."""

from pathlib import Path

from conftest import Root
from engine_support import runs_on

from metawsm_rpc.rpc.view import Views


def test_a_change_that_another_look_has_read_is_still_told_once(root: Root) -> None:
    root.repository("app")
    root.agents(worker="exit 0")
    with runs_on(root) as runs:
        ticket = Path(runs.verbs.create_ticket("T-1").path)
        runs.verbs.run(("T-1",), dry_run=True)
        views = Views(str(root.path), runs.verbs, str)
        views.current()
        views.files_changed()
        assert not views.files_changed()
        ticket.write_text(ticket.read_text().replace("Ticket:", "Other: 1\nTicket:"))
        views.tickets_changed()
        views.current()
        assert views.files_changed()
        assert not views.files_changed()
