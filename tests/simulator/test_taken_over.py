"""An account that is taken over goes on as it would have gone on where it was.

A population lives for some months. At a month's end, accounts are handed over with an OpeningPosition, made of what
was true of them. From then on both get the same events and must report the same, but for a unit that rounding moves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from schemas import events as ev
from simulator.servicing import ServicedWorld
from simulator.world import START
from state.account import AccountState, Plan, Receivable
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime

ACCOUNTS, DAYS, SEED = 400, 330, 3
AS_OF = date(2026, 7, 31)
REPORTS = (
    ev.InstalmentMissed, ev.InstalmentCaughtUp, ev.DelinquencyChanged, ev.ClassificationChanged, ev.BadDebtChanged,
    ev.ImpairmentChanged, ev.ChargeAccrued, ev.CollectionStopped, ev.CollectionResumed, ev.CreditStandingChanged,
    ev.PromiseKept, ev.PromiseBroken, ev.AccountEnded, ev.AccountRestored, ev.PaymentFailureReported,
    ev.PlanInstalmentKept, ev.PlanInstalmentMissed, ev.PlanBroken, ev.PlanCompleted, ev.PlanPostponed,
    ev.PlanScheduleAdjusted, ev.InputNotApplied,
)  # fmt: skip
# A position says how many contacts failed, not which.
NOT_COMPARED = {"event_id", "occurred_at", "source", "caused_by", "evidence"}
MONEY = {"amount", "overdue_amount", "exposure", "allowance", "outstanding", "unpaid", "paid"}
# What is said, and its amounts.
Reports = list[tuple[str, list[int]]]


@dataclass(frozen=True)
class Past:
    """What arrived until AS_OF and after it, what was reported of later days, and accounts as they stood."""

    before: list[ev.Event]
    after: list[ev.Event]
    reported: list[ev.Event]
    states: dict[str, AccountState]


@pytest.fixture(scope="module")
def past() -> Past:
    world = ServicedWorld(ACCOUNTS, SEED)
    found = Past([], [], [], {})
    with LocalRuntime.open(None, default_book()) as runtime:
        arrived = list(world.opening())
        for n in range(DAYS):
            said = runtime.feed(arrived)
            closed = START + timedelta(days=n - 1)
            (found.before if closed <= AS_OF else found.after).extend(arrived)
            found.reported.extend(e for e in said if _reported_day(e) > AS_OF)
            if closed == AS_OF:
                for event in found.before:
                    if isinstance(event, ev.AccountOpened | ev.OpeningPosition):
                        state = runtime.state("account", event.account_id)
                        assert isinstance(state, AccountState)
                        found.states[event.account_id] = state
            arrived = list(world.day(closed + timedelta(days=1), said))
    return found


def _reported_day(event: ev.Event) -> date:
    day: date = event.activated_on if isinstance(event, ev.PlanActivated) else getattr(event, "business_date", AS_OF)
    return day


def _handed_over(past: Past) -> list[str]:
    """Return the accounts that are handed over: open, and of their days until AS_OF nothing is heard later."""
    paid = {e.payment_id for e in past.before if isinstance(e, ev.PaymentReceived)}
    adjusted = {e.adjustment_id for e in past.before if isinstance(e, ev.InstalmentAdjusted)}
    late = {e.account_id for e in past.reported if isinstance(e, ev.PlanActivated)}
    for event in past.after:
        match event:
            case ev.PaymentReceived() if event.value_on <= AS_OF:
                late.add(event.account_id)
            case ev.PaymentReversed() if event.payment_id in paid:
                late.add(event.account_id)
            case ev.AdjustmentReversed() if event.adjustment_id in adjusted:
                late.add(event.account_id)
            case ev.InstalmentBilled() if event.billed_on is not None and event.billed_on <= AS_OF:
                late.add(event.account_id)
    return [name for name, state in past.states.items() if name not in late and not state.closed_on]


def position_of(s: AccountState) -> ev.OpeningPosition:
    """Return the opening position of an account that is kept here, as of its last folded day or after it."""
    policy = default_book().policy_for(s.jurisdiction, s.product)
    names = {c.policy: [t.name for t in c.thresholds] for c in policy.classifications}
    return ev.OpeningPosition(
        event_id=f"position-{s.account_id}",
        occurred_at=datetime(AS_OF.year, AS_OF.month, AS_OF.day, 23, 59, tzinfo=UTC),
        source="migration",
        account_id=s.account_id,
        borrower_id=s.borrower_id,
        product=s.product,
        jurisdiction=s.jurisdiction,
        currency=s.currency,
        opened_on=date.fromordinal(s.opened_on),
        as_of=AS_OF,
        annual_rate_bps=s.annual_rate_bps,
        principal=s.original_principal,
        # An arrangement for a time leaves the contract's instalments.
        instalments=_instalments(s.receivables if s.plan is None or s.plan.is_temporary else s.plan.replaced),
        credit=s.credit,
        charged=s.charged,
        statement_principal=s.billed_principal,
        last_payment_on=_day(s.last_payment_on),
        clean_since=_day(s.arrears_free_since),
        material_since=_day(s.materiality_since),
        classes={name: names[name][at] for name, at in s.classes.items()},
        stage=s.ifrs9_stage,
        stage_by_days=s.ifrs9_stage_by_days,
        allowance=s.allowance,
        bad_debt=s.bad_debt,
        bad_debt_on=_day(s.bad_debt_on),
        rejected=s.bad_debt_rejected,
        failed_attempts=s.failed_contact_attempts,
        standing=s.credit_standing,
        plans_broken=s.plans_broken,
        had_plan=s.had_plan,
        collection_stopped=s.collection_stopped,
        plan=_plan(s),
    )


def _plan(s: AccountState) -> ev.PositionPlan | None:
    plan = s.plan
    if plan is None:
        return None
    return ev.PositionPlan(
        plan_id=plan.plan_id,
        offer_id=plan.offer_id,
        activated_on=date.fromordinal(plan.activated),
        annual_rate_bps=plan.annual_rate_bps,
        instalments=_asks(plan)
        if plan.is_temporary
        else _instalments(r for r in s.receivables if r.plan and not r.settled),
        kept=plan.kept,
        missed=plan.missed,
        missed_in_a_row=plan.missed_in_a_row,
        paid=plan.paid.total(),
        waived=ev.Amounts(
            principal=plan.waived.principal,
            interest=plan.waived.interest,
            fees=plan.waived.fees,
            penalty=plan.waived.penalty,
        ),
        arrangement=plan.arrangement,
        review_on=_day(plan.review_on),
        ends_on=_day(plan.ends_on),
    )


def _asks(plan: Plan) -> tuple[ev.PositionInstalment, ...]:
    """Return what an arrangement for a time still asks for."""
    return tuple(
        ev.PositionInstalment(
            number=ask.number,
            due_on=date.fromordinal(ask.due),
            principal=ask.amount - ask.paid,
            interest=0,
            fees=0,
            amount_due=ask.amount,
            paid=ask.paid,
        )
        for ask in plan.asks
        if not ask.kept
    )


def _instalments(receivables: Iterable[Receivable]) -> tuple[ev.PositionInstalment, ...]:
    return tuple(
        ev.PositionInstalment(
            number=r.number,
            due_on=date.fromordinal(r.due),
            principal=r.principal,
            interest=r.interest,
            fees=r.fees,
            penalty=r.penalty,
            amount_due=r.amount_due,
            paid=r.paid_toward,
            billed=r.billed,
        )
        for r in receivables
    )


def _day(ordinal: int) -> date | None:
    return date.fromordinal(ordinal) if ordinal else None


def _standing(events: Iterable[ev.Event]) -> dict[str, Reports]:
    """Return by account what stands of the reports: what each says, and its amounts."""
    events = list(events)
    gone = {e.supersedes for e in events if isinstance(e, ev.EventSuperseded)}
    found = defaultdict(list)
    for event in events:
        if isinstance(event, REPORTS) and event.event_id not in gone:
            plain: dict[str, Any] = msgspec.to_builtins(event)
            amounts = [plain[name] for name in sorted(MONEY & plain.keys())]
            said = {name: value for name, value in plain.items() if name not in MONEY | NOT_COMPARED}
            found[event.account_id].append((str(said), _flat(amounts)))
    return {name: sorted(reports) for name, reports in found.items()}


def _flat(amounts: list[Any]) -> list[int]:
    parts = (a.values() if isinstance(a, dict) else a if isinstance(a, list) else [a] for a in amounts)
    return [amount for part in parts for amount in part if isinstance(amount, int)]


def test_the_portfolio_is_a_hard_one(past: Past) -> None:
    states = [past.states[name] for name in _handed_over(past)]
    assert len(states) > 200
    assert sum(state.days_past_due > 0 for state in states) >= 30
    assert sum(state.bad_debt in ("charged_off", "recovering") for state in states) >= 1
    assert sum(state.plan is not None for state in states) >= 5


@pytest.mark.parametrize("deployment", ["empty", "running"])
@pytest.mark.parametrize("history", ["before", "after", "none"])
def test_accounts_that_are_taken_over_go_on_as_they_would_have(past: Past, deployment: str, history: str) -> None:
    """The history is loaded before the position, after it, or not at all; holds and promises are needed in any case."""
    mine = set(_handed_over(past))
    positions = [position_of(past.states[name]) for name in sorted(mine)]
    wanted = ev.HoldPlaced | ev.HoldReleased | ev.PromiseMade if history == "none" else ev.Event
    beginnings = ev.AccountOpened | ev.OpeningPosition
    old = [
        e for e in past.before if getattr(e, "account_id", "") in mine and isinstance(e, wanted)
        and not isinstance(e, beginnings)
    ]  # fmt: skip
    closes: list[ev.Event] = [e for e in past.before if isinstance(e, ev.DayClosed)]
    with LocalRuntime.open(None, default_book()) as runtime:
        if deployment == "running":
            runtime.feed([e for e in past.before if getattr(e, "account_id", "") not in mine][:40] + closes)
        said = list(runtime.feed([*old, *positions] if history == "before" else [*positions, *old]))
        said += runtime.feed(
            [e for e in past.after if isinstance(e, ev.DayClosed) or getattr(e, "account_id", "") in mine]
        )
        assert not [e for e in said if isinstance(e, ev.DeadLetter)]
    about = [e for e in said if isinstance(e, (*REPORTS, ev.EventSuperseded))]
    assert not [e for e in about if e.business_date <= AS_OF]
    assert not [e for e in said if isinstance(e, ev.ContactBreached) and e.attempted_at.date() < AS_OF]
    goes_on, would_have = _standing(about), _standing(past.reported)
    if history == "none":
        # Payments of the past may have been promised.
        goes_on, would_have = ({n: _without_promises(r) for n, r in x.items()} for x in (goes_on, would_have))
    wrong = {name: found for name in mine if (found := _differences(goes_on.get(name, []), would_have.get(name, [])))}
    assert wrong == {}


def _without_promises(reports: Reports) -> Reports:
    return [report for report in reports if "'Promise" not in report[0]]


def _differences(ours: Reports, theirs: Reports) -> list[str]:
    """Return what only one of two lists of reports has, - for what is missing; amounts may differ by one unit."""
    left, found = list(theirs), []
    for text, amounts in ours:
        same = next((r for r in left if r[0] == text and all(map(_close, r[1], amounts))), None)
        if same is None:
            found.append(f"+ {text} {amounts}")
        else:
            left.remove(same)
    return found + [f"- {text} {amounts}" for text, amounts in left]


def _close(one: int, other: int) -> bool:
    return abs(one - other) <= 1
