"""The one way to a borrower's personal data: for a purpose, as far as consent reaches, and on the record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy

from schemas import events as ev
from state.account import AccountState
from state.borrower import BorrowerState
from state.profile import granted_ids
from streams.security.audit import WHOLE, Audit

History = Sequence[tuple[str, ev.Event]]
# The story of one account: its debt, holds and contacts, what was offered and in which words.
STORY = "account_story"
# What of an answer says more than that it was given.
_ANSWERED = ("reasons", "counter_amount", "rating", "comment", "recording_ref")


def disclose_borrower(
    audit: Audit,
    state: BorrowerState,
    history: History,
    *,
    actor: str,
    purpose: str,
    consents: Sequence[str],
    accounts: bool = False,
) -> tuple[BorrowerState, History]:
    """Return what may be shown of a borrower; it is on record by then.

    consents: the purposes of consents that let means be used. accounts: balances of the borrower's accounts are shown
    beside. Raises FatalError where it cannot be put on record, UsageError for a purpose that is none.
    """
    if purpose not in WHOLE:
        granted = granted_ids(state.consents, consents, state.erased)
        state = copy(state)
        state.readings = tuple(r for r in state.readings if r.consent_id in granted)
        history = [(k, e) for k, e in history if not isinstance(e, ev.ProfileReported) or e.consent_id in granted]
    fields = disclosed_fields(state, (e for _, e in history)) | ({STORY} if accounts else set())
    audit.record([(state.borrower_id, sorted(fields))], actor, purpose)
    return state, history


def disclosed_fields_of(account: AccountState) -> list[tuple[str, list[str]]]:
    """Return of whom an account's story tells: its borrower, and whoever answers for it beside."""
    return [(person, [STORY]) for person in (account.borrower_id, *(p.borrower_id for p in account.parties))]


def agreement_fields(recording: str | None) -> list[str]:
    """Return the names of what an agreement's page shows."""
    return ["agreement", *(["answers.recording_ref"] if recording else [])]


def disclosed_fields(state: BorrowerState | None, events: Iterable[ev.Event]) -> set[str]:
    """Return the names of what is personal in a state and in events."""
    found: set[str] = set()
    if state is not None:
        found |= {f"means.{reading.field}" for reading in state.readings}
        found |= {name for name in ("consents", "distressed", "education", "contacts") if getattr(state, name)}
    for event in events:
        if isinstance(event, ev.ProfileReported):
            found.add("reports")
        elif isinstance(event, ev.OfferAnswered):
            found |= {f"answers.{name}" for name in _ANSWERED if getattr(event, name)}
    return found
