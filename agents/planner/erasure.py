"""Erasure: what is personal of a borrower goes, what the law requires stays under their opaque id.

Gone are the readings of means and the reports that they came from, consents, distress, education, what refusals have
taught, of every answer all but that it was given, and of every offer its words: what it says of their trouble. Debts,
plans, and what was offered in figures stay: they are the lender's own records. So does the reference to the recording
of an oral agreement, where the policy asks for one, until its debt is settled.

What was reported before an erasure and is received after it is emptied before it is taken: it resurrects nothing.

Means without a consent are deleted: at once where it is withdrawn, after a wait where it was never in force.

A withdrawal of a consent for a purpose for which means are used deletes what was reported under that consent up to its
instant, and what was worked out from means: the limits of offers, and what their outcomes would have taught. What was
decided before stays lawful (GDPR art. 7(3), PIPL art. 15), and offers and decisions stay as they were published; the
values that had no other basis go (GDPR art. 17(1)(b), PIPL art. 47).

A report that occurred after the last withdrawal may belong to a consent that is still to be received. It waits for it,
unused, as long as the policy says (`affordability.consent_wait_days`), and is then deleted at a day's close.

`Consent.deleted` marks through which instant reports are deleted, so that the order of events does not matter: a report
of before that is emptied before it is taken, and a later one counts as soon as its consent is in force again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from msgspec.structs import replace

from agents.base import EPOCH, DecisionContext, derived_id
from agents.planner import SOURCE
from agents.planner.update import BorrowerUpdate
from schemas import events as ev
from state.borrower import BorrowerState
from state.policy import PolicyBook
from state.profile import granted_ids, is_deleted, millis, note_deletion

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
    return _report_erasure(update, event, context, *gone)


def settled(update: BorrowerUpdate, event: ev.Event, context: DecisionContext) -> Facts:
    """Let go of recordings whose debt is settled by now, of a borrower who was erased before."""
    if not update.s.erased:
        return []
    return _report_erasure(update, event, context) if _stale(update.s, context) else []


def _report_erasure(
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


_DAY_MS = 86_400_000
_EPOCH = EPOCH.toordinal()


def is_withdrawn(event: ev.Event, state: BorrowerState | None) -> bool:
    """Say whether an event reports means that are deleted since their consent was withdrawn."""
    return (
        state is not None
        and isinstance(event, ev.ProfileReported)
        and is_deleted(state.consents, event.consent_id, millis(event.occurred_at))
    )


def emptied(event: ev.Event, state: BorrowerState) -> ev.Event:
    """Return what may be stored of an event received from outside, after erasures and withdrawals."""
    return scrubbed(event) if is_past(event, state) or is_withdrawn(event, state) else event


def withdraw_consent(s: BorrowerState, event: ev.ConsentWithdrawn, context: DecisionContext) -> Facts:
    """Delete what was reported under a consent, and return the facts that take the place of those reports."""
    if event.purpose not in _purposes(s, context.policies):
        return []
    s.consents = note_deletion(s.consents, event.consent_id, event.purpose, millis(event.occurred_at))
    s.tracked = {}
    if s.offer is not None:
        s.offer = replace(s.offer, affordability_limit=0)
    s.lapsed = tuple(replace(o, affordability_limit=0) for o in s.lapsed)
    s.plans = {account: replace(plan, reviewed_at_limit=-1) for account, plan in s.plans.items()}
    return _delete(s, context)


def has_deleted(event: ev.Event, s: BorrowerState) -> bool:
    """Say whether an event is a withdrawal that deletes what was reported under its consent."""
    return isinstance(event, ev.ConsentWithdrawn) and is_deleted(
        s.consents, event.consent_id, millis(event.occurred_at)
    )


def wait_for_consent(s: BorrowerState, report: ev.ProfileReported, policies: PolicyBook) -> None:
    """Note by when a report's consent has to be in force."""
    days = [s.delete_on, *_deadlines(s, [report], policies)]
    s.delete_on = min((d for d in days if d), default=0)


def schedule_deletion(s: BorrowerState, facts: Iterable[ev.Event], policies: PolicyBook) -> None:
    """Note anew by when the consent of some report has to be in force. facts: all that are recorded."""
    reports = (f for f in facts if isinstance(f, ev.ProfileReported) and not is_past(f, s))
    s.delete_on = min(_deadlines(s, reports, policies), default=0)


def delete_unconsented(s: BorrowerState, today: int, context: DecisionContext) -> Facts:
    """Delete reports that have waited long enough for their consent; returns what takes their place."""
    granted, wait = _granted(s, context.policies), _wait_days(context.policies)
    # Readings without a deadline are those of an earlier release, or of purposes that no longer count.
    overdue = any(r.consent_id not in granted and _day(r.occurred) + wait <= today for r in s.readings)
    if not overdue and not 0 < s.delete_on <= today:
        return []
    for _, fact in context.load_history():
        if isinstance(fact, ev.ProfileReported) and any(d <= today for d in _deadlines(s, [fact], context.policies)):
            s.consents = note_deletion(s.consents, fact.consent_id, "", millis(fact.occurred_at))
    facts = _delete(s, context)
    schedule_deletion(s, {**dict(context.load_history()), **dict(facts)}.values(), context.policies)
    return facts


def _delete(s: BorrowerState, context: DecisionContext) -> Facts:
    s.readings = tuple(r for r in s.readings if not is_deleted(s.consents, r.consent_id, r.occurred))
    left = [(key, fact, scrubbed(fact)) for key, fact in context.load_history() if is_withdrawn(fact, s)]
    return [(key, after) for key, before, after in left if before != after]


def _deadlines(s: BorrowerState, reports: Iterable[ev.ProfileReported], policies: PolicyBook) -> Iterable[int]:
    """Yield the days (ordinals) at whose close reports are deleted whose consent is not in force."""
    granted, wait = _granted(s, policies), _wait_days(policies)
    for report in reports:
        if report.consent_id not in granted and scrubbed(report) != report:
            yield _day(millis(report.occurred_at)) + wait


def _granted(s: BorrowerState, policies: PolicyBook) -> frozenset[str]:
    return granted_ids(s.consents, tuple(_purposes(s, policies)), s.erased)


def _wait_days(policies: PolicyBook) -> int:
    return policies.policy_for("", "").affordability.consent_wait_days


def _day(occurred: int) -> int:
    """Return the date (ordinal, UTC) of an instant in milliseconds."""
    return _EPOCH + occurred // _DAY_MS


def _purposes(s: BorrowerState, policies: PolicyBook) -> set[str]:
    """Return the purposes for which means are used: by default, and for the borrower's debts and plans."""
    kinds = {("", "", "")}
    kinds |= {(c.debt.jurisdiction, c.debt.product, c.debt.currency) for c in s.cases.values()}
    kinds |= {(p.jurisdiction, p.product, p.currency) for p in s.plans.values()}
    return {purpose for kind in kinds for purpose in policies.policy_for(*kind).affordability.purposes}
