"""Contact rules at work: whatever was tried on any account, no offer is to be told out of hours or over the cap."""

from __future__ import annotations

import random
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from console.offers import with_latest_contact_window
from console.words import describe
from schemas import events as ev
from state.policy import Contacts
from state.policy_packs.loader import default_book
from streams.portfolio_metrics import counts_of
from tests.support.agent_driver import AccountDriver, PlannerDriver, only
from tests.support.borrower_events import BorrowerEvents, day_of, instant_of
from tests.support.policies import book_of

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
HALF_HOUR = timedelta(minutes=30)
minutes = st.integers(0, 24 * 60 - 1)


def noted(
    teller: BorrowerEvents,
    on: int,
    minute: float,
    account: str,
    *,
    attempt: bool = True,
    conversation: bool = False,
    kind: tuple[str, str] = ("US", "personal_loan"),
) -> ev.ContactRecorded:
    """Return a contact at a minute of a day, UTC."""
    base = teller._base(on)
    base["occurred_at"] = instant_of(on, 0) + timedelta(minutes=minute)
    return ev.ContactRecorded(
        **base,
        account_id=account,
        attempt_id=f"t-{base['event_id']}",
        caused_by="x",
        attempt=attempt,
        conversation=conversation,
        jurisdiction=kind[0],
        product=kind[1],
    )


LAST = 35
contacts_drawn = st.lists(
    st.tuples(
        st.integers(0, LAST - 1), minutes, st.sampled_from("AB"), st.booleans(), st.booleans(), st.integers(1, 9)
    ),
    max_size=20,
)
requests_drawn = st.lists(st.integers(1, LAST - 1), min_size=1, max_size=4, unique=True)


def told_of(
    teller: BorrowerEvents, zone: str, kind: tuple[str, str], contacts: list[Any], requests: list[int]
) -> list[Any]:
    """Return what a borrower's planner hears in the order in which it happened: contacts come in bursts."""
    story: list[Any] = [teller.granted(0), teller.report(0, time_zone=zone, monthly_income=2_000_000)]
    number = 0
    for on, minute, account, attempt, conversation, times in contacts:
        for later in range(times if attempt or conversation else 0):
            number += 1
            # No two in one instant.
            exactly = min(minute + later, 24 * 60 - 1) + number / 60_000
            story.append(noted(teller, on, exactly, account, attempt=attempt, conversation=conversation, kind=kind))
    for number, on in enumerate(sorted({*requests, *(c[0] for c in contacts[:2])})):
        story.append(
            teller.request(on, "AB"[number % 2], jurisdiction=kind[0], product=kind[1], principal=1_000_000 + number)
        )
    return sorted(story, key=lambda e: e.occurred_at)


class Reckoning:
    """The contact rules once more, plainly: what an instant breaks after contacts."""

    def __init__(self, rules: Contacts, zone: str, happened: list[ev.ContactRecorded]) -> None:
        self.rules, self.info = rules, ZoneInfo(zone)
        self.days = [(e, e.occurred_at.astimezone(self.info).date()) for e in happened]

    def broken(self, instant: datetime, but: ev.ContactRecorded | None = None) -> tuple[str, ...]:
        local, rules = instant.astimezone(self.info), self.rules
        before = [(e, (local.date() - day).days) for e, day in self.days if e is not but and e.occurred_at <= instant]
        other = local.replace(fold=1 - local.fold)
        # An hour that the clock has twice, or not at all, counts by whichever reading shortens the window.
        hours = {local.hour, (instant + (other.utcoffset() - local.utcoffset())).astimezone(self.info).hour}  # type: ignore[operator]
        found = []
        if any(not rules.from_hour <= hour < rules.to_hour for hour in hours):
            found.append("outside_hours")
        talks = sum(e.conversation and days < rules.conversation_cap_days for e, days in before)
        tries = sum(e.attempt and days < rules.cap_days for e, days in before)
        if tries >= rules.cap or (rules.conversation_cap and talks >= rules.conversation_cap):
            found.append("cap_reached")
        if any(e.conversation and days < rules.quiet_days_after_conversation for e, days in before):
            found.append("quiet_after_conversation")
        return tuple(found)


def ids(events: list[Any]) -> list[str]:
    return sorted(e.attempt_id for e in events)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(ZONES), st.sampled_from(KINDS), contacts_drawn, requests_drawn)
def test_no_window_allows_contact_out_of_hours_or_over_the_cap(
    zone: str, kind: tuple[str, str], contacts: list[Any], requests: list[int]
) -> None:
    driver, teller = PlannerDriver(), BorrowerEvents()
    rules = default_book().policy_for(*kind).contacts
    story = told_of(teller, zone, kind, contacts, requests)
    happened: list[ev.ContactRecorded] = []
    word: ev.Contact | None = None
    shown = 0
    steps = [
        (on, e) for on in range(LAST + 1) for e in (*(e for e in story if e.occurred_at.date() == day_of(on)), None)
    ]
    now = instant_of(0, 0)
    for number, (on, event) in enumerate(steps):
        said = driver.close(on) if event is None else driver.feed(event)
        now = instant_of(on + 1, 0) if event is None else event.occurred_at
        happened += [event] if isinstance(event, ev.ContactRecorded) else []
        for e in said:
            if isinstance(e, ev.OfferPublished):
                shown += 1
                word = e.contact
                assert word.time_zone == zone
                assert word.channels
                assert instant_of(on, 0) < word.not_before < word.not_after
                if not word.held_back:
                    assert word.not_before - instant_of(on, 23) < timedelta(days=2)
            elif isinstance(e, ev.OfferWithdrawn | ev.OfferExpired):
                word = None
            elif isinstance(e, ev.ContactRevised):
                assert word is not None
                assert e.contact != word
                assert e.contact.time_zone == zone
                assert (e.offer_id, e.contact.channels) == (driver.offer().offer_id, driver.offer().contact.channels)
                assert e.reason
                assert e.contact.held_back in ("", e.reason)
                # The word before was untrue: each window that is gone is closed to contacts now, and none is new.
                gone = set(word.windows) - set(e.contact.windows)
                assert gone or e.contact.not_before != word.not_before
                assert set(e.contact.windows) <= set(word.windows)
                instants = [max(w.not_before, now) for w in (*gone, word) if w not in e.contact.windows]
                closed = Reckoning(rules, zone, happened)
                if e.contact.not_before == word.not_before:
                    instants.pop()
                assert all(closed.broken(at_ + timedelta(milliseconds=1)) for at_ in instants)
                word = e.contact
        if word is None:
            continue
        following = steps[number + 1][1] if number + 1 < len(steps) else None
        next_at = following.occurred_at if following is not None else instant_of(on + 1, 0)
        reckoning = Reckoning(rules, zone, happened)
        for hours in (word, *word.windows):
            instant, until = max(hours.not_before, now), min(hours.not_after, next_at)
            instants = [until - timedelta(milliseconds=1)] if instant < until else []
            while instant < until:
                instants.append(instant)
                instant += HALF_HOUR
            assert [at_ for at_ in instants if reckoning.broken(at_)] == []
    assert shown


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sampled_from(ZONES), st.sampled_from(KINDS), contacts_drawn, requests_drawn)
def test_every_open_day_has_a_window_until_a_contact_closes_it(
    zone: str, kind: tuple[str, str], contacts: list[Any], requests: list[int]
) -> None:
    driver, teller, info = PlannerDriver(), BorrowerEvents(), ZoneInfo(zone)
    rules = default_book().policy_for(*kind).contacts
    story = told_of(teller, zone, kind, contacts, requests)
    for on in range(LAST + 1):
        driver.feed(*(e for e in story if e.occurred_at.date() == day_of(on)))
        driver.close(on)
        assert driver.state is not None
        if driver.state.open_offer() is None:
            continue
        offer, word = driver.offer(), list(last_words(driver).values())[-1]
        closed = Reckoning(
            rules, zone, [e for e in only(story, ev.ContactRecorded) if e.occurred_at < instant_of(on + 1, 0)]
        )
        # The first day may be over at noon; on each other one noon is within all hours of these rules.
        first = offer.contact.not_before.astimezone(info).date()
        days = [first + timedelta(days=n) for n in range(1, (offer.expires_on - first).days + 1)]
        noons = [datetime.combine(day, time(12), info) for day in days]
        still = [noon for noon in noons if noon >= instant_of(on + 1, 0)]
        opened = {noon for noon in still if not closed.broken(noon)}
        assert {noon for noon in still if any(w.not_before <= noon < w.not_after for w in word.windows)} == opened
        for w in word.windows:
            assert w.not_before.astimezone(info).date() == (w.not_after - timedelta(seconds=1)).astimezone(info).date()
            assert w.not_before.astimezone(info).date() <= offer.expires_on
        assert sorted(word.windows, key=lambda w: w.not_before) == list(word.windows)
        if word.windows:
            assert (word.not_before, word.not_after) == (word.windows[0].not_before, word.windows[0].not_after)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(ZONES), st.sampled_from(KINDS), contacts_drawn, requests_drawn, st.integers(0, 2**32))
def test_each_attempt_that_broke_a_rule_is_flagged_once(
    zone: str, kind: tuple[str, str], contacts: list[Any], requests: list[int], seed: int
) -> None:
    rules = default_book().policy_for(*kind).contacts
    story = told_of(BorrowerEvents(), zone, kind, contacts, requests)
    happened = only(story, ev.ContactRecorded)
    reckoning = Reckoning(rules, zone, happened)
    wanted = {e.attempt_id: reckoning.broken(e.occurred_at, e) for e in happened if e.attempt}
    wanted = {attempt: broken for attempt, broken in wanted.items() if broken}
    rng = random.Random(seed)
    words: list[Any] = []
    for disorder in (False, True):
        driver = PlannerDriver()
        for on in range(LAST + 1):
            today = [e for e in story if e.occurred_at.date() == day_of(on)]
            if disorder:
                today += rng.choices(today, k=len(today) // 2)
                rng.shuffle(today)
            driver.feed(*today)
            driver.close(on)
        flagged = only(driver.outputs, ev.ContactBreached)
        assert {e.attempt_id: e.rules for e in flagged} == wanted
        assert len(flagged) == len(wanted)
        assert {e.time_zone for e in flagged} <= {zone}
        words.append(last_words(driver))
    assert words[0] == words[1]

    # What is heard days too late is judged when it is heard of, and so is what it puts over the cap.
    late = PlannerDriver()
    heard = {e.event_id: (e.occurred_at.date() - day_of(0)).days + rng.choice([0, 0, 0, 1, 5]) for e in happened}
    for on in range(LAST + 8):
        late.feed(*(e for e in story if not isinstance(e, ev.ContactRecorded) and e.occurred_at.date() == day_of(on)))
        late.feed(*(e for e in happened if heard[e.event_id] == on))
        late.close(on)
    assert ids(only(late.outputs, ev.ContactBreached)) == sorted(wanted)


def last_words(driver: PlannerDriver) -> dict[str, ev.Contact]:
    """Return the last word on each offer."""
    found = {}
    for e in driver.outputs:
        if isinstance(e, ev.OfferPublished | ev.ContactRevised):
            found[e.offer_id] = e.contact
    return found


def test_an_offer_waits_for_the_silence_after_a_conversation() -> None:
    driver, teller = PlannerDriver(), BorrowerEvents()
    american = {"jurisdiction": "US", "product": "personal_loan", "currency": "USD"}
    driver.feed(teller.granted(0), teller.report(0, time_zone="America/New_York"))
    driver.feed(noted(teller, 0, 15 * 60, "other", attempt=True, conversation=True), teller.request(0, **american))
    driver.close(0)
    contact = driver.offer().contact
    assert contact.held_back == "quiet_after_conversation"
    # Monday's talk silences a week; the clock is put forward on the Sunday between, so 08:00 is an hour earlier in UTC.
    assert contact.not_before == datetime(2026, 3, 9, 12, tzinfo=UTC)


def test_a_contact_with_a_wrong_clock_silences_nobody_for_years() -> None:
    driver, teller = PlannerDriver(), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0, time_zone="America/New_York"))
    driver.feed(noted(teller, 3_000, 0, "A1", attempt=True, conversation=True))
    driver.feed(teller.request(0, jurisdiction="US", product="personal_loan", currency="USD"))
    driver.close(0)
    assert driver.offer().contact.not_before < instant_of(2)
    assert driver.offer().contact.held_back == ""


def test_what_the_rules_no_longer_count_is_forgotten() -> None:
    driver, teller = PlannerDriver(), BorrowerEvents()
    driver.feed(*(noted(teller, 0, n, "A1", attempt=True, conversation=False) for n in range(300)))
    assert driver.state is not None
    assert len(driver.state.contacts) == 200
    driver.run(0, 40)
    driver.feed(noted(teller, 41, 0, "A1", attempt=True, conversation=False))
    assert len(driver.state.contacts) == 1


def test_an_account_reports_attempts_and_conversations_once() -> None:
    driver = AccountDriver()
    driver.feed(
        ev.AccountOpened(
            event_id="o",
            occurred_at=instant_of(0),
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
            occurred_at=instant_of(1),
            source="test",
            attempt_id=id_,
            account_id="A1",
            channel=channel,
            direction=direction,
            outcome=outcome,
            agent="s1",
        )

    told = driver.feed(
        contact("c1", "call", "outbound", "no_answer"),
        contact("c2", "call", "outbound", "hardship"),
        contact("c3", "call", "inbound", "reached"),
        contact("c4", "sms", "outbound", "reached"),
        contact("c5", "email", "inbound", "reached"),
        contact("c2", "call", "outbound", "hardship"),
    )
    assert [(e.attempt_id, e.attempt, e.conversation) for e in only(told, ev.ContactRecorded)] == [
        ("c1", True, False),
        ("c2", True, True),
        ("c3", False, True),
        ("c4", True, False),
    ]


AMERICAN = {"jurisdiction": "US", "product": "personal_loan", "currency": "USD"}
# 19:30 in New York on Monday, 2 March 2026, and 09:00 there on the next day, as minutes of day 1 in UTC.
EVENING, TUESDAY = 30, 14 * 60


def offered() -> tuple[PlannerDriver, BorrowerEvents]:
    """Return a driver with an offer that may be told on Monday, 2 March, from 18:00 to 21:00 in New York."""
    driver, teller = PlannerDriver(), BorrowerEvents()
    driver.feed(teller.granted(0), teller.report(0, time_zone="America/New_York"), teller.request(0, **AMERICAN))
    driver.close(0)
    contact = driver.offer().contact
    assert (contact.not_before, contact.not_after) == (instant_of(0, 23), instant_of(1, 2))
    return driver, teller


def window(e: ev.ContactRevised) -> tuple[datetime, datetime, str]:
    return e.contact.not_before, e.contact.not_after, e.contact.held_back


class TestRevisions:
    def test_seven_calls_within_minutes_close_the_window(self) -> None:
        driver, teller = offered()
        calls = [noted(teller, 1, EVENING + n, "A1") for n in range(6)]
        assert driver.feed(*calls) == []
        (first,) = driver.feed(noted(teller, 1, EVENING + 6, "A2"))
        # Seven in seven days: the next may be on Monday a week on, when the clock has been put forward.
        assert window(first) == (instant_of(7, 12), instant_of(8, 1), "cap_reached")
        assert (first.reason, first.offer_id, first.business_date) == (
            "cap_reached",
            driver.offer().offer_id,
            day_of(1),
        )
        assert first.contact.channels == driver.offer().contact.channels
        # A conversation on the same day silences as long; one a day later silences a day more.
        assert driver.feed(noted(teller, 1, EVENING + 7, "A1", conversation=True)) == []
        (second,) = driver.feed(noted(teller, 1, TUESDAY, "A1", attempt=False, conversation=True))
        assert window(second) == (instant_of(8, 12), instant_of(9, 1), "quiet_after_conversation")
        assert driver.facts["contact_revised:" + second.event_id] == second
        assert [first.number, second.number] == [1, 2]
        # The page shows the offer as it is now, whichever revision it reads first.
        for facts in (driver.facts.values(), list(driver.facts.values())[::-1]):
            assert [o.contact for o in with_latest_contact_window(facts)] == [second.contact]

    def test_a_repeated_contact_says_nothing_again(self) -> None:
        driver, teller = offered()
        talk = noted(teller, 1, EVENING, "A1", conversation=True)
        assert len(only(driver.feed(talk, talk, talk), ev.ContactRevised)) == 1

    def test_contacts_close_only_windows_that_end_after_them(self) -> None:
        driver, teller = offered()
        driver.close(1, 2)
        before = driver.offer().contact
        assert [w.not_before for w in before.windows] == [
            instant_of(0, 23),  # On Monday it was published in the afternoon.
            *(instant_of(day, 13) for day in range(1, 6)),
            *(instant_of(day, 12) for day in range(6, 15)),  # The clock is put forward on Sunday.
        ]
        (closed,) = driver.feed(*(noted(teller, 3, TUESDAY + n, "A1") for n in range(8)))
        assert window(closed) == (instant_of(0, 23), instant_of(1, 2), "")
        assert closed.reason == "cap_reached"
        # Seven attempts on 5 March close it and the six days behind it.
        assert [w for w in before.windows if w not in closed.contact.windows] == [
            w for w in before.windows if instant_of(3) <= w.not_before < instant_of(10)
        ]
        (revised,) = driver.feed(noted(teller, 1, EVENING, "A1", conversation=True))
        assert revised.contact.not_before == instant_of(10, 12)

    def test_an_offer_that_no_longer_stands_is_not_spoken_of(self) -> None:
        driver, teller = offered()
        driver.feed(
            teller.answer(1, driver.offer().offer_id, "accepted", option_id=driver.offer().options[0].option_id)
        )
        assert only(driver.feed(noted(teller, 1, EVENING, "A1", conversation=True)), ev.ContactRevised) == []

    def test_another_time_zone_moves_the_window(self) -> None:
        driver, teller = offered()
        (revised,) = only(driver.feed(teller.report(1, time_zone="America/Los_Angeles")), ev.ContactRevised)
        assert window(revised) == (instant_of(0, 23), instant_of(1, 5), "")
        assert (revised.reason, revised.contact.time_zone) == ("outside_hours", "America/Los_Angeles")

    def test_a_policy_that_forbids_contact_is_told_without_channel(self) -> None:
        strict = replace(AMERICA, contacts=replace(AMERICA.contacts, cap=0))
        driver, teller = offered()
        driver.book = book_of(AMERICA).with_amendments([(day_of(1).toordinal(), book_of(strict))])
        (revised,) = driver.feed(noted(teller, 1, TUESDAY, "A1"))
        assert (revised.contact.channels, revised.reason) == ((), "cap_reached")
        assert driver.feed(noted(teller, 1, TUESDAY + 1, "A1")) == []

    def test_the_timeline_says_so_in_both_languages(self) -> None:
        driver, teller = offered()
        (revised,) = driver.feed(noted(teller, 1, EVENING, "A1", conversation=True))
        assert describe(revised, "USD") == {
            "zh": "可联系时间改为2026-03-09至2026-03-16 08:00–21:00（America/New_York）（通话后静默期）",
            "en": "May be reached 2026-03-09 to 2026-03-16 08:00–21:00 America/New_York now (quiet after conversation)",
        }


AMERICA = default_book().policy_for("US", "personal_loan")


def breaches(driver: PlannerDriver) -> list[tuple[str, tuple[str, ...]]]:
    return [(e.attempt_id, e.rules) for e in only(driver.outputs, ev.ContactBreached)]


class TestBreaches:
    def test_attempts_are_judged_by_their_accounts_policy_and_zone(self) -> None:
        driver, teller = PlannerDriver(), BorrowerEvents()
        driver.feed(teller.granted(0), teller.report(0, time_zone="Asia/Shanghai"))
        # 21:30 in Shanghai: within the hours of China, out of those of Regulation F.
        chinese = noted(teller, 1, 13 * 60 + 30, "C1", kind=("CN", "credit_card"))
        american = noted(teller, 1, 13 * 60 + 31, "A1")
        driver.feed(chinese, american)
        assert driver.outputs == []
        (breach,) = driver.close(1)
        assert (breach.attempt_id, breach.account_id, breach.rules) == (american.attempt_id, "A1", ("outside_hours",))
        assert (breach.time_zone, breach.policy) == ("Asia/Shanghai", AMERICA.version)
        assert (breach.attempted_at, breach.business_date) == (american.occurred_at, day_of(1))
        assert driver.facts["contact_breached:" + breach.event_id] == breach

    def test_without_a_known_time_zone_that_of_the_policy_counts(self) -> None:
        driver, teller = PlannerDriver(), BorrowerEvents()
        night = noted(teller, 1, 12 * 60 + 59, "A1")
        driver.feed(night, noted(teller, 1, 13 * 60, "A1"))
        (breach,) = driver.close(1)
        assert (breach.attempt_id, breach.time_zone) == (night.attempt_id, "America/New_York")

    def test_the_borrowers_own_call_is_no_breach_and_starts_silence(self) -> None:
        driver, teller = PlannerDriver(), BorrowerEvents()
        driver.feed(noted(teller, 1, 5 * 60, "A1", attempt=False, conversation=True))
        after = noted(teller, 7, TUESDAY, "A2")
        allowed_again = noted(teller, 8, TUESDAY, "A2")
        driver.feed(after, allowed_again)
        driver.run(1, 9)
        assert breaches(driver) == [(after.attempt_id, ("quiet_after_conversation",))]

    def test_late_contacts_are_judged_at_the_next_close(self) -> None:
        driver, teller = PlannerDriver(), BorrowerEvents()
        driver.feed(*(noted(teller, 2, TUESDAY + n, "A1") for n in range(6)))
        last = noted(teller, 2, TUESDAY + 9, "A1")
        driver.feed(last)
        driver.close(2, 3)
        assert breaches(driver) == []
        driver.feed(noted(teller, 1, TUESDAY, "A1"))
        said = driver.close(4)
        assert breaches(driver) == [(last.attempt_id, ("cap_reached",))]
        assert said[0].business_date == day_of(4)
        driver.feed(noted(teller, 1, TUESDAY + 1, "A1"))
        driver.run(5, 9)
        assert len(breaches(driver)) == 2

    def test_attempts_of_one_instant_are_flagged_in_any_order(self) -> None:
        teller = BorrowerEvents()
        calls = [noted(teller, 1, TUESDAY, "A1") for _ in range(9)]
        found = []
        for order in (calls, calls[::-1]):
            driver = PlannerDriver()
            driver.feed(*order)
            driver.close(1)
            found.append(breaches(driver))
        assert found[0] == found[1]
        assert len(found[0]) == 2

    def test_more_attempts_in_a_day_than_are_kept_are_all_flagged(self) -> None:
        driver, teller = PlannerDriver(), BorrowerEvents()
        calls = [noted(teller, 1, TUESDAY + n / 2, "A1") for n in range(450)]
        driver.feed(*calls, calls[0], calls[-1])
        driver.run(1, 3)
        assert [attempt for attempt, _ in breaches(driver)] == [e.attempt_id for e in calls[7:]]
        assert driver.state is not None
        assert len(driver.state.contacts) == 200

    def test_each_is_judged_by_the_rules_of_its_day(self) -> None:
        strict = replace(AMERICA, contacts=replace(AMERICA.contacts, from_hour=12))
        driver, teller = (
            PlannerDriver(book_of(AMERICA).with_amendments([(day_of(2).toordinal(), book_of(strict))])),
            BorrowerEvents(),
        )
        driver.feed(noted(teller, 2, TUESDAY, "A1"))
        driver.close(1, 2)
        assert [rules for _, rules in breaches(driver)] == [("outside_hours",)]
        driver.feed(noted(teller, 1, TUESDAY, "A1"))
        driver.close(3)
        assert len(breaches(driver)) == 1

    def test_timeline_and_metric_show_breaches_without_identities(self) -> None:
        driver, teller = PlannerDriver(), BorrowerEvents()
        driver.feed(*(noted(teller, 1, 5 * 60 + n, "A1") for n in range(8)))
        driver.close(1)
        breach = only(driver.outputs, ev.ContactBreached)[-1]
        assert breach.rules == ("outside_hours", "cap_reached")
        said = describe(breach, "USD")
        assert said["en"].endswith("broke the rules: outside hours; cap reached")
        assert said["zh"].endswith("违反规定：不在可联系时段；联系次数已满")
        assert [labels for _, labels in counts_of(breach)] == [("outside_hours",), ("cap_reached",)]
