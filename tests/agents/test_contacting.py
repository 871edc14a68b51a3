"""Contact rules at work: whatever was tried on any account, no offer is to be told out of hours or over the cap."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from desk import Desk, book
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from planner_desk import PlannerDesk, Teller, at, day_of, only

from console.stories import told_now
from console.words import worded
from schemas import events as ev
from state.pack import default_book
from state.policy import Contacts
from streams.kafka.business import counts_of

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
    teller: Teller,
    on: int,
    minute: float,
    account: str,
    *,
    attempt: bool = True,
    conversation: bool = False,
    kind: tuple[str, str] = ("US", "personal_loan"),
) -> ev.ContactNoted:
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


def told_of(teller: Teller, zone: str, kind: tuple[str, str], contacts: list[Any], requests: list[int]) -> list[Any]:
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

    def __init__(self, rules: Contacts, zone: str, happened: list[ev.ContactNoted]) -> None:
        self.rules, self.info = rules, ZoneInfo(zone)
        self.days = [(e, e.occurred_at.astimezone(self.info).date()) for e in happened]

    def broken(self, instant: datetime, but: ev.ContactNoted | None = None) -> tuple[str, ...]:
        local, rules = instant.astimezone(self.info), self.rules
        before = [(e, (local.date() - day).days) for e, day in self.days if e is not but and e.occurred_at <= instant]
        other = local.replace(fold=1 - local.fold)
        # An hour that the clock has twice, or not at all, counts by whichever reading shortens the window.
        hours = {local.hour, (instant + (other.utcoffset() - local.utcoffset())).astimezone(self.info).hour}  # type: ignore[operator]
        found = []
        if any(not rules.from_hour <= hour < rules.to_hour for hour in hours):
            found.append("outside_hours")
        if sum(e.attempt and days < rules.cap_days for e, days in before) >= rules.cap:
            found.append("cap_reached")
        if any(e.conversation and days < rules.quiet_days_after_conversation for e, days in before):
            found.append("quiet_after_conversation")
        return tuple(found)


def ids(events: list[Any]) -> list[str]:
    return sorted(e.attempt_id for e in events)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(ZONES), st.sampled_from(KINDS), contacts_drawn, requests_drawn)
def test_at_no_instant_does_the_last_word_allow_a_contact_out_of_hours_over_the_cap_or_into_a_silence(
    zone: str, kind: tuple[str, str], contacts: list[Any], requests: list[int]
) -> None:
    desk, teller = PlannerDesk(), Teller()
    rules = default_book().policy_for(*kind).contacts
    story = told_of(teller, zone, kind, contacts, requests)
    happened: list[ev.ContactNoted] = []
    word: ev.Contact | None = None
    shown = 0
    steps = [
        (on, e) for on in range(LAST + 1) for e in (*(e for e in story if e.occurred_at.date() == day_of(on)), None)
    ]
    now = at(0, 0)
    for number, (on, event) in enumerate(steps):
        said = desk.close(on) if event is None else desk.feed(event)
        now = at(on + 1, 0) if event is None else event.occurred_at
        happened += [event] if isinstance(event, ev.ContactNoted) else []
        for e in said:
            if isinstance(e, ev.OfferPublished):
                shown += 1
                word = e.contact
                assert word.time_zone == zone
                assert word.channels
                assert at(on, 0) < word.not_before < word.not_after
                if not word.held_back:
                    assert word.not_before - at(on, 23) < timedelta(days=2)
            elif isinstance(e, ev.OfferWithdrawn | ev.OfferExpired):
                word = None
            elif isinstance(e, ev.ContactRevised):
                assert word is not None
                assert e.contact != word
                assert e.contact.time_zone == zone
                assert (e.offer_id, e.contact.channels) == (desk.offer().offer_id, desk.offer().contact.channels)
                assert e.reason == e.contact.held_back != ""
                # The word before was untrue: that day is closed to contacts now.
                assert Reckoning(rules, zone, happened).broken(max(word.not_before, now) + timedelta(milliseconds=1))
                word = e.contact
        if word is None:
            continue
        until = word.not_after
        if number + 1 < len(steps):
            following = steps[number + 1][1]
            until = min(until, following.occurred_at if following is not None else at(on + 1, 0))
        instant, reckoning = max(word.not_before, now), Reckoning(rules, zone, happened)
        instants = [until - timedelta(milliseconds=1)] if instant < until else []
        while instant < until:
            instants.append(instant)
            instant += HALF_HOUR
        assert [at_ for at_ in instants if reckoning.broken(at_)] == []
    assert shown


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(ZONES), st.sampled_from(KINDS), contacts_drawn, requests_drawn, st.integers(0, 2**32))
def test_every_attempt_that_broke_a_rule_is_flagged_once_and_no_other_whatever_is_heard_first(
    zone: str, kind: tuple[str, str], contacts: list[Any], requests: list[int], seed: int
) -> None:
    rules = default_book().policy_for(*kind).contacts
    story = told_of(Teller(), zone, kind, contacts, requests)
    happened = only(story, ev.ContactNoted)
    reckoning = Reckoning(rules, zone, happened)
    wanted = {e.attempt_id: reckoning.broken(e.occurred_at, e) for e in happened if e.attempt}
    wanted = {attempt: broken for attempt, broken in wanted.items() if broken}
    rng = random.Random(seed)
    words: list[Any] = []
    for disorder in (False, True):
        desk = PlannerDesk()
        for on in range(LAST + 1):
            today = [e for e in story if e.occurred_at.date() == day_of(on)]
            if disorder:
                today += rng.choices(today, k=len(today) // 2)
                rng.shuffle(today)
            desk.feed(*today)
            desk.close(on)
        flagged = only(desk.outputs, ev.ContactBreached)
        assert {e.attempt_id: e.rules for e in flagged} == wanted
        assert len(flagged) == len(wanted)
        assert {e.time_zone for e in flagged} <= {zone}
        words.append(last_words(desk))
    assert words[0] == words[1]

    # What is heard days too late is judged when it is heard of, and so is what it puts over the cap.
    late = PlannerDesk()
    heard = {e.event_id: (e.occurred_at.date() - day_of(0)).days + rng.choice([0, 0, 0, 1, 5]) for e in happened}
    for on in range(LAST + 8):
        late.feed(*(e for e in story if not isinstance(e, ev.ContactNoted) and e.occurred_at.date() == day_of(on)))
        late.feed(*(e for e in happened if heard[e.event_id] == on))
        late.close(on)
    assert ids(only(late.outputs, ev.ContactBreached)) == sorted(wanted)


def last_words(desk: PlannerDesk) -> dict[str, ev.Contact]:
    """Return the last word on each offer."""
    found = {}
    for e in desk.outputs:
        if isinstance(e, ev.OfferPublished | ev.ContactRevised):
            found[e.offer_id] = e.contact
    return found


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


AMERICAN = {"jurisdiction": "US", "product": "personal_loan", "currency": "USD"}
# 19:30 in New York on Monday, 2 March 2026, and 09:00 there on the next day, as minutes of day 1 in UTC.
EVENING, TUESDAY = 30, 14 * 60


def offered() -> tuple[PlannerDesk, Teller]:
    """Return a desk with an offer that may be told on Monday, 2 March, from 18:00 to 21:00 in New York."""
    desk, teller = PlannerDesk(), Teller()
    desk.feed(teller.granted(0), teller.report(0, time_zone="America/New_York"), teller.request(0, **AMERICAN))
    desk.close(0)
    contact = desk.offer().contact
    assert (contact.not_before, contact.not_after) == (at(0, 23), at(1, 2))
    return desk, teller


def window(e: ev.ContactRevised) -> tuple[datetime, datetime, str]:
    return e.contact.not_before, e.contact.not_after, e.contact.held_back


class TestRevisions:
    def test_seven_calls_and_a_conversation_within_minutes_of_the_window_close_it(self) -> None:
        desk, teller = offered()
        calls = [noted(teller, 1, EVENING + n, "A1") for n in range(6)]
        assert desk.feed(*calls) == []
        (first,) = desk.feed(noted(teller, 1, EVENING + 6, "A2"))
        # Seven in seven days: the next may be on Monday a week on, when the clock has been put forward.
        assert window(first) == (at(7, 12), at(8, 1), "cap_reached")
        assert (first.reason, first.offer_id, first.business_date) == ("cap_reached", desk.offer().offer_id, day_of(1))
        assert first.contact.channels == desk.offer().contact.channels
        # A conversation on the same day silences as long; one a day later silences a day more.
        assert desk.feed(noted(teller, 1, EVENING + 7, "A1", conversation=True)) == []
        (second,) = desk.feed(noted(teller, 1, TUESDAY, "A1", attempt=False, conversation=True))
        assert window(second) == (at(8, 12), at(9, 1), "quiet_after_conversation")
        assert desk.facts["contact_revised:" + second.event_id] == second
        assert [first.number, second.number] == [1, 2]
        # The page shows the offer as it is now, whichever revision it reads first.
        for facts in (desk.facts.values(), list(desk.facts.values())[::-1]):
            assert [o.contact for o in told_now(facts)] == [second.contact]

    def test_a_repeated_contact_says_nothing_again(self) -> None:
        desk, teller = offered()
        talk = noted(teller, 1, EVENING, "A1", conversation=True)
        assert len(only(desk.feed(talk, talk, talk), ev.ContactRevised)) == 1

    def test_a_contact_after_the_window_leaves_it_and_one_before_it_that_is_heard_of_late_does_not(self) -> None:
        desk, teller = offered()
        desk.close(1, 2)
        assert desk.feed(*(noted(teller, 3, TUESDAY + n, "A1") for n in range(8))) == []
        (revised,) = desk.feed(noted(teller, 1, EVENING, "A1", conversation=True))
        assert revised.contact.not_before == at(10, 12)

    def test_an_offer_that_no_longer_stands_is_not_spoken_of(self) -> None:
        desk, teller = offered()
        desk.feed(teller.answer(1, desk.offer().offer_id, "accepted", option_id=desk.offer().options[0].option_id))
        assert only(desk.feed(noted(teller, 1, EVENING, "A1", conversation=True)), ev.ContactRevised) == []

    def test_another_time_zone_moves_the_window(self) -> None:
        desk, teller = offered()
        (revised,) = only(desk.feed(teller.report(1, time_zone="America/Los_Angeles")), ev.ContactRevised)
        assert window(revised) == (at(0, 23), at(1, 5), "")
        assert (revised.reason, revised.contact.time_zone) == ("outside_hours", "America/Los_Angeles")

    def test_a_policy_that_allows_no_contact_any_more_is_said_with_no_channel(self) -> None:
        strict = replace(AMERICA, contacts=replace(AMERICA.contacts, cap=0))
        desk, teller = offered()
        desk.book = book(AMERICA).with_later([(day_of(1).toordinal(), book(strict))])
        (revised,) = desk.feed(noted(teller, 1, TUESDAY, "A1"))
        assert (revised.contact.channels, revised.reason) == ((), "cap_reached")
        assert desk.feed(noted(teller, 1, TUESDAY + 1, "A1")) == []

    def test_the_timeline_says_so_in_both_languages(self) -> None:
        desk, teller = offered()
        (revised,) = desk.feed(noted(teller, 1, EVENING, "A1", conversation=True))
        assert worded(revised, "USD") == {
            "zh": "可联系时间改为2026-03-09 08:00至2026-03-09 21:00（America/New_York）（通话后静默期）",
            "en": "May be reached 2026-03-09 08:00 to 2026-03-09 21:00 America/New_York now (quiet after conversation)",
        }


AMERICA = default_book().policy_for("US", "personal_loan")


def breaches(desk: PlannerDesk) -> list[tuple[str, tuple[str, ...]]]:
    return [(e.attempt_id, e.rules) for e in only(desk.outputs, ev.ContactBreached)]


class TestBreaches:
    def test_each_attempt_is_judged_by_the_policy_of_its_account_in_the_borrowers_time_zone(self) -> None:
        desk, teller = PlannerDesk(), Teller()
        desk.feed(teller.granted(0), teller.report(0, time_zone="Asia/Shanghai"))
        # 21:30 in Shanghai: within the hours of China, out of those of Regulation F.
        chinese = noted(teller, 1, 13 * 60 + 30, "C1", kind=("CN", "credit_card"))
        american = noted(teller, 1, 13 * 60 + 31, "A1")
        desk.feed(chinese, american)
        assert desk.outputs == []
        (breach,) = desk.close(1)
        assert (breach.attempt_id, breach.account_id, breach.rules) == (american.attempt_id, "A1", ("outside_hours",))
        assert (breach.time_zone, breach.policy) == ("Asia/Shanghai", AMERICA.version)
        assert (breach.attempted_at, breach.business_date) == (american.occurred_at, day_of(1))
        assert desk.facts["contact_breached:" + breach.event_id] == breach

    def test_without_a_known_time_zone_that_of_the_policy_counts(self) -> None:
        desk, teller = PlannerDesk(), Teller()
        night = noted(teller, 1, 12 * 60 + 59, "A1")
        desk.feed(night, noted(teller, 1, 13 * 60, "A1"))
        (breach,) = desk.close(1)
        assert (breach.attempt_id, breach.time_zone) == (night.attempt_id, "America/New_York")

    def test_the_borrowers_own_call_breaks_nothing_and_silences_what_follows(self) -> None:
        desk, teller = PlannerDesk(), Teller()
        desk.feed(noted(teller, 1, 5 * 60, "A1", attempt=False, conversation=True))
        after = noted(teller, 7, TUESDAY, "A2")
        allowed_again = noted(teller, 8, TUESDAY, "A2")
        desk.feed(after, allowed_again)
        desk.run(1, 9)
        assert breaches(desk) == [(after.attempt_id, ("quiet_after_conversation",))]

    def test_what_comes_late_is_judged_at_the_next_close_with_what_it_puts_over_the_cap(self) -> None:
        desk, teller = PlannerDesk(), Teller()
        desk.feed(*(noted(teller, 2, TUESDAY + n, "A1") for n in range(6)))
        last = noted(teller, 2, TUESDAY + 9, "A1")
        desk.feed(last)
        desk.close(2, 3)
        assert breaches(desk) == []
        desk.feed(noted(teller, 1, TUESDAY, "A1"))
        said = desk.close(4)
        assert breaches(desk) == [(last.attempt_id, ("cap_reached",))]
        assert said[0].business_date == day_of(4)
        desk.feed(noted(teller, 1, TUESDAY + 1, "A1"))
        desk.run(5, 9)
        assert len(breaches(desk)) == 2

    def test_attempts_in_one_instant_are_flagged_as_many_as_are_too_many_whichever_comes_first(self) -> None:
        teller = Teller()
        calls = [noted(teller, 1, TUESDAY, "A1") for _ in range(9)]
        found = []
        for order in (calls, calls[::-1]):
            desk = PlannerDesk()
            desk.feed(*order)
            desk.close(1)
            found.append(breaches(desk))
        assert found[0] == found[1]
        assert len(found[0]) == 2

    def test_more_attempts_in_a_day_than_are_kept_are_all_flagged(self) -> None:
        desk, teller = PlannerDesk(), Teller()
        calls = [noted(teller, 1, TUESDAY + n / 2, "A1") for n in range(450)]
        desk.feed(*calls, calls[0], calls[-1])
        desk.run(1, 3)
        assert [attempt for attempt, _ in breaches(desk)] == [e.attempt_id for e in calls[7:]]
        assert desk.state is not None
        assert len(desk.state.contacts) == 200

    def test_each_is_judged_by_the_rules_of_its_day(self) -> None:
        strict = replace(AMERICA, contacts=replace(AMERICA.contacts, from_hour=12))
        desk, teller = PlannerDesk(book(AMERICA).with_later([(day_of(2).toordinal(), book(strict))])), Teller()
        desk.feed(noted(teller, 2, TUESDAY, "A1"))
        desk.close(1, 2)
        assert [rules for _, rules in breaches(desk)] == [("outside_hours",)]
        desk.feed(noted(teller, 1, TUESDAY, "A1"))
        desk.close(3)
        assert len(breaches(desk)) == 1

    def test_the_timeline_and_the_metric_say_what_was_broken_and_no_label_whose_it_was(self) -> None:
        desk, teller = PlannerDesk(), Teller()
        desk.feed(*(noted(teller, 1, 5 * 60 + n, "A1") for n in range(8)))
        desk.close(1)
        breach = only(desk.outputs, ev.ContactBreached)[-1]
        assert breach.rules == ("outside_hours", "cap_reached")
        said = worded(breach, "USD")
        assert said["en"].endswith("broke the rules: outside hours; cap reached")
        assert said["zh"].endswith("违反规定：不在可联系时段；联系次数已满")
        assert [labels for _, labels in counts_of(breach)] == [("outside_hours",), ("cap_reached",)]
