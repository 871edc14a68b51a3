"""An account that is taken over: its state at the close of the day of its opening position."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date

from msgspec.structs import replace

from agents.account.day import receivable_order
from agents.account.facts import effective_day
from agents.account.parties import concerns_one, hold_of, sort_parties
from agents.account.rules import Rules
from schemas import events as ev
from state.account import AccountFact, AccountState, Hold, Paid, Plan, Promise, Receivable
from state.calendars import add_months
from state.delinquency import Span, bucket_of, days_late, is_material, measure, paused_days, pauses
from state.ledger import tolerance
from state.numbers import covering

# What moves money, so that it may not be lost where a position cannot hold it.
MONEY = (
    ev.PaymentReceived,
    ev.InstalmentBilled,
    ev.InstalmentAdjusted,
    ev.ScheduleRevised,
    ev.PlanActivated,
    ev.AccountClosed,
)


def is_late_for_position(fact: AccountFact, position: ev.OpeningPosition, rules: Rules) -> bool:
    """Return whether a fact that counts from the position's day or before occurred after it, and moves money."""
    return isinstance(fact, MONEY) and fact.occurred_at.astimezone(rules.zone).date() > position.as_of


def state_at_position(event: ev.OpeningPosition, history: Sequence[AccountFact], rules: Rules) -> AccountState:
    """Return the state of an account at the close of the day of its opening position.

    history: its facts of that day and before, of which only holds and promises that are not due yet matter.
    """
    day = event.as_of.toordinal()
    policy = rules.in_force_on(day).policy
    concerns = _holds_of(history, event, rules)
    holds = tuple(h for who, h in concerns if not who)
    paused = pauses(holds, rules.pausing) if holds else ()
    plan = event.plan
    # What a plan replaced was missed before the plan, or is missed when it breaks.
    before = plan.activated_on.toordinal() if plan is not None else day
    asked = _as_reported(map(_receivable, event.instalments), rules, paused, before)
    paid = Paid(principal=plan.paid) if plan is not None else Paid()
    s = AccountState(
        account_id=event.account_id,
        borrower_id=event.borrower_id,
        product=event.product,
        jurisdiction=event.jurisdiction,
        currency=event.currency,
        annual_rate_bps=event.annual_rate_bps,
        original_principal=event.principal,
        opened_on=event.opened_on.toordinal(),
        folded_through=day,
        next_fold_on=day + 1,
        accrued_to=day,
        receivables=asked,
        received=paid.total() + event.credit,
        credit=event.credit,
        paid=paid,
        charged=event.charged,
        billed_principal=event.statement_principal,
        last_payment_on=_ordinal(event.last_payment_on),
        allowance=event.allowance,
        bad_debt=event.bad_debt,
        bad_debt_on=_ordinal(event.bad_debt_on) or (day if event.bad_debt != "none" else 0),
        bad_debt_rejected=event.rejected,
        failed_contact_attempts=event.failed_attempts,
        plans_broken=event.plans_broken,
        had_plan=event.had_plan or plan is not None,
        credit_standing=event.standing,
        holds=holds,
        releases=_releases_of(history),
        promises=_promises_of(history, rules, day),
        instalment_numbers=covering(i.number for i in event.instalments),
        scheduled=any(not i.billed for i in event.instalments),
        position_on=day,
        reported_from=day + 1,
        parties=sort_parties(event.parties),
        party_holds=tuple((who, h) for who, h in concerns if who and (h.end == 0 or h.end >= day)),
    )
    if plan is not None:
        activated = plan.activated_on.toordinal()
        first = min(plan.instalments, key=lambda i: (i.due_on, i.number), default=None)
        # What was due before it is known by its count alone.
        month_before = max(activated, add_months(first.due_on, -1).toordinal()) if first is not None else activated
        s.forborne_on = activated if plan.kept or plan.missed else month_before
        s.waived = _paid(plan.waived)
        s.plan = Plan(
            plan.plan_id,
            plan.offer_id,
            activated,
            asked,
            s.waived,
            paid,
            plan.kept,
            plan.missed,
            plan.missed_in_a_row,
            settled_due=month_before if first is not None and (plan.kept or first.number > 1) else 0,
            annual_rate_bps=plan.annual_rate_bps,
            counted=plan.paid,
            anchor=policy.due_days.anchor_of([i.due_on for i in plan.instalments]) if plan.instalments else 0,
        )
        s.receivables = _as_reported((_receivable(i, plan=True) for i in plan.instalments), rules, paused, day)
    _measure(s, event, rules, paused)
    s.collection_stopped = (
        plan is not None or s.bad_debt == "terminated" or any(h.covers(day) for h in holds) or event.collection_stopped
    )
    classifications = {c.policy: c for c in policy.classifications}
    for name, rule in classifications.items():
        measured = s.days_past_due_material if rule.material_counter else s.days_past_due
        by_days = max((i for i, t in enumerate(rule.thresholds) if measured >= t.from_days), default=0)
        names = [t.name for t in rule.thresholds]
        s.classes = {**s.classes, name: names.index(event.classes[name]) if name in event.classes else by_days}
    return s


def _measure(s: AccountState, event: ev.OpeningPosition, rules: Rules, paused: Sequence[Span]) -> None:
    """Put the measures of the position's day into its state."""
    day, policy = s.folded_through, rules.in_force_on(s.folded_through).policy
    stages = policy.impairment
    m = measure(s.receivables, paused, day, policy.delinquency)
    s.days_past_due, s.missed, s.overdue_amount = m.days_past_due, m.missed, m.overdue
    s.bucket = bucket_of(m.days_past_due, policy.delinquency.grace_days)
    s.overdue_since = m.oldest_due + 1 if m.oldest_due else 0
    s.arrears_free_since = 0 if m.oldest_due else _ordinal(event.clean_since) or day
    if m.oldest_due and is_material(m, policy.delinquency):
        s.materiality_since = _ordinal(event.material_since) or s.overdue_since
        s.days_past_due_material = day - s.materiality_since + 1 - paused_days(paused, s.materiality_since - 1, day)
    by_days = 3 if m.days_past_due >= stages.stage3_from_days else 2 if m.days_past_due > stages.stage2_over_days else 1
    bad = 3 if s.bad_debt in ("recognised", "charged_off", "recovering") else 1
    by_days = max(by_days, 2 if s.plan is not None else 1)
    s.ifrs9_stage = event.stage or max(by_days, bad)
    s.ifrs9_stage_by_days = event.stage_by_days or (by_days if bad == 3 else s.ifrs9_stage)


def _as_reported(
    receivables: Iterable[Receivable], rules: Rules, paused: Sequence[Span], day: int
) -> tuple[Receivable, ...]:
    """Return instalments in their order, with what was reported of them before the position."""
    policy = rules.in_force_on(day).policy

    def mark(r: Receivable) -> Receivable:
        within = r.unpaid() <= tolerance(policy.delinquency, r.amount_due)
        grace = policy.plans.kept_within_days if r.plan else policy.delinquency.grace_days
        settled = r.plan and within and (r.unpaid() < r.amount_due or r.due <= day)
        return replace(
            r, missed_reported=not within and r.due < day and days_late(r, paused, day) > grace, settled=settled
        )

    return tuple(sorted(map(mark, receivables), key=receivable_order))


def _receivable(i: ev.PositionInstalment, *, plan: bool = False) -> Receivable:
    left = i.principal + i.interest + i.fees
    asked = max(left, left if i.amount_due is None else i.amount_due)
    paid = asked - left if i.paid is None else i.paid
    return Receivable(
        i.number,
        i.due_on.toordinal(),
        i.principal,
        i.interest,
        i.fees,
        i.penalty,
        asked,
        plan=plan,
        billed=i.billed,
        paid_toward=max(0, min(paid, asked)),
        interest_due=i.interest,
        fees_due=i.fees,
    )


def _holds_of(
    history: Iterable[AccountFact], position: ev.OpeningPosition, rules: Rules
) -> tuple[tuple[str, Hold], ...]:
    """Return the holds of the history, each with the person whom alone it concerns, empty for the account."""
    released = {e.hold_id: e.released_on.toordinal() for e in history if isinstance(e, ev.HoldReleased)}
    found: list[tuple[str, Hold]] = []
    for e in history:
        if isinstance(e, ev.HoldPlaced):
            policy = rules.in_force_on(e.from_on.toordinal()).policy
            alone = concerns_one(e, position.borrower_id, position.parties, policy.parties)
            hold = hold_of(e, policy.delinquency.hold_days, released.get(e.hold_id))
            found.append((e.borrower_id or "" if alone else "", hold))
    return tuple(sorted(found, key=lambda entry: (entry[1].start, entry[1].hold_id)))


def _releases_of(history: Sequence[AccountFact]) -> dict[str, int]:
    """Return the releases of holds that are placed after a position: those never come into force."""
    placed = {e.hold_id for e in history if isinstance(e, ev.HoldPlaced)}
    released = (e for e in history if isinstance(e, ev.HoldReleased) and e.hold_id not in placed)
    return {e.hold_id: e.released_on.toordinal() for e in sorted(released, key=lambda e: e.hold_id)}


def _promises_of(history: Iterable[AccountFact], rules: Rules, as_of: int) -> tuple[Promise, ...]:
    """Return the promises that are open at a position, with what the payments of the history paid of them."""
    made: dict[int, list[ev.PromiseMade]] = defaultdict(list)
    money: dict[int, int] = defaultdict(int)
    for e in history:
        if isinstance(e, ev.PromiseMade):
            made[effective_day(e, rules)].append(e)
        elif isinstance(e, ev.PaymentReceived):
            money[effective_day(e, rules)] += e.amount
    open_: dict[str, Promise] = {}
    for day in sorted({*made, *money}) if made else ():
        for e in sorted(made[day], key=lambda e: (e.occurred_at, e.promise_id)):
            open_.pop(e.replaces or "", None)
            open_[e.promise_id] = Promise(e.promise_id, day, e.due_on.toordinal(), e.amount)
        left = money[day]
        for p in sorted(open_.values(), key=lambda p: (p.due, p.promise_id)):
            if day <= p.due:
                part = min(left, p.amount - p.paid)
                left -= part
                open_[p.promise_id] = replace(p, paid=p.paid + part)
    kept = (p for p in open_.values() if p.due > as_of and p.paid < p.amount)
    return tuple(sorted(kept, key=lambda p: (p.due, p.promise_id)))


def _paid(amounts: ev.Amounts) -> Paid:
    return Paid(amounts.principal, amounts.interest, amounts.fees, amounts.penalty)


def _ordinal(day: date | None) -> int:
    return day.toordinal() if day else 0
