"""Events of an account for the planner: its need for a plan, its plan's progress, and contacts with the borrower."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from msgspec.structs import replace

from agents.account.day import SOURCE, event_amounts, outstanding_on, signal_header
from agents.account.facts import identity_of
from agents.account.parties import joint_borrowers, owes_debt
from agents.account.rules import Rules
from agents.base import derived_id
from schemas import events as ev
from state.account import AccountState
from state.delinquency import bucket_of, measure, pauses

OUTCOMES: dict[type[ev.Event], str] = {
    ev.PlanInstalmentKept: "kept",
    ev.PlanInstalmentMissed: "missed",
    ev.PlanBroken: "broken",
    ev.PlanCompleted: "completed",
    ev.PlanEnded: "ended",
    ev.PlanReplaced: "replaced",
    ev.PlanPostponed: "postponed",
    ev.PlanScheduleAdjusted: "adjusted",
    ev.AccountEnded: "ended",
}
Outcome = (
    ev.PlanInstalmentKept
    | ev.PlanInstalmentMissed
    | ev.PlanBroken
    | ev.PlanCompleted
    | ev.PlanEnded
    | ev.PlanReplaced
    | ev.PlanPostponed
    | ev.PlanScheduleAdjusted
    | ev.AccountEnded
)
# A conversation is by voice, and with the borrower.
SPOKEN = frozenset({"call", "visit"})
ANSWERED: frozenset[ev.ContactOutcome] = frozenset(
    {"reached", "promised", "refused", "disputed", "hardship", "complaint"}
)


def plan_signals(s: AccountState, published: Iterable[ev.Event], standing: Iterable[ev.Event]) -> list[ev.Event]:
    """Return the planner's events for published ones; a correction takes back the one that it supersedes."""
    before: Mapping[str, ev.Event] = {}
    signals: list[ev.Event] = []
    for event in published:
        about = event
        if isinstance(event, ev.EventSuperseded):
            before = before or {e.event_id: e for e in standing}
            about = before[event.supersedes]
        outcome = OUTCOMES.get(type(about))
        if isinstance(about, ev.AccountRestored):
            signals += plan_taken_over(s, event)
        elif outcome is not None and (about.plan_id or not isinstance(about, ev.AccountEnded)):  # type: ignore[attr-defined]
            signals.append(_plan_signal(s, event, about, outcome))
    return signals


def plan_taken_over(s: AccountState, cause: ev.Event) -> list[ev.Event]:
    """Return the event about a plan that the planner did not make, or that is in force again."""
    if s.plan is None or s.closed_on:
        return []
    ours = isinstance(cause, ev.EventSuperseded | ev.AccountRestored)
    identity = cause.event_id if ours else identity_of(cause)
    asked = [(r.due, r.amount_due) for r in s.receivables if r.plan] + [(a.due, a.amount) for a in s.plan.asks]
    last = max((due for due, _ in asked), default=s.folded_through)
    return [
        ev.PlanProgressed(
            **signal_header(s, cause, derived_id(identity, "PlanTakenOver", s.account_id), s.folded_through),
            plan_id=s.plan.plan_id,
            offer_id=s.plan.offer_id,
            outcome="taken_over",
            instalment=max((amount for _, amount in asked), default=0),
            until=date.fromordinal(s.plan.ends_on or last),
            currency=s.currency,
            jurisdiction=s.jurisdiction,
            product=s.product,
        )
    ]


def contact_signals(s: AccountState, fact: ev.ContactAttempted, *, past: bool = False) -> list[ev.Event]:
    """Return what counts of a contact: an attempt of the lender, that they spoke, or that the debt was disputed.

    past: it was before the first day of which anything is reported, so it counts and is not judged.
    """
    attempt = fact.direction == "outbound"
    conversation = fact.channel in SPOKEN and fact.outcome in ANSWERED
    disputed = fact.outcome == "disputed"
    if not attempt and not conversation and not disputed:
        return []
    other = fact.borrower_id if fact.borrower_id != s.borrower_id else None
    noted = ev.ContactRecorded(
        # Ids derive from the name that release 0.1.0 gave this event.
        event_id=derived_id(identity_of(fact), "ContactNoted", s.account_id),
        occurred_at=fact.occurred_at,
        source=SOURCE,
        borrower_id=other or s.borrower_id,
        account_id=s.account_id,
        attempt_id=fact.attempt_id,
        caused_by=fact.event_id,
        attempt=attempt,
        conversation=conversation,
        jurisdiction=s.jurisdiction,
        product=s.product,
        disputed=disputed,
        past=past,
        party=other is not None,
    )
    if other is None or not disputed or not owes_debt(s, other):
        return [noted]
    # Whoever of those who owe it disputes the debt, nobody is offered ways to pay it.
    about = replace(
        noted,
        event_id=derived_id(identity_of(fact), "ContactNoted", s.account_id, s.borrower_id),
        borrower_id=s.borrower_id,
        attempt=False,
        conversation=False,
        party=False,
    )
    return [noted, about]


def _plan_signal(s: AccountState, event: ev.Event, about: ev.Event, outcome: str) -> ev.PlanProgressed:
    assert isinstance(about, Outcome)
    number = 0
    if isinstance(about, ev.PlanInstalmentKept | ev.PlanInstalmentMissed):
        number = about.number
    elif isinstance(about, ev.PlanPostponed):
        number = about.months
    elif isinstance(about, ev.PlanScheduleAdjusted):
        number = len(about.instalments) - about.agreed
    event_id = derived_id(event.event_id, "PlanProgressed", s.account_id)
    return ev.PlanProgressed(
        **signal_header(s, event, event_id, about.business_date.toordinal()),
        plan_id=about.plan_id,
        offer_id=about.offer_id,
        number=number,
        outcome=outcome,
        taken_back=event is not about,
    )


MEANS_CHANGED = "means_changed"
REVIEW_DUE = "review_due"
DISPUTE_ENDED = "|dispute ended "
# In the place of what was said of a debt that has another opening now.
OUTDATED = "outdated"
# Somebody else owes the debt.
NO_PARTY = "no_party"


def _review_due(s: AccountState, day: int) -> bool:
    return s.plan is not None and s.plan.is_temporary and day >= s.plan.review_on


def wants_plan(s: AccountState, rules: Rules, day: int) -> bool:
    """Return whether the account is far enough behind, and may still have a plan, or has one that is to be reviewed."""
    plans = rules.policy.plans
    if s.closed_on or s.bad_debt == "terminated":
        return False
    if s.plan is not None:
        return bool(s.plan.review) or _review_due(s, day)
    if not s.overdue_since:
        return False
    if s.plans_broken > plans.max_broken:
        return False
    return s.days_past_due > plans.request_over_days or s.missed >= max(1, plans.request_missed)


def why_no_plan(s: AccountState, rules: Rules) -> str:
    """Return the reason why an account that wanted a plan no longer does."""
    if s.plan is not None:
        return "plan_active"
    if s.bad_debt == "terminated":
        return "terminated"
    if s.closed_on:
        return "closed"
    if not s.overdue_since:
        return "cured"
    # Behind still, but not as far as a plan is offered for: it paid some of it, or the policy asks for more now.
    return "plans_used_up" if s.plans_broken > rules.policy.plans.max_broken else "less_behind"


def debt_of(s: AccountState, rules: Rules, day: int) -> ev.Debt:
    """Return the debt of an account at the close of a day. rules: those of all days."""
    delinquency = rules.in_force_on(day).policy.delinquency
    paused = pauses(s.holds, rules.pausing) if s.holds else ()
    m = measure(s.receivables, paused, day, delinquency, s.payments_deferred_to)
    owed = outstanding_on(s, day)
    ahead = next((r for r in s.receivables if r.due >= day), s.receivables[-1] if s.receivables else None)
    last = s.receivables[-1].due if s.receivables else day
    return ev.Debt(
        account_id=s.account_id,
        product=s.product,
        jurisdiction=s.jurisdiction,
        currency=s.currency,
        # Under a plan its own rate is what was agreed, and what nobody may be offered worse than.
        annual_rate_bps=s.annual_rate_bps if s.plan is None or s.plan.is_temporary else s.plan.annual_rate_bps,
        outstanding=event_amounts(owed),
        overdue_amount=m.overdue,
        days_past_due=m.days_past_due,
        missed=m.missed,
        bucket=bucket_of(m.days_past_due, delinquency.grace_days),
        bad_debt=s.bad_debt,
        stage=s.ifrs9_stage,
        remaining_months=max(0, -(-(last - day) // 31)),
        contract_instalment=ahead.amount_due if ahead else 0,
        oldest_due_on=date.fromordinal(m.oldest_due) if m.oldest_due else None,
        plans_broken=s.plans_broken,
        holds=tuple(sorted({h.kind for h in s.holds if h.covers(day)})),
        attempts=s.failed_contact_attempts,
        contract_total=s.owed().total(),
        dispute_ended_on=dispute_ended(s, day),
        joint_borrower_ids=joint_borrowers(s),
    )


def dispute_ended(s: AccountState, day: int) -> date | None:
    """Return the first day without the last dispute hold, None where there was none or one is in force."""
    if not s.dispute_ended_on or any(h.kind == "dispute" and h.covers(day) for h in s.holds):
        return None
    return date.fromordinal(s.dispute_ended_on)


def opening_signals(before: AccountState, now: AccountState, cause: ev.Event, day: int) -> list[ev.Event]:
    """Return what the planner hears where another opening came to stand, and have it hear of the debt anew.

    The debt has another place, rate or currency by it, or another borrower: whoever was taken for them owes nothing.
    """
    if before.borrower_id == now.borrower_id:
        if before.last_workout_signal.partition(DISPUTE_ENDED)[0]:
            now.last_workout_signal = OUTDATED
        return []
    now.last_workout_signal = ""
    if not before.last_workout_signal and before.plan is None:
        return []
    identity, owner = identity_of(cause), before.borrower_id
    return [
        ev.WorkoutEnded(
            **signal_header(before, cause, derived_id(identity, "WorkoutEnded", before.account_id, day, owner), day),
            reason=NO_PARTY,
        )
    ]


def workout_signal(s: AccountState, rules: Rules, cause: ev.Event, day: int) -> ev.Event | None:
    """Return the event about the account's need for a plan after a day, None without a change; notes it in the state.

    rules: those of all days.
    """
    now, today, ended = "", rules.in_force_on(day), dispute_ended(s, day)
    wants = wants_plan(s, today, day)
    if wants:
        holds = ",".join(sorted({h.kind for h in s.holds if h.covers(day)}))
        principal = outstanding_on(s, day).principal
        now = f"{s.bucket}|{s.bad_debt}|{s.missed}|{s.plans_broken}|{holds}|{principal}"
        if s.plan is not None:
            due = "|review" if _review_due(s, day) else ""
            now = f"{s.plan.plan_id}|{s.plan.review}|{holds}|{principal}{due}"
    if wants and s.parties:
        now += "|joint " + ",".join(joint_borrowers(s))
    if ended is not None:
        # The planner waits for it, whether or not this account wants a plan.
        now += f"{DISPUTE_ENDED}{ended}"
    if now == s.last_workout_signal:
        return None
    asked, s.last_workout_signal = s.last_workout_signal.partition(DISPUTE_ENDED)[0], now
    kind = ev.WorkoutRequested if wants else ev.WorkoutEnded
    header = signal_header(s, cause, derived_id(identity_of(cause), kind.__name__, s.account_id, day), day)
    if not wants:
        return ev.WorkoutEnded(**header, reason=why_no_plan(s, today), dispute_ended_on=ended)
    return ev.WorkoutRequested(
        **header,
        trigger=_trigger(s, day, asked),
        debt=debt_of(s, rules, day),
    )


def _trigger(s: AccountState, day: int, asked: str) -> str:
    if s.plan is not None:
        return REVIEW_DUE if _review_due(s, day) else MEANS_CHANGED
    return "changed" if asked else "fell_behind"
