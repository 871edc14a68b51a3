"""Of statements about a borrower under one id that contradict each other, the one that occurred first stands."""

from __future__ import annotations

from datetime import datetime
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.contradictions import statement_order
from schemas import events as ev
from state.profile import Consent, add_consent, add_readings, readings_of
from tests.support.agent_driver import PlannerDriver, only
from tests.support.borrower_events import CONSENT, BorrowerEvents, closes, instant_of


def standing(driver: PlannerDriver) -> tuple[object, ...]:
    """Return what a driver knows of means and consents, the facts that stand, and what was refused."""
    assert driver.state is not None
    facts = sorted(
        (k, repr(e)) for k, e in driver.facts.items() if k.split(":")[0] in ("profile", "grant", "withdrawal")
    )
    return driver.state.readings, driver.state.consents, facts, sorted(map(repr, driver.rejected_events))


reports = st.builds(
    lambda on, hour, income, key, household: replace(
        BorrowerEvents().report(on, income, household_size=household),
        event_id=f"r{key}",
        occurred_at=instant_of(on, hour),
    ),
    st.integers(0, 3), st.integers(1, 3), st.sampled_from([100, 200, None]), st.integers(0, 2), st.integers(1, 2),
)  # fmt: skip
grants = st.builds(
    lambda on, hour, consent, key: replace(
        BorrowerEvents().granted(on, consent), event_id=f"g{key}", occurred_at=instant_of(on, hour)
    ),
    st.integers(0, 3), st.integers(1, 3), st.sampled_from([CONSENT, "consent-2"]), st.integers(0, 1),
)  # fmt: skip
withdrawals = st.builds(
    lambda on, hour, consent, key: replace(
        BorrowerEvents().withdrawn(on, consent), event_id=f"w{key}", occurred_at=instant_of(on, hour)
    ),
    st.integers(0, 3), st.integers(1, 3), st.sampled_from([CONSENT, "consent-2"]), st.integers(0, 1),
)  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.one_of(reports, grants, withdrawals), min_size=2, max_size=7, unique_by=repr), st.data())
def test_what_is_known_of_a_borrower_is_independent_of_order(drawn: list[ev.Event], data: st.DataObject) -> None:
    desks = []
    for order in (drawn, data.draw(st.permutations([*drawn, *drawn[:2]]))):
        driver = PlannerDriver()
        driver.feed(*closes([-1]), *order)
        withdrawn = withdrawals_of(drawn)
        # Of two reports under a withdrawn consent nothing is left in which they could contradict each other.
        letters = [
            e for e in driver.rejected_events if not (isinstance(e, ev.ProfileReported) and is_withdrawn(e, withdrawn))
        ]
        driver.rejected_events = list({repr(e): e for e in letters}.values())
        desks.append(driver)
    assert standing(desks[0]) == standing(desks[1])
    # Which stands, by the plain rule.
    first: dict[str, ev.Event] = {}
    for event in sorted(drawn, key=statement_order):
        first.setdefault(desks[0].agent.fact_key(event), event)
    assert desks[0].state is not None
    reports = [e for e in first.values() if isinstance(e, ev.ProfileReported)]
    told = [r for e in reports if not is_withdrawn(e, withdrawn) for r in readings_of(e)]
    assert desks[0].state.readings == add_readings((), told)
    consents: tuple[Consent, ...] = ()
    for event in [e for e in first.values() if isinstance(e, ev.ConsentGranted)]:
        consents = add_consent(consents, event)
    # All withdrawals are carried out.
    for event in [e for e in drawn if isinstance(e, ev.ConsentWithdrawn)]:
        consents = add_consent(consents, event)
    assert desks[0].state.consents == tuple(replace(c, deleted=c.withdrawn) for c in consents)
    refused = [e for e in drawn if not isinstance(e, ev.ConsentWithdrawn) and repr(e) not in map(repr, first.values())]
    assert {repr(e) for e in desks[0].rejected_events} == {
        repr(e) for e in refused if not (isinstance(e, ev.ProfileReported) and is_withdrawn(e, withdrawn))
    }


def withdrawals_of(drawn: list[ev.Event]) -> dict[str, datetime]:
    """Return the last withdrawal of each consent."""
    found = sorted((e for e in drawn if isinstance(e, ev.ConsentWithdrawn)), key=lambda e: e.occurred_at)
    return {e.consent_id: e.occurred_at for e in found}


def is_withdrawn(report: ev.ProfileReported, withdrawn: dict[str, datetime]) -> bool:
    """Say whether a report occurred no later than the withdrawal of its consent."""
    return report.consent_id in withdrawn and report.occurred_at <= withdrawn[report.consent_id]


def test_an_earlier_report_that_contradicts_changes_offers() -> None:
    teller = BorrowerEvents()
    late = teller.report(0, 2_000_000)
    early = replace(late, monthly_income=900_000, occurred_at=instant_of(0, 1))
    limits = []
    for order in permutations([late, early]):
        driver = PlannerDriver()
        driver.feed(teller.granted(0, hour=0), *order, teller.request(0), *closes([0]))
        assert driver.state is not None
        assert driver.state.offer is not None
        limits.append(driver.state.offer.affordability_limit)
    assert limits[0] == limits[1] == (900_000 - 420_000) * 4_000 // 10_000


@pytest.mark.parametrize("erased", [False, True])
def test_of_two_answers_under_one_id_the_first_given_stands(erased: bool) -> None:
    for order in permutations(range(2)):
        driver, teller = PlannerDriver(), BorrowerEvents()
        driver.feed(teller.granted(0), teller.report(0), teller.request(0), *closes([0]))
        offer = driver.offer()
        early = teller.answer(1, offer.offer_id, "declined", "too_long", feedback_id="f1")
        late = replace(early, answer="declined", reasons=("rate",), occurred_at=instant_of(1, 11), event_id="other")
        driver.feed(*([early, late][n] for n in order))
        assert driver.facts["feedback:f1"] == early
        assert driver.rejected_events == [late]
        ids = [e.event_id for e in driver.outputs]
        assert len(ids) == len(set(ids)), "each statement is a cause of its own"
        if erased:
            driver.feed(teller.erasure(2))
            assert driver.facts["feedback:f1"] == replace(early, reasons=())


def test_an_earlier_repetition_moves_the_date_of_the_report() -> None:
    for order in permutations(range(3)):
        driver, teller = PlannerDriver(), BorrowerEvents()
        driver.feed(teller.granted(0), teller.report(0), teller.request(0), *closes([0]))
        said = teller.answer(1, driver.offer().offer_id, "declined", "too_long", feedback_id="f1")
        again = replace(said, occurred_at=instant_of(1, 11))
        other = replace(said, reasons=("rate",), occurred_at=instant_of(1, 10))
        driver.feed(*([said, again, other][n] for n in order))
        assert driver.facts["feedback:f1"] == said
        assert driver.rejected_events[-1:] == [other]


def test_both_of_two_requests_for_erasure_are_carried_out() -> None:
    for order in permutations(range(2)):
        driver, teller = PlannerDriver(), BorrowerEvents()
        driver.feed(teller.granted(0), teller.report(0), teller.granted(2, "consent-2"))
        early = teller.erasure(1)
        late = replace(early, occurred_at=instant_of(3))
        driver.feed(*([early, late][n] for n in order))
        assert driver.state is not None
        assert (driver.state.readings, driver.state.consents) == ((), ())
        assert driver.facts[f"erasure:{early.event_id}"] == early
        assert driver.rejected_events == []
        assert len({e.event_id for e in driver.outputs}) == len(only(driver.outputs, ev.PersonalDataErased))
