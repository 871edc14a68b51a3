"""The page of an account as of the last closed day: balances, instalments, bad debt, plans, offers, its timeline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from itertools import pairwise
from typing import Any

from agents.account.corrections import EMITTED
from agents.account.day import outstanding_on
from agents.account.parties import why_not_contacted
from agents.account.rules import Rules
from agents.account.view import Condition, as_closed, next_instalment, next_steps
from agents.amounts import PARTS, priced
from console.timelines import Cursor, Named, timeline, timeline_order, transitions
from console.words import Translated, describe, translated
from schemas import events as ev
from state.account import AccountState, Paid, Receivable
from state.ledger import tolerance
from streams.agreement import current, standing

# Future instalments that are listed; all past due are.
AHEAD = 12


def account_page(
    s: AccountState,
    rules: Rules,
    history: Iterable[Named],
    offers: Sequence[dict[str, Any]],
    closed: int,
    before: Cursor | None = None,
    *,
    by_default: bool = False,
) -> dict[str, Any]:
    """Return the page of an account.

    s: as of the last closed day, which is `closed` (ordinal). offers: those that cover it (`console.offers`). before:
    return older pages of the timeline and of the transitions only. by_default: no row of the policy book names its
    jurisdiction.
    """
    standing_events = [
        (name, e) for name, e in history if not (name.startswith(EMITTED) and isinstance(e, ev.EventSuperseded))
    ]
    happened = {
        **transitions(standing_events, before),
        "timeline": timeline(standing_events, s.currency, before),
    }
    if before is not None:
        return {"account": s.account_id, "currency": s.currency, **happened}
    events = [e for _, e in standing_events]
    plans, adjusted = standing(events)
    return {
        **account_details(s, rules, events, closed),
        "by_default": by_default,
        "plans": [
            {
                "plan": p.plan_id,
                "day": p.activated_on.isoformat(),
                "active": s.plan is not None and s.plan.plan_id == p.plan_id,
                "instalments": [[i.due_on.isoformat(), i.amount] for i in current(p, adjusted.get(p.plan_id), s)],
            }
            for p in sorted(plans, key=lambda p: p.activated_on)
        ],
        "delinquency": delinquency_curve(s, rules, events),
        "offers": list(offers),
        **happened,
    }


def delinquency_curve(s: AccountState, rules: Rules, events: Iterable[ev.Event]) -> list[list[Any]]:
    """Return days past due as points (day, days): each reported change, and the pauses of holds in the current state.

    The state has no holds of earlier arrears; between their changes the curve is a straight line.
    """
    changes = sorted((e for e in events if isinstance(e, ev.DelinquencyChanged)), key=timeline_order)
    points = [(e.business_date.toordinal(), e.days_past_due) for e in changes]
    found: list[list[Any]] = []
    for n, (day, days) in enumerate(points):
        found.append([iso(day), days])
        end = points[n + 1][0] if n + 1 < len(points) else s.folded_through
        if not days and end - 1 > day:
            found.append([iso(end - 1), 0])
        paused = [_is_paused(s, rules, d) for d in range(day, end + 1)] if days and s.holds else []
        for after, (was, now) in enumerate(pairwise(paused)):
            days += not was if after else 0
            if was != now and after:
                found.append([iso(day + after), days])
    return found


def _is_paused(s: AccountState, rules: Rules, day: int) -> bool:
    kinds = rules.in_force_on(day).policy.delinquency.pausing_holds
    return any(h.kind in kinds and h.covers(day) for h in s.holds)


def account_details(s: AccountState, rules: Rules, events: Sequence[ev.Event], closed: int) -> dict[str, Any]:
    """Return an account as plain values: dates are ISO, amounts minor units.

    s: as of the last closed day (`agents.account.view.as_of`), which is `closed` (ordinal). events: its history
    without superseded events. `owed` is the debt of that day (`outstanding_on`), `to_come` the interest and fees of
    later instalments of the schedule.
    """
    # An account that is opened on a day to come is ahead of the last closed day.
    day = s.folded_through if s.folded_through >= s.opened_on else closed
    s = as_closed(s)
    ahead, owed = next_instalment(s, rules, day), outstanding_on(s, s.closed_on or day)
    # Of a closed account nothing falls due.
    asked = () if s.closed_on else s.receivables
    to_come = [r for r in asked if r.due >= day]
    listed = [*(r for r in asked if r.due < day), *to_come[:AHEAD]]
    return {
        "account": s.account_id,
        "borrower": s.borrower_id,
        "product": s.product,
        "jurisdiction": s.jurisdiction,
        "currency": s.currency,
        "annual_rate_bps": s.annual_rate_bps,
        "opened": iso(s.opened_on),
        "through": iso(day),
        "status": {
            "bucket": s.bucket,
            "days_past_due": s.days_past_due,
            "counter_days": s.days_past_due_material,
            "missed": s.missed,
            "overdue": s.overdue_amount,
            "overdue_since": iso(s.overdue_since),
            "bad_debt": s.bad_debt,
            "bad_debt_on": iso(s.bad_debt_on),
            "attempts": s.failed_contact_attempts,
            "stage": s.ifrs9_stage,
            "allowance": s.allowance,
            "standing": s.credit_standing,
            "collection_stopped": s.collection_stopped,
            "closed": iso(s.closed_on),
            "closed_as": s.closed_reason,
            "failed_payments": s.failed_payments,
            "classes": {p: _class_name(rules, s.folded_through, p, rank) for p, rank in sorted(s.classes.items())},
            "holds": [
                {"hold": h.hold_id, "kind": h.kind, "from": iso(h.start), "until": iso(h.end)}
                for h in s.holds
                if h.covers(day)
            ],
        },
        "owed": _parts(owed),
        "to_come": 0 if s.closed_on else s.owed().total() - owed.total(),
        "paid": {**_parts(s.paid), "credit": s.credit, "received": s.received, "last": iso(s.last_payment_on)},
        "waived": s.waived.total(),
        "next": None if ahead is None else {**_instalment(ahead, rules, day), "amount": ahead.unpaid()},
        "instalments": [_instalment(r, rules, day) for r in listed],
        "instalments_more": len(to_come[AHEAD:]),
        "plan": None
        if s.plan is None
        else {"plan": s.plan.plan_id, "since": iso(s.plan.activated), "kept": s.plan.kept, "missed": s.plan.missed},
        "promises": [
            {"promise": p.promise_id, "made": iso(p.made), "due": iso(p.due), "amount": p.amount, "paid": p.paid}
            for p in s.promises
        ],
        "why": bad_debt_history(events),
        "next_steps": _next_steps(s, rules),
        "parties": _parties(s, rules, day),
        "early": [_news(e, s.currency) for e in s.provisional_events],
        "waiting": [
            {"day": iso(item.day), "type": type(item.fact).__name__, "words": describe(item.fact, s.currency)}
            for item in s.pending
        ],
    }


def _parties(s: AccountState, rules: Rules, day: int) -> list[dict[str, Any]]:
    """Return who is liable for the account beside the borrower, and why each may not be contacted about it."""
    policy = rules.in_force_on(day).policy.parties
    return [
        {
            "borrower": p.borrower_id,
            "role": p.role,
            "suretyship": p.suretyship if p.role == "guarantor" else "",
            "enforced": p.enforced,
            "not_contacted": why_not_contacted(s, p, policy, day),
        }
        for p in s.parties
    ]


def bad_debt_history(events: Iterable[ev.Event]) -> list[dict[str, Any]]:
    """Return every change of the bad-debt status with its grounds, in order.

    An account that was taken over as a bad debt begins with that.
    """
    known = list(events)
    position = next((e for e in known if isinstance(e, ev.OpeningPosition) and e.bad_debt != "none"), None)
    if position is None:
        return _steps(known, "none")
    return [_taken_over(position), *_steps(known, position.bad_debt)]


def _taken_over(e: ev.OpeningPosition) -> dict[str, Any]:
    return {
        "day": (e.bad_debt_on or e.as_of).isoformat(),
        "from": "none",
        "to": e.bad_debt,
        "policy": "",
        "words": describe(e, e.currency),
        "reasons": [translated("taken_over")],
        "days_past_due": None,
        "missed": None,
        "attempts": e.failed_attempts,
        "outstanding": {part: sum(getattr(i, part) for i in e.instalments) for part in PARTS},
        "evidence": [],
    }


def _steps(events: Iterable[ev.Event], begin: ev.BadDebtStatus) -> list[dict[str, Any]]:
    return [
        {
            "day": e.business_date.isoformat(),
            "from": e.from_,
            "to": e.to,
            "policy": e.policy,
            "words": describe(e, e.currency),
            "reasons": [translated(reason) for reason in e.reasons],
            "days_past_due": e.days_past_due,
            "missed": e.missed,
            "attempts": e.attempts,
            "outstanding": {part: getattr(e.outstanding, part) for part in PARTS},
            "evidence": list(e.evidence),
        }
        for e in _in_order((e for e in events if isinstance(e, ev.BadDebtChanged)), begin)
    ]


def _in_order(steps: Iterable[ev.BadDebtChanged], begin: ev.BadDebtStatus) -> list[ev.BadDebtChanged]:
    """Return changes by day, and those of one day as they follow from each other: there may be several a day.

    begin: the status before the first.
    """
    left, found = sorted(steps, key=timeline_order), list[ev.BadDebtChanged]()
    while left:
        status = found[-1].to if found else begin
        same = [e for e in left if e.business_date == left[0].business_date]
        step = next((e for e in same if e.from_ == status), same[0])
        left.remove(step)
        found.append(step)
    return found


def account_summary(s: AccountState, rules: Rules, closed: int) -> dict[str, Any]:
    """Return an account in one row of its borrower's page; `s` and `closed` as in `account_details`."""
    day = s.folded_through if s.folded_through >= s.opened_on else closed
    s = as_closed(s)
    ahead = next_instalment(s, rules, day)
    return {
        "account": s.account_id,
        "currency": s.currency,
        "owed": outstanding_on(s, s.closed_on or day).total(),
        "overdue": s.overdue_amount,
        "days_past_due": s.days_past_due,
        "bucket": s.bucket,
        "bad_debt": s.bad_debt,
        "holds": sorted({h.kind for h in s.holds if h.covers(day)}),
        "plan": None if s.plan is None else s.plan.plan_id,
        "next": None if ahead is None else {"due": iso(ahead.due), "amount": ahead.unpaid()},
    }


def iso(ordinal: int) -> str | None:
    """Return a day as an ISO date, None for none (0)."""
    return date.fromordinal(ordinal).isoformat() if ordinal else None


def _parts(paid: Paid) -> dict[str, int]:
    return {part: getattr(paid, part) for part in PARTS}


def _class_name(rules: Rules, day: int, policy: str, rank: int) -> str:
    found = (c.thresholds for c in rules.in_force_on(day).policy.classifications if c.policy == policy)
    return next((thresholds[rank].name for thresholds in found if rank < len(thresholds)), str(rank))


def _instalment(r: Receivable, rules: Rules, day: int) -> dict[str, Any]:
    """Return an instalment: its amount due and what was paid of it, and the balances in the ledger.

    asked, paid, unpaid: of the amount due, which decides whether it is late. asked_parts, owed: the amount due by
    component, and what the waterfall left of each; charges are separate.
    """
    paid = r.unpaid() <= tolerance(rules.in_force_on(day).policy.delinquency, r.amount_due)
    late = r.due < day and not paid
    return {
        "number": r.number,
        "due": iso(r.due),
        "plan": r.plan,
        "is": "late" if late else "paid" if paid and r.unpaid() < r.amount_due else "to_come",
        "days": day - r.due if late else 0,
        "asked": r.amount_due,
        "paid": r.amount_due - r.unpaid(),
        "unpaid": r.unpaid(),
        "asked_parts": {
            "principal": r.amount_due - r.interest_due - r.fees_due,
            "interest": r.interest_due,
            "fees": r.fees_due,
        },
        "owed": {part: getattr(r, part) for part in PARTS},
    }


def _news(event: ev.Event, currency: str) -> dict[str, Any]:
    return {
        "day": timeline_order(event)[0].isoformat(),
        "type": type(event).__name__,
        "words": describe(event, currency),
    }


def _next_steps(s: AccountState, rules: Rules) -> list[dict[str, Any]]:
    policy = rules.in_force_on(s.folded_through).policy.bad_debt.policy
    return [
        {
            "to": step.to,
            "policy": policy,
            "conditions": [
                {"need": c.need, "met": c.met, "words": describe_condition(c, s.currency)} for c in step.conditions
            ],
        }
        for step in next_steps(s, rules)
    ]


def describe_condition(c: Condition, currency: str) -> Translated:
    """Return a condition of a step into bad debt in words: the threshold and the account's figure."""
    f = c.figures
    match c.need:
        case "late":
            zh = (
                f"未还{f['missed']}期（须满{f['missed_at_least']}期），"
                f"或逾期{f['days_past_due']}天（须超过{f['days_past_due_over']}天）"
            )
            en = (
                f"Missed instalments {f['missed']} (at least {f['missed_at_least']}), or days past due "
                f"{f['days_past_due']} (more than {f['days_past_due_over']})"
            )
        case "attempts":
            zh = f"催收未果{f['attempts']}次（须满{f['attempts_at_least']}次）"
            en = f"Failed contact attempts {f['attempts']} (at least {f['attempts_at_least']})"
        case "material":
            overdue, over = priced(f["overdue"], currency), priced(f["over"], currency)
            share, share_over = f"{f['share_bps'] / 100:.2f}", f"{f['share_over_bps'] / 100:g}"
            zh = f"逾期金额{overdue}（须超过{over}），占敞口{share}%（须超过{share_over}%）"
            en = f"Overdue {overdue} (more than {over}), {share} % of the exposure (more than {share_over} %)"
        case "no_blocking_hold":
            kinds = translated(c.kinds)
            zh = "无阻止认定的暂停" if c.met else f"有阻止认定的暂停：{kinds['zh']}"
            en = "No hold stands against it" if c.met else f"A hold stands against it: {kinds['en']}"
        case "not_rejected":
            zh, en = "复核已否决，本次逾期内不再列为候选", "A review rejected it for as long as these arrears last"
        case "stage_3":
            zh = f"减值第3阶段（自逾期{f['stage3_from_days']}天，现逾期{f['days_past_due']}天）"
            en = f"Impairment stage 3: days past due {f['days_past_due']} (at least {f['stage3_from_days']})"
        case "waited":
            zh = f"列为候选{f['days']}天（须满{f['recognise_after_days']}天）"
            en = f"Days as a candidate {f['days']} (at least {f['recognise_after_days']})"
        case "no_plan":
            zh, en = ("没有生效中的分期协议", "No plan is active") if c.met else ("分期协议生效中", "A plan is active")
        case "days":
            zh = f"逾期{f['days_past_due']}天（须满{f['charge_off_after']}天）"
            en = f"Days past due {f['days_past_due']} (at least {f['charge_off_after']})"
        case "held":
            kinds = translated(c.kinds)
            zh = f"{kinds['zh']}已{f['days']}天（须满{f['charge_off_after']}天）"
            en = f"Days since the notice of {kinds['en']} {f['days']} (at least {f['charge_off_after']})"
        case "review":
            zh, en = "等待复核认定", "A review has to recognise it"
    return {"zh": zh, "en": en}
