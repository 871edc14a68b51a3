"""Histories on which a release was wrong, each with its right answer; every one stands for a kind of fault."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from functools import cache
from pathlib import Path

import msgspec
import pytest

from agents.account.rules import Rules
from agents.account.view import as_of
from schemas import events as ev
from state.account import AccountState
from state.policy import PolicyBook
from state.policy_packs.book import book_of
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime

HERE = Path(__file__).parent
CASES = sorted(path.stem for path in HERE.glob("*.jsonl"))


class Reported(msgspec.Struct):
    """What a history led to: its outputs, the last closed day and the accounts."""

    outputs: list[ev.Event]
    closed: date
    accounts: dict[str, AccountState]

    def standing(self, account: str, *kinds: type[ev.Event]) -> list[ev.Event]:
        """Return the standing reports of an account, in the order of their business dates."""
        gone = {e.supersedes for e in self.outputs if isinstance(e, ev.EventSuperseded)}
        mine = [e for e in self.outputs if e.event_id not in gone and getattr(e, "account_id", "") == account]
        return sorted((e for e in mine if isinstance(e, kinds)), key=lambda e: e.business_date)  # type: ignore[attr-defined]

    def lines(self, account: str, *kinds: type[ev.Event]) -> list[tuple[object, ...]]:
        """Return the standing reports as (day, fields that say what)."""
        return [(str(e.business_date), *FIELDS[type(e)](e)) for e in self.standing(account, *kinds)]  # type: ignore[attr-defined]

    def offers(self) -> list[ev.OfferPublished]:
        return [e for e in self.outputs if isinstance(e, ev.OfferPublished)]

    def letters(self) -> list[str]:
        return [e.code for e in self.outputs if isinstance(e, ev.DeadLetter)]


FIELDS = {
    ev.InstalmentMissed: lambda e: ("missed", e.number, e.overdue_amount),
    ev.InstalmentCaughtUp: lambda e: ("caught up", e.number),
    ev.DelinquencyChanged: lambda e: (e.to, e.days_past_due, e.counter_days, e.missed, e.overdue_amount),
    ev.ClassificationChanged: lambda e: (e.policy, e.to, e.days_past_due),
    ev.ImpairmentChanged: lambda e: (e.stage, e.allowance, e.exposure),
    ev.ChargeAccrued: lambda e: (e.kind, e.amount),
    ev.BadDebtChanged: lambda e: (e.to,),
    ev.PlanInstalmentKept: lambda e: ("kept", e.number),
    ev.PlanInstalmentMissed: lambda e: ("missed", e.number),
    ev.PlanBroken: lambda e: ("broken",),
    ev.InputNotApplied: lambda e: (e.code, e.fact_id),
    ev.AccountEnded: lambda e: (e.reason, e.outstanding),
    ev.CollectionResumed: lambda e: ("resumed",),
}
PLAN = (ev.PlanInstalmentKept, ev.PlanInstalmentMissed, ev.PlanBroken)


def events_of(name: str) -> list[ev.Event]:
    decode = msgspec.json.Decoder(ev.AnyEvent).decode
    return [decode(line) for line in (HERE / f"{name}.jsonl").read_text("utf-8").splitlines() if line.strip()]


@cache
def rules_of_then() -> PolicyBook:
    """Return the rules by which the answers were worked out: 5 % of penalty interest a year in China."""
    changed = next(e for e in events_of("a_change_to_the_same_rules_leaves_a_trace") if isinstance(e, ev.PolicyChanged))
    return book_of(changed.files)


def lived(events: Iterable[ev.Event], book: PolicyBook | None = None) -> Reported:
    with LocalRuntime.open(None, book or rules_of_then()) as runtime:
        outputs = runtime.feed(events)
        assert runtime.closed_through is not None
        states = {key: runtime.state("account", key) for key in runtime.keys("account")}
        return Reported(list(outputs), runtime.closed_through, states)  # type: ignore[arg-type]


@cache
def reported(name: str, *, shipped: bool = False) -> Reported:
    """Return what a case leads to by the rules of then, or by those that are shipped."""
    return lived(events_of(name), default_book() if shipped else None)


@pytest.mark.parametrize("name", CASES)
def test_a_case_is_processed_to_its_end_without_a_fault(name: str) -> None:
    last = max(e.business_date for e in events_of(name) if isinstance(e, ev.DayClosed))
    assert reported(name).closed == last
    assert reported(name, shipped=True).closed == last


# -- what was asked and what was paid


def test_a_late_fee_makes_no_later_statement_missed() -> None:
    case = reported("late_fee_pyramid")
    assert case.lines("A1", ev.InstalmentMissed, ev.InstalmentCaughtUp) == [
        ("2026-02-02", "missed", 1, 100_000),
        ("2026-02-05", "caught up", 1),
    ]
    assert case.lines("A1", ev.ChargeAccrued) == [("2026-02-02", "late_fee", 5_000)]


def test_a_plan_paid_within_grace_is_kept_without_charge() -> None:
    case = reported("plan_paid_within_grace_is_broken")
    assert case.lines("A1", *PLAN) == [("2026-03-13", "kept", 1), ("2026-04-13", "kept", 2)]
    assert [line for line in case.lines("A1", ev.ChargeAccrued) if str(line[0]) > "2026-02-13"] == []


def test_penalty_interest_breaks_no_plan() -> None:
    case = reported("plan_broken_by_penalty_interest")
    assert case.lines("A0000444-1", *PLAN) == [("2026-07-02", "missed", 1), ("2026-07-26", "kept", 2)]


# -- repetition


def test_a_payment_repeated_behind_a_repeated_close_is_one() -> None:
    case = reported("payment_repeated_behind_a_repeated_close")
    assert case.lines("A", ev.DelinquencyChanged)[-1] == ("2025-03-04", "dpd_31_60", 31, 31, 1, 7_000)
    assert case.lines("A", ev.ImpairmentChanged) == [("2025-03-04", 2, 700, 7_000)]


def test_an_opening_repeated_around_a_close_is_one() -> None:
    assert reported("crash_open_repeated_around_repeated_close").outputs == []


# -- ends


def test_a_plan_whose_last_instalment_is_unpaid_breaks() -> None:
    case = reported("plan_last_instalment_never_paid")
    assert case.lines("A1", *PLAN, ev.CollectionResumed) == [
        ("2026-03-10", "kept", 1),
        ("2026-04-10", "kept", 2),
        ("2026-05-16", "missed", 3),
        ("2026-06-16", "broken"),
        ("2026-06-16", "resumed"),
    ]


def test_a_loan_closed_as_repaid_reports_nothing_afterwards() -> None:
    case = reported("closed_repaid_then_defaulted")
    assert case.lines("A1", ev.AccountEnded) == [("2026-03-15", "repaid", ev.Amounts())]
    later = [e for e in case.outputs if getattr(e, "business_date", date.min) > date(2026, 3, 15)]
    assert later == []


def test_a_terminated_debt_reports_alike_whatever_is_visited() -> None:
    case = reported("terminated_account_is_aged_only_when_something_happens")
    kinds = (ev.InstalmentMissed, ev.DelinquencyChanged, ev.ImpairmentChanged, ev.BadDebtChanged)
    assert case.lines("A", *kinds) == case.lines("B", *kinds)
    assert case.lines("A", ev.BadDebtChanged)[-1][1:] == ("terminated",)


# -- days that are not visited


def test_penalty_interest_in_tolerance_posts_at_month_ends() -> None:
    case = reported("penalty_interest_within_tolerance_is_not_put_on_at_month_end")
    for account in "AB":
        assert case.lines(account, ev.ChargeAccrued) == [
            ("2025-03-31", "penalty_interest", 1),
            ("2025-05-31", "penalty_interest", 1),
            ("2025-06-30", "penalty_interest", 342),
        ]
        assert case.lines(account, ev.DelinquencyChanged) == [("2025-06-06", "dpd_1_30", 1, 1, 1, 100_102)]


def test_a_change_to_the_same_rules_leaves_no_trace() -> None:
    name = "a_change_to_the_same_rules_leaves_a_trace"
    changed, same = reported(name), lived(e for e in events_of(name) if not isinstance(e, ev.PolicyChanged))
    kinds = tuple(FIELDS)
    for account in changed.accounts:
        assert changed.lines(account, *kinds) == same.lines(account, *kinds)
    assert changed.lines("P", ev.ChargeAccrued) == [
        ("2025-03-31", "penalty_interest", 1),
        ("2025-05-31", "penalty_interest", 1),
    ]


def test_an_account_is_shown_as_of_the_last_closed_day() -> None:
    case = reported("account_shown_as_of_an_earlier_day")
    state = case.accounts["A1"]
    rules = Rules(default_book().policy_for(state.jurisdiction, state.product))
    day = case.closed.toordinal()
    shown = as_of(state, rules, day)
    assert (case.closed, shown.days_past_due) == (date(2026, 5, 25), 29)
    assert not any(hold.covers(day) for hold in shown.holds)


def test_an_allowance_is_reported_until_it_is_nothing() -> None:
    allowances = reported("allowance_of_stage_1_is_never_said_again").lines("I", ev.ImpairmentChanged)
    assert allowances[-1] == ("2026-01-31", 1, 0, 0)
    assert ("2025-06-08", 1, 7_000, 700_000) in allowances
    assert ("2025-07-31", 1, 6_000, 600_000) in allowances


# -- rules by day


def test_days_that_were_paused_stay_paused_under_other_rules() -> None:
    case = reported("a_change_of_pausing_holds_counts_days_that_were_paused")
    assert case.lines("A", ev.DelinquencyChanged) == [
        ("2025-02-02", "dpd_1_30", 1, 1, 1, 10_000),
        ("2025-03-22", "dpd_31_60", 31, 31, 1, 10_000),
    ]
    assert case.lines("A", ev.ImpairmentChanged) == [("2025-03-22", 2, 1_000, 10_000)]


def test_a_corrected_opening_is_folded_by_its_places_rules() -> None:
    case = reported("an_opening_that_is_corrected_is_folded_under_the_wrong_policy")
    assert [line[1:] for line in case.lines("A", ev.ChargeAccrued)] == [
        ("penalty_interest", amount) for amount in (33, 75, 110, 152)
    ]
    assert ("2025-02-02", "cn_2023", "special_mention", 1) in case.lines("A", ev.ClassificationChanged)
    assert case.lines("A", ev.DelinquencyChanged)[1:] == [
        ("2025-03-04", "dpd_31_60", 31, 31, 2, 20_033),
        ("2025-04-03", "dpd_61_90", 61, 61, 3, 30_108),
        ("2025-05-03", "dpd_over_90", 91, 91, 4, 40_218),
    ]
    assert case.lines("B", ev.ChargeAccrued) == []
    assert all(line[1] == "us_ffiec" for line in case.lines("B", ev.ClassificationChanged))
    assert ("2025-03-04", "dpd_31_60", 31, 31, 2, 20_000) in case.lines("B", ev.DelinquencyChanged)


# -- one meaning


def test_interest_to_come_is_in_no_exposure() -> None:
    case = reported("materiality_counts_interest_to_come")
    assert case.lines("A", ev.DelinquencyChanged) == [
        ("2025-02-02", "dpd_1_30", 1, 1, 1, 15_000),
        ("2025-03-04", "dpd_31_60", 31, 31, 2, 46_000),
        ("2025-04-03", "dpd_61_90", 61, 61, 3, 77_000),
        ("2025-05-03", "dpd_over_90", 91, 91, 4, 108_000),
    ]
    assert case.lines("A", ev.ClassificationChanged) == [("2025-05-03", "eu_dod", "default", 91)]


def test_a_mortgage_defaults_by_what_is_on_the_balance_sheet() -> None:
    case = reported("materiality_future_interest")
    assert ("2026-03-04", "dpd_31_60", 31, 3, 2, 143_286) in case.lines("A1", ev.DelinquencyChanged)
    assert case.lines("A1", ev.ClassificationChanged) == [("2026-05-31", "eu_dod", "default", 119)]


def test_a_saving_is_against_what_the_contract_asks_for() -> None:
    matured = reported("saves_on_matured_loan").offers()[-1]
    by_term = {o.term_months: o for o in matured.options}
    assert by_term[54].saves == -27_274
    assert not any("less than under your contract" in reason for o in matured.options for reason in o.reasons)
    card = reported("saves_card_before_due").offers()[-1]
    assert all(o.saves == 101_500 - o.total_cost for o in card.options)


def test_a_joint_option_says_no_less_than_is_charged() -> None:
    offer = reported("joint_option_says_rate_0").offers()[-1]
    rates = {o.term_months: o.annual_rate_bps for o in offer.options}
    assert (rates[54], rates[24]) == (1_200, 2_400)
    assert "12%" in offer.disclosures["fees_and_interest_going_on"]


# -- people's decisions and dates


def test_a_committee_charges_off_from_every_status() -> None:
    bankrupt = reported("review_of_bankrupt_ignored").lines("A1", ev.BadDebtChanged)
    assert bankrupt == [("2026-04-01", to) for to in ("candidate", "recognised", "charged_off")]
    taken_over = reported("charged_off_before_migration_is_ignored").lines("S1", ev.BadDebtChanged)
    assert [to for _, to in taken_over] == ["candidate", "recognised", "charged_off"]


def test_a_breathing_space_stops_recognition_and_answers() -> None:
    case = reported("recognised_in_a_breathing_space")
    assert case.lines("A", ev.BadDebtChanged) == [("2025-04-02", "candidate")]
    assert case.lines("A", ev.InputNotApplied) == [("2025-04-10", "blocked_by_hold", "V5")]


def test_an_answer_on_the_last_evening_in_new_york_is_in_time() -> None:
    case = reported("answer_on_last_day_in_new_york")
    assert [type(e) for e in case.outputs if isinstance(e, ev.PlanActivated | ev.OfferExpired)] == [ev.PlanActivated]
    (three,) = (o for o in case.offers()[0].options if o.term_months == 3)
    assert three.saves == 16_330


# -- what waits, what is taken over


@pytest.mark.parametrize("name", ["opening_heard_late_payment_waiting", "taking_over_a_good_payer"])
def test_an_account_heard_of_late_is_folded_with_all_facts(name: str) -> None:
    assert reported(name).outputs == []


# -- identity


def test_an_instalment_that_is_billed_again_is_owed_once() -> None:
    case = reported("schedule_billed_again_is_owed_twice")
    assert case.lines("A1", ev.InstalmentMissed, ev.DelinquencyChanged, ev.InputNotApplied) == []
    assert case.letters() == []


def test_the_remedy_for_a_wrong_statement_works() -> None:
    name = "statement_cannot_be_corrected"
    assert reported(name).letters() == ["conflicting_duplicate"]
    events = [e for e in events_of(name) if not (isinstance(e, ev.InstalmentBilled) and e.number > 1)]
    corrected = [
        msgspec.structs.replace(e, revision=n) if isinstance(e, ev.InstalmentBilled) else e
        for n, e in enumerate(events)
    ]
    case = lived(corrected)
    assert case.letters() == []
    assert case.lines("A1", ev.InstalmentMissed, ev.DelinquencyChanged) == []


def test_a_statement_is_missed_no_earlier_than_it_was_made() -> None:
    case = reported("a_statement_due_before_its_day_is_missed_before_it_was_made")
    assert case.lines("D", ev.InstalmentMissed) == [("2025-03-10", "missed", 1, 1_000)]
    assert case.lines("D", ev.DelinquencyChanged)[0][:3] == ("2025-03-10", "dpd_1_30", 9)


# -- words


def test_a_small_debt_is_not_called_unaffordable() -> None:
    offer = reported("small_debt_said_to_be_unaffordable").offers()[-1]
    assert offer.kind == "pay_in_full"
    assert "fits your means" not in offer.message


def test_numbers_in_texts_are_singular_where_they_are_one() -> None:
    assert "1 ways" not in reported("one_way_to_repay").offers()[-1].message
    words = [reason for o in reported("first_1_months").offers()[-1].options for reason in (*o.reasons, o.label)]
    assert any("first month" in text for text in words)
    assert not any("1 months" in text for text in words)
