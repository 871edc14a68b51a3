"""The life of a plan while it is kept: paid early, late, too much or too little, paused, and replaced by agreement."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas import events as ev
from schemas.jsonlines import to_line
from state.affordability import alpha_of
from state.delinquency import measure, pauses
from state.policy import Delinquency
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime
from tests.support.account_events import AccountEvents
from tests.support.agent_driver import AccountDriver, PlannerDriver, names, only
from tests.support.borrower_events import START, BorrowerEvents, day_of, instant_of
from tests.support.policies import policy

PAUSING = policy(delinquency=Delinquency(tolerance_absolute=100, pausing_holds=("dispute", "breathing_space")))


def in_arrears(s: AccountEvents) -> list[ev.Event]:
    """Return an account of 400.00 in four instalments, and its closes until a plan is made on day 95."""
    return [s.opened(30, 60, 90, 120), *s.closes(1, 94)]


def planned(s: AccountEvents, *, interest: int = 0, p=None) -> AccountDriver:  # type: ignore[no-untyped-def]
    """Return a driver with a plan of four instalments of 100.00 and interest, due on days 110, 140, 170 and 200."""
    driver = AccountDriver(p)
    driver.feed(*in_arrears(s), s.plan(95, *((d, 10_000) for d in (110, 140, 170, 200)), interest=interest))
    return driver


class TestPayments:
    def test_paying_off_early_costs_only_the_interest_earned(self) -> None:
        s = AccountEvents()
        driver = planned(s, interest=300)
        driver.feed(*s.closes(95, 109), s.paid(110, 10_300), *s.closes(110, 124))
        # Half of the 30 days to the next due date have passed: 150 of its 300 are earned, none of the last two.
        said = driver.feed(s.paid(125, 30_150), *s.closes(125, 125))
        (done,) = only(said, ev.PlanCompleted)
        assert (done.early, done.interest_saved, done.kept) == (True, 750, 4)
        account = driver.states["A1"]
        assert account.owed().total() == account.credit == 0
        assert account.received == account.paid.total() == 40_450

    def test_a_credit_note_under_a_plan_must_come_as_a_payment(self) -> None:
        """An adjustment of what the plan replaced is answered; the credit counts for the plan, and for the contract."""
        s = AccountEvents()
        driver = planned(s)
        note = ev.InstalmentAdjusted(
            event_id="a1", occurred_at=s.paid(96, 1).occurred_at, source="test", account_id="A1", adjustment_id="a1",
            number=2, effective_on=s.day(96), principal=-4_000, reason="credit_note",
        )  # fmt: skip
        (answer,) = only(driver.feed(note, *s.closes(95, 96)), ev.InputNotApplied)
        assert (answer.code, "as PaymentReceived" in answer.reason) == ("under_plan", True)
        driver.feed(replace(s.paid(97, 4_000), channel="credit_note"), *s.closes(97, 98))
        assert [r.unpaid() for r in driver.states["A1"].receivables] == [6_000, 10_000, 10_000, 10_000]
        driver.feed(*s.closes(99, 145), *s.closes(146, 146))
        assert only(driver.outputs, ev.PlanBroken)
        assert driver.states["A1"].owed().total() == 36_000
        # Another adjustment, of a day after the plan, counts.
        later = replace(note, adjustment_id="a2", effective_on=s.day(147), occurred_at=s.paid(147, 1).occurred_at)
        assert only(driver.feed(later, *s.closes(147, 147)), ev.InputNotApplied) == []
        assert driver.states["A1"].owed().total() == 32_000

    def test_a_cent_under_the_payoff_pays_the_next_instalments(self) -> None:
        s = AccountEvents()
        driver = planned(s, interest=300)
        said = driver.feed(*s.closes(95, 109), s.paid(110, 10_300), s.paid(125, 30_149), *s.closes(110, 125))
        assert only(said, ev.PlanCompleted) == []
        assert driver.states["A1"].owed().total() == 4 * 10_300 - 10_300 - 30_149

    def test_overpayment_pays_ahead_and_ends_as_credit(self) -> None:
        s = AccountEvents()
        driver = planned(s)
        said = driver.feed(*s.closes(95, 109), s.paid(110, 25_000), *s.closes(110, 146))
        assert [e.number for e in only(said, ev.PlanInstalmentKept)] == [1, 2]
        assert only(said, ev.PlanInstalmentMissed) == []
        assert [r.owed() for r in driver.states["A1"].receivables if r.owed()] == [5_000, 10_000]
        driver.feed(s.paid(147, 15_200), *s.closes(147, 147))
        assert driver.states["A1"].credit == 200

    def test_credit_that_settles_all_spares_the_same_as_a_payment(self) -> None:
        s = AccountEvents()
        driver = AccountDriver()
        driver.feed(s.opened(30, 60, 90, 120), s.paid(20, 10_000), *s.closes(1, 94))
        driver.feed(s.plan(95, (110, 10_000), (140, 10_000), (170, 10_000), interest=300), *s.closes(95, 109))
        driver.feed(s.paid(110, 10_300), *s.closes(110, 139), s.paid(140, 10_300), *s.closes(140, 153))
        # Half of the last month has passed: 150 of its 300 are earned, and they are paid.
        driver.feed(s.paid(154, 150), *s.closes(154, 154))
        lowered = ev.InstalmentAdjusted(
            event_id="a1",
            occurred_at=instant_of(155),
            source="test",
            adjustment_id="a1",
            account_id="A1",
            number=1,
            effective_on=s.day(155),
            principal=-10_000,
            reason="goodwill",
        )
        said = driver.feed(lowered, *s.closes(155, 155))
        (done,) = only(said, ev.PlanCompleted)
        assert (done.early, done.interest_saved) == (True, 150)
        assert driver.states["A1"].owed().total() == driver.states["A1"].credit == 0

    @pytest.mark.parametrize(("paid", "kept"), [(9_950, True), (9_850, False)])
    def test_underpayment_is_kept_in_tolerance_missed_beyond(self, paid: int, kept: bool) -> None:
        s = AccountEvents()
        driver = planned(s, p=PAUSING)
        said = driver.feed(*s.closes(95, 109), s.paid(110, paid), *s.closes(110, 120))
        assert names([e for e in said if isinstance(e, ev.PlanInstalmentKept | ev.PlanInstalmentMissed)]) == [
            "PlanInstalmentKept" if kept else "PlanInstalmentMissed"
        ]
        if not kept:
            assert only(said, ev.PlanInstalmentMissed)[0].unpaid == 150

    def test_a_bounced_payoff_leaves_the_plan_as_before(self) -> None:
        s = AccountEvents()
        untouched = planned(s, interest=300)
        untouched.feed(*s.closes(95, 115))
        other = AccountEvents()
        driver = planned(other, interest=300)
        driver.feed(other.paid(100, 41_200, "P"), *other.closes(95, 104))
        assert driver.states["A1"].plan is None
        driver.feed(other.reversed(105, "P"), *other.closes(105, 115))
        assert driver.states["A1"].receivables == untouched.states["A1"].receivables
        assert driver.standing() == untouched.standing()

    def test_bills_paid_beside_a_plan_are_not_paid_twice(self) -> None:
        s = AccountEvents()
        driver = planned(s)
        driver.feed(s.billed(9, 97, 100, 4_000), s.paid(100, 4_000), *s.closes(95, 150))
        assert len(driver.standing_of(ev.PlanBroken)) == 1
        assert driver.states["A1"].owed().total() == 40_000


class TestSchedule:
    @settings(max_examples=120, deadline=None, derandomize=True)
    @given(
        parts=st.lists(st.integers(1, 20_000), min_size=1, max_size=5),
        before=st.integers(0, 39_000),
        interest=st.sampled_from([0, 170]),
    )
    def test_changes_before_acceptance_come_with_the_new_schedule(
        self, parts: list[int], before: int, interest: int
    ) -> None:
        s = AccountEvents()
        driver = AccountDriver()
        plan = s.plan(95, *((110 + 31 * n, part) for n, part in enumerate(parts)), interest=interest)
        said = driver.feed(*in_arrears(s), *([s.paid(94, before)] if before else []), plan, *s.closes(95, 95))
        financed = 40_000 - before
        adjusted = only(said, ev.PlanScheduleAdjusted)
        asked = [(r.number, r.due, r.principal, r.interest) for r in driver.states["A1"].receivables if r.plan]
        if sum(parts) == financed:
            assert adjusted == []
            return
        (change,) = adjusted
        assert change.difference == financed - sum(parts)
        schedule = change.instalments
        assert [(i.number, i.due_on.toordinal(), i.principal, i.interest) for i in schedule] == asked
        assert [i.number for i in schedule] == list(range(1, len(schedule) + 1))
        assert sum(i.principal for i in schedule) == financed
        assert all(i.amount == i.principal + i.interest for i in schedule)
        agreed = plan.instalments
        most = max(i.amount for i in agreed)
        if financed <= sum(parts) + most * (60 - len(parts)):
            before_last = min(len(agreed), len(schedule)) - 1
            assert [i.amount for i in schedule[:before_last]] == [i.amount for i in agreed[:before_last]]
            assert max(i.amount for i in schedule) <= most
        assert all(b.due_on > a.due_on for a, b in pairwise(schedule))

    def test_a_payment_that_is_heard_of_late_corrects_the_schedule(self) -> None:
        s, other = AccountEvents(), AccountEvents()
        parts = tuple((d, 10_000) for d in (110, 140, 170))
        driver, prompt = AccountDriver(), AccountDriver()
        driver.feed(*in_arrears(s), s.plan(95, *parts), *s.closes(95, 99), s.paid(93, 4_000), *s.closes(100, 180))
        prompt.feed(*in_arrears(other), other.paid(93, 4_000), other.plan(95, *parts), *other.closes(95, 180))
        assert [c.difference for c in only(driver.outputs, ev.PlanScheduleAdjusted)] == [10_000, 6_000]
        assert "PlanScheduleAdjusted" in [c.superseded_type for c in only(driver.outputs, ev.EventSuperseded)]
        assert driver.standing() == prompt.standing()

    def test_paying_by_the_published_schedule_completes_the_plan(self) -> None:
        s = AccountEvents()
        driver = AccountDriver()
        said = driver.feed(*in_arrears(s), s.plan(95, (110, 15_000), (140, 15_000)), *s.closes(95, 95))
        (change,) = only(said, ev.PlanScheduleAdjusted)
        for n, i in enumerate(change.instalments):
            on = (i.due_on - s.day(0)).days
            driver.feed(s.paid(on, i.amount), *s.closes(95 + n, on))
        (done,) = driver.standing_of(ev.PlanCompleted)
        assert (len(change.instalments), done.kept, done.missed) == (3, 3, 0)  # type: ignore[attr-defined]


class TestPause:
    @settings(max_examples=120, deadline=None, derandomize=True)
    @given(st.integers(95, 190), st.integers(0, 130), st.booleans())
    def test_paying_what_is_due_keeps_a_plan_through_any_pause(self, start: int, length: int, open_: bool) -> None:
        s = AccountEvents()
        driver = planned(s, interest=200, p=PAUSING)
        hold = s.hold(start, None if open_ else start + length, "breathing_space")
        end = s.released(start + length + 1)
        for on in range(95, 600):
            today: list[ev.Event] = [hold] if on == start else []
            if open_ and on == start + length + 1:
                today.append(end)
            driver.feed(*today)
            paused = start <= on <= start + length
            due = sum(r.owed() for r in driver.states["A1"].receivables if r.due <= s.day(on).toordinal())
            if due and not paused:
                driver.feed(s.paid(on, due))
            driver.feed(*s.closes(on, on))
        assert driver.standing_of(ev.PlanBroken) == driver.standing_of(ev.PlanInstalmentMissed) == []
        (done,) = driver.standing_of(ev.PlanCompleted)
        assert (done.kept, done.missed) == (4, 0)  # type: ignore[attr-defined]
        assert driver.states["A1"].received == 40_800

    def test_after_a_pause_no_two_instalments_are_due_at_once(self) -> None:
        s = AccountEvents()
        driver = planned(s, p=PAUSING)
        said = driver.feed(s.hold(105, 165, "breathing_space"), *s.closes(95, 170))
        (later,) = only(said, ev.PlanPostponed)
        assert later.months == 2
        dues = [date.fromordinal(r.due) for r in driver.states["A1"].receivables]
        assert later.next_due_on == dues[0] > s.day(165)
        assert later.last_due_on == dues[-1]
        assert all((b - a).days >= 28 for a, b in pairwise(dues))

    def test_a_hold_that_does_not_pause_moves_nothing(self) -> None:
        s = AccountEvents()
        driver = planned(s, p=PAUSING)
        said = driver.feed(s.hold(105, 165, "fraud"), *s.closes(95, 170))
        assert only(said, ev.PlanPostponed) == []
        assert len(only(said, ev.PlanInstalmentMissed)) == 2


def progress(plan: ev.PlanActivated, outcome: str, number: int = 0) -> ev.PlanProgressed:
    """Return what the planner is told of a plan on day 11."""
    return ev.PlanProgressed(
        event_id=outcome,
        occurred_at=instant_of(11),
        source="test",
        borrower_id="B1",
        account_id="A1",
        plan_id=plan.plan_id,
        offer_id=plan.offer_id,
        business_date=day_of(11),
        caused_by="x",
        outcome=outcome,
        number=number,
    )


def days_past_due(driver: AccountDriver, on: int) -> int:
    """Return the days past due of the account on a day, whether or not that day was one that mattered."""
    account = driver.states["A1"]
    paused = pauses(account.holds, ((0, PAUSING.delinquency.pausing_holds),))
    return measure(account.receivables, paused, AccountEvents().day(on).toordinal(), PAUSING.delinquency).days_past_due


class TestBreak:
    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(
        holds=st.lists(
            st.tuples(
                st.integers(20, 170),
                st.none() | st.integers(0, 70),
                st.sampled_from(["breathing_space", "dispute", "fraud"]),
            ),
            max_size=3,
        ),
        payments=st.lists(st.tuples(st.integers(25, 200), st.integers(1, 6_000)), max_size=3),
        on=st.integers(62, 120),
    )
    def test_days_past_due_are_then_what_they_were_without_it(
        self, holds: list[tuple[int, int | None, ev.HoldKind]], payments: list[tuple[int, int]], on: int
    ) -> None:
        def lived(plans: bool) -> AccountDriver:
            s = AccountEvents()
            driver = AccountDriver(PAUSING)
            events: list[ev.Event] = [s.opened(30, 60, 90, 120)]
            for number, (start, length, kind) in enumerate(holds):
                events.append(s.hold(start, None if length is None else start + length, kind, f"h{number}"))
                if length is None:
                    events.append(s.released(start + 90, f"h{number}"))
            events += [s.paid(day, amount) for day, amount in payments]
            if plans:
                # All that was paid is far less than either plan asks for in the end.
                events.append(s.plan(on, *((on + 15 + 30 * n, 8_000) for n in range(5))))
                events.append(s.plan(on + 60, (on + 61, 20_000), (on + 91, 20_000), plan_id="plan2"))
            driver.feed(*sorted([*events, *s.closes(1, 420)], key=lambda e: e.occurred_at))
            return driver

        plain, planned_ = lived(False), lived(True)
        assert planned_.states["A1"].plan is None
        assert planned_.states["A1"].plans_broken == 2
        assert days_past_due(planned_, 420) == days_past_due(plain, 420)
        assert planned_.states["A1"].bucket == plain.states["A1"].bucket

    def test_a_hold_over_before_the_plan_still_pauses_its_days(self) -> None:
        s = AccountEvents()
        driver = AccountDriver(PAUSING)
        driver.feed(s.opened(30, 60, 90, 120), s.hold(35, 74, "breathing_space"), s.contact(80), s.contact(81))
        driver.feed(s.plan(100, (110, 10_000), (140, 10_000), (170, 20_000)), *s.closes(1, 200))
        account = driver.states["A1"]
        assert len(driver.standing_of(ev.PlanBroken)) == 1
        # 170 days since day 30, of which the hold paused 40; the calls of the arrears that returned count too.
        assert (days_past_due(driver, 200), account.failed_contact_attempts) == (130, 2)

    def test_data_of_earlier_arrears_is_forgotten_with_the_plan(self) -> None:
        s = AccountEvents()
        driver = AccountDriver(PAUSING)
        driver.feed(
            s.opened(30, 60, 90, 120), s.hold(35, 74, "breathing_space"), s.contact(80), s.plan(130, (140, 40_000))
        )
        driver.feed(s.paid(140, 40_000), *s.closes(1, 145))
        account = driver.states["A1"]
        assert (account.plan, account.holds, account.failed_contact_attempts, account.bad_debt_evidence) == (
            None,
            (),
            0,
            (),
        )


class TestMeans:
    """A borrower whose income falls while he keeps a plan, on the planner's own driver."""

    def with_plan(self) -> tuple[PlannerDriver, BorrowerEvents, ev.PlanActivated]:
        driver, teller = PlannerDriver(), BorrowerEvents()
        driver.feed(teller.granted(0), teller.report(0), teller.request(0))
        driver.close(0)
        offer = driver.offer()
        quickest = max(offer.options, key=lambda o: o.instalment_amount)
        (plan,) = driver.feed(teller.answer(2, offer.offer_id, "accepted", option_id=quickest.option_id))
        driver.run(1, 10)
        return driver, teller, plan

    def test_an_unaffordable_plan_requests_a_workout_once(self) -> None:
        driver, teller, plan = self.with_plan()
        driver.feed(teller.report(11, income=600_000))
        (asked,) = driver.run(11, 30)
        assert isinstance(asked, ev.PlanReviewRequested)
        assert (asked.account_id, asked.plan_id, asked.requested_on) == ("A1", plan.plan_id, day_of(12))

    def test_a_small_change_asks_for_nothing(self) -> None:
        driver, teller, _ = self.with_plan()
        driver.feed(teller.report(11, income=895_000))
        assert driver.run(11, 30) == []

    def test_a_fitting_offer_that_is_accepted_replaces_the_plan(self) -> None:
        driver, teller, plan = self.with_plan()
        driver.feed(teller.report(11, income=700_000))
        driver.run(11, 11)
        driver.feed(teller.request(12, trigger_="means_changed", principal=950_000))
        driver.close(12)
        offer = driver.offer()
        rules = driver.book.policy_for("CN", "personal_loan").affordability
        limit = (700_000 - 420_000) * alpha_of(rules, 0) // 10_000
        assert all(o.instalment_amount <= limit for o in offer.options)
        assert offer.options
        (again,) = driver.feed(teller.answer(13, offer.offer_id, "accepted", option_id=offer.recommended_option_id))
        assert isinstance(again, ev.PlanActivated)
        assert again.plan_id != plan.plan_id
        assert driver.run(13, 40) == []

    def test_recovered_means_withdraw_the_offer_and_keep_the_plan(self) -> None:
        driver, teller, _ = self.with_plan()
        driver.feed(teller.report(11, income=700_000))
        driver.run(11, 11)
        driver.feed(teller.request(12, trigger_="means_changed", principal=950_000))
        driver.close(12)
        driver.feed(teller.report(13, income=950_000))
        said = driver.run(13, 40)
        assert [(type(e).__name__, e.reason) for e in said] == [("OfferWithdrawn", "means_recovered")]

    def test_a_plan_whose_end_moves_counts_while_it_asks_for_money(self) -> None:
        driver, _, plan = self.with_plan()
        assert driver.state is not None
        agreed = driver.state.plans["A1"].until
        moved = progress(plan, "adjusted", number=2)
        driver.feed(moved)
        assert 59 <= driver.state.plans["A1"].until - agreed <= 62
        driver.feed(replace(moved, event_id="wrong", taken_back=True))
        assert driver.state.plans["A1"].until == agreed

    def test_an_affordable_plan_that_is_kept_asks_for_nothing_new(self) -> None:
        driver, teller, plan = self.with_plan()
        driver.feed(teller.report(11, income=700_000))
        driver.run(11, 11)
        driver.feed(teller.request(12, trigger_="means_changed", principal=950_000))
        driver.close(12)
        driver.feed(teller.report(13))
        driver.run(13, 20)
        driver.feed(teller.withdrawn(21))
        # What is known of his means is no longer to be used; each instalment that he pays tells of the debt anew.
        for on, principal in ((41, 900_000), (71, 850_000), (101, 800_000)):
            driver.feed(teller.request(on, trigger_="means_changed", principal=principal))
            assert driver.run(on, on + 5) == []
        assert driver.state is not None
        assert driver.state.plans["A1"].plan_id == plan.plan_id
        # Where the means fall short again, it is asked for anew, and then the account's word counts.
        driver.feed(teller.granted(110), teller.report(110, income=650_000))
        assert [type(e) for e in driver.run(110, 112)] == [ev.PlanReviewRequested]
        driver.feed(teller.request(113, trigger_="means_changed", principal=750_000))
        assert ev.OfferPublished in [type(e) for e in driver.run(113, 113)]

    def test_a_plan_restored_takes_its_part_of_the_means_again(self) -> None:
        largest = {}
        for case in ("kept", "broken", "broken, and not"):
            driver, teller, plan = self.with_plan()
            broken = progress(plan, "broken")
            if case != "kept":
                driver.feed(broken, teller.request(11, plans_broken=1))
            if case == "broken, and not":
                driver.feed(replace(broken, event_id="not so", taken_back=True), teller.ended(11, reason="plan_active"))
            driver.feed(teller.request(12, "A2", principal=500_000))
            offer = next(e for e in reversed(driver.run(11, 13)) if isinstance(e, ev.OfferPublished))
            largest[case] = (offer.account_ids, max(o.instalment_amount for o in offer.options))
        assert largest["broken, and not"] == largest["kept"] != largest["broken"]

    def test_a_plan_paid_off_early_leaves_the_means_free(self) -> None:
        driver, teller, plan = self.with_plan()
        driver.feed(progress(plan, "completed"))
        driver.feed(teller.report(12, income=600_000))
        assert driver.run(12, 30) == []


def test_a_fall_of_income_leads_to_a_plan_that_can_be_kept() -> None:
    """The whole loop on the local runtime: two accounts, one joint plan each, lower means, other plans, one breaks."""
    teller = BorrowerEvents()
    stories = {name: AccountEvents(name, START) for name in ("A1", "A2")}
    opened = [s.opened(*(30 * n for n in range(1, 13)), amount=30_000, interest=300) for s in stories.values()]
    said: list[ev.Event] = []
    with LocalRuntime.open(None, default_book()) as runtime:

        def day(on: int, *events: ev.Event) -> list[ev.Event]:
            found = runtime.feed([*events, *stories["A1"].closes(on, on)])
            said.extend(found)
            return found

        day(0, *opened, teller.granted(0), teller.report(0, income=1_200_000))
        for on in range(1, 75):
            day(on)
        offer = only(said, ev.OfferPublished)[-1]
        assert set(offer.account_ids) == {"A1", "A2"}
        quickest = max(offer.options, key=lambda o: o.instalment_amount)
        day(75, teller.answer(75, offer.offer_id, "accepted", option_id=quickest.option_id))
        first = {p.account_id: p for p in only(said, ev.PlanActivated)}
        assert set(first) == {"A1", "A2"}
        day(76, teller.report(76, income=620_000))
        day(77)
        lower = only(said, ev.OfferPublished)[-1]
        assert lower.offer_id != offer.offer_id
        limit = (620_000 - 420_000) * 4_000 // 10_000
        by_month: dict[tuple[int, int], int] = {}
        for i in next(o for o in lower.options if o.option_id == lower.recommended_option_id).instalments:
            by_month[(i.due_on.year, i.due_on.month)] = by_month.get((i.due_on.year, i.due_on.month), 0) + i.amount
        assert max(by_month.values()) <= limit < quickest.instalment_amount
        found = day(78, teller.answer(78, lower.offer_id, "accepted", option_id=lower.recommended_option_id))
        assert sorted(names(found)).count("PlanReplaced") == 2
        assert only(said, ev.PlanBroken) == []
        second = {p.account_id: p for p in only(found, ev.PlanActivated)}
        for account, plan in second.items():
            state = runtime.state("account", account)
            assert state is not None
            assert state.plan.plan_id == plan.plan_id  # type: ignore[attr-defined]
            assert state.plans_broken == 0  # type: ignore[attr-defined]
            assert [r.amount_due for r in state.receivables] == [i.amount for i in plan.instalments]  # type: ignore[attr-defined]
        # A1 pays his two first instalments and then no more; all of the contract is owed again, less what he paid.
        due = {i.due_on: i.amount for i in second["A1"].instalments[:2]}
        for on in range(79, 260):
            today = START + timedelta(days=on)
            day(on, *([stories["A1"].paid(on, due[today])] if today in due else []))
        (broken,) = [e for e in only(said, ev.PlanBroken) if e.account_id == "A1"]
        assert broken.kept == 2
        state = runtime.state("account", "A1")
        assert state is not None
        assert state.plan is None  # type: ignore[attr-defined]
        owed = state.owed().total() + state.paid.total() + state.waived.total()  # type: ignore[attr-defined]
        assert owed == 12 * 30_300 + state.charged  # type: ignore[attr-defined]
        assert state.paid.total() + state.credit == sum(due.values())  # type: ignore[attr-defined]
    assert len({to_line(e) for e in said}) == len(said)
