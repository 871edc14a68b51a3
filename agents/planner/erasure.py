"""Erasure: what is personal of a borrower goes, what the law requires stays under their opaque id.

Gone are the readings of means and the reports that they came from, consents, distress, education, what refusals have
taught, of every answer all but that it was given, and of every offer its words: what it says of their trouble. Debts,
plans, and what was offered in figures stay: they are the lender's own records. So does the reference to the recording
of an oral agreement, where the policy asks for one, until its debt is settled.

What was reported before an erasure and is received after it is emptied before it is taken: it resurrects nothing.
"""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from agents.base import EPOCH, DecisionContext, derived_id
from agents.planner import SOURCE
from agents.planner.update import BorrowerUpdate
from schemas import events as ev
from state.borrower import BorrowerState
from state.policy import PolicyBook
from state.profile import millis

Facts = list[tuple[str, ev.Event]]

KEPT = (
    "debts: the ledger, and which of them are disputed",
    "plans: agreements",
    "offers: what was offered, without words",
    "contacts: their legal limits",
)
RECORDINGS = "recordings: oral agreements whose debt is not settled"


def is_past(event: ev.Event, state: BorrowerState | None) -> bool:
    """Say whether an event was said no later than the borrower's last erasure."""
    return state is not None and millis(event.occurred_at) <= state.erased


def scrubbed(event: ev.Event, recording: bool = False) -> ev.Event:
    """Return what stays of an event after an erasure. recording: the reference to a recording stays."""
    if isinstance(event, ev.ProfileReported):
        return ev.ProfileReported(
            event_id=event.event_id,
            occurred_at=event.occurred_at,
            source=event.source,
            borrower_id=event.borrower_id,
            kind=event.kind,
            as_of=event.as_of,
            consent_id=event.consent_id,
        )
    if isinstance(event, ev.OfferAnswered):
        kept = event.recording_ref if recording else None
        return replace(
            event, reasons=(), counter_amount=None, rating=None, comment=None, sealed=None, recording_ref=kept
        )
    if isinstance(event, ev.OfferPublished):
        options = tuple(replace(option, reasons=()) for option in event.options)
        return replace(event, message="", reasons=(), support=(), education=(), tone="neutral", options=options)
    if isinstance(event, ev.DecisionLogged):
        # Which instalments were too high, and what share of their means the others took, tells what they have.
        return replace(event, reasons=(), candidates=(), shown=(), assumed=(), features_hash="")
    return event


def erase(update: BorrowerUpdate, event: ev.ErasureRequested, context: DecisionContext) -> Facts:
    """Drop what is personal from the state, say so, and return the facts that take the place of personal ones."""
    s = update.s
    s.erased = max(s.erased, millis(event.occurred_at))
    readings = tuple(r for r in s.readings if r.occurred > s.erased)
    consents = tuple(c for c in s.consents if max(c.granted, c.withdrawn, c.deleted) > s.erased)
    gone = (len(s.readings) - len(readings), len(s.consents) - len(consents), len(s.education))
    s.readings, s.consents, s.education = readings, consents, ()
    s.distressed = s.rate_matters = s.explained = False
    s.too_high = s.max_term = s.income_changed = 0
    s.ceiling = (0, "")
    if s.pause_reason == "distress":
        # The pause itself protects, and tells nobody why.
        s.pause_reason = ""
    update.withdraw_offer("erasure")
    # The end of a day tells a time zone.
    if s.offer is not None:
        s.offer = replace(s.offer, tone="neutral", until=0, affordability_limit=0)
    s.lapsed = tuple(replace(o, tone="neutral", until=0, affordability_limit=0) for o in s.lapsed)
    # The limit for which a review was requested tells what they could pay.
    s.plans = {account: replace(plan, reviewed_at_limit=-1) for account, plan in s.plans.items()}
    s.tracked = {}
    return _said(update, event, context, *gone)


def settled(update: BorrowerUpdate, event: ev.Event, context: DecisionContext) -> Facts:
    """Let go of recordings whose debt is settled by now, of a borrower who was erased before."""
    if not update.s.erased:
        return []
    return _said(update, event, context) if _stale(update.s, context) else []


def _said(
    update: BorrowerUpdate,
    event: ev.Event,
    context: DecisionContext,
    readings: int = 0,
    consents: int = 0,
    items: int = 0,
) -> Facts:
    s = update.s
    facts = _stale(s, context)
    held = {**dict(context.load_history()), **dict(facts)}.values()
    recordings = sum(isinstance(f, ev.OfferAnswered) and f.recording_ref is not None and is_past(f, s) for f in held)
    assert isinstance(event, ev.ErasureRequested | ev.WorkoutEnded | ev.PlanProgressed)
    update.emit(
        ev.PersonalDataErased(
            event_id=derived_id(update.identity, "PersonalDataErased", s.borrower_id),
            occurred_at=event.occurred_at,
            source=SOURCE,
            borrower_id=s.borrower_id,
            caused_by=event.event_id,
            through=EPOCH + timedelta(milliseconds=s.erased),
            readings=readings,
            reports=sum(isinstance(fact, ev.ProfileReported) for _, fact in facts),
            answers=sum(isinstance(fact, ev.OfferAnswered) for _, fact in facts),
            consents=consents,
            education=items,
            recordings_kept=recordings,
            kept=(*KEPT, RECORDINGS) if recordings else KEPT,
        )
    )
    return facts


def _stale(s: BorrowerState, context: DecisionContext) -> Facts:
    """Return what takes the place of facts that hold more than may be kept."""
    history = context.load_history()
    offers = {f.offer_id: f for _, f in history if isinstance(f, ev.OfferPublished)}
    facts: Facts = []
    for key, fact in history:
        if is_past(fact, s):
            keep = isinstance(fact, ev.OfferAnswered) and keeps_recording(
                s, fact, offers.get(fact.offer_id), context.policies
            )
            left = scrubbed(fact, keep)
            if left != fact:
                facts.append((key, left))
    return facts


def keeps_recording(
    s: BorrowerState, fact: ev.OfferAnswered, offer: ev.OfferPublished | None, policies: PolicyBook
) -> bool:
    """Say whether the policy keeps the recording of an answer: an oral agreement on a debt that is not settled."""
    if fact.answer != "accepted" or offer is None:
        return False
    for account in offer.account_ids:
        case, plan = s.cases.get(account), s.plans.get(account)
        if case is not None:
            kind = (case.debt.jurisdiction, case.debt.product)
        elif plan is not None and not plan.ended:
            kind = (plan.jurisdiction, plan.product)
        else:
            continue
        if policies.policy_for(*kind).offers.oral_needs_recording:
            return True
    return False
