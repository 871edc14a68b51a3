"""What the pages say of how an offer ended: accepted only where an acceptance made its plans."""

from __future__ import annotations

from msgspec.structs import replace

from agents.planner.answers import AGREED
from console.offers import offers_of
from schemas import events as ev
from state.policy import Policy, PolicyBook
from state.policy_packs.loader import default_book
from tests.support.agent_driver import PlannerDriver, only
from tests.support.borrower_events import BorrowerEvents, closes


def shown(driver: PlannerDriver) -> dict[str, tuple[str, str | None]]:
    """Return of each offer how it ended, and the code of an answer without effect."""
    told = offers_of(driver.state, driver.facts.values())
    return {o["offer"]: (o["is"], o["not_applied"] and o["not_applied"]["code"]) for o in told}


def offered(book: PolicyBook | None = None) -> tuple[PlannerDriver, BorrowerEvents, ev.OfferPublished]:
    """Return a driver on which an offer is open."""
    driver, teller = PlannerDriver(book), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0), teller.request(0), *closes([0]))
    return driver, teller, driver.offer()


def test_an_acceptance_in_time_stays_one_after_later_offers() -> None:
    driver, teller, first = offered()
    driver.feed(teller.answer(1, first.offer_id, "accepted", option_id=first.recommended_option_id))
    assert shown(driver) == {first.offer_id: ("accepted", None)}
    driver.feed(*closes(range(1, 40)), teller.request(40), *closes(range(40, 60)))
    assert shown(driver)[first.offer_id] == ("accepted", None)
    assert len(shown(driver)) > 1


def test_a_late_acceptance_is_shown_as_what_it_was() -> None:
    driver, teller, first = offered()
    day = next(day for day in range(1, 40) if driver.close(day) and driver.offer().offer_id != first.offer_id)
    driver.feed(teller.answer(day + 1, first.offer_id, "accepted", option_id=first.recommended_option_id))
    assert driver.unapplied == ["offer_open"]
    assert shown(driver)[first.offer_id] == ("ended", "offer_open")
    assert only(driver.outputs, ev.PlanActivated) == []


def test_a_late_acceptance_with_a_new_offer_is_no_acceptance() -> None:
    driver, teller, first = offered()
    driver.run(1, 15)
    driver.feed(teller.answer(16, first.offer_id, "accepted", option_id=first.recommended_option_id))
    assert driver.unapplied == []
    assert driver.offer().offer_id != first.offer_id
    assert shown(driver)[first.offer_id] == ("ended", None)


def test_an_oral_acceptance_without_its_recording_is_none() -> None:
    shipped = default_book()

    def resolve(jurisdiction: str, product: str) -> Policy:
        found = shipped.policy_for(jurisdiction, product)
        return replace(found, offers=replace(found.offers, oral_needs_recording=True))

    driver, teller, first = offered(PolicyBook("oral", resolve))
    driver.feed(teller.answer(1, first.offer_id, "accepted", option_id=first.recommended_option_id, channel="hotline"))
    assert driver.offer().offer_id != first.offer_id
    assert shown(driver)[first.offer_id] == ("ended", None)


def test_an_acceptance_of_an_old_release_is_known_by_its_plan() -> None:
    driver, teller, first = offered()
    driver.feed(teller.answer(1, first.offer_id, "accepted", option_id=first.recommended_option_id))
    driver.feed(*closes(range(1, 40)), teller.request(40, "A2"), *closes(range(40, 60)))
    for key in [k for k in driver.facts if k.startswith(AGREED)]:
        del driver.facts[key]
    assert shown(driver)[first.offer_id] == ("accepted", None)
