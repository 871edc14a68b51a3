"""Contact rules at work: whatever was tried on any account, no offer is to be told out of hours or over the cap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from desk import Desk
from hypothesis import given, settings
from hypothesis import strategies as st
from planner_desk import PlannerDesk, Teller, at, day_of, only

from schemas import events as ev
from state.pack import default_book

# Clocks that change within the days of the stories below (8 and 29 March 2026), oddly, or never.
ZONES = (
    "America/New_York",
    "America/Havana",
    "Europe/London",
    "Europe/Chisinau",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Kiritimati",
    "Asia/Shanghai",
    "Asia/Kathmandu",
)
KINDS = (("US", "personal_loan"), ("CN", "credit_card"), ("GB", "personal_loan"), ("EU", "loan"))
minutes = st.integers(0, 24 * 60 - 1)


def noted(teller: Teller, on: int, minute: int, account: str, *, attempt: bool, conversation: bool) -> ev.ContactNoted:
    """Return a contact at a minute of a day, UTC."""
    base = teller._base(on)
    base["occurred_at"] = at(on, 0) + timedelta(minutes=minute)
    return ev.ContactNoted(
        **base,
        account_id=account,
        attempt_id=f"t-{base['event_id']}",
        caused_by="x",
        attempt=attempt,
        conversation=conversation,
    )


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from(ZONES),
    st.sampled_from(KINDS),
    st.lists(
        st.tuples(st.integers(0, 34), minutes, st.sampled_from("AB"), st.booleans(), st.booleans(), st.integers(1, 9)),
        max_size=20,
    ),
    st.lists(st.integers(1, 34), min_size=1, max_size=4, unique=True),
)
def test_no_offer_is_told_out_of_hours_over_the_cap_or_into_a_silence(
    zone: str, kind: tuple[str, str], contacts: list[Any], requests: list[int]
) -> None:
    desk, teller = PlannerDesk(), Teller()
    rules = default_book().policy_for(*kind).contacts
    story: list[ev.Event] = [teller.granted(0), teller.report(0, time_zone=zone, monthly_income=2_000_000)]
    # Nobody calls once: attempts come in bursts, and an offer often follows on the same day.
    for on, minute, account, attempt, conversation, times in contacts:
        for later in range(times if attempt or conversation else 0):
            at_minute = min(minute + later, 24 * 60 - 1)
            story.append(noted(teller, on, at_minute, account, attempt=attempt, conversation=conversation))
    for number, on in enumerate(sorted({*requests, *(c[0] for c in contacts[:2])})):
        story.append(
            teller.request(on, "AB"[number % 2], jurisdiction=kind[0], product=kind[1], principal=1_000_000 + number)
        )
    story.sort(key=lambda e: e.occurred_at)
    happened: list[ev.ContactNoted] = []
    shown = 0
    for on in range(36):
        today = [e for e in story if e.occurred_at.date() == day_of(on)]
        happened += only(today, ev.ContactNoted)
        for offer in only([*desk.feed(*today), *desk.close(on)], ev.OfferPublished):
            shown += 1
            assert offer.contact.time_zone == zone
            assert offer.contact.channels
            assert at(on, 0) < offer.contact.not_before < offer.contact.not_after
            instant, info = offer.contact.not_before, ZoneInfo(zone)
            while instant < offer.contact.not_after:
                local = instant.astimezone(info)
                assert rules.from_hour <= local.hour < rules.to_hour
                days = [(local.date() - e.occurred_at.astimezone(info).date()).days for e in happened]
                tried = [d for d, e in zip(days, happened, strict=True) if e.attempt]
                spoken = [d for d, e in zip(days, happened, strict=True) if e.conversation]
                assert sum(0 <= d < rules.cap_days for d in tried) < rules.cap
                assert not any(0 <= d < rules.quiet_days_after_conversation for d in spoken)
                instant += timedelta(minutes=30)
            if not offer.contact.held_back:
                assert offer.contact.not_before - at(on, 23) < timedelta(days=2)
    assert shown


def test_an_offer_waits_for_the_silence_after_a_conversation_and_says_why() -> None:
    desk, teller = PlannerDesk(), Teller()
    american = {"jurisdiction": "US", "product": "personal_loan", "currency": "USD"}
    desk.feed(teller.granted(0), teller.report(0, time_zone="America/New_York"))
    desk.feed(noted(teller, 0, 15 * 60, "other", attempt=True, conversation=True), teller.request(0, **american))
    desk.close(0)
    contact = desk.offer().contact
    assert contact.held_back == "quiet_after_conversation"
    # Monday's talk silences a week; the clock is put forward on the Sunday between, so 08:00 is an hour earlier in UTC.
    assert contact.not_before == datetime(2026, 3, 9, 12, tzinfo=UTC)


def test_a_contact_with_a_wrong_clock_silences_nobody_for_years() -> None:
    desk, teller = PlannerDesk(), Teller()
    desk.feed(teller.granted(0), teller.report(0, time_zone="America/New_York"))
    desk.feed(noted(teller, 3_000, 0, "A1", attempt=True, conversation=True))
    desk.feed(teller.request(0, jurisdiction="US", product="personal_loan", currency="USD"))
    desk.close(0)
    assert desk.offer().contact.not_before < at(2)
    assert desk.offer().contact.held_back == ""


def test_what_the_rules_no_longer_count_is_forgotten() -> None:
    desk, teller = PlannerDesk(), Teller()
    desk.feed(*(noted(teller, 0, n, "A1", attempt=True, conversation=False) for n in range(300)))
    assert desk.state is not None
    assert len(desk.state.contacts) == 200
    desk.run(0, 40)
    desk.feed(noted(teller, 41, 0, "A1", attempt=True, conversation=False))
    assert len(desk.state.contacts) == 1


def test_an_account_tells_of_attempts_and_conversations_at_once_and_once() -> None:
    desk = Desk()
    desk.feed(
        ev.AccountOpened(
            event_id="o",
            occurred_at=at(0),
            source="test",
            account_id="A1",
            borrower_id="B1",
            product="loan",
            jurisdiction="CN",
            currency="CNY",
            opened_on=day_of(0),
            annual_rate_bps=0,
            principal=1_000,
            instalments=(ev.Instalment(number=1, due_on=day_of(30), principal=1_000, interest=0, fees=0),),
        )
    )

    def contact(id_: str, channel: ev.ContactChannel, direction: ev.Direction, outcome: ev.ContactOutcome) -> Any:
        return ev.ContactAttempted(
            event_id=id_,
            occurred_at=at(1),
            source="test",
            attempt_id=id_,
            account_id="A1",
            channel=channel,
            direction=direction,
            outcome=outcome,
            agent="s1",
        )

    told = desk.feed(
        contact("c1", "call", "outbound", "no_answer"),
        contact("c2", "call", "outbound", "hardship"),
        contact("c3", "call", "inbound", "reached"),
        contact("c4", "sms", "outbound", "reached"),
        contact("c5", "email", "inbound", "reached"),
        contact("c2", "call", "outbound", "hardship"),
    )
    assert [(e.attempt_id, e.attempt, e.conversation) for e in only(told, ev.ContactNoted)] == [
        ("c1", True, False),
        ("c2", True, True),
        ("c3", False, True),
        ("c4", True, False),
    ]
