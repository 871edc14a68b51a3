"""A plan begins, is followed at each close, breaks, moves or is completed (docs/rules.md, 6)."""

from __future__ import annotations

from datetime import date

from schemas import events as ev
from tests.recomputation.account import Account
from tests.recomputation.days import months_after
from tests.recomputation.money import COMPONENTS, PENALTY, Instalment, asked, nothing
from tests.recomputation.plans import FORGIVEN, Ask, Plan, Row, anchor_of, capacity, fit, month_on, tolerance


def activated(a: Account, fact: ev.PlanActivated, _: int) -> None:
    if a.ended:
        a.say("PlanBroken", plan_id=fact.plan_id, offer_id=fact.offer_id, reason="account_closed", kept=0, missed=0)
        return
    if a.bad_debt == "terminated":
        a.say("PlanBroken", plan_id=fact.plan_id, offer_id=fact.offer_id, reason="terminated", kept=0, missed=0)
        return
    a.put_charges_on()
    before = a.plan
    if before is not None and not before.review and not before.until:
        broken(a, "replaced")
        before = None
    if fact.ends_on is not None:
        _for_a_time(a, fact, before, fact.ends_on.toordinal())
        return
    last_day = months_after(fact.activated_on.toordinal(), a.policy.plans.max_term_months)
    limit = a.policy.due_days.roll(date.fromordinal(last_day)).toordinal()
    agreed = sum(i.principal for i in fact.instalments)
    beside = _beside(a, fact, agreed, limit)
    taken = [i for i in a.money.instalments if i not in beside]
    owed = _owed(taken, a.today)
    waived = {c: min(getattr(fact.waived, c), owed[c]) for c in COMPONENTS}
    financed = sum(owed.values()) - sum(waived.values())
    rows, forgiven = fit(fact.instalments, financed, fact.annual_rate_bps, limit, a.policy)
    left = forgiven
    for c in FORGIVEN:
        part = min(left, owed[c] - waived[c])
        waived[c] += part
        left -= part
    numbered = _numbered(fact, rows)
    # Instalments that ask for nothing are listed, and do not exist otherwise.
    schedule = [asked(n, r.due, r.principal, r.interest, 0, plan=fact.plan_id) for n, r in numbered if r.amount]
    plan = Plan(fact.plan_id, fact.offer_id, a.today, fact.annual_rate_bps, schedule, [i.copy() for i in taken])
    plan.waived = waived
    plan.anchor = anchor_of([r.due for r in rows], a.policy)
    if before is not None:
        _take_place(a, before, plan)
        _leave(a, before)
    _say_adjusted(a, fact, numbered, financed - agreed, forgiven, beside)
    a.money.instalments = sorted([*beside, *schedule], key=lambda i: i.order)
    a.plan = plan
    a.plan_from = _counts_from(plan)
    a.had_plan = True
    # Without arrears before it, probations run from the first plan's beginning on.
    a.clean_since = a.clean_since or a.today
    if fact.distressed_obligation_bps > a.policy.options.distressed_over_bps:
        a.distressed_from = a.plan_from
        for known in a.classes.values():
            known.distressed = True
    a.spend_credit()


def _for_a_time(a: Account, fact: ev.PlanActivated, before: Plan | None, until: int) -> None:
    """Let an arrangement for a time begin, beside the contract."""
    if before is not None:
        said = {"plan_id": before.plan_id, "offer_id": before.offer_id, "kept": before.kept, "missed": before.missed}
        a.say("PlanReplaced", by_plan_id=fact.plan_id, **said)
        if before.until:
            _leave(a, before)
        else:
            _come_back(a, before)
    plan = Plan(fact.plan_id, fact.offer_id, a.today, fact.annual_rate_bps, [], [], until=until)
    rows = sorted(fact.instalments, key=lambda i: (i.due_on, i.number))
    plan.asks = [Ask(i.number, i.due_on.toordinal(), i.amount) for i in rows if i.amount]
    plan.defers = a.policy.arrangements.days_past_due == "deferred"
    plan.deferred_before = a.deferred_to
    a.plan, a.plan_from, a.had_plan = plan, max(a.today, until), True
    if plan.defers:
        a.deferred_to, a.clean_since = max(a.deferred_to, until), -1
    else:
        a.clean_since = a.clean_since or a.today
    if fact.distressed_obligation_bps > a.policy.options.distressed_over_bps:
        a.distressed_from = a.plan_from
        for known in a.classes.values():
            known.distressed = True


def _leave(a: Account, plan: Plan) -> None:
    """End what a kept arrangement deferred: on its last day, or today where that is earlier."""
    if plan.defers:
        a.deferred_to = min(a.deferred_to, a.today)


def count_toward_asks(a: Account, amount: int) -> None:
    """Count a payment toward what an arrangement asks for, in the order of due dates."""
    for ask in a.plan.asks if a.plan is not None else ():
        part = min(amount, ask.amount - ask.paid)
        ask.paid += part
        amount -= part


def _follow_for_a_time(a: Account, plan: Plan) -> None:
    """Follow an arrangement for a time at a close."""
    ids = {"plan_id": plan.plan_id, "offer_id": plan.offer_id}
    for ask in plan.asks:
        if ask.settled:
            continue
        said = {**ids, "number": ask.number, "due_on": _date(ask.due)}
        short = ask.amount - ask.paid
        if short <= tolerance(ask.amount, a.policy):
            if ask.paid or ask.due <= a.today:
                ask.settled, plan.kept, plan.row = True, plan.kept + 1, 0
                a.say("PlanInstalmentKept", **said)
        elif a.days_late(ask.due) > a.policy.plans.kept_within_days:
            ask.settled, plan.missed, plan.row = True, plan.missed + 1, plan.row + 1
            a.say("PlanInstalmentMissed", unpaid=short, **said)
    counts = {**ids, "kept": plan.kept, "missed": plan.missed}
    if all(a.counts_as_paid(i) for i in a.money.instalments):
        a.say("PlanCompleted", early=a.today <= plan.until, interest_saved=0, **counts)
    elif plan.row >= a.policy.plans.broken_after_missed:
        broken(a, "missed")
        return
    elif a.today > plan.until:
        a.say("PlanEnded", **counts)
    else:
        return
    a.plan = None
    _leave(a, plan)


def _numbered(fact: ev.PlanActivated, rows: list[Row]) -> list[tuple[int, Row]]:
    """Number the rows as they were agreed; further ones go on."""
    numbers = {i.due_on.toordinal(): i.number for i in fact.instalments}
    last = 0
    found = []
    for r in rows:
        last = numbers.get(r.due, last + 1)
        found.append((last, r))
    return found


def _beside(a: Account, fact: ev.PlanActivated, agreed: int, limit: int) -> list[Instalment]:
    """Return the billed instalments, newest first, that the plan has no room for."""
    room = capacity(fact.instalments, limit, a.policy)
    beside: list[Instalment] = []
    future = sorted((i for i in a.money.instalments if i.billed and i.due > a.today), key=lambda i: i.order)
    for newest in reversed(future):
        if _financed(a, fact, beside) <= room:
            break
        if _financed(a, fact, [*beside, newest]) >= agreed:
            beside.append(newest)
    return beside


def _financed(a: Account, fact: ev.PlanActivated, beside: list[Instalment]) -> int:
    owed = _owed([i for i in a.money.instalments if i not in beside], a.today)
    return sum(owed[c] - min(getattr(fact.waived, c), owed[c]) for c in COMPONENTS)


def _owed(instalments: list[Instalment], day: int) -> dict[str, int]:
    total = nothing()
    for i in instalments:
        for c in COMPONENTS:
            if c in ("principal", PENALTY) or i.billed or i.due <= day:
                total[c] += i.unpaid[c]
    return total


def _counts_from(plan: Plan) -> int:
    """Return the day of a plan from which a probation after it can run: its beginning, or the end of its grace."""
    first = min((i.due for i in plan.schedule), default=plan.activated)
    return max(plan.activated, months_after(first, -1))


def _take_place(a: Account, before: Plan, plan: Plan) -> None:
    """Let a plan take the place of another by agreement."""
    of_plan = [i for i in [*a.money.instalments, *a.money.gone] if i.plan == before.plan_id]
    plan.paid = {c: before.paid[c] + sum(i.allocated[c] for i in of_plan) for c in COMPONENTS}
    plan.counted = before.counted + sum(i.paid for i in of_plan)
    others = [i for i in plan.replaced if i.plan is None]
    plan.replaced = [*before.replaced, *others]
    for c in COMPONENTS:
        plan.waived[c] += before.waived[c]
    a.say(
        "PlanReplaced",
        plan_id=before.plan_id,
        offer_id=before.offer_id,
        by_plan_id=plan.plan_id,
        kept=before.kept,
        missed=before.missed,
    )


def _say_adjusted(
    a: Account,
    fact: ev.PlanActivated,
    rows: list[tuple[int, Row]],
    difference: int,
    forgiven: int,
    beside: list[Instalment],
) -> None:
    now = [(n, r.due, r.principal, r.interest) for n, r in rows]
    agreed = [(i.number, i.due_on.toordinal(), i.principal, i.interest) for i in fact.instalments]
    if now == agreed and not forgiven and not beside:
        return
    a.say(
        "PlanScheduleAdjusted",
        plan_id=fact.plan_id,
        offer_id=fact.offer_id,
        difference=difference,
        agreed=len(fact.instalments),
        instalments=[
            (("number", n), ("due_on", date.fromordinal(due)), ("amount", p + i), ("principal", p), ("interest", i))
            for n, due, p, i in now
        ],
        forgiven=forgiven,
        beside=[
            (
                ("number", i.number),
                ("due_on", date.fromordinal(i.due)),
                *((c, i.unpaid[c]) for c in ("principal", "interest", "fees")),
            )
            for i in sorted(beside, key=lambda i: i.order)
        ],
    )


def review_requested(a: Account, fact: ev.PlanReviewRequested, _: int) -> None:
    if a.plan is not None and a.plan.plan_id == fact.plan_id:
        a.plan.review = True


def follow(a: Account) -> None:
    """Follow the plan at a close: what was kept, missed, moved; whether it breaks or is complete."""
    plan = a.plan
    if plan is None:
        return
    if plan.until:
        _follow_for_a_time(a, plan)
        return
    if a.today in a.paused:
        plan.paused_from = a.today if plan.paused_from is None else plan.paused_from
    elif plan.paused_from is not None:
        _postpone(a, plan, plan.paused_from)
        plan.paused_from = None
    within = a.policy.plans.kept_within_days
    for i in sorted(plan.schedule, key=lambda i: i.order):
        said = {"plan_id": plan.plan_id, "offer_id": plan.offer_id, "number": i.number, "due_on": _date(i.due)}
        if i.kept or i.missed:
            continue
        if a.counts_as_paid(i):
            if i.paid or i.due <= a.today:
                i.kept = True
                plan.kept, plan.row = plan.kept + 1, 0
                a.say("PlanInstalmentKept", **said)
        elif a.days_late(i.due) > within:
            i.missed = True
            plan.missed, plan.row = plan.missed + 1, plan.row + 1
            a.say("PlanInstalmentMissed", unpaid=i.short, **said)
    # An instalment within the tolerance counts as paid all its life: nothing is complete by that alone.
    complete = all(
        i.kept or (a.counts_as_paid(i) and (i.paid or i.due <= a.today or not i.amount_due)) for i in plan.schedule
    )
    if not complete:
        _count_months(a, plan, within)
    if complete:
        _complete(a, plan)
    elif plan.row >= a.policy.plans.broken_after_missed:
        broken(a, "missed")


def _count_months(a: Account, plan: Plan, within: int) -> None:
    last = max(plan.schedule, key=lambda i: i.order)
    if not last.missed:
        return
    while True:
        due = month_on(last.due, plan.months + 1, plan.anchor, a.policy)
        if due >= a.today:
            return
        if due in a.paused:
            plan.months += 1
            continue
        if a.days_late(due) <= within:
            return
        plan.months += 1
        plan.row += 1


def _postpone(a: Account, plan: Plan, since: int) -> None:
    rows = sorted(plan.schedule, key=lambda i: i.order)
    fell = [i for i in rows if since <= i.due < a.today and i.owed and not (i.kept or i.missed)]
    if not fell:
        return
    months = len(fell)
    first = fell[0].due
    while month_on(first, months, plan.anchor, a.policy) < a.today:
        months += 1
    for i in rows:
        if i.due >= first and not (i.due < a.today and i not in fell):
            i.due = month_on(i.due, months, plan.anchor, a.policy)
    a.money.instalments.sort(key=lambda i: i.order)
    a.say(
        "PlanPostponed",
        plan_id=plan.plan_id,
        offer_id=plan.offer_id,
        months=months,
        next_due_on=_date(fell[0].due),
        last_due_on=_date(max(i.due for i in rows)),
    )


def broken(a: Account, reason: str) -> None:
    """Break the plan: what it replaced is owed again, and what was paid of it is allocated anew."""
    plan = a.plan
    assert plan is not None
    a.say("PlanBroken", plan_id=plan.plan_id, offer_id=plan.offer_id, reason=reason, kept=plan.kept, missed=plan.missed)
    if plan.defers:
        a.deferred_to = plan.deferred_before
    _come_back(a, plan)


def _come_back(a: Account, plan: Plan) -> None:
    """Let what a plan replaced be owed again; what was paid of the plan is allocated to it anew."""
    of_plan = [i for i in [*a.money.instalments, *a.money.gone] if i.plan == plan.plan_id]
    freed = sum(map(a.money.give_back, (plan.paid, *(i.allocated for i in of_plan))))
    counted = plan.counted + sum(i.paid for i in of_plan)
    a.money.instalments = [i for i in a.money.instalments if i.plan != plan.plan_id]
    a.money.gone = [i for i in a.money.gone if i.plan != plan.plan_id]
    if not a.policy.plans.waiver_returns:
        _stay_waived(plan)
    for i in plan.replaced:
        a.money.add(i)
    a.plan = None
    a.money.credit += freed
    a.spend_credit(freed, counted)


def _stay_waived(plan: Plan) -> None:
    for c in COMPONENTS:
        left = plan.waived[c]
        for i in sorted(plan.replaced, key=lambda i: i.order):
            part = min(left, i.unpaid[c])
            i.unpaid[c] -= part
            left -= part
            if c != PENALTY:
                i.amount_due -= part
                i.paid = min(i.paid, i.amount_due)


def _complete(a: Account, plan: Plan) -> None:
    a.say(
        "PlanCompleted",
        plan_id=plan.plan_id,
        offer_id=plan.offer_id,
        kept=plan.kept,
        missed=plan.missed,
        early=max((i.due for i in plan.schedule), default=plan.activated) > a.today,
        interest_saved=plan.dropped,
    )
    # What it replaced is settled: nothing is left to lower under these numbers.
    for i in plan.replaced:
        if i.plan is None:
            a.money.ever[i.number] = nothing()
    a.plan = None


def _date(day: int) -> date:
    return date.fromordinal(day)


__all__ = ["activated", "broken", "follow", "review_requested"]
