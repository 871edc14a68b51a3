"""A borrower's profile: merged from any order of reports and consents, each field with its provenance."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import events as ev
from state.policy import Affordability
from state.profile import Consent, Profile, ReportedValue, add_consent, add_readings, granted_ids, merge, readings_of

TODAY = date(2026, 6, 30)
RULES = Affordability(fresh_days=90)
PURPOSES = RULES.purposes
Fact = ev.ProfileReported | ev.ConsentGranted | ev.ConsentWithdrawn


def instant(days_ago: int, minute: int = 0) -> datetime:
    return datetime(2026, 6, 30, 9, minute, tzinfo=UTC) - timedelta(days=days_ago)


def report(
    event_id: str = "e1", ago: int = 0, kind: ev.ProfileKind = "interview", consent_id: str = "c1", **more: object
) -> ev.ProfileReported:
    return ev.ProfileReported(
        event_id=event_id,
        occurred_at=instant(ago),
        source="crm",
        borrower_id="B1",
        kind=kind,
        as_of=TODAY - timedelta(days=ago),
        consent_id=consent_id,
        **more,
    )


def grant(ago: int = 100, consent_id: str = "c1", purpose: str = "repayment_planning", minute: int = 0) -> Fact:
    return ev.ConsentGranted(
        event_id=f"g-{consent_id}-{ago}-{minute}",
        occurred_at=instant(ago, minute),
        source="crm",
        borrower_id="B1",
        consent_id=consent_id,
        purpose=purpose,
    )


def withdrawal(ago: int = 0, consent_id: str = "c1", purpose: str = "repayment_planning", minute: int = 0) -> Fact:
    return ev.ConsentWithdrawn(
        event_id=f"w-{consent_id}-{ago}-{minute}",
        occurred_at=instant(ago, minute),
        source="crm",
        borrower_id="B1",
        consent_id=consent_id,
        purpose=purpose,
    )


def held(*facts: Fact) -> tuple[tuple[ReportedValue, ...], tuple[Consent, ...]]:
    readings: tuple[ReportedValue, ...] = ()
    consents: tuple[Consent, ...] = ()
    for fact in facts:
        if isinstance(fact, ev.ProfileReported):
            readings = add_readings(readings, readings_of(fact))
        else:
            consents = add_consent(consents, fact)
    return readings, consents


def profile(*facts: Fact, rules: Affordability = RULES, currency: str = "CNY", changed: int = 0) -> Profile:
    readings, consents = held(*facts)
    return merge(
        readings,
        granted_ids(consents, rules.purposes),
        rules,
        TODAY.toordinal(),
        home_currency="CNY",
        currency=currency,
        income_changed=changed,
    )


amounts = st.none() | st.integers(0, 5)
reports = st.builds(
    report,
    event_id=st.sampled_from([f"r{n}" for n in range(50)]),
    ago=st.sampled_from([0, 1, 30, 89, 90, 91, 200]),
    kind=st.sampled_from(["bureau", "interview", "third_party", "declared"]),
    consent_id=st.sampled_from(["c1", "c2"]),
    monthly_income=amounts,
    monthly_expenses=amounts,
    household_size=st.none() | st.integers(1, 3),
    region=st.sampled_from([None, "", "31", "44"]),
    currency=st.sampled_from([None, "CNY", "USD"]),
    spending=st.dictionaries(st.sampled_from(["food", "rent"]), st.integers(0, 3)),
    partner_id=st.sampled_from([None, "p1", "p2"]),
)
consents = st.builds(
    lambda make, ago, consent_id, minute: make(ago, consent_id, minute=minute),
    st.sampled_from([grant, withdrawal]),
    st.sampled_from([0, 1, 30]),
    st.sampled_from(["c1", "c2"]),
    st.integers(0, 1),
)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(facts=st.lists(reports | consents, max_size=9, unique_by=lambda f: f.event_id), data=st.data())
def test_any_order_and_repetition_gives_the_same_profile(facts: list[Fact], data: st.DataObject) -> None:
    shuffled = data.draw(
        st.permutations([*facts, *data.draw(st.lists(st.sampled_from(facts)) if facts else st.just([]))])
    )
    assert held(*shuffled) == held(*facts)
    assert profile(*shuffled) == profile(*facts)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(facts=st.lists(reports | consents, max_size=9, unique_by=lambda f: f.event_id))
def test_every_field_is_what_a_consented_report_says(facts: list[Fact]) -> None:
    said = {(f.event_id, f.consent_id) for f in facts if isinstance(f, ev.ProfileReported)}
    latest = {
        c: max(
            (f.occurred_at, isinstance(f, ev.ConsentWithdrawn))
            for f in facts
            if not isinstance(f, ev.ProfileReported) and f.consent_id == c
        )
        for c in {f.consent_id for f in facts if not isinstance(f, ev.ProfileReported)}
    }
    for known in profile(*facts).fields.values():
        reading = known.reading
        assert (reading.event_id, reading.consent_id) in said
        assert latest[reading.consent_id][1] is False
        assert reading.currency in ("", "CNY")
        assert known.value == reading.value


def test_a_consent_that_was_never_seen_grants_nothing() -> None:
    assert profile(report(monthly_income=9)).fields == {}


def test_a_report_becomes_usable_when_its_consent_arrives() -> None:
    assert profile(report(monthly_income=9), grant()).number("monthly_income") == 9


def test_a_consent_for_another_purpose_does_not_count() -> None:
    assert profile(report(monthly_income=9), grant(purpose="marketing")).fields == {}


@pytest.mark.parametrize("later_first", [False, True])
def test_a_withdrawal_counts_whenever_it_arrives(later_first: bool) -> None:
    facts = [grant(10), withdrawal(5)]
    assert profile(report(monthly_income=9), *(reversed(facts) if later_first else facts)).fields == {}


def test_a_withdrawal_wins_over_a_grant_of_the_same_instant() -> None:
    assert profile(report(monthly_income=9), grant(5), withdrawal(5)).fields == {}


def test_a_grant_after_a_withdrawal_allows_use_again() -> None:
    assert profile(report(monthly_income=9), withdrawal(5), grant(4)).number("monthly_income") == 9


def test_what_was_granted_until_an_erasure_is_void() -> None:
    _, consents_held = held(grant(5))
    erased = int(instant(5).timestamp() * 1000)
    assert granted_ids(consents_held, PURPOSES, erased - 1) == {"c1"}
    assert granted_ids(consents_held, PURPOSES, erased) == frozenset()


def test_a_withdrawal_uncovers_reports_under_another_consent() -> None:
    older = report("r1", 20, consent_id="c2", monthly_income=7)
    newer = report("r2", 1, monthly_income=9)
    assert profile(older, newer, grant(), grant(consent_id="c2")).number("monthly_income") == 9
    assert profile(older, newer, grant(), grant(consent_id="c2"), withdrawal()).number("monthly_income") == 7


def test_the_more_trusted_source_wins_over_a_newer_one() -> None:
    facts = [report("r1", 30, "interview", monthly_income=7), report("r2", 1, "declared", monthly_income=9), grant()]
    assert profile(*facts).number("monthly_income") == 7
    rules = Affordability(sources=("declared", "interview"))
    assert profile(*facts, rules=rules).number("monthly_income") == 9


def test_a_stale_field_yields_to_a_fresh_less_trusted_one() -> None:
    stale = report("r1", 91, "interview", monthly_income=7)
    assert profile(stale, report("r2", 90, "declared", monthly_income=9), grant()).number("monthly_income") == 9
    alone = profile(stale, grant()).fields["monthly_income"]
    assert (alone.value, alone.fresh) == (7, False)


def test_the_newest_report_of_a_source_replaces_by_field() -> None:
    facts = [report("r1", 20, monthly_income=7, household_size=3), report("r2", 1, monthly_income=9), grant()]
    assert profile(*facts).number("monthly_income") == 9
    assert profile(*facts).number("household_size") == 3


def test_of_equal_fresh_sources_the_more_cautious_counts() -> None:
    one = report("r1", 20, "third_party", partner_id="p1", monthly_income=7, monthly_expenses=3)
    two = report("r2", 1, "third_party", partner_id="p2", monthly_income=9, monthly_expenses=5)
    merged = profile(one, two, grant())
    assert (merged.number("monthly_income"), merged.number("monthly_expenses")) == (7, 5)


def test_amounts_count_only_in_their_own_currency() -> None:
    facts = [report("r1", monthly_income=9, currency="USD", household_size=2), grant()]
    assert profile(*facts).number("monthly_income") is None
    assert profile(*facts).number("household_size") == 2
    assert profile(*facts, currency="USD").number("monthly_income") == 9
    assert profile(report("r1", monthly_income=9), grant(), currency="USD").number("monthly_income") is None


def test_an_income_before_a_change_no_longer_counts() -> None:
    changed = (TODAY - timedelta(days=5)).toordinal()
    before, after = report("r1", 6, monthly_income=9), report("r2", 5, monthly_income=4)
    assert profile(before, grant(), changed=changed).number("monthly_income") is None
    assert profile(before, after, grant(), changed=changed).number("monthly_income") == 4


def test_only_the_sum_of_spending_is_kept() -> None:
    (reading,) = readings_of(report(spending={"rent": 5, "food": 3, "refund": -1}))
    assert (reading.field, reading.value) == ("spending", 7)


def test_each_field_says_where_it_comes_from() -> None:
    known = profile(report("r9", 3, "bureau", monthly_income=9, partner_id="p1"), grant()).fields["monthly_income"]
    r = known.reading
    assert (r.kind, r.origin, r.consent_id, r.event_id) == ("bureau", "p1", "c1", "r9")
    assert date.fromordinal(r.as_of) == TODAY - timedelta(days=3)
