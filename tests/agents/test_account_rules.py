"""What the account agent says, rule by rule."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from msgspec.structs import replace

from agents.account.agent import AccountAgent
from agents.base import DecisionContext
from schemas import events as ev
from schemas.errors import InvalidEventError, UnknownAccountError
from state.policy import BadDebt, Charges, Classification, ClassThreshold, Delinquency, Impairment, Plans
from state.policy_packs.loader import default_book
from tests.support.account_events import AccountEvents, at
from tests.support.agent_driver import AccountDriver
from tests.support.policies import policy


def run(*events: ev.Event, through: int, p=None) -> AccountDriver:  # type: ignore[no-untyped-def]
    """Feed events in the order in which they occurred, each day closed."""
    driver = AccountDriver(p)
    driver.feed(*sorted([*events, *AccountEvents().closes(0, through)], key=lambda e: e.occurred_at))
    return driver


def transitions(driver: AccountDriver, kind: type[ev.Event]) -> list[tuple[int, str, str]]:
    return [((e.business_date - AccountEvents().start).days, e.from_, e.to) for e in driver.standing_of(kind)]  # type: ignore[attr-defined]


class TestDelinquency:
    def test_a_payment_on_the_due_day_is_not_late(self) -> None:
        s = AccountEvents()
        driver = run(s.opened(30), s.paid(30, 10_000), through=60)
        assert driver.standing() == []
        assert driver.states["A1"].receivables == ()

    def test_days_past_due_run_from_the_oldest_unpaid_instalment(self) -> None:
        s = AccountEvents()
        driver = run(s.opened(30, 60, 90), s.paid(65, 10_000), through=70)
        account = driver.states["A1"]
        assert (account.days_past_due, account.missed) == (5, 1)
        assert transitions(driver, ev.DelinquencyChanged) == [
            (31, "current", "dpd_1_30"),
            (61, "dpd_1_30", "dpd_31_60"),
            (65, "dpd_31_60", "dpd_1_30"),
        ]

    def test_what_is_within_tolerance_is_paid(self) -> None:
        s = AccountEvents()
        p = policy(delinquency=Delinquency(tolerance_absolute=50))
        assert run(s.opened(30), s.paid(30, 9_950), through=60, p=p).standing_of(ev.InstalmentMissed) == []
        assert len(run(s.opened(30), s.paid(30, 9_949), through=60, p=p).standing_of(ev.InstalmentMissed)) == 1

    def test_grace_moves_what_is_reported_and_not_the_legal_date(self) -> None:
        s = AccountEvents()
        driver = run(s.opened(30), through=40, p=policy(delinquency=Delinquency(grace_days=5)))
        assert transitions(driver, ev.DelinquencyChanged) == [(31, "current", "grace"), (36, "grace", "dpd_1_30")]
        (missed,) = driver.standing_of(ev.InstalmentMissed)
        assert missed.business_date == s.day(36)  # type: ignore[attr-defined]
        assert missed.due_on == s.day(30)  # type: ignore[attr-defined]
        assert driver.states["A1"].days_past_due == 6

    def test_a_hold_that_ended_before_the_due_date_changes_nothing(self) -> None:
        s = AccountEvents()
        with_hold = run(s.opened(30), s.hold(5, 25), through=60)
        without = run(AccountEvents().opened(30), through=60)
        for kind in (ev.DelinquencyChanged, ev.InstalmentMissed):
            assert transitions_or_days(with_hold, kind) == transitions_or_days(without, kind)

    def test_overlapping_holds_count_once(self) -> None:
        s = AccountEvents()
        driver = run(
            s.opened(30),
            s.hold(35, 44, hold_id="h1"),
            s.hold(40, 49, "breathing_space", hold_id="h2"),
            through=60,
        )
        # 30 days have passed since the due date, 15 of them (35..49) under a hold.
        driver.feed(s.contact(60), *s.closes(61, 61))
        assert driver.states["A1"].days_past_due in (15, 16)
        assert transitions(driver, ev.DelinquencyChanged) == [(31, "current", "dpd_1_30")]

    def test_a_fraud_hold_that_does_not_pause_lets_days_run(self) -> None:
        s = AccountEvents()
        driver = run(s.opened(30), s.hold(31, None, "fraud"), through=61)
        assert transitions(driver, ev.DelinquencyChanged)[-1] == (61, "dpd_1_30", "dpd_31_60")

    def test_the_material_counter_needs_both_thresholds(self) -> None:
        rules = Delinquency(material_absolute=10_000, material_relative_bps=100)
        eu = Classification(
            "eu_dod", (ClassThreshold("performing", 0), ClassThreshold("default", 91)), material_counter=True
        )
        p = policy(delinquency=rules, classifications=(eu,))
        s = AccountEvents()
        # One instalment of 100.00 is not above EUR 100; the second one makes it so on day 61.
        driver = run(s.opened(*range(30, 400, 30)), through=170, p=p)
        assert transitions(driver, ev.ClassificationChanged) == [(61 + 90, "performing", "default")]

    def test_relative_materiality_ignores_small_shares(self) -> None:
        rules = Delinquency(material_absolute=100, material_relative_bps=100)
        s = AccountEvents()
        schedule = s.opened(30, 60, amount=1_000)
        large = replace(
            schedule,
            principal=501_000,
            instalments=(
                schedule.instalments[0],
                replace(schedule.instalments[1], due_on=s.day(900), principal=500_000),
            ),
        )
        assert run(large, through=200, p=policy(delinquency=rules)).states["A1"].days_past_due_material == 0
        assert (
            run(s.opened(30, amount=1_000), through=200, p=policy(delinquency=rules))
            .states["A1"]
            .days_past_due_material
            > 0
        )


def transitions_or_days(driver: AccountDriver, kind: type[ev.Event]) -> list[date]:
    return [e.business_date for e in driver.standing_of(kind)]  # type: ignore[attr-defined]


class TestCharges:
    def test_penalty_interest_is_simple_actual_365(self) -> None:
        s = AccountEvents()
        p = policy(charges=Charges(penalty_rate_bps=3_650, cap_bps=10_000))
        # 0.1 % a day of 100.00, overdue on days 31 to 40.
        driver = run(s.opened(30), s.paid(40, 10_000), through=41, p=p)
        total = sum(e.amount for e in driver.standing_of(ev.ChargeAccrued))  # type: ignore[attr-defined]
        assert total == 100

    def test_charges_stop_at_the_cap(self) -> None:
        s = AccountEvents()
        p = policy(charges=Charges(penalty_rate_bps=36_500, late_fee_flat=300, cap_bps=500))
        driver = run(s.opened(30), through=400, p=p)
        assert driver.states["A1"].charged == 500
        assert sum(e.amount for e in driver.standing_of(ev.ChargeAccrued)) == 500  # type: ignore[attr-defined]

    def test_a_late_fee_names_its_instalment_and_is_charged_once(self) -> None:
        s = AccountEvents()
        p = policy(charges=Charges(late_fee_flat=300, late_fee_bps=100, late_fee_cap=350, cap_bps=10_000))
        driver = run(s.opened(30, 60), s.paid(60, 10_000), through=100, p=p)
        fees = [(e.number, e.amount) for e in driver.standing_of(ev.ChargeAccrued)]  # type: ignore[attr-defined]
        assert fees[0] == (1, 350)
        assert len(fees) == 2

    def test_a_card_without_a_principal_is_capped_by_its_bills(self) -> None:
        s = AccountEvents()
        p = policy(charges=Charges(late_fee_flat=900, cap_bps=500))
        card = replace(s.opened(), principal=0)
        assert run(card, s.billed(1, 5, 25, 10_000), through=60, p=p).states["A1"].charged == 500

    def test_days_under_a_pausing_hold_earn_no_penalty_interest(self) -> None:
        p = policy(
            charges=Charges(penalty_rate_bps=3_650, cap_bps=10_000), delinquency=Delinquency(pausing_holds=("dispute",))
        )
        s = AccountEvents()
        driver = run(s.opened(30), s.hold(36, 40), s.paid(45, 10_000), through=46, p=p)
        assert sum(e.amount for e in driver.standing_of(ev.ChargeAccrued)) == 100  # type: ignore[attr-defined]


def defaulting(*more: ev.Event, story: AccountEvents) -> list[ev.Event]:
    """Return an account that misses all and is called three times in vain."""
    calls = [story.contact(day) for day in (40, 70, 95)]
    return [story.opened(30, 60, 90, 120), *calls, *more]


class TestBadDebt:
    def test_a_candidate_needs_misses_material_arrears_and_attempts(self) -> None:
        s = AccountEvents()
        driver = run(*defaulting(story=s), through=100, p=policy(bad_debt=BadDebt("t", recognition="review")))
        assert transitions(driver, ev.BadDebtChanged) == [(95, "none", "candidate")]
        (change,) = driver.standing_of(ev.BadDebtChanged)
        assert change.attempts == 3  # type: ignore[attr-defined]
        assert len(change.evidence) == 3  # type: ignore[attr-defined]
        assert change.reasons == ("missed instalments 3 >= 3", "failed contact attempts 3 >= 3")  # type: ignore[attr-defined]

    def test_without_enough_attempts_nothing_becomes_bad_debt(self) -> None:
        s = AccountEvents()
        driver = run(s.opened(30, 60, 90), s.contact(40), s.contact(50), through=300)
        assert driver.standing_of(ev.BadDebtChanged) == []

    def test_a_blocking_hold_keeps_an_account_from_candidacy(self) -> None:
        s = AccountEvents()
        p = policy(bad_debt=BadDebt("t", blocking_holds=("fraud",)))
        held = run(*defaulting(s.hold(50, None, "fraud"), story=s), through=200, p=p)
        assert held.standing_of(ev.BadDebtChanged) == []

    def test_recognition_is_automatic_once_impaired(self) -> None:
        s = AccountEvents()
        driver = run(*defaulting(story=s), through=130)
        assert transitions(driver, ev.BadDebtChanged) == [(95, "none", "candidate"), (120, "candidate", "recognised")]

    def test_reviews_recognise_charge_off_terminate_and_recover(self) -> None:
        s = AccountEvents()
        p = policy(bad_debt=BadDebt("t", recognition="review", recovery_lapse_days=20))
        driver = run(
            *defaulting(
                s.reviewed(100, "recognise"),
                s.reviewed(130, "charge_off"),
                s.paid(140, 500),
                s.paid(170, 500),
                s.reviewed(200, "terminate"),
                story=s,
            ),
            through=210,
            p=p,
        )
        assert transitions(driver, ev.BadDebtChanged) == [
            (95, "none", "candidate"),
            (100, "candidate", "recognised"),
            (130, "recognised", "charged_off"),
            (140, "charged_off", "recovering"),
            (161, "recovering", "charged_off"),
            (170, "charged_off", "recovering"),
            (191, "recovering", "charged_off"),
            (200, "charged_off", "terminated"),
        ]

    def test_a_rejected_candidate_returns_only_in_new_arrears(self) -> None:
        s = AccountEvents()
        p = policy(bad_debt=BadDebt("t", recognition="review"))
        driver = run(*defaulting(s.reviewed(100, "reject"), s.contact(110), story=s), through=300, p=p)
        assert transitions(driver, ev.BadDebtChanged) == [(95, "none", "candidate"), (100, "candidate", "none")]

    def test_charge_off_comes_at_the_days_past_due_of_the_policy(self) -> None:
        s = AccountEvents()
        driver = run(*defaulting(story=s), through=200, p=policy(bad_debt=BadDebt("t", charge_off_after=150)))
        assert transitions(driver, ev.BadDebtChanged)[-1] == (180, "recognised", "charged_off")

    def test_charge_off_by_days_past_due_reports_every_step(self) -> None:
        s = AccountEvents()
        p = policy(bad_debt=BadDebt("t", charge_off_after=120))
        driver = run(s.opened(*range(30, 400, 30)), s.contact(60), through=200, p=p)
        assert {d for d, _, _ in transitions(driver, ev.BadDebtChanged)} == {150}
        assert {(e.from_, e.to) for e in driver.standing_of(ev.BadDebtChanged)} == {  # type: ignore[attr-defined]
            ("none", "candidate"),
            ("candidate", "recognised"),
            ("recognised", "charged_off"),
        }
        first = next(e for e in driver.standing_of(ev.BadDebtChanged) if e.from_ == "none")  # type: ignore[attr-defined]
        assert "days past due 120 >= 120" in first.reasons  # type: ignore[attr-defined]
        assert not any("attempts" in reason for reason in first.reasons)  # type: ignore[attr-defined]

    @pytest.mark.parametrize(("product", "after"), [("personal_loan", 120), ("credit_card", 180)])
    def test_in_the_us_open_end_credit_is_charged_off_later(self, product: str, after: int) -> None:
        s = AccountEvents()
        opened_ = s.opened(*range(30, 400, 30), product=product, jurisdiction="US", currency="USD")
        driver = AccountDriver(default_book())
        driver.feed(opened_, *s.closes(1, 300))
        assert transitions(driver, ev.BadDebtChanged)[-1][0] == 30 + after
        assert driver.states["A1"].bad_debt == "charged_off"

    def test_a_blocking_hold_delays_charge_off_until_it_ends(self) -> None:
        s = AccountEvents()
        p = policy(bad_debt=BadDebt("t", charge_off_after=120, blocking_holds=("fraud",)))
        driver = run(s.opened(*range(30, 400, 30)), s.hold(140, 169, "fraud"), through=200, p=p)
        assert {d for d, _, _ in transitions(driver, ev.BadDebtChanged)} == {170}

    def test_a_payment_on_the_day_that_charges_off_is_no_recovery(self) -> None:
        s = AccountEvents()
        p = policy(bad_debt=BadDebt("t", charge_off_after=120))
        driver = run(s.opened(*range(30, 400, 30)), s.paid(150, 100), s.paid(160, 100), through=200, p=p)
        assert (driver.states["A1"].bad_debt, driver.states["A1"].bad_debt_on) == ("recovering", s.day(160).toordinal())
        before = AccountEvents()
        only_one = run(before.opened(*range(30, 400, 30)), before.paid(150, 100), through=200, p=p)
        assert only_one.states["A1"].bad_debt == "charged_off"

    def test_recognised_debt_is_cured_only_after_a_clean_probation(self) -> None:
        s = AccountEvents()
        driver = run(
            *defaulting(s.paid(125, 40_000), story=s),
            through=300,
            p=policy(bad_debt=BadDebt("t", cure_probation_days=60)),
        )
        assert transitions(driver, ev.BadDebtChanged)[-1] == (185, "recognised", "cured")

    def kept_plan(self, after: int, bad_debt: BadDebt, through: int) -> AccountDriver:
        """Run a plan of ten instalments that is kept, made on day 130 of arrears that began on day 30."""
        s = AccountEvents()
        dues = [150 + 30 * n for n in range(10)]
        return run(
            s.opened(30, 60, 90, 120),
            s.contact(100),
            s.plan(130, *((due, 4_000) for due in dues)),
            *(s.paid(due, 4_000) for due in dues),
            through=through,
            p=policy(
                bad_debt=bad_debt,
                classifications=(Classification("c", (ClassThreshold("pass", 0),), after_plan_days=after),),
            ),
        )

    @pytest.mark.parametrize(("after", "cured"), [(0, 420), (200, 420), (365, 495)])
    def test_recognised_debt_is_cured_after_plan_and_probation(self, after: int, cured: int) -> None:
        rules = BadDebt("t", attempts_at_least=1, cure_probation_days=90)
        running = self.kept_plan(after, rules, through=419)
        assert running.states["A1"].plan is not None
        assert running.states["A1"].bad_debt == "recognised"
        ended = self.kept_plan(after, rules, through=600)
        assert transitions(ended, ev.BadDebtChanged)[-1] == (cured, "recognised", "cured")

    def test_a_candidate_who_keeps_his_plan_is_not_recognised(self) -> None:
        rules = BadDebt("t", attempts_at_least=1, recognise_after_days=30)
        driver = self.kept_plan(0, rules, through=600)
        assert transitions(driver, ev.BadDebtChanged) == [(100, "none", "candidate"), (420, "candidate", "cured")]

    def test_a_candidate_whose_plan_breaks_is_recognised_then(self) -> None:
        s = AccountEvents()
        driver = run(
            s.opened(30, 60, 90, 120),
            s.contact(100),
            s.plan(130, (150, 20_000), (180, 20_000)),
            through=200,
            p=policy(bad_debt=BadDebt("t", attempts_at_least=1, recognise_after_days=30)),
        )
        broken = (driver.standing_of(ev.PlanBroken)[0].business_date - s.start).days  # type: ignore[attr-defined]
        assert transitions(driver, ev.BadDebtChanged)[-1] == (broken, "candidate", "recognised")

    def test_a_broken_promise_counts_as_a_failed_attempt(self) -> None:
        s = AccountEvents()
        driver = run(s.opened(30, 60, 90), s.contact(40), s.contact(50), s.promised(60, 70, 5_000), through=92)
        assert transitions(driver, ev.BadDebtChanged) == [(91, "none", "candidate")]
        kept = AccountEvents()
        driver = run(
            kept.opened(30, 60, 90),
            kept.contact(40),
            kept.contact(50),
            kept.promised(60, 70, 100),
            kept.paid(65, 100),
            through=92,
        )
        assert driver.standing_of(ev.BadDebtChanged) == []

    @pytest.mark.parametrize(("due", "paid", "attempts"), [(100, 5_000, 0), (100, 4_999, 1), (105, 5_000, 0)])
    def test_a_promise_is_kept_by_a_payment_of_the_same_day(self, due: int, paid: int, attempts: int) -> None:
        s = AccountEvents()
        driver = run(s.opened(30, 60, 90, 120), s.promised(100, due, 5_000), s.paid(100, paid), through=110)
        assert driver.states["A1"].failed_contact_attempts == attempts

    def test_a_ground_that_is_not_the_policys_is_refused(self) -> None:
        s = AccountEvents()
        driver = AccountDriver(policy(bad_debt=BadDebt("t", charge_off_grounds=("bankruptcy",))))
        driver.feed(s.opened(30), s.reviewed(40, "charge_off", "because"))
        assert [type(e).__name__ for e in driver.rejected_events] == ["BadDebtReviewed"]


class TestImpairmentAndStanding:
    def test_stages_and_allowance_follow_days_past_due(self) -> None:
        s = AccountEvents()
        p = policy(impairment=Impairment(coverage_bps=(100, 1_000, 5_000)))
        driver = run(s.opened(30, 60), through=121, p=p)
        changes = [
            ((e.business_date - s.start).days, e.from_stage, e.stage, e.allowance)  # type: ignore[attr-defined]
            for e in driver.standing_of(ev.ImpairmentChanged)
        ]
        assert changes == [(61, 1, 2, 2_000), (120, 2, 3, 10_000)]

    def test_credit_standing_is_repaired_through_probation(self) -> None:
        s = AccountEvents()
        p = policy(plans=Plans(probation_days=100))
        driver = run(s.opened(30), s.paid(50, 10_000), through=200, p=p)
        assert transitions(driver, ev.CreditStandingChanged) == [
            (31, "good", "arrears"),
            (50, "arrears", "repairing"),
            (150, "repairing", "good"),
        ]
        assert driver.states["A1"].next_fold_on == 0

    def test_a_class_falls_at_once_and_rises_after_probation(self) -> None:
        s = AccountEvents()
        driver = run(s.opened(30), s.paid(130, 10_000), through=250)
        assert transitions(driver, ev.ClassificationChanged) == [
            (31, "pass", "special_mention"),
            (121, "special_mention", "substandard"),
            (190, "substandard", "pass"),
        ]


class TestWishForAPlan:
    @pytest.mark.parametrize(
        ("amount", "broken", "reason"), [(20_000, 0, "cured"), (10_000, 0, "less_behind"), (0, 1, "plans_used_up")]
    )
    def test_it_ends_for_what_became_true(self, amount: int, broken: int, reason: str) -> None:
        s = AccountEvents()
        driver = AccountDriver(policy(plans=Plans(request_over_days=30, request_missed=9, max_broken=0)))
        driver.feed(s.opened(30, 60, 90), *s.closes(1, 64))
        assert driver.outputs[-1].trigger == "fell_behind"  # type: ignore[attr-defined]
        driver.states["A1"].plans_broken = broken
        said = driver.feed(*([s.paid(65, amount)] if amount else [s.promised(65, 70, 1)]), *s.closes(65, 66))
        assert [e.reason for e in said if isinstance(e, ev.WorkoutEnded)] == [reason]

    def test_the_planner_hears_only_what_changes_an_offer(self) -> None:
        s = AccountEvents()
        driver = AccountDriver(policy(plans=Plans(request_over_days=30, request_missed=9)))
        driver.feed(s.opened(30, 60, 90), *s.closes(1, 64))
        said = driver.feed(
            *s.closes(65, 69),
            s.billed(4, 70, 92, 5_000, interest=700),
            *s.closes(70, 74),
            s.paid(75, 2_500),
            *s.closes(75, 79),
        )
        told = [e for e in said if isinstance(e, ev.WorkoutRequested)]
        # What a statement charges is owed from its day on, though it is due later.
        assert [(e.business_date, e.debt.outstanding.principal, e.debt.outstanding.interest) for e in told] == [
            (s.day(70), 35_000, 700),
            (s.day(75), 32_500, 700),
        ]
        assert {e.trigger for e in told} == {"changed"}

    def test_billed_interest_is_part_of_a_plan_made_before_its_due(self) -> None:
        s = AccountEvents()
        driver = AccountDriver(policy(plans=Plans(request_over_days=30, request_missed=9)))
        driver.feed(s.opened(30, 60, 90, interest=40), *s.closes(1, 69), s.billed(4, 70, 92, 5_000, interest=700))
        # Of the schedule only the interest of the two instalments that are due is owed.
        financed = 35_000 + 2 * 40 + 700
        said = driver.feed(*s.closes(70, 74), s.plan(75, (110, financed // 2), (140, financed // 2)), *s.closes(75, 75))
        assert [e for e in said if isinstance(e, ev.PlanScheduleAdjusted)] == []
        assert driver.states["A1"].owed().total() == financed


class TestPlan:
    SCHEDULE = ((110, 20_000), (140, 20_000))

    def test_collection_stops_at_once_when_a_plan_is_activated(self) -> None:
        s = AccountEvents()
        driver = AccountDriver()
        driver.feed(s.opened(30, 60, 90, 120), *s.closes(1, 94))
        said = driver.feed(s.plan(95, *self.SCHEDULE))
        assert [e.reason for e in said if isinstance(e, ev.CollectionStopped)] == ["plan"]
        assert [type(e).__name__ for e in driver.feed(*s.closes(95, 95))] == [
            "CreditStandingChanged",
            "WorkoutEnded",
        ]

    def test_a_plan_that_is_kept_completes_and_the_account_heals(self) -> None:
        s = AccountEvents()
        driver = run(
            s.opened(30, 60, 90, 120),
            s.plan(95, *self.SCHEDULE),
            s.paid(110, 20_000),
            s.paid(143, 20_000),
            through=400,
            p=policy(plans=Plans(kept_within_days=5, probation_days=100)),
        )
        assert [e.number for e in driver.standing_of(ev.PlanInstalmentKept)] == [1, 2]  # type: ignore[attr-defined]
        assert len(driver.standing_of(ev.PlanCompleted)) == 1
        assert driver.states["A1"].receivables == ()
        assert transitions(driver, ev.CreditStandingChanged)[-1][2] == "good"

    def test_a_broken_plan_restores_what_it_replaced(self) -> None:
        s = AccountEvents()
        driver = run(
            s.opened(30, 60, 90, 120),
            s.plan(95, (110, 15_000), (140, 12_500), (170, 12_500)),
            s.paid(110, 15_000),
            through=200,
        )
        (broken,) = driver.standing_of(ev.PlanBroken)
        assert (broken.kept, broken.missed) == (1, 2)  # type: ignore[attr-defined]
        account = driver.states["A1"]
        assert account.owed().total() == 25_000
        # The oldest instalment is paid, the second half: days past due run from day 60 again.
        assert account.receivables[0].due == s.day(60).toordinal()
        resumed = driver.standing_of(ev.CollectionResumed)
        assert [e.reason for e in resumed] == ["plan_broken"]  # type: ignore[attr-defined]

    @pytest.mark.parametrize(("returns", "owed"), [(True, 40_000), (False, 38_000)])
    def test_a_waiver_returns_with_a_broken_plan_by_policy(self, returns: bool, owed: int) -> None:
        s = AccountEvents()
        plan = s.plan(95, (110, 19_000), (140, 19_000), waived=ev.Amounts(principal=2_000))
        p = policy(plans=Plans(waiver_returns=returns))
        account = run(s.opened(30, 60, 90, 120), plan, through=200, p=p).states["A1"]
        assert account.plans_broken == 1
        assert account.owed().total() == owed

    def test_only_real_waivers_count_when_a_replacing_plan_breaks(self) -> None:
        s = AccountEvents()
        again = s.plan(116, (130, 20_000), (160, 20_000), plan_id="plan2", waived=ev.Amounts(interest=300))
        account = run(
            s.opened(30, 60, 90, 120),
            s.plan(95, *self.SCHEDULE, interest=300),
            s.plan_review(115),
            again,
            through=250,
            p=policy(plans=Plans(waiver_returns=False)),
        ).states["A1"]
        assert (account.plan, account.plans_broken) == (None, 1)
        # The interest was of the first plan, which is owed no more.
        assert (account.waived.total(), account.owed().total()) == (0, 40_000)

    def test_what_a_plan_left_out_follows_in_no_larger_instalments(self) -> None:
        s = AccountEvents()
        driver = run(s.opened(30, 60, 90, 120), s.plan(95, (110, 15_000), (140, 10_000)), through=100)
        asked = [r.amount_due for r in driver.states["A1"].receivables]
        assert asked == [15_000, 10_000, 15_000]

    def test_payment_before_acceptance_shortens_the_plan(self) -> None:
        s = AccountEvents()
        driver = run(s.opened(30, 60, 90, 120), s.paid(94, 25_000), s.plan(95, *self.SCHEDULE), through=100)
        assert [r.owed() for r in driver.states["A1"].receivables] == [15_000]

    def test_a_candidate_under_a_plan_is_not_cured_by_the_plan(self) -> None:
        s = AccountEvents()
        p = policy(bad_debt=BadDebt("t", recognition="review"))
        driver = run(*defaulting(s.plan(100, (130, 40_000)), s.paid(130, 40_000), story=s), through=140, p=p)
        assert transitions(driver, ev.BadDebtChanged) == [(95, "none", "candidate"), (130, "candidate", "cured")]


class TestLateAndEarly:
    def test_a_payment_that_clears_all_arrears_is_reported_once(self) -> None:
        s = AccountEvents()
        driver = AccountDriver()
        driver.feed(s.opened(30, 60), *s.closes(1, 39))
        said = driver.feed(s.paid(40, 10_000))
        assert [type(e).__name__ for e in said] == ["InstalmentCaughtUp", "DelinquencyChanged"]
        later = driver.feed(*s.closes(40, 41))
        assert not any(isinstance(e, ev.InstalmentCaughtUp | ev.DelinquencyChanged | ev.EventSuperseded) for e in later)

    def test_good_news_that_a_reversal_undoes_is_corrected_at_close(self) -> None:
        s = AccountEvents()
        driver = AccountDriver()
        driver.feed(s.opened(30, 60), *s.closes(1, 39))
        early = driver.feed(s.paid(40, 10_000, "p-1"))
        said = driver.feed(s.reversed(40, "p-1"), *s.closes(40, 40))
        corrected = {e.supersedes for e in said if isinstance(e, ev.EventSuperseded)}
        assert corrected == {e.event_id for e in early}

    def test_a_back_dated_payment_supersedes_what_was_said_wrongly(self) -> None:
        s = AccountEvents()
        driver = AccountDriver()
        driver.feed(s.opened(30, 90), *s.closes(1, 50))
        assert len(driver.standing_of(ev.InstalmentMissed)) == 1
        driver.feed(s.paid(29, 10_000))
        assert driver.standing_of(ev.InstalmentMissed) == []
        assert driver.standing() == []

    def test_a_reversal_counts_as_if_the_payment_never_came(self) -> None:
        s = AccountEvents()
        driver = run(s.opened(30), s.paid(29, 10_000, "p-1"), s.reversed(50, "p-1"), through=60)
        never = run(AccountEvents().opened(30), through=60)
        assert driver.standing() == never.standing()
        assert driver.states["A1"].days_past_due == never.states["A1"].days_past_due

    def test_a_day_visits_only_accounts_for_which_it_matters(self) -> None:
        driver = AccountDriver()
        for number in range(50):
            s = AccountEvents(f"A{number:02d}")
            driver.feed(s.opened(30 + number % 5 * 30, 200))
        driver.feed(*AccountEvents().closes(0, 29))
        assert driver.visits == 50
        driver.feed(*AccountEvents().closes(30, 31))
        assert driver.visits == 50 + 10


class TestBadInput:
    def test_a_fact_for_an_account_that_nobody_opened_is_unknown(self) -> None:
        with pytest.raises(UnknownAccountError, match="A1"):
            AccountAgent().handle(None, AccountEvents().paid(1, 5), DecisionContext(AccountDriver().book))

    def test_a_payment_in_another_currency_is_refused(self) -> None:
        s = AccountEvents()
        driver = AccountDriver()
        driver.feed(s.opened(30))
        state = driver.states["A1"]
        with pytest.raises(InvalidEventError, match="kept in CNY") as caught:
            driver.agent.handle(state, s.paid(10, 100, currency="USD"), DecisionContext(driver.book))
        assert (caught.value.code, caught.value.field) == ("wrong_currency", "currency")

    def test_a_hold_that_ends_before_it_starts_is_refused(self) -> None:
        s = AccountEvents()
        driver = AccountDriver()
        driver.feed(s.opened(30), s.hold(20, 10))
        assert len(driver.rejected_events) == 1

    @pytest.mark.parametrize("reverse", [False, True])
    def test_of_two_statements_with_one_id_the_earlier_stands(self, reverse: bool) -> None:
        s = AccountEvents()
        first, second = s.paid(20, 10_000, "p-1"), s.paid(20, 9_000, "p-1")
        second = replace(second, occurred_at=at(s.day(20)) + timedelta(hours=3))
        driver = AccountDriver()
        pair = [second, first] if reverse else [first, second]
        driver.feed(s.opened(30), *pair, *s.closes(1, 40))
        assert driver.states["A1"].received == 10_000
        assert driver.rejected_events == [second]

    def test_the_same_payment_under_a_new_event_id_has_no_effect(self) -> None:
        s = AccountEvents()
        payment = s.paid(20, 4_000, "p-1")
        driver = AccountDriver()
        driver.feed(s.opened(30), payment, replace(payment, event_id="again"), *s.closes(1, 40))
        assert driver.states["A1"].received == 4_000
        assert driver.rejected_events == []
