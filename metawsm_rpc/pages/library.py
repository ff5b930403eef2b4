"""Returns the document at an address, built from the results of verbs."""

import json
from collections.abc import Callable, Mapping
from typing import Protocol

from metawsm_rpc import answers
from metawsm_rpc.answers import Document
from metawsm_rpc.domain.markdown import shown
from metawsm_rpc.domain.models import RunDetail
from metawsm_rpc.errors import InvalidPolicyError
from metawsm_rpc.pages.address import Address
from metawsm_rpc.pages.looks import doctor_page, events_page, explain_page, tickets_page
from metawsm_rpc.pages.plan import plan_page
from metawsm_rpc.pages.run import run_page, runs_page

_TRANSCRIPT_BYTES = 256 * 1024
_PATCH_CHARACTERS = 2_000_000
_ROWS = 500
"""Longer content is cut to its end, because a document is sent whole and read by a person."""


class Verbs(Protocol):
    """The verbs that documents are made of."""

    def runs(self, *, limit: int | None = None) -> answers.RunsListed:
        """List runs."""

    def status(self, run_id: str) -> RunDetail:
        """Show one run whole."""

    def transcript(self, run_id: str, *, agent: str, ticket: str, offset: int, limit: int) -> answers.TranscriptPart:
        """Return what an agent printed."""

    def diff(self, run_id: str, *, ticket: str, repo: str, patch: bool) -> answers.Diffs:
        """Show the work in a worktree."""

    def explain(self, run_id: str, *, agent: str, ticket: str) -> answers.Explained:
        """Say why an agent is judged as it is."""

    def events(self, *, since: int, run_id: str) -> answers.EventsListed:
        """List what happened."""

    def tickets(self) -> answers.TicketsListed:
        """List the tickets."""

    def policy(self) -> answers.PolicyAnswer:
        """Show the policy that is in force."""

    def doctor(self) -> answers.Checks:
        """Check what is needed."""


def document(address: Address, verbs: Verbs) -> Document:
    """Return the document at an address. Raises what the verbs raise if it does not exist."""
    return _MAKERS[address.kind](verbs, *address.names)


def _run(verbs: Verbs, run_id: str) -> Document:
    return _markdown(run_page(verbs.status(run_id)))


def _plan(verbs: Verbs, run_id: str) -> Document:
    detail = verbs.status(run_id)
    return _markdown(plan_page(f"run {detail.run.run_id}", detail.steps))


def _runs(verbs: Verbs) -> Document:
    return _markdown(runs_page(verbs.runs(limit=_ROWS).runs))


def _transcript(verbs: Verbs, run_id: str, ticket: str, agent: str) -> Document:
    part = verbs.transcript(run_id, agent=agent, ticket=ticket, offset=-_TRANSCRIPT_BYTES, limit=_TRANSCRIPT_BYTES)
    return Document(shown(part.text), "plaintext")


def _diff(verbs: Verbs, run_id: str, ticket: str, repo: str) -> Document:
    found = verbs.diff(run_id, ticket=ticket, repo=repo, patch=True).repos
    if not found:
        return Document(f"# There is no worktree of {repo} for {ticket} any more.\n", "diff")
    patch = "".join(one.patch or "" for one in found)
    if len(patch) > _PATCH_CHARACTERS:
        patch = f"{patch[:_PATCH_CHARACTERS]}\n# The rest of {len(patch)} characters is left out.\n"
    return Document(patch or f"# {repo} has no changes for {ticket}.\n", "diff")


def _explain(verbs: Verbs, run_id: str, ticket: str, agent: str) -> Document:
    found = verbs.explain(run_id, agent=agent, ticket=ticket)
    return _markdown(explain_page(agent, ticket, found.health, found.evidence))


def _events(verbs: Verbs, run_id: str) -> Document:
    return _markdown(events_page(run_id, verbs.events(since=0, run_id=run_id).events[-_ROWS:]))


def _tickets(verbs: Verbs) -> Document:
    rows = [(one.ticket, one.title, one.status, one.runs[0] if one.runs else "") for one in verbs.tickets().tickets]
    return _markdown(tickets_page(rows))


def _policy(verbs: Verbs) -> Document:
    found = verbs.policy()
    if found.policy is None:
        raise InvalidPolicyError(found.problems[0].message, hint=found.problems[0].hint)
    return Document(json.dumps(found.policy, indent=2, ensure_ascii=False) + "\n", "json")


def _doctor(verbs: Verbs) -> Document:
    return _markdown(doctor_page(verbs.doctor().checks))


def _markdown(text: str) -> Document:
    return Document(text, "markdown")


_MAKERS: Mapping[str, Callable[..., Document]] = {
    "run": _run,
    "plan": _plan,
    "transcript": _transcript,
    "diff": _diff,
    "explain": _explain,
    "events": _events,
    "runs": _runs,
    "tickets": _tickets,
    "policy": _policy,
    "doctor": _doctor,
}
