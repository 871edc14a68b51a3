"""The schedule that counts when a plan begins: what drifted since the offer, the legal term, interest, tolerance."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.account.plan_lifecycle import adjust_schedule, last_day
from schemas import events as ev
from state.calendars import add_months
from state.policy import Delinquency, Plans, Policy
from state.schedules import MONTHLY, amortise, rounded
from tests.support.account_events import AccountEvents
from tests.support.agent_driver import AccountDriver, only
from tests.support.policies import policy

OWED = 400_000
TOLERANT = Delinquency(tolerance_absolute=100)
START = 95


def agreed_plan(s: AccountEvents, schedule: tuple[ev.PlanInstalment, ...], rate: int) -> ev.PlanActivated:
    return replace(s.plan(START), instalments=schedule, annual_rate_bps=rate)


@st.composite
def schedules(draw: st.DrawFn, most_months: int) -> tuple[tuple[ev.PlanInstalment, ...], int]:
    """Return what was agreed for a debt of about 4,000.00, and its rate."""
    rate = draw(st.sampled_from([0, 900, 1_800, 3_600]))
    months = draw(st.integers(2, most_months))
    shape = draw(st.sampled_from(["level", "step_up", "deferred"]))
    offered = draw(st.integers(OWED - 250, OWED + 250) | st.integers(OWED // 2, OWED * 3 // 2))
    deferred = draw(st.integers(1, min(3, months - 1)))
    first = AccountEvents().day(draw(st.integers(START + 1, START + 35)))
    return amortise(offered, rate, months, first, shape, deferred_months=deferred), rate


def pay_what_is_asked(driver: AccountDriver, s: AccountEvents, first: int, last: int) -> None:
    """Pay whatever is due on the day on which it is due, to the cent, and close each day."""
    for on in range(first, last + 1):
        today = s.day(on).toordinal()
        due = sum(r.owed() for r in driver.states["A1"].receivables if r.due == today)
        driver.feed(*([s.paid(on, due)] if due else []), *s.closes(on, on))
        if driver.standing_of(ev.PlanCompleted):
            return


class TestEveryInstalmentIsKeptOnce:
    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(
        plan=schedules(most_months=14),
        term=st.sampled_from([14, 16]),
        billed=st.integers(0, 60_000),
        tolerance=st.sampled_from([0, 100]),
        late=st.integers(0, 300) | st.integers(0, 420_000),
    )
    def test_it_is_completed_by_paying_what_is_asked_when_asked(
        self, plan: tuple[tuple[ev.PlanInstalment, ...], int], term: int, billed: int, tolerance: int, late: int
    ) -> None:
        schedule, rate = plan
        s = AccountEvents()
        p = policy(delinquency=Delinquency(tolerance_absolute=tolerance), plans=Plans(max_term_months=term))
        driver = AccountDriver(p)
        driver.feed(s.opened(30, 60, 90, 94, amount=OWED // 4), *s.closes(1, START - 1))
        driver.feed(*([s.billed(9, START, START + 10, billed)] if billed else []), agreed_plan(s, schedule, rate))
        driver.feed(*s.closes(START, START))
        # A payment from before the agreement, heard of on the day after: all is worked out anew.
        driver.feed(*([s.paid(START - 1, late)] if late else []), *s.closes(START + 1, START + 1))
        plan_of = [r for r in driver.states["A1"].receivables if r.plan]
        limit = add_months(s.day(START), term).toordinal()
        assert all(r.due <= limit for r in plan_of)
        pay_what_is_asked(driver, s, START + 2, 700)
        kept = only(driver.standing(), ev.PlanInstalmentKept)
        said = sorted(kept, key=lambda e: e.number)
        early = [r.due for r in plan_of if r.due <= s.day(START + 1).toordinal()]
        if early:
            return
        assert [e.number for e in said] == [r.number for r in plan_of]
        assert [e.business_date for e in said] == [e.due_on for e in said]
        assert driver.standing_of(ev.PlanInstalmentMissed) == driver.standing_of(ev.PlanBroken) == []
        (done,) = driver.standing_of(ev.PlanCompleted)
        assert (done.kept, done.missed, done.early) == (len(plan_of), 0, False)  # type: ignore[attr-defined]
        account = driver.states["A1"]
        assert account.paid.total() + account.credit == account.received
        assert account.owed().total() == 0 or account.receivables[0].due > account.folded_through


class TestFit:
    @settings(max_examples=400, deadline=None, derandomize=True)
    @given(
        plan=schedules(most_months=14),
        owed=st.integers(0, 300) | st.integers(OWED - 400, OWED + 400) | st.integers(0, 3 * OWED),
        term=st.sampled_from([3, 13, 14, 15, 20]),
        tolerance=st.sampled_from([0, 100]),
    )
    def test_it_repays_exactly_what_is_owed_within_term_and_rate(
        self, plan: tuple[tuple[ev.PlanInstalment, ...], int], owed: int, term: int, tolerance: int
    ) -> None:
        schedule, rate = plan
        p = policy(delinquency=Delinquency(tolerance_absolute=tolerance), plans=Plans(max_term_months=term))
        limit = last_day(AccountEvents().day(START), p)
        found = adjust_schedule(schedule, owed, rate, limit, p)
        counts = found.instalments
        assert sum(i.principal for i in counts) + found.forgiven == owed
        assert found.forgiven <= tolerance
        assert all(i.due_on <= limit for i in counts)
        assert all(b.due_on > a.due_on and b.number == a.number + 1 for a, b in pairwise(counts))
        assert all(i.amount == i.principal + i.interest and min(i.principal, i.interest) >= 0 for i in counts)
        left = owed
        for i in counts:
            assert i.interest <= rounded(left * rate, MONTHLY, "half_up")
            left -= i.principal
        most = max(i.amount for i in schedule)
        within = [i for i in schedule if i.due_on <= limit]
        room = sum(add_months(schedule[0].due_on, n) <= limit for n in range(len(schedule), 40))
        full = len(within) < len(schedule) or owed > sum(i.principal for i in within) + most * room + tolerance
        if not full:
            assert max((i.amount for i in counts), default=0) <= most
        if owed < sum(i.principal for i in schedule) and len(within) == len(schedule):
            # Too much is taken off the last instalments: those before it ask for what was agreed.
            assert [i.amount for i in counts[:-2]] == [i.amount for i in schedule[: max(0, len(counts) - 2)]]
        if tolerance and owed != sum(i.principal for i in schedule) and not full:
            assert all(i.amount > tolerance for i in counts[len(schedule) - 1 :])

    def test_what_exceeds_the_term_is_spread_over_instalments(self) -> None:
        s, p = AccountEvents(), policy(plans=Plans(max_term_months=6))
        agreed = amortise(50_000, 0, 6, s.day(START + 20), "deferred", deferred_months=1)
        found = adjust_schedule(agreed, 50_007, 0, last_day(s.day(START), p), p)
        assert [i.amount for i in found.instalments] == [0, 10_002, 10_002, 10_001, 10_001, 10_001]

    def test_added_instalments_keep_the_day_of_the_month(self) -> None:
        p = policy(plans=Plans(max_term_months=12))
        agreed = amortise(20_000, 0, 2, date(2026, 1, 31))
        found = adjust_schedule(agreed, 40_000, 0, last_day(date(2026, 1, 20), p), p)
        assert [i.due_on.isoformat() for i in found.instalments] == [
            "2026-01-31",
            "2026-02-28",
            "2026-03-31",
            "2026-04-30",
        ]

    @pytest.mark.parametrize(("last", "forgiven"), [(7_950, 0), (8_000, 50)])
    def test_a_small_difference_joins_the_last_or_is_forgiven(self, last: int, forgiven: int) -> None:
        s, p = AccountEvents(), policy(delinquency=TOLERANT)
        driver = AccountDriver(p)
        parts = ((110, 8_000), (140, 8_000), (170, 8_000), (200, 8_000), (230, last))
        driver.feed(s.opened(30, 60, amount=(32_050 + last) // 2), *s.closes(1, 94))
        owed = driver.states["A1"].owed().total()
        said = driver.feed(s.plan(95, *parts), *s.closes(95, 95))
        (change,) = only(said, ev.PlanScheduleAdjusted)
        assert (change.difference, change.forgiven, len(change.instalments)) == (50, forgiven, 5)
        account = driver.states["A1"]
        assert account.waived.total() == change.forgiven
        assert account.owed().total() + account.waived.total() == owed


class TestBeside:
    def with_bill(
        self, *, billed: int, months: int, term: int = 12
    ) -> tuple[AccountDriver, AccountEvents, list[ev.Event]]:
        s = AccountEvents()
        driver = AccountDriver(policy(plans=Plans(max_term_months=term)))
        driver.feed(s.opened(30, 60, 90, 94, amount=10_000), *s.closes(1, START - 1))
        agreed = amortise(40_000, 0, months, s.day(START + 20))
        said = driver.feed(s.billed(9, START, START + 10, billed), agreed_plan(s, agreed, 0), *s.closes(START, START))
        return driver, s, said

    def test_a_statement_beyond_the_term_stays_beside_the_plan(self) -> None:
        driver, s, said = self.with_bill(billed=9_000, months=12)
        (change,) = only(said, ev.PlanScheduleAdjusted)
        assert [(i.number, i.due_on, i.principal) for i in change.beside] == [(9, s.day(START + 10), 9_000)]
        assert (change.difference, len(change.instalments)) == (0, 12)
        assert driver.states["A1"].owed().total() == 49_000
        pay_what_is_asked(driver, s, START + 1, 500)
        (done,) = driver.standing_of(ev.PlanCompleted)
        assert (done.kept, driver.states["A1"].owed().total()) == (12, 0)  # type: ignore[attr-defined]

    def test_what_was_beside_a_broken_plan_is_owed_once(self) -> None:
        driver, s, _ = self.with_bill(billed=9_000, months=12)
        driver.feed(s.paid(START + 10, 9_000), *s.closes(START + 1, 250))
        assert len(driver.standing_of(ev.PlanBroken)) == 1
        assert driver.states["A1"].owed().total() == 40_000

    def test_a_statement_within_the_term_joins_the_plan(self) -> None:
        _, _, said = self.with_bill(billed=9_000, months=8)
        (change,) = only(said, ev.PlanScheduleAdjusted)
        assert (change.beside, change.difference, len(change.instalments)) == ((), 9_000, 10)

    def test_what_was_agreed_to_be_in_the_plan_stays_in_it(self) -> None:
        s = AccountEvents()
        driver = AccountDriver(policy(plans=Plans(max_term_months=12)))
        driver.feed(s.opened(30, 60, 90, 94, amount=10_000), *s.closes(1, START - 3))
        agreed = amortise(48_000, 0, 12, s.day(START + 20))
        said = driver.feed(s.billed(9, START - 2, START + 10, 9_000), agreed_plan(s, agreed, 0), *s.closes(93, START))
        (change,) = only(said, ev.PlanScheduleAdjusted)
        assert (change.beside, change.difference) == ((), 1_000)
        assert [i.amount for i in change.instalments] == [4_084] * 4 + [4_083] * 8


class TestNothingIsOwed:
    def test_a_debt_paid_before_the_agreement_bears_no_interest(self) -> None:
        s = AccountEvents()
        driver = AccountDriver(policy(delinquency=TOLERANT))
        driver.feed(s.opened(30, 60, 90, 94, amount=10_000), *s.closes(1, START - 1))
        schedule = amortise(40_000, 1_800, 12, s.day(125), "deferred", deferred_months=3)
        driver.feed(agreed_plan(s, schedule, 1_800), *s.closes(95, 96))
        driver.feed(s.paid(94, 40_500), *s.closes(97, 200))
        account = driver.states["A1"]
        assert (account.owed().total(), account.credit, account.plan) == (0, 500, None)
        assert len(driver.standing_of(ev.PlanCompleted)) == 1
        assert driver.standing_of(ev.PlanInstalmentKept) == driver.standing_of(ev.PlanBroken) == []

    def test_nothing_is_kept_by_paying_nothing(self) -> None:
        s = AccountEvents()
        driver = AccountDriver()
        parts = ((110, 0), (140, 0), (170, 0), (200, 20_000), (230, 20_000))
        driver.feed(s.opened(30, 60, 90, 120), *s.closes(1, 94), s.plan(95, *parts), *s.closes(95, 199))
        assert only(driver.outputs, ev.PlanInstalmentKept) == only(driver.outputs, ev.PlanProgressed) == []
        driver.feed(s.paid(200, 20_000), *s.closes(200, 229), s.paid(230, 20_000), *s.closes(230, 230))
        assert [e.number for e in driver.standing_of(ev.PlanInstalmentKept)] == [4, 5]  # type: ignore[attr-defined]
        (done,) = driver.standing_of(ev.PlanCompleted)
        assert (done.kept, done.missed) == (2, 0)  # type: ignore[attr-defined]


class TestWithinTolerance:
    def kept(self, principal: int, paid: list[tuple[int, int]]) -> tuple[list[int], list[int], AccountDriver]:
        """Run a plan of five instalments, the last four of 80.00 and 6.00 of interest each."""
        s = AccountEvents()
        driver = AccountDriver(policy(delinquency=TOLERANT))
        parts = [(110, principal - 32_000), *((110 + 30 * n, 8_000) for n in range(1, 5))]
        payments = [s.paid(on, amount) for on, amount in paid]
        driver.feed(s.opened(30, 60, 90, 120), *s.closes(1, 94), s.plan(95, *parts, interest=600), *payments)
        driver.feed(*s.closes(95, 290))
        numbers = [[e.number for e in driver.standing_of(k)] for k in (ev.PlanInstalmentKept, ev.PlanInstalmentMissed)]  # type: ignore[attr-defined]
        return numbers[0], numbers[1], driver

    @pytest.mark.parametrize("principal", [39_950, 40_000])
    def test_a_small_difference_changes_nothing_of_what_is_kept(self, principal: int) -> None:
        first = principal - 32_000 + 600
        kept, missed, driver = self.kept(principal, [(110, first), *((110 + 30 * n, 8_600) for n in range(1, 5))])
        assert (kept, missed) == ([1, 2, 3, 4, 5], [])
        assert driver.states["A1"].plan is None

    @pytest.mark.parametrize("principal", [39_950, 40_000])
    def test_misses_that_are_not_in_a_row_do_not_break_it(self, principal: int) -> None:
        first = principal - 32_000 + 600
        kept, missed, driver = self.kept(
            principal, [(110, first), (150, 8_600), (170, 8_600), (210, 8_600), (230, 8_600)]
        )
        assert (kept, missed) == ([1, 3, 5], [2, 4])
        assert driver.standing_of(ev.PlanBroken) == []

    @pytest.mark.parametrize("principal", [39_950, 40_000])
    def test_a_payoff_pays_the_interest_that_is_earned(self, principal: int) -> None:
        first = principal - 32_000 + 600
        _, _, driver = self.kept(principal, [(110, first), (125, 32_300)])
        (done,) = driver.standing_of(ev.PlanCompleted)
        assert (done.interest_saved, done.kept, done.early) == (2_100, 5, True)  # type: ignore[attr-defined]
        _, _, driver = self.kept(principal, [(110, first), (125, 32_299)])
        assert driver.standing_of(ev.PlanCompleted) == [] or driver.standing_of(ev.PlanCompleted)[0].interest_saved == 0  # type: ignore[attr-defined]


def test_a_policy_without_tolerance_asks_for_the_last_cent() -> None:
    p: Policy = policy()
    agreed = amortise(40_000, 0, 4, AccountEvents().day(110))
    found = adjust_schedule(agreed, 40_001, 0, last_day(AccountEvents().day(START), p), p)
    assert ([i.amount for i in found.instalments], found.forgiven) == ([10_000] * 4 + [1], 0)
