"""Means whose consent is withdrawn, or never came, are deleted from state and facts, whatever the order of events."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.planner.erasure import scrubbed
from schemas import events as ev
from state.policy_packs.loader import default_book
from state.profile import add_readings, millis, readings_of
from tests.support.agent_driver import PlannerDriver, only
from tests.support.borrower_events import CONSENT, BorrowerEvents, closes, day_of, instant_of

BOOK = default_book()
WAIT = BOOK.policy_for("", "").affordability.consent_wait_days
ODD = 7_391_734
OTHER = "consent-2"


def held(driver: PlannerDriver) -> bytes:
    """Return all that is stored of a borrower: the state, and all facts."""
    assert driver.state is not None
    return msgspec.msgpack.encode(driver.state) + msgspec.msgpack.encode(list(driver.facts.values()))


def holds(driver: PlannerDriver, value: int | str) -> bool:
    """Say whether a value is stored of a borrower anywhere."""
    return msgspec.msgpack.encode(value) in held(driver)


def odd(teller: BorrowerEvents, on: int, income: int = ODD, **more: object) -> ev.ProfileReported:
    """Return a report of which each value can be found again."""
    fields = {"region": "ODD-region", "employment": "ODD-work", "spending": {"ODD-shop": 12_345_678}, **more}
    return teller.report(on, income, monthly_expenses=5_713_907, **fields)


def test_a_withdrawal_deletes_reports_under_the_consent() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    report = odd(teller, 0)
    driver.feed(teller.granted(0), report, teller.request(0), *closes([0]))
    assert driver.offer().options
    values = (ODD, 5_713_907, 12_345_678, "ODD-region", "ODD-work", "ODD-shop")
    assert all(holds(driver, value) for value in values)
    driver.feed(teller.withdrawn(1))
    assert not any(holds(driver, value) for value in values)
    assert driver.state is not None
    assert driver.state.readings == ()
    assert driver.facts[f"profile:{report.event_id}"] == scrubbed(report)
    # The consent itself stays, as the proof of what was lawful when.
    assert [(c.granted, c.withdrawn) for c in driver.state.consents] == [(millis(instant_of(0)), millis(instant_of(1)))]
    # What was offered before stands as it was published, and is decided anew without the means.
    driver.feed(*closes([1]))
    assert only(driver.outputs, ev.OfferWithdrawn)[-1].reason == "affordability_changed"
    assert not driver.offer().options


def test_nothing_derived_from_means_stays_in_the_state() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0), teller.request(0), *closes([0]))
    assert driver.state is not None
    assert driver.state.offer is not None
    limit = driver.state.offer.affordability_limit
    assert limit
    assert driver.state.tracked
    driver.feed(teller.withdrawn(1))
    assert driver.state.tracked == {}
    assert driver.state.offer is not None
    assert driver.state.offer.affordability_limit == 0
    offer = driver.offer()
    driver.feed(teller.answer(1, offer.offer_id, "accepted", option_id=offer.recommended_option_id))
    # An acceptance stands: the offer was made in time.
    (plan,) = only(driver.outputs, ev.PlanActivated)
    assert plan.option_id == driver.offer().recommended_option_id
    assert not holds(driver, limit)


def test_the_limit_a_plan_was_reviewed_for_goes_with_consent() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0), teller.request(0), *closes([0]))
    offer = driver.offer()
    driver.feed(teller.answer(1, offer.offer_id, "accepted", option_id=offer.recommended_option_id), *closes([1]))
    driver.feed(teller.report(2, 425_000), *closes([2]))
    assert only(driver.outputs, ev.PlanReviewRequested)
    assert driver.state is not None
    assert [plan.reviewed_at_limit > 0 for plan in driver.state.plans.values()] == [True]
    driver.feed(teller.withdrawn(3))
    assert [plan.reviewed_at_limit for plan in driver.state.plans.values()] == [-1]


def test_a_withdrawal_for_another_purpose_leaves_means_alone() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.granted(0), teller.granted(0, purpose="partner:p1"), odd(teller, 0))
    before = driver.state
    driver.feed(teller.withdrawn(1, purpose="partner:p1"))
    assert before is not None
    assert driver.state is not None
    assert driver.state.readings == before.readings
    driver.feed(*closes([1]))
    assert holds(driver, ODD)
    assert len(driver.state.readings) == len(before.readings)


def test_a_renewed_consent_counts_for_new_reports_alone() -> None:
    teller = BorrowerEvents()
    old, new = odd(teller, 0), teller.report(3, 880_000)
    story = [teller.granted(0), old, teller.withdrawn(1), teller.granted(2), new]
    for order in permutations(story):
        driver = PlannerDriver(BOOK)
        # Sent again at the end, too.
        driver.feed(*order, teller.request(3), *closes([3]), old, new)
        assert driver.state is not None
        assert {r.value for r in driver.state.readings if r.field == "monthly_income"} == {880_000}
        assert driver.rejection_codes == []
        assert not holds(driver, ODD)
        assert driver.offer().options


@pytest.mark.parametrize("sent", ["again", "late"])
def test_earlier_events_after_the_withdrawal_restore_nothing(sent: str) -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    report = odd(teller, 0)
    driver.feed(teller.granted(0), *([report] if sent == "again" else []), teller.withdrawn(2), *closes([2]))
    step = driver.agent.handle(driver.state, report, driver.context(event=report))
    # So whoever stores the event as it was received knows that it is to be emptied there.
    assert step.erased
    driver.feed(report, *closes([3, 20]))
    assert not holds(driver, ODD)
    assert driver.facts[f"profile:{report.event_id}"] == scrubbed(report)
    assert driver.rejection_codes == []


def test_a_report_without_consent_is_refused_without_values() -> None:
    driver, teller = PlannerDriver(BOOK), BorrowerEvents()
    driver.feed(teller.granted(0), teller.withdrawn(2))
    report = odd(teller, 0, as_of=day_of(9))
    step = driver.agent.handle(driver.state, report, driver.context())
    assert [(r.code, r.event) for r in step.refused] == [("out_of_range", scrubbed(report))]
    assert step.erased


def test_both_of_two_withdrawals_under_one_id_are_carried_out() -> None:
    for order in permutations(range(2)):
        driver, teller = PlannerDriver(BOOK), BorrowerEvents()
        early = teller.withdrawn(1)
        late = replace(early, occurred_at=instant_of(3))
        driver.feed(teller.granted(0), odd(teller, 2), *([early, late][n] for n in order))
        assert driver.state is not None
        assert [c.withdrawn for c in driver.state.consents] == [millis(instant_of(3))]
        assert not holds(driver, ODD)
        assert driver.facts[f"withdrawal:{early.event_id}"] == early
        assert driver.rejection_codes == []


class TestReportsThatWaitForTheirConsent:
    def test_after_the_wait_they_are_deleted_at_the_close(self) -> None:
        driver, teller = PlannerDriver(BOOK), BorrowerEvents()
        report = odd(teller, 0)
        driver.feed(report, *closes(range(WAIT)))
        assert holds(driver, ODD)
        driver.feed(*closes([WAIT]))
        assert not holds(driver, ODD)
        assert driver.state is not None
        assert driver.state.delete_on == 0
        # The consent comes too late for that report, which may be made again.
        driver.feed(teller.granted(WAIT), report, *closes([WAIT + 1]))
        assert not holds(driver, ODD)
        driver.feed(odd(teller, WAIT + 2), *closes([WAIT + 2]))
        assert holds(driver, ODD)
        assert driver.rejection_codes == []

    def test_what_says_nothing_but_an_employment_waits_no_longer(self) -> None:
        driver, teller = PlannerDriver(BOOK), BorrowerEvents()
        said = {"monthly_expenses": None, "household_size": None}
        driver.feed(teller.report(0, None, employment="ODD-work", **said), *closes([WAIT]))
        assert not holds(driver, "ODD-work")

    def test_a_consent_in_time_keeps_them(self) -> None:
        driver, teller = PlannerDriver(BOOK), BorrowerEvents()
        driver.feed(odd(teller, 0), *closes(range(WAIT)), teller.granted(WAIT), *closes(range(WAIT, 3 * WAIT)))
        assert holds(driver, ODD)

    def test_a_source_that_goes_on_reporting_leaves_nothing(self) -> None:
        driver, teller = PlannerDriver(BOOK), BorrowerEvents()
        driver.feed(teller.granted(0), teller.withdrawn(0, hour=10), teller.request(0), *closes([0]))
        for on in range(1, 3 * WAIT):
            driver.feed(odd(teller, on, ODD + on), *closes([on]))
            assert not any(holds(driver, ODD + before) for before in range(1, on - WAIT + 1))
            assert not driver.offer().options
        driver.feed(*closes(range(3 * WAIT, 4 * WAIT)))
        assert not any(holds(driver, ODD + on) for on in range(1, 3 * WAIT))

    def test_what_an_earlier_release_left_goes_at_the_next_close(self) -> None:
        driver, teller = PlannerDriver(BOOK), BorrowerEvents()
        driver.feed(teller.granted(0), odd(teller, 0), teller.request(0), *closes([0]))
        assert driver.state is not None
        driver.state.consents = tuple(replace(c, withdrawn=millis(instant_of(1))) for c in driver.state.consents)
        driver.feed(*closes([1]), teller.request(WAIT), *closes([WAIT]))
        assert not holds(driver, ODD)

    def test_the_close_that_deletes_says_so(self) -> None:
        driver, teller = PlannerDriver(BOOK), BorrowerEvents()
        driver.feed(odd(teller, 0))
        assert driver.state is not None
        (day,) = closes([WAIT])
        assert driver.agent.due(driver.state) == day_of(WAIT).toordinal()
        step = driver.agent.close(driver.state, day, driver.context())
        assert step.erased
        assert driver.agent.due(step.state) is None


# Each event once, by what it is, the consent, and the day and hour on which it occurred.
happenings = st.lists(
    st.tuples(
        st.sampled_from(["granted", "withdrawn", "withdrawn", "report", "report", "partner"]),
        st.sampled_from([CONSENT, CONSENT, OTHER]),
        st.integers(0, 2),
        st.integers(1, 5),
    ),
    min_size=2,
    max_size=8,
)


def events_of(drawn: list[tuple[str, str, int, int]]) -> list[ev.Event]:
    teller, events = BorrowerEvents(), list[ev.Event]()
    for n, (what, consent, on, hour) in enumerate(drawn):
        if what == "report":
            made = odd(teller, on, ODD + n, consent_id=consent)
            events.append(replace(made, occurred_at=instant_of(on, hour)))
        elif what == "granted":
            events.append(teller.granted(on, consent, hour=hour))
        elif what == "withdrawn":
            events.append(teller.withdrawn(on, consent, hour=hour))
        else:
            events.append(teller.withdrawn(on, consent, "partner:p1", hour=hour))
    return events


@settings(max_examples=300, deadline=None, derandomize=True)
@given(happenings, st.data())
def test_no_order_and_no_repetition_changes_what_is_stored(
    drawn: list[tuple[str, str, int, int]], data: st.DataObject
) -> None:
    events = events_of(drawn)
    request = BorrowerEvents("B1").request(2)
    request = replace(request, event_id="request")
    desks = []
    for order in (events, data.draw(st.permutations([*events, *events[:3]]))):
        driver = PlannerDriver(BOOK)
        cut = data.draw(st.integers(0, len(order)))
        driver.feed(*order[:cut], *closes([-1]), *order[cut:], request, *closes([2]), *order[:2])
        desks.append(driver)
    one, other = desks
    assert one.rejection_codes == other.rejection_codes == []
    assert one.state == other.state
    assert one.facts.keys() == other.facts.keys()
    assert {k: f for k, f in one.facts.items() if k.startswith("profile")} == {
        k: f for k, f in other.facts.items() if k.startswith("profile")
    }
    # By the plain rule.
    withdrawn = {
        consent: max((e.occurred_at for e in events if isinstance(e, ev.ConsentWithdrawn) and e.consent_id == consent
                      and e.purpose == "repayment_planning"), default=instant_of(-9))
        for consent in (CONSENT, OTHER)
    }  # fmt: skip
    left = [e for e in events if isinstance(e, ev.ProfileReported) and e.occurred_at > withdrawn[e.consent_id]]
    assert one.state is not None
    assert one.state.readings == add_readings((), (r for e in left for r in readings_of(e)))
    for event in events:
        if isinstance(event, ev.ProfileReported):
            assert event.monthly_income is not None
            stands = event in left
            assert (one.facts[f"profile:{event.event_id}"] == event) is stands
            assert stands or not holds(one, event.monthly_income)
    # In the end nothing is left that no consent carries.
    one.feed(*closes(range(3, 4 + WAIT)))
    granted = {
        consent: max((e.occurred_at for e in events if isinstance(e, ev.ConsentGranted) and e.consent_id == consent),
                     default=instant_of(-9))
        for consent in (CONSENT, OTHER)
    }  # fmt: skip
    for event in events:
        if isinstance(event, ev.ProfileReported) and not granted[event.consent_id] > withdrawn[event.consent_id]:
            assert not holds(one, event.monthly_income or 0)
            assert one.facts[f"profile:{event.event_id}"] == scrubbed(event)
        elif event in left:
            assert one.facts[f"profile:{event.event_id}"] == event
    assert one.closed == day_of(3 + WAIT) == day_of(2) + timedelta(days=WAIT + 1)  # type: ignore[union-attr]
