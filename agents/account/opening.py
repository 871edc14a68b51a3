"""How an account begins: opened by its lender, taken over with an opening position, or made anew from all its facts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import cast

from msgspec.structs import replace

from agents import input_limits
from agents.account.day import receivable_of, receivable_order
from agents.account.facts import billed_from, effective_day, fact_key, misfit, pending_order
from agents.account.parties import check_parties, concerns_one, hold_of, sort_parties
from agents.account.postings import net_of_reversals
from agents.account.rules import Rules
from schemas import events as ev
from schemas.errors import InvalidEventError
from state.account import (
    AccountFact,
    AccountState,
    Ask,
    Hold,
    Paid,
    Pending,
    Plan,
    Promise,
    Receivable,
    Reversal,
    covering,
)
from state.calendars import add_months
from state.delinquency import Span, bucket_of, days_late, is_material, measure, paused_days, pauses
from state.ledger import tolerance
from state.policy import PolicyBook

OPENING, POSITION = "account:", "position:"
Opening = ev.AccountOpened | ev.OpeningPosition


def check_kind(event: Opening, policies: PolicyBook) -> None:
    """Raise InvalidEventError for a jurisdiction or product for which the policy book was not written."""
    if found := policies.problems(event.jurisdiction, event.product):
        field = next(iter(found))
        raise InvalidEventError(f"unknown_{field}", " ".join(found.values()), field)


def check_opening(event: Opening, rules: Rules, closed: int) -> None:
    """Raise InvalidEventError where an account opens too far ahead of the last close (ordinal), or cannot be meant.

    rules: those of all days.
    """
    most_ahead = rules.in_force_on(closed + 1).policy.most_days_ahead
    first = event.as_of if isinstance(event, ev.OpeningPosition) else event.opened_on
    input_limits.check_days_ahead(event, first.toordinal(), closed, most_ahead)
    input_limits.check_total(event, (i.principal + i.interest + i.fees for i in event.instalments), "instalments")
    input_limits.check_entries(event, len(event.instalments))
    check_numbers(event, event.instalments)
    check_parties(event, event.borrower_id, (p.borrower_id for p in event.parties))
    if isinstance(event, ev.OpeningPosition):
        _check_position(event, rules)
    elif event.instalments and sum(i.principal for i in event.instalments) != event.principal:
        raise InvalidEventError(
            "schedule_does_not_add_up",
            f"Account {event.account_id} opens with a principal of {event.principal} minor units, and its instalments "
            f"repay {sum(i.principal for i in event.instalments)}. Send the principal that the schedule repays, or no "
            "instalments for revolving credit.",
            "principal",
        )


def check_numbers(event: ev.Event, instalments: Iterable[ev.Instalment | ev.PositionInstalment]) -> None:
    """Raise InvalidEventError where one instalment number stands twice."""
    seen: set[int] = set()
    for i in instalments:
        if i.number in seen:
            raise InvalidEventError(
                "duplicate_number",
                f"{type(event).__name__} {event.event_id} has instalment {i.number} twice. Give each its own number.",
                "instalments",
            )
        seen.add(i.number)


def _check_position(event: ev.OpeningPosition, rules: Rules) -> None:
    classes = {
        c.policy: [t.name for t in c.thresholds]
        for c in rules.in_force_on(event.as_of.toordinal()).policy.classifications
    }
    for name, given in event.classes.items():
        if given not in classes.get(name, ()):
            known = "; ".join(f"{policy}: {', '.join(names)}" for policy, names in sorted(classes.items())) or "none"
            raise InvalidEventError(
                "unknown_class",
                f"Account {event.account_id} comes with class {given!r} of {name!r}, which its policy does not have. "
                f"It has {known}. Send one of these, or none.",
                "classes",
            )
    plan = event.plan
    if plan is not None and (plan.arrangement == "repayment") is not (plan.ends_on is None):
        raise InvalidEventError(
            "out_of_range",
            f"The plan {plan.plan_id} of account {event.account_id} is a {plan.arrangement}. An arrangement for a time "
            "has ends_on, a repayment has none. Correct the position.",
            "plan",
        )
    if event.opened_on > event.as_of:
        raise InvalidEventError(
            "out_of_range",
            f"Account {event.account_id} was opened on {event.opened_on}, after its position of {event.as_of}. Send "
            "AccountOpened for an account without a history.",
            "opened_on",
        )


def state_at_opening(event: ev.AccountOpened) -> AccountState:
    """Return the state of an account on the morning of the day it is opened."""
    day = event.opened_on.toordinal()
    receivables = sorted(
        (receivable_of(i.number, i.due_on, i.principal, i.interest, i.fees) for i in event.instalments),
        key=lambda r: (r.due, r.number),
    )
    s = _blank(event, day - 1)
    s.accrued_to = day
    s.receivables, s.scheduled = tuple(receivables), bool(receivables)
    s.reported_from = _ordinal(event.reported_from)
    return s


def _blank(event: Opening, folded_through: int) -> AccountState:
    """Return an account as its opening describes it, with nothing owed yet. folded_through: ordinal."""
    return AccountState(
        account_id=event.account_id,
        borrower_id=event.borrower_id,
        product=event.product,
        jurisdiction=event.jurisdiction,
        currency=event.currency,
        annual_rate_bps=event.annual_rate_bps,
        original_principal=event.principal,
        opened_on=event.opened_on.toordinal(),
        folded_through=folded_through,
        next_fold_on=folded_through + 1,
        accrued_to=folded_through,
        instalment_numbers=covering(i.number for i in event.instalments),
        parties=sort_parties(event.parties),
    )


def replay_facts(facts: Mapping[str, ev.Event], rules_of: Callable[[Opening], Rules]) -> AccountState:
    """Return an account with all its facts pending, as if every one had arrived in time; none that it does not fit."""
    opening = opening_of(facts)
    rules = rules_of(opening)
    facts = {key: fact for key, fact in facts.items() if misfit(fact, opening, rules) is None}
    begin = opening.as_of.toordinal() + 1 if isinstance(opening, ev.OpeningPosition) else opening.opened_on.toordinal()
    dated: list[Pending] = []
    history: list[AccountFact] = []
    late: list[Reversal] = []
    undone = {f"adjustment:{e.adjustment_id}" for e in facts.values() if isinstance(e, ev.AdjustmentReversed)}
    forms: dict[int, list[ev.InstalmentBilled]] = defaultdict(list)
    for fact in facts.values():
        if isinstance(fact, ev.InstalmentBilled):
            forms[fact.number].append(fact)
    for key, fact in facts.items():
        if isinstance(fact, Opening | ev.PaymentReversed | ev.AdjustmentReversed) or key in undone:
            continue
        known = cast(AccountFact, fact)
        if isinstance(known, ev.InstalmentBilled):
            if key != fact_key(known):
                continue
            day = billed_from(forms[known.number], rules).toordinal()
        else:
            day = effective_day(known, rules)
        if isinstance(opening, ev.OpeningPosition) and day < begin:
            history.append(known)
            if is_late_for_position(known, opening, rules):
                late.append(Reversal(f"late/{key}", report_on=begin, code="before_position"))
        else:
            dated.append(Pending(max(day, begin), known))
            if isinstance(known, ev.HoldReleased) and f"hold:{known.hold_id}" not in facts:
                late.append(Reversal(f"hold:{known.hold_id}", report_on=max(day, begin), code="unknown_hold"))
    s = (
        state_at_position(opening, _net_of_reversals(history, facts), rules)
        if isinstance(opening, ev.OpeningPosition)
        else state_at_opening(opening)
    )
    s.pending = tuple(sorted(dated, key=pending_order))
    past = {f"payment:{e.payment_id}" for e in history if isinstance(e, ev.PaymentReceived)}
    reversals = [e for e in facts.values() if isinstance(e, ev.PaymentReversed | ev.AdjustmentReversed)]
    taken_over = isinstance(opening, ev.OpeningPosition)
    entries = [reversal_of(e, facts, past, rules, begin, taken_over=taken_over) for e in reversals]
    waiting = (*late, *(r for r in entries if r is not None))
    s.reversals = sort_reversals(waiting)
    return s


def sort_reversals(reversals: Iterable[Reversal]) -> tuple[Reversal, ...]:
    """Return reversals in the order in which a state has them."""
    return tuple(sorted(reversals, key=lambda r: (r.target, r.reversal_id)))


def _net_of_reversals(history: Iterable[AccountFact], facts: Mapping[str, ev.Event]) -> list[AccountFact]:
    """Return the facts before a position, payments less what was reversed of them."""
    parts: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for e in facts.values():
        if isinstance(e, ev.PaymentReversed):
            parts[e.payment_id].append((e.reversal_id or "", e.amount or 0))
    return [
        replace(e, amount=net_of_reversals(e.amount, parts[e.payment_id])[0])
        if isinstance(e, ev.PaymentReceived)
        else e
        for e in history
    ]


def opening_of(facts: Mapping[str, ev.Event]) -> Opening:
    """Return what an account begins with: its opening position, where it has one."""
    return cast(Opening, facts.get(POSITION) or facts[OPENING])


def reversal_of(
    event: ev.PaymentReversed | ev.AdjustmentReversed,
    facts: Mapping[str, ev.Event],
    past: Iterable[str],
    rules: Rules,
    begin: int,
    *,
    taken_over: bool,
) -> Reversal | None:
    """Return what waits of a reversal: for the day of what it reverses, or to be answered; None where nothing does.

    past: fact keys of payments that an opening position holds already. begin: first day (ordinal) of the account.
    taken_over: it begins with a position.
    """
    day = event.reversed_on.toordinal()
    answer = max(begin, day + rules.in_force_on(day).policy.unknown_account_wait_days)
    if taken_over and day < begin:
        # Of the history of a position nothing is answered; it may still concern what counts from a later day.
        answer = -1
    if isinstance(event, ev.AdjustmentReversed):
        target = f"adjustment:{event.adjustment_id}"
        return None if target in facts else Reversal(target, report_on=answer, code="unknown_adjustment")
    target, name, amount = f"payment:{event.payment_id}", event.reversal_id or "", event.amount or 0
    if target in past:
        return Reversal(target, name, amount, day, "before_position") if day >= begin else None
    return Reversal(target, name, amount, 0 if target in facts else answer)


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
    temporary = plan is not None and plan.ends_on is not None
    defers = temporary and policy.arrangements.days_past_due == "deferred"
    before = plan.activated_on.toordinal() if plan is not None and (defers or not temporary) else day
    asked = _as_reported(map(_receivable, event.instalments), rules, paused, before)
    paid = Paid(principal=plan.paid) if plan is not None else Paid()
    s = _blank(event, day)
    s.receivables, s.scheduled = asked, any(not i.billed for i in event.instalments)
    s.received, s.credit, s.paid = paid.total() + event.credit, event.credit, paid
    s.charged, s.billed_principal = event.charged, event.statement_principal
    s.last_payment_on = _ordinal(event.last_payment_on)
    s.allowance = event.allowance
    s.bad_debt = event.bad_debt
    s.bad_debt_on = _ordinal(event.bad_debt_on) or (day if event.bad_debt != "none" else 0)
    s.bad_debt_rejected = event.rejected
    s.failed_contact_attempts = event.failed_attempts
    s.plans_broken, s.had_plan = event.plans_broken, event.had_plan or plan is not None
    s.credit_standing = event.standing
    s.holds, s.releases = holds, _releases_of(history)
    s.party_holds = tuple((who, h) for who, h in concerns if who and (h.end == 0 or h.end >= day))
    s.promises = _promises_of(history, rules, day)
    s.position_on, s.reported_from = day, day + 1
    if plan is not None:
        activated = plan.activated_on.toordinal()
        first = min(plan.instalments, key=lambda i: (i.due_on, i.number), default=None)
        # What was due before it is known by its count alone.
        month_before = max(activated, add_months(first.due_on, -1).toordinal()) if first is not None else activated
        s.forborne_on = activated if plan.kept or plan.missed else month_before
        s.waived = _paid(plan.waived)
    if plan is not None and plan.ends_on is not None:
        asks = _as_reported((_receivable(i, plan=True) for i in plan.instalments), rules, paused, day)
        _take_over_arrangement(s, plan, plan.ends_on, asks, defers=defers)
    elif plan is not None:
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
    _measure_position(s, event, rules, paused)
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


def _take_over_arrangement(
    s: AccountState, plan: ev.PositionPlan, ends_on: date, asks: tuple[Receivable, ...], *, defers: bool
) -> None:
    """Put an arrangement for a time into the state at a position: the contract's instalments stand."""
    end = ends_on.toordinal()
    s.plan = Plan(
        plan.plan_id,
        plan.offer_id,
        plan.activated_on.toordinal(),
        (),
        Paid(),
        kept=plan.kept,
        missed=plan.missed,
        missed_in_a_row=plan.missed_in_a_row,
        annual_rate_bps=plan.annual_rate_bps,
        arrangement=plan.arrangement,
        review_on=(plan.review_on or ends_on).toordinal(),
        ends_on=end,
        asks=tuple(
            Ask(r.number, r.due, r.amount_due, r.paid_toward, r.settled, r.missed_reported)
            for r in asks
            if r.amount_due
        ),
        defers=defers,
    )
    s.forborne_on = end
    if defers:
        s.payments_deferred_to = end


def _measure_position(s: AccountState, event: ev.OpeningPosition, rules: Rules, paused: Sequence[Span]) -> None:
    """Put the measures of the position's day into its state."""
    day, policy = s.folded_through, rules.in_force_on(s.folded_through).policy
    stages = policy.impairment
    m = measure(s.receivables, paused, day, policy.delinquency, s.payments_deferred_to)
    s.days_past_due, s.missed, s.overdue_amount = m.days_past_due, m.missed, m.overdue
    s.bucket = bucket_of(m.days_past_due, policy.delinquency.grace_days)
    s.overdue_since = m.oldest_due + 1 if m.oldest_due else 0
    deferred = s.plan is not None and s.plan.defers
    s.arrears_free_since = 0 if m.oldest_due or deferred else _ordinal(event.clean_since) or day
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
            r, missed_reported=not within and r.due < day and days_late(r.due, paused, day) > grace, settled=settled
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
