"""Means without a consent are deleted: at once where it is withdrawn, after a wait where it was never in force.

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

from msgspec.structs import replace

from agents.base import EPOCH, DecisionContext
from agents.planner.erasure import Facts, is_past, scrubbed
from schemas import events as ev
from state.borrower import BorrowerState
from state.policy import PolicyBook
from state.profile import granted_ids, is_deleted, millis, note_deletion

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
