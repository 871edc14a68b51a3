"""The account agent's central promise: orders and repetitions do not matter once the last day is closed."""

from __future__ import annotations

import random
from datetime import date

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import events as ev
from state.account import AccountState
from state.policy import Allocation, Arrangements, BadDebt, Charges, Classification, Delinquency, Plans
from state.policy_packs.loader import default_book
from tests.support.account_events import AccountEvents, at
from tests.support.agent_driver import AccountDriver, bare
from tests.support.policies import FIVE_CLASSES, changing, policy

LAST = 240
STEPS = [
    f"{timing}.{component}"
    for timing in ("past_due", "due", "advance")
    for component in ("penalty", "fees", "interest", "principal")
]
# Most faults hide on the days on which something falls due or is first missed, and in exact amounts.
EDGES = [day + shift for day in (30, 60, 90, 120, 150) for shift in (-1, 0, 1, 2, 31)]
offsets = st.sampled_from(EDGES) | st.integers(0, LAST)
amounts = st.sampled_from([10_000, 10_150, 20_000]) | st.integers(1, 30_000)


KINDS = ["dispute", "fraud", "breathing_space", "bankruptcy"]
REAL = [default_book().policy_for(*kind) for kind in (("CN", "credit_card"), ("US", "personal_loan"), ("EU", "loan"))]


@st.composite
def policies(draw: st.DrawFn):  # type: ignore[no-untyped-def]
    """Return a policy of the packs, or one with every setting drawn."""
    if draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(REAL))
    return policy(
        allocation=Allocation(
            tuple(draw(st.permutations(STEPS))),
            tuple(draw(st.permutations(STEPS))),
            draw(st.sampled_from(["component", "instalment"])),
        ),
        delinquency=Delinquency(
            tolerance_absolute=draw(st.sampled_from([0, 100])),
            grace_days=draw(st.sampled_from([0, 3])),
            material_absolute=draw(st.sampled_from([0, 5_000])),
            material_relative_bps=draw(st.sampled_from([0, 100])),
            pausing_holds=("dispute", "breathing_space"),
        ),
        charges=draw(
            st.sampled_from(
                [
                    Charges(),
                    Charges(penalty_rate_bps=2_400, late_fee_flat=500, late_fee_bps=100, cap_bps=2_000),
                    Charges(penalty_markup_bps=5_000, penalty_on_interest=True, late_fee_flat=500, cap_bps=2_000),
                ]
            )
        ),
        bad_debt=BadDebt(
            "test",
            missed_at_least=2,
            attempts_at_least=draw(st.sampled_from([0, 1])),
            blocking_holds=("dispute",),
            charge_off_after=draw(st.sampled_from([None, 120])),
            recovery_lapse_days=30,
            cure_probation_days=40,
            cure_probation_months=draw(st.sampled_from([0, 1])),
            charge_off_after_hold=draw(st.sampled_from([{}, {"bankruptcy": 30, "fraud": 0}])),
        ),
        plans=Plans(
            broken_after_missed=draw(st.sampled_from([1, 2])),
            waiver_returns=draw(st.booleans()),
            due_date_convention=draw(st.sampled_from(["none", "following", "preceding"])),
        ),
        arrangements=Arrangements(days_past_due=draw(st.sampled_from(["run_on", "deferred"]))),
        classifications=(
            Classification(
                "five",
                FIVE_CLASSES,
                probation_days=draw(st.sampled_from([0, 60])),
                after_plan_days=draw(st.sampled_from([0, 90])),
                probation_months=draw(st.sampled_from([0, 1])),
                after_plan_months=draw(st.sampled_from([0, 3])),
                material_counter=draw(st.booleans()),
                distressed=draw(st.sampled_from(["", "substandard"])),
            ),
        ),
    )


@st.composite
def histories(draw: st.DrawFn) -> list[ev.Event]:
    """Return one account's events of about eight months, its payments, contacts, holds and plans."""
    s = AccountEvents()
    events: list[ev.Event] = [s.opened(30, 60, 90, 120, 150, interest=draw(st.sampled_from([0, 150])))]
    for number in range(draw(st.integers(0, 2))):
        on = draw(offsets)
        events.append(s.billed(number + 10, on, on + 20, draw(amounts)))
    for _ in range(draw(st.integers(0, 6))):
        payment = s.paid(draw(offsets), draw(amounts))
        events.append(payment)
        if draw(st.integers(0, 3)) == 0:
            events.append(s.reversed(draw(offsets), payment.payment_id))
    events += [s.contact(draw(offsets)) for _ in range(draw(st.integers(0, 3)))]
    if draw(st.booleans()):
        start = draw(offsets)
        end = draw(st.none() | st.integers(0, 60))
        events.append(s.hold(start, None if end is None else start + end, draw(st.sampled_from(KINDS))))
        if draw(st.booleans()):
            events.append(s.released(draw(offsets)))
    if draw(st.booleans()):
        on = draw(st.integers(35, 200))
        waived = ev.Amounts(penalty=draw(st.sampled_from([0, 200])))
        interest = draw(st.sampled_from([0, 300]))
        losses = st.sampled_from([0, 100, 101, 900])
        dues = ((on + 20, 12_000), (on + 50, 12_000), (on + 80, 26_000))
        events.append(s.plan(on, *dues, waived=waived, interest=interest, loss=draw(losses)))
        if draw(st.booleans()):
            later = min(on + draw(st.integers(0, 70)), LAST - 3)
            events.append(s.plan_review(later))
            again = later + draw(st.integers(-1, 3))
            parts = ((again + 25, 9_000), (again + 55, 9_000))
            waived = ev.Amounts(penalty=waived.penalty, interest=draw(st.sampled_from([0, 300])))
            events.append(s.plan(again, *parts, plan_id="plan2", interest=interest, waived=waived, loss=draw(losses)))
    if draw(st.booleans()):
        on, days = draw(st.integers(5, 150)), draw(st.sampled_from([1, 30, 60, 95]))
        asks = tuple(
            (on + n, draw(st.sampled_from([500, 12_000]))) for n in draw(st.sets(st.integers(0, days), max_size=3))
        )
        events.append(s.arrangement(on, days, *sorted(asks), loss=draw(st.sampled_from([0, 101]))))
        if draw(st.booleans()):
            again = on + draw(st.integers(-1, days + 5))
            events.append(s.arrangement(again, 40, plan_id="pause2"))
    if draw(st.booleans()):
        on = draw(offsets)
        events.append(s.promised(on, on + 10, draw(amounts)))
    if draw(st.booleans()):
        events.append(
            s.reviewed(draw(offsets), draw(st.sampled_from(["recognise", "reject", "charge_off", "terminate"])))
        )
    return events


def in_time(events: list[ev.Event]) -> list[ev.Event]:
    """Return the events in the order in which they occurred, each before its day's close."""
    return sorted(events, key=lambda e: (e.occurred_at, e.event_id))


def _disordered(rng: random.Random, events: list[ev.Event], closes: list[ev.DayClosed]) -> list[ev.Event]:
    """Return events and closes in disorder: fully shuffled, or each event some days late or early."""
    if rng.random() < 0.3:
        mixed: list[ev.Event] = [*events, *rng.sample(closes, 40), closes[-1]]
        rng.shuffle(mixed)
        return mixed
    days = {
        e.event_id: (e.occurred_at - at(AccountEvents().start)).days + rng.choice([0, 0, 1, 2, 40, -20]) for e in events
    }
    keyed = [(days[e.event_id], rng.random(), e) for e in events]
    keyed += [
        ((c.business_date - AccountEvents().start).days, 0.5, c)
        for c in closes
        if rng.random() < 0.9 or c is closes[-1]
    ]
    return [e for _, _, e in sorted(keyed, key=lambda k: k[:2])]


def plain(state: AccountState) -> dict[str, object]:
    return {f: getattr(state, f) for f in state.__struct_fields__}


@st.composite
def books(draw: st.DrawFn):  # type: ignore[no-untyped-def]
    """Return a policy, which others take the place of now and then."""
    changes = draw(st.sampled_from([0, 0, 1, 2]))
    days = [AccountEvents().day(draw(offsets)) for _ in range(changes)]
    return changing(draw(policies()), *{day: draw(policies()) for day in days}.items())


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(p=books(), events=histories(), seed=st.integers(0, 2**32))
def test_order_and_repetition_change_neither_state_nor_outputs(p, events, seed):  # type: ignore[no-untyped-def]
    closes = list(AccountEvents().closes(1, LAST))
    first = AccountDriver(p)
    first.feed(*in_time([*events, *closes]))

    rng = random.Random(seed)
    shuffled = _disordered(rng, [*events, *rng.choices(events, k=len(events) // 2)], closes)
    second = AccountDriver(p)
    second.feed(*shuffled)
    # An account that was opened behind the last close is folded at the next.
    for driver in (first, second):
        driver.feed(*AccountEvents().closes(LAST + 1, LAST + 1))

    assert plain(second.states["A1"]) == plain(first.states["A1"])
    assert second.standing() == first.standing()


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(p=books(), events=histories(), seed=st.integers(0, 2**32))
def test_money_is_conserved_and_no_balance_is_negative(p, events, seed):  # type: ignore[no-untyped-def]
    driver = AccountDriver(p)
    rng = random.Random(seed)
    arrivals = in_time([*events, *AccountEvents().closes(1, LAST)])
    for index in range(len(arrivals) - 1, 0, -1):
        if rng.random() < 0.1:
            other = rng.randrange(index + 1)
            arrivals[index], arrivals[other] = arrivals[other], arrivals[index]
    driver.feed(*arrivals, *AccountEvents().closes(LAST + 1, LAST + 1))
    s = driver.states["A1"]

    for r in s.receivables:
        assert min(r.principal, r.interest, r.fees, r.penalty) >= 0
    assert s.credit >= 0
    assert s.paid.total() + s.credit == s.received
    reversed_ids = {e.payment_id for e in events if isinstance(e, ev.PaymentReversed)}
    counted = [
        e.amount
        for e in events
        if isinstance(e, ev.PaymentReceived)
        and e.payment_id not in reversed_ids
        and e.value_on <= AccountEvents().day(LAST + 1)
    ]
    assert s.received == sum(counted)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(p=books(), events=histories())
def test_without_a_plan_what_was_asked_for_is_paid_or_owed(p, events):  # type: ignore[no-untyped-def]
    events = [e for e in events if not isinstance(e, ev.PlanActivated)]
    driver = AccountDriver(p)
    driver.feed(*in_time([*events, *AccountEvents().closes(1, LAST + 100)]))
    s = driver.states["A1"]
    asked = sum(
        i.principal + i.interest + i.fees for e in events if isinstance(e, ev.AccountOpened) for i in e.instalments
    ) + sum(e.principal for e in events if isinstance(e, ev.InstalmentBilled))
    charged = sum(e.amount for e in driver.standing_of(ev.ChargeAccrued))  # type: ignore[attr-defined]

    assert charged == s.charged
    assert asked + s.charged == s.paid.total() + s.owed().total()


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(p=books(), events=histories())
def test_after_broken_plans_all_is_paid_waived_or_owed(p, events):  # type: ignore[no-untyped-def]
    driver = AccountDriver(p)
    driver.feed(*in_time([*events, *AccountEvents().closes(1, LAST + 200)]))
    s = driver.states["A1"]
    if s.plan is not None or driver.standing_of(ev.PlanCompleted):
        return
    asked = sum(
        i.principal + i.interest + i.fees for e in events if isinstance(e, ev.AccountOpened) for i in e.instalments
    ) + sum(e.principal for e in events if isinstance(e, ev.InstalmentBilled))
    assert asked + s.charged == s.paid.total() + s.waived.total() + s.owed().total()


REGIONS = {
    ev.DelinquencyChanged: "bucket",
    ev.BadDebtChanged: "bad_debt",
    ev.CreditStandingChanged: "credit_standing",
}


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(p=books(), events=histories(), seed=st.integers(0, 2**32))
def test_standing_outputs_rebuild_the_statuses_of_the_state(p, events, seed):  # type: ignore[no-untyped-def]
    driver = AccountDriver(p)
    arrivals = [*events, *AccountEvents().closes(1, LAST)]
    random.Random(seed).shuffle(arrivals)
    driver.feed(*arrivals, *AccountEvents().closes(LAST + 1, LAST + 1))
    s = driver.states["A1"]

    gone = {e.supersedes for e in driver.outputs if isinstance(e, ev.EventSuperseded)}
    stands = [e for e in driver.outputs if e.event_id not in gone]
    assert len({e.event_id for e in driver.outputs}) == len(driver.outputs)
    assert gone <= {e.event_id for e in driver.outputs}
    for kind, region in REGIONS.items():
        chain = _chain([(e.from_, e.to, e.business_date) for e in stands if isinstance(e, kind)])
        assert (chain[-1] if chain else None) in (getattr(s, region), None)
        if not chain:
            assert getattr(s, region) in ("current", "none", "good")
    stopped = [e for e in stands if isinstance(e, ev.CollectionStopped | ev.CollectionResumed)]
    stops = sum(isinstance(e, ev.CollectionStopped) for e in stopped)
    assert stops - (len(stopped) - stops) == int(s.collection_stopped)


def _chain(changes: list[tuple[str, str, date]]) -> list[str]:
    """Return the values that a region went through; fails where a transition does not start where the last ended."""
    reached: list[str] = []
    left = sorted(changes, key=lambda c: c[2])
    while left:
        day = left[0][2]
        same = [c for c in left if c[2] == day]
        at_ = reached[-1] if reached else None
        step = next((c for c in same if at_ is None or c[0] == at_), None)
        assert step is not None, f"no transition on {day} starts at {at_}: {same}"
        reached.append(step[1])
        left.remove(step)
    return reached


def test_bare_outputs_differ_where_their_content_differs() -> None:
    driver = AccountDriver()
    s = AccountEvents()
    driver.feed(s.opened(30, 60), *s.closes(1, 80))
    missed = driver.standing_of(ev.InstalmentMissed)
    assert len(missed) == 2
    assert bare(missed[0]) != bare(missed[1])
